//! The integers by which the store calls things. All are newtypes: a queue's number cannot be taken for a place in it.

use std::fmt;

/// A queue, by a number of the caller's choice that is never used again after [`delete_queue`](crate::Writer::delete_queue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey(pub u64);

/// A message's place in its queue; never used twice. The upper eight bits are its *lane*: within a lane messages are
/// published in ascending order (a priority's messages are a lane; a queue without priorities has one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Where the lane sits in a [`Seq`].
const LANE_SHIFT: u32 = 56;

impl Seq {
    /// The greatest of all.
    pub const MAX: Seq = Seq(u64::MAX);

    /// The upper eight bits.
    pub fn lane(self) -> u8 {
        (self.0 >> LANE_SHIFT) as u8
    }

    /// The next one; the greatest stays.
    pub(crate) fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

/// How many batches a shard's writer has handed over. When [`Writer::durable`](crate::Writer::durable) has reached the
/// position that [`Writer::flush`](crate::Writer::flush) gave, all that was written before it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A group's number in the log, from 1; never used twice for groups that were committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupSeq(pub(crate) u64);

impl GroupSeq {
    pub(crate) fn next(self) -> GroupSeq {
        GroupSeq(self.0 + 1)
    }
}

/// A log file: `log/<number>.log`. The files are few and used again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogId(pub(crate) u16);

/// A segment: `segments/<number>.seg`. Numbers are never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for GroupSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_the_upper_bits() {
        let check = |seq: u64, lane: u8| assert_eq!(Seq(seq).lane(), lane, "{seq:x}");
        check(0, 0);
        check((1 << 56) - 1, 0);
        check(1 << 56, 1);
        check(u64::MAX, 255);
        assert_eq!(Seq(7).next(), Seq(8));
        assert_eq!(Seq::MAX.next(), Seq::MAX);
    }
}
