//! A native peer that the browser tests drive as they drive a Python one: JSON lines, as `tests/python/peer.py`
//! describes them.
//!
//! ```text
//! native-peer RELAY_URL UUID CHANNELS
//! ```
//!
//! Beside `send`, `recv`, `close_connection` and `close` it knows `watch` and `closed`: `watch` remembers the connection
//! to a peer, and `closed` waits for its end, whose code is the result; `identity` tells whether a peer is verified. The
//! UUID may be `own`: the one of its certificate.

use crosspeer_native::{Config, Message, PeerConnection, PeerManager};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, BufReader};

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
            "close_connection" => self.manager.close_connection(peer.parse()?).await?,
            "close" => self.manager.close().await?,
            other => return Err(format!("no such request: {other}").into()),
        }
        Ok(Value::Null)
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
