//! `PeerManager`, `RelayClient` and `PeerConnection`, as the wrapper sees them: one class.

use super::settings::{config, millis};
use super::{AbortSignal, JsResult, invalid, promise, thrown};
use crate::task::Task;
use crate::{PeerManager, RelayClient, Web};
use crosspeer::relay::{PeerConnectionMessage, RelayMessage, parse_uuid};
use crosspeer::{Asking, Message, PeerConnection, RelayState, State};
use js_sys::{Array, Uint8Array};
use std::rc::Rc;
use std::time::Duration;
use uuid::Uuid;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

/// How long `ready` waits by default, as ProxyStore's.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A manager, relay client or connection.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Handle(Rc<Kind>, Rc<Task>);

enum Kind {
    Manager(PeerManager),
    Client(RelayClient),
    /// With the manager that made it.
    Connection(PeerConnection, Option<PeerManager>),
}

/// What a call is given besides its name.
struct Arguments {
    /// The peer's UUID, as text.
    peer: JsValue,
    /// A message; or the text that the call takes.
    message: Message,
    timeout: Option<Duration>,
}

#[wasm_bindgen]
impl Handle {
    /// [`PeerManager::join`], or [`RelayClient::connect`].
    /// What is left of `connect_timeout` counts: loading the module has taken some of it.
    pub fn open(
        manager: bool,
        url: JsValue,
        options: JsValue,
        signal: Option<AbortSignal>,
        left: f64,
    ) -> JsResult<JsValue> {
        let open = async move {
            let (url, (config, certificate, token)) = (string(&url), config(&options)?);
            let web = Web::of(&config, certificate).await.with_token(token);
            let (kind, driver, registered) = if manager {
                let (manager, driver) = PeerManager::start(&url, config, web).map_err(thrown)?;
                let registered = manager.registered_timeout(millis(left));
                (Kind::Manager(manager), driver, registered)
            } else {
                let (client, driver) = RelayClient::start(&url, config, web).map_err(thrown)?;
                let registered = client.registered_timeout(millis(left));
                (Kind::Client(client), driver, registered)
            };
            registered.await.map_err(thrown)?;
            Ok(Self(Rc::new(kind), driver).into())
        };
        promise(None, signal, Box::pin(open))
    }

    /// A connection that is yet to be connected, by hand.
    pub fn connection(&self, channels: u16) -> JsResult<Handle> {
        let Kind::Client(client) = &*self.0 else {
            return Err(unknown());
        };
        let connection = PeerConnection::new(client, channels).map_err(thrown)?;
        Ok(self.with(connection, None))
    }

    /// What can be told at once.
    pub fn get(&self, key: &JsValue) -> JsValue {
        let (uuid, name, relay) = match &*self.0 {
            Kind::Manager(manager) => (manager.uuid(), manager.name(), manager.relay_state()),
            Kind::Client(client) => (client.uuid(), client.name(), client.relay_state()),
            Kind::Connection(connection, manager) => {
                return match string(key).as_str() {
                    "state" => connection.state().as_str().into(),
                    "peer" => connection.peer().map_or(JsValue::UNDEFINED, text_of),
                    "isCrosspeer" => connection.is_crosspeer().into(),
                    "verified" => connection.is_verified().into(),
                    "remoteFingerprint" => connection
                        .remote_fingerprint()
                        .map_or(JsValue::UNDEFINED, |fingerprint| fingerprint.to_string().into()),
                    "id" => JsValue::from_f64(connection.id() as f64),
                    "maxMessageBytes" => JsValue::from_f64(connection.max_message_bytes() as f64),
                    // The browser's own object behind it.
                    _ => manager
                        .as_ref()
                        .and_then(|manager| manager.rtc_peer_connection(connection))
                        .into(),
                };
            }
        };
        match (string(key).as_str(), &*self.0) {
            ("connections", Kind::Manager(manager)) => manager
                .connections()
                .into_iter()
                .map(|connection| JsValue::from(self.with(connection, Some(manager.clone()))))
                .collect::<Array>()
                .into(),
            ("uuid", _) => text_of(uuid),
            ("name", _) => name.into(),
            ("registered", _) => (relay == RelayState::Registered).into(),
            ("relayState", _) => relay.as_str().into(),
            // Why it is not registered.
            _ => relay.error().cloned().map_or(JsValue::UNDEFINED, thrown),
        }
    }

    /// What may have to be waited for: its result, or a promise of it.
    pub fn call(
        &self,
        name: JsValue,
        signal: Option<AbortSignal>,
        timeout: Option<f64>,
        data: JsValue,
        peer: JsValue,
    ) -> JsResult<JsValue> {
        let arguments = Arguments {
            peer,
            message: message(data),
            timeout: timeout.map(millis),
        };
        let wait = self.clone().carry_out(string(&name), arguments);
        promise(Some(&self.1), signal, Box::pin(wait))
    }

    /// A connection of this one's driver.
    fn with(&self, connection: PeerConnection, manager: Option<PeerManager>) -> Self {
        Self(Rc::new(Kind::Connection(connection, manager)), Rc::clone(&self.1))
    }

    /// The calls that have a result.
    async fn carry_out(self, name: String, arguments: Arguments) -> JsResult<JsValue> {
        Ok(match (&*self.0, name.as_str()) {
            (Kind::Manager(manager), "recv") => {
                let (from, message) = manager.recv().await.map_err(thrown)?;
                Array::of2(&text_of(from), &value_of(&message)).into()
            }
            (Kind::Manager(manager), "listen") => {
                let (from, message) = manager.recv_to_the_end().await.map_err(thrown)?;
                Array::of2(&text_of(from), &value_of(&message)).into()
            }
            (Kind::Client(client), "recv") => {
                let message = client.recv().await.map_err(thrown)?;
                RelayMessage::PeerConnection(message).encode().into()
            }
            (Kind::Connection(connection, _), "recv") => value_of(&connection.recv().await.map_err(thrown)?),
            // The next that a peer has made.
            (Kind::Manager(manager), "accept") => {
                let connection = manager.next_incoming().await.map_err(thrown)?;
                self.with(connection, Some(manager.clone())).into()
            }
            (Kind::Manager(manager), "connect") => {
                let connection = manager.connect(arguments.peer()?).await.map_err(thrown)?;
                self.with(connection, Some(manager.clone())).into()
            }
            // Ends with the new state once it is another than the one given.
            (Kind::Connection(connection, _), "changed") => {
                let all = [
                    State::New,
                    State::Connecting,
                    State::Connected,
                    State::Reconnecting,
                    State::Closed,
                ];
                let seen = all.into_iter().find(|state| arguments.text() == state.as_str());
                connection.changed(seen.unwrap_or(State::Failed)).await.as_str().into()
            }
            // Ends with the relay's new state once it is another than the one given.
            (Kind::Manager(manager), "relayChanged") => {
                let mut state = manager.relay_state();
                while state.as_str() == arguments.text() {
                    state = manager.relay_changed(&state).await;
                }
                state.as_str().into()
            }
            (Kind::Client(client), "relayChanged") => {
                let mut state = client.relay_state();
                while state.as_str() == arguments.text() {
                    state = client.relay_changed(&state).await;
                }
                state.as_str().into()
            }
            // Ends with the reason once the connection has ended.
            (Kind::Connection(connection, _), "ended") => thrown(connection.on_close().await),
            (Kind::Connection(connection, _), "statistics") => {
                let counts = connection.statistics().await.map_err(thrown)?;
                [
                    counts.messages_sent,
                    counts.messages_received,
                    counts.bytes_sent,
                    counts.bytes_received,
                ]
                .map(|count| JsValue::from_f64(count as f64))
                .iter()
                .collect::<Array>()
                .into()
            }
            (Kind::Manager(manager), "close") => {
                manager.close().await.map_err(thrown)?;
                JsValue::UNDEFINED
            }
            _ => {
                self.ask(&name, arguments)?.await.map_err(thrown)?;
                JsValue::UNDEFINED
            }
        })
    }

    /// The calls without one.
    fn ask(&self, name: &str, arguments: Arguments) -> JsResult<Asking> {
        let timeout = arguments.timeout;
        Ok(match (&*self.0, name) {
            (Kind::Manager(manager), "send") => match (arguments.peer()?, timeout) {
                (peer, Some(timeout)) => manager.send_timeout(peer, arguments.message, timeout),
                (peer, None) => manager.send(peer, arguments.message),
            },
            (Kind::Manager(manager), "closeConnection") => manager.close_connection(arguments.peer()?),
            (Kind::Client(client), "send") => client.send(arguments.relay_message()?),
            (Kind::Client(client), "close") => client.close(),
            (Kind::Manager(manager), "reconnect") => manager.reconnect_now(),
            (Kind::Client(client), "reconnect") => client.reconnect_now(),
            (Kind::Connection(connection, _), "send") => match timeout {
                Some(timeout) => connection.send_timeout(arguments.message, timeout),
                None => connection.send(arguments.message),
            },
            (Kind::Connection(connection, _), "ready") => connection.ready(timeout.unwrap_or(READY_TIMEOUT)),
            (Kind::Connection(connection, _), "close") => connection.close(),
            (Kind::Connection(connection, _), "sendOffer") => connection.send_offer(arguments.peer()?),
            (Kind::Connection(connection, _), "sendAnswer") => connection.send_answer(arguments.peer()?),
            (Kind::Connection(connection, _), "handleServerMessage") => {
                connection.handle_server_message(arguments.relay_message()?)
            }
            _ => return Err(unknown()),
        })
    }
}

impl Arguments {
    fn peer(&self) -> JsResult<Uuid> {
        uuid(&string(&self.peer))
    }

    fn text(&self) -> &str {
        self.message.as_text().unwrap_or_default()
    }

    /// Relay messages go between here and the wrapper as on the wire.
    fn relay_message(&self) -> JsResult<PeerConnectionMessage> {
        match RelayMessage::decode(self.text()) {
            Ok(RelayMessage::PeerConnection(message)) => Ok(message),
            Ok(_) => Err(unknown()),
            Err(error) => Err(invalid(error.0)),
        }
    }
}

fn unknown() -> JsValue {
    invalid("this handle has no such call")
}

/// A string, or bytes in a `Uint8Array`: the wrapper gives nothing else, or nothing at all.
fn message(data: JsValue) -> Message {
    match data.as_string() {
        Some(text) => text.into(),
        None if data.is_undefined() => Message::from(""),
        None => data.unchecked_into::<Uint8Array>().to_vec().into(),
    }
}

fn value_of(message: &Message) -> JsValue {
    match message {
        Message::Text(text) => text.into(),
        Message::Bytes(bytes) => Uint8Array::from(&bytes[..]).into(),
    }
}

fn string(value: &JsValue) -> String {
    value.as_string().unwrap_or_default()
}

pub(super) fn uuid(text: &str) -> JsResult<Uuid> {
    parse_uuid(text).ok_or_else(|| invalid(format!("\"{text}\" is not a UUID")))
}

fn text_of(uuid: Uuid) -> JsValue {
    uuid.to_string().into()
}
