//! The binary `millrace`.
fn main() {}
