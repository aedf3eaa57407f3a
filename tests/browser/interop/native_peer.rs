//! A native peer that the browser tests drive as they drive a Python one: JSON lines, as `tests/python/peer.py`
//! describes them.
//!
//! ```text
//! native-peer RELAY_URL UUID CHANNELS
//! ```
//!
//! Beside `send`, `recv`, `close_connection` and `close` it knows `watch` and `closed`: `watch` remembers the connection
//! to a peer, and `closed` waits for its end, whose code is the result; `identity` tells whether a peer is verified. The
//! UUID may be `own`: the one of its certificate. `fill` sends numbered messages until one is held back, `drain` takes
//! them; each tells how many.

use crosspeer_native::{Config, Message, PeerConnection, PeerManager};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use uuid::Uuid;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Peer {
    manager: PeerManager,
    watched: Mutex<HashMap<String, PeerConnection>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().collect();
    let [_, relay, uuid, channels] = args.as_slice() else {
        return Err("usage: native-peer RELAY_URL UUID CHANNELS".into());
    };
    let mut config = Config::default();
    config.uuid = (uuid != "own").then(|| uuid.parse()).transpose()?;
    config.channels = channels.parse()?;
    config.ice_servers.clear(); // the default one cannot be reached here
    let peer = Arc::new(Peer {
        manager: PeerManager::join(relay, config).await?,
        watched: Mutex::default(),
    });
    reply(&json!({"id": 0, "ok": peer.manager.uuid()}))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        tokio::spawn(answer(Arc::clone(&peer), serde_json::from_str(&line)?));
    }
    Ok(())
}

async fn answer(peer: Arc<Peer>, request: Value) {
    let id = &request["id"];
    let line = match peer.carry_out(&request).await {
        Ok(ok) => json!({"id": id, "ok": ok}),
        Err(error) => json!({"id": id, "error": error.to_string()}),
    };
    reply(&line).expect("somebody reads our output");
}

/// One line at a time.
fn reply(line: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

impl Peer {
    async fn carry_out(&self, request: &Value) -> Result<Value, Failure> {
        let peer = request["peer"].as_str().unwrap_or_default();
        match request["do"].as_str().unwrap_or_default() {
            "send" => self.manager.send(peer.parse()?, unpack(&request["message"])?).await?,
            "recv" => {
                let (from, message) = self.manager.recv().await?;
                return Ok(json!({"from": from, "message": pack(&message)}));
            }
            "watch" => {
                let connection = self.manager.connect(peer.parse()?).await?;
                self.watched().insert(peer.to_owned(), connection);
            }
            "identity" => {
                let connection = self.manager.connect(peer.parse()?).await?;
                let fingerprint = connection.remote_fingerprint().map(|known| known.to_string());
                return Ok(json!({"verified": connection.is_verified(), "fingerprint": fingerprint}));
            }
            "closed" => {
                let connection = self.watched().remove(peer).ok_or("it is not watched")?;
                return Ok(connection.on_close().await.code().into());
            }
            "fill" => return self.fill(peer.parse()?, request).await,
            "drain" => return self.drain(request).await,
            "close_connection" => self.manager.close_connection(peer.parse()?).await?,
            "close" => self.manager.close().await?,
            other => return Err(format!("no such request: {other}").into()),
        }
        Ok(Value::Null)
    }

    /// Until one is not taken for `held` milliseconds, or there are `most` bytes; how many, with it.
    async fn fill(&self, peer: Uuid, request: &Value) -> Result<Value, Failure> {
        let number = |key: &str| request[key].as_u64().unwrap_or_default();
        let (first, size, held) = (number("first"), number("size"), Duration::from_millis(number("held")));
        for count in 1.. {
            let mut message = vec![0; usize::try_from(size)?];
            message[..4].copy_from_slice(&u32::try_from(first + count - 1)?.to_be_bytes());
            let sending = tokio::spawn(self.manager.send(peer, message));
            match tokio::time::timeout(held, sending).await {
                Ok(sent) if count * size < number("most") => sent??,
                _ => return Ok(count.into()),
            }
        }
        unreachable!("it counts for ever")
    }

    /// Takes `count` of them, which must come in order.
    async fn drain(&self, request: &Value) -> Result<Value, Failure> {
        let number = |key: &str| request[key].as_u64().unwrap_or_default();
        for wanted in number("first")..number("first") + number("count") {
            let (_, message) = self.manager.recv().await?;
            let found = message
                .as_bytes()
                .get(..4)
                .map(|head| u32::from_be_bytes(head.try_into().expect("4 bytes")));
            if found.map(u64::from) != Some(wanted) || message.len() as u64 != number("size") {
                return Err(format!("{found:?} instead of {wanted}").into());
            }
        }
        Ok(number("count").into())
    }

    fn watched(&self) -> std::sync::MutexGuard<'_, HashMap<String, PeerConnection>> {
        self.watched.lock().expect("not poisoned")
    }
}

fn pack(message: &Message) -> Value {
    match message {
        Message::Bytes(bytes) => json!({"base64": BASE64.encode(bytes)}),
        Message::Text(text) => json!({"text": text}),
    }
}

fn unpack(value: &Value) -> Result<Message, Failure> {
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => Ok(text.into()),
        (_, Some(bytes)) => Ok(BASE64.decode(bytes.as_bytes())?.into()),
        _ => Err("not a message".into()),
    }
}
