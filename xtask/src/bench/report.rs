//! The table, the page, the JSON and the plot.

use super::rows::{Row, Samples, median, short};
use super::stacks::Stack;
use super::targets::TARGETS;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Whose figures all others are compared with.
const OURS: &str = "crosspeer";
const BEGIN: &str = "<!-- begin: written by `cargo xtask bench` -->";
const END: &str = "<!-- end -->";

/// The medians as a Markdown table: a column for each stack, with crosspeer's ratio to it.
pub(crate) fn table(samples: &Samples, rows: &[&Row], stacks: &[&Stack]) -> String {
    let mut lines = vec![vec!["what".to_owned(), "unit".into()]];
    lines[0].extend(stacks.iter().map(|stack| stack.name.to_owned()));
    for row in rows {
        for figure in row.figures() {
            let of = |stack: &str| samples.median(row.name, figure.name, stack);
            let mut line = vec![format!("{}: {}", row.title, figure.name), figure.unit.into()];
            line.extend(
                stacks
                    .iter()
                    .map(|stack| cell(of(stack.name), of(OURS), stack.name == OURS)),
            );
            lines.push(line);
        }
    }
    aligned(&lines)
}

fn cell(value: Option<f64>, ours: Option<f64>, is_ours: bool) -> String {
    match (value, ours) {
        (None, _) => "–".into(),
        (Some(value), Some(ours)) if value > 0.0 && !is_ours => format!("{} ({} ×)", short(value), short(ours / value)),
        (Some(value), _) => short(value),
    }
}

/// The targets of all rows that were measured, beside what was.
pub(crate) fn targets(samples: &Samples) -> String {
    let mut lines = vec![["what", "target", "measured", ""].map(str::to_owned).to_vec()];
    let measured = TARGETS.iter().filter(|target| samples.has(target.row));
    lines.extend(measured.filter_map(|target| target.line(samples)));
    aligned(&lines)
}

fn aligned(lines: &[Vec<String>]) -> String {
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut table = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(table, "| {cell}{} ", " ".repeat(width - cell.chars().count()));
        }
        table += "|\n";
        if number == 0 {
            table += &widths
                .iter()
                .map(|width| format!("|{}", "-".repeat(width + 2)))
                .collect::<String>();
            table += "|\n";
        }
    }
    table
}

/// Every value, for other programs.
pub(crate) fn json(samples: &Samples, rows: &[&Row]) -> Value {
    let mut all = Vec::new();
    for row in rows {
        for figure in row.figures() {
            let of_this = samples
                .0
                .iter()
                .filter(|((r, f, _), _)| *r == row.name && *f == figure.name);
            for ((.., stack), values) in of_this {
                all.push(json!({"row": row.name, "figure": figure.name, "unit": figure.unit, "stack": stack, "values": values,
                    "median": median(values)}));
            }
        }
    }
    json!({"machine": machine(), "results": all})
}

/// Where the figures come from, in a line.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores of {}, Linux {}.",
        model.map_or("an unknown processor", |(_, name)| name.trim()),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The page with these tables instead of the last.
pub(crate) fn insert(page: &str, tables: &str, machine: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("the page lacks {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page lacks {END}"))?;
    Ok(format!("{before}{BEGIN}\n{machine}\n\n{tables}\n{END}{after}"))
}

/// The rates as bars, one group for each size of message.
pub(crate) fn plot(samples: &Samples, rows: &[&Row], stacks: &[&Stack]) -> String {
    const COLOURS: [&str; 11] = [
        "#2a6fdb", "#8fb4ee", "#9a9a9a", "#d9822b", "#5f9e6e", "#b55d9c", "#c9b458", "#555", "#69b3b8", "#a0522d",
        "#7a6fd0",
    ];
    let rows: Vec<_> = rows.iter().filter(|row| row.what == "bulk").collect();
    let (bar, gap, left, wide) = (16, 14, 130, 480.0);
    let mut body = String::new();
    let mut y = 24;
    for row in rows {
        let rate = &row.figures()[0];
        let values: Vec<_> = stacks
            .iter()
            .map(|stack| samples.median(row.name, rate.name, stack.name))
            .collect();
        let most = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        let _ = writeln!(
            body,
            "<text x='4' y='{}' font-weight='bold'>{}</text>",
            y + 12,
            row.title
        );
        for (at, (stack, value)) in stacks.iter().zip(&values).enumerate() {
            let Some(value) = *value else { continue };
            let (length, colour) = (value / most * wide, COLOURS[at % COLOURS.len()]);
            let _ = writeln!(
                body,
                "<rect x='{left}' y='{y}' width='{length:.0}' height='{}' fill='{colour}'/><text x='{:.0}' y='{}'>{} {} {}</text>",
                bar - 2,
                f64::from(left) + length + 5.0,
                y + 11,
                stack.name,
                short(value),
                rate.unit
            );
            y += bar;
        }
        y += gap;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='840' height='{y}' font-family='sans-serif' font-size='11'>\n\
         <rect width='100%' height='100%' fill='white'/>\n<text x='4' y='14'>Throughput, medians; longer is better</text>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_what_people_wrote() {
        let page = format!("# Title\n{BEGIN}\nold\n{END}\nwords\n");
        let new = insert(&page, "| new |\n", "a machine").unwrap();
        assert!(
            new.starts_with("# Title\n")
                && new.ends_with("\nwords\n")
                && new.contains("| new |")
                && !new.contains("old")
        );
        assert!(insert("nothing", "", "").is_err());
    }
}
