//! How one field of a method is read and written, and how bits share octets.
//!
//! "Bit fields are packed": the first bit of a run is the lowest bit of the run's first octet, a new octet starts after
//! eight, and any other field ends the run. Reader and writer keep the place in the current octet between fields.

use crate::error::DecodeError;
use crate::table::RawTable;
use crate::wire::{Reader, put_long_bytes, put_short_str};

/// Bits that share one octet.
const BITS_PER_OCTET: u8 = 8;

/// Reads the fields of one method in order.
#[derive(Debug)]
pub(crate) struct FieldReader<'a> {
    reader: Reader<'a>,
    /// The rest of the current bit octet, next bit lowest.
    bits: u8,
    bits_left: u8,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn new(fields: &'a [u8]) -> Self {
        Self { reader: Reader::new(fields), bits: 0, bits_left: 0 }
    }

    #[inline]
    fn bit(&mut self) -> Result<bool, DecodeError> {
        if self.bits_left == 0 {
            self.bits = self.reader.u8()?;
            self.bits_left = BITS_PER_OCTET;
        }
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        self.bits_left -= 1;
        Ok(bit)
    }

    #[inline]
    fn bytes(&mut self) -> &mut Reader<'a> {
        self.bits_left = 0;
        &mut self.reader
    }

    #[inline]
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        self.reader.finish()
    }
}

/// Writes the fields of one method in order.
#[derive(Debug)]
pub(crate) struct FieldWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Bits used in the last octet of `out`; 0 when the last field was no bit.
    bits_used: u8,
}

impl<'o> FieldWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, bits_used: 0 }
    }

    #[inline]
    fn bit(&mut self, bit: bool) {
        if self.bits_used.is_multiple_of(BITS_PER_OCTET) {
            self.out.push(0);
            self.bits_used = 0;
        }
        if let Some(octet) = self.out.last_mut() {
            *octet |= u8::from(bit) << self.bits_used;
        }
        self.bits_used += 1;
    }

    #[inline]
    fn bytes(&mut self) -> &mut Vec<u8> {
        self.bits_used = 0;
        self.out
    }
}

/// A type that can be a field of a method.
pub(crate) trait Field<'a>: Sized {
    fn read(fields: &mut FieldReader<'a>) -> Result<Self, DecodeError>;
    fn write(&self, fields: &mut FieldWriter<'_>);
}

impl Field<'_> for bool {
    #[inline]
    fn read(fields: &mut FieldReader<'_>) -> Result<Self, DecodeError> {
        fields.bit()
    }
    #[inline]
    fn write(&self, fields: &mut FieldWriter<'_>) {
        fields.bit(*self);
    }
}

macro_rules! integer_field {
    ($($type:ident)*) => {$(
        impl Field<'_> for $type {
            #[inline]
            fn read(fields: &mut FieldReader<'_>) -> Result<Self, DecodeError> {
                fields.bytes().$type()
            }
            #[inline]
            fn write(&self, fields: &mut FieldWriter<'_>) {
                fields.bytes().extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

integer_field!(u8 u16 u32 u64);

/// A short string.
impl<'a> Field<'a> for &'a str {
    #[inline]
    fn read(fields: &mut FieldReader<'a>) -> Result<Self, DecodeError> {
        fields.bytes().short_str()
    }
    #[inline]
    fn write(&self, fields: &mut FieldWriter<'_>) {
        put_short_str(fields.bytes(), self);
    }
}

/// A long string.
impl<'a> Field<'a> for &'a [u8] {
    fn read(fields: &mut FieldReader<'a>) -> Result<Self, DecodeError> {
        fields.bytes().long_bytes()
    }
    fn write(&self, fields: &mut FieldWriter<'_>) {
        put_long_bytes(fields.bytes(), self);
    }
}

impl<'a> Field<'a> for RawTable<'a> {
    fn read(fields: &mut FieldReader<'a>) -> Result<Self, DecodeError> {
        RawTable::read(fields.bytes())
    }
    fn write(&self, fields: &mut FieldWriter<'_>) {
        self.encode(fields.bytes());
    }
}
