//! Leveret.
fn main() {}
