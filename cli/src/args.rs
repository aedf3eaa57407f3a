//! The command line.

use crate::known::Called;
use clap::{Args, Parser, Subcommand};
use crosspeer::known::PeerName;
use crosspeer::{IceServer, Proxy};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

const EXIT_CODES: &str = "Exit codes:
  0    done
  1    failed
  2    wrong usage
  3    the relay cannot be reached, or refused
  4    the other peer is not available
  5    timed out
  6    a file was refused, or its checksum was wrong
  7    displaced: another program registered this peer's UUID at the relay
  8    the other peer is not the one of its UUID, or cannot be verified
  130  interrupted";

/// Send and receive files and messages between peers, directly, over WebRTC.
#[derive(Debug, Parser)]
#[command(name = "crosspeer", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// One JSON object per line on stdout, each with a `type`
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log lines on stderr: error, warn, info, debug, trace, or a filter such as crosspeer=debug
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Share a folder by a web page, with everyone who opens it
    #[command(after_help = EXIT_CODES)]
    Share(ShareArgs),
    /// Send every message back as it came; prints this peer's UUID on the first line
    #[command(after_help = EXIT_CODES)]
    Echo(EchoArgs),
    /// Send messages, files and folders to a peer that runs `crosspeer receive` (or any ProxyStore peer)
    #[command(after_help = EXIT_CODES)]
    Send(SendArgs),
    /// Receive files and messages into a folder; prints this peer's UUID on the first line
    #[command(after_help = EXIT_CODES)]
    Receive(ReceiveArgs),
    /// Measure round trips to a peer that runs `crosspeer echo`
    #[command(after_help = EXIT_CODES)]
    Ping(PingArgs),
    /// Show the UUID that an identity file gives; makes the file if there is none
    #[command(after_help = EXIT_CODES)]
    Id(IdArgs),
    /// Find out what stands in the way: addresses, relay, STUN, NAT, TURN
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Run a relay, where peers meet
    Relay(crosspeer_relay::RelayArgs),
}

/// How to reach the relay, and through it a peer.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// The relay, such as ws://127.0.0.1:8700, wss://relay.example or wss://user:password@relay.example?token=…
    #[arg(long, value_name = "URL")]
    pub(crate) relay: String,
    /// This peer's UUID, which nobody can verify; the one of its certificate if not given
    #[arg(long, value_name = "UUID")]
    pub(crate) uuid: Option<Uuid>,
    /// File that keeps this peer's certificate, and with it its UUID; made if it does not exist. A new UUID each time if
    /// not given
    #[arg(long, value_name = "FILE", conflicts_with = "uuid")]
    pub(crate) identity: Option<PathBuf>,
    /// File of the peers that are known by a name; beside the identity file if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) known: Option<PathBuf>,
    /// Connect only to peers that can be verified
    #[arg(long)]
    pub(crate) require_verified: bool,
    /// This peer's name, shown to others; the host's if not given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Data channels of connections this side makes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) channels: u16,
    /// STUN server, such as stun:host:3478; may be repeated; replaces the default, Google's
    #[arg(long, value_name = "URL")]
    pub(crate) stun: Vec<String>,
    /// Use no STUN server, and none of the STUN and TURN servers that the relay gives
    #[arg(long, conflicts_with = "stun")]
    pub(crate) no_stun: bool,
    /// Reach peers through TURN servers only, the relay's or those given by --turn, so that they do not learn this host's
    /// addresses
    #[arg(long)]
    pub(crate) relay_only: bool,
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
    #[command(flatten)]
    pub(crate) tls: RelayTlsArgs,
    /// Seconds to wait for the relay, and then for the peer
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// Whom to call.
#[derive(Debug, Clone, Args)]
pub(crate) struct PeerArgs {
    /// The other peer's UUID, or the name it is known by
    #[arg(long, value_name = "UUID|NAME")]
    pub(crate) peer: Called,
    /// Remember it by this name, for --peer and --from
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name_it: Option<PeerName>,
    /// The peer of that name has another UUID from now on
    #[arg(long, requires = "name_it")]
    pub(crate) changed_id: bool,
}

/// TURN servers.
#[derive(Debug, Clone, Args)]
pub(crate) struct TurnArgs {
    /// TURN server, such as turn:host:3478, turn:host:3478?transport=tcp or turns:host:443; may be repeated. A relay may have
    /// one of its own, which needs no option
    #[arg(long, value_name = "URL", requires = "turn_user", requires = "turn_password")]
    pub(crate) turn: Vec<String>,
    /// The TURN servers' user name
    #[arg(long, value_name = "NAME")]
    pub(crate) turn_user: Option<String>,
    /// The TURN servers' password
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) turn_password: Option<String>,
}

impl TurnArgs {
    pub(crate) fn servers(&self) -> Vec<IceServer> {
        let user = self.turn_user.clone().unwrap_or_default();
        let password = self.turn_password.clone().unwrap_or_default();
        let server = |url: &String| IceServer::new(url).with_credentials(&user, &password);
        self.turn.iter().map(server).collect()
    }
}

/// How the relay is asked and trusted.
#[derive(Debug, Clone, Args)]
pub(crate) struct RelayTlsArgs {
    /// Further root certificate (PEM file) to trust for a wss:// relay; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// Accept any certificate of a wss:// relay
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Further header for the relay, such as "Authorization: Bearer …"; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// Token for a relay that wants one. Other users of this computer see command lines: --token-file or the variable
    /// CROSSPEER_TOKEN hide it
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new(), conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// File that holds the token; read again whenever the relay is called
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// HTTP proxy for the relay, such as http://user:password@proxy:3128, or `none`; if not given, as HTTPS_PROXY,
    /// HTTP_PROXY, ALL_PROXY and NO_PROXY say
    #[arg(long, value_name = "URL", value_parser = proxy)]
    pub(crate) proxy: Option<Proxy>,
}

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Address and port of the page, and of the relay behind it; 0.0.0.0:8700 lets other devices in
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8700")]
    pub(crate) listen: SocketAddr,
    /// Take no files
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Let in only who knows this; it goes into the page's address. Other users of this computer see command lines:
    /// --token-file or the variable CROSSPEER_TOKEN hide it. Beyond loopback one is made up if none is given
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new(), conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// File that holds the token
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Let in whoever reaches the address
    #[arg(long, conflicts_with_all = ["token", "token_file"])]
    pub(crate) no_token: bool,
    /// Share names that begin with a dot too
    #[arg(long)]
    pub(crate) hidden: bool,
    /// This peer's UUID, which nobody can verify; the one of its certificate if not given
    #[arg(long, value_name = "UUID")]
    pub(crate) uuid: Option<Uuid>,
    /// File that keeps this peer's certificate, and with it its UUID; made if it does not exist
    #[arg(long, value_name = "FILE", conflicts_with = "uuid")]
    pub(crate) identity: Option<PathBuf>,
    /// This peer's name, shown on the page; the host's if not given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// STUN server for visitors behind other routers, such as stun:host:3478; may be repeated; none if not given
    #[arg(long, value_name = "URL")]
    pub(crate) stun: Vec<String>,
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) whom: PeerArgs,
    /// Text to send as a message; may be repeated
    #[arg(long)]
    pub(crate) text: Vec<String>,
    /// Name of what comes by `-`
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    pub(crate) stdin_name: String,
    /// Files and folders to send; `-` for this command's own input
    #[arg(value_name = "FILE", required_unless_present = "text")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    /// Folder to store into; made if it does not exist
    #[arg(long, required_unless_present = "stdout")]
    pub(crate) dir: Option<PathBuf>,
    /// Write what comes to the output instead, one after the other; ends after one file or message, or after --count
    #[arg(long, conflicts_with_all = ["dir", "json", "overwrite", "hidden"])]
    pub(crate) stdout: bool,
    /// Take plain messages of up to so many MiB, each held in memory; files by `crosspeer send` may be of any size
    #[arg(long, value_name = "MIB", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_message: u16,
    /// Take names that begin with a dot too
    #[arg(long)]
    pub(crate) hidden: bool,
    /// Take things of this peer only; may be repeated
    #[arg(long, value_name = "UUID|NAME")]
    pub(crate) from: Vec<Called>,
    /// Take things of anybody without asking. Without it somebody at a terminal is asked of each peer, unless --from names
    /// them
    #[arg(long)]
    pub(crate) yes: bool,
    /// Replace existing files, instead of storing beside them as "name (1)"
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// End after this many files and messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after one file or message
    #[arg(long, conflicts_with = "count")]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) whom: PeerArgs,
    /// Round trips
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Bytes of each message
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=1 << 20))]
    pub(crate) size: u32,
    /// Milliseconds between messages
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) interval: u64,
}

#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The file
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,
    /// File of the peers that are known by a name; beside the identity file if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) known: Option<PathBuf>,
    /// Change to a new certificate and UUID, and tell all known peers so by the old one; they run `crosspeer receive`
    #[arg(long, requires = "relay")]
    pub(crate) rotate: bool,
    /// The relay where they are
    #[arg(long, value_name = "URL", requires = "rotate")]
    pub(crate) relay: Option<String>,
    /// Change also if not all of them can be told
    #[arg(long, requires = "rotate")]
    pub(crate) anyway: bool,
    /// STUN server; may be repeated; replaces the default, Google's
    #[arg(long, value_name = "URL")]
    pub(crate) stun: Vec<String>,
    /// Use no STUN server, and none of the STUN and TURN servers that the relay gives
    #[arg(long, conflicts_with = "stun")]
    pub(crate) no_stun: bool,
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
    #[command(flatten)]
    pub(crate) tls: RelayTlsArgs,
    /// Seconds to wait for the relay, and for each peer
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

impl IdArgs {
    /// How its peers are reached, as this identity.
    pub(crate) fn connect(&self) -> ConnectArgs {
        ConnectArgs {
            relay: self.relay.clone().unwrap_or_default(),
            uuid: None,
            identity: Some(self.identity.clone()),
            known: self.known.clone(),
            require_verified: true,
            name: None,
            channels: 1,
            stun: self.stun.clone(),
            no_stun: self.no_stun,
            relay_only: false,
            turn: self.turn.clone(),
            tls: self.tls.clone(),
            timeout: self.timeout,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Relay to check, such as ws://127.0.0.1:8700
    #[arg(long, value_name = "URL")]
    pub(crate) relay: Option<String>,
    /// STUN server to ask; may be repeated; two or more tell the NAT kind. Default: those of ProxyStore's check-nat
    #[arg(long, value_name = "URL")]
    pub(crate) stun: Vec<String>,
    #[command(flatten)]
    pub(crate) turn: TurnArgs,
    #[command(flatten)]
    pub(crate) tls: RelayTlsArgs,
    /// Seconds for each check
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && seconds <= 86400.0 => Ok(duration),
        _ => Err("must be above 0 and at most 86400".into()),
    }
}

fn proxy(text: &str) -> Result<Proxy, std::convert::Infallible> {
    Ok(match text {
        "" | "none" => Proxy::None,
        url => Proxy::Url(url.to_owned()),
    })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_shared_folder_is_for_this_computer_only_unless_told() {
        let listen = |args: &[&str]| match Cli::try_parse_from(["crosspeer", "share"].iter().chain(args)) {
            Ok(Cli {
                command: Command::Share(share),
                ..
            }) => share.listen,
            _ => unreachable!(),
        };
        assert!(listen(&[]).ip().is_loopback());
        assert!(!listen(&["--listen", "0.0.0.0:8700"]).ip().is_loopback());
    }
}
