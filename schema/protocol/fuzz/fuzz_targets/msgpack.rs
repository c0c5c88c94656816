//! Any bytes as msgpack: tokens cover the bytes in order, counts are never larger than the rest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trainwire_protocol::msgpack::{Token, Walker};

fuzz_target!(|data: &[u8]| {
    let mut walker = Walker::new(data);
    let mut at = walker.at_byte();
    while let Some(token) = walker.next() {
        match token {
            Ok(token) => {
                assert!(walker.at_byte() > at, "every token has a byte");
                at = walker.at_byte();
                let rest = (data.len() - at) as u64;
                match token {
                    Token::Array(count) => assert!(u64::from(count) <= rest),
                    Token::Map(pairs) => assert!(2 * u64::from(pairs) <= rest),
                    _ => {}
                }
            }
            Err(error) => {
                assert_eq!(error.at_byte, at);
                return;
            }
        }
    }
    assert_eq!(at, data.len(), "a value without an error is all there is");
});
