//! A group: what one write and one sync make durable together. The unit of the log.
//!
//! ```text
//!   head (64 bytes) | table: 24 bytes a batch | records of each batch | bodies of each batch | zeros up to 4 KiB
//! ```
//!
//! The head's checksum covers head and table; the table has a checksum of each batch's records; each publish has one of
//! its body. So every byte is covered once, and whoever changes one byte is found by exactly one checksum. Each head also
//! repeats the previous one's checksum, which chains the groups, and carries the *incarnation* of its file, a random
//! number of each use: bytes that a reused file still has from before are never taken for the log's continuation.

use crate::batch::{self, Batch};
use crate::ids::GroupSeq;
use crate::wire::{Cursor, Put, seal, sealed};

/// "LVG1", as a little-endian integer.
const MAGIC: u32 = u32::from_le_bytes(*b"LVG1");
/// The only version of the format so far.
const VERSION: u16 = 1;
/// Groups begin at multiples of this: what the file system writes at once, so that no two groups share a page.
pub(crate) const ALIGNMENT: usize = 4096;
/// Bytes of a head.
pub(crate) const HEAD_SIZE: usize = 64;
/// Bytes of a batch's line in the table.
pub(crate) const LINE_SIZE: usize = 24;
/// Batches of one group: head and table fit the first page.
pub(crate) const BATCHES_MAX: usize = 128;
const CRC_AT: usize = 60;

/// Which log a group belongs to and where it stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The store's number, random, made when the directory was.
    pub(crate) store: u64,
    /// The number of the use of this file.
    pub(crate) incarnation: u64,
    /// Its number.
    pub(crate) seq: GroupSeq,
    /// The checksum of the group before; 0 for the first of all.
    pub(crate) previous: u32,
}

/// A group's head, sound by its own checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) chain: Chain,
    /// Bytes without the padding.
    pub(crate) size: usize,
    pub(crate) crc: u32,
    pub(crate) lines: Vec<Line>,
}

/// A batch in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) writer: u16,
    pub(crate) record_count: u32,
    pub(crate) records_size: u32,
    pub(crate) records_crc: u32,
    pub(crate) bodies_size: u32,
}

/// Where a batch lies in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: Line,
    pub(crate) records_at: usize,
    pub(crate) bodies_at: usize,
}

/// Bytes of a group with these batches, without the padding.
pub(crate) fn size_of(batches: &[Batch]) -> usize {
    HEAD_SIZE + batches.iter().map(|batch| LINE_SIZE + batch.size()).sum::<usize>()
}

/// The next multiple of [`ALIGNMENT`].
pub(crate) fn padded(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}

/// Head and table. At most [`BATCHES_MAX`] batches, and at least one.
pub(crate) fn encode_head(chain: Chain, batches: &[Batch]) -> (Vec<u8>, u32) {
    let mut bytes = Vec::with_capacity(HEAD_SIZE + batches.len() * LINE_SIZE);
    bytes.put_u32(MAGIC);
    bytes.put_u16(VERSION);
    bytes.put_u16(u16::try_from(batches.len()).expect("at most BATCHES_MAX"));
    bytes.put_u64(chain.store);
    bytes.put_u64(chain.incarnation);
    bytes.put_u64(chain.seq.0);
    bytes.put_u32(chain.previous);
    bytes.put_u32(size32(size_of(batches)));
    bytes.resize(HEAD_SIZE, 0);
    for batch in batches {
        bytes.put_u16(batch.writer);
        bytes.put_u16(0);
        bytes.put_u32(batch.record_count);
        bytes.put_u32(size32(batch.records.len()));
        bytes.put_u32(crc32c::crc32c(&batch.records));
        bytes.put_u32(size32(batch.bodies.len()));
        bytes.put_u32(0);
    }
    seal(&mut bytes, CRC_AT);
    let crc = u32::from_le_bytes(*bytes[CRC_AT..].first_chunk().expect("a head has a checksum"));
    (bytes, crc)
}

fn size32(size: usize) -> u32 {
    u32::try_from(size).expect("a group fits its file, and a file's size fits 32 bits")
}

/// Reads head and table from the beginning of `bytes`; `None` unless they are sound and of a known version.
pub(crate) fn decode_head(bytes: &[u8]) -> Option<Head> {
    let mut cursor = Cursor(bytes);
    let known = cursor.u32()? == MAGIC && cursor.u16()? == VERSION;
    let count = usize::from(cursor.u16()?);
    if !known || count == 0 || count > BATCHES_MAX {
        return None;
    }
    let head = bytes.get(..HEAD_SIZE + count * LINE_SIZE)?;
    let crc = sealed(head, CRC_AT)?;
    let (store, incarnation, seq) = (cursor.u64()?, cursor.u64()?, GroupSeq(cursor.u64()?));
    let (previous, size) = (cursor.u32()?, cursor.u32()? as usize);
    let mut table = Cursor(head.get(HEAD_SIZE..)?);
    let lines: Vec<Line> = std::iter::from_fn(|| decode_line(&mut table)).collect();
    let parts: usize = lines.iter().map(|line| line.records_size as usize + line.bodies_size as usize).sum();
    let chain = Chain { store, incarnation, seq, previous };
    (size == head.len() + parts).then_some(Head { chain, size, crc, lines })
}

fn decode_line(table: &mut Cursor<'_>) -> Option<Line> {
    let (writer, _) = (table.u16()?, table.u16()?);
    let line = Line {
        writer,
        record_count: table.u32()?,
        records_size: table.u32()?,
        records_crc: table.u32()?,
        bodies_size: table.u32()?,
    };
    table.u32()?;
    Some(line)
}

impl Head {
    /// Where the batches lie, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        let mut records_at = HEAD_SIZE + self.lines.len() * LINE_SIZE;
        let mut bodies_at = records_at + self.lines.iter().map(|line| line.records_size as usize).sum::<usize>();
        self.lines.iter().map(move |&line| {
            let place = Place { line, records_at, bodies_at };
            records_at += line.records_size as usize;
            bodies_at += line.bodies_size as usize;
            place
        })
    }

    /// Whether the rest of the group, of which `bytes` are all, is sound too.
    pub(crate) fn is_whole(&self, bytes: &[u8]) -> bool {
        self.places().all(|place| {
            let records = bytes.get(place.records_at..).and_then(|rest| rest.get(..place.line.records_size as usize));
            let bodies = bytes.get(place.bodies_at..).and_then(|rest| rest.get(..place.line.bodies_size as usize));
            records.zip(bodies).is_some_and(|(records, bodies)| {
                crc32c::crc32c(records) == place.line.records_crc
                    && batch::is_sound(records, place.line.record_count, bodies)
            })
        })
    }
}

/// The whole group in one piece, without the padding: what the file holds. The committer writes the pieces instead.
#[cfg(test)]
pub(crate) fn encode(chain: Chain, batches: &[Batch]) -> Vec<u8> {
    let (mut bytes, _) = encode_head(chain, batches);
    batches.iter().for_each(|batch| bytes.extend_from_slice(&batch.records));
    batches.iter().for_each(|batch| bytes.extend_from_slice(&batch.bodies));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use crate::ids::{QueueKey, Seq};
    use crate::record::{Reference, SeqRange};

    const CHAIN: Chain = Chain { store: 7, incarnation: 8, seq: GroupSeq(9), previous: 10 };

    fn sample() -> Vec<Batch> {
        let mut first = Batch { writer: 1, ..Batch::default() };
        let reference = Reference { queue: QueueKey(3), seq: Seq(4), attributes: Attributes::NONE };
        first.publish(&[b"hello"], &[reference]);
        let mut second = Batch { writer: 2, ..Batch::default() };
        second.settle(QueueKey(3), &[SeqRange::one(Seq(4))], &mut None);
        second.publish(&[b"world!"], &[reference]);
        vec![first, second]
    }

    fn is_sound(bytes: &[u8]) -> bool {
        decode_head(bytes).is_some_and(|head| head.is_whole(bytes))
    }

    #[test]
    fn a_group_comes_back() {
        let batches = sample();
        let bytes = encode(CHAIN, &batches);
        assert_eq!(bytes.len(), size_of(&batches));
        let head = decode_head(&bytes).expect("sound");
        assert_eq!((head.chain, head.size), (CHAIN, bytes.len()));
        assert!(head.is_whole(&bytes));
        let places: Vec<Place> = head.places().collect();
        for (place, batch) in places.iter().zip(&batches) {
            assert_eq!(bytes[place.records_at..][..batch.records.len()], batch.records);
            assert_eq!(bytes[place.bodies_at..][..batch.bodies.len()], batch.bodies);
            assert_eq!(place.line.writer, batch.writer);
        }
        assert_eq!(&bytes[places[1].bodies_at..], b"world!");
    }

    #[test]
    fn every_bit_counts() {
        let bytes = encode(CHAIN, &sample());
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sound(&damaged), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = encode(CHAIN, &sample());
        for end in 0..bytes.len() {
            assert!(!is_sound(&bytes[..end]), "cut at {end}");
            let mut torn = bytes.clone();
            torn[end..].fill(0);
            assert!(!is_sound(&torn) || torn == bytes, "zeros from {end}");
        }
    }

    #[test]
    fn random_bytes_are_no_group() {
        let mut state = 1u64;
        for _ in 0..1000 {
            let mut bytes = vec![0; 200];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 33) as u8;
            }
            bytes[..8].copy_from_slice(&encode(CHAIN, &sample())[..8]);
            assert!(!is_sound(&bytes));
        }
    }

    #[test]
    fn the_largest_table_fits_the_first_page() {
        const { assert!(HEAD_SIZE + BATCHES_MAX * LINE_SIZE <= ALIGNMENT) }
        let batches = vec![sample().remove(0); BATCHES_MAX];
        assert!(is_sound(&encode(CHAIN, &batches)));
        assert_eq!((padded(0), padded(1), padded(4096), padded(4097)), (0, 4096, 4096, 8192));
    }
}
