//! What needs a TURN server: coturn, on this host. Without it these tests say so and pass.

use super::*;
use crosspeer::IceServer;
use std::net::UdpSocket;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

struct Turn {
    port: u16,
    _process: Child,
}

impl Turn {
    async fn start() -> Option<Self> {
        // Free a moment ago; coturn cannot choose one itself.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = format!(
            "-n --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 --listening-port={port} --allow-loopback-peers --realm=test \
             --lt-cred-mech --user=me:secret --no-cli --no-tls --no-dtls --log-file=stdout --pidfile= --userdb="
        );
        let spawned = Command::new("turnserver")
            .args(options.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut process) = spawned else {
            println!("skipped: `turnserver` is not installed");
            return None;
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Total General servers") {
                    return;
                }
            }
            panic!("coturn has ended");
        };
        timeout(HANG, ready).await.expect("coturn is ready");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Self {
            port,
            _process: process,
        })
    }

    fn config(&self, transport: &str) -> Config {
        let mut server = IceServer::new(format!("turn:127.0.0.1:{}?transport={transport}", self.port));
        (server.username, server.credential) = ("me".into(), "secret".into());
        let mut config = config();
        config.ice_servers.push(server);
        config
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_heard_through_a_turn_server() {
    let Some(turn) = Turn::start().await else { return };
    // By TCP what goes to the server goes to an address that stands for it.
    for (transport, port, offerer_closes) in [
        ("udp", turn.port, true),
        ("udp", turn.port, false),
        ("tcp", 9, true),
        ("tcp", 9, false),
    ] {
        let config = turn.config(transport);
        let (mut a, mut b) = (Side::new(&config), Side::new(&config));
        for side in [&a, &b] {
            side.rtc.gate.only_to.store(port, Release);
        }
        a.offers_to(&mut b, 2, true, true).await;
        a.opened(2).await;
        b.opened(2).await;
        let (closing, mut hearing) = if offerer_closes { (a, b) } else { (b, a) };
        drop(closing);
        hearing.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_relay_tells_the_peer_no_address_of_this_host() {
    let Some(turn) = Turn::start().await else { return };
    let mut config = turn.config("udp");
    config.ice_transport_policy = crosspeer::IceTransportPolicy::Relay;
    let (mut a, mut b) = (Side::new(&config), Side::new(&turn.config("tcp")));
    let to = Receiver {
        send_buffer: SEND_BUFFER,
        prompt: true,
        quic: false,
    };
    a.rtc.execute(RtcCommand::Offer {
        channels: 1,
        ordered: true,
    });
    let offer = a.description(SdpType::Offer).await;
    let candidates: Vec<_> = crosspeer::description::candidates(&offer).collect();
    assert!(!candidates.is_empty(), "{offer}");
    for candidate in candidates {
        assert!(candidate.contains(" typ relay raddr 0.0.0.0 rport 0"), "{candidate}");
    }
    b.rtc.execute(RtcCommand::Answer { offer, to });
    let answer = b.description(SdpType::Answer).await;
    a.rtc.execute(RtcCommand::Complete { answer, to });
    a.opened(1).await;
    b.opened(1).await;
}

/// Through a TURN server there is no QUIC; nor is what the server sends taken for it, though its channels look like that.
#[tokio::test(flavor = "multi_thread")]
async fn who_wants_quic_is_reached_through_a_turn_server_by_data_channels() {
    let Some(turn) = Turn::start().await else { return };
    for (transport, port) in [("udp", turn.port), ("tcp", 9)] {
        let mut config = turn.config(transport);
        config.quic = true;
        let (mut a, mut b) = (Side::new(&config), Side::new(&config));
        for side in [&a, &b] {
            side.rtc.gate.only_to.store(port, Release);
        }
        let to = Receiver {
            send_buffer: SEND_BUFFER,
            prompt: true,
            quic: true,
        };
        let (channels, ordered) = (1, true);
        a.rtc.execute(RtcCommand::Offer { channels, ordered });
        let offer = a.description(SdpType::Offer).await;
        b.rtc.execute(RtcCommand::Answer { offer, to });
        let answer = b.description(SdpType::Answer).await;
        a.rtc.execute(RtcCommand::Complete { answer, to });
        a.opened(1).await;
        b.opened(1).await;
        for number in 0..20 {
            a.write(0, &pattern(1000, number));
            assert_eq!(b.frame().await.1, pattern(1000, number));
            b.write(0, &pattern(1000, number));
            assert_eq!(a.frame().await.1, pattern(1000, number));
        }
    }
}
