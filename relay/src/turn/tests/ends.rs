//! When what clients have ends. The clock stands still while anything can be done.

use super::*;

/// A client by a stream, and the task that serves it.
fn stream(server: &Arc<Server>) -> (Client, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = Arc::clone(server);
    let ends = ["192.0.2.1:1000", "127.0.0.1:8700"].map(|end| end.parse().unwrap());
    let served = tokio::spawn(async move { super::stream::serve(&server, theirs, ends, ()).await });
    (Client::of(Wire::Memory(ours), "a"), served)
}

fn is_free(address: SocketAddr) -> bool {
    std::net::UdpSocket::bind(address).is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_relayed_address_stays_for_its_time_whatever_it_says() {
    let (mut client, served) = stream(&server(|_| {}));
    for said in 0.. {
        assert!(said < 10, "it stays");
        tokio::time::sleep(Duration::from_secs(4)).await;
        let Wire::Memory(stream) = &mut client.wire else { return };
        if stream.write_all(&binding()).await.is_err() || stream.read_exact(&mut [0; 4]).await.is_err() {
            break;
        }
        let mut rest = [0; 36]; // of the answer: a header, an address, a fingerprint
        stream.read_exact(&mut rest).await.unwrap();
    }
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_more_goes_with_its_relayed_address() {
    let (mut client, served) = stream(&server(|_| {}));
    let address = client.allocated().await;
    assert!(!is_free(address));
    served.await.unwrap(); // though its connection is open
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_free_at_once() {
    let server = server(|config| config.allocations_per_user = 1);
    let (mut client, _served) = stream(&server);
    let address = client.allocated().await;
    assert_eq!(
        code(&client.ask(METHOD_REFRESH, &[(ATTR_LIFETIME, &[0; 4])], &[]).await),
        0
    );
    // No time passes meanwhile.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(is_free(address));
    let (mut again, _served) = stream(&server);
    again.allocated().await;
}

/// A relay that has ended holds no port, neither its own nor those of clients that are still there.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_when_the_relay_has_ended() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut config = RelayConfig {
        host: Some("127.0.0.1".into()),
        port: 0,
        ..RelayConfig::default()
    };
    config.turn.serve = true;
    let file = std::env::temp_dir().join(format!("crosspeer-ends-{}", std::process::id()));
    std::fs::write(&file, SECRET).unwrap();
    config.turn.secret_file = Some(file.clone());
    let relay = Relay::bind(config).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let server = relay.local_addr();
    let serving = tokio::spawn(relay.serve(async move {
        let _ = stopped.await;
    }));
    let (mut udp, mut tcp) = (Client::udp(server, "a").await, Client::tcp(server, "b").await);
    let held = [server, udp.allocated().await, tcp.allocated().await];
    assert!(held.iter().all(|address| !is_free(*address)));
    stop.send(()).unwrap();
    timeout(HANG, serving).await.unwrap().unwrap();
    assert!(held.iter().all(|address| is_free(*address)));
    let Wire::Tcp(stream) = &mut tcp.wire else {
        unreachable!()
    };
    let gone = timeout(HANG, stream.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(gone, Ok(0) | Err(_)));
}
