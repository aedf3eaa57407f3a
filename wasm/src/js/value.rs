//! Messages and relay messages, to and from JavaScript.

use super::{JsResult, invalid};
use crosspeer::Message;
use crosspeer::relay::{DescriptionType, PeerConnectionMessage};
use js_sys::{Object, Reflect, Uint8Array};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};

/// A string, or bytes in a `Uint8Array` (the wrapper turns whatever else it takes into one).
pub(super) fn message(value: &JsValue) -> JsResult<Message> {
    if let Some(text) = value.as_string() {
        return Ok(text.into());
    }
    match value.dyn_ref::<Uint8Array>() {
        Some(bytes) => Ok(bytes.to_vec().into()),
        None => Err(invalid("a message is a string, Uint8Array, ArrayBuffer or Blob")),
    }
}

pub(super) fn from_message(message: &Message) -> JsValue {
    match message {
        Message::Text(text) => text.into(),
        Message::Bytes(bytes) => Uint8Array::from(&bytes[..]).into(),
    }
}

pub(super) fn uuid(text: &str) -> JsResult<Uuid> {
    Uuid::try_parse(text).map_err(|_| invalid(format!("{text:?} is not a UUID")))
}

pub(super) fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or_default()
}

pub(super) fn text(object: &JsValue, key: &str) -> JsResult<String> {
    get(object, key)
        .as_string()
        .ok_or_else(|| invalid(format!("`{key}` must be a string")))
}

pub(super) fn relay_message(object: &JsValue) -> JsResult<PeerConnectionMessage> {
    let description_type = match text(object, "descriptionType")?.as_str() {
        "offer" => DescriptionType::Offer,
        "answer" => DescriptionType::Answer,
        other => {
            return Err(invalid(format!(
                "`descriptionType` is {other:?}, must be \"offer\" or \"answer\""
            )));
        }
    };
    Ok(PeerConnectionMessage {
        source_uuid: uuid(&text(object, "sourceUuid")?)?,
        source_name: text(object, "sourceName")?,
        peer_uuid: uuid(&text(object, "peerUuid")?)?,
        description_type,
        description: text(object, "description")?,
        error: get(object, "error").as_string(),
    })
}

pub(super) fn from_relay_message(message: &PeerConnectionMessage) -> JsValue {
    let object = Object::new();
    let set = |key: &str, value: JsValue| {
        let _ = Reflect::set(&object, &key.into(), &value);
    };
    set("sourceUuid", message.source_uuid.to_string().into());
    set("sourceName", message.source_name.as_str().into());
    set("peerUuid", message.peer_uuid.to_string().into());
    let description_type = match message.description_type {
        DescriptionType::Offer => "offer",
        DescriptionType::Answer => "answer",
    };
    set("descriptionType", description_type.into());
    set("description", message.description.as_str().into());
    if let Some(error) = &message.error {
        set("error", error.as_str().into());
    }
    object.unchecked_into()
}
