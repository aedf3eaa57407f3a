//! The program: arguments, signals, and a line about its clients now and then.

use crate::config::{Level, RelayConfig, RelayError};
use crate::files::raise_file_limit;
use crate::hub::Hub;
use crate::logging;
use crate::server::Relay;
use std::path::PathBuf;
use std::time::Duration;
use tracing::info;

/// What the program is told. Each overrides the configuration file's key of that name.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct RelayArgs {
    /// Configuration file: ProxyStore's relay.toml.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Interface to listen on, a name or an address; 0.0.0.0 or :: lets others in [default: as the configuration file says,
    /// this computer only without one].
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
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Vec<String>,
    /// Certificate chain (PEM); makes this a wss:// relay.
    #[arg(long, value_name = "FILE")]
    pub certfile: Option<PathBuf>,
    /// Private key (PEM) [default: in the certificate's file].
    #[arg(long, value_name = "FILE")]
    pub keyfile: Option<PathBuf>,
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

/// Runs a relay until SIGTERM or SIGINT, then closes its clients and returns.
///
/// # Errors
/// As [`Relay::bind`]; also when the configuration file or the log's directory cannot be used.
pub async fn run(args: RelayArgs) -> Result<(), RelayError> {
    let json = args.json_logs;
    let config = args.into_config()?;
    logging::start(&config.logging, json)?;
    raise_file_limit();
    let (interval, limit) = (
        config.logging.current_client_interval,
        config.logging.current_client_limit,
    );
    let stop = stop_signal().map_err(RelayError::Signals)?;
    let relay = Relay::bind(config).await?;
    let hub = relay.hub().clone();
    tokio::select! {
        () = relay.serve(stop) => {}
        () = report(&hub, interval, limit) => {}
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
        let here = self.config.is_none().then(|| "localhost".to_owned());
        config.host = self.host.or(config.host).or(here);
        if !self.origin.is_empty() {
            config.origins = self.origin;
        }
        config.port = self.port.unwrap_or(config.port);
        config.max_message_bytes = self.max_message_bytes.or(config.max_message_bytes);
        config.certfile = self.certfile.or(config.certfile);
        config.keyfile = self.keyfile.or(config.keyfile);
        config.logging.log_dir = self.log_dir.or(config.logging.log_dir);
        config.logging.default_level = self.log_level.unwrap_or(config.logging.default_level);
        config.validate()?;
        Ok(config)
    }
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
