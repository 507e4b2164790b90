//! A channel's publisher confirms: which publishes are still open, and how the answers are put together.
//!
//! Each publish takes the next number, starting with 1, and waits for a number of queues (none, if it is unroutable).
//! When the last of them has confirmed, it is done: acked, or nacked if one of them refused it.
//!
//! Done numbers are collected until the shell takes them, once a turn, and go out as few frames as the standard allows:
//! an ack with `multiple` up to the *cut-off* (the lowest number that is still open or is to be nacked), then single
//! acks for those beyond; nacks likewise after them.

use crate::slots::Slots;

/// One frame to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// basic.ack
    Ack {
        /// The publish's number.
        tag: u64,
        /// Also all lower ones that are not answered yet.
        multiple: bool,
    },
    /// basic.nack
    Nack {
        /// The publish's number.
        tag: u64,
        /// Also all lower ones that are not answered yet.
        multiple: bool,
    },
}

/// See the module's description.
#[derive(Debug)]
pub struct Confirms {
    open: Slots<Waiting>,
    acked: Runs,
    nacked: Runs,
}

#[derive(Debug)]
struct Waiting {
    queues: u32,
    rejected: bool,
}

impl Default for Confirms {
    fn default() -> Self {
        Self { open: Slots::starting_at(1), acked: Runs::default(), nacked: Runs::default() }
    }
}

impl Confirms {
    /// The first number is 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next number for a publish that waits for this many queues; with none it is confirmed at once.
    #[inline]
    pub fn next(&mut self, queues: u32) -> u64 {
        if queues == 0 {
            let number = self.open.skip();
            self.acked.add(number);
            return number;
        }
        self.open.push(Waiting { queues, rejected: false })
    }

    /// One of the queues has the message, safely. Numbers that are not open are passed over.
    #[inline]
    pub fn confirmed(&mut self, number: u64) {
        self.answered(number, false);
    }

    /// One of the queues refused the message.
    pub fn rejected(&mut self, number: u64) {
        self.answered(number, true);
    }

    /// Appends the frames for everything done since the last call.
    pub fn take(&mut self, out: &mut Vec<Confirm>) {
        if self.acked.is_empty() && self.nacked.is_empty() {
            return;
        }
        let open = self.open.first().map_or(u64::MAX, |(number, _)| number);
        let nacked = self.nacked.lowest().unwrap_or(u64::MAX);
        self.acked.drain(open.min(nacked), |tag, multiple| out.push(Confirm::Ack { tag, multiple }));
        self.nacked.drain(open, |tag, multiple| out.push(Confirm::Nack { tag, multiple }));
    }

    /// The number given out last; 0 before the first.
    pub fn last_number(&self) -> u64 {
        self.open.next_number() - 1
    }

    /// How many publishes are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether [`Confirms::take`] would yield anything.
    pub fn has_answers(&self) -> bool {
        !self.acked.is_empty() || !self.nacked.is_empty()
    }

    #[inline]
    fn answered(&mut self, number: u64, rejected: bool) {
        let Some(waiting) = self.open.get_mut(number) else { return };
        waiting.queues -= 1;
        waiting.rejected |= rejected;
        if waiting.queues > 0 {
            return;
        }
        let rejected = waiting.rejected;
        self.open.remove(number);
        if rejected { self.nacked.add(number) } else { self.acked.add(number) }
    }
}

/// Numbers as runs of neighbours; one run, as long as everything is done in order.
#[derive(Debug, Default)]
struct Runs(Vec<(u64, u64)>);

impl Runs {
    #[inline]
    fn add(&mut self, number: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => self.0.push((number, number)),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn lowest(&self) -> Option<u64> {
        self.0.iter().map(|(first, _)| *first).min()
    }

    /// Empties: one answer for all below the cut-off, single ones for the rest. One number alone is never `multiple`.
    fn drain(&mut self, cut_off: u64, mut answer: impl FnMut(u64, bool)) {
        self.0.sort_unstable();
        let is_single = matches!(&self.0[..], [(first, last)] if first == last);
        let below = self.0.iter().filter(|(first, _)| *first < cut_off).map(|(_, last)| (*last).min(cut_off - 1)).max();
        if let Some(tag) = below {
            answer(tag, !is_single);
        }
        for (first, last) in self.0.drain(..) {
            (first.max(cut_off)..=last).for_each(|tag| answer(tag, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use Confirm::{Ack, Nack};
    use std::collections::BTreeSet;

    fn ack(tag: u64, multiple: bool) -> Confirm {
        Ack { tag, multiple }
    }

    fn nack(tag: u64, multiple: bool) -> Confirm {
        Nack { tag, multiple }
    }

    /// Publishes that wait for these numbers of queues, then answers (negative: refused), then the frames.
    #[test]
    fn answers_go_out_up_to_the_cut_off_and_then_one_by_one() {
        let check = |waits: &[u32], answers: &[i64], expected: &[Confirm]| {
            let mut confirms = Confirms::new();
            for (index, queues) in waits.iter().enumerate() {
                assert_eq!(confirms.next(*queues), index as u64 + 1);
            }
            for answer in answers {
                let number = answer.unsigned_abs();
                if *answer < 0 { confirms.rejected(number) } else { confirms.confirmed(number) }
            }
            let mut out = Vec::new();
            confirms.take(&mut out);
            assert_eq!(out, expected, "{waits:?} {answers:?}");
            assert!(!confirms.has_answers());
            confirms.take(&mut out);
            assert_eq!(out, expected, "everything is answered once");
        };
        check(&[], &[], &[]);
        check(&[0], &[], &[ack(1, false)]);
        check(&[1], &[], &[]);
        check(&[1, 1, 1], &[1, 2, 3], &[ack(3, true)]);
        check(&[1, 1, 1], &[1, 2], &[ack(2, true)]);
        check(&[1, 1, 1], &[3, 2], &[ack(2, false), ack(3, false)]);
        check(&[1, 1, 1, 1], &[1, 3, 4], &[ack(1, true), ack(3, false), ack(4, false)]);
        check(&[1, 1, 1], &[1, -2, 3], &[ack(1, true), ack(3, false), nack(2, false)]);
        check(&[1, 1, 1], &[-1, -2, 3], &[ack(3, false), nack(2, true)]);
        check(&[1, 1, 1], &[-3, -1], &[nack(1, true), nack(3, false)]);
        check(&[2], &[1], &[]);
        check(&[2], &[1, 1], &[ack(1, false)]);
        check(&[2], &[1, -1], &[nack(1, false)]);
        check(&[2], &[-1, 1], &[nack(1, false)]);
        check(&[1, 0], &[], &[ack(2, false)]);
        check(&[0, 1], &[2], &[ack(2, true)]);
        check(&[1], &[7, 1, 1], &[ack(1, false)]);
    }

    /// Plays the client: `multiple` answers everything up to the tag that has no answer yet.
    #[test]
    fn a_client_learns_of_each_publish_exactly_once() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut confirms = Confirms::new();
            let (mut open, mut acked, mut nacked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            let (mut client_open, mut next) = (BTreeSet::new(), 1);
            for _ in 0..500 {
                match random.below(5) {
                    0 | 1 => {
                        let queues = random.below(2) as u32;
                        confirms.next(queues);
                        client_open.insert(next);
                        if queues == 0 {
                            acked.insert(next)
                        } else {
                            open.insert(next)
                        };
                        next += 1;
                    }
                    2 | 3 => {
                        let in_order = random.chance(70);
                        let place = if in_order { 0 } else { random.below(open.len() as u64 + 1) as usize };
                        let Some(number) = open.iter().copied().nth(place) else { continue };
                        open.remove(&number);
                        if random.chance(20) {
                            confirms.rejected(number);
                            nacked.insert(number);
                        } else {
                            confirms.confirmed(number);
                            acked.insert(number);
                        }
                    }
                    _ => {
                        let mut out = Vec::new();
                        confirms.take(&mut out);
                        for frame in out {
                            let (Ack { tag, multiple } | Nack { tag, multiple }) = frame;
                            let first = if multiple { 0 } else { tag };
                            let answered: Vec<_> = client_open.range(first..=tag).copied().collect();
                            assert!(!answered.is_empty(), "seed {seed}: {frame:?} answers nothing");
                            let expected = if matches!(frame, Ack { .. }) { &mut acked } else { &mut nacked };
                            for number in answered {
                                assert!(expected.remove(&number), "seed {seed}: {frame:?} is wrong for {number}");
                                client_open.remove(&number);
                            }
                        }
                        assert!(acked.is_empty() && nacked.is_empty(), "nothing done is kept back");
                        assert_eq!(client_open, open);
                    }
                }
                assert_eq!(confirms.open_count(), open.len());
            }
        }
    }
}
