//! Field values: what a table or an array holds.
//!
//! The type octets are those that RabbitMQ and all its clients use, not those that the 0-9-1 paper prints: `s` is a signed
//! 16-bit integer and never a short string, `b`/`B` are 8-bit integers, `l` and `L` are both signed 64-bit. There are two
//! forms: [`FieldValue`] owns and [`RawValue`] borrows a validated value without decoding it.

use crate::error::DecodeError;
use crate::table::{RawTable, TABLE_DEPTH_MAX, Table};
use crate::wire::{Reader, begin_sized, end_sized, put_long_bytes};

/// A value in a table or an array.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`.
    Bool(bool),
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`, and `L` when it comes in.
    I64(i64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// All digits, as a number.
        value: u32,
    },
    /// `S`: a long string, which is any bytes.
    LongString(Vec<u8>),
    /// `A`.
    Array(Vec<FieldValue>),
    /// `T`: seconds since the epoch.
    Timestamp(u64),
    /// `F`.
    Table(Table),
    /// `x`: a byte array.
    Bytes(Vec<u8>),
    /// `V`: no value.
    Void,
}

impl FieldValue {
    /// The name of the type in RabbitMQ's error texts, such as `longstr`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongString(_) => "longstr",
            Self::Array(_) => "array",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Bytes(_) => "binary",
            Self::Void => "void",
        }
    }

    /// The number, whatever the width of the integer; `None` for what is no integer.
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) => Some(value),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The long string's text, if it is one and is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::LongString(bytes) = self { std::str::from_utf8(bytes).ok() } else { None }
    }

    /// The bytes of a long string or a byte array.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::LongString(bytes) | Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The nested table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        if let Self::Table(table) = self { Some(table) } else { None }
    }

    /// The array's members, if it is one.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(values) = self { Some(values) } else { None }
    }

    /// Appends the type octet and the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => put(out, b't', [u8::from(*value)]),
            Self::I8(value) => put(out, b'b', value.to_be_bytes()),
            Self::U8(value) => put(out, b'B', [*value]),
            Self::I16(value) => put(out, b's', value.to_be_bytes()),
            Self::U16(value) => put(out, b'u', value.to_be_bytes()),
            Self::I32(value) => put(out, b'I', value.to_be_bytes()),
            Self::U32(value) => put(out, b'i', value.to_be_bytes()),
            Self::I64(value) => put(out, b'l', value.to_be_bytes()),
            Self::F32(value) => put(out, b'f', value.to_be_bytes()),
            Self::F64(value) => put(out, b'd', value.to_be_bytes()),
            Self::Timestamp(value) => put(out, b'T', value.to_be_bytes()),
            Self::Void => out.push(b'V'),
            Self::Decimal { scale, value } => {
                put(out, b'D', [*scale]);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::LongString(bytes) => put_sized(out, b'S', bytes),
            Self::Bytes(bytes) => put_sized(out, b'x', bytes),
            Self::Array(values) => encode_array(values, out),
            Self::Table(table) => {
                out.push(b'F');
                table.encode(out);
            }
        }
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, octet: u8, bytes: [u8; N]) {
    out.push(octet);
    out.extend_from_slice(&bytes);
}

fn put_sized(out: &mut Vec<u8>, octet: u8, bytes: &[u8]) {
    out.push(octet);
    put_long_bytes(out, bytes);
}

fn encode_array(values: &[FieldValue], out: &mut Vec<u8>) {
    out.push(b'A');
    let mark = begin_sized(out);
    for value in values {
        value.encode(out);
    }
    end_sized(out, mark);
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for FieldValue {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::LongString(text.as_bytes().to_vec())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::LongString(text.into_bytes())
    }
}

impl From<Table> for FieldValue {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl From<Vec<FieldValue>> for FieldValue {
    fn from(values: Vec<FieldValue>) -> Self {
        Self::Array(values)
    }
}

/// A validated value that still lies in the frame: nothing is copied until somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawValue<'a> {
    /// One of the type octets of this module.
    octet: u8,
    /// The value without its type octet and, for strings, tables and arrays, without its length.
    bytes: &'a [u8],
}

impl<'a> RawValue<'a> {
    /// Decodes into an owned value.
    pub fn decode(&self) -> FieldValue {
        self.try_decode().unwrap_or(FieldValue::Void)
    }

    /// The bytes of a long string.
    pub fn as_long_string(&self) -> Option<&'a [u8]> {
        (self.octet == b'S').then_some(self.bytes)
    }

    /// The nested table.
    pub fn as_table(&self) -> Option<RawTable<'a>> {
        (self.octet == b'F').then(|| RawTable::trusted(self.bytes))
    }

    /// The members of an array; `None` for what is no array.
    pub fn as_array(&self) -> Option<impl Iterator<Item = RawValue<'a>> + use<'a>> {
        let mut reader = Reader::new(self.bytes);
        (self.octet == b'A').then(|| std::iter::from_fn(move || RawValue::next(&mut reader)))
    }

    /// The next value of a validated run, `None` at its end.
    pub(crate) fn next(reader: &mut Reader<'a>) -> Option<Self> {
        if reader.is_empty() { None } else { Self::split(reader).ok() }
    }

    /// Splits one value off, checking its type octet and size but not what is inside.
    fn split(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let octet = reader.u8()?;
        let bytes = match octet {
            b'V' => &[],
            b't' | b'b' | b'B' => reader.take(1)?,
            b's' | b'u' => reader.take(2)?,
            b'I' | b'i' | b'f' => reader.take(4)?,
            b'D' => reader.take(5)?,
            b'l' | b'L' | b'd' | b'T' => reader.take(8)?,
            b'S' | b'x' | b'A' | b'F' => reader.long_bytes()?,
            other => return Err(DecodeError::FieldType(other)),
        };
        Ok(Self { octet, bytes })
    }

    /// Checks one value and everything inside it. `depth` is the number of tables and arrays around it.
    pub(crate) fn check(reader: &mut Reader<'a>, depth: usize) -> Result<(), DecodeError> {
        let value = Self::split(reader)?;
        match value.octet {
            b'F' => RawTable::check(value.bytes, depth + 1),
            b'A' => Self::check_array(value.bytes, depth + 1),
            _ => Ok(()),
        }
    }

    fn check_array(bytes: &'a [u8], depth: usize) -> Result<(), DecodeError> {
        if depth > TABLE_DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            Self::check(&mut reader, depth)?;
        }
        Ok(())
    }

    fn try_decode(&self) -> Result<FieldValue, DecodeError> {
        let mut reader = Reader::new(self.bytes);
        Ok(match self.octet {
            b't' => FieldValue::Bool(reader.u8()? != 0),
            b'b' => FieldValue::I8(reader.u8()?.cast_signed()),
            b'B' => FieldValue::U8(reader.u8()?),
            b's' => FieldValue::I16(reader.u16()?.cast_signed()),
            b'u' => FieldValue::U16(reader.u16()?),
            b'I' => FieldValue::I32(reader.u32()?.cast_signed()),
            b'i' => FieldValue::U32(reader.u32()?),
            b'l' | b'L' => FieldValue::I64(reader.u64()?.cast_signed()),
            b'f' => FieldValue::F32(f32::from_bits(reader.u32()?)),
            b'd' => FieldValue::F64(f64::from_bits(reader.u64()?)),
            b'D' => FieldValue::Decimal { scale: reader.u8()?, value: reader.u32()? },
            b'T' => FieldValue::Timestamp(reader.u64()?),
            b'S' => FieldValue::LongString(self.bytes.to_vec()),
            b'x' => FieldValue::Bytes(self.bytes.to_vec()),
            b'A' => FieldValue::Array(self.as_array().into_iter().flatten().map(|value| value.decode()).collect()),
            b'F' => FieldValue::Table(RawTable::trusted(self.bytes).decode()),
            _ => FieldValue::Void,
        })
    }
}
