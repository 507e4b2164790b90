//! Little-endian integers in byte slices: a cursor that cannot run past the end, and its counterpart.
//!
//! Bytes from a disk may be anything. Every `take` answers `None` at the end instead of panicking; who reads turns that
//! into an error with the file and offset.

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `count` items of `size` bytes can still be there: asked before room for them is made.
    pub(crate) fn has(&self, count: usize, size: usize) -> bool {
        count.checked_mul(size).is_some_and(|bytes| bytes <= self.0.len())
    }
}

/// Appends to a vector.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
}

/// Writes a CRC32C over `bytes` with the four bytes at `at` taken as zero, into those bytes. `at + 4` must be inside.
pub(crate) fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let crc = crc32c::crc32c(bytes);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The checksum that [`seal`] left at `at`, if it is right.
pub(crate) fn sealed(bytes: &[u8], at: usize) -> Option<u32> {
    let (before, rest) = bytes.split_at_checked(at)?;
    let (stored, after) = rest.split_first_chunk::<4>()?;
    let crc = crc32c::crc32c(before);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    let crc = crc32c::crc32c_append(crc, after);
    (crc == u32::from_le_bytes(*stored)).then_some(crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        let mut bytes = Vec::new();
        bytes.put_u8(1);
        bytes.put_u16(0x0203);
        bytes.put_u32(0x0405_0607);
        bytes.put_u64(u64::MAX - 1);
        assert_eq!(bytes[..3], [1, 3, 2]);
        let mut cursor = Cursor(&bytes);
        assert_eq!((cursor.u8(), cursor.u16(), cursor.u32()), (Some(1), Some(0x0203), Some(0x0405_0607)));
        assert!(cursor.has(1, 8) && !cursor.has(2, 8) && !cursor.has(usize::MAX, 2));
        assert_eq!(cursor.u64(), Some(u64::MAX - 1));
        assert!(cursor.is_empty());
        assert_eq!((cursor.u8(), cursor.bytes(1), cursor.bytes(0)), (None, None, Some(&[][..])));
    }

    #[test]
    fn a_seal_notices_every_bit() {
        let mut bytes: Vec<u8> = (0..40).collect();
        seal(&mut bytes, 12);
        assert!(sealed(&bytes, 12).is_some());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealed(&damaged, 12), None, "bit {bit}");
        }
        assert_eq!(sealed(&bytes, 38), None);
        assert_eq!(sealed(&bytes, 100), None);
    }
}
