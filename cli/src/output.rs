//! What people and programs see: text, JSON lines, a progress bar.

use crosspeer::transfer::{StopCode, printable};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

const BAR: &str =
    "{spinner} {wide_msg} {bytes}/{total_bytes} [{bar:24}] {percent:>3}% {binary_bytes_per_sec:>12} left {eta}";

const TICK: Duration = Duration::from_millis(200);

/// Where a command tells what happens. With `--json` every event is one line on stdout, and nothing else is.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    bar: ProgressBar,
    /// When programs last heard of progress.
    told: Arc<Mutex<Instant>>,
    /// Files on their way, which the bar shows.
    open: Arc<Mutex<u64>>,
    /// Received bytes go there, and lines for people elsewhere.
    stdout_is_taken: bool,
}

impl Output {
    #[allow(clippy::disallowed_methods)] // paces lines, and decides nothing
    pub(crate) fn new(json: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let told = Arc::new(Mutex::new(Instant::now()));
        Self {
            json,
            bar,
            told,
            open: Arc::default(),
            stdout_is_taken: false,
        }
    }

    /// Whether programs read it, rather than people.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// What happens is told on stderr, since stdout gets what is received.
    pub(crate) fn leave_stdout_alone(&mut self) {
        self.stdout_is_taken = true;
    }

    /// A file of about this size is on its way.
    pub(crate) fn begin(&self, size: u64) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open += 1;
        if *open == 1 && self.bar.is_finished() {
            self.bar.reset();
            self.bar.set_length(0);
            self.bar.enable_steady_tick(TICK);
        }
        self.bar.inc_length(size);
    }

    /// It is whole, or given up after so many bytes, which then count no more. Without any other the bar goes.
    pub(crate) fn end(&self, size: u64, done: u64, whole: bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        if !whole {
            self.bar.set_position(self.bar.position().saturating_sub(done));
            self.bar
                .set_length(self.bar.length().unwrap_or_default().saturating_sub(size));
        }
        if *open == 0 {
            self.bar.finish_and_clear();
        }
    }

    /// Shows a progress bar if a person is watching: stderr is a terminal, and not `--json`.
    pub(crate) fn show_progress(&mut self) {
        if self.json || !std::io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style);
        self.bar.enable_steady_tick(TICK);
    }

    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// More bytes of this file are done: moves the bar, or tells programs every second.
    #[allow(clippy::disallowed_methods)] // paces lines, and decides nothing
    pub(crate) fn progress(&self, name: &str, bytes: u64) {
        self.bar.inc(bytes);
        if self.bar.length().is_some_and(|length| length < self.bar.position()) {
            self.bar.set_length(self.bar.position()); // what was said was an estimate
        }
        if !self.json {
            return self.bar.set_message(name_for_people(name));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= Duration::from_secs(1) {
            *told = Instant::now();
            let (bytes, total) = (self.bar.position(), self.bar.length());
            self.event_json(json!({"type": "progress", "name": name, "bytes": bytes, "total": total}));
        }
    }

    /// A result: the JSON object, or the text on stdout.
    pub(crate) fn event(&self, event: Value, text: impl Display) {
        match self.json {
            true => self.line(&event),
            false if self.stdout_is_taken => self.note(text),
            false => self.line(&for_stdout(&text.to_string())),
        }
    }

    /// A detail: the JSON object, or the text on stderr.
    pub(crate) fn detail(&self, event: Value, text: impl Display) {
        match self.json {
            true => self.line(&event),
            false => self.note(text),
        }
    }

    /// Something that a peer sent is not kept, and why.
    pub(crate) fn not_stored(&self, from: Uuid, name: &str, code: StopCode, reason: &str) {
        let code = code.as_str();
        self.detail(
            json!({"type": "not-stored", "from": from, "name": name, "code": code, "reason": reason}),
            format_args!("not stored: {}: {code} ({reason})", name_for_people(name)),
        );
    }

    /// Something was not sent, and why.
    pub(crate) fn not_sent(&self, name: &str, code: StopCode, reason: &str) {
        let code = code.as_str();
        self.detail(
            json!({"type": "not-sent", "name": name, "code": code, "reason": reason}),
            format_args!("not sent: {}: {code} ({reason})", name_for_people(name)),
        );
    }

    /// For programs only.
    pub(crate) fn event_json(&self, event: Value) {
        if self.json {
            self.line(&event);
        }
    }

    /// For people only, on stderr.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            self.bar.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{}", for_terminal(&text.to_string()));
            });
        }
    }

    /// A line on stdout, at once. A reader that went away is no reason to fail.
    fn line(&self, line: &dyn Display) {
        self.bar.suspend(|| {
            let mut stdout = std::io::stdout().lock();
            let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        });
    }
}

/// `1.50 MiB`.
pub(crate) fn human_bytes(bytes: u64) -> HumanBytes {
    HumanBytes(bytes)
}

/// A peer's text for a terminal: without what moves the cursor or hides text. A pipe gets it as it came.
pub(crate) fn for_stdout(text: &str) -> String {
    if !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    for_terminal(text)
}

/// The same whatever stdout is.
fn for_terminal(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(|line| line.split('\t').map(printable)).collect();
    let lines = lines.into_iter().map(|cells| cells.collect::<Vec<_>>().join("\t"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A name in a line: it cannot begin another one, nor move the cursor, nor turn the text around.
pub(crate) fn name_for_people(name: &str) -> String {
    printable(name)
}

/// `1 file`, `2 files`.
pub(crate) fn count_of(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
