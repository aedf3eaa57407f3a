//! The program: arguments, signals, and a line about its clients now and then.

use crate::accounts::Rates;
use crate::config::{AuthConfig, Level, RelayConfig, RelayError};
use crate::files::raise_file_limit;
use crate::hub::Hub;
use crate::logging;
use crate::server::{Relay, Reload};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{error, info};

/// What the program is told. Each overrides the configuration file's key of that name.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct RelayArgs {
    /// Configuration file: ProxyStore's relay.toml.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Interface to listen on, a name or an address; 0.0.0.0 or :: lets others in [default: as the configuration file says,
    /// all interfaces if it says nothing, as ProxyStore's relay; this computer only without a file].
    #[arg(long, value_name = "ADDR")]
    pub host: Option<String>,
    /// Port to listen on; 0 lets the system choose [default: 8700].
    #[arg(long)]
    pub port: Option<u16>,
    /// Bytes of the largest message taken from a client [default, and at most: 1048576].
    #[arg(long, value_name = "BYTES")]
    pub max_message_bytes: Option<usize>,
    /// Take only pages of this origin, such as `https://page.example`; may be repeated [default: all]. Programs other than
    /// browsers have none and are taken.
    #[arg(long, value_name = "ORIGIN", alias = "allow-origin")]
    pub origin: Vec<String>,
    /// Take only clients with a token of this file, which holds their hashes [default: everyone].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwks", "auth_url"])]
    pub tokens: Option<PathBuf>,
    /// Take only clients with a token (JWT) that a key of this JWKS file has signed.
    #[arg(long, value_name = "FILE", conflicts_with = "auth_url")]
    pub jwks: Option<PathBuf>,
    /// Who must have issued a JWT: its `iss` [default: anyone who has a key].
    #[arg(long, value_name = "TEXT", requires = "jwks")]
    pub jwt_issuer: Option<String>,
    /// For whom a JWT must be: its `aud` [default: not looked at].
    #[arg(long, value_name = "TEXT", requires = "jwks")]
    pub jwt_audience: Option<String>,
    /// Take only clients whose token this web service accepts.
    #[arg(long, value_name = "URL")]
    pub auth_url: Option<String>,
    /// What the clients of one address may use together, such as `connections=100,registrations=10,messages=50,bytes=500000`
    /// (all but connections: for each second) [default: no limits].
    #[arg(long, value_name = "LIMITS")]
    pub per_address: Option<Rates>,
    /// The same for the clients with one token.
    #[arg(long, value_name = "LIMITS")]
    pub per_token: Option<Rates>,
    /// Serve /metrics (Prometheus), /healthz and /readyz here, such as 127.0.0.1:9700 [default: nowhere].
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Act as one relay with all others that name the same NATS, such as nats://user:password@host:4222 or tls://host; may be
    /// repeated for further servers of it [default: alone].
    #[arg(long, value_name = "URL")]
    pub cluster: Vec<String>,
    /// Credentials for NATS (.creds).
    #[arg(long, value_name = "FILE")]
    pub cluster_creds: Option<PathBuf>,
    /// File with the seed of an nkey for NATS.
    #[arg(long, value_name = "FILE")]
    pub cluster_nkey: Option<PathBuf>,
    /// Further root certificate (PEM) to trust for NATS over TLS, which it makes a must.
    #[arg(long, value_name = "FILE")]
    pub cluster_ca: Option<PathBuf>,
    /// Seconds over which clients are sent away at the end, for rolling restarts [default: 0, at once].
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<u64>,
    /// Certificate chain (PEM); makes this a wss:// relay.
    #[arg(long, value_name = "FILE")]
    pub certfile: Option<PathBuf>,
    /// Private key (PEM) [default: in the certificate's file].
    #[arg(long, value_name = "FILE")]
    pub keyfile: Option<PathBuf>,
    /// Serve STUN and TURN too, at the same port: UDP, TCP, and TLS with a certificate. Clients get credentials for it by
    /// themselves.
    #[arg(long)]
    pub turn: bool,
    // The others say only how, and need this, or `serve = true` in the file.
    /// This machine's public address, where it is behind a NAT that forwards the ports; once for IPv4, once for IPv6.
    #[arg(long, value_name = "IP")]
    pub turn_address: Vec<IpAddr>,
    /// UDP ports of relayed addresses [default: 49152-65535].
    #[arg(long, value_name = "FROM-TO")]
    pub turn_ports: Option<String>,
    /// File with the secret that TURN credentials are made of, as coturn's static-auth-secret [default: a new one].
    #[arg(long, value_name = "FILE")]
    pub turn_secret_file: Option<PathBuf>,
    /// URL that clients are given, such as `turn:turn.example:3478?transport=udp`, of another TURN server with the same
    /// secret, or of this one by another name; may be repeated [default: this relay's].
    #[arg(long, value_name = "URL")]
    pub turn_url: Vec<String>,
    /// Network, such as 10.0.0.0/8, that TURN may reach though it is private or this machine's; may be repeated.
    #[arg(long, value_name = "NETWORK")]
    pub turn_allow: Vec<ipnet::IpNet>,
    /// Relayed addresses that the clients with one subject's tokens, or else those of one address, may have at once; a
    /// connection keeps two [default: 256].
    #[arg(long, value_name = "COUNT")]
    pub turn_allocations: Option<usize>,
    /// Relayed addresses that all clients together may have at once [default: as many as there are ports, but no more than
    /// half of the files that may be open].
    #[arg(long, value_name = "COUNT")]
    pub turn_total: Option<usize>,
    /// Bytes in a second that TURN passes for those who share relayed addresses [default: no limit].
    #[arg(long, value_name = "BYTES")]
    pub turn_bandwidth: Option<u64>,
    /// Directory for server.log, beside standard output.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Least severe level logged: error, warning, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<Level>,
    /// Log one JSON object a line.
    #[arg(long)]
    pub json_logs: bool,
}

/// Runs a relay until SIGTERM or SIGINT, then closes its clients and returns. On SIGHUP it reads its certificate and its
/// tokens again.
///
/// # Errors
/// As [`Relay::bind`]; also when the configuration file or the log's directory cannot be used.
pub async fn run(args: RelayArgs) -> Result<(), RelayError> {
    let json = args.json_logs;
    let config = args.clone().into_config()?;
    logging::start(&config.logging, json)?;
    raise_file_limit();
    let (interval, limit) = (
        config.logging.current_client_interval,
        config.logging.current_client_limit,
    );
    let stop = stop_signal().map_err(RelayError::Signals)?;
    let hangups = hangups().map_err(RelayError::Signals)?;
    let relay = Relay::bind(config).await?;
    let hub = relay.hub().clone();
    let reload = relay.reloader();
    tokio::select! {
        () = relay.serve(stop) => {}
        () = report(&hub, interval, limit) => {}
        () = hear(hangups, &reload, &args) => {}
    }
    info!("stopped");
    Ok(())
}

impl RelayArgs {
    fn into_config(self) -> Result<RelayConfig, RelayError> {
        let mut config = match &self.config {
            Some(path) => RelayConfig::from_file(path)?,
            None => RelayConfig::default(),
        };
        let only_served = self.only_served();
        if let Some(auth) = self.auth() {
            config.auth = auth;
        }
        let here = self.config.is_none().then(|| "localhost".to_owned());
        config.host = self.host.or(config.host).or(here);
        if !self.origin.is_empty() {
            config.origins = self.origin;
        }
        config.per_address = self.per_address.unwrap_or(config.per_address);
        config.per_token = self.per_token.unwrap_or(config.per_token);
        config.metrics = self.metrics.or(config.metrics);
        let cluster = &mut config.cluster;
        if !self.cluster.is_empty() {
            cluster.servers = self.cluster;
        }
        cluster.credentials = self.cluster_creds.or(cluster.credentials.take());
        cluster.nkey = self.cluster_nkey.or(cluster.nkey.take());
        cluster.ca = self.cluster_ca.or(cluster.ca.take());
        config.drain_seconds = self.drain.unwrap_or(config.drain_seconds);
        config.port = self.port.unwrap_or(config.port);
        config.max_message_bytes = self.max_message_bytes.or(config.max_message_bytes);
        config.certfile = self.certfile.or(config.certfile);
        config.keyfile = self.keyfile.or(config.keyfile);
        let turn = &mut config.turn;
        turn.serve |= self.turn;
        if let Some(option) = only_served.filter(|_| !turn.serve) {
            let text = format!("{option} needs --turn, or serve = true in the configuration file's table [turn]");
            return Err(RelayError::Config(text));
        }
        if !self.turn_address.is_empty() {
            turn.addresses = self.turn_address;
        }
        if !self.turn_url.is_empty() {
            turn.urls = self.turn_url;
        }
        if !self.turn_allow.is_empty() {
            turn.allow = self.turn_allow;
        }
        turn.ports = self.turn_ports.unwrap_or_else(|| turn.ports.clone());
        turn.secret_file = self.turn_secret_file.or_else(|| turn.secret_file.take());
        turn.allocations_per_user = self.turn_allocations.unwrap_or(turn.allocations_per_user);
        turn.allocations = self.turn_total.or(turn.allocations);
        turn.bytes_per_second = self.turn_bandwidth.or(turn.bytes_per_second);
        config.logging.log_dir = self.log_dir.or(config.logging.log_dir);
        config.logging.default_level = self.log_level.unwrap_or(config.logging.default_level);
        config.validate()?;
        Ok(config)
    }

    /// An option that is given and means something only where the relay is a TURN server.
    fn only_served(&self) -> Option<&'static str> {
        let given = [
            ("--turn-address", !self.turn_address.is_empty()),
            ("--turn-ports", self.turn_ports.is_some()),
            ("--turn-allow", !self.turn_allow.is_empty()),
            ("--turn-allocations", self.turn_allocations.is_some()),
            ("--turn-total", self.turn_total.is_some()),
            ("--turn-bandwidth", self.turn_bandwidth.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// Who judges tokens, if the command line says it.
    fn auth(&self) -> Option<AuthConfig> {
        let file = |path: &Path| path.to_string_lossy().into_owned();
        let (method, settings) = match (&self.tokens, &self.jwks, &self.auth_url) {
            (Some(path), ..) => ("tokens", vec![("file", Some(file(path)))]),
            (_, Some(path), _) => (
                "jwt",
                vec![
                    ("file", Some(file(path))),
                    ("issuer", self.jwt_issuer.clone()),
                    ("audience", self.jwt_audience.clone()),
                ],
            ),
            (.., Some(url)) => ("http", vec![("url", Some(url.clone()))]),
            _ => return None,
        };
        let given = settings
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), toml::Value::String(value?))));
        Some(AuthConfig {
            method: Some(method.to_owned()),
            kwargs: given.collect(),
        })
    }
}

/// Reads files again whenever the process is told to, for ever.
async fn hear(mut hangups: Hangups, reload: &Reload, args: &RelayArgs) {
    while hangups.recv().await.is_some() {
        let read = args.clone().into_config().and_then(|config| reload.reload(&config));
        match read {
            Ok(()) => info!("certificate and tokens were read again"),
            Err(failure) => error!("nothing was changed: {failure}"),
        }
    }
    std::future::pending().await
}

#[cfg(unix)]
type Hangups = tokio::signal::unix::Signal;

/// SIGHUP. Registered before anything is served: until then it would end the process.
#[cfg(unix)]
fn hangups() -> std::io::Result<Hangups> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::hangup())
}

/// There is no such signal.
#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    async fn recv(&mut self) -> Option<()> {
        None
    }
}

#[cfg(not(unix))]
fn hangups() -> std::io::Result<Hangups> {
    Ok(Hangups)
}

/// Says who is there, for ever.
async fn report(hub: &Hub, interval: u64, limit: usize) {
    if interval == 0 {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        let clients = hub.clients();
        let count = clients.len();
        if (1..limit).contains(&count) {
            let names: Vec<String> = clients
                .iter()
                .map(|(name, uuid)| format!("{name:?} ({uuid})"))
                .collect();
            info!(clients = count, "connected clients: {}", names.join(", "));
        } else {
            info!(clients = count, "connected clients");
        }
    }
}

/// Ready when the process is asked to end. Registered before anything is served, so that no signal is missed.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ready when the process is asked to end.
#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RelayArgs,
    }

    fn config(words: &[&str]) -> Result<RelayConfig, RelayError> {
        let words = std::iter::once("relay").chain(words.iter().copied());
        Cli::try_parse_from(words).unwrap().args.into_config()
    }

    #[test]
    fn how_turn_is_served_may_be_said_wherever_it_is_served() {
        let file = std::env::temp_dir().join(format!("crosspeer-args-{}.toml", std::process::id()));
        std::fs::write(&file, "[turn]\nserve = true\n").unwrap();
        let file_arg = file.to_str().unwrap();
        for option in [
            ["--turn-ports", "50000-50100"],
            ["--turn-address", "192.0.2.1"],
            ["--turn-allow", "10.0.0.0/8"],
            ["--turn-allocations", "7"],
            ["--turn-total", "7"],
            ["--turn-bandwidth", "7"],
        ] {
            let [name, value] = option;
            assert!(config(&["--config", file_arg, name, value]).unwrap().turn.serve);
            assert!(config(&["--turn", name, value]).unwrap().turn.serve);
            let error = config(&option).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("serve = true"), "{error}");
        }
        std::fs::remove_file(file).unwrap();
    }
}
