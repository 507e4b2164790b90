//! Which published messages are not confirmed yet. Pure bookkeeping of one channel.
//!
//! "The delivery-tag is 1 for the first message published after confirm.select"; the server confirms single messages or all up
//! to one, in any order.

use std::collections::VecDeque;

/// What the server said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took responsibility.
    Acked,
    /// It could not: the message may be lost, publish it again.
    Nacked,
}

/// The state of the messages from the oldest unconfirmed one on.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    /// Number of the message at the front of `open`; what is below has its outcome.
    first: u64,
    /// Whether a message still waits.
    open: VecDeque<bool>,
    open_count: usize,
    /// Nacked and not yet reported.
    nacked: Vec<u64>,
}

impl Confirms {
    pub(crate) fn new() -> Confirms {
        Confirms { first: 1, ..Confirms::default() }
    }

    /// The next message is published; answers its number.
    pub(crate) fn publish(&mut self) -> u64 {
        self.open.push_back(true);
        self.open_count += 1;
        self.first + self.open.len() as u64 - 1
    }

    /// An outcome came for `tag`, or for all up to it. Calls `each` with every number that had waited.
    pub(crate) fn settle(&mut self, tag: u64, multiple: bool, outcome: Outcome, mut each: impl FnMut(u64)) {
        let upto = tag.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(upto) = upto.filter(|&at| at < self.open.len()) else { return };
        let from = if multiple { 0 } else { upto };
        for (open, number) in self.open.range_mut(from..=upto).zip(self.first + from as u64..) {
            if std::mem::replace(open, false) {
                self.open_count -= 1;
                each(number);
                if outcome == Outcome::Nacked {
                    self.nacked.push(number);
                }
            }
        }
        while self.open.front() == Some(&false) {
            self.open.pop_front();
            self.first += 1;
        }
    }

    /// How many wait.
    pub(crate) fn open_count(&self) -> usize {
        self.open_count
    }

    /// Whether the message with this number waits.
    pub(crate) fn is_open(&self, number: u64) -> bool {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.open.get(at)).copied().unwrap_or(false)
    }

    /// The numbers that were nacked since the last question.
    pub(crate) fn take_nacked(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.nacked)
    }

    /// Whether this one was nacked; it is reported by that.
    pub(crate) fn take_nacked_one(&mut self, number: u64) -> bool {
        let at = self.nacked.iter().position(|&nacked| nacked == number);
        at.map(|at| self.nacked.swap_remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Like `Confirms`, slow and obvious.
    #[derive(Default)]
    struct Naive {
        published: u64,
        open: BTreeSet<u64>,
        nacked: BTreeSet<u64>,
    }

    impl Naive {
        fn settle(&mut self, tag: u64, multiple: bool, outcome: Outcome) -> Vec<u64> {
            if tag > self.published {
                return Vec::new();
            }
            let concerned = self.open.iter().copied().filter(|&number| number == tag || (multiple && number < tag));
            let concerned: Vec<u64> = concerned.collect();
            for number in &concerned {
                self.open.remove(number);
                if outcome == Outcome::Nacked {
                    self.nacked.insert(*number);
                }
            }
            concerned
        }
    }

    fn settle(confirms: &mut Confirms, tag: u64, multiple: bool, outcome: Outcome) -> Vec<u64> {
        let mut settled = Vec::new();
        confirms.settle(tag, multiple, outcome, |number| settled.push(number));
        settled
    }

    #[test]
    fn agrees_with_the_naive_model() {
        for seed in 1..200u64 {
            let (mut real, mut naive) = (Confirms::new(), Naive::default());
            let mut random = seed;
            for _ in 0..200 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                if random % 3 == 0 {
                    naive.published += 1;
                    naive.open.insert(naive.published);
                    assert_eq!(real.publish(), naive.published);
                } else {
                    let tag = (random >> 8) % (naive.published + 2);
                    let outcome = if random & 16 == 0 { Outcome::Acked } else { Outcome::Nacked };
                    let multiple = random & 32 == 0;
                    let settled = settle(&mut real, tag, multiple, outcome);
                    assert_eq!(settled, naive.settle(tag, multiple, outcome), "{seed}");
                }
                assert_eq!(real.open_count(), naive.open.len());
                assert!((0..naive.published + 2).all(|number| real.is_open(number) == naive.open.contains(&number)));
            }
            let nacked: BTreeSet<u64> = real.take_nacked().into_iter().collect();
            assert_eq!(nacked, naive.nacked);
        }
    }

    #[test]
    fn nacks_are_reported_once() {
        let mut confirms = Confirms::new();
        assert_eq!([0; 3].map(|_| confirms.publish()), [1, 2, 3]);
        assert_eq!(settle(&mut confirms, 3, true, Outcome::Nacked), [1, 2, 3]);
        assert!(confirms.take_nacked_one(2));
        assert!(!confirms.take_nacked_one(2));
        assert_eq!(confirms.take_nacked().len(), 2);
        assert_eq!(confirms.take_nacked(), []);
    }
}
