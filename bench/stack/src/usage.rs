//! What a process has used so far, as the kernel counts it.

use serde_json::{Value, json};
use std::fs;

/// [`usage_of`] this process. With `reset` the peak begins anew afterwards.
pub fn usage(reset: bool) -> Value {
    let usage = usage_of("self");
    if reset {
        let _ = fs::write("/proc/self/clear_refs", "5");
    }
    usage
}

/// CPU seconds, resident bytes now and at the peak of a process, by its number.
pub fn usage_of(process: &str) -> Value {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let bytes = |key| bytes(&status, key);
    json!({"cpu": cpu_seconds(process), "rss": bytes("VmRSS:"), "peak": bytes("VmHWM:")})
}

/// User and system time; the kernel's ticks are 10 ms.
fn cpu_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at| {
        after_name
            .split_whitespace()
            .nth(at)
            .and_then(|n: &str| n.parse::<f64>().ok())
    };
    (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0
}

fn bytes(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
