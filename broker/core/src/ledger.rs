//! A channel's unsettled deliveries, by delivery tag.
//!
//! Tags count from 1 over everything that the channel delivers, no-ack deliveries included; only what wants settling is kept. Settling is O(1) for
//! each delivery, in order or not, one by one or in ranges.
//!
//! The ledger also counts for the channel-wide prefetch (basic.qos with global=true): all unsettled deliveries to consumers of the channel together; what
//! came by basic.get does not count.

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

    /// Appends the deliveries that an ack, nack or reject settles, oldest first. "ack tag 0 multiple=true: everything outstanding on the channel,
    /// fine if nothing is. Otherwise the tag must be outstanding; multiple settles it and all older ones" (RabbitMQ).
    pub fn settle(&mut self, tag: u64, multiple: bool, out: &mut Vec<Unsettled>) -> Result<(), Error> {
        if multiple && tag == 0 {
            self.drain(out);
            return Ok(());
        }
        if !multiple {
            let entry = self.entries.remove(tag).ok_or(Error::UnknownDeliveryTag(tag))?;
            self.settled(entry, out);
            return Ok(());
        }
        if self.entries.get(tag).is_none() {
            return Err(Error::UnknownDeliveryTag(tag));
        }
        while self.entries.first().is_some_and(|(first, _)| first <= tag) {
            let Some((_, entry)) = self.entries.pop_first() else { break };
            self.settled(entry, out);
        }
        Ok(())
    }

    /// Appends all unsettled deliveries, oldest first, and forgets them: recover, or the channel's end. Tags go on counting.
    pub fn drain(&mut self, out: &mut Vec<Unsettled>) {
        while let Some((_, entry)) = self.entries.pop_first() {
            self.settled(entry, out);
        }
    }

    /// basic.qos with global=true; 0 is no limit.
    pub fn set_channel_prefetch(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Whether the channel-wide prefetch allows one more delivery to a consumer.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.limit == 0 || self.counted < self.limit
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
    fn settled(&mut self, entry: Unsettled, out: &mut Vec<Unsettled>) {
        self.counted -= u32::from(entry.consumer.is_some());
        out.push(entry);
    }
}
