//! A simulated file: what programs see, what is on the disk for certain, and the changes in between.
//!
//! ```text
//!   write, set_len --> pending --sync began ... ended well--> durable
//!                         |
//!                         +-----sync failed-----> doubtful: on the disk or not, and no later sync says which;
//!                                                 only writing the sector anew and syncing that does
//! ```
//!
//! A sync covers the changes that were there when it began. At a crash each sector of 512 bytes with changes that are not
//! durable ends in one of the states that it went through, or torn between two of them; so does the length.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::content::Content;
use super::dice::Dice;

/// Bytes that a disk writes as a whole, or not, most of the time.
pub(crate) const SECTOR_SIZE: u64 = 512;

/// One change to a file.
#[derive(Clone, Debug)]
struct Change {
    number: u64,
    /// Which bytes it sets; empty if only the length changes.
    range: Range<u64>,
    data: Data,
    len_after: u64,
}

#[derive(Clone, Debug)]
enum Data {
    Bytes(Vec<u8>),
    Zeros,
    /// Room is taken, nothing is written.
    Room,
}

/// A sync that has begun: how far it reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Syncing {
    number: u64,
    len: u64,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileData {
    current: Content,
    durable: Content,
    pending: Vec<Change>,
    doubtful: Vec<Change>,
    /// Sectors of doubtful changes about which there is certainty again.
    settled: BTreeSet<u64>,
    /// The lengths of doubtful changes are still possible.
    len_doubtful: bool,
    last_number: u64,
}

impl FileData {
    /// A file that is wholly on the disk.
    pub(crate) fn durable(content: Content) -> FileData {
        FileData { current: content.clone(), durable: content, ..FileData::default() }
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            let range = offset..offset + bytes.len() as u64;
            let len = self.current.len().max(range.end);
            self.change(range, Data::Bytes(bytes.to_vec()), len);
        }
    }

    pub(crate) fn write_zeros(&mut self, offset: u64, size: u64) {
        if size > 0 {
            let len = self.current.len().max(offset + size);
            self.change(offset..offset + size, Data::Zeros, len);
        }
    }

    pub(crate) fn allocate(&mut self, offset: u64, size: u64) {
        if size > 0 {
            let len = self.current.len().max(offset + size);
            self.change(offset..offset + size, Data::Room, len);
        }
    }

    /// Cutting off sets the bytes behind the end to zero, so that they are if the file grows again.
    pub(crate) fn set_len(&mut self, len: u64) {
        self.change(len..self.current.len().max(len), Data::Zeros, len);
    }

    fn change(&mut self, range: Range<u64>, data: Data, len_after: u64) {
        self.last_number += 1;
        let change = Change { number: self.last_number, range, data, len_after };
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    // ---- syncing

    pub(crate) fn begin_sync(&self) -> Syncing {
        Syncing { number: self.last_number, len: self.current.len() }
    }

    pub(crate) fn finish_sync(&mut self, sync: Syncing) {
        let changes = self.take_covered(sync);
        for change in &changes {
            self.settle_doubts(change);
            change.apply(&mut self.durable);
        }
        if !changes.is_empty() {
            self.durable.set_len(sync.len); // the length goes as a whole
            self.len_doubtful = false;
        }
    }

    /// The disk may have it or not, and the system forgets that it has not been written.
    pub(crate) fn fail_sync(&mut self, sync: Syncing) {
        let changes = self.take_covered(sync);
        self.len_doubtful |= !changes.is_empty();
        for sector in changes.iter().flat_map(Change::sectors) {
            self.settled.remove(&sector);
        }
        self.doubtful.extend(changes);
    }

    fn take_covered(&mut self, sync: Syncing) -> Vec<Change> {
        let count = self.pending.partition_point(|change| change.number <= sync.number);
        self.pending.drain(..count).collect()
    }

    /// A sector that is written anew goes to the disk with all that the system has of it.
    fn settle_doubts(&mut self, change: &Change) {
        if self.doubtful.is_empty() {
            return;
        }
        for sector in change.sectors() {
            if self.settled.insert(sector) {
                let bytes = bytes_of(sector);
                self.doubtful.iter().for_each(|change| change.apply_within(&mut self.durable, &bytes));
            }
        }
    }

    // ---- crashing

    /// What is on the disk after a crash now.
    pub(crate) fn survivor(&self, dice: &mut Dice) -> Content {
        let mut content = self.durable.clone();
        if self.pending.is_empty() && self.doubtful.is_empty() {
            return content;
        }
        match dice.below(8) {
            0 => self.keep_none_pending(&mut content, dice),
            1 => self.keep_all(&mut content),
            2 | 3 => self.keep_first(&mut content, dice),
            _ => self.keep_some(&mut content, dice),
        }
        content
    }

    /// What is on the disk for certain.
    pub(crate) fn durable_content(&self) -> &Content {
        &self.durable
    }

    /// Changes that are not on the disk for certain, oldest first.
    fn uncertain(&self) -> impl Iterator<Item = &Change> {
        self.doubtful.iter().chain(&self.pending)
    }

    fn keep_none_pending(&self, content: &mut Content, dice: &mut Dice) {
        let count = dice.below(self.doubtful.len() as u64 + 1) as usize;
        self.keep_in_order(content, count);
    }

    fn keep_all(&self, content: &mut Content) {
        self.keep_in_order(content, usize::MAX);
    }

    /// The first changes, and the next one torn: a disk that writes in order.
    fn keep_first(&self, content: &mut Content, dice: &mut Dice) {
        let count = dice.below(self.uncertain().count() as u64) as usize;
        self.keep_in_order(content, count);
        if let Some(torn) = self.uncertain().nth(count) {
            let size = dice.below(torn.range.end - torn.range.start);
            let whole = if dice.percent(75) { size - size % SECTOR_SIZE } else { size };
            let before = content.len();
            self.apply_unsettled(torn, content, &(torn.range.start..torn.range.start + whole));
            // The length comes with the bytes, or without them, or they without it.
            content.set_len(if dice.percent(50) { self.len_after(count, torn, before) } else { before });
        }
    }

    fn keep_in_order(&self, content: &mut Content, count: usize) {
        for (index, change) in self.uncertain().take(count).enumerate() {
            let before = content.len();
            self.apply_unsettled(change, content, &change.range);
            content.set_len(self.len_after(index, change, before));
        }
    }

    /// The length after an uncertain change; that of a doubtful one may be settled since.
    fn len_after(&self, index: usize, change: &Change, before: u64) -> u64 {
        match index < self.doubtful.len() && !self.len_doubtful {
            true => before,
            false => change.len_after,
        }
    }

    /// Each sector for itself, as a disk that reorders its writes leaves them.
    fn keep_some(&self, content: &mut Content, dice: &mut Dice) {
        let keep = dice.pick(&[5, 50, 50, 95]).unwrap_or(50);
        let torn = dice.pick(&[0, 2, 25]).unwrap_or(0);
        let mut states: BTreeMap<u64, u64> = BTreeMap::new();
        for (sector, _) in self.uncertain_sectors() {
            *states.entry(sector).or_default() += 1;
        }
        for count in states.values_mut() {
            *count = match dice.percent(keep) {
                true => *count,
                false => dice.below(*count),
            };
        }
        let mut left = states;
        for (sector, change) in self.uncertain_sectors() {
            let Some(count) = left.get_mut(&sector).filter(|count| **count > 0) else { continue };
            *count -= 1;
            let bytes = bytes_of(sector);
            let part = match *count == 0 && dice.percent(torn) {
                true => tear(&bytes, dice),
                false => bytes,
            };
            change.apply_within(content, &part);
        }
        content.set_len(self.surviving_len(keep, dice));
    }

    fn uncertain_sectors(&self) -> impl Iterator<Item = (u64, &Change)> {
        let doubtful = self.doubtful.iter().flat_map(|change| {
            change.sectors().filter(|sector| !self.settled.contains(sector)).map(move |sector| (sector, change))
        });
        let pending = self.pending.iter().flat_map(|change| change.sectors().map(move |sector| (sector, change)));
        doubtful.chain(pending)
    }

    fn surviving_len(&self, keep: u64, dice: &mut Dice) -> u64 {
        let doubtful: &[Change] = if self.len_doubtful { &self.doubtful } else { &[] };
        let lens: Vec<u64> = doubtful.iter().chain(&self.pending).map(|change| change.len_after).collect();
        match lens.last() {
            Some(&last) if dice.percent(keep) => last,
            Some(_) => match dice.below(lens.len() as u64 + 1) as usize {
                0 => self.durable.len(),
                n => lens[n - 1],
            },
            None => self.durable.len(),
        }
    }

    fn apply_unsettled(&self, change: &Change, content: &mut Content, bytes: &Range<u64>) {
        if self.settled.is_empty() || self.pending.first().is_some_and(|first| change.number >= first.number) {
            return change.apply_within(content, bytes);
        }
        for sector in change.sectors().filter(|sector| !self.settled.contains(sector)) {
            let part = bytes_of(sector);
            change.apply_within(content, &(part.start.max(bytes.start)..part.end.min(bytes.end)));
        }
    }

    // ---- looking

    /// What programs see.
    pub(crate) fn content(&self) -> &Content {
        &self.current
    }
}

impl Change {
    fn apply(&self, content: &mut Content) {
        self.apply_within(content, &self.range);
        content.set_len(self.len_after);
    }

    /// Applies what it does to these bytes.
    fn apply_within(&self, content: &mut Content, bytes: &Range<u64>) {
        let (start, end) = (self.range.start.max(bytes.start), self.range.end.min(bytes.end));
        if start >= end {
            return;
        }
        let at = (start - self.range.start) as usize;
        match &self.data {
            Data::Bytes(all) => content.write(start, &all[at..at + (end - start) as usize]),
            Data::Zeros => content.write_zeros(start, end - start),
            Data::Room => content.allocate(start, end - start),
        }
    }

    /// The sectors whose bytes it sets.
    fn sectors(&self) -> Range<u64> {
        match (&self.data, self.range.is_empty()) {
            (Data::Room, _) | (_, true) => 0..0,
            _ => self.range.start / SECTOR_SIZE..self.range.end.div_ceil(SECTOR_SIZE),
        }
    }
}

fn bytes_of(sector: u64) -> Range<u64> {
    sector * SECTOR_SIZE..(sector + 1) * SECTOR_SIZE
}

/// A beginning or an end of the range.
fn tear(bytes: &Range<u64>, dice: &mut Dice) -> Range<u64> {
    let at = bytes.start + dice.below(SECTOR_SIZE);
    match dice.percent(50) {
        true => bytes.start..at,
        false => at..bytes.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every content that the file had since its last sync, whole.
    struct Model {
        history: Vec<Vec<u8>>,
    }

    impl Model {
        fn sector(content: &[u8], sector: usize, len: usize) -> Vec<u8> {
            let byte = |at: usize| content.get(at).copied().unwrap_or(0);
            (sector * 512..((sector + 1) * 512).min(len)).map(byte).collect()
        }

        /// Whether a sector is one of its states, or two neighbours torn.
        fn allows_sector(&self, found: &[u8], sector: usize, len: usize) -> bool {
            let states: Vec<_> = self.history.iter().map(|content| Model::sector(content, sector, len)).collect();
            let torn =
                |a: &[u8], b: &[u8]| (0..=found.len()).any(|at| found[..at] == a[..at] && found[at..] == b[at..]);
            states.iter().any(|state| state == found)
                || states.windows(2).any(|pair| torn(&pair[0], &pair[1]) || torn(&pair[1], &pair[0]))
        }

        fn check(&self, survivor: &[u8], context: &str) {
            assert!(
                self.history.iter().any(|content| content.len() == survivor.len()),
                "{context}: {}",
                survivor.len()
            );
            for sector in 0..survivor.len().div_ceil(512) {
                let found = Model::sector(survivor, sector, survivor.len());
                assert!(self.allows_sector(&found, sector, survivor.len()), "{context}: sector {sector}");
            }
        }
    }

    /// A random change, the same to the file and to a plain vector.
    fn change(file: &mut FileData, content: &mut Vec<u8>, dice: &mut Dice, stamp: u8) {
        let (offset, size) = (dice.below(4_000), dice.below(2_000));
        let end = (offset + size) as usize;
        let mut fill = |byte: u8| {
            if size > 0 {
                content.resize(content.len().max(end), 0);
                content[offset as usize..end].fill(byte);
            }
        };
        match dice.below(6) {
            0 => {
                file.set_len(offset);
                content.resize(offset as usize, 0);
            }
            1 => {
                file.write_zeros(offset, size);
                fill(0);
            }
            _ => {
                file.write(offset, &vec![stamp; size as usize]);
                fill(stamp);
            }
        }
    }

    #[test]
    fn a_crash_leaves_each_sector_in_one_of_its_states() {
        for seed in 0..60 {
            let mut dice = Dice::new(seed);
            let (mut file, mut content) = (FileData::default(), Vec::new());
            let mut model = Model { history: vec![Vec::new()] };
            for step in 0..12u8 {
                change(&mut file, &mut content, &mut dice, step + 1);
                model.history.push(content.clone());
                if dice.percent(25) {
                    let sync = file.begin_sync();
                    file.finish_sync(sync);
                    model.history = vec![content.clone()];
                }
                assert!(file.content().bytes() == content, "seed {seed}");
                for throw in 0..4 {
                    let survivor = file.survivor(&mut Dice::new(throw)).bytes();
                    model.check(&survivor, &format!("seed {seed} step {step} throw {throw}"));
                }
            }
        }
    }

    /// One sector: all that it can be after a crash, each seen at least once.
    fn outcomes(file: &FileData) -> BTreeSet<String> {
        let text = |throw| String::from_utf8(file.survivor(&mut Dice::new(throw)).bytes()).unwrap();
        (0..2_000).map(|throw| text(throw).replace('\0', ".")).filter(|text| text.len() < 3).collect()
    }

    fn check(file: &FileData, expected: &[&str]) {
        assert_eq!(outcomes(file).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_synced_stays_and_what_is_not_may_go() {
        let mut file = FileData::default();
        file.write(0, b"a");
        let sync = file.begin_sync();
        check(&file, &["", ".", "a"]); // the length may come without the bytes
        file.finish_sync(sync);
        check(&file, &["a"]);
        file.write(0, b"b");
        file.write(0, b"c");
        check(&file, &["a", "b", "c"]);
    }

    #[test]
    fn a_sync_covers_what_was_there_when_it_began() {
        let mut file = FileData::default();
        file.write(0, b"a");
        let sync = file.begin_sync();
        file.write(0, b"b");
        file.finish_sync(sync);
        check(&file, &["a", "b"]);
        let sync = file.begin_sync();
        file.finish_sync(sync);
        check(&file, &["b"]);
    }

    #[test]
    fn behind_a_failed_sync_is_doubt_until_the_sector_is_written_anew() {
        let mut file = FileData::durable(Content::of(b"a"));
        file.write(0, b"b");
        let sync = file.begin_sync();
        file.fail_sync(sync);
        check(&file, &["a", "b"]);
        let sync = file.begin_sync();
        file.finish_sync(sync); // says it went well, and knows nothing of it
        check(&file, &["a", "b"]);
        file.write(0, b"c");
        check(&file, &["a", "b", "c"]);
        let sync = file.begin_sync();
        file.finish_sync(sync);
        check(&file, &["c"]);
    }
}
