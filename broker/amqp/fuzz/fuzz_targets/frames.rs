//! Feeds `leveret_amqp::fuzz::frames`, which says what is checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| leveret_amqp::fuzz::frames(data));
