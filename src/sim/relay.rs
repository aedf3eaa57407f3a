//! The relay of a world: the real switchboard behind sockets that take time.

use super::{Happening, Node, NodeId, World};
use crate::IceServer;
use crate::platform::{Event, SocketEvent, SocketId};
use crate::relay::{ConnId, IceServers, Incoming, PeerConnectionMessage, RelayMessage, Switchboard, SwitchboardOutput};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

/// As the relay's.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const EXPECTED_BACK: Duration = Duration::from_secs(60);

pub(super) enum ToRelay {
    Open(ConnId),
    Text(ConnId, String),
    Closed(ConnId),
    /// Half of its credentials' time is over.
    Renew(ConnId),
    /// It has not answered in time.
    Silent(ConnId),
    /// Nor has it come back.
    Forget(Uuid, ConnId),
}

struct Conn {
    node: NodeId,
    life: u64,
    socket: SocketId,
    /// When the last thing in each direction arrives: a TCP connection keeps order.
    to_relay: Instant,
    to_node: Instant,
}

type Tamper = dyn FnMut(PeerConnectionMessage) -> Vec<(Uuid, PeerConnectionMessage)>;

#[derive(Default)]
pub(super) struct Relay {
    switchboard: Switchboard,
    conns: HashMap<ConnId, Conn>,
    next: u64,
    down: bool,
    pub(super) tamper: Option<Box<Tamper>>,
    /// That of the servers' credentials, if it gives any.
    pub(super) ice_lifetime: Option<Duration>,
    /// When each of them ends; its number is the user's name.
    issued: Vec<Instant>,
}

impl Relay {
    /// Whether the node has, or needs, no other servers than it knows.
    pub(super) fn serves(&self, now: Instant, node: &Node) -> bool {
        match &node.ice_server {
            Some(server) => server
                .username
                .parse()
                .ok()
                .and_then(|number: usize| self.issued.get(number))
                .is_some_and(|end| now < *end),
            None => self.ice_lifetime.is_none() || !node.router.is_registered(),
        }
    }

    fn ice_servers(&mut self, now: Instant) -> Option<String> {
        let lifetime = self.ice_lifetime?;
        let username = self.issued.len().to_string();
        self.issued.push(now + lifetime);
        let server = IceServer::new("turn:relay").with_credentials(username, "");
        Some(RelayMessage::IceServers(IceServers { server, lifetime }).encode())
    }

    /// Sockets that broke.
    pub(super) fn set_up(&mut self, up: bool) -> Vec<(NodeId, SocketId)> {
        self.down = !up;
        if up {
            return Vec::new();
        }
        self.switchboard = Switchboard::new();
        let mut broken: Vec<_> = self.conns.drain().map(|(_, conn)| (conn.node, conn.socket)).collect();
        broken.sort();
        broken
    }

    pub(super) fn drop_node(&mut self, node: NodeId) {
        let conns: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, c)| c.node == node)
            .map(|(id, _)| *id)
            .collect();
        for conn in conns {
            self.conns.remove(&conn);
            self.switchboard.on_close(conn);
        }
    }

    pub(super) fn socket_of(&self, node: NodeId) -> Option<SocketId> {
        self.conns
            .values()
            .filter(|conn| conn.node == node)
            .map(|conn| conn.socket)
            .max()
    }

    fn conn_of(&self, node: NodeId, life: u64, socket: SocketId) -> Option<ConnId> {
        self.conns
            .iter()
            .find(|(_, conn)| conn.node == node && conn.life == life && conn.socket == socket)
            .map(|(id, _)| *id)
    }
}

impl World {
    pub(super) fn open_socket(&mut self, node: NodeId, socket: SocketId) {
        let delay = self.random(self.weather.relay_delay);
        if self.relay.down {
            let refused = SocketEvent::Closed {
                code: None,
                reason: "connection refused".into(),
                http_status: None,
            };
            return self.event_soon(node, Event::Socket(socket, refused), delay);
        }
        let id = ConnId(self.relay.next);
        self.relay.next += 1;
        let life = self.nodes[node.0].life;
        self.relay.conns.insert(
            id,
            Conn {
                node,
                life,
                socket,
                to_relay: self.now,
                to_node: self.now,
            },
        );
        self.reach_relay(id, ToRelay::Open(id));
        self.reach_node(id, SocketEvent::Open);
    }

    pub(super) fn send_socket(&mut self, node: NodeId, socket: SocketId, text: String) {
        let text = if self.nodes[node.0].foreign {
            without_words(&text)
        } else {
            text
        };
        if let Some(id) = self.relay.conn_of(node, self.nodes[node.0].life, socket) {
            self.reach_relay(id, ToRelay::Text(id, text));
        }
    }

    pub(super) fn close_socket(&mut self, node: NodeId, socket: SocketId) {
        if let Some(id) = self.relay.conn_of(node, self.nodes[node.0].life, socket) {
            self.reach_relay(id, ToRelay::Closed(id));
        }
    }

    /// The node answers no ping until then.
    pub(super) fn relay_freeze(&mut self, node: NodeId, until: Instant) {
        let at = self.now + PING_INTERVAL + self.random(PING_INTERVAL);
        let conns = self.relay.conns.iter().filter(|(_, conn)| conn.node == node);
        if at < until
            && let Some(id) = conns.map(|(id, _)| *id).max()
        {
            self.schedule_at(at, Happening::Relay(ToRelay::Silent(id)));
        }
    }

    pub(super) fn relay_step(&mut self, message: ToRelay) {
        let id = match &message {
            ToRelay::Forget(uuid, id) => return self.relay.switchboard.forget_silent(*uuid, *id),
            ToRelay::Open(id)
            | ToRelay::Text(id, _)
            | ToRelay::Closed(id)
            | ToRelay::Renew(id)
            | ToRelay::Silent(id) => *id,
        };
        if !self.relay.conns.contains_key(&id) {
            return;
        }
        match message {
            ToRelay::Forget(..) => {}
            ToRelay::Silent(id) => {
                if let Some(uuid) = self.relay.switchboard.close_silent(id) {
                    self.schedule(EXPECTED_BACK, Happening::Relay(ToRelay::Forget(uuid, id)));
                }
            }
            ToRelay::Open(id) => self.relay.switchboard.on_open(id),
            ToRelay::Text(id, text) => {
                let mut incoming = Incoming::read(&text);
                if incoming.registers().is_some() {
                    incoming = incoming.with_greeting(self.relay.ice_servers(self.now));
                    self.renew_later(id);
                }
                self.relay.switchboard.on_incoming(id, incoming);
            }
            ToRelay::Renew(id) => {
                if let Some(text) = self.relay.ice_servers(self.now) {
                    self.relay.switchboard.notify(id, text);
                }
                self.renew_later(id);
            }
            ToRelay::Closed(id) => {
                self.relay.switchboard.on_close(id);
                self.relay.conns.remove(&id);
            }
        }
        while let Some(output) = self.relay.switchboard.poll_output() {
            match output {
                SwitchboardOutput::Send { conn, text, .. } => self.pass_on(conn, text),
                SwitchboardOutput::Elsewhere { .. } => {} // this relay is alone
                SwitchboardOutput::Close { conn, code, reason } => {
                    let reason = reason.to_string();
                    self.reach_node(
                        conn,
                        SocketEvent::Closed {
                            code: Some(code),
                            reason,
                            http_status: None,
                        },
                    );
                    self.relay.conns.remove(&conn);
                }
            }
        }
    }

    fn renew_later(&mut self, id: ConnId) {
        if let Some(lifetime) = self.relay.ice_lifetime {
            self.schedule_at(self.now + lifetime / 2, Happening::Relay(ToRelay::Renew(id)));
        }
    }

    /// What the relay makes of a message.
    fn pass_on(&mut self, conn: ConnId, text: String) {
        let message = match RelayMessage::decode(&text) {
            Ok(RelayMessage::PeerConnection(message)) if message.error.is_none() => message,
            _ => return self.reach_node(conn, SocketEvent::Text(text)),
        };
        let Some(tamper) = &mut self.relay.tamper else {
            return self.reach_node(conn, SocketEvent::Text(text));
        };
        for (to, message) in tamper(message) {
            let text = RelayMessage::PeerConnection(message).encode();
            let node = self.nodes.iter().position(|node| node.uuid == to);
            let conns = self.relay.conns.iter();
            let conn = conns
                .filter(|(_, conn)| Some(conn.node.0) == node)
                .map(|(id, _)| *id)
                .max_by_key(|id| id.0);
            if let Some(conn) = conn {
                self.reach_node(conn, SocketEvent::Text(text));
            }
        }
    }

    fn reach_relay(&mut self, id: ConnId, message: ToRelay) {
        let at = self.now + self.random(self.weather.relay_delay);
        if let Some(conn) = self.relay.conns.get_mut(&id) {
            conn.to_relay = conn.to_relay.max(at) + Duration::from_nanos(1);
            let at = conn.to_relay;
            self.schedule_at(at, Happening::Relay(message));
        }
    }

    fn reach_node(&mut self, id: ConnId, event: SocketEvent) {
        let at = self.now + self.random(self.weather.relay_delay);
        if let Some(conn) = self.relay.conns.get_mut(&id) {
            conn.to_node = conn.to_node.max(at) + Duration::from_nanos(1);
            let (at, node, life, socket) = (conn.to_node, conn.node, conn.life, conn.socket);
            let event = match event {
                SocketEvent::Text(text) if self.nodes[node.0].foreign => SocketEvent::Text(without_words(&text)),
                event => event,
            };
            self.schedule_at(at, Happening::Event(node, life, Event::Socket(socket, event)));
        }
    }
}

/// The message as a ProxyStore peer would have written it, or would understand it.
fn without_words(text: &str) -> String {
    let Some((before, line)) = text.split_once("a=x-crosspeer:") else {
        return text.to_owned();
    };
    let after = line.split_once(r"\\r\\n").map_or("", |(_, after)| after);
    format!("{before}{after}")
}
