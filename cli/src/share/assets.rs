//! The page's files, as `build.rs` found them.

/// Name and content.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/www.rs"));

/// Shown where the page was not built.
const MISSING: &[u8] = b"<!doctype html><meta charset=utf-8><title>crosspeer</title>\
<p>This binary was built without its page. Build it with <code>cargo xtask www</code>, then build the binary again.";

/// A file of the page, and its media type.
pub(super) fn find(path: &str) -> Option<(&'static str, &'static [u8])> {
    let path = match path.trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let content = FILES
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, content)| *content);
    let content = content.or((path == "index.html").then_some(MISSING))?;
    Some((media_type(path), content))
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "json" | "webmanifest" => "application/json",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}
