//! The simulator's worlds end well on wasm as they do natively: run under Node.
#![cfg(target_family = "wasm")]
#![allow(missing_docs)]

use wasm_bindgen_test::wasm_bindgen_test;
use web_time::Instant;

#[wasm_bindgen_test]
#[allow(clippy::disallowed_methods)] // where a world's clock begins
fn every_world_ends_well() {
    for (name, world) in crosspeer::sim::worlds::all() {
        for seed in 0..20 {
            assert_eq!(world(Instant::now(), seed), Ok(()), "{name}, seed {seed}");
        }
    }
}
