//! How the command reaches its relay and keeps it: proxies, faults that no waiting mends, and being displaced.

#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::disallowed_methods)] // how soon something is told is the subject

mod common;
use common::{PEER, Running, crosspeer, events, receive, relay, run, stderr};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A proxy that knows CONNECT and one user, and what it was asked.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Ends with the test's process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, log) = (client.unwrap(), log.clone());
                std::thread::spawn(move || serve(client, &log));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://us%20er:secret@127.0.0.1:{}", self.port)
    }
}

fn serve(mut client: TcpStream, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    log.lock().unwrap().push(line.clone());
    let to = line.split(' ').nth(1).unwrap();
    // "us er:secret"
    if !head.contains("Proxy-Authorization: Basic dXMgZXI6c2VjcmV0\r\n") {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        return;
    }
    let Ok(mut server) = TcpStream::connect(to) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
        return;
    };
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .unwrap();
    let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut into);
        let _ = into.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Write);
}

const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Asks for a peer that is not there: through to the relay and back, exit code 4.
fn ping(relay: &str, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let args = ["ping", "--no-stun", "--peer", PEER, "--relay", relay];
    let mut command = crosspeer();
    for name in PROXIES {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied());
    command.args(args).args(more).output().unwrap()
}

#[test]
fn the_relay_is_reached_by_the_proxy_that_is_named() {
    let (_relay, url) = relay();
    let host = url.strip_prefix("ws://").unwrap().trim_end_matches('/');
    let proxy = Proxy::start();
    let via = proxy.url();
    let through = |more: &[&str], environment: &[(&str, &str)]| {
        let before = proxy.asked().len();
        let output = ping(&url, more, environment);
        assert_eq!(output.status.code(), Some(4), "{environment:?}: {}", stderr(&output));
        let asked = proxy.asked()[before..].to_vec();
        assert!(
            asked.iter().all(|line| *line == format!("CONNECT {host} HTTP/1.1")),
            "{asked:?}"
        );
        !asked.is_empty()
    };
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        assert!(through(&[], &[(name, &via)]), "{name}");
    }
    assert!(!through(&[], &[("HTTPS_PROXY", &via)]), "that is for wss://");
    assert!(!through(
        &[],
        &[("HTTP_PROXY", &via), ("NO_PROXY", "example,127.0.0.0/8")]
    ));
    assert!(!through(&[], &[("http_proxy", &via), ("no_proxy", "*")]));
    assert!(through(&["--proxy", &via], &[("NO_PROXY", "*")]));
    assert!(!through(&["--proxy", "none"], &[("ALL_PROXY", &via)]));
}

#[test]
fn what_a_proxy_refuses_is_told_at_once_with_its_name_and_without_its_password() {
    let (_relay, url) = relay();
    let proxy = Proxy::start();
    let wrong = format!("http://us%20er:wrong-secret@127.0.0.1:{}", proxy.port);
    let started = Instant::now();
    for (via, words) in [
        (wrong.as_str(), ["407", "credentials"]),
        (&format!("127.0.0.1:{}", proxy.port), ["407", "user:password"]),
        (&url.replace("ws://", "http://"), ["HTTP", "refuse"]),
    ] {
        let output = ping(&url, &["--proxy", via], &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(text.contains("http://127.0.0.1:") && !text.contains("secret"), "{text}");
    }
    for via in ["socks5://127.0.0.1:1", "ftp://127.0.0.1", "http://"] {
        let output = ping(&url, &["--proxy", via], &[]);
        assert_eq!(output.status.code(), Some(2), "{via}: {}", stderr(&output));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "waited for --timeout");
}

#[test]
fn doctor_looks_through_the_proxy_too() {
    let (_relay, url) = relay();
    let proxy = Proxy::start();
    let stun = "stun:127.0.0.1:1";
    let output = run(&[
        "doctor",
        "--json",
        "--relay",
        &url,
        "--proxy",
        &proxy.url(),
        "--stun",
        stun,
        "--timeout",
        "2",
    ]);
    let relay = &events(&output, "relay")[0];
    assert_eq!(relay["ok"], true, "{relay}");
    assert_eq!(relay["proxy"], format!("http://127.0.0.1:{}", proxy.port));
}

#[test]
fn urls_are_read_as_browsers_read_them() {
    let (_relay, url) = relay();
    let host = url.strip_prefix("ws://").unwrap().trim_end_matches('/');
    for url in [
        format!("ws://{host}?token=T"),
        format!("WS://{host}"),
        format!(" ws://{host}/#fragment"),
        format!("ws://user:pass@{host}/"),
    ] {
        let output = ping(&url, &["--proxy", "none"], &[]);
        assert_eq!(output.status.code(), Some(4), "{url}: {}", stderr(&output));
    }
    for url in [
        "ws://127.0.0.1:99999",
        "ftp://127.0.0.1",
        "127.0.0.1:8700",
        "ws://",
        "ws://us er@x",
    ] {
        let output = ping(url, &[], &[]);
        assert_eq!(output.status.code(), Some(2), "{url}: {}", stderr(&output));
        assert!(stderr(&output).contains("ws://host:port"), "{}", stderr(&output));
    }
}

/// Answers every connection with these bytes. Ends with the test's process.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/x?token=secret", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut request = [0; 4096];
            let _ = client.read(&mut request);
            let _ = client.write_all(answer);
        }
    });
    url
}

#[test]
fn faults_that_no_waiting_mends_are_told_at_once() {
    let started = Instant::now();
    for (answer, words) in [
        (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], "404"),
        (
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "check the token",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://there/\r\nContent-Length: 0\r\n\r\n",
            "https://there/",
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "another port"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "try wss://"),
    ] {
        let output = ping(&answering(answer), &["--timeout", "60"], &[]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(words), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let tls = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").replace("ws://", "wss://");
    let output = ping(&tls, &["--timeout", "60"], &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("does not speak TLS"), "{}", stderr(&output));
    assert!(started.elapsed() < Duration::from_secs(60), "waited for --timeout");
}

fn crosspeer_peer(command: &str, relay: &str, dir: &std::path::Path) -> Running {
    match command {
        "receive" => receive(relay, dir, &["--proxy", "none"]),
        _ => {
            let mut echo = Running::start(&["echo", "--json", "--no-stun", "--relay", relay, "--uuid", PEER]);
            echo.event("ready");
            echo
        }
    }
}

#[test]
fn a_displaced_program_says_so_and_ends_with_7() {
    let (_relay, url) = relay();
    let url = format!("{url}?resume=ours");
    let dir = tempfile::tempdir().unwrap();
    for command in ["receive", "echo"] {
        let mut first = crosspeer_peer(command, &url, dir.path());
        let second = crosspeer_peer("echo", &url, dir.path());
        let error = first.event("error");
        assert_eq!(
            (&error["code"], &error["exit"]),
            (&"displaced".into(), &7.into()),
            "{error}"
        );
        assert_eq!(first.exit_code(), Some(7));
        drop(second);
    }
    assert!(String::from_utf8_lossy(&run(&["receive", "--help"]).stdout).contains("  7    displaced"));
}

#[test]
fn receive_says_when_the_relay_is_lost_and_back() {
    let (first, url) = relay();
    let dir = tempfile::tempdir().unwrap();
    let mut receive = crosspeer_peer("receive", &url, dir.path());
    drop(first);
    assert!(receive.event("relay-lost")["message"].is_string());
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
    let _second = Running::start(&["relay", "--host", "127.0.0.1", "--port", port]);
    receive.event("relay-back");
    let output = ping(&url, &[], &[]);
    assert_eq!(
        output.status.code(),
        Some(5),
        "it is called again, and does not echo: {}",
        stderr(&output)
    );
}

#[cfg(unix)]
#[test]
fn the_soft_limit_of_open_files_is_raised_and_logged() {
    let program = env!("CARGO_BIN_EXE_crosspeer");
    let script = format!("ulimit -S -n 300; exec {program} relay --host 127.0.0.1 --port 0");
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("files at once")));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.unwrap().unwrap().contains("was 300"));
    if let Ok(limits) = limits {
        let limit = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert!(!limit.contains(" 300 "), "{limit}");
    }
}
