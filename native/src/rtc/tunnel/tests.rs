use super::*;

fn tunnels(urls: &[&str], socket: &str) -> Arc<Tunnels> {
    let servers = urls.iter().map(|url| IceServer::new(*url));
    let config = Config::default().with_ice_servers(servers);
    Tunnels::new(&config, &[socket.parse().unwrap()])
}

#[test]
fn a_server_is_an_address_of_the_sockets_family_that_no_packet_goes_to() {
    let urls = [
        "turn:turn.example:3478?transport=udp",
        "turn:turn.example:3478?transport=tcp",
        "turns:[2001:db8::1]",
    ];
    for (socket, first, second) in [
        ("192.0.2.1:1", "240.0.0.1:9", "240.0.0.2:9"),
        ("[2001:db8::2]:1", "[100::1]:9", "[100::2]:9"),
    ] {
        let tunnels = tunnels(&urls, socket);
        assert_eq!(tunnels.stand_in(urls[0]), None);
        let name = |url| {
            let url: String = tunnels.stand_in(url).unwrap();
            url["turn:".len()..url.len() - "?transport=udp".len()].to_owned()
        };
        let addresses = [name(urls[1]), name(urls[2])].map(|name| tunnels.resolve(&name).unwrap());
        assert_eq!(
            addresses,
            [first, second].map(|text| text.parse::<SocketAddr>().unwrap())
        );
        assert_eq!(addresses.map(number), [Some(0), Some(1)]);
        for other in ["turn.example:3478", "2.turn.invalid:9", "x.turn.invalid:9", ""] {
            assert_eq!(tunnels.resolve(other), None, "{other}");
        }
    }
    let targets: Vec<_> = urls
        .iter()
        .filter_map(|url| server(url))
        .map(|server| server.target)
        .collect();
    assert_eq!((targets[0].tls, targets[0].port), (false, 3478));
    assert_eq!(
        (targets[1].tls, targets[1].port, &*targets[1].host),
        (true, 5349, "2001:db8::1")
    );
    for real in ["240.0.0.0:9", "240.0.0.1:10", "1.1.1.1:9", "[100::]:9", "[100:1::1]:9"] {
        assert_eq!(number(real.parse().unwrap()), None, "{real}");
    }
}

#[test]
fn who_does_not_answer_by_udp_is_named() {
    let url = "turn:turn.example:3478?transport=udp";
    let tunnels = tunnels(&[url], "192.0.2.1:1");
    let from: SocketAddr = "192.0.2.9:3478".parse().unwrap();
    tunnels.found("turn.example:3478", &Ok(vec![from]));
    assert!(
        tunnels.failures()[0].1.contains("no answer"),
        "{:?}",
        tunnels.failures()
    );
    tunnels.see("192.0.2.8:3478".parse().unwrap(), &[0x01, 0x03]);
    assert_eq!(tunnels.failures().len(), 1, "another one's");
    tunnels.see(from, &[0x01, 0x03]);
    assert_eq!(tunnels.failures(), []);
    let unknown = Err(io::Error::other("no such host"));
    let tunnels = self::tunnels(&[url], "192.0.2.1:1");
    tunnels.found("turn.example:3478", &unknown);
    assert!(
        tunnels.failures()[0].1.contains("no such host"),
        "{:?}",
        tunnels.failures()
    );
}

#[test]
fn only_requests_are_known_again() {
    let mut request = vec![0; 20];
    (request[1], request[8]) = (3, 7);
    assert_eq!(transaction(&request).map(|id| id[0]), Some(7));
    for (at, byte) in [(0, 0x01), (1, 0x16), (0, 0x40)] {
        let mut other = request.clone();
        other[at] |= byte;
        assert_eq!(transaction(&other), None, "{other:?}");
    }
    assert_eq!(transaction(&request[..19]), None);
}
