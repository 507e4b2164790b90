//! Feeds `leveret_amqp::fuzz::properties`, which says what is checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| leveret_amqp::fuzz::properties(data));
