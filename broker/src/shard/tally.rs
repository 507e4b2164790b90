//! What a shard counts: plain cells, written by the shard alone; whoever wants the figures asks the shard.
//!
//! A channel counts for itself, and its counts are added to the shard's when it closes, so that the sums never go down
//! and the path of a message has one addition for each thing that is counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use leveret_core::death::DeathReason;
use leveret_core::{FastMap, Name, VhostId};
use leveret_management::port::{ChannelCounts, ExchangeCounts, SIZE_BUCKETS};

/// Where the counts of virtual hosts go that are gone; numbers of virtual hosts count up from 0 and never get here.
const NO_VHOST: VhostId = VhostId(u32::MAX);

/// A count that only goes up.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.set(self.0.get() + count);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What a channel has done.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names are those of the counts")]
pub struct ChannelTally {
    pub published: Counter,
    pub returned: Counter,
    pub dropped: Counter,
    pub delivered: Counter,
    pub delivered_no_ack: Counter,
    pub got: Counter,
    pub got_no_ack: Counter,
    pub got_empty: Counter,
    pub redelivered: Counter,
    pub acked: Counter,
}

impl ChannelTally {
    /// The figures. Confirms are counted elsewhere.
    pub fn counts(&self) -> ChannelCounts {
        ChannelCounts {
            published: self.published.get(),
            confirmed: 0,
            returned: self.returned.get(),
            dropped: self.dropped.get(),
            delivered: self.delivered.get(),
            delivered_no_ack: self.delivered_no_ack.get(),
            got: self.got.get(),
            got_no_ack: self.got_no_ack.get(),
            got_empty: self.got_empty.get(),
            redelivered: self.redelivered.get(),
            acked: self.acked.get(),
        }
    }
}

/// Adds one channel's counts to another's.
pub fn add_counts(to: &mut ChannelCounts, it: &ChannelCounts) {
    to.published += it.published;
    to.confirmed += it.confirmed;
    to.returned += it.returned;
    to.dropped += it.dropped;
    to.delivered += it.delivered;
    to.delivered_no_ack += it.delivered_no_ack;
    to.got += it.got;
    to.got_no_ack += it.got_no_ack;
    to.got_empty += it.got_empty;
    to.redelivered += it.redelivered;
    to.acked += it.acked;
}

/// What went through an exchange, as far as this shard's publishers sent it.
#[derive(Debug, Default)]
pub struct ExchangeTally {
    published_in: Counter,
    published_out: Counter,
    /// The exchange is gone; who publishes to another one of its name counts there.
    is_gone: Cell<bool>,
}

impl ExchangeTally {
    /// A message came in and went on to so many queues.
    #[inline]
    pub fn add(&self, queues: u64) {
        self.published_in.add(1);
        self.published_out.add(queues);
    }

    /// See the field.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}

/// See the module's description.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Tally {
    pub connections_opened: Counter,
    pub connections_closed: Counter,
    pub channels_opened: Counter,
    pub channels_closed: Counter,
    pub queues_declared: Counter,
    pub queues_created: Counter,
    pub queues_deleted: Counter,
    pub dead_lettered_expired: Counter,
    pub dead_lettered_rejected: Counter,
    pub dead_lettered_maxlen: Counter,
    pub dead_lettered_delivery_limit: Counter,
    pub logins: Counter,
    pub failed_logins: Counter,
    /// Publishes on confirming channels that are closed.
    pub received_confirm: Counter,
    pub published_bytes: Counter,
    sizes: [Counter; SIZE_BUCKETS.len() + 1],
    /// Of closed channels, by virtual host.
    closed: RefCell<FastMap<VhostId, ChannelCounts>>,
    exchanges: RefCell<FastMap<(VhostId, Name), Rc<ExchangeTally>>>,
}

impl Tally {
    /// A message of that size was published.
    #[inline]
    pub fn note_size(&self, size: u64) {
        self.published_bytes.add(size);
        let bucket = SIZE_BUCKETS.iter().position(|bound| size <= *bound).unwrap_or(SIZE_BUCKETS.len());
        self.sizes[bucket].add(1);
    }

    /// Messages by size.
    pub fn sizes(&self) -> [u64; SIZE_BUCKETS.len() + 1] {
        std::array::from_fn(|bucket| self.sizes[bucket].get())
    }

    /// Where to count messages that die for that reason.
    pub fn dead_lettered(&self, reason: DeathReason) -> &Counter {
        match reason {
            DeathReason::Rejected => &self.dead_lettered_rejected,
            DeathReason::Expired => &self.dead_lettered_expired,
            DeathReason::MaxLength => &self.dead_lettered_maxlen,
            DeathReason::DeliveryLimit => &self.dead_lettered_delivery_limit,
        }
    }

    /// A channel of a virtual host closed that had done this.
    pub fn close_channel(&self, vhost: VhostId, counts: &ChannelCounts) {
        add_counts(self.closed.borrow_mut().entry(vhost).or_default(), counts);
    }

    /// What all closed channels have done.
    pub fn closed(&self) -> ChannelCounts {
        let mut sum = ChannelCounts::default();
        self.closed.borrow().values().for_each(|counts| add_counts(&mut sum, counts));
        sum
    }

    /// The same by virtual host.
    pub fn closed_by_vhost(&self) -> FastMap<VhostId, ChannelCounts> {
        self.closed.borrow().clone()
    }

    /// A virtual host is gone. What happened in it stays in the sums, under a number that is nobody's.
    pub fn forget_vhost(&self, vhost: VhostId) {
        let mut closed = self.closed.borrow_mut();
        if let Some(counts) = closed.remove(&vhost) {
            add_counts(closed.entry(NO_VHOST).or_default(), &counts);
        }
    }

    /// Where to count what is published to an exchange.
    pub fn exchange(&self, vhost: VhostId, name: &str) -> Rc<ExchangeTally> {
        self.exchanges.borrow_mut().entry((vhost, name.into())).or_default().clone()
    }

    /// The counts of all exchanges that `exists` knows; the others are forgotten.
    pub fn exchanges(&self, exists: impl Fn(VhostId, &str) -> bool) -> Vec<((VhostId, Name), ExchangeCounts)> {
        let mut exchanges = self.exchanges.borrow_mut();
        exchanges.retain(|(vhost, name), tally| {
            let exists = exists(*vhost, name);
            tally.is_gone.set(!exists);
            exists
        });
        let counts = |it: &ExchangeTally| ExchangeCounts {
            published_in: it.published_in.get(),
            published_out: it.published_out.get(),
        };
        exchanges.iter().map(|(key, tally)| (key.clone(), counts(tally))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_their_buckets() {
        let tally = Tally::default();
        for size in [0, 100, 101, 1_000, 100_000_000, 100_000_001] {
            tally.note_size(size);
        }
        assert_eq!(tally.sizes(), [2, 2, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(tally.published_bytes.get(), 200_001_202);
    }

    #[test]
    fn sums_outlive_the_virtual_host() {
        let tally = Tally::default();
        let counts = |published| ChannelCounts { published, ..ChannelCounts::default() };
        tally.close_channel(VhostId(1), &counts(1));
        tally.close_channel(VhostId(2), &counts(10));
        tally.close_channel(VhostId(1), &counts(100));
        assert_eq!(tally.closed_by_vhost().get(&VhostId(1)), Some(&counts(101)));
        tally.forget_vhost(VhostId(1));
        tally.forget_vhost(VhostId(3));
        assert_eq!((tally.closed(), tally.closed_by_vhost().get(&VhostId(1))), (counts(111), None));
    }

    #[test]
    fn exchanges_that_are_gone_are_forgotten() {
        let tally = Tally::default();
        let (kept, lost) = (tally.exchange(VhostId(0), "a"), tally.exchange(VhostId(0), "b"));
        kept.add(2);
        lost.add(1);
        let counts = tally.exchanges(|_, name| name == "a");
        assert_eq!(counts, [((VhostId(0), "a".into()), ExchangeCounts { published_in: 1, published_out: 2 })]);
        assert!(lost.is_gone() && !kept.is_gone());
        assert!(!tally.exchange(VhostId(0), "b").is_gone());
    }
}
