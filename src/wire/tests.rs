use super::{control, word};
use crate::chunk::Kind;
use crate::relay::close_code;

const PAGE: &str = include_str!("../../docs/PROTOCOL.md");

/// The first cells of the table's rows under this heading, without their backticks.
fn rows(heading: &str) -> Vec<&'static str> {
    let section = PAGE.split_once(&format!("\n{heading}\n")).map(|(_, rest)| rest);
    let section = section.unwrap_or_else(|| panic!("docs/PROTOCOL.md has no heading `{heading}`"));
    let lines = section.lines().take_while(|line| !line.starts_with('#'));
    let cells = lines.filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let cells = cells.map(|cell| cell.trim().trim_matches('`'));
    cells.skip(1).collect() // the table's head
}

#[test]
fn every_word_is_described_and_no_other() {
    let described: Vec<&str> = rows("## Words")
        .iter()
        .map(|cell| cell.split('=').next().unwrap_or_default())
        .collect();
    assert_eq!(described, word::ALL);
}

#[test]
fn every_control_code_is_described_and_no_other() {
    let described: Vec<u32> = rows("## Control frames")
        .iter()
        .map(|cell| cell.parse().unwrap())
        .collect();
    assert_eq!(described, control::ALL);
}

#[test]
fn every_kind_of_chunk_is_described_and_no_other() {
    let described: Vec<u16> = rows("### Kinds").iter().map(|cell| cell.parse().unwrap()).collect();
    let known: Vec<u16> = (0..=u16::MAX)
        .filter(|number| Kind::try_from(*number).is_ok())
        .collect();
    assert_eq!(described, known);
}

#[test]
fn the_relays_close_codes_are_described() {
    use close_code::{
        FORBIDDEN, GOING_AWAY, INTERNAL_ERROR, MESSAGE_TOO_LONG, POLICY, REPLACED, TOO_BIG, TRY_AGAIN_LATER,
        UNAUTHORIZED, UNKNOWN_MESSAGE,
    };
    let described: Vec<u16> = rows("### Close codes")
        .iter()
        .map(|cell| cell.parse().unwrap())
        .collect();
    let known = [
        GOING_AWAY,
        POLICY,
        TOO_BIG,
        INTERNAL_ERROR,
        TRY_AGAIN_LATER,
        UNKNOWN_MESSAGE,
        UNAUTHORIZED,
        FORBIDDEN,
        MESSAGE_TOO_LONG,
        REPLACED,
    ];
    assert_eq!(described, known);
}

#[test]
fn words_are_sorted_as_they_are_written_and_codes_are_used_once() {
    assert!(word::ALL.is_sorted_by(|a, b| a < b));
    assert!(control::ALL.is_sorted_by(|a, b| a < b));
}
