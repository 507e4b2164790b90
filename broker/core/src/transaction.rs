//! A channel's open transaction: publishes and settlements that wait for tx.commit.
//!
//! A settlement takes its delivery out of the ledger at once, so that a tag cannot be settled twice and errors come
//! where they are made. A rollback puts it back under its old tag: "acks undone (messages stay outstanding, same tags,
//! not requeued)" (RabbitMQ).
//!
//! What a publish is, the shell decides (`P`); errors in it (no such exchange, no permission) are found when it is
//! made, not here.

use crate::error::Error;
use crate::ledger::{Ledger, Unsettled};

/// What the publishes of one transaction may occupy, in bytes. Nothing but its end frees them, so no alarm can bound them.
pub const TRANSACTION_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How a delivery is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// basic.ack
    Ack,
    /// basic.nack or basic.reject without requeue.
    Reject,
    /// basic.nack or basic.reject with requeue.
    Requeue,
}

/// See the module's description.
#[derive(Debug)]
pub struct Transaction<P> {
    publishes: Vec<P>,
    /// What they occupy.
    bytes: u64,
    settlements: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    tag: u64,
    delivery: Unsettled,
    outcome: Outcome,
}

impl<P> Default for Transaction<P> {
    fn default() -> Self {
        Self { publishes: Vec::new(), bytes: 0, settlements: Vec::new() }
    }
}

impl<P> Transaction<P> {
    /// An open transaction with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds a publish that occupies so many bytes.
    ///
    /// # Errors
    /// With it the transaction would exceed [`TRANSACTION_BYTES_MAX`].
    pub fn publish(&mut self, publish: P, bytes: u64) -> Result<(), Error> {
        if self.bytes.saturating_add(bytes) > TRANSACTION_BYTES_MAX {
            return Err(Error::TransactionTooLarge);
        }
        self.bytes += bytes;
        self.publishes.push(publish);
        Ok(())
    }

    /// Bytes that its publishes occupy.
    pub fn held_bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds the settlement of what [`Ledger::settle`] would settle.
    pub fn settle(&mut self, ledger: &mut Ledger, tag: u64, multiple: bool, outcome: Outcome) -> Result<(), Error> {
        ledger.settle_each(tag, multiple, |tag, delivery| self.settlements.push(Held { tag, delivery, outcome }))
    }

    /// tx.commit: everything held, to be carried out in this order (publishes, then settlements). A new transaction
    /// begins.
    pub fn commit(&mut self) -> (Vec<P>, Vec<(Unsettled, Outcome)>) {
        let settlements = self.settlements.drain(..).map(|held| (held.delivery, held.outcome)).collect();
        self.bytes = 0;
        (std::mem::take(&mut self.publishes), settlements)
    }

    /// tx.rollback, or the channel's end (then drain the ledger after it): publishes are dropped, settlements undone. A
    /// new transaction begins.
    pub fn rollback(&mut self, ledger: &mut Ledger) {
        self.publishes = Vec::new();
        self.bytes = 0;
        for held in self.settlements.drain(..) {
            ledger.unsettle(held.tag, held.delivery);
        }
    }

    /// How many publishes and how many settlements are held.
    pub fn counts(&self) -> (u64, u64) {
        (self.publishes.len() as u64, self.settlements.len() as u64)
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.settlements.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ConsumerId, QueueId, Seq, ShardId};

    fn ledger(deliveries: u64) -> Ledger {
        let mut ledger = Ledger::new();
        for seq in 1..=deliveries {
            let consumer = Some(ConsumerId(1));
            ledger.deliver(Unsettled { queue: QueueId(1), shard: ShardId(0), seq: Seq(seq), consumer });
        }
        ledger
    }

    fn tags(ledger: &Ledger) -> Vec<u64> {
        ledger.iter().map(|(tag, _)| tag).collect()
    }

    #[test]
    fn commit_yields_everything_in_order_once() {
        let mut ledger = ledger(5);
        let mut transaction = Transaction::new();
        transaction.publish("a", 1).expect("room");
        transaction.settle(&mut ledger, 2, false, Outcome::Reject).expect("outstanding");
        transaction.settle(&mut ledger, 3, true, Outcome::Ack).expect("outstanding");
        transaction.publish("b", 1).expect("room");
        let (publishes, settlements) = transaction.commit();
        assert_eq!(publishes, ["a", "b"]);
        let settled: Vec<_> = settlements.iter().map(|(delivery, outcome)| (delivery.seq.0, *outcome)).collect();
        assert_eq!(settled, [(2, Outcome::Reject), (1, Outcome::Ack), (3, Outcome::Ack)]);
        assert!(transaction.is_empty());
        assert_eq!(tags(&ledger), [4, 5]);
    }

    #[test]
    fn rollback_leaves_everything_outstanding_under_its_tag() {
        let mut ledger = ledger(4);
        ledger.set_channel_prefetch(4);
        let mut transaction = Transaction::new();
        transaction.publish((), 1).expect("room");
        transaction.settle(&mut ledger, 3, true, Outcome::Ack).expect("outstanding");
        let twice = transaction.settle(&mut ledger, 2, false, Outcome::Ack);
        assert_eq!(twice, Err(Error::UnknownDeliveryTag(2)), "a tag is settled once, also within a transaction");
        transaction.rollback(&mut ledger);
        assert!(transaction.is_empty());
        assert_eq!(tags(&ledger), [1, 2, 3, 4]);
        assert!(!ledger.has_room(), "they count for the channel's prefetch again");
        transaction.settle(&mut ledger, 2, false, Outcome::Ack).expect("outstanding again");
    }

    #[test]
    fn publishes_are_bounded_until_the_transaction_ends() {
        let mut transaction = Transaction::new();
        transaction.publish(1, TRANSACTION_BYTES_MAX - 1).expect("room");
        assert_eq!(transaction.publish(2, 2), Err(Error::TransactionTooLarge));
        transaction.publish(3, 1).expect("exactly full");
        assert_eq!(transaction.held_bytes(), TRANSACTION_BYTES_MAX);
        assert_eq!(transaction.commit().0, [1, 3]);
        assert_eq!(transaction.held_bytes(), 0);
        transaction.publish(4, TRANSACTION_BYTES_MAX).expect("a new one");
        transaction.rollback(&mut Ledger::new());
        assert_eq!(transaction.held_bytes(), 0);
    }
}
