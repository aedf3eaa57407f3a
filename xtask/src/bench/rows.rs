//! What is measured, and what is read from a measurement.

use super::paths::{LONG, LONG_LOSS, LOSS, NARROW, Path};
use super::stacks::Stack;
use serde_json::Value;
use std::collections::BTreeMap;

/// One kind of measurement.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The peers' word for it.
    pub(crate) what: &'static str,
    pub(crate) size: u64,
    pub(crate) seconds: f64,
    pub(crate) count: u64,
    /// Rounds after which there is enough.
    pub(crate) rounds: usize,
    pub(crate) default: bool,
    /// Stacks that would take too long.
    pub(crate) leaves_out: &'static [&'static str],
    /// The only stacks of interest, if not all.
    pub(crate) only: Option<&'static [&'static str]>,
    /// Where, if not on this host.
    pub(crate) path: Option<&'static Path>,
}

const ROW: Row = Row {
    name: "",
    title: "",
    what: "bulk",
    size: 64,
    seconds: 1.0,
    count: 1,
    rounds: usize::MAX,
    default: true,
    leaves_out: &[],
    only: None,
    path: None,
};

const RELAYS: &[&str] = &["crosspeer", "proxystore"];

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "setup",
        title: "Set-up, from calling to the first answer",
        what: "setup",
        count: 20,
        rounds: 1,
        ..ROW
    },
    Row {
        name: "trip",
        title: "Round trip of 64 B",
        what: "trip",
        ..ROW
    },
    bulk("1KiB", "1 KiB messages", 1 << 10),
    bulk("64KiB", "64 KiB messages", 64 << 10),
    bulk("1MiB", "1 MiB messages", 1 << 20),
    bulk("64MiB", "64 MiB messages", 64 << 20),
    Row {
        rounds: 3,
        leaves_out: &["proxystore"],
        ..bulk("1GiB", "1 GiB messages", 1 << 30)
    },
    Row {
        count: 10 << 10,
        rounds: 1,
        only: Some(&["crosspeer", "raw"]),
        ..bulk("10GiB", "10 GiB in 1 MiB messages", 1 << 20)
    },
    Row {
        name: "idle",
        title: "200 idle connections",
        what: "idle",
        seconds: 5.0,
        count: 200,
        rounds: 1,
        ..ROW
    },
    Row {
        name: "relay",
        title: "Relay, 200 pairs with 2 KiB messages",
        what: "forward",
        size: 2 << 10,
        seconds: 3.0,
        count: 200,
        only: Some(RELAYS),
        ..ROW
    },
    Row {
        name: "relay-idle",
        title: "Relay, 10,000 idle clients",
        what: "crowd",
        // As long as from one ping to the next, for both relays.
        seconds: 20.0,
        count: 10_000,
        rounds: 1,
        only: Some(RELAYS),
        ..ROW
    },
    page(
        "browser-to-native",
        "From a page to a native peer",
        "chromium -> native",
    ),
    page(
        "native-to-browser",
        "From a native peer to a page",
        "native -> chromium",
    ),
    page("browser-to-browser", "From page to page", "chromium -> chromium"),
    across("loss", "1 % loss", &LOSS),
    across("long", "50 ms", &LONG),
    across("long-loss", "50 ms and 1 % loss", &LONG_LOSS),
    across("narrow", "100 Mbit/s, 20 ms", &NARROW),
];

/// Messages of 64 KiB, since some stacks carry few of them in the time.
const fn across(name: &'static str, title: &'static str, path: &'static Path) -> Row {
    Row {
        seconds: 5.0,
        default: false,
        path: Some(path),
        ..bulk(name, title, 64 << 10)
    }
}

/// Messages of 256 KiB, with pages in Chromium.
const fn page(name: &'static str, title: &'static str, what: &'static str) -> Row {
    Row {
        name,
        title,
        what,
        seconds: 8.0,
        only: Some(&["crosspeer", "plain"]),
        ..ROW
    }
}

const fn bulk(name: &'static str, title: &'static str, size: u64) -> Row {
    Row {
        name,
        title,
        size,
        ..ROW
    }
}

/// One figure of a row.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
}

const fn figure(name: &'static str, unit: &'static str, more_is_better: bool) -> Figure {
    Figure {
        name,
        unit,
        more_is_better,
    }
}

impl Row {
    /// The row's figures, in the order of the table.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        match self.what {
            "setup" => vec![figure("time", "ms", false)],
            "trip" => vec![figure("p50", "µs", false), figure("p99", "µs", false)],
            "idle" | "crowd" => vec![figure("memory", "KiB", false), figure("CPU", "% of a core", false)],
            "forward" => vec![
                figure("rate", "messages/s", true),
                figure("CPU", "s/million messages", false),
            ],
            "native -> chromium" => vec![figure("rate", "MiB/s", true)],
            _ if self.is_page() => vec![figure("rate", "MiB/s", true), figure("set-up", "ms", false)],
            _ => vec![
                figure("rate", if self.is_small() { "messages/s" } else { "MiB/s" }, true),
                figure("CPU", "s/GiB", false),
                figure("sender peak", "MiB", false),
                figure("receiver peak", "MiB", false),
            ],
        }
    }

    /// Whether this stack is measured in it.
    pub(crate) fn has(&self, stack: &Stack) -> bool {
        let is_in = |list: Option<&[&str]>, name: &str| list.is_none_or(|list| list.contains(&name));
        is_in(self.only, stack.name) && is_in(stack.only, self.name) && !self.leaves_out.contains(&stack.name)
    }

    /// Whether a browser is needed.
    pub(crate) fn is_page(&self) -> bool {
        self.what.contains("->")
    }

    fn is_small(&self) -> bool {
        self.size <= 4096
    }

    /// Each figure's values in a result.
    fn values(&self, result: &Value) -> Vec<Vec<f64>> {
        let at = |path: &str| result.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let mib = f64::from(1 << 20);
        match self.what {
            "setup" => {
                let times = result["seconds"].as_array().cloned().unwrap_or_default();
                vec![times.iter().filter_map(Value::as_f64).map(|s| s * 1e3).collect()]
            }
            "trip" => vec![vec![at("/p50") * 1e6], vec![at("/p99") * 1e6]],
            "idle" => vec![
                vec![at("/caller/bytes").max(at("/answerer/bytes")) / 1024.0],
                vec![at("/caller/cpu").max(at("/answerer/cpu")) * 100.0],
            ],
            "crowd" => vec![vec![at("/bytes") / 1024.0], vec![at("/cpu") * 100.0]],
            "forward" => vec![
                vec![at("/messages") / at("/seconds")],
                vec![at("/cpu") / at("/messages") * 1e6],
            ],
            _ if self.is_page() => vec![vec![at("/rate")], vec![at("/setup")]],
            _ => {
                let rate = if self.is_small() {
                    at("/messages")
                } else {
                    at("/bytes") / mib
                } / at("/seconds");
                let cpu = at("/sender/cpu") + at("/receiver/cpu");
                let peak = |side: &str| {
                    let above = at(&format!("/{side}/peak")) - at(&format!("/{side}/idle"));
                    vec![above.max(0.0) / mib]
                };
                vec![
                    vec![rate],
                    vec![cpu / at("/bytes") * 1024.0 * mib],
                    peak("sender"),
                    peak("receiver"),
                ]
            }
        }
    }
}

/// Every value of every figure, by row, figure and stack.
#[derive(Default)]
pub(crate) struct Samples(pub(crate) BTreeMap<(&'static str, &'static str, &'static str), Vec<f64>>);

impl Samples {
    /// Takes a result in; what it says, for people.
    pub(crate) fn add(&mut self, row: &Row, stack: &'static str, result: &Value) -> String {
        let mut said = Vec::new();
        for (figure, values) in row.figures().iter().zip(row.values(result)) {
            said.push(format!("{} {} {}", figure.name, short(median(&values)), figure.unit));
            self.0.entry((row.name, figure.name, stack)).or_default().extend(values);
        }
        said.join(", ")
    }

    /// Whether anything of a row was measured.
    pub(crate) fn has(&self, row: &str) -> bool {
        self.0.keys().any(|(measured, ..)| *measured == row)
    }

    pub(crate) fn median(&self, row: &str, figure: &str, stack: &str) -> Option<f64> {
        let found = self
            .0
            .iter()
            .find(|((r, f, s), _)| *r == row && *f == figure && *s == stack);
        found
            .map(|(_, values)| median(values))
            .filter(|value| value.is_finite())
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Three digits or so.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 10_000.0 => {
            let thousands = (value / 1000.0).round();
            format!("{thousands},000")
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_becomes_figures() {
        let row = &ROWS[4];
        let result = serde_json::json!({"bytes": 1u64 << 30, "messages": 1024, "seconds": 2.0,
            "sender": {"cpu": 1.0, "idle": 1 << 20, "peak": 3 << 20}, "receiver": {"cpu": 2.0, "idle": 2, "peak": 1}});
        let mut samples = Samples::default();
        samples.add(row, "raw", &result);
        let medians: Vec<_> = row
            .figures()
            .iter()
            .map(|f| samples.median(row.name, f.name, "raw"))
            .collect();
        assert_eq!(medians, [Some(512.0), Some(3.0), Some(2.0), Some(0.0)]);
        assert_eq!(samples.median(row.name, row.figures()[0].name, "crosspeer"), None);
    }

    #[test]
    fn every_figure_of_every_row_has_values() {
        for row in ROWS {
            let values = row.values(&Value::Null);
            assert!(values.len() >= row.figures().len(), "{}", row.name);
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
