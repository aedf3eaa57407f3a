//! The table, the page, the JSON and the plot.

use super::peers::Stack;
use super::rows::{Figure, Row, Samples, Target, short};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Whose figures all others are compared with.
const OURS: &str = "crosspeer";
const BEGIN: &str = "<!-- begin: written by `cargo xtask bench` -->";
const END: &str = "<!-- end -->";

/// The medians as a Markdown table: a column for each stack, and crosspeer's ratio to it.
pub(crate) fn table(samples: &Samples, rows: &[&Row], stacks: &[&Stack]) -> String {
    let mut lines = vec![vec!["what".to_owned(), "unit".into()]];
    for stack in stacks {
        lines[0].push(stack.name.into());
    }
    let others: Vec<_> = stacks.iter().filter(|stack| stack.name != OURS).collect();
    lines[0].extend(others.iter().map(|stack| format!("÷ {}", stack.name)));
    lines[0].push("target".into());
    for row in rows {
        for figure in row.figures() {
            let of = |stack: &str| samples.median(row, &figure, stack);
            let mut line = vec![format!("{}: {}", row.title, figure.name), figure.unit.into()];
            line.extend(stacks.iter().map(|stack| of(stack.name).map_or("–".into(), short)));
            line.extend(others.iter().map(|stack| ratio(of(OURS), of(stack.name))));
            let targets = row.targets(&figure);
            let said = targets
                .iter()
                .map(|target| judged(&figure, target, of(OURS), target.beside.and_then(of)));
            line.push(said.collect::<Vec<_>>().join(", "));
            lines.push(line);
        }
    }
    aligned(&lines)
}

fn ratio(ours: Option<f64>, other: Option<f64>) -> String {
    match (ours, other) {
        (Some(ours), Some(other)) if other > 0.0 => format!("{} ×", short(ours / other)),
        _ => "–".into(),
    }
}

/// The target, and whether it is met.
fn judged(figure: &Figure, target: &Target, ours: Option<f64>, other: Option<f64>) -> String {
    let sign = if figure.more_is_better { '≥' } else { '≤' };
    let limit = short_limit(target.limit);
    let (text, value) = match target.beside {
        None => (format!("{sign} {limit} {}", figure.unit), ours),
        Some(stack) => (format!("{sign} {limit} × {stack}"), ours.zip(other).map(|(a, b)| a / b)),
    };
    match value {
        Some(value) if (value >= target.limit) == figure.more_is_better || value == target.limit => format!("{text} ✓"),
        Some(_) => format!("**{text} ✗**"),
        None => format!("{text} –"),
    }
}

fn short_limit(limit: f64) -> String {
    if limit >= 10_000.0 {
        short(limit)
    } else {
        limit.to_string()
    }
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
                    "median": super::rows::median(values)}));
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
        "Loopback, {cores} cores of {}, Linux {}.",
        model.map_or("an unknown processor", |(_, name)| name.trim()),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The page with this table instead of the last.
pub(crate) fn insert(page: &str, table: &str, machine: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("the page lacks {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the page lacks {END}"))?;
    Ok(format!("{before}{BEGIN}\n{machine}\n\n{table}\n{END}{after}"))
}

/// The rates as bars, one group for each size of message.
pub(crate) fn plot(samples: &Samples, rows: &[&Row], stacks: &[&Stack]) -> String {
    const COLOURS: [&str; 8] = [
        "#2a6fdb", "#8fb4ee", "#9a9a9a", "#d9822b", "#5f9e6e", "#b55d9c", "#c9b458", "#555",
    ];
    let rows: Vec<_> = rows.iter().filter(|row| row.what == "bulk").collect();
    let (bar, gap, left, wide) = (16, 14, 130, 480.0);
    let mut body = String::new();
    let mut y = 24;
    for row in rows {
        let rate = &row.figures()[0];
        let values: Vec<_> = stacks
            .iter()
            .map(|stack| samples.median(row, rate, stack.name))
            .collect();
        let most = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        let _ = writeln!(
            body,
            "<text x='4' y='{}' font-weight='bold'>{}</text>",
            y + 12,
            row.title
        );
        for (at, (stack, value)) in stacks.iter().zip(&values).enumerate() {
            let value = value.unwrap_or(0.0);
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
         <rect width='100%' height='100%' fill='white'/>\n<text x='4' y='14'>Throughput on loopback, medians; longer is better</text>\n{body}</svg>\n"
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

    #[test]
    fn targets_are_judged_by_their_direction() {
        let figure = |more_is_better| Figure {
            name: "x",
            unit: "u",
            more_is_better,
        };
        let target = |limit| Target { beside: None, limit };
        assert!(judged(&figure(true), &target(2.0), Some(3.0), None).ends_with('✓'));
        assert!(judged(&figure(false), &target(2.0), Some(3.0), None).ends_with("✗**"));
        let ratio = Target {
            beside: Some("raw"),
            limit: 0.5,
        };
        assert!(judged(&figure(false), &ratio, Some(1.0), Some(4.0)).ends_with('✓'));
    }
}
