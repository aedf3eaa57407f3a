//! Paths as the internet has them: two network namespaces with a cable between, where packets are delayed (by
//! `bench/delay`, on a netfilter queue), lost (by nft) and held to a rate (by tc's tbf). Not every kernel has netem.

use super::ended::Ended;
use crate::run::{Run, target};
use crate::tools;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a path does to packets, each way.
pub(crate) struct Path {
    /// Of the round trip.
    pub(crate) milliseconds: u32,
    /// UDP packets lost of each hundred.
    pub(crate) percent_lost: u32,
    /// Megabits a second; with a queue of 250 kB, as a home's router has.
    pub(crate) megabits: Option<u32>,
}

pub(crate) const LOSS: Path = path(0, 1, None);
pub(crate) const LONG: Path = path(50, 0, None);
pub(crate) const LONG_LOSS: Path = path(50, 1, None);
pub(crate) const NARROW: Path = path(20, 0, Some(100));

const fn path(milliseconds: u32, percent_lost: u32, megabits: Option<u32>) -> Path {
    Path {
        milliseconds,
        percent_lost,
        megabits,
    }
}

/// Who is at an end of a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Caller,
    /// The relays are here too.
    Answerer,
}

/// A path that is there until this is dropped.
pub(crate) struct Emulated {
    namespaces: [String; 2],
    _delays: Vec<Ended>,
}

/// What keeps this machine from having paths.
pub(crate) fn missing() -> Option<String> {
    if !tools::is_root() {
        return Some("emulated paths need root; only loopback is measured".into());
    }
    let programs = [
        ("ip", "-V", "iproute2"),
        ("tc", "-V", "iproute2"),
        ("nft", "-v", "nftables"),
        ("iptables", "-V", "iptables"),
    ];
    let absent = programs
        .iter()
        .find(|(program, version, _)| !Run::new(program).args([version]).succeeds());
    absent.map(|(program, _, package)| format!("emulated paths need `{program}` of Debian's {package}"))
}

impl Emulated {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let ends = ["a", "b"].map(|end| format!("bench-{}-{end}", std::process::id()));
        let mut emulated = Self {
            namespaces: ends,
            _delays: Vec::new(),
        };
        let [a, b] = &emulated.namespaces;
        Run::new("ip").args(["netns", "add", a]).output()?;
        Run::new("ip").args(["netns", "add", b]).output()?;
        let cable = format!("link add name wan type veth peer name wan netns {b}");
        ip(a, &cable)?;
        for end in [End::Caller, End::Answerer] {
            emulated.set_up(end, path)?;
        }
        if path.milliseconds > 0 {
            let delays = [End::Caller, End::Answerer].map(|end| emulated.delay(end, path));
            emulated._delays = delays.into_iter().collect::<Result<_>>()?;
        }
        Ok(emulated)
    }

    fn set_up(&self, end: End, path: &Path) -> Result<()> {
        let namespace = self.namespace(end);
        // A packet that stands for several (GSO) would be lost and delayed as one. What is emulated is IPv4.
        let lines = format!(
            "link set lo up\naddress add {}/24 dev wan\nlink set wan addrgenmode none up gso_max_segs 1\nroute add default dev wan",
            address(end)
        );
        ip(namespace, &lines)?;
        if path.percent_lost > 0 {
            let lost = path.percent_lost;
            let lossy = format!("iifname wan meta l4proto udp numgen random mod 100 < {lost} drop;");
            let rules = format!("table ip path {{ chain lossy {{ type filter hook input priority 0; {lossy} }}; }};");
            feed(inside(namespace, "nft").arg("-f").arg("-"), &rules)?;
        }
        if path.milliseconds > 0 {
            // Some kernels have no queue for nft.
            let queue = ["-A", "INPUT", "-i", "wan", "-j", "NFQUEUE", "--queue-num", "0"];
            feed(inside(namespace, "iptables").args(queue), "")?;
        }
        if let Some(megabits) = path.megabits {
            let rate = format!("qdisc add dev wan root tbf rate {megabits}mbit burst 32k limit 250000");
            feed(inside(namespace, "tc").arg("-batch").arg("-"), &rate)?;
        }
        Ok(())
    }

    fn delay(&self, end: End, path: &Path) -> Result<Ended> {
        let mut delay = inside(self.namespace(end), target().join("release/bench-delay"));
        delay.arg((path.milliseconds * 500).to_string());
        Ok(Ended::started(delay)?.1)
    }

    fn namespace(&self, end: End) -> &str {
        &self.namespaces[end as usize]
    }

    /// The same command at an end of this path.
    pub(crate) fn at(&self, end: End, command: &Command) -> Command {
        let mut moved = inside(self.namespace(end), command.get_program());
        moved.args(command.get_args());
        moved
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Run::new("ip").args(["netns", "delete", namespace]).output();
        }
    }
}

/// The address of an end.
pub(crate) fn address(end: End) -> &'static str {
    match end {
        End::Caller => "198.51.100.1",
        End::Answerer => "198.51.100.2",
    }
}

fn ip(namespace: &str, lines: &str) -> Result<()> {
    feed(Command::new("ip").args(["-n", namespace, "-batch", "-"]), lines)
}

fn inside(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Runs a command with this input; an error if it fails.
fn feed(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    if !child.wait()?.success() {
        bail!("{command:?} failed with this input:\n{input}");
    }
    Ok(())
}
