//! `doctor` against a relay and small STUN servers of our own.

#![allow(clippy::unwrap_used)]

mod common;
use common::{events, relay, run};
use rtc_stun::message::{BINDING_SUCCESS, Message};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::{SocketAddr, UdpSocket};

/// Answers every binding request with `mapped`, or with the truth. Ends with the test's process.
fn stun_server(ip: &str, mapped: Option<&str>) -> String {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let url = format!("stun:{}", socket.local_addr().unwrap());
    let mapped: Option<SocketAddr> = mapped.map(|address| address.parse().unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let mut request = Message::new();
            request.unmarshal_binary(&buffer[..len]).unwrap();
            let seen = mapped.unwrap_or(from);
            let (ip, port) = (seen.ip(), seen.port());
            let mut answer = Message::new();
            answer
                .build(&[
                    Box::new(request.transaction_id),
                    Box::new(BINDING_SUCCESS),
                    Box::new(XorMappedAddress { ip, port }),
                ])
                .unwrap();
            socket.send_to(&answer.raw, from).unwrap();
        }
    });
    url
}

fn nat_kind(first: Option<&str>, second: Option<&str>) -> (serde_json::Value, Option<i32>) {
    let (first, second) = (stun_server("127.0.0.1", first), stun_server("127.0.0.2", second));
    let output = run(&["doctor", "--json", "--stun", &first, "--stun", &second]);
    assert!(
        events(&output, "stun").iter().all(|event| event["ok"] == true),
        "{output:?}"
    );
    (events(&output, "nat")[0]["kind"].clone(), output.status.code())
}

// 127.0.0.2 is an address of its own only on Linux.
#[cfg(target_os = "linux")]
#[test]
fn the_nat_kind_is_named_as_proxystore_names_it() {
    assert_eq!(nat_kind(None, None), ("No NAT".into(), Some(0)));
    let behind = Some("192.0.2.9:4000");
    assert_eq!(
        nat_kind(behind, behind),
        ("Endpoint-independent mapping".into(), Some(0))
    );
    assert_eq!(
        nat_kind(behind, Some("192.0.2.9:4001")),
        ("Address-dependent mapping".into(), Some(0))
    );
}

#[test]
fn a_stun_server_that_does_not_answer_is_told() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("stun:{}", silent.local_addr().unwrap());
    let output = run(&["doctor", "--json", "--timeout", "0.2", "--stun", &url]);
    assert_eq!(output.status.code(), Some(1));
    let event = &events(&output, "stun")[0];
    assert!(event["error"].as_str().unwrap().contains("no answer"), "{event}");
    assert!(!events(&output, "advice").is_empty());
}

#[test]
fn a_relay_is_checked_up_to_registration() {
    let stun = stun_server("127.0.0.1", None);
    let (_relay, url) = relay();
    let output = run(&["doctor", "--json", "--relay", &url, "--stun", &stun]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let event = &events(&output, "relay")[0];
    assert_eq!(
        (&event["ok"], &event["healthy"]),
        (&true.into(), &true.into()),
        "{event}"
    );

    let output = run(&["doctor", "--json", "--relay", "ws://127.0.0.1:1", "--stun", &stun]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        events(&output, "relay")[0]["error"]
            .as_str()
            .unwrap()
            .contains("check the URL")
    );
}
