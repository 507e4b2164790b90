//! The bytes of stored keys and values. FORMAT.md describes them.

use leveret_core::Name;
use leveret_core::value::{Arguments, IntKind, Value};

/// How deeply values may be nested: as deeply as clients may send them.
const DEPTH_MAX: usize = 128;

/// Stored bytes that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

/// Appends to bytes.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// For a key: its kind, then names.
    pub(super) fn key(kind: u8, names: &[&str]) -> Vec<u8> {
        let mut writer = Self(vec![kind]);
        names.iter().for_each(|name| writer.name(name));
        writer.0
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// A length in two bytes and text; for the names in keys, which have at most 255 bytes.
    pub(super) fn name(&mut self, text: &str) {
        self.u16(u16::try_from(text.len()).expect("names have at most 255 bytes"));
        self.0.extend(text.as_bytes());
    }

    /// A length in four bytes and text.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A length in four bytes and bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("a value fits into a frame"));
        self.0.extend(bytes);
    }

    pub(super) fn optional(&mut self, text: Option<&str>) {
        self.bool(text.is_some());
        if let Some(text) = text {
            self.text(text);
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("memory ends before four billion entries"));
    }

    pub(super) fn arguments(&mut self, arguments: &Arguments) {
        self.count(arguments.len());
        for (name, value) in arguments.iter() {
            self.bytes(name.as_bytes());
            self.value(value);
        }
    }

    /// The tag is AMQP's type octet.
    pub(super) fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.tagged(b't', &[u8::from(*value)]),
            Value::Int { value, kind } => self.tagged(int_tag(*kind), &value.to_be_bytes()),
            Value::Float(value) => self.tagged(b'f', &value.to_be_bytes()),
            Value::Double(value) => self.tagged(b'd', &value.to_be_bytes()),
            Value::Decimal { scale, value } => {
                self.tagged(b'D', &[*scale]);
                self.u32(*value);
            }
            Value::Str(bytes) => {
                self.u8(b'S');
                self.bytes(bytes);
            }
            Value::Bytes(bytes) => {
                self.u8(b'x');
                self.bytes(bytes);
            }
            Value::Array(values) => {
                self.u8(b'A');
                self.count(values.len());
                values.iter().for_each(|value| self.value(value));
            }
            Value::Timestamp(seconds) => self.tagged(b'T', &seconds.to_be_bytes()),
            Value::Table(table) => {
                self.u8(b'F');
                self.arguments(table);
            }
            Value::Void => self.u8(b'V'),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.u8(tag);
        self.0.extend(bytes);
    }
}

const INT_TAGS: [(IntKind, u8); 7] = [
    (IntKind::Byte, b'b'),
    (IntKind::UnsignedByte, b'B'),
    (IntKind::Short, b's'),
    (IntKind::UnsignedShort, b'u'),
    (IntKind::SignedInt, b'I'),
    (IntKind::UnsignedInt, b'i'),
    (IntKind::Long, b'l'),
];

fn int_tag(kind: IntKind) -> u8 {
    INT_TAGS.iter().find(|(other, _)| *other == kind).map_or(b'l', |(_, tag)| *tag)
}

/// Reads from bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Corrupt> {
        if self.0.is_empty() { Ok(()) } else { Err(Corrupt) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Corrupt> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Corrupt> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Corrupt> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Corrupt> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Corrupt> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Corrupt> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Corrupt> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Corrupt),
        }
    }

    pub(super) fn name(&mut self) -> Result<Name, Corrupt> {
        let size = self.u16()?;
        str::from_utf8(self.take(size.into())?).map(Name::from).map_err(|_| Corrupt)
    }

    pub(super) fn text(&mut self) -> Result<Name, Corrupt> {
        str::from_utf8(self.bytes()?).map(Name::from).map_err(|_| Corrupt)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let size = self.u32()?;
        self.take(usize::try_from(size).map_err(|_| Corrupt)?)
    }

    pub(super) fn optional(&mut self) -> Result<Option<Name>, Corrupt> {
        if self.bool()? { self.text().map(Some) } else { Ok(None) }
    }

    /// So many of what `read` reads; each takes at least a byte, so a wrong count cannot ask for much memory.
    pub(super) fn list<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, Corrupt>) -> Result<Vec<T>, Corrupt> {
        let count = self.u32()?;
        (0..count).map(|_| read(self)).collect()
    }

    pub(super) fn arguments(&mut self) -> Result<Arguments, Corrupt> {
        self.table(0)
    }

    pub(super) fn value(&mut self) -> Result<Value, Corrupt> {
        self.value_at(0)
    }

    fn table(&mut self, depth: usize) -> Result<Arguments, Corrupt> {
        let entries = self.list(|reader| {
            let name = str::from_utf8(reader.bytes()?).map_err(|_| Corrupt)?;
            Ok((Box::<str>::from(name), reader.value_at(depth + 1)?))
        });
        entries.map(|entries| entries.into_iter().collect())
    }

    fn value_at(&mut self, depth: usize) -> Result<Value, Corrupt> {
        if depth > DEPTH_MAX {
            return Err(Corrupt);
        }
        Ok(match self.u8()? {
            b't' => Value::Bool(self.bool()?),
            b'f' => Value::Float(f32::from_be_bytes(self.array()?)),
            b'd' => Value::Double(f64::from_be_bytes(self.array()?)),
            b'D' => Value::Decimal { scale: self.u8()?, value: self.u32()? },
            b'S' => Value::Str(self.bytes()?.into()),
            b'x' => Value::Bytes(self.bytes()?.into()),
            b'A' => Value::Array(self.list(|reader| reader.value_at(depth + 1))?),
            b'T' => Value::Timestamp(self.u64()?),
            b'F' => Value::Table(self.table(depth)?),
            b'V' => Value::Void,
            tag => {
                let (kind, _) = INT_TAGS.iter().find(|(_, other)| *other == tag).ok_or(Corrupt)?;
                Value::Int { value: self.i64()?, kind: *kind }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<Value> {
        let table: Arguments =
            [("a", Value::long(1)), ("b", Value::str("x")), ("a", Value::Void)].into_iter().collect();
        let int = |(kind, _)| Value::Int { value: -3, kind };
        let mut values: Vec<_> = INT_TAGS.into_iter().map(int).collect();
        values.extend([
            Value::Bool(true),
            Value::Float(1.5),
            Value::Double(-2.25),
            Value::Decimal { scale: 2, value: 314 },
            Value::Str((*b"\xff\0").into()),
            Value::Bytes((*b"bytes").into()),
            Value::Array(vec![Value::Void, Value::Array(vec![])]),
            Value::Timestamp(u64::MAX),
            Value::Table(table),
            Value::Void,
        ]);
        values
    }

    #[test]
    fn values_come_back_as_they_were() {
        for value in values() {
            let mut writer = Writer::default();
            writer.value(&value);
            let mut reader = Reader(&writer.0);
            let back = reader.value().expect("our own bytes");
            assert_eq!(
                (format!("{back:?}"), reader.end()),
                (format!("{value:?}"), Ok(())),
                "widths and duplicates too"
            );
        }
    }

    #[test]
    fn bytes_that_are_cut_or_changed_do_not_panic() {
        for value in values() {
            let mut writer = Writer::default();
            writer.value(&value);
            for cut in 0..writer.0.len() {
                assert!(Reader(&writer.0[..cut]).value().is_err(), "{value:?} cut at {cut}");
            }
            for at in 0..writer.0.len() {
                let mut changed = writer.0.clone();
                changed[at] ^= 0x80;
                let _ = Reader(&changed).value();
            }
        }
        let mut deep = Writer(b"A\0\0\0\x01".repeat(DEPTH_MAX));
        deep.u8(b'V');
        assert!(Reader(&deep.0).value().is_ok());
        let deeper = [b"A\0\0\0\x01".as_slice(), &deep.0].concat();
        assert!(Reader(&deeper).value().is_err());
    }
}
