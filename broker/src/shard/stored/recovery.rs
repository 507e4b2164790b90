//! Bringing the store's messages back into their queues when the broker starts, before any client is there.

use std::fmt;
use std::rc::Rc;

use leveret_core::{QueueId, Seq, Time};
use leveret_store::{
    LaneState, Message, QueueKey, QueueState, ReadLimits, Recovered, Seq as StoredSeq, SeqRange, Store,
};

use super::record::{self, Malformed};
use crate::shard::{OWNER, Shard};

/// Why messages cannot be brought back.
#[derive(Debug)]
pub enum RecoveryError {
    /// The store cannot be read.
    Store(leveret_store::Error),
    /// A message is not in a form that this program understands.
    Message {
        /// Its queue.
        queue: QueueKey,
        /// Its place in it.
        seq: StoredSeq,
        /// What is wrong.
        malformed: Malformed,
    },
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Message { queue, seq, malformed } => write!(f, "queue {}, message {}: {malformed}", queue.0, seq.0),
        }
    }
}

impl std::error::Error for RecoveryError {}

impl From<leveret_store::Error> for RecoveryError {
    fn from(error: leveret_store::Error) -> RecoveryError {
        RecoveryError::Store(error)
    }
}

impl Shard {
    /// Attaches the store, and fills the queues that live here with what it has for them. Queues that nobody knows (their
    /// declaration was not on disk) are removed from the store by shard 0. Waits for the disk. `after_crash`: the broker did not
    /// stop by itself, so nobody knows which messages were delivered.
    ///
    /// # Errors
    /// The store cannot be read, or a message not understood.
    pub fn attach_store(
        self: &Rc<Self>,
        store: Store,
        recovered: &Recovered,
        after_crash: bool,
    ) -> Result<u64, RecoveryError> {
        self.stored.attach(store.clone());
        let mut count = 0;
        for state in &recovered.queues {
            let queue = QueueId(state.queue.0);
            if self.queues.look(queue, |_| ()).is_some() {
                count += self.restore_queue(&store, queue, state)?;
                self.queues.restored(queue, after_crash);
            } else if self.id == OWNER && !self.is_known(queue) {
                self.stored.delete_queue(queue);
            }
        }
        Ok(count)
    }

    fn is_known(&self, queue: QueueId) -> bool {
        let topology = self.topology.borrow();
        topology.vhosts().any(|(_, vhost)| vhost.queue_by_id(queue).is_some())
    }

    fn restore_queue(self: &Rc<Self>, store: &Store, queue: QueueId, state: &QueueState) -> Result<u64, RecoveryError> {
        let mut count = 0;
        for lane in &state.lanes {
            count += self.restore_lane(store, queue, state.queue, lane)?;
            self.queues.resume_numbering(queue, Seq(lane.last.0));
        }
        Ok(count)
    }

    fn restore_lane(
        self: &Rc<Self>,
        store: &Store,
        queue: QueueId,
        key: QueueKey,
        lane: &LaneState,
    ) -> Result<u64, RecoveryError> {
        let mut next = StoredSeq(u64::from(lane.lane) << 56);
        let mut count = 0;
        while next <= lane.last {
            let messages = store.read(key, SeqRange { first: next, last: lane.last }, ReadLimits::default())?;
            let Some(last) = messages.last() else { break };
            next = StoredSeq(last.seq.0 + 1);
            count += messages.len() as u64;
            for message in &messages {
                self.restore_message(queue, message).map_err(|malformed| RecoveryError::Message {
                    queue: key,
                    seq: message.seq,
                    malformed,
                })?;
            }
        }
        Ok(count)
    }

    fn restore_message(self: &Rc<Self>, queue: QueueId, stored: &Message) -> Result<(), Malformed> {
        let kept = record::parse(&stored.body)?;
        let message = (self.editor.restore)(&kept).ok_or(Malformed::Properties)?;
        let expiry = stored.attributes.expiry_ms().map(Time);
        let place = Seq(stored.seq.0);
        if !self.queues.restore(queue, place, message.clone(), expiry, stored.delivery_count) {
            // Its place is not there any more, since the queue has fewer priorities now.
            self.stored.settle(queue, place, place);
            self.publish_here(queue, message);
        }
        Ok(())
    }
}
