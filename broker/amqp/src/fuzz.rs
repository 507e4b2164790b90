//! Entry points for fuzzing; not part of the interface.
//!
//! They live here, so that targets are one line each and `cargo test` replays their corpus. Each takes any bytes and panics
//! when a promise of the crate is broken: what decodes also encodes to the same meaning, nothing is read past the end, and the
//! state machines give the same events and output however their input is cut.

use crate::frame::Frame;
use crate::method::{Method, WireMethod};
use crate::properties::{BasicProperties, Properties};
use crate::table::RawTable;

mod machine;

pub use machine::{client, server};

/// The frame splitter: frames lie one after another and their sizes add up.
pub fn frames(data: &[u8]) {
    const PAYLOAD_MAX: usize = 4096;
    let mut rest = data;
    while let Ok(Some((frame, size))) = Frame::parse(rest, PAYLOAD_MAX) {
        assert_eq!(size, frame.payload.len() + crate::frame::FRAME_OVERHEAD);
        assert_eq!(size, crate::frame::frame_size(rest));
        assert!(frame.payload.len() <= PAYLOAD_MAX);
        assert_eq!(Frame::parse(&rest[..size - 1], PAYLOAD_MAX), Ok(None), "a frame is whole or not there");
        rest = &rest[size..];
    }
}

/// The method decoder: what decodes encodes to bytes that decode to the same.
pub fn methods(data: &[u8]) {
    let Ok(method) = Method::decode(data) else { return };
    let mut encoded = Vec::new();
    method.encode(&mut encoded);
    assert_eq!(Method::decode(&encoded), Ok(method));
    assert!(encoded.len() <= data.len(), "only reserved strings are dropped");
}

/// The table decoder: what decodes encodes to a table with the same bytes, `L` and odd booleans aside.
pub fn tables(data: &[u8]) {
    let Ok(raw) = RawTable::parse(data) else { return };
    let table = raw.decode();
    let encoded = table.to_bytes();
    assert_eq!(encoded.len(), data.len());
    let again = RawTable::parse(&encoded).expect("a table of ours").decode();
    assert_eq!(again.to_bytes(), encoded);
    assert_eq!(table.len(), raw.iter().count());
}

/// The properties: raw bytes stay as they are, decoded ones encode to the same meaning.
pub fn properties(data: &[u8]) {
    let Ok(raw) = Properties::parse(data) else { return };
    assert_eq!(raw.raw(), data);
    let decoded = BasicProperties::from(&raw);
    let encoded = decoded.encode();
    assert_eq!(encoded.raw().len(), data.len());
    assert_eq!(BasicProperties::from(&encoded).encode(), encoded);
}
