//! Checks that neither rustc nor clippy can make.
fn main() {}
