//! Reading and writing of AMQP's basic types (big-endian integers, short and long strings) over plain byte slices.
//!
//! The reader borrows: a string that it returns points into the frame. Every read is checked, so bytes from a peer can
//! neither panic nor read past the end. It knows sizes and byte order only; what the bytes mean is the business of
//! [`value`](crate::value), [`method`](crate::method) and [`properties`](crate::properties).

use crate::error::DecodeError;

/// Most bytes that a short string holds: its length is one octet.
pub const SHORT_STRING_SIZE_MAX: usize = 255;

/// A cursor over bytes that came from a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.chunk::<1>().map(|[octet]| octet)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.chunk().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.chunk().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.chunk().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn take(&mut self, size: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(size).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The bytes of a short string; property values need not be UTF-8.
    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = self.u8()?;
        self.take(usize::from(size))
    }

    /// A short string of a method field or a table key, which must be UTF-8.
    #[inline]
    pub(crate) fn short_str(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.short_bytes()?).map_err(|_| DecodeError::Utf8)
    }

    #[inline]
    pub(crate) fn long_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = self.u32()?;
        self.take(usize::try_from(size).map_err(|_| DecodeError::Truncated)?)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left over, since RabbitMQ takes extra bytes for a decode failure too.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

/// Appends a short string. What does not fit is cut: [`cut_text`] keeps the rest valid UTF-8.
pub(crate) fn put_short_str(out: &mut Vec<u8>, text: &str) {
    put_short_bytes(out, cut_text(text).as_bytes());
}

/// Appends a short string of any bytes, cut at 255.
pub(crate) fn put_short_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes.get(..SHORT_STRING_SIZE_MAX).unwrap_or(bytes);
    out.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(bytes);
}

/// Appends a long string: a 32-bit length and the bytes.
pub(crate) fn put_long_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let mark = begin_sized(out);
    out.extend_from_slice(bytes);
    end_sized(out, mark);
}

/// Reserves a 32-bit length to be filled in by [`end_sized`]. Returns the position after it.
pub(crate) fn begin_sized(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Writes the number of bytes appended since `mark` into the four bytes before `mark`.
pub(crate) fn end_sized(out: &mut [u8], mark: usize) {
    let size = u32::try_from(out.len().saturating_sub(mark)).expect("no buffer of ours reaches 4 GiB");
    if let Some(field) = mark.checked_sub(4).and_then(|start| out.get_mut(start..mark)) {
        field.copy_from_slice(&size.to_be_bytes());
    }
}

/// The longest beginning of `text` that fits into a short string and does not split a character.
///
/// RabbitMQ cuts reply texts to 255 characters in the same way (amqp: "reply-text: shortstr").
pub fn cut_text(text: &str) -> &str {
    if text.len() <= SHORT_STRING_SIZE_MAX {
        return text;
    }
    let end = (0..=SHORT_STRING_SIZE_MAX).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
