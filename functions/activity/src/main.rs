//! activity
fn main() {}
