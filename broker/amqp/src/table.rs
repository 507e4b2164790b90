//! Field tables: arguments of declarations, client and server properties, message headers.
//!
//! [`Table`] owns its entries and keeps them in the order they came, duplicates included, because headers are passed on as
//! they were sent. [`RawTable`] borrows the bytes of a table out of a frame. It can only be made by a complete check of
//! those bytes, so whoever holds one decodes it later without any error to handle; until then it costs one walk and no
//! allocation.

use crate::error::DecodeError;
use crate::value::{FieldValue, RawValue};
use crate::wire::{Reader, begin_sized, end_sized, put_long_bytes, put_short_str};

/// How deep tables and arrays may nest; the outermost table counts as one. Real headers (x-death) need three.
///
/// Checking and decoding recurse, and stacks of coroutines are small.
pub const TABLE_DEPTH_MAX: usize = 32;

/// A table with its entries, in the order in which they were inserted or received.
///
/// ```
/// use leveret_amqp::table::Table;
///
/// let arguments = Table::new().with("x-max-length", 10).with("x-overflow", "reject-publish");
/// assert_eq!(arguments.get("x-max-length").and_then(|value| value.as_integer()), Some(10));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    entries: Vec<(String, FieldValue)>,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table with one more entry, for building literals. Keys are cut at 255 bytes when encoded.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<FieldValue>) -> Self {
        self.push(key, value);
        self
    }

    /// Adds an entry at the end, even if there is one with this key.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<FieldValue>) {
        self.entries.push((key.into(), value.into()));
    }

    /// Replaces the value of the first entry with this key, or adds an entry at the end.
    pub fn set(&mut self, key: &str, value: impl Into<FieldValue>) {
        let value = value.into();
        match self.entries.iter_mut().find(|(known, _)| known == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }

    /// Takes every entry with this key out and returns the first one's value.
    pub fn remove(&mut self, key: &str) -> Option<FieldValue> {
        let position = self.entries.iter().position(|(known, _)| known == key)?;
        let (_, value) = self.entries.remove(position);
        self.entries.retain(|(known, _)| known != key);
        Some(value)
    }

    /// Sorts the entries by key, as RabbitMQ does with headers that it rewrites; equal keys keep their order.
    pub fn sort(&mut self) {
        self.entries.sort_by(|left, right| left.0.cmp(&right.0));
    }

    /// The value of the first entry with this key.
    pub fn get(&self, key: &str) -> Option<&FieldValue> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Whether there is an entry with this key.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Number of entries, duplicates included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Appends the table with its 32-bit length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mark = begin_sized(out);
        for (key, value) in &self.entries {
            put_short_str(out, key);
            value.encode(out);
        }
        end_sized(out, mark);
    }

    /// The entries' bytes without the length: what [`RawTable::parse`] takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.split_off(4)
    }
}

impl FromIterator<(String, FieldValue)> for Table {
    fn from_iter<I: IntoIterator<Item = (String, FieldValue)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl IntoIterator for Table {
    type Item = (String, FieldValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// The bytes of a table that were checked and not yet decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTable<'a> {
    /// The entries without the table's length; valid through and through.
    bytes: &'a [u8],
}

impl<'a> RawTable<'a> {
    /// The table with no entries.
    pub const EMPTY: RawTable<'static> = RawTable { bytes: &[] };

    /// Checks the entries of a table, given without the length in front of them: sizes, type octets, UTF-8 of the keys and
    /// the depth of nesting.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::check(bytes, 1)?;
        Ok(Self { bytes })
    }

    /// Decodes all of it.
    pub fn decode(&self) -> Table {
        self.iter().map(|(key, value)| (key.to_owned(), value.decode())).collect()
    }

    /// The entries in order, still undecoded.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, RawValue<'a>)> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        std::iter::from_fn(move || {
            let key = reader.short_str().ok()?;
            Some((key, RawValue::next(&mut reader)?))
        })
    }

    /// The first value with this key, still undecoded.
    pub fn find(&self, key: &str) -> Option<RawValue<'a>> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The entries' bytes, without the table's length.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads the length and the entries.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::parse(reader.long_bytes()?)
    }

    /// Appends the length and the entries.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_long_bytes(out, self.bytes);
    }

    /// Takes bytes that a check has already passed over.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn check(bytes: &'a [u8], depth: usize) -> Result<(), DecodeError> {
        if depth > TABLE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            reader.short_str()?;
            RawValue::check(&mut reader, depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, hex};

    /// Checks both directions of a table with one entry `a` against the bytes of its value.
    fn check(value: FieldValue, type_name: &str, digits: &str) {
        assert_eq!(value.type_name(), type_name);
        let bytes = [hex("01 61"), hex(digits)].concat();
        let table = Table::new().with("a", value);
        assert_eq!(table.to_bytes(), bytes, "encoding {type_name}");
        assert_eq!(RawTable::parse(&bytes).map(|raw| raw.decode()), Ok(table), "decoding {type_name}");
        for end in 1..bytes.len() {
            assert_eq!(RawTable::parse(&bytes[..end]), Err(DecodeError::Truncated), "{type_name} cut at {end}");
        }
    }

    #[test]
    fn every_type_both_ways() {
        check(FieldValue::Bool(true), "bool", "74 01");
        check(FieldValue::I8(-2), "byte", "62 FE");
        check(FieldValue::U8(254), "unsignedbyte", "42 FE");
        check(FieldValue::I16(-2), "short", "73 FFFE");
        check(FieldValue::U16(65534), "unsignedshort", "75 FFFE");
        check(FieldValue::I32(-2), "signedint", "49 FFFFFFFE");
        check(FieldValue::U32(4_294_967_294), "unsignedint", "69 FFFFFFFE");
        check(FieldValue::I64(-2), "long", "6C FFFFFFFFFFFFFFFE");
        check(FieldValue::F32(-1.5), "float", "66 BFC00000");
        check(FieldValue::F64(-1.5), "double", "64 BFF8000000000000");
        check(FieldValue::Decimal { scale: 2, value: 314 }, "decimal", "44 02 0000013A");
        check(FieldValue::LongString(b"h\xff".into()), "longstr", "53 00000002 68FF");
        check(FieldValue::Array(vec![FieldValue::Void, FieldValue::U8(7)]), "array", "41 00000003 56 4207");
        check(FieldValue::Timestamp(1), "timestamp", "54 0000000000000001");
        check(FieldValue::Table(Table::new().with("b", false)), "table", "46 00000004 01 62 74 00");
        check(FieldValue::Bytes(b"h\xff".into()), "binary", "78 00000002 68FF");
        check(FieldValue::Void, "void", "56");
    }

    #[test]
    fn odd_bytes_are_taken_as_rabbitmq_takes_them() {
        let check = |digits: &str, expected| {
            let bytes = [hex("01 61"), hex(digits)].concat();
            let value = RawTable::parse(&bytes).map(|raw| raw.find("a").expect("the only entry").decode());
            assert_eq!(value, expected, "{digits}");
        };
        check("4C 0000000000000005", Ok(FieldValue::I64(5)));
        check("74 02", Ok(FieldValue::Bool(true)));
        check("55 0001", Err(DecodeError::FieldType(b'U')));
        check("00", Err(DecodeError::FieldType(0)));
        check("41 00000001 7A", Err(DecodeError::FieldType(b'z')));
        check("46 00000003 01 FF 56", Err(DecodeError::Utf8));
        check("46 00000005 01 62 74 00", Err(DecodeError::Truncated));
    }

    #[test]
    fn random_tables_survive() {
        let mut random = Random::new(3);
        for _ in 0..2000 {
            let table = random.table(4);
            let bytes = table.to_bytes();
            let raw = RawTable::parse(&bytes).expect("a table of ours");
            assert_eq!(raw.decode(), table);
            assert!(raw.iter().map(|(key, _)| key).eq(table.iter().map(|(key, _)| key)));
            for (key, _) in table.iter() {
                assert_eq!(raw.find(key).map(|value| value.decode()).as_ref(), table.get(key));
            }
        }
    }

    #[test]
    fn random_bytes_never_panic_and_what_is_taken_survives() {
        let mut random = Random::new(4);
        for _ in 0..20_000 {
            let mut bytes = random.table(3).to_bytes();
            if !bytes.is_empty() {
                let index = random.below(bytes.len());
                bytes[index] = random.byte();
            }
            if let Ok(raw) = RawTable::parse(&bytes) {
                let table = raw.decode();
                let again = table.to_bytes();
                assert_eq!(RawTable::parse(&again).map(|raw| raw.decode().to_bytes()), Ok(again.clone()));
            }
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let tables = |depth: usize| (1..depth).fold(Table::new(), |inner, _| Table::new().with("t", inner));
        let arrays = |depth: usize| {
            let innermost = FieldValue::Array(Vec::new());
            Table::new().with("a", (2..depth).fold(innermost, |inner, _| FieldValue::Array(vec![inner])))
        };
        for nested in [&tables as &dyn Fn(usize) -> Table, &arrays] {
            assert_eq!(RawTable::parse(&nested(TABLE_DEPTH_MAX).to_bytes()).map(drop), Ok(()));
            assert_eq!(RawTable::parse(&nested(TABLE_DEPTH_MAX + 1).to_bytes()), Err(DecodeError::TooDeep));
        }
    }

    #[test]
    fn entries_keep_order_and_duplicates() {
        let mut table = Table::new().with("b", 1).with("a", 2).with("b", 3);
        let raw = table.to_bytes();
        assert_eq!(RawTable::parse(&raw).map(|raw| raw.decode()), Ok(table.clone()));
        assert_eq!(table.get("b"), Some(&FieldValue::I32(1)));
        table.set("b", 4);
        table.sort();
        assert_eq!(table, Table::new().with("a", 2).with("b", 4).with("b", 3));
        assert_eq!(table.remove("b"), Some(FieldValue::I32(4)));
        assert_eq!(table, Table::new().with("a", 2));
    }

    #[test]
    fn integers_of_any_width_are_integers() {
        let check = |value: FieldValue, expected| assert_eq!(value.as_integer(), expected);
        check(FieldValue::I8(-1), Some(-1));
        check(FieldValue::U32(u32::MAX), Some(4_294_967_295));
        check(FieldValue::I64(i64::MIN), Some(i64::MIN));
        check(FieldValue::F64(1.0), None);
        check(FieldValue::Timestamp(1), None);
        check("1".into(), None);
    }
}
