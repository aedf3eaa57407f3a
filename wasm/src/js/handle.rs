//! `PeerManager`, `RelayClient` and `PeerConnection`, as the wrapper sees them: one class.

use super::settings::{config, millis};
use super::{AbortSignal, JsResult, Promise, invalid, promise, thrown};
use crate::{PeerManager, RelayClient};
use crosspeer::relay::RelayMessage;
use crosspeer::{Message, PeerConnection, Result, State};
use js_sys::{Array, Uint8Array};
use std::time::Duration;
use uuid::Uuid;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

/// How long `ready` waits by default, as ProxyStore's.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A manager, relay client or connection.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Handle(Kind);

#[derive(Clone)]
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
    pub fn open(manager: bool, url: JsValue, options: JsValue, signal: Option<AbortSignal>) -> Promise {
        let open = async move {
            let (url, config) = (string(&url), config(&options)?);
            Ok(Self(match manager {
                true => Kind::Manager(PeerManager::join(&url, config).await.map_err(thrown)?),
                false => Kind::Client(RelayClient::connect(&url, config).await.map_err(thrown)?),
            })
            .into())
        };
        promise(signal, Box::pin(open))
    }

    /// A connection that is yet to be connected, by hand.
    pub fn connection(&self, channels: u16) -> JsResult<Handle> {
        let Kind::Client(client) = &self.0 else {
            return Err(unknown());
        };
        let connection = PeerConnection::new(client, channels).map_err(thrown)?;
        Ok(Self(Kind::Connection(connection, None)))
    }

    /// What can be told at once.
    pub fn get(&self, key: &JsValue) -> JsValue {
        let (uuid, name, registered) = match &self.0 {
            Kind::Manager(manager) => (manager.uuid(), manager.name(), manager.is_registered()),
            Kind::Client(client) => (client.uuid(), client.name(), client.is_registered()),
            Kind::Connection(connection, manager) => {
                return match string(key).as_str() {
                    "state" => connection.state().as_str().into(),
                    "peer" => connection.peer().map_or(JsValue::UNDEFINED, |peer| text_of(peer)),
                    "isCrosspeer" => connection.is_crosspeer().into(),
                    // The browser's own object behind it.
                    _ => manager
                        .as_ref()
                        .and_then(|manager| manager.rtc_peer_connection(connection))
                        .into(),
                };
            }
        };
        match string(key).as_str() {
            "uuid" => text_of(uuid),
            "name" => name.into(),
            _ => registered.into(),
        }
    }

    /// What has to be waited for.
    pub fn call(
        &self,
        name: JsValue,
        signal: Option<AbortSignal>,
        timeout: Option<f64>,
        data: JsValue,
        peer: JsValue,
    ) -> Promise {
        let arguments = Arguments {
            peer,
            message: message(data),
            timeout: timeout.map(millis),
        };
        promise(signal, Box::pin(self.clone().carry_out(string(&name), arguments)))
    }

    async fn carry_out(self, name: String, arguments: Arguments) -> JsResult<JsValue> {
        match self.0 {
            Kind::Manager(manager) => of_manager(manager, &name, arguments).await,
            Kind::Client(client) => of_client(client, &name, arguments).await,
            Kind::Connection(connection, _) => of_connection(connection, &name, arguments).await,
        }
    }
}

async fn of_manager(manager: PeerManager, name: &str, arguments: Arguments) -> JsResult<JsValue> {
    let Arguments { peer, message, timeout } = arguments;
    let done = match name {
        "recv" => {
            return match manager.recv().await {
                Ok((from, message)) => Ok(Array::of2(&text_of(from), &value_of(&message)).into()),
                Err(error) => Err(thrown(error)),
            };
        }
        "close" => manager.close().await,
        "connect" => {
            let connection = manager.connect(uuid(&string(&peer))?).await.map_err(thrown)?;
            return Ok(Handle(Kind::Connection(connection, Some(manager))).into());
        }
        "closeConnection" => manager.close_connection(uuid(&string(&peer))?).await,
        "send" => {
            let peer = uuid(&string(&peer))?;
            match timeout {
                Some(timeout) => manager.send_timeout(peer, message, timeout).await,
                None => manager.send(peer, message).await,
            }
        }
        _ => return Err(unknown()),
    };
    finish(done)
}

async fn of_client(client: RelayClient, name: &str, arguments: Arguments) -> JsResult<JsValue> {
    let done = match name {
        "recv" => {
            return match client.recv().await {
                Ok(message) => Ok(RelayMessage::PeerConnection(message).encode().into()),
                Err(error) => Err(thrown(error)),
            };
        }
        "close" => client.close().await,
        "send" => client.send(relay_message(&arguments.message)?).await,
        _ => return Err(unknown()),
    };
    finish(done)
}

async fn of_connection(connection: PeerConnection, name: &str, arguments: Arguments) -> JsResult<JsValue> {
    let Arguments { peer, message, timeout } = arguments;
    let done = match name {
        "recv" => {
            return match connection.recv().await {
                Ok(message) => Ok(value_of(&message)),
                Err(error) => Err(thrown(error)),
            };
        }
        "send" => match timeout {
            Some(timeout) => connection.send_timeout(message, timeout).await,
            None => connection.send(message).await,
        },
        "close" => connection.close().await,
        "ready" => connection.ready(timeout.unwrap_or(READY_TIMEOUT)).await,
        "sendOffer" => connection.send_offer(uuid(&string(&peer))?).await,
        "sendAnswer" => connection.send_answer(uuid(&string(&peer))?).await,
        "handleServerMessage" => connection.handle_server_message(relay_message(&message)?).await,
        // Ends with the new state once it is another than the one given.
        "changed" => {
            let all = [State::New, State::Connecting, State::Connected, State::Closed];
            let seen = all.into_iter().find(|state| message.as_text() == Some(state.as_str()));
            return Ok(connection.changed(seen.unwrap_or(State::Failed)).await.as_str().into());
        }
        // Ends with the reason once the connection has ended.
        "ended" => return Ok(thrown(connection.on_close().await)),
        "statistics" => {
            let counts = connection.statistics().await.map_err(thrown)?;
            let counts = [
                counts.messages_sent,
                counts.messages_received,
                counts.bytes_sent,
                counts.bytes_received,
            ];
            return Ok(counts
                .into_iter()
                .map(|count| JsValue::from_f64(count as f64))
                .collect::<Array>()
                .into());
        }
        _ => return Err(unknown()),
    };
    finish(done)
}

fn finish(done: Result<()>) -> JsResult<JsValue> {
    match done {
        Ok(()) => Ok(JsValue::UNDEFINED),
        Err(error) => Err(thrown(error)),
    }
}

fn unknown() -> JsValue {
    invalid("this handle has no such call")
}

/// A string, or bytes in a `Uint8Array`: the wrapper gives nothing else.
fn message(data: JsValue) -> Message {
    match data.as_string() {
        Some(text) => text.into(),
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
    Uuid::try_parse(text).map_err(|_| invalid(format!("\"{text}\" is not a UUID")))
}

fn text_of(uuid: Uuid) -> JsValue {
    let mut buffer = Uuid::encode_buffer();
    JsValue::from_str(uuid.hyphenated().encode_lower(&mut buffer))
}

/// Relay messages go between here and the wrapper as on the wire.
fn relay_message(message: &Message) -> JsResult<crosspeer::relay::PeerConnectionMessage> {
    match RelayMessage::decode(message.as_text().unwrap_or_default()) {
        Ok(RelayMessage::PeerConnection(message)) => Ok(message),
        Ok(_) => Err(unknown()),
        Err(error) => Err(invalid(error.0)),
    }
}
