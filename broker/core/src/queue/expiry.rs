//! When messages expire: an index over all of a queue's messages that have a time to live.
//!
//! RabbitMQ's classic queues look only at the head, so a message may wait long past its time behind one that lives
//! longer. Here each message expires in its own time, wherever it stands.
//!
//! The index is a heap that is never searched. A message that leaves the queue early leaves its entry behind, to be
//! passed over when its time comes; [`ExpiryIndex::is_bloated`] says when so many of those have gathered that it is
//! time for a [`ExpiryIndex::retain`]. With one TTL for all, the usual case, entries come in order and pushing is O(1).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;

use crate::ids::{Seq, Time};

/// Fewer entries than this are never worth a sweep.
const SWEEP_MIN: usize = 64;

/// When a message expires. A [`Time`] that leaves room for "never" within its eight bytes; the last moment of all is
/// the last but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry(NonZeroU64);

impl Expiry {
    pub(super) fn at(time: Time) -> Self {
        Self(NonZeroU64::MIN.saturating_add(time.0))
    }

    pub(super) fn time(self) -> Time {
        Time(self.0.get() - 1)
    }
}

#[derive(Debug, Default)]
pub(super) struct ExpiryIndex {
    heap: BinaryHeap<Reverse<(Time, Seq)>>,
}

impl ExpiryIndex {
    pub(super) fn add(&mut self, time: Time, seq: Seq) {
        self.heap.push(Reverse((time, seq)));
    }

    /// The entry with the earliest time.
    #[inline]
    pub(super) fn first(&self) -> Option<(Time, Seq)> {
        self.heap.peek().map(|Reverse(entry)| *entry)
    }

    pub(super) fn remove_first(&mut self) {
        self.heap.pop();
    }

    /// Whether most entries must be dead, if only this many messages are alive.
    pub(super) fn is_bloated(&self, alive: u64) -> bool {
        self.heap.len() > SWEEP_MIN && self.heap.len() as u64 / 2 > alive
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(Seq) -> bool) {
        self.heap.retain(|Reverse((_, seq))| keep(*seq));
    }

    #[cfg(test)]
    pub(super) fn seqs(&self) -> impl Iterator<Item = Seq> {
        self.heap.iter().map(|Reverse((_, seq))| *seq)
    }
}
