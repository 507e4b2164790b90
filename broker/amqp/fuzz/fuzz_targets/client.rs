//! Feeds `leveret_amqp::fuzz::client`, which says what is checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| leveret_amqp::fuzz::client(data));
