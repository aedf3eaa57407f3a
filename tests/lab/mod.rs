//! Small internets of network namespaces: a public side with a relay and a STUN and TURN server (coturn), and hosts
//! behind routers of several kinds, where the real `crosspeer` command runs.
//!
//! They need root, `ip`, `nft` and `turnserver`; without them [`Lab::new`] prints what is missing and gives `None`, and
//! the test ends. Each lab's names are its own, so tests run side by side; namespaces and processes end with it.

mod process;
mod router;

pub use process::{Event, Process};
pub use router::Nat;

use process::{CROSSPEER, build};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The STUN and TURN server's user.
pub const TURN_USER: &str = "lab";
/// And its password.
pub const TURN_PASSWORD: &str = "correct-horse";
/// What makes `crosspeer` use both, and no STUN server.
pub const TURN: &str = "--no-stun --turn turn:203.0.113.1:3478 --turn-user lab --turn-password correct-horse";
/// What makes it use STUN only.
pub const STUN: &str = "--stun stun:203.0.113.1:3478";

/// The servers' address, and another of the same machine: who compares both learns the kind of NAT.
pub const SERVERS: [&str; 2] = ["203.0.113.1", "203.0.113.2"];
/// The servers' IPv6 address.
pub const SERVER_V6: &str = "2001:db8::1";
/// What a relay says when it can be reached.
const RELAY_READY: &str = "listening on";
/// Sites are `203.0.113.10`, `.11` … as the public side sees them.
const FIRST_SITE: usize = 10;

/// One internet.
#[derive(Debug)]
pub struct Lab {
    name: String,
    sites: usize,
    servers: Vec<Process>,
}

impl Lab {
    /// A public side without anything in it; `None` where this machine cannot have one.
    pub fn new() -> Option<Self> {
        if let Some(reason) = missing() {
            println!("SKIPPED, needs a lab of network namespaces: {reason}");
            return None;
        }
        build();
        static LABS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("xp-{}-{}", std::process::id(), LABS.fetch_add(1, Relaxed));
        let lab = Self {
            name,
            sites: 0,
            servers: Vec::new(),
        };
        let public = lab.add_namespace("public");
        let bridge = "link add br0 type bridge";
        ip(
            &public,
            &[
                bridge,
                "link set br0 up",
                &format!("address add {SERVER_V6}/128 dev br0 nodad"),
                "route add 2001:db8::/64 dev br0",
            ],
        );
        // The sites are elsewhere on the Internet, and not in the servers' own network, which no TURN server relays to.
        for server in SERVERS {
            ip(&public, &[&format!("address add {server}/32 dev br0")]);
        }
        ip(
            &public,
            &[&format!("route add 203.0.113.0/24 dev br0 src {}", SERVERS[0])],
        );
        // Somewhere for packets to private addresses to vanish: coturn ends an allocation that it cannot send for.
        let nowhere = "neighbor add 203.0.113.254 lladdr 02:00:00:00:00:fe dev br0";
        ip(&public, &[nowhere, "route add default via 203.0.113.254"]);
        Some(lab)
    }

    /// Starts a relay on the public side, and gives its URL.
    pub async fn relay(&mut self) -> String {
        self.relay_with("").await
    }

    /// The same with these options, between spaces.
    pub async fn relay_with(&mut self, options: &str) -> String {
        let mut command = vec![CROSSPEER, "relay", "--host", "::"];
        command.extend(options.split_whitespace());
        let relay = Process::spawn_ready(&self.namespace("public"), &command, RELAY_READY).await;
        self.servers.push(relay);
        format!("ws://{}:8700", SERVERS[0])
    }

    /// Ends what [`Lab::relay`] started.
    pub fn end_relay(&mut self) {
        self.servers.retain(|server| !server.is(CROSSPEER));
    }

    /// Starts coturn at [`SERVERS`] and [`SERVER_V6`], port 3478.
    pub async fn turn(&mut self) {
        self.turn_with(&format!("--user={TURN_USER}:{TURN_PASSWORD}")).await;
    }

    /// The same with these options, between spaces, for who may use it.
    pub async fn turn_with(&mut self, users: &str) {
        let files = std::env::temp_dir().join(&self.name);
        let own = |option: &str| format!("--{option}={}.{option}", files.display());
        let listen = SERVERS.map(|server| format!("--listening-ip={server}"));
        let relay = format!("--relay-ip={}", SERVERS[0]);
        let (v6, database, pid) = (format!("--listening-ip={SERVER_V6}"), own("userdb"), own("pidfile"));
        let mut command = vec![
            "turnserver",
            "-n",
            "--realm=lab",
            "--fingerprint",
            "--lt-cred-mech",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
        ];
        command.extend(["--log-file=stdout", "--simple-log", &relay, &v6, &database, &pid]);
        command.extend(users.split_whitespace());
        command.extend(listen.iter().map(String::as_str));
        let turn = Process::spawn_ready(&self.namespace("public"), &command, "Total General servers").await;
        self.servers.push(turn);
    }

    /// A host behind a router of this kind.
    pub fn site(&mut self, nat: Nat) -> Site {
        let number = FIRST_SITE + self.sites;
        self.sites += 1;
        let host = self.add_namespace(&format!("host{number}"));
        let outside = format!("203.0.113.{number}/24");
        match nat {
            Nat::None => {
                self.plug_in(&host, number);
                ip(
                    &host,
                    &[
                        &format!("address add {outside} dev wan"),
                        "route add default via 203.0.113.1",
                    ],
                );
            }
            Nat::Ipv6Only => {
                self.plug_in(&host, number);
                ip(&host, &[&format!("address add 2001:db8::{number}/64 dev wan nodad")]);
            }
            Nat::Loopback => {}
            nat => self.router(&host, number, nat),
        }
        Site { host, relay: None }
    }

    fn router(&self, host: &str, number: usize, nat: Nat) {
        let router = self.add_namespace(&format!("router{number}"));
        self.plug_in(&router, number);
        let lan = format!("link add name wan netns {host} type veth peer name lan");
        let inside = format!("address add 192.168.{number}.1/24 dev lan");
        let outside = format!("address add 203.0.113.{number}/24 dev wan");
        ip(
            &router,
            &[
                &lan,
                &inside,
                &outside,
                "link set lan up",
                "route add default via 203.0.113.1",
            ],
        );
        let address = format!("address add 192.168.{number}.2/24 dev wan");
        ip(
            host,
            &[
                &address,
                "link set wan up",
                &format!("route add default via 192.168.{number}.1"),
            ],
        );
        router::rules(&router, &format!("192.168.{number}.2"), nat);
    }

    /// A cable from the namespace's `wan` to the public side.
    fn plug_in(&self, namespace: &str, number: usize) {
        let cable = format!("link add name site{number} type veth peer name wan netns {namespace}");
        let public = self.namespace("public");
        ip(&public, &[&cable, &format!("link set site{number} master br0 up")]);
        ip(namespace, &["link set wan up"]);
    }

    fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    fn add_namespace(&self, role: &str) -> String {
        let namespace = self.namespace(role);
        run("ip", &["netns", "add", &namespace], "");
        ip(&namespace, &["link set lo up"]);
        namespace
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.servers.clear();
        let Ok(list) = Command::new("ip").args(["netns", "list"]).output() else {
            return;
        };
        for namespace in String::from_utf8_lossy(&list.stdout).split_whitespace() {
            if namespace.starts_with(&format!("{}-", self.name)) {
                let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
            }
        }
        for kind in ["userdb", "pidfile"] {
            let _ = std::fs::remove_file(std::env::temp_dir().join(format!("{}.{kind}", self.name)));
        }
    }
}

/// A host of a [`Lab`].
#[derive(Debug)]
pub struct Site {
    host: String,
    relay: Option<Process>,
}

impl Site {
    /// Runs `crosspeer --json` here, with these arguments between spaces.
    pub fn crosspeer(&self, args: impl AsRef<str>) -> Process {
        let mut command = vec![CROSSPEER, "--json"];
        command.extend(args.as_ref().split_whitespace());
        Process::spawn(&self.host, &command)
    }

    /// Starts a relay here, for those on this host, and gives its URL.
    pub async fn relay(&mut self) -> String {
        let command = [CROSSPEER, "relay", "--host", "127.0.0.1"];
        self.relay = Some(Process::spawn_ready(&self.host, &command, RELAY_READY).await);
        "ws://127.0.0.1:8700".into()
    }

    /// What the network carries from here on, in bytes of an IP packet: at the router where there is one, else at the host.
    /// The public side knows it, as the other end of a link does.
    pub fn set_mtu(&self, mtu: u16) {
        let Some((lab, number)) = self.host.rsplit_once("-host") else {
            return;
        };
        let router = format!("{lab}-router{number}");
        let namespaces = Command::new("ip")
            .args(["netns", "list"])
            .output()
            .expect("`ip` can be started");
        let namespaces = String::from_utf8_lossy(&namespaces.stdout).into_owned();
        let has_router = namespaces.split_whitespace().any(|name| name == router);
        ip(
            if has_router { &router } else { &self.host },
            &[&format!("link set wan mtu {mtu}")],
        );
        let route = format!("route replace 203.0.113.{number}/32 dev br0 mtu {mtu}");
        ip(&format!("{lab}-public"), &[&route]);
    }

    /// Nothing comes through this site's router any more, in or out, until [`Site::mend`].
    pub fn cut(&self) {
        self.nft("table inet cut { chain everything { type filter hook forward priority -300; policy drop; }; }");
    }

    /// No UDP comes through any more, until [`Site::mend`].
    pub fn cut_udp(&self) {
        self.nft(
            "table inet cut { chain everything { type filter hook forward priority -300; meta l4proto udp drop; }; }",
        );
    }

    /// The end of [`Site::cut`].
    pub fn mend(&self) {
        self.nft("delete table inet cut");
    }

    /// The host sends no more than so many Mbit/s from here on.
    pub fn set_rate(&self, mbit: u32) {
        let rate = format!("{mbit}mbit");
        let args = [
            "-n", &self.host, "qdisc", "replace", "dev", "wan", "root", "tbf", "rate", &rate,
        ];
        run("tc", &[&args[..], &["burst", "64kb", "latency", "50ms"]].concat(), "");
    }

    /// This site's router forgets who has sent what to whom, as one that was restarted: a symmetric one gives other ports then.
    pub fn forget(&self) {
        ip(
            &self.router(),
            &[
                "link set wan down",
                "link set wan up",
                "route replace default via 203.0.113.1",
            ],
        );
    }

    fn nft(&self, rules: &str) {
        run(
            "ip",
            &["netns", "exec", &self.router(), "nft", "-f", "-"],
            &format!("{rules}\n"),
        );
    }

    /// The host leaves its network's address for another one of it.
    pub fn move_address(&self) {
        let number = self.host.rsplit_once("-host").map_or("", |(_, number)| number);
        ip(
            &self.host,
            &[
                &format!("address del 192.168.{number}.2/24 dev wan"),
                &format!("address add 192.168.{number}.3/24 dev wan"),
                &format!("route replace default via 192.168.{number}.1"),
            ],
        );
    }

    fn router(&self) -> String {
        self.host.replace("-host", "-router")
    }

    /// Takes the host's own interface down, as when a wireless network is left.
    pub fn take_down(&self) {
        ip(&self.host, &["link set wan down"]);
    }
}

/// What keeps this machine from having a lab.
fn missing() -> Option<String> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() != b"0" {
        return Some("run as root".into());
    }
    for (program, version) in [("ip", "-V"), ("nft", "-v"), ("turnserver", "--version")] {
        let found = Command::new(program)
            .arg(version)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if found.is_err() {
            return Some(format!("`{program}` is not installed; `cargo xtask setup` does it"));
        }
    }
    let probe = format!("xp-{}-probe", std::process::id());
    let made = Command::new("ip").args(["netns", "add", &probe]).output().ok()?;
    let _ = Command::new("ip").args(["netns", "delete", &probe]).output();
    (!made.status.success()).then(|| String::from_utf8_lossy(&made.stderr).into_owned())
}

fn ip(namespace: &str, commands: &[&str]) {
    run("ip", &["-n", namespace, "-batch", "-"], &commands.join("\n"));
}

/// Runs a short command with this input; it must succeed.
fn run(program: &str, args: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input.as_bytes()).expect("it reads its input");
    let ended = child.wait().expect("it ends");
    assert!(ended.success(), "{program} {args:?} failed with this input:\n{input}");
}

/// A certificate for the servers' address, with its key, in a file of this folder.
pub fn certificate(folder: &std::path::Path) -> String {
    let made = rcgen::generate_simple_self_signed(SERVERS.map(String::from).to_vec()).expect("a certificate");
    let path = folder.join("server.pem");
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    std::fs::write(&path, pem).expect("the file can be written");
    path.display().to_string()
}

/// A new empty folder for a test's files.
pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("xp-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).expect("a temporary folder can be made");
    path
}
