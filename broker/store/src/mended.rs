//! A segment's index after damage: which of its entries can still be trusted.
//!
//! The index has one checksum, so that something in it is wrong says nothing of where. But the manifest and the log know
//! which messages are live in the segment, in which order, and when the first expires; and of each body the entry knows
//! the checksum. An entry is trusted if it speaks of a live message and stands in order among the others: **between two sound
//! neighbours no number is live but the true one**, so a wrong number is not live, out of order, or a neighbour's, of which
//! one is given up then. Of those that contradict each other the fewest are. Where numbers have no gaps, the place says
//! the number. That size, place and checksum are right shows when the body is read.

use crate::attributes::Attributes;
use crate::ids::{QueueKey, Seq};
use crate::lane::{Body, Run};
use crate::segment::{ENTRY_SIZE, HEADER_SIZE, SegmentEntry, SegmentIndex, decode_entry};
use crate::wire::Cursor;

/// The index of a segment whose entries are `bytes`, all behind the bodies, which end at `entries_at` or before. The places of
/// entries that are not trusted stay behind those of their run, with a number that is not live. Answers which live messages
/// are not found any more, too.
pub(crate) fn mend(bytes: &[u8], entries_at: u64, runs: &[(QueueKey, Run)]) -> (SegmentIndex, Vec<(QueueKey, Seq)>) {
    let decoded: Vec<_> = bytes.chunks(ENTRY_SIZE).map(|entry| decode_entry(&mut Cursor(entry))).collect();
    let nothing =
        SegmentEntry { seq: Seq::MAX, attributes: Attributes::NONE, body: Body { offset: 0, size: 0, crc: 0 } };
    let (mut entries, mut lost) = (vec![nothing; decoded.len()], Vec::new());
    for (queue, run) in runs {
        let places = run.start as usize..(run.start as usize).saturating_add(run.count as usize);
        let (Some(found), Some(slots)) = (decoded.get(places.clone()), entries.get_mut(places)) else { continue };
        let plausible = found.iter().enumerate().filter_map(|(place, entry)| {
            entry.as_ref().filter(|entry| is_plausible(entry, place as u64, run, entries_at))
        });
        let plausible: Vec<_> = plausible.collect();
        let trusted = longest_ascending(&plausible);
        lost.extend(missing(run, &trusted).map(|seq| (*queue, seq)));
        slots.fill(SegmentEntry { seq: run.last.next(), ..nothing });
        slots.iter_mut().zip(trusted).for_each(|(slot, entry)| *slot = *entry);
    }
    (SegmentIndex { runs: Vec::new(), entries }, lost)
}

/// Whether it can be of a live message.
fn is_plausible(entry: &SegmentEntry, place: u64, run: &Run, entries_at: u64) -> bool {
    let has_gaps = run.last.0.saturating_sub(run.first.0) >= u64::from(run.count);
    let fits = has_gaps || entry.seq.0.checked_sub(run.first.0) == Some(place);
    let end = u64::from(entry.body.offset) + u64::from(entry.body.size);
    let expires = match (run.contents, entry.attributes.expiry_ms()) {
        (Some(contents), Some(expiry)) => contents.expiry_ms.is_some_and(|earliest| earliest <= expiry),
        _ => true,
    };
    run.live.contains(entry.seq) && fits && entry.body.offset as usize >= HEADER_SIZE && end <= entries_at && expires
}

/// The most of them whose numbers ascend.
fn longest_ascending<'a>(entries: &[&'a SegmentEntry]) -> Vec<&'a SegmentEntry> {
    // `ends[n]` is the entry with the least number that n others may stand before; `before` the last one of those.
    let (mut ends, mut before) = (Vec::<usize>::new(), Vec::with_capacity(entries.len()));
    let seq = |at: &usize| entries.get(*at).map(|entry| entry.seq);
    for at in 0..entries.len() {
        let place = ends.partition_point(|end| seq(end) < seq(&at));
        before.push(place.checked_sub(1).and_then(|place| ends.get(place).copied()));
        match ends.get_mut(place) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let last = ends.last().copied();
    let mut longest: Vec<_> = std::iter::successors(last, |at| before.get(*at).copied().flatten())
        .filter_map(|at| entries.get(at).copied())
        .collect();
    longest.reverse();
    longest
}

/// The live messages of a run that are not among these, which ascend.
fn missing<'a>(run: &Run, trusted: &'a [&SegmentEntry]) -> impl Iterator<Item = Seq> + use<'a> {
    let mut trusted = trusted.iter().peekable();
    let live = run.live.ranges().into_iter().flat_map(|range| (range.first.0..=range.last.0).map(Seq));
    live.filter(move |seq| trusted.next_if(|entry| entry.seq == *seq).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SegmentId;
    use crate::lane::Contents;
    use crate::live::LiveSet;
    use crate::record::SeqRange;

    const AT: u64 = 100_000;

    type Runs = Vec<(QueueKey, Run)>;

    /// Two runs, one with gaps and something settled, and their bytes.
    fn sample(seqs: &[&[u64]], settled: &[u64]) -> (Runs, Vec<u8>) {
        let (mut index, mut offset) = (SegmentIndex::default(), 64);
        for (queue, seqs) in seqs.iter().enumerate() {
            for seq in seqs.iter() {
                let body = Body { offset, size: 10 + *seq as u32, crc: 77 };
                let entry = SegmentEntry { seq: Seq(*seq), attributes: Attributes::NONE, body };
                index.push(QueueKey(queue as u64), entry, false);
                offset += body.size;
            }
        }
        let runs = index.index_runs(SegmentId(1)).zip(seqs).map(|((queue, _, mut run), seqs)| {
            run.live = LiveSet::from_ascending(seqs.iter().map(|seq| Seq(*seq)));
            settled.iter().for_each(|seq| _ = run.live.remove(SeqRange::one(Seq(*seq))));
            (queue, run)
        });
        let runs: Vec<_> = runs.collect();
        let (bytes, trailer) = index.encode(SegmentId(1), AT);
        let from = trailer.runs as usize * 32;
        (runs, bytes[from..from + index.entries.len() * ENTRY_SIZE].to_vec())
    }

    /// What is found of each run by who reads it, and what is lost.
    fn found(runs: &[(QueueKey, Run)], bytes: &[u8]) -> (Vec<SegmentEntry>, Vec<u64>) {
        let (index, lost) = mend(bytes, AT, runs);
        let mut found = Vec::new();
        for (_, run) in runs {
            let entries = index.entries_of(run.start, run.count);
            assert!(entries.windows(2).all(|pair| pair[0].seq <= pair[1].seq), "readers look by halves");
            let live: Vec<_> = entries.iter().filter(|entry| run.live.contains(entry.seq)).copied().collect();
            assert!(live.windows(2).all(|pair| pair[0].seq < pair[1].seq));
            found.extend(live);
        }
        assert_eq!(found.len() + lost.len(), runs.iter().map(|(_, run)| run.live.count() as usize).sum::<usize>());
        (found, lost.iter().map(|(_, seq)| seq.0).collect())
    }

    fn samples() -> [(Runs, Vec<u8>); 3] {
        let dense: Vec<u64> = (1..60).collect();
        [
            sample(&[&dense], &[]),
            sample(&[&[3, 5, 6, 9, 17, 18, 33, 70], &[2, 4, 8, 16, 20]], &[5, 16]),
            sample(&[&[0, 1], &[7]], &[]),
        ]
    }

    #[test]
    fn sound_entries_are_all_found() {
        for (runs, bytes) in samples() {
            let (found, lost) = found(&runs, &bytes);
            assert!(lost.is_empty() && !found.is_empty());
        }
    }

    /// Wherever a bit changes, at most its message is lost, and no other one is read in its place.
    #[test]
    fn a_flipped_bit_costs_at_most_its_own_message() {
        for (runs, bytes) in samples() {
            let (sound, _) = found(&runs, &bytes);
            for bit in 0..bytes.len() * 8 {
                let mut harmed = bytes.clone();
                harmed[bit / 8] ^= 1 << (bit % 8);
                let own = decode_entry(&mut Cursor(&bytes[bit / 8 / ENTRY_SIZE * ENTRY_SIZE..])).expect("sound").seq.0;
                let (found, lost) = found(&runs, &harmed);
                // A number that has become a neighbour's: one of the two is lost, and nobody can say which.
                let is_either = |it: &SegmentEntry| it.seq.0 == own || lost.contains(&it.seq.0);
                let neighbours = sound.windows(2).any(|pair| pair.iter().all(is_either));
                assert!(lost.is_empty() || lost == [own] || lost.len() == 1 && neighbours, "bit {bit}: lost {lost:?}");
                let others = |entries: &[SegmentEntry]| {
                    let is_other = |entry: &&SegmentEntry| entry.seq.0 != own && !lost.contains(&entry.seq.0);
                    entries.iter().filter(is_other).copied().collect::<Vec<_>>()
                };
                assert_eq!(others(&found), others(&sound), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_part_of_zeros_costs_its_own_messages() {
        for (runs, bytes) in samples() {
            let count = bytes.len() / ENTRY_SIZE;
            for (first, last) in (0..count).flat_map(|first| (first..count).map(move |last| (first, last))) {
                let mut harmed = bytes.clone();
                harmed[first * ENTRY_SIZE..(last + 1) * ENTRY_SIZE].fill(0);
                let (found, lost) = found(&runs, &harmed);
                assert!(lost.len() <= last + 1 - first && found.iter().all(|entry| entry.body.crc == 77));
            }
        }
    }

    #[test]
    fn a_time_to_live_that_none_of_them_had_is_not_trusted() {
        let (mut runs, mut bytes) = sample(&[&[1, 2, 3]], &[]);
        bytes[ENTRY_SIZE + 8] = 9;
        assert_eq!(found(&runs, &bytes).1, [2]);
        runs[0].1.contents = Some(Contents { bytes: 0, expiry_ms: Some(8) });
        assert_eq!(found(&runs, &bytes).1, []);
        runs[0].1.contents = None;
        assert_eq!(found(&runs, &bytes).1, []);
    }
}
