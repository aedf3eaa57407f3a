//! Real ProxyStore peers, each a Python process that runs `python/peer.py`.

use crate::{PATIENCE, python, script, within};
use crosspeer::Message;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use uuid::Uuid;

/// A result or a Python exception as `Class: text`.
type Reply = Result<Value, String>;
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// A process running `peer.py`.
#[derive(Debug)]
struct Process {
    uuid: Uuid,
    child: Child,
    stdin: tokio::sync::Mutex<(u64, ChildStdin)>,
    waiting: Waiting,
}

impl Process {
    async fn start(kind: &str, relay: &str, uuid: Uuid, channels: u16) -> Self {
        let mut command = Command::new(python());
        command
            .arg(script("peer.py"))
            .args([kind, relay, &uuid.to_string(), &channels.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("cannot start Python");
        let (started, ready) = oneshot::channel();
        let waiting = Waiting::new(Mutex::new(HashMap::from([(0, started)])));
        tokio::spawn(read_replies(
            child.stdout.take().expect("stdout is piped"),
            waiting.clone(),
        ));
        let stdin = child.stdin.take().expect("stdin is piped");
        let ready = within("the Python peer registers with the relay", ready).await;
        ready
            .unwrap_or_else(|_| panic!("Python ended at once, see its messages above"))
            .expect("registered");
        Self {
            uuid,
            child,
            stdin: tokio::sync::Mutex::new((0, stdin)),
            waiting,
        }
    }

    /// Makes a request; the exception if it raises, or that the process is gone.
    async fn ask(&self, mut request: Value) -> Reply {
        let (sender, reply) = oneshot::channel();
        {
            let mut stdin = self.stdin.lock().await;
            stdin.0 += 1;
            request["id"] = stdin.0.into();
            self.waiting.lock().expect("not poisoned").insert(stdin.0, sender);
            let _ = stdin.1.write_all(format!("{request}\n").as_bytes()).await;
        }
        let what = request["do"].as_str().unwrap_or("?");
        let reply = tokio::time::timeout(PATIENCE, reply).await;
        let reply = reply.unwrap_or_else(|_| panic!("Python's `{what}`: nothing after {PATIENCE:?}"));
        reply.unwrap_or_else(|_| Err("the Python process has ended".into()))
    }

    async fn kill(&mut self) {
        self.child.kill().await.expect("Python can be killed");
    }
}

async fn read_replies(stdout: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut reply: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a reply: {line}"));
        let number = reply["id"].as_u64().expect("replies have an id");
        let result = match reply["error"].take() {
            Value::String(error) => Err(error),
            _ => Ok(reply["ok"].take()),
        };
        if let Some(sender) = waiting.lock().expect("not poisoned").remove(&number) {
            let _ = sender.send(result);
        }
    }
    waiting.lock().expect("not poisoned").clear();
}

fn pack(message: &Message) -> Value {
    match message {
        Message::Bytes(bytes) => json!({"base64": BASE64.encode(bytes)}),
        Message::Text(text) => json!({"text": text}),
    }
}

fn unpack(value: &Value) -> Message {
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => text.into(),
        (_, Some(bytes)) => BASE64.decode(bytes.as_bytes()).expect("base64").into(),
        _ => panic!("not a message: {value}"),
    }
}

/// A Python process with a ProxyStore `PeerManager`.
#[derive(Debug)]
pub struct ProxyStoreManager(Process);

impl ProxyStoreManager {
    /// Starts one that offers this many channels, registered with the relay.
    pub async fn start(relay: &str, channels: u16) -> Self {
        Self::start_as(Uuid::new_v4(), relay, channels).await
    }

    /// The same with a given UUID, as after a restart.
    pub async fn start_as(uuid: Uuid, relay: &str, channels: u16) -> Self {
        Self(Process::start("manager", relay, uuid, channels).await)
    }

    /// Its UUID.
    pub fn uuid(&self) -> Uuid {
        self.0.uuid
    }

    /// `PeerManager.send`, connecting when needed. An exception is the error.
    pub async fn try_send(&self, peer: Uuid, message: &Message) -> Result<(), String> {
        self.0
            .ask(json!({"do": "send", "peer": peer.to_string(), "message": pack(message)}))
            .await
            .map(drop)
    }

    /// `PeerManager.send` that must succeed.
    pub async fn send(&self, peer: Uuid, message: impl Into<Message>) {
        self.try_send(peer, &message.into()).await.expect("Python can send");
    }

    /// One message of so many bytes on the data channel itself, in such pieces, which nothing of ProxyStore would send.
    pub async fn send_raw(&self, peer: Uuid, size: usize, piece: usize) {
        let request = json!({"do": "send_raw", "peer": peer.to_string(), "size": size, "piece": piece});
        self.0.ask(request).await.expect("Python can send");
    }

    /// `PeerManager.recv`.
    pub async fn recv(&self) -> (Uuid, Message) {
        let reply = self.0.ask(json!({"do": "recv"})).await.expect("Python can receive");
        let from = reply["from"].as_str().and_then(|from| from.parse().ok());
        (from.expect("a UUID"), unpack(&reply["message"]))
    }

    /// The states of its connections, as aiortc names them.
    pub async fn connections(&self) -> Vec<String> {
        let reply = self
            .0
            .ask(json!({"do": "connections"}))
            .await
            .expect("Python can list connections");
        serde_json::from_value(reply).expect("a list of states")
    }

    /// `PeerManager.close_connection`.
    pub async fn close_connection(&self, peer: Uuid) {
        self.0
            .ask(json!({"do": "close_connection", "peer": peer.to_string()}))
            .await
            .expect("Python can close");
    }

    /// `PeerManager.close`: its connections and its relay client. It raises "dictionary changed size during iteration"
    /// when a peer closes at the same moment.
    pub async fn close(&self) {
        self.0.ask(json!({"do": "close"})).await.expect("Python can close");
    }

    /// Ends the process without a word to anybody.
    pub async fn kill(mut self) {
        self.0.kill().await;
    }
}

/// A Python process with a ProxyStore `RelayClient` and one `PeerConnection`.
#[derive(Debug)]
pub struct ProxyStoreConnection(Process);

impl ProxyStoreConnection {
    /// Starts one, registered with the relay.
    pub async fn start(relay: &str, channels: u16) -> Self {
        Self(Process::start("connection", relay, Uuid::new_v4(), channels).await)
    }

    /// Its relay client's UUID.
    pub fn uuid(&self) -> Uuid {
        self.0.uuid
    }

    /// `PeerConnection.send_offer`.
    pub async fn send_offer(&self, peer: Uuid) {
        self.0
            .ask(json!({"do": "send_offer", "peer": peer.to_string()}))
            .await
            .expect("Python can offer");
    }

    /// `connection.handle_server_message(await client.recv())`.
    pub async fn handle_server_message(&self) {
        self.0
            .ask(json!({"do": "handle_server_message"}))
            .await
            .expect("Python can handle the message");
    }

    /// `PeerConnection.ready`.
    pub async fn ready(&self) {
        self.0.ask(json!({"do": "ready"})).await.expect("Python is ready");
    }

    /// `PeerConnection.send`.
    pub async fn send(&self, message: impl Into<Message>) {
        self.0
            .ask(json!({"do": "send", "message": pack(&message.into())}))
            .await
            .expect("Python can send");
    }

    /// `PeerConnection.recv`.
    pub async fn recv(&self) -> Message {
        unpack(&self.0.ask(json!({"do": "recv"})).await.expect("Python can receive"))
    }

    /// `PeerConnection.state`.
    pub async fn state(&self) -> String {
        let state = self.0.ask(json!({"do": "state"})).await.expect("Python has a state");
        state.as_str().expect("a state").to_owned()
    }

    /// `PeerConnection.close`.
    pub async fn close(&self) {
        self.0.ask(json!({"do": "close"})).await.expect("Python can close");
    }

    /// `RelayClient.close`.
    pub async fn close_client(&self) {
        self.0
            .ask(json!({"do": "close_client"}))
            .await
            .expect("Python can close");
    }
}

/// A Python process with only a ProxyStore `RelayClient`; its messages are JSON texts.
#[derive(Debug)]
pub struct ProxyStoreClient(Process);

impl ProxyStoreClient {
    /// Starts one, registered with the relay.
    pub async fn start(relay: &str) -> Self {
        Self::start_as(Uuid::new_v4(), relay).await
    }

    /// The same with a given UUID.
    pub async fn start_as(uuid: Uuid, relay: &str) -> Self {
        Self(Process::start("client", relay, uuid, 1).await)
    }

    /// Its UUID.
    pub fn uuid(&self) -> Uuid {
        self.0.uuid
    }

    /// `RelayClient.send`.
    pub async fn send(&self, text: &str) {
        self.0
            .ask(json!({"do": "send", "text": text}))
            .await
            .expect("Python can send");
    }

    /// `RelayClient.recv`; an exception, or the end of the process, is the error.
    pub async fn recv(&self) -> Result<String, String> {
        let reply = self.0.ask(json!({"do": "recv"})).await?;
        Ok(reply.as_str().expect("a JSON text").to_owned())
    }

    /// `RelayClient.close`.
    pub async fn close(&self) {
        self.0.ask(json!({"do": "close"})).await.expect("Python can close");
    }
}
