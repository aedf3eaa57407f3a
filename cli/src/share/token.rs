//! Who gets in: the token of the command line, a file or the environment, or one that is made up.

use crate::args::ShareArgs;
use crate::failure::Result;
use crate::token;
use uuid::Uuid;

/// Digits of a token that is made up. None of them is taken for another one.
const DIGITS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
const LENGTH: usize = 16;

/// The token; `None`: whoever reaches the address gets in, which beyond this computer must be asked for.
pub(super) fn of(args: &ShareArgs) -> Result<Option<String>> {
    if args.no_token {
        return Ok(None);
    }
    let given = token::given(args.token.as_deref(), args.token_file.as_deref())?;
    Ok(given.or_else(|| (!args.listen.ip().is_loopback()).then(made_up)))
}

/// 80 random bits.
fn made_up() -> String {
    let [a, b] = [Uuid::new_v4(), Uuid::new_v4()]; // the first and last bytes of each are random throughout
    let bytes = a.as_bytes()[..6]
        .iter()
        .chain(&b.as_bytes()[10..])
        .chain(&a.as_bytes()[10..]);
    bytes
        .take(LENGTH)
        .map(|byte| char::from(DIGITS[usize::from(byte % 32)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn token_of(args: &[&str]) -> Option<String> {
        let line = ["crosspeer", "share"].iter().chain(args);
        let Command::Share(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not share");
        };
        of(&args).unwrap()
    }

    #[test]
    fn beyond_this_computer_there_is_a_token_unless_told() {
        assert_eq!(token_of(&[]), None);
        assert_eq!(token_of(&["--listen", "0.0.0.0:1", "--no-token"]), None);
        assert_eq!(token_of(&["--token", "ü"]).as_deref(), Some("ü"));
        let [a, b] = ["0.0.0.0:1", "[::]:1"].map(|listen| token_of(&["--listen", listen]).unwrap());
        assert!(a.len() == LENGTH && a != b, "{a} {b}");
        assert!(a.bytes().all(|digit| DIGITS.contains(&digit)));
    }

    #[test]
    fn a_token_file_holds_it_alone_on_a_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, " se cret\n").unwrap();
        assert_eq!(token_of(&["--token-file", path]).as_deref(), Some("se cret"));
        std::fs::write(path, "\n").unwrap();
        let line = ["crosspeer", "share", "--token-file", path];
        let Command::Share(args) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not share");
        };
        assert!(of(&args).is_err());
    }
}
