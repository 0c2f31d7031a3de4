//! loader
fn main() {}
