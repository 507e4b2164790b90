//! Bringing the store's messages back into their queues when the broker starts, before any client is there.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use leveret_core::{QueueId, Seq, Time};
use leveret_runtime as runtime;
use leveret_store::{
    Message, QueueKey, QueueState, ReadLimits, Recovered, Scratch, Seq as StoredSeq, SeqRange, Store, StretchState,
};

use super::delayed::keeper_of;
use super::doubt::Doubts;
use super::record::Malformed;
use crate::shard::queues::Command;
use crate::shard::{OWNER, Shard};

/// How long a start waits for the fronts of queues.
const FRONTS_WAIT: Duration = Duration::from_secs(2);

/// Memory that a start fills with the fronts of a shard's queues.
const FRONTS_MAX: u64 = 16 * 1024 * 1024;

/// Where transient messages go when memory is short, in the data directory; empty after the broker's end.
const SCRATCH_NAME: &str = "scratch";

/// Queues whose fronts are read at the same time.
const FRONTS_AT_ONCE: usize = 16;

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
    /// declaration was not on disk) are removed from the store by shard 0. Waits for the disk.
    ///
    /// Nothing moves yet: [`Shard::resume_restored`] comes when all shards have come to here.
    ///
    /// # Errors
    /// The store cannot be read, or a message not understood.
    pub fn attach_store(self: &Rc<Self>, store: Store, recovered: &Recovered) -> Result<u64, RecoveryError> {
        self.stored.attach(store.clone());
        self.queues.set_windows(Some(self.config.windows()));
        let scratch = self.config.data_dir.join(SCRATCH_NAME).join(self.id.0.to_string());
        self.stored.attach_scratch(Scratch::new(&scratch)?);
        let mut count = 0;
        for state in &recovered.queues {
            let queue = QueueId(state.queue.0);
            if let Some(keeper) = keeper_of(queue, self.count()) {
                self.restore_delayed(keeper, queue, state);
            } else if self.queues.look(queue, |_| ()).is_some() {
                count += self.restore_queue(&store, queue, state)?;
            } else if self.id == OWNER && !self.is_known(queue) {
                self.stored.delete_queue(queue);
            }
        }
        Ok(count)
    }

    /// The queues are as they were on all shards: from now on their messages may expire. Not before, since the dead go to other
    /// queues, which have to have their own messages, and to know the numbers that were given out, when new ones come.
    /// `doubts` says which messages may have been delivered before.
    pub fn resume_restored(self: &Rc<Self>, recovered: &Recovered, doubts: &Doubts) {
        recovered.queues.iter().for_each(|state| self.queues.restored(QueueId(state.queue.0), doubts));
    }

    fn is_known(&self, queue: QueueId) -> bool {
        let topology = self.topology.borrow();
        topology.vhosts().any(|(_, vhost)| vhost.queue_by_id(queue).is_some())
    }

    fn restore_queue(self: &Rc<Self>, store: &Store, queue: QueueId, state: &QueueState) -> Result<u64, RecoveryError> {
        for lane in &state.lanes {
            for stretch in &lane.stretches {
                if !self.queues.restore_away(queue, stretch) {
                    self.restore_stretch(store, queue, state.queue, stretch)?;
                }
            }
            self.queues.resume_numbering(queue, Seq(lane.last.0));
        }
        Ok(state.count)
    }

    /// Reads messages back at once: those whose place is not there any more.
    fn restore_stretch(
        self: &Rc<Self>,
        store: &Store,
        queue: QueueId,
        key: QueueKey,
        stretch: &StretchState,
    ) -> Result<(), RecoveryError> {
        let mut next = stretch.first;
        while next <= stretch.last {
            let range = SeqRange { first: next, last: stretch.last };
            let messages = store.read(key, range, ReadLimits::default())?;
            let Some(last) = messages.last() else { break };
            next = StoredSeq(last.seq.0 + 1);
            for message in &messages {
                self.restore_message(queue, message).map_err(|malformed| RecoveryError::Message {
                    queue: key,
                    seq: message.seq,
                    malformed,
                })?;
            }
        }
        Ok(())
    }

    /// What the next start is to hear of messages that may have been delivered before a crash.
    /// Those that are dying, too: somebody may have rejected them, and they are here again if their death does not get through.
    pub fn doubts(&self) -> Vec<(QueueId, Seq)> {
        let mut all = self.queues.doubts();
        all.extend(self.stored.relays.places());
        all.sort_unstable();
        all
    }

    /// Reads the fronts of this shard's queues, so that whoever comes finds them in memory; not all of them, if there are many. What was
    /// delayed is read while others work already.
    /// To be called when all shards have their queues back, since what has expired moves on. Waits for the disk, but not for ever
    /// for one that is full: who makes room is the consumers.
    pub fn read_fronts(self: &Rc<Self>) {
        self.read_clock();
        self.load_delayed();
        for queues in self.queues.ids_with_away().chunks(FRONTS_AT_ONCE) {
            queues.iter().for_each(|queue| self.command_here(*queue, Command::Expire));
            if runtime::timeout(FRONTS_WAIT, || self.wait_for_pages()).is_err() {
                return;
            }
            if self.queues.held_bytes() > FRONTS_MAX {
                return;
            }
        }
    }

    fn restore_message(self: &Rc<Self>, queue: QueueId, stored: &Message) -> Result<(), Malformed> {
        let message = self.made_of(&stored.body)?;
        let expiry = stored.attributes.expiry_ms().map(Time);
        let place = Seq(stored.seq.0);
        if !self.queues.restore(queue, place, message.clone(), expiry, stored.delivery_count) {
            // Its place is not there any more, since the queue has fewer priorities now.
            self.stored.settle(queue, place, place);
            self.publish_here(queue, Cow::Owned(message));
        }
        Ok(())
    }
}
