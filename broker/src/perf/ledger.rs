//! Which messages have arrived: what is lost, what came twice, what came in the wrong order. Pure.
//!
//! A message may go to several queues, so it is looked for in each. Order is a promise to a single consumer only: another one of the same
//! queue may be faster.

use std::collections::{BTreeMap, BTreeSet};

/// Who published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) run: u64,
    pub(super) producer: u32,
}

/// Counts of what should not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Came again without a word.
    pub(super) duplicated: u64,
    /// Came again and said so.
    pub(super) redelivered: u64,
    /// Came after a later message of the same producer, to the same consumer.
    pub(super) out_of_order: u64,
    /// Messages of other runs.
    pub(super) foreign: u64,
}

/// What has arrived.
#[derive(Debug)]
pub(super) struct Ledger {
    queues: Vec<BTreeMap<Source, Arrived>>,
    pub(super) tally: Tally,
}

/// Sequences of one source: all below `next`, and those in `ahead`.
#[derive(Debug, Default)]
struct Arrived {
    next: u64,
    ahead: BTreeSet<u64>,
}

/// What a single consumer has seen of each source last.
#[derive(Debug, Default)]
pub(super) struct Order {
    last: BTreeMap<Source, u64>,
}

impl Ledger {
    pub(super) fn new(queue_count: usize) -> Ledger {
        Ledger { queues: (0..queue_count).map(|_| BTreeMap::new()).collect(), tally: Tally::default() }
    }

    /// A message arrived from a queue.
    pub(super) fn record(&mut self, queue: usize, source: Source, sequence: u64, redelivered: bool, order: &mut Order) {
        let arrived = self.queues.get_mut(queue).map(|sources| sources.entry(source).or_default());
        let is_new = arrived.is_some_and(|arrived| arrived.insert(sequence));
        match (is_new, redelivered) {
            (false, false) => self.tally.duplicated += 1,
            (false, true) => self.tally.redelivered += 1,
            (true, false) if !order.is_next(source, sequence) => self.tally.out_of_order += 1,
            (true, _) => {}
        }
    }

    /// How many of the first `count` messages of a source have not arrived from a queue, apart from those that were refused.
    pub(super) fn missing(&self, queue: usize, source: Source, count: u64, refused: &BTreeSet<u64>) -> u64 {
        let none = Arrived::default();
        let arrived = self.queues.get(queue).and_then(|sources| sources.get(&source)).unwrap_or(&none);
        let arrived_count = arrived.next + arrived.ahead.len() as u64;
        let refused =
            refused.iter().filter(|&&sequence| sequence < count && !arrived.contains(sequence)).count() as u64;
        count.saturating_sub(arrived_count).saturating_sub(refused)
    }
}

impl Arrived {
    fn contains(&self, sequence: u64) -> bool {
        sequence < self.next || self.ahead.contains(&sequence)
    }

    /// Whether it is new.
    fn insert(&mut self, sequence: u64) -> bool {
        if self.contains(sequence) {
            return false;
        }
        if sequence != self.next {
            return self.ahead.insert(sequence);
        }
        self.next += 1;
        while self.ahead.first() == Some(&self.next) {
            self.ahead.pop_first();
            self.next += 1;
        }
        true
    }
}

impl Order {
    fn is_next(&mut self, source: Source, sequence: u64) -> bool {
        match self.last.insert(source, sequence) {
            Some(last) if last > sequence => {
                self.last.insert(source, last);
                false
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source { run: 1, producer: 0 };

    /// Arrivals at one consumer, such as `0 1 1 r1 3`, and what the ledger makes of them when 5 were published and `refused` were
    /// refused: (lost, duplicated, redelivered, out of order).
    fn check(arrivals: &str, refused: &[u64], expected: (u64, u64, u64, u64)) {
        let (mut ledger, mut order) = (Ledger::new(1), Order::default());
        for word in arrivals.split_whitespace() {
            let sequence = word.trim_start_matches('r').parse().expect("a number");
            ledger.record(0, SOURCE, sequence, word.starts_with('r'), &mut order);
        }
        let lost = ledger.missing(0, SOURCE, 5, &refused.iter().copied().collect());
        let Tally { duplicated, redelivered, out_of_order, .. } = ledger.tally;
        assert_eq!((lost, duplicated, redelivered, out_of_order), expected, "{arrivals} {refused:?}");
    }

    #[test]
    fn every_message_counts() {
        check("0 1 2 3 4", &[], (0, 0, 0, 0));
        check("", &[], (5, 0, 0, 0));
        check("0 1 3 4", &[], (1, 0, 0, 0));
        check("0 1 3 4", &[2], (0, 0, 0, 0));
        check("0 1 2 3 4", &[2], (0, 0, 0, 0)); // refused, and there all the same
        check("0 1 2 3", &[2], (1, 0, 0, 0));
        check("0 1 1 2 3 4 0", &[], (0, 2, 0, 0));
        check("0 1 r1 2 3 4", &[], (0, 0, 1, 0));
        check("4 3 2 1 0", &[], (0, 0, 0, 4));
        check("0 2 1 3 4", &[], (0, 0, 0, 1));
        check("0 2 r1 3 4", &[], (0, 0, 0, 0));
    }

    #[test]
    fn queues_and_sources_are_apart() {
        let (mut ledger, mut order) = (Ledger::new(2), Order::default());
        let other = Source { producer: 1, ..SOURCE };
        for (queue, source) in [(0, SOURCE), (1, SOURCE), (0, other)] {
            ledger.record(queue, source, 0, false, &mut order);
        }
        assert_eq!(ledger.tally, Tally::default());
        let missing = |queue, source| ledger.missing(queue, source, 1, &BTreeSet::new());
        assert_eq!([missing(0, SOURCE), missing(1, SOURCE), missing(0, other), missing(1, other)], [0, 0, 0, 1]);
    }
}
