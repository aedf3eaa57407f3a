//! What the relay counts, as Prometheus and other OpenMetrics readers take it.

use crosspeer::relay::Counts;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The type of [`Metrics::text`].
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Every name begins so; those of TURN with `crosspeer_relay_turn`.
const PREFIX: &str = "crosspeer_relay";

type Labels = [(&'static str, &'static str); 1];
type Counters = Family<Labels, Counter>;

/// All counters of one relay.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    connections: Gauge,
    clients: Gauge,
    ready: Gauge,
    registrations: Counter,
    messages: Counters,
    bytes: Counter,
    refused: Counters,
    closed: Counters,
    turned_away: Counters,
    tokens: Counters,
    queue_full: Counter,
    latency: Family<Labels, Histogram>,
    nodes: Gauge,
    cluster_up: Gauge,
}

/// What others count, or know.
#[derive(Debug)]
pub(crate) struct Now {
    pub(crate) counts: Counts,
    pub(crate) clients: usize,
    pub(crate) ready: bool,
    pub(crate) nodes: usize,
    pub(crate) up: bool,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From a client of this node to another of its clients.
    Local,
    /// To a client of another node, which has acknowledged it.
    Sent,
    /// From a client of another node.
    Received,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let latency: Family<Labels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_01, 4.0, 10)));
        let (counters, counter, gauge) = (Counters::default, Counter::default, Gauge::default);
        let metrics = Self {
            connections: gauge(),
            clients: gauge(),
            ready: gauge(),
            registrations: counter(),
            messages: counters(),
            bytes: counter(),
            refused: counters(),
            closed: counters(),
            turned_away: counters(),
            tokens: counters(),
            queue_full: counter(),
            latency,
            nodes: gauge(),
            cluster_up: gauge(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("connections", "WebSockets that are open", m.connections.clone());
        registry.register("clients", "Clients that have registered", m.clients.clone());
        registry.register("ready", "Whether this node takes clients", m.ready.clone());
        registry.register("registrations", "Registrations accepted", m.registrations.clone());
        registry.register("messages", "Messages forwarded, by way", m.messages.clone());
        registry.register("message_bytes", "Bytes handed to clients of this node", m.bytes.clone());
        registry.register("refused", "Messages not forwarded, by reason", m.refused.clone());
        registry.register("closed", "Clients closed by this node, by code", m.closed.clone());
        registry.register(
            "turned_away",
            "Connections refused before the handshake",
            m.turned_away.clone(),
        );
        registry.register("tokens", "Tokens judged, by outcome", m.tokens.clone());
        registry.register(
            "queue_full",
            "Times a client did not read fast enough",
            m.queue_full.clone(),
        );
        let about = "Seconds from a message's arrival to its receiver's queue, by way";
        registry.register("forward_seconds", about, m.latency.clone());
        registry.register("cluster_nodes", "Nodes known, this one included", m.nodes.clone());
        registry.register(
            "cluster_up",
            "Whether the link between nodes is up",
            m.cluster_up.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub(crate) fn opened(&self) {
        self.connections.inc();
    }

    pub(crate) fn gone(&self) {
        self.connections.dec();
    }

    pub(crate) fn closed(&self, code: u16) {
        self.closed.get_or_create(&[("code", code_name(code))]).inc();
    }

    pub(crate) fn turned_away(&self, reason: &'static str) {
        self.turned_away.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn judged(&self, outcome: &'static str) {
        self.tokens.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn queue_full(&self) {
        self.queue_full.inc();
    }

    pub(crate) fn forwarded(&self, way: Way, took: Duration) {
        self.messages.get_or_create(&[("way", way.name())]).inc();
        self.latency
            .get_or_create(&[("way", way.name())])
            .observe(took.as_secs_f64());
    }

    /// The text of all of them.
    pub(crate) fn text(&self, now: &Now) -> String {
        self.clients.set(now.clients as i64);
        self.ready.set(i64::from(now.ready));
        self.nodes.set(now.nodes as i64);
        self.cluster_up.set(i64::from(now.up));
        self.take_counts(&now.counts);
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }

    fn take_counts(&self, counts: &Counts) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.registrations, counts.registrations);
        set(&self.bytes, counts.bytes);
        for (reason, value) in [
            ("unknown_peer", counts.unknown_peer),
            ("spoofed", counts.spoofed),
            ("forbidden", counts.forbidden),
            ("unregistered", counts.unregistered),
            ("malformed", counts.malformed),
            ("too_big", counts.too_big),
        ] {
            set(&self.refused.get_or_create(&[("reason", reason)]), value);
        }
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// A bounded set of labels, whatever codes there are.
fn code_name(code: u16) -> &'static str {
    match code {
        1001 => "1001",
        1002 => "1002",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1011 => "1011",
        1013 => "1013",
        4000 => "4000",
        4001 => "4001",
        4002 => "4002",
        4003 => "4003",
        4004 => "4004",
        _ => "other",
    }
}
