//! events
fn main() {}
