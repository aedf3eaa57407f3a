//! File transfer for JavaScript (feature `transfer`): [`crosspeer::transfer`]'s state machines for one connection, with
//! plain objects instead of enums. Files, buttons and connections are the page's.

use crosspeer::transfer::catalog::Catalog;
use crosspeer::transfer::{
    Offer, Packet, Receiver, ReceiverLimits, ReceiverOutput, Sender, SenderOutput, StopCode, sanitise,
};
use crosspeer::{Error, Message};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

/// All transfers of one connection, both ways.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Transfers {
    sender: Sender,
    receiver: Receiver,
}

#[wasm_bindgen]
impl Transfers {
    /// `window`: bytes that may be received and not yet written.
    #[wasm_bindgen(constructor)]
    pub fn new(window: u32) -> Self {
        let mut limits = ReceiverLimits::default();
        limits.window = window.into();
        Self {
            sender: Sender::new(),
            receiver: Receiver::new(limits),
        }
    }

    /// Takes a message of the peer. `undefined`: it was a transfer's. A string: it is a catalog message, as checked
    /// JSON. `null`: it is neither. Throws if the peer breaks the protocol.
    pub fn handle(&mut self, message: &JsValue) -> Result<JsValue, JsValue> {
        let message = match (message.as_string(), message.dyn_ref::<Uint8Array>()) {
            (Some(text), _) => Message::from(text),
            (_, Some(bytes)) => Message::from(bytes.to_vec()),
            _ => return Ok(JsValue::NULL),
        };
        match Packet::decode(message).map_err(thrown)? {
            Packet::ToSender(packet) => self.sender.handle(packet).map_err(thrown)?,
            Packet::ToReceiver(packet) => self.receiver.handle(packet).map_err(thrown)?,
            Packet::NotTransfer(message) => {
                let catalog = Catalog::decode(&message).map_err(thrown)?;
                let text = catalog.map(|catalog| catalog.encode());
                return Ok(text
                    .and_then(|m| m.as_text().map(JsValue::from))
                    .unwrap_or(JsValue::NULL));
            }
        }
        Ok(JsValue::UNDEFINED)
    }

    /// Queues a file, or an empty folder; its id. `modified` in milliseconds since 1970.
    pub fn offer(&mut self, name: String, size: f64, modified: Option<f64>, folder: bool) -> Result<u32, JsValue> {
        let modified = modified.map(|ms| ms as u64);
        let size = size as u64;
        let offer = Offer {
            name,
            size,
            modified,
            folder,
            ..Offer::default()
        };
        self.sender.offer(offer).map_err(thrown)
    }

    /// The bytes that a `read` asked for.
    pub fn block(&mut self, id: u32, data: &[u8]) {
        self.sender.block(id, data);
    }

    /// A `read` that could not be done.
    #[wasm_bindgen(js_name = readFailed)]
    pub fn read_failed(&mut self, id: u32, reason: &str) {
        self.sender.read_failed(id, reason);
    }

    /// Ends an outgoing transfer.
    pub fn cancel(&mut self, id: u32, reason: &str) {
        self.sender.cancel(id, reason);
    }

    /// Takes an offered file.
    pub fn accept(&mut self, id: u32) {
        self.receiver.accept(id);
    }

    /// Refuses an offer (`refused`), or ends an incoming transfer (`cancelled`, `failed`).
    pub fn stop(&mut self, id: u32, code: &str, reason: &str) {
        let code = match code {
            "refused" => StopCode::Refused,
            "cancelled" => StopCode::Cancelled,
            _ => StopCode::Failed,
        };
        self.receiver.stop(id, code, reason);
    }

    /// So many bytes of a `write` are written.
    pub fn written(&mut self, id: u32, bytes: usize) {
        self.receiver.written(id, bytes);
    }

    /// A `complete` file is in its place.
    pub fn finish(&mut self, id: u32) {
        self.receiver.finish(id);
    }

    /// The next thing to do, an object with a `type`; `undefined` until something happens. Reading for what goes comes
    /// last, so that what came is answered first.
    pub fn poll(&mut self) -> JsValue {
        match self.receiver.poll().map(incoming) {
            Some(output) => output,
            None => self.sender.poll().map_or(JsValue::UNDEFINED, outgoing),
        }
    }

    /// A name made safe for any file system; throws for one that leads out of its folder.
    pub fn sanitise(name: &str) -> Result<String, JsValue> {
        sanitise(name).map_err(|error| thrown(Error::InvalidInput(error.to_string())))
    }

    /// A catalog message of JSON (without `crosspeer`), as the peer takes it; throws for one that it would not.
    pub fn catalog(json: &str) -> Result<String, JsValue> {
        let rest = json.strip_prefix('{').unwrap_or(json);
        let text = Message::from(format!(r#"{{"crosspeer":"catalog/1",{rest}"#));
        match Catalog::decode(&text).map_err(thrown)?.map(|message| message.encode()) {
            Some(Message::Text(text)) => Ok(text),
            _ => Err(thrown(Error::InvalidInput("not a catalog message".into()))),
        }
    }
}

fn incoming(output: ReceiverOutput) -> JsValue {
    match output {
        ReceiverOutput::Send(message) => send(&message),
        ReceiverOutput::Offered { id, offer } => {
            let modified = offer.modified.map_or(JsValue::UNDEFINED, number);
            let fields = [
                ("name", offer.name.into()),
                ("size", number(offer.size)),
                ("modified", modified),
            ];
            object("offered", id, fields)
        }
        ReceiverOutput::Write { id, data, .. } => object("write", id, [("data", Uint8Array::from(&data[..]).into())]),
        ReceiverOutput::Complete { id, hash } => object("complete", id, [("hash", hex(&hash))]),
        ReceiverOutput::Stopped { id, code, reason } | ReceiverOutput::Refused { id, code, reason } => {
            stopped("receiving-stopped", id, code, reason)
        }
        _ => object("ignored", 0, []),
    }
}

fn outgoing(output: SenderOutput) -> JsValue {
    match output {
        SenderOutput::Send(message) => send(&message),
        SenderOutput::Read { id, offset, len } => {
            object("read", id, [("offset", number(offset)), ("length", number(len as u64))])
        }
        SenderOutput::Accepted { id } => object("accepted", id, []),
        SenderOutput::Progress { id, stored } => object("progress", id, [("stored", number(stored))]),
        SenderOutput::Done { id, hash, name } => object(
            "sent",
            id,
            [
                ("hash", hex(&hash)),
                ("name", name.map_or(JsValue::UNDEFINED, Into::into)),
            ],
        ),
        SenderOutput::Stopped { id, code, reason } => stopped("sending-stopped", id, code, reason),
        _ => object("ignored", 0, []),
    }
}

fn send(message: &Message) -> JsValue {
    let data = match message {
        Message::Text(text) => text.into(),
        Message::Bytes(bytes) => Uint8Array::from(&bytes[..]).into(),
    };
    object("send", 0, [("data", data)])
}

fn stopped(kind: &str, id: u32, code: StopCode, reason: String) -> JsValue {
    object(kind, id, [("code", code.as_str().into()), ("reason", reason.into())])
}

fn object<const N: usize>(kind: &str, id: u32, fields: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    let set = |key: &str, value: &JsValue| {
        let _ = Reflect::set(&object, &key.into(), value);
    };
    set("type", &kind.into());
    set("id", &id.into());
    fields.iter().for_each(|(key, value)| set(key, value));
    object.into()
}

/// Sizes are below 2⁵³, which a number holds exactly.
fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

fn hex(hash: &[u8]) -> JsValue {
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.into()
}

fn thrown(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    let _ = Reflect::set(&thrown, &"code".into(), &error.code().into());
    thrown.into()
}
