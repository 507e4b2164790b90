//! Reading the log back: which groups there are, in order, and whether the end is a tear or damage.
//!
//! ```text
//!   file A: | group 7 | group 8 | stale ...        file B: | group 9 | group 10 | torn | stale ...
//! ```
//!
//! Groups follow one another by number and by the checksum of the one before; where a file has no next group, the file
//! that begins with it continues. The first group that is not whole ends the log. Each group was written only after the
//! one before was synced, so only the last one can be torn by a crash: **if any later group of this log is found behind it,
//! or the manifest knows that it was synced, it is damage**, and the log is refused rather than cut short in silence.
//!
//! Files are reused: what a file has behind its last group is from earlier uses. Such groups have lower numbers and
//! another incarnation, and are told apart by both.

use std::collections::BTreeMap;

use crate::error::{Error, Flaw};
use crate::group::{self, ALIGNMENT, Chain, Head};
use crate::ids::{GroupSeq, LogId};

/// Bytes read at once when looking for stray groups.
const SEARCH_SIZE: usize = 1024 * 1024;

/// A log file's bytes.
pub(crate) trait LogBytes {
    /// Reads up to `size` bytes at `offset`; fewer only at the end.
    fn read(&self, offset: u64, size: usize) -> Result<Vec<u8>, Error>;
    /// An error about these bytes.
    fn damaged(&self, offset: u64, flaw: Flaw) -> Error;
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) store: u64,
    pub(crate) seq: GroupSeq,
    pub(crate) previous: u32,
    /// Groups below this number were synced.
    pub(crate) known_end: GroupSeq,
}

/// Where the log ends: what the next group is written after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The next group's number, and the checksum that it repeats.
    pub(crate) seq: GroupSeq,
    pub(crate) previous: u32,
    /// The file that the last group lies in and where its free room begins; `None` if there is no group.
    pub(crate) tail: Option<Tail>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) log: LogId,
    pub(crate) offset: u64,
    pub(crate) incarnation: u64,
}

/// A group that is whole.
pub(crate) struct Found<'a> {
    pub(crate) log: LogId,
    pub(crate) offset: u64,
    pub(crate) head: &'a Head,
    pub(crate) bytes: &'a [u8],
}

/// Walks the log. `visit` gets each group in order; its errors end the walk.
pub(crate) fn walk<B: LogBytes>(
    logs: &BTreeMap<LogId, B>,
    start: Start,
    mut visit: impl FnMut(Found<'_>) -> Result<(), Error>,
) -> Result<End, Error> {
    let mut firsts = first_heads(logs, start.store)?;
    let mut end = End { seq: start.seq, previous: start.previous, tail: None };
    loop {
        let here = end.tail.and_then(|tail| logs.get(&tail.log).map(|bytes| (tail, bytes)));
        let next = match here {
            Some((tail, bytes)) => whole(bytes, tail.offset, expected(start.store, &end, Some(tail.incarnation)))?,
            None => None,
        };
        let next = next.map(|(head, bytes)| (end.tail.map_or(LogId(0), |tail| tail.log), head, bytes));
        let (log, offset, (head, bytes)) = match next {
            Some((log, head, bytes)) => (log, end.tail.map_or(0, |tail| tail.offset), (head, bytes)),
            None => match continuation(logs, &mut firsts, start.store, &end)? {
                Some((log, group)) => (log, 0, group),
                None => break,
            },
        };
        visit(Found { log, offset, head: &head, bytes: &bytes })?;
        let offset = offset + group::padded(head.size) as u64;
        let incarnation = head.chain.incarnation;
        end = End { seq: end.seq.next(), previous: head.crc, tail: Some(Tail { log, offset, incarnation }) };
    }
    check_end(logs, start, &end)?;
    Ok(end)
}

type Group = (Head, Vec<u8>);

fn expected(store: u64, end: &End, incarnation: Option<u64>) -> impl Fn(&Chain) -> bool {
    let (seq, previous) = (end.seq, end.previous);
    move |chain| {
        chain.store == store
            && chain.seq == seq
            && chain.previous == previous
            && incarnation.is_none_or(|incarnation| chain.incarnation == incarnation)
    }
}

fn first_heads<B: LogBytes>(logs: &BTreeMap<LogId, B>, store: u64) -> Result<BTreeMap<GroupSeq, Vec<LogId>>, Error> {
    let mut firsts = BTreeMap::<GroupSeq, Vec<LogId>>::new();
    for (log, bytes) in logs {
        let page = bytes.read(0, ALIGNMENT)?;
        if let Some(head) = group::decode_head(&page).filter(|head| head.chain.store == store) {
            firsts.entry(head.chain.seq).or_default().push(*log);
        }
    }
    Ok(firsts)
}

/// The file that begins with the next group.
fn continuation<B: LogBytes>(
    logs: &BTreeMap<LogId, B>,
    firsts: &mut BTreeMap<GroupSeq, Vec<LogId>>,
    store: u64,
    end: &End,
) -> Result<Option<(LogId, Group)>, Error> {
    for log in firsts.remove(&end.seq).unwrap_or_default() {
        let Some(bytes) = logs.get(&log) else { continue };
        if let Some(group) = whole(bytes, 0, expected(store, end, None))? {
            return Ok(Some((log, group)));
        }
    }
    Ok(None)
}

/// The group at `offset`, if it is the expected one and whole.
fn whole<B: LogBytes>(bytes: &B, offset: u64, is_expected: impl Fn(&Chain) -> bool) -> Result<Option<Group>, Error> {
    let page = bytes.read(offset, ALIGNMENT)?;
    let Some(head) = group::decode_head(&page).filter(|head| is_expected(&head.chain)) else { return Ok(None) };
    let mut group = page;
    if head.size > group.len() {
        // The head's checksum is right, so its size is what was written: no more than a log file.
        let rest = bytes.read(offset + group.len() as u64, head.size - group.len())?;
        group.extend_from_slice(&rest);
    }
    group.truncate(head.size);
    Ok(head.is_whole(&group).then_some((head, group)))
}

/// Refuses an end that is none.
fn check_end<B: LogBytes>(logs: &BTreeMap<LogId, B>, start: Start, end: &End) -> Result<(), Error> {
    let flaw = Flaw::Group { seq: end.seq.0 };
    let tail = end.tail.and_then(|tail| logs.get(&tail.log).map(|bytes| (tail, bytes)));
    if end.seq < start.known_end {
        return Err(match (tail, logs.first_key_value()) {
            (Some((tail, bytes)), _) => bytes.damaged(tail.offset, flaw),
            (None, Some((_, bytes))) => bytes.damaged(0, flaw),
            (None, None) => Error::Closed,
        });
    }
    if let Some((tail, bytes)) = tail {
        let is_later = |chain: &Chain| chain.incarnation == tail.incarnation && chain.seq > end.seq;
        if has_head(bytes, tail.offset, start.store, is_later)? {
            return Err(bytes.damaged(tail.offset, flaw));
        }
    }
    for (log, bytes) in logs {
        let page = bytes.read(0, ALIGNMENT)?;
        let first = group::decode_head(&page).filter(|head| head.chain.store == start.store);
        // A file that never was used, or whose first group is torn or harmed: then others may be behind it.
        let stray = first.is_none_or(|head| head.chain.seq >= end.seq)
            && has_head(bytes, 0, start.store, |chain| chain.seq > end.seq)?;
        if stray {
            let at = tail.filter(|(tail, _)| tail.log == *log).map_or(0, |(tail, _)| tail.offset);
            return Err(bytes.damaged(at, flaw));
        }
    }
    Ok(())
}

/// Whether a sound head that `is_meant` lies anywhere from `offset` on.
fn has_head<B: LogBytes>(bytes: &B, offset: u64, store: u64, is_meant: impl Fn(&Chain) -> bool) -> Result<bool, Error> {
    let mut at = offset;
    loop {
        let piece = bytes.read(at, SEARCH_SIZE)?;
        let heads = piece.chunks(ALIGNMENT).filter_map(group::decode_head);
        if heads.map(|head| head.chain).any(|chain| chain.store == store && is_meant(&chain)) {
            return Ok(true);
        }
        if piece.len() < SEARCH_SIZE {
            return Ok(false);
        }
        at += piece.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::attributes::Attributes;
    use crate::batch::Batch;
    use crate::ids::{QueueKey, Seq};
    use crate::record::Reference;

    struct Bytes(Vec<u8>);

    impl LogBytes for Bytes {
        fn read(&self, offset: u64, size: usize) -> Result<Vec<u8>, Error> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            Ok(rest[..rest.len().min(size)].to_vec())
        }

        fn damaged(&self, offset: u64, flaw: Flaw) -> Error {
            Error::damaged(Path::new("log"), offset, flaw)
        }
    }

    const STORE: u64 = 77;
    const FILE_SIZE: usize = 10 * ALIGNMENT;

    /// A log of files of ten pages, written as the committer does; every third group has two pages.
    struct Written {
        files: Vec<Vec<u8>>,
        file: usize,
        offset: usize,
        uses: u64,
        previous: u32,
        next: u64,
        /// Where each group lies.
        places: Vec<(u64, usize, usize, usize)>,
    }

    impl Written {
        fn new(files: usize) -> Written {
            let files = vec![vec![0; FILE_SIZE]; files];
            Written { files, file: 0, offset: 0, uses: 1, previous: 0, next: 1, places: Vec::new() }
        }

        fn write(&mut self, count: u64) {
            for _ in 0..count {
                let mut batch = Batch::default();
                let reference = Reference { queue: QueueKey(1), seq: Seq(self.next), attributes: Attributes::NONE };
                let size = if self.next.is_multiple_of(3) { 5000 } else { 100 };
                batch.publish(&[&vec![self.next as u8; size]], &[reference]);
                let batches = [batch];
                let room = group::padded(group::size_of(&batches));
                if self.offset + room > FILE_SIZE {
                    self.file = (self.file + 1) % self.files.len();
                    self.offset = 0;
                    self.uses += 1;
                }
                let seq = GroupSeq(self.next);
                let chain = Chain { store: STORE, incarnation: self.uses, seq, previous: self.previous };
                let bytes = group::encode(chain, &batches);
                self.previous = group::decode_head(&bytes).expect("sound").crc;
                self.files[self.file][self.offset..][..bytes.len()].copy_from_slice(&bytes);
                self.places.push((self.next, self.file, self.offset, bytes.len()));
                self.offset += room;
                self.next += 1;
            }
        }

        fn scan(&self, from: u64, previous: u32, known_end: u64) -> Result<(Vec<u64>, End), String> {
            let logs = self.files.iter().enumerate().map(|(n, file)| (LogId(n as u16), Bytes(file.clone()))).collect();
            let start = Start { store: STORE, seq: GroupSeq(from), previous, known_end: GroupSeq(known_end) };
            let mut seen = Vec::new();
            let end = walk(&logs, start, |found| {
                assert!(found.head.is_whole(found.bytes));
                seen.push(found.head.chain.seq.0);
                Ok(())
            });
            end.map(|end| (seen, end)).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn an_empty_log_has_no_end_yet() {
        let (seen, end) = Written::new(2).scan(1, 0, 0).expect("fine");
        assert_eq!((seen, end.seq, end.tail), (vec![], GroupSeq(1), None));
    }

    #[test]
    fn groups_are_found_over_files_and_stale_ones_are_not() {
        let mut log = Written::new(3);
        let mut from = (1, 0);
        for count in 1..60 {
            log.write(1);
            // The oldest file that the log still needs: two files back.
            let first = |file: usize| log.places.iter().rev().take_while(|place| place.1 == file).last().copied();
            if let Some((seq, ..)) = first(log.file).filter(|first| first.0 == count && count > 1) {
                let kept: Vec<_> = log.places.iter().filter(|place| place.0 < seq).collect();
                let file = kept.last().expect("there is one before").1;
                let start = kept.iter().rev().take_while(|place| place.1 == file).last().expect("itself").0;
                let previous = kept
                    .iter()
                    .find(|place| place.0 + 1 == start)
                    .map_or(0, |place| group::decode_head(&log.files[place.1][place.2..]).map_or(0, |head| head.crc));
                if kept.iter().any(|place| place.0 + 1 == start) && previous == 0 {
                    continue;
                }
                from = (start, previous);
            }
            let (seen, end) = log.scan(from.0, from.1, count + 1).expect("sound");
            assert_eq!(seen, (from.0..=count).collect::<Vec<_>>());
            assert_eq!(end.seq, GroupSeq(count + 1));
            let tail = end.tail.expect("there are groups");
            assert_eq!((tail.log.0 as usize, tail.offset as usize), (log.file, log.offset));
        }
    }

    #[test]
    fn the_last_group_may_be_torn_anywhere() {
        let mut log = Written::new(3);
        log.write(12);
        let (_, file, offset, size) = *log.places.last().expect("written");
        for cut in (0..size).step_by(7).chain([size - 1]) {
            for filler in [0, 0xaa] {
                let mut torn = Written { files: log.files.clone(), places: Vec::new(), ..log };
                torn.files[file][offset + cut..][..size - cut].fill(filler);
                let (seen, end) = torn.scan(1, 0, 0).expect("a tear");
                assert_eq!((seen.len(), end.seq), (11, GroupSeq(12)), "{cut}");
                let refused = torn.scan(1, 0, 13).expect_err("it was synced");
                assert!(refused.contains("group 12 of the log"), "{refused}");
            }
        }
    }

    #[test]
    fn a_harmed_group_before_the_last_is_damage() {
        let mut log = Written::new(3);
        log.write(12);
        for (seq, file, offset, size) in log.places[..11].iter().copied() {
            for at in [0, 5, 30, 61, 64, 80, size / 2, size - 1] {
                let mut harmed = Written { files: log.files.clone(), places: Vec::new(), ..log };
                harmed.files[file][offset + at] ^= 0x10;
                let refused = harmed.scan(1, 0, 0).expect_err(&format!("group {seq} harmed at {at}"));
                assert!(refused.contains(&format!("group {seq} of the log")), "{refused}");
            }
            let mut zeroed = Written { files: log.files.clone(), places: Vec::new(), ..log };
            zeroed.files[file][offset..offset + ALIGNMENT].fill(0);
            zeroed.scan(1, 0, 0).expect_err("damage");
        }
    }

    #[test]
    fn files_may_change_places_but_not_be_missing() {
        let mut log = Written::new(3);
        log.write(16);
        log.files.swap(0, 1);
        assert_eq!(log.scan(1, 0, 17).expect("sound").0.len(), 16);
        log.files.remove(1);
        log.scan(1, 0, 0).expect_err("the first file is gone");
        let mut other = Written::new(1);
        other.write(3);
        assert_eq!(other.scan(1, 5, 0).err().map(|text| text.contains("group 1 ")), Some(true));
    }

    /// After a tear the log goes on at the torn place; what the tear left is never taken for its continuation.
    #[test]
    fn the_log_goes_on_over_a_tear() {
        let mut log = Written::new(3);
        log.write(5);
        let (_, file, offset, size) = log.places[4];
        log.files[file][offset + size / 2..][..size / 2].fill(0);
        let (_, end) = log.scan(1, 0, 0).expect("a tear");
        assert_eq!(end.seq, GroupSeq(5));
        (log.offset, log.next, log.previous) = (offset, 5, end.previous);
        log.write(4);
        assert_eq!(log.scan(1, 0, 9).expect("sound").0, (1..9).collect::<Vec<_>>());
    }
}
