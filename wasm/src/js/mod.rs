//! What the npm package is made of: one class for all handles, thin. Events, iterators, checks of arguments and
//! whatever else is shorter in JavaScript is in the wrapper, `wasm/js/`, which is also where users find the
//! documentation.
//!
//! Each function that the module exports costs some 500 bytes on both sides, and each kind of future that JavaScript
//! waits for as many again. So there is one of each: `Handle::call`, and [`promise::promise`].

mod error;
mod handle;
mod promise;
mod settings;

use error::{JsResult, invalid, thrown};
use promise::promise;
use web_sys::AbortSignal;
