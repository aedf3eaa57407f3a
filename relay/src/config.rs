//! What can be set, and the configuration file, which is ProxyStore's `relay.toml`.

mod turn;

use crate::accounts::Rates;
use crosspeer::relay::MAX_FRAME_BYTES;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use turn::TurnConfig;

/// Who may judge tokens: the names of [`AuthConfig::method`].
pub(crate) const METHODS: [&str; 3] = ["tokens", "jwt", "http"];

/// Why a relay could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address could not be bound.
    #[error("cannot listen on {address}: {source} (is another relay running there? try another --port)")]
    Bind {
        /// Host and port.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be received on this system.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

/// Everything that can be set; the keys of ProxyStore's `relay.toml`, and its defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RelayConfig {
    /// The interface to listen on: a name or an address. Default: all.
    pub host: Option<String>,
    /// The TCP port; 0 lets the system choose. Default 8700.
    pub port: u16,
    /// A PEM file with the certificate chain; makes this a `wss://` relay. Default none.
    pub certfile: Option<PathBuf>,
    /// A PEM file with the private key. Default: `certfile` holds it too.
    pub keyfile: Option<PathBuf>,
    /// Who may register. Default: everyone.
    pub auth: AuthConfig,
    /// What is logged, and where.
    pub logging: LoggingConfig,
    /// Bytes (UTF-8) of the largest message taken from a client; one that sends more is closed with 4003. Default, and
    /// at most, 1 MiB, which is what ProxyStore's clients receive; above that the code is 1009.
    pub max_message_bytes: Option<usize>,
    /// The origins (`https://page.example`) whose pages may connect. Default none: any page's visitor is a client. Programs
    /// other than browsers do not say where they are from, and are let in.
    pub origins: Vec<String>,
    /// What the clients of one address may use together. Default: as much as they want.
    pub per_address: Rates,
    /// What the clients with one token (of one `sub`) may use together. Default: as much as they want.
    pub per_token: Rates,
    /// Where `/metrics`, `/healthz` and `/readyz` are served, for the operator only. Default: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Other nodes that act as one relay with this one. Default: it is alone.
    pub cluster: ClusterConfig,
    /// Seconds over which clients are sent away at shutdown, so that they do not all come to other nodes at once. Default 0.
    pub drain_seconds: u64,
    /// STUN and TURN. Default: none.
    pub turn: TurnConfig,
    /// What the file cannot set.
    #[serde(skip)]
    pub limits: Limits,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            host: None,
            port: 8700,
            certfile: None,
            keyfile: None,
            auth: AuthConfig::default(),
            logging: LoggingConfig::default(),
            max_message_bytes: None,
            origins: Vec::new(),
            per_address: Rates::default(),
            per_token: Rates::default(),
            metrics: None,
            cluster: ClusterConfig::default(),
            drain_seconds: 0,
            turn: TurnConfig::default(),
            limits: Limits::default(),
        }
    }
}

/// Who may register.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthConfig {
    /// Who judges the tokens of clients. `tokens`: a file of hashed tokens; `jwt`: the keys of a JWKS file; `http`: a web
    /// service. Default: nobody, everyone may register.
    pub method: Option<String>,
    /// The method's own settings. `tokens`: `file`. `jwt`: `file`, and what tokens must say, `issuer` and `audience`.
    /// `http`: `url`.
    pub kwargs: BTreeMap<String, toml::Value>,
}

/// What joins many nodes to one relay: NATS. To be shown, it has no passwords.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// URLs of the NATS servers, any of which will do: `nats://user:password@host:4222`, `tls://host`. Default none.
    pub servers: Vec<String>,
    /// A file with credentials (`.creds`, JWT and seed). Default none.
    pub credentials: Option<PathBuf>,
    /// A file with the seed of an nkey. Default none.
    pub nkey: Option<PathBuf>,
    /// A PEM file with further roots to trust for TLS, which it makes a must. Default none.
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for ClusterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<&str> = self.servers.iter().filter_map(|url| url.rsplit('@').next()).collect();
        f.debug_struct("ClusterConfig")
            .field("servers", &servers)
            .field("credentials", &self.credentials)
            .field("nkey", &self.nkey)
            .field("ca", &self.ca)
            .finish()
    }
}

/// What is logged, and where. The other names of some keys are those in ProxyStore's documentation.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LoggingConfig {
    /// A directory for `server.log`, which grows; logs go to standard output too. Default none.
    pub log_dir: Option<PathBuf>,
    /// The least severe level that is logged: a name, or one of Python's numbers. Default `INFO`.
    #[serde(alias = "default_log_level")]
    pub default_level: Level,
    /// The same for the WebSocket library. Default `WARNING`.
    #[serde(alias = "websockets_log_level")]
    pub websockets_level: Level,
    /// Seconds between two log lines with the number of registered clients; 0 for none. Default 60.
    #[serde(alias = "current_clients_interval", alias = "connected_client_logging_interval")]
    pub current_client_interval: u64,
    /// With fewer clients than this, the line names them. Default 32.
    #[serde(alias = "connected_client_logging_limit")]
    pub current_client_limit: usize,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self {
            log_dir: None,
            default_level: Level(tracing::Level::INFO),
            websockets_level: Level(tracing::Level::WARN),
            current_client_interval: 60,
            current_client_limit: 32,
        }
    }
}

/// A severity, by Rust's or Python's name (`WARN`, `WARNING`) or Python's number (30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Level(pub tracing::Level);

impl TryFrom<toml::Value> for Level {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(name) => name.parse(),
            toml::Value::Integer(number) => Ok(Self(match number {
                40.. => tracing::Level::ERROR,
                30.. => tracing::Level::WARN,
                20.. => tracing::Level::INFO,
                10.. => tracing::Level::DEBUG,
                _ => tracing::Level::TRACE,
            })),
            other => Err(format!("a log level is a name or a number, not {other}")),
        }
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(Self(match name.to_ascii_lowercase().as_str() {
            "critical" | "fatal" | "error" => tracing::Level::ERROR,
            "warning" | "warn" => tracing::Level::WARN,
            "info" => tracing::Level::INFO,
            "debug" => tracing::Level::DEBUG,
            "trace" | "notset" => tracing::Level::TRACE,
            _ => {
                return Err(format!(
                    "unknown log level {name:?}: use error, warning, info, debug or trace"
                ));
            }
        }))
    }
}

/// Times and amounts that hold for every client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The time between pings. Default 20 s (that of ProxyStore's relay).
    pub ping_interval: Duration,
    /// The time in which a client must be heard after a ping, or it is closed with 1011; one that takes nothing of what waits
    /// for it in this time is closed with 1008. Default 20 s (the same).
    pub ping_timeout: Duration,
    /// The time for a client to take part in closing, and for everyone at shutdown. Default 5 s.
    pub close_timeout: Duration,
    /// Messages that wait for one client to read them; beyond, those who send it more are held back. Default 64.
    pub queue_messages: usize,
    /// Bytes of the same. Default 4 MiB.
    pub queue_bytes: usize,
    /// A client that takes nothing for this long while others are held back for it is closed with 1008. Default 2 s.
    pub stall_timeout: Duration,
    /// The time for TLS, and again for the headers of each request. Default 10 s.
    pub request_timeout: Duration,
    /// The time for a client to register, or it is closed with 1008. Default 30 s.
    pub register_timeout: Duration,
    /// Connections at once from one address (of IPv6, one /64) that have not registered yet; more are turned away, by
    /// HTTP status 429 or at once. Default 256. A proxy in front of the relay counts as one address.
    pub strangers_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            queue_messages: 64,
            queue_bytes: 4 << 20,
            stall_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            register_timeout: Duration::from_secs(30),
            strangers_per_address: 256,
        }
    }
}

impl RelayConfig {
    /// Reads a `relay.toml`.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has a key or a value that is not known, which the error names.
    pub fn from_file(path: &Path) -> Result<Self, RelayError> {
        let text = std::fs::read_to_string(path).map_err(|source| RelayError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::from_text(&text).map_err(|error| RelayError::Config(format!("{}: {error}", path.display())))
    }

    /// Reads the text of a `relay.toml`.
    ///
    /// # Errors
    /// It is not TOML, or has a key or a value that is not known, which the error names.
    pub fn from_text(text: &str) -> Result<Self, RelayError> {
        let failed = |error: toml::de::Error| {
            // Shown with its line, unless that may hold a password.
            let shown = error.to_string();
            if !shown.contains('@') {
                return RelayError::Config(shown);
            }
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            RelayError::Config(format!("line {line} is not what is expected there"))
        };
        toml::from_str(text).map_err(failed)
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn validate(&self) -> Result<(), RelayError> {
        let error = match self {
            Self {
                auth: AuthConfig {
                    method: Some(method), ..
                },
                ..
            } if !METHODS.contains(&method.as_str()) => format!(
                "auth.method {method:?} is not supported: use {}, or leave it out to let everyone register",
                METHODS.join(", ")
            ),
            Self {
                certfile: None,
                keyfile: Some(_),
                ..
            } => "keyfile needs a certfile".into(),
            Self {
                max_message_bytes: Some(0),
                ..
            } => "max_message_bytes must be above 0".into(),
            Self {
                turn: TurnConfig {
                    serve: true,
                    secret_file: None,
                    ..
                },
                cluster,
                ..
            } if !cluster.servers.is_empty() => {
                "the TURN servers of a cluster need one secret: the same turn.secret_file (--turn-secret-file) at each node"
                    .into()
            }
            _ => return self.turn.validate(),
        };
        Err(RelayError::Config(error))
    }

    /// Bytes of the largest message taken.
    pub(crate) fn max_message(&self) -> usize {
        self.max_message_bytes.unwrap_or(MAX_FRAME_BYTES).min(MAX_FRAME_BYTES)
    }

    /// Host and port for people.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host.as_deref().unwrap_or("*"), self.port)
    }

    /// The host, unless it stands for all interfaces.
    pub(crate) fn one_host(&self) -> Option<&str> {
        self.host.as_deref().filter(|host| !matches!(*host, "" | "*"))
    }

    /// What to listen on.
    pub(crate) async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let port = self.port;
        let Some(host) = self.one_host() else {
            // One socket for both protocols where the system has IPv6; the other is for where it has not.
            return Ok(vec![([0u16; 8], port).into(), ([0u8; 4], port).into()]);
        };
        let mut found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.dedup();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RelayConfig, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn errors_and_debug_hold_no_password() {
        for text in [
            "\n[cluster]\nservers = \"nats://me:secret@host\"",
            "\n[cluster]\nservers = [\"nats://me:secret@host\"",
        ] {
            let error = RelayConfig::from_text(text).unwrap_err().to_string();
            assert!(error.contains("line 3") && !error.contains("secret"), "{error}");
        }
        let config = RelayConfig::from_text("[cluster]\nservers = [\"nats://me:secret@host\"]").unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("[\"host\"]") && !shown.contains("me:secret"), "{shown}");
    }

    #[test]
    fn a_file_of_proxystore_is_read() {
        let config = parse(
            r#"
            host = "0.0.0.0"
            port = 8701
            certfile = "/path/to/cert.pem"
            keyfile = "/path/to/privkey.pem"
            max_message_bytes = 4096

            [auth]
            [auth.kwargs]

            [logging]
            log_dir = "/path/to/log/dir"
            default_level = 10
            websockets_level = "ERROR"
            current_client_interval = 5
            current_client_limit = 7
            "#,
        )
        .expect("parses");
        assert_eq!(config.address(), "0.0.0.0:8701");
        assert_eq!(config.max_message(), 4096);
        assert_eq!(config.logging.default_level, Level(tracing::Level::DEBUG));
        assert_eq!(config.logging.websockets_level, Level(tracing::Level::ERROR));
        assert_eq!(config.logging.current_client_interval, 5);
        assert!(config.validate().is_ok());
    }

    #[test]
    fn the_keys_of_proxystores_documentation_are_read() {
        let config = parse(
            r#"
            [logging]
            default_log_level = "INFO"
            websockets_log_level = "WARNING"
            connected_client_logging_interval = 60
            connected_client_logging_limit = 32
            "#,
        );
        assert!(config.is_ok(), "{config:?}");
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("").expect("parses");
        assert_eq!(config.address(), "*:8700");
        assert_eq!(config.max_message(), MAX_FRAME_BYTES);
    }

    #[test]
    fn unknown_keys_and_values_are_named() {
        for (text, name) in [
            ("prot = 1", "prot"),
            ("[logging]\nlevel = 1", "level"),
            ("[auth]\nuser = 1", "user"),
            ("[logging]\ndefault_level = \"loud\"", "loud"),
            ("port = 70000", "port"),
            ("limits = 1", "limits"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn unsupported_authentication_is_refused() {
        let config = parse("[auth]\nmethod = \"globus\"").expect("parses");
        let error = config.validate().expect_err("not supported").to_string();
        assert!(
            error.contains("globus") && error.contains("not supported: use tokens, jwt, http"),
            "{error}"
        );
    }
}
