//! What the tests of this crate share: a tiny random generator and random values. Compiled for tests only.

use crate::properties::BasicProperties;
use crate::table::Table;
use crate::value::FieldValue;

/// Marsaglia's xorshift: enough for tests, and a seed gives the same values everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).expect("fits")).expect("fits")
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next() & 0x100 != 0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[3]
    }

    pub(crate) fn bytes(&mut self, size_max: usize) -> Vec<u8> {
        (0..self.below(size_max + 1)).map(|_| self.byte()).collect()
    }

    pub(crate) fn text(&mut self, length_max: usize) -> String {
        const LETTERS: [char; 6] = ['a', 'Z', '.', '-', 'é', '兎'];
        (0..self.below(length_max + 1)).map(|_| LETTERS[self.below(LETTERS.len())]).collect()
    }

    pub(crate) fn table(&mut self, depth: usize) -> Table {
        (0..self.below(5)).map(|_| (self.text(6), self.value(depth))).collect()
    }

    pub(crate) fn value(&mut self, depth: usize) -> FieldValue {
        let number = self.next();
        match self.below(if depth == 0 { 15 } else { 17 }) {
            0 => FieldValue::Bool(number & 1 == 1),
            1 => FieldValue::I8(self.byte().cast_signed()),
            2 => FieldValue::U8(self.byte()),
            3 => FieldValue::I16((number >> 48) as i16),
            4 => FieldValue::U16((number >> 48) as u16),
            5 => FieldValue::I32((number >> 32) as i32),
            6 => FieldValue::U32((number >> 32) as u32),
            7 => FieldValue::I64(number.cast_signed()),
            8 => FieldValue::F32((number >> 40) as f32),
            9 => FieldValue::F64((number >> 12) as f64),
            10 => FieldValue::Decimal { scale: self.byte(), value: (number >> 32) as u32 },
            11 => FieldValue::LongString(self.bytes(20)),
            12 => FieldValue::Timestamp(number),
            13 => FieldValue::Bytes(self.bytes(20)),
            14 => FieldValue::Void,
            15 => FieldValue::Array((0..self.below(4)).map(|_| self.value(depth - 1)).collect()),
            _ => FieldValue::Table(self.table(depth - 1)),
        }
    }

    pub(crate) fn properties(&mut self) -> BasicProperties {
        BasicProperties {
            content_type: self.short(),
            content_encoding: self.short(),
            headers: self.flip().then(|| self.table(2)),
            delivery_mode: self.flip().then(|| self.byte()),
            priority: self.flip().then(|| self.byte()),
            correlation_id: self.short(),
            reply_to: self.short(),
            expiration: self.short(),
            message_id: self.short(),
            timestamp: self.flip().then(|| self.next()),
            kind: self.short(),
            user_id: self.short(),
            app_id: self.short(),
            cluster_id: self.short(),
        }
    }

    fn short(&mut self) -> Option<Vec<u8>> {
        self.flip().then(|| self.bytes(12))
    }
}

/// Bytes written as hexadecimal digits, with spaces and line breaks where they help.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let nibbles: Vec<u8> = digits
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .map(|digit| u8::try_from(digit.to_digit(16).expect("a hexadecimal digit")).expect("fits"))
        .collect();
    nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A frame, written naively.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a small payload");
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xCE]].concat()
}
