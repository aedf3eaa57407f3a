//! What surrounds the nodes of a cluster: NATS, a load balancer, links that can be cut.

use crosspeer_relay::{Relay, RelayConfig};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The program, where it is installed.
pub fn nats_server() -> Option<PathBuf> {
    let known = [
        "/usr/sbin/nats-server",
        "/usr/bin/nats-server",
        "/usr/local/bin/nats-server",
    ];
    known.map(PathBuf::from).into_iter().find(|path| path.exists())
}

pub fn free_port() -> u16 {
    let free = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    free.local_addr().expect("an address").port()
}

pub fn local() -> RelayConfig {
    let mut config = RelayConfig::default();
    config.host = Some("127.0.0.1".into());
    config.port = 0;
    config
}

/// A `nats-server`, until it is dropped.
pub struct Nats {
    pub url: String,
    pub port: u16,
    child: Child,
}

impl Nats {
    pub async fn start() -> Self {
        Self::at(free_port()).await
    }

    pub async fn at(port: u16) -> Self {
        Self::with(port, &[]).await
    }

    pub async fn with(port: u16, more: &[&str]) -> Self {
        let program = nats_server().expect("nats-server is needed (a Debian package; `cargo xtask test` installs it)");
        let child = Command::new(program)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::task::yield_now().await;
        }
        let url = format!("nats://127.0.0.1:{port}");
        Self { url, port, child }
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.expect("ends");
    }
}

/// Nodes that know each other, each with its own way to NATS.
pub async fn bind(config: &RelayConfig, urls: &[String]) -> Vec<Relay> {
    let mut relays = Vec::new();
    for url in urls {
        let mut config = config.clone();
        config.cluster.servers = vec![url.clone()];
        relays.push(Relay::bind(config).await.expect("binds"));
    }
    acquainted(&relays).await;
    relays
}

/// Waits until all know all.
pub async fn acquainted(relays: &[Relay]) {
    for relay in relays {
        while relay.hub().cluster_state() != (relays.len(), true) {
            tokio::task::yield_now().await;
        }
    }
}

/// A load balancer that knows nothing but TCP: each connection goes to the next node that can be reached.
pub struct Balancer {
    pub address: SocketAddr,
    pub nodes: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    pub async fn start(nodes: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let nodes = Arc::new(Mutex::new(nodes));
        let (known, turn) = (nodes.clone(), AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let nodes = known.lock().expect("not poisoned").clone();
                let first = turn.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    for n in 0..nodes.len() {
                        if let Ok(mut node) = TcpStream::connect(nodes[(first + n) % nodes.len()]).await {
                            let _ = copy_bidirectional(&mut client, &mut node).await;
                            return;
                        }
                    }
                });
            }
        });
        Self { address, nodes, task }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A link to a server that can be cut and mended.
pub struct Link {
    pub url: String,
    up: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Link {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
        let url = format!("nats://{}", listener.local_addr().expect("an address"));
        let (up, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut state = state.clone();
                if !*state.borrow() {
                    continue; // closes it
                }
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = state.wait_for(|up| !up) => {}
                    }
                });
            }
        });
        Self { url, up, task }
    }

    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    pub fn mend(&self) {
        self.up.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A node as a process of its own, which can be killed.
pub struct Process {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    child: Child,
}

impl Process {
    pub async fn start(program: &Path, nats: &str, more: &[&str]) -> Self {
        let free = || {
            let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            listener.local_addr().expect("an address")
        };
        let (address, metrics) = (free(), free());
        let child = Command::new(program)
            .args(["--port", &address.port().to_string(), "--host", "127.0.0.1"])
            .args([
                "--metrics",
                &metrics.to_string(),
                "--cluster",
                nats,
                "--log-level",
                "warning",
            ])
            .args(more)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        Self {
            address,
            metrics,
            child,
        }
    }

    /// At once and without a word.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("ends");
    }

    /// As it is asked to end.
    pub async fn terminate(&mut self) {
        let pid = self.child.id().expect("runs").to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.expect("kill").success());
        assert!(self.child.wait().await.expect("ends").success());
    }
}
