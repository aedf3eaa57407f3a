//! Glue.
fn main() {}
