//! A channel's unsettled deliveries, by delivery tag.
//!
//! Tags count from 1 over everything that the channel delivers, no-ack deliveries included; only what wants settling is
//! kept. Settling is O(1) for each delivery, in order or not, one by one or in ranges.
//!
//! The ledger also counts for the channel-wide prefetch (basic.qos with global=true): all unsettled deliveries to
//! consumers of the channel together; what came by basic.get does not count.

use crate::error::Error;
use crate::ids::{ConsumerId, QueueId, Seq, ShardId};
use crate::slots::Slots;

/// A delivery that waits to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The queue it came from.
    pub queue: QueueId,
    /// Where that queue lives.
    pub shard: ShardId,
    /// Its place there.
    pub seq: Seq,
    /// The consumer; `None` for a get.
    pub consumer: Option<ConsumerId>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Ledger {
    entries: Slots<Unsettled>,
    /// Channel-wide prefetch; 0 is none.
    limit: u32,
    /// Unsettled deliveries that count for it.
    counted: u32,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { entries: Slots::starting_at(1), limit: 0, counted: 0 }
    }
}

impl Ledger {
    /// The first tag is 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a delivery and returns its tag.
    #[inline]
    pub fn deliver(&mut self, delivery: Unsettled) -> u64 {
        self.counted += u32::from(delivery.consumer.is_some());
        self.entries.push(delivery)
    }

    /// Returns the tag of a delivery that needs no settling.
    #[inline]
    pub fn deliver_settled(&mut self) -> u64 {
        self.entries.skip()
    }

    /// Appends the deliveries that an ack, nack or reject settles, oldest first. "ack tag 0 multiple=true: everything
    /// outstanding on the channel, fine if nothing is. Otherwise the tag must be outstanding; multiple settles it and
    /// all older ones" (RabbitMQ).
    pub fn settle(&mut self, tag: u64, multiple: bool, out: &mut Vec<Unsettled>) -> Result<(), Error> {
        self.settle_each(tag, multiple, |_, entry| out.push(entry))
    }

    /// [`Ledger::settle`] with the tags, for transactions.
    pub(crate) fn settle_each(
        &mut self,
        tag: u64,
        multiple: bool,
        mut out: impl FnMut(u64, Unsettled),
    ) -> Result<(), Error> {
        if !multiple {
            let entry = self.entries.remove(tag).ok_or(Error::UnknownDeliveryTag(tag))?;
            self.counted -= u32::from(entry.consumer.is_some());
            out(tag, entry);
            return Ok(());
        }
        if tag != 0 && self.entries.get(tag).is_none() {
            return Err(Error::UnknownDeliveryTag(tag));
        }
        let last = if tag == 0 { u64::MAX } else { tag };
        while let Some((first, entry)) = self.pop_up_to(last) {
            out(first, entry);
        }
        Ok(())
    }

    /// Takes back a settlement.
    pub(crate) fn unsettle(&mut self, tag: u64, entry: Unsettled) {
        self.counted += u32::from(entry.consumer.is_some());
        self.entries.reopen(tag, entry);
    }

    /// Appends all unsettled deliveries, oldest first, and forgets them: recover, or the channel's end. Tags go on
    /// counting.
    pub fn drain(&mut self, out: &mut Vec<Unsettled>) {
        while let Some((_, entry)) = self.pop_up_to(u64::MAX) {
            out.push(entry);
        }
    }

    /// basic.qos with global=true; 0 is no limit.
    pub fn set_channel_prefetch(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// What was set by [`Ledger::set_channel_prefetch`].
    pub fn channel_prefetch(&self) -> u32 {
        self.limit
    }

    /// Whether the channel-wide prefetch allows one more delivery to a consumer.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.limit == 0 || self.counted < self.limit
    }

    /// The tag given out last; 0 before the first.
    pub fn last_tag(&self) -> u64 {
        self.entries.next_number() - 1
    }

    /// How many deliveries wait to be settled.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The unsettled deliveries with their tags, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Unsettled)> {
        self.entries.iter()
    }

    #[inline]
    fn pop_up_to(&mut self, last: u64) -> Option<(u64, Unsettled)> {
        self.entries.first().filter(|(first, _)| *first <= last)?;
        let (tag, entry) = self.entries.pop_first()?;
        self.counted -= u32::from(entry.consumer.is_some());
        Some((tag, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::collections::BTreeMap;

    fn delivery(seq: u64, from_get: bool) -> Unsettled {
        let consumer = (!from_get).then_some(ConsumerId(seq % 3));
        Unsettled { queue: QueueId(seq % 2), shard: ShardId(0), seq: Seq(seq), consumer }
    }

    fn seqs(settled: &[Unsettled]) -> Vec<u64> {
        settled.iter().map(|entry| entry.seq.0).collect()
    }

    /// Five deliveries with tags 1 to 5, the third of them no-ack; then the commands in turn, each with the tags it
    /// must settle (`None`: unknown delivery tag).
    #[test]
    fn tags_are_settled_as_the_standard_says() {
        let check = |commands: &[(u64, bool, Option<&[u64]>)]| {
            let mut ledger = Ledger::new();
            for tag in 1..=5 {
                let given = if tag == 3 { ledger.deliver_settled() } else { ledger.deliver(delivery(tag, false)) };
                assert_eq!(given, tag);
            }
            for (tag, multiple, expected) in commands {
                let mut out = Vec::new();
                let result = ledger.settle(*tag, *multiple, &mut out);
                assert_eq!(result.is_ok(), expected.is_some(), "{tag} {multiple}: {result:?}");
                assert_eq!(seqs(&out), expected.unwrap_or(&[]), "{tag} {multiple}");
            }
        };
        check(&[(1, false, Some(&[1])), (1, false, None), (2, true, Some(&[2]))]);
        check(&[(4, true, Some(&[1, 2, 4])), (4, true, None), (2, true, None), (5, false, Some(&[5]))]);
        check(&[(0, true, Some(&[1, 2, 4, 5])), (0, true, Some(&[])), (0, false, None)]);
        check(&[(3, false, None), (3, true, None), (6, true, None), (6, false, None), (u64::MAX, true, None)]);
        check(&[(5, false, Some(&[5])), (2, false, Some(&[2])), (4, true, Some(&[1, 4]))]);
    }

    #[test]
    fn channel_prefetch_counts_consumers_deliveries_only() {
        let mut ledger = Ledger::new();
        let mut out = Vec::new();
        ledger.set_channel_prefetch(2);
        ledger.deliver(delivery(1, true));
        ledger.deliver(delivery(2, false));
        ledger.deliver_settled();
        assert!(ledger.has_room());
        let tag = ledger.deliver(delivery(3, false));
        assert!(!ledger.has_room());
        ledger.settle(1, false, &mut out).expect("outstanding");
        assert!(!ledger.has_room(), "what came by get does not count");
        ledger.settle(tag, false, &mut out).expect("outstanding");
        assert!(ledger.has_room());
        ledger.set_channel_prefetch(1);
        assert!(!ledger.has_room());
        ledger.set_channel_prefetch(0);
        assert!(ledger.has_room());
    }

    #[test]
    fn agrees_with_an_ordered_map() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let (mut ledger, mut model) = (Ledger::new(), BTreeMap::new());
            ledger.set_channel_prefetch(10);
            let mut next = 1;
            for _ in 0..3_000 {
                let mut out = Vec::new();
                match random.below(6) {
                    0..=2 => {
                        let entry = delivery(next, random.chance(20));
                        assert_eq!(ledger.deliver(entry), next);
                        model.insert(next, entry);
                        next += 1;
                    }
                    3 => {
                        assert_eq!(ledger.deliver_settled(), next);
                        next += 1;
                    }
                    4 => {
                        let tag = random.below(next + 1);
                        assert_eq!(ledger.settle(tag, false, &mut out).is_ok(), model.contains_key(&tag));
                        assert_eq!(out, model.remove(&tag).into_iter().collect::<Vec<_>>());
                    }
                    _ => {
                        let tag = (next + 2).saturating_sub(random.below(12));
                        let known = tag == 0 || model.contains_key(&tag);
                        assert_eq!(ledger.settle(tag, true, &mut out).is_ok(), known);
                        let rest = model.split_off(&if tag == 0 { u64::MAX } else { tag + 1 });
                        let settled = std::mem::replace(&mut model, rest);
                        if known {
                            assert_eq!(out, settled.into_values().collect::<Vec<_>>());
                        } else {
                            model.extend(settled);
                        }
                    }
                }
                assert_eq!((ledger.len(), ledger.is_empty()), (model.len(), model.is_empty()));
                let counted = model.values().filter(|entry| entry.consumer.is_some()).count();
                assert_eq!(ledger.has_room(), counted < 10);
            }
            assert!(ledger.iter().eq(model.iter().map(|(tag, entry)| (*tag, entry))));
            let mut out = Vec::new();
            ledger.drain(&mut out);
            assert_eq!(out, model.into_values().collect::<Vec<_>>());
            assert!(ledger.is_empty() && ledger.has_room());
            assert_eq!(ledger.deliver_settled(), next, "tags go on counting");
        }
    }
}
