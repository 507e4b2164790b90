//! Acknowledgements: ack, nack, reject, recover.

use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::basic;
use leveret_core::ledger::Unsettled;
use leveret_core::queue::Settlement;
use leveret_core::transaction::Outcome as Fate;

use super::channel::{Channel, Outcome, not_implemented};
use super::errors::explain;
use crate::shard::address::QueueAddress;
use crate::shard::queues::{Command, Seqs};

/// What a queue is told of a settlement.
fn command(fate: Fate, seqs: Seqs) -> Command {
    match fate {
        Fate::Ack => Command::Settle { seqs, settlement: Settlement::Ack },
        Fate::Reject => Command::Settle { seqs, settlement: Settlement::Reject },
        Fate::Requeue => Command::Requeue { seqs },
    }
}

fn rejected(requeue: bool) -> Fate {
    if requeue { Fate::Requeue } else { Fate::Reject }
}

fn refuse_without_requeue(requeue: bool) -> Outcome {
    if requeue { Ok(()) } else { Err(not_implemented("requeue=false")) }
}

impl Channel {
    pub(super) fn ack(&self, it: &basic::Ack) -> Outcome {
        self.settle(it.delivery_tag, it.multiple, Fate::Ack)
    }

    pub(super) fn nack(&self, it: &basic::Nack) -> Outcome {
        self.settle(it.delivery_tag, it.multiple, rejected(it.requeue))
    }

    pub(super) fn reject(&self, it: &basic::Reject) -> Outcome {
        self.settle(it.delivery_tag, false, rejected(it.requeue))
    }

    pub(super) fn recover(&self, it: &basic::Recover) -> Outcome {
        refuse_without_requeue(it.requeue)?;
        self.send(&basic::RecoverOk {}); // before what comes back, as from RabbitMQ
        self.recover_all();
        Ok(())
    }

    pub(super) fn recover_async(&self, it: &basic::RecoverAsync) -> Outcome {
        refuse_without_requeue(it.requeue)?;
        self.recover_all();
        Ok(())
    }

    /// "basic.recover(true) requeues everything outstanding on the channel."
    fn recover_all(&self) {
        let mut settled = self.settled.take();
        self.ledger.borrow_mut().drain(&mut settled);
        self.send_to_queues(&mut settled, Fate::Requeue);
        self.settled.replace(settled);
    }

    fn settle(&self, tag: u64, multiple: bool, fate: Fate) -> Outcome {
        if self.hold_settlement(tag, multiple, fate)? {
            return Ok(());
        }
        let mut settled = self.settled.take();
        let found = self.ledger.borrow_mut().settle(tag, multiple, &mut settled);
        if let Fate::Ack = fate {
            self.tally.acked.add(settled.len() as u64);
        }
        self.send_to_queues(&mut settled, fate);
        self.settled.replace(settled);
        found.map_err(|error| -> ProtocolError { explain(&error) })
    }

    /// Settles one delivery of a committed transaction.
    pub(super) fn settle_one(&self, delivery: Unsettled, fate: Fate) {
        self.tally.acked.add(u64::from(matches!(fate, Fate::Ack)));
        let queue = QueueAddress { shard: delivery.shard, queue: delivery.queue };
        self.link.shard.command(queue, command(fate, Seqs::One(delivery.seq)));
    }

    /// Tells the queues, each once for a run of its messages.
    fn send_to_queues(&self, settled: &mut Vec<Unsettled>, fate: Fate) {
        let address = |it: &Unsettled| QueueAddress { shard: it.shard, queue: it.queue };
        if !settled.is_sorted_by_key(address) {
            settled.sort_by_key(address); // stable: the order within a queue stays
        }
        for run in settled.chunk_by(|a, b| address(a) == address(b)) {
            let seqs = match run {
                [one] => Seqs::One(one.seq),
                many => Seqs::Many(many.iter().map(|it| it.seq).collect()),
            };
            if let Some(first) = run.first() {
                self.link.shard.command(address(first), command(fate, seqs));
            }
        }
        settled.clear();
        self.resume_paused();
    }
}
