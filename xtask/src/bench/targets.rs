//! What is aimed at, and whether it is met.

use super::rows::{ROWS, Samples, short};

/// A figure of one stack, on its own or as a ratio to another's.
pub(crate) struct Target {
    what: &'static str,
    pub(crate) row: &'static str,
    figure: &'static str,
    stack: &'static str,
    beside: Option<&'static str>,
    limit: f64,
}

const fn target(
    what: &'static str,
    (row, figure): (&'static str, &'static str),
    beside: Option<&'static str>,
    limit: f64,
) -> Target {
    Target {
        what,
        row,
        figure,
        stack: "crosspeer",
        beside,
        limit,
    }
}

const fn of(stack: &'static str, target: Target) -> Target {
    Target { stack, ..target }
}

const MIB: (&str, &str) = ("1MiB", "rate");
const SMALL: (&str, &str) = ("1KiB", "rate");
const LOSS: (&str, &str) = ("loss", "rate");
const LONG: (&str, &str) = ("long", "rate");
const PLAIN: Option<&str> = Some("plain");
const BOTH: (&str, &str) = ("long-loss", "rate");

pub(crate) const TARGETS: &[Target] = &[
    of(
        "crosspeer-1-lane",
        target("1 MiB messages, one connection", MIB, Some("raw"), 0.95),
    ),
    target("1 MiB messages", MIB, Some("raw"), 0.95),
    target("1 MiB messages", MIB, Some("proxystore"), 10.0),
    target("1 MiB messages", MIB, Some("datachannel"), 2.5),
    of(
        "crosspeer-2-lanes",
        target("two lanes, 1 MiB messages", MIB, Some("crosspeer-1-lane"), 1.4),
    ),
    of(
        "crosspeer-2-lanes",
        target("two lanes, 1 MiB messages", MIB, Some("proxystore"), 15.0),
    ),
    target("1 KiB messages", SMALL, None, 150_000.0),
    target("1 KiB messages", SMALL, Some("proxystore"), 20.0),
    target("50 ms round trip, no loss", LONG, None, 40.0),
    target("50 ms round trip, no loss", LONG, Some("quinn"), 1.0),
    target("1 % loss, no delay", LOSS, Some("raw"), 8.0),
    target("1 % loss, no delay", LOSS, Some("datachannel"), 1.0),
    target("1 % loss and 50 ms", BOTH, Some("raw"), 8.0),
    target("1 % loss and 50 ms", BOTH, Some("datachannel"), 1.0),
    target("set-up through the relay", ("setup", "time"), None, 15.0),
    target("set-up through the relay", ("setup", "time"), Some("proxystore"), 0.5),
    target("64 B round trip, p50", ("trip", "p50"), None, 60.0),
    target("64 B round trip, p50", ("trip", "p50"), Some("proxystore"), 0.2),
    target(
        "10 GiB: memory of the sender above idle",
        ("10GiB", "sender peak"),
        None,
        64.0,
    ),
    target(
        "10 GiB: memory of the receiver above idle",
        ("10GiB", "receiver peak"),
        None,
        64.0,
    ),
    target(
        "64 MiB message: memory of the sender above idle",
        ("64MiB", "sender peak"),
        None,
        80.0,
    ),
    target(
        "64 MiB message: memory of the receiver above idle",
        ("64MiB", "receiver peak"),
        None,
        80.0,
    ),
    target("idle connection: memory", ("idle", "memory"), None, 400.0),
    target("idle connection: CPU", ("idle", "CPU"), None, 0.02),
    target("relay: forwarded messages of 2 KiB", ("relay", "rate"), None, 150_000.0),
    target("relay: memory for an idle client", ("relay-idle", "memory"), None, 16.0),
    target(
        "from a page to a native peer",
        ("browser-to-native", "rate"),
        PLAIN,
        0.95,
    ),
    target(
        "from a native peer to a page",
        ("native-to-browser", "rate"),
        PLAIN,
        0.95,
    ),
    target("from page to page", ("browser-to-browser", "rate"), PLAIN, 0.95),
];

impl Target {
    /// What it is about, the target, what was measured, and the judgement.
    pub(crate) fn line(&self, samples: &Samples) -> Option<Vec<String>> {
        let row = ROWS.iter().find(|row| row.name == self.row)?;
        let figure = row.figures().into_iter().find(|figure| figure.name == self.figure)?;
        let median = |stack: &str| samples.median(self.row, self.figure, stack);
        let sign = if figure.more_is_better { '≥' } else { '≤' };
        let (limit, value, unit) = match self.beside {
            None => (short_limit(self.limit), median(self.stack), format!(" {}", figure.unit)),
            Some(beside) => {
                let ratio = median(self.stack).zip(median(beside)).map(|(a, b)| a / b);
                (self.limit.to_string(), ratio, format!(" × {beside}"))
            }
        };
        let (measured, judged) = match value {
            Some(value) => {
                let is_met = value == self.limit || (value > self.limit) == figure.more_is_better;
                (short(value) + &unit, if is_met { "✓" } else { "**✗**" })
            }
            None => ("–".into(), "–"),
        };
        Some(vec![
            self.what.into(),
            format!("{sign} {limit}{unit}"),
            measured,
            judged.into(),
        ])
    }
}

fn short_limit(limit: f64) -> String {
    if limit >= 10_000.0 {
        short(limit)
    } else {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::Row;

    fn samples(values: &[(&'static str, f64)]) -> Samples {
        let mut samples = Samples::default();
        for &(stack, value) in values {
            samples.0.insert(("1MiB", "rate", stack), vec![value]);
            samples.0.insert(("trip", "p50", stack), vec![value]);
        }
        samples
    }

    #[test]
    fn targets_are_judged_by_their_direction() {
        let judged = |target: &Target, values: &[_]| target.line(&samples(values)).unwrap()[3].clone();
        let rate = target("x", MIB, Some("raw"), 0.5);
        assert_eq!(judged(&rate, &[("crosspeer", 3.0), ("raw", 4.0)]), "✓");
        assert_eq!(judged(&rate, &[("crosspeer", 1.0), ("raw", 4.0)]), "**✗**");
        assert_eq!(judged(&rate, &[("crosspeer", 1.0)]), "–");
        let time = target("x", ("trip", "p50"), None, 60.0);
        assert_eq!(judged(&time, &[("crosspeer", 60.0)]), "✓");
        assert_eq!(judged(&time, &[("crosspeer", 61.0)]), "**✗**");
    }

    #[test]
    fn every_target_is_about_a_row_that_exists() {
        let names: Vec<_> = ROWS.iter().map(|row: &Row| row.name).collect();
        for target in TARGETS {
            assert!(names.contains(&target.row) && target.line(&Samples::default()).is_some());
        }
    }
}
