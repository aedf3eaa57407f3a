//! Errors as JavaScript's: an `Error` with `code`.

use crosspeer::Error;
use wasm_bindgen::JsValue;

pub(super) type JsResult<T> = Result<T, JsValue>;

/// An `Error` whose `code` is the stable name of what went wrong.
pub(super) fn thrown(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    let _ = js_sys::Reflect::set(&thrown, &"code".into(), &error.code().into());
    thrown.into()
}

/// An argument that cannot be used.
pub(super) fn invalid(text: impl Into<String>) -> JsValue {
    thrown(Error::InvalidInput(text.into()))
}
