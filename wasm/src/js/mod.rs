//! What the npm package is made of: the handles as JavaScript classes, thin. Events, iterators and whatever else is
//! shorter in JavaScript is in the wrapper, `wasm/js/`, which is also where users find the documentation.

mod abort;
mod connection;
mod error;
mod manager;
mod options;
mod relay;
mod value;

use abort::{done, promise};
use error::{JsResult, error, invalid};
use js_sys::Promise;
use web_sys::AbortSignal;
