//! What was published, confirmed, acknowledged and found, and the judgement over it.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a body: a number and a pattern that follows from it.
const BODY_SIZE: usize = 200;

/// See the module's description. Messages are numbers; every one goes to every queue.
#[derive(Default)]
pub(crate) struct Book {
    published: u64,
    confirmed: BTreeSet<u64>,
    queues: BTreeMap<&'static str, Seen>,
    /// Confirms that come now are for a machine that is not there any more.
    is_closed: bool,
}

#[derive(Default)]
struct Seen {
    /// How often each was delivered.
    deliveries: BTreeMap<u64, u64>,
    acknowledged: BTreeSet<u64>,
    /// What was there in the end, in its order.
    left: Vec<u64>,
}

impl Book {
    /// The number of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.published
    }

    /// A new message, and its body.
    pub(crate) fn publish(&mut self) -> (u64, Vec<u8>) {
        let number = self.published;
        self.published += 1;
        (number, body(number))
    }

    pub(crate) fn confirm(&mut self, number: u64) {
        if !self.is_closed {
            self.confirmed.insert(number);
        }
    }

    /// From now on confirms do not count: the moment has come whose state will be restored.
    #[allow(dead_code, reason = "a kill stops confirms by itself")]
    pub(crate) fn close(&mut self, is_closed: bool) {
        self.is_closed = is_closed;
    }

    /// A queue has delivered a body; answers which message it is.
    pub(crate) fn deliver(&mut self, queue: &'static str, bytes: &[u8]) -> u64 {
        let number = self.number(bytes);
        *self.queues.entry(queue).or_default().deliveries.entry(number).or_default() += 1;
        number
    }

    pub(crate) fn acknowledge(&mut self, queue: &'static str, number: u64) {
        self.queues.entry(queue).or_default().acknowledged.insert(number);
    }

    /// A body that was left in a queue.
    pub(crate) fn drain(&mut self, queue: &'static str, bytes: &[u8]) {
        let number = self.number(bytes);
        self.queues.entry(queue).or_default().left.push(number);
    }

    /// The message of a body, every byte of which must be as it was published.
    fn number(&self, bytes: &[u8]) -> u64 {
        let number = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        assert!(number < self.published, "message {number} was never published");
        assert_eq!(bytes, body(number), "message {number} is as it was published");
        number
    }

    pub(crate) fn confirmed(&self) -> usize {
        self.confirmed.len()
    }

    /// Deliveries and finds of messages that were acknowledged: an acknowledgement that the kill has overtaken is no promise.
    pub(crate) fn doubled(&self) -> usize {
        self.queues.values().map(|seen| seen.left.iter().filter(|it| seen.acknowledged.contains(it)).count()).sum()
    }

    /// Panics unless every queue has what it must have, once, in order.
    pub(crate) fn judge(&self) {
        if let Some((queue, lost)) = self.lost().into_iter().next() {
            panic!("{queue} has lost {} confirmed messages, the first {:?}", lost.len(), lost.first());
        }
    }

    /// What was confirmed and is missing, by queue. Panics if something is there twice, or in another order.
    pub(crate) fn lost(&self) -> Vec<(&'static str, Vec<u64>)> {
        assert!(!self.confirmed.is_empty(), "something was confirmed");
        let mut all = Vec::new();
        for (queue, seen) in &self.queues {
            let left: BTreeSet<u64> = seen.left.iter().copied().collect();
            assert_eq!(left.len(), seen.left.len(), "{queue} has nothing twice");
            assert!(seen.left.is_sorted(), "{queue} keeps the order of publishing");
            let missing = self.confirmed.difference(&left).filter(|it| !seen.acknowledged.contains(it));
            let lost: Vec<u64> = missing.copied().collect();
            if !lost.is_empty() {
                all.push((*queue, lost));
            }
        }
        all
    }
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend((0..BODY_SIZE - 8).map(|index| (number as u8).wrapping_mul(31).wrapping_add(index as u8)));
    body
}
