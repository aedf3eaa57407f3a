//! What stands around a token: a relay's URL as users write it, whose secrets are never shown; and a request as anybody sends
//! it to a relay, with whatever query and headers. No panic, and no fault of the server's.
#![no_main]

use axum::body::Body;
use axum::http::{HeaderName, Request};
use crosspeer::relay::{shown_url, url_with_secret, usable_url};
use crosspeer_relay::{Hub, RelayConfig};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

const SECRET: &str = "0f1e2d3c-secret";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
static HUB: LazyLock<Hub> = LazyLock::new(|| {
    let hub = RUNTIME.block_on(async { Hub::new(&RelayConfig::default()) }).expect("a hub");
    hub.reserve(Default::default(), SECRET);
    hub
});

fuzz_target!(|text: &str| {
    url(text);
    request(text);
});

fn url(text: &str) {
    let Ok(usable) = usable_url(text) else {
        let refused = usable_url(&format!("{text}?token={SECRET}"));
        let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(SECRET) || text.contains('#') || !told.contains(SECRET), "{told}");
        return;
    };
    assert_eq!(usable_url(&usable).as_deref(), Ok(&*usable));
    let whole = url_with_secret(&usable, SECRET);
    assert_eq!(usable_url(&whole).as_deref(), Ok(&*whole));
    assert!(usable.contains(SECRET) || !shown_url(&whole).contains(SECRET));
}

/// The first line is path and query, others are headers.
fn request(text: &str) {
    let mut lines = text.split('\n');
    let mut request = Request::builder().uri(lines.next().unwrap_or_default());
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else { continue };
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Body::empty()) else { return };
    let status = RUNTIME.block_on(HUB.router().oneshot(request)).expect("infallible").status();
    assert!(!status.is_server_error(), "{status}");
}
