//! `crosspeer doctor`: what stands in the way of a connection, and what to do about it.

mod nat;
mod relay;
mod stun;

use crate::args::DoctorArgs;
use crate::failure::{Exit, Failure, Result};
use crate::net;
use crate::output::Output;
use crosspeer::{Error, IceServer};
use crosspeer_native::{Config, dial_turn};
use nat::{NatMapping, StunResult};
use relay::RelayReport;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use stun::Wire;
use tokio::time::timeout;

/// Those of ProxyStore 1.1's `check-nat`: different operators, so different addresses.
const STUN_SERVERS: [&str; 5] = [
    "stun:stun.l.google.com:19302",
    "stun:stun.nextcloud.com:3478",
    "stun:stun.hot-chilli.net:3478",
    "stun:stun.m-online.net:3478",
    "stun:stun.dus.net:3478",
];

type TurnResult = (String, Result<SocketAddr, String>);

/// Runs all checks at once and reports in order. What was asked for and fails decides the exit code: a relay, a STUN
/// server or a TURN server that was named.
pub(crate) async fn run(args: DoctorArgs, output: &Output) -> Result<()> {
    let addresses = addresses(output);
    let config = net::relay_config(&args.tls)?;
    let ((relay, turn), stun) = tokio::join!(
        async {
            let relay = check_relay(&args).await;
            let given = relay.as_ref().and_then(|report| report.servers.clone());
            let servers = given.into_iter().chain(args.turn.servers()).collect();
            (relay, check_turn(servers, &config, args.timeout).await)
        },
        check_stun(&args.stun, args.timeout),
    );
    let relay_ok = relay.is_none_or(|report| report_relay(args.relay.as_deref(), &report, output));
    let mapping = report_stun(&stun, output);
    let turn_ok = report_turn(&turn, output);
    let stun_ok = args.stun.is_empty() || stun.iter().all(|result| result.answer.is_ok());
    advise(&args, addresses, &stun, mapping, &turn, output);
    // Of the relay's own servers one way is enough; those that were named are all asked for.
    let named: Vec<_> = args.turn.turn.iter().collect();
    let is_named = |(url, _): &&TurnResult| named.contains(&url);
    let named_ok = turn.iter().filter(is_named).all(|(_, answer)| answer.is_ok());
    let turn_ok = named_ok && (turn_ok || turn.iter().any(|(_, answer)| answer.is_ok()));
    match (relay_ok, stun_ok && turn_ok) {
        (false, _) => Err(Failure::new(Exit::Relay, "the relay is not usable; see above")),
        (_, false) => Err(Failure::new(
            Exit::Failure,
            "a STUN or TURN server is not usable; see above",
        )),
        _ => Ok(()),
    }
}

/// Lists this host's addresses; returns how many are of use to other machines.
fn addresses(output: &Output) -> usize {
    let mut usable = 0;
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let ip = interface.ip();
        let kind = kind_of(ip);
        usable += usize::from(!matches!(kind, "loopback" | "link-local"));
        output.event(
            json!({"type": "address", "interface": interface.name, "address": ip, "kind": kind}),
            format_args!("address   {ip} ({kind}, {})", interface.name),
        );
    }
    usable
}

fn kind_of(ip: IpAddr) -> &'static str {
    match ip {
        _ if ip.is_loopback() => "loopback",
        IpAddr::V4(v4) if v4.is_link_local() => "link-local",
        IpAddr::V4(v4) if v4.is_private() => "private",
        IpAddr::V4(v4) if v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]) => "carrier-grade NAT",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local",
        IpAddr::V6(v6) if v6.is_unique_local() => "private",
        _ => "public",
    }
}

async fn check_relay(args: &DoctorArgs) -> Option<RelayReport> {
    Some(relay::check(args.relay.as_deref()?, &args.tls, args.timeout).await)
}

async fn check_stun(urls: &[String], time: Duration) -> Vec<StunResult> {
    let urls: Vec<String> = match urls {
        [] => STUN_SERVERS.map(str::to_owned).to_vec(),
        urls => urls.to_vec(),
    };
    let lookups: Vec<_> = urls
        .into_iter()
        .map(|url| tokio::spawn(async move { (url.clone(), resolve(&url, time).await) }))
        .collect();
    let mut servers = Vec::new();
    for lookup in lookups {
        servers.extend(lookup.await);
    }
    nat::ask(servers, time).await
}

async fn check_turn(servers: Vec<IceServer>, config: &Config, time: Duration) -> Vec<TurnResult> {
    let turn = |url: &String| !url.starts_with("stun");
    let each = servers.into_iter().flat_map(|mut server| {
        let urls = std::mem::take(&mut server.urls).into_iter().filter(turn);
        urls.map(move |url| (url, server.clone())).collect::<Vec<_>>()
    });
    let checks: Vec<_> = each
        .map(|(url, server)| {
            let config = config.clone();
            tokio::spawn(async move {
                let answer = match wire(&url, &config, time).await {
                    Ok(wire) => stun::allocate(wire, &server.username, &server.credential, time).await,
                    Err(error) => Err(error),
                };
                (url, answer)
            })
        })
        .collect();
    let mut results = Vec::new();
    for check in checks {
        results.extend(check.await);
    }
    results
}

/// The way to a TURN server that its URL names.
async fn wire(url: &str, config: &Config, time: Duration) -> Result<Wire, String> {
    if transport(url) == "UDP" {
        let address = resolve(url, time).await?;
        return Ok(Wire::Udp(stun::bind_for(address).await?, address));
    }
    match timeout(time, dial_turn(url, config)).await {
        Ok(Ok(stream)) => Ok(Wire::Stream(Box::new(stream))),
        Ok(Err(Error::Platform(reason))) => Err(reason),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {time:?}: is its port blocked?")),
    }
}

/// By what a TURN server of this URL is reached.
fn transport(url: &str) -> &'static str {
    match url {
        url if url.starts_with("turns:") => "TLS",
        url if url.contains("transport=tcp") => "TCP",
        _ => "UDP",
    }
}

/// An IPv4 address if there is one, as ProxyStore's.
async fn resolve(url: &str, time: Duration) -> Result<SocketAddr, String> {
    let (host, port) = stun::parse_url(url)?;
    match timeout(time, tokio::net::lookup_host((host.as_str(), port))).await {
        Err(_) => Err(format!("the name {host} was not resolved within {time:?}")),
        Ok(Err(error)) => Err(format!("the name {host} cannot be resolved: {error}")),
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.collect();
            let v4 = addresses.iter().find(|address| address.is_ipv4());
            v4.or(addresses.first())
                .copied()
                .ok_or_else(|| format!("{host} has no address"))
        }
    }
}

fn report_relay(url: Option<&str>, report: &RelayReport, output: &Output) -> bool {
    let ok = report.error.is_none();
    let mut text = format!("relay     {}", url.unwrap_or_default());
    if let Some(proxy) = &report.proxy {
        text += &format!(", through the proxy {proxy}");
    }
    if let Some(tcp) = report.tcp {
        text += &format!(", connected in {}", ms(tcp));
    }
    match report.healthy {
        Some(true) => text += ", healthy",
        Some(false) => text += ", says it is not healthy",
        None => {}
    }
    match (&report.error, report.registered) {
        (Some(error), _) => text += &format!(": FAILED, {error}"),
        (None, Some(registered)) => text += &format!(", registered in {}", ms(registered)),
        (None, None) => {}
    }
    output.event(
        json!({"type": "relay", "url": url, "ok": ok, "healthy": report.healthy, "tcp_ms": report.tcp.map(as_ms),
               "proxy": report.proxy, "register_ms": report.registered.map(as_ms), "error": report.error}),
        text,
    );
    ok
}

fn report_stun(results: &[StunResult], output: &Output) -> Option<NatMapping> {
    for StunResult { url, answer, .. } in results {
        match answer {
            Ok(binding) => output.event(
                json!({"type": "stun", "url": url, "ok": true, "mapped": binding.mapped, "ms": as_ms(binding.round_trip)}),
                format_args!("STUN      {url} sees {} ({})", binding.mapped, ms(binding.round_trip)),
            ),
            Err(error) => output.event(
                json!({"type": "stun", "url": url, "ok": false, "error": error}),
                format_args!("STUN      {url}: FAILED, {error}"),
            ),
        }
    }
    let mapping = nat::mapping(results);
    let kind = mapping.map(NatMapping::as_str);
    let text = kind.unwrap_or("not known; answers from two STUN servers at different IPv4 addresses are needed");
    output.event(
        json!({"type": "nat", "kind": kind, "hole_punching_likely": mapping.map(|m| m != NatMapping::AddressDependent)}),
        format_args!("NAT       {text}"),
    );
    mapping
}

fn report_turn(results: &[TurnResult], output: &Output) -> bool {
    for (url, answer) in results {
        match answer {
            Ok(relayed) => output.event(
                json!({"type": "turn", "url": url, "transport": transport(url), "ok": true, "relayed": relayed}),
                format_args!("TURN      {url} relays at {relayed}"),
            ),
            Err(error) => output.event(
                json!({"type": "turn", "url": url, "transport": transport(url), "ok": false, "error": error}),
                format_args!("TURN      {url}: FAILED, {error}"),
            ),
        }
    }
    results.iter().all(|(_, answer)| answer.is_ok())
}

fn advise(
    args: &DoctorArgs,
    addresses: usize,
    stun: &[StunResult],
    mapping: Option<NatMapping>,
    turn: &[TurnResult],
    output: &Output,
) {
    let relayed = turn.iter().any(|(_, answer)| answer.is_ok());
    let by = |what| {
        turn.iter()
            .any(|(url, answer)| answer.is_ok() && transport(url) == what)
    };
    let mut advice = Vec::new();
    if addresses == 0 {
        advice.push(
            "this host has only loopback addresses: it reaches peers on this machine only; connect it to a network",
        );
    }
    if args.relay.is_none() {
        advice.push("name a relay (--relay URL) to check it");
    }
    match mapping {
        _ if relayed && !by("UDP") => advice.push(match by("TCP") {
            true => "this network lets no UDP through, but TCP: peers are reached through the TURN server by TCP",
            false => "this network lets no UDP through, but TLS: peers are reached through the TURN server by TLS",
        }),
        Some(NatMapping::AddressDependent) if relayed => advice.push("peers will be reached through the TURN server"),
        Some(mapping) => advice.push(mapping.advice()),
        None if stun.iter().all(|result| result.answer.is_err()) => advice.push(
            "no STUN server answers: UDP is blocked, or there is no way to the Internet; peers in the same network can still connect; others need a TURN server",
        ),
        None => advice.push("name a second STUN server (--stun) at another address to learn the NAT kind"),
    }
    for text in advice {
        output.event(
            json!({"type": "advice", "text": text}),
            format_args!("advice    {text}"),
        );
    }
}

fn as_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn ms(duration: Duration) -> String {
    format!("{} ms", as_ms(duration))
}
