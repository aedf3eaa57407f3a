//! The hostile relay for pages: `hostile-relay TRICK` prints where it listens and ends with its input; without a trick it
//! prints a JSON array of `[name, end]`.

use crosspeer_tests::{TRICKS, hostile_relay};
use std::io::Read as _;

#[tokio::main]
async fn main() {
    let Some(name) = std::env::args().nth(1) else {
        let all: Vec<_> = TRICKS.iter().map(|(name, end, _)| (name, format!("{end:?}"))).collect();
        return println!("{}", serde_json::json!(all));
    };
    let trick = TRICKS.iter().find(|(known, ..)| *known == name).expect("a known trick");
    println!("listening on {}", hostile_relay(trick.2).await);
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await.expect("no panic").expect("an input");
}
