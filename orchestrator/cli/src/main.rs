//! trainwire-cli
fn main() {}
