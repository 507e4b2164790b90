//! What becomes of deliveries: settled, or back in the queue.

use std::sync::Arc;

use crate::death::DeathReason;
use crate::ids::{ConsumerId, Seq, Time};
use crate::message::Message;

use super::consumers::Holder;
use super::effect::Effect;
use super::lane::{Entry, State};
use super::{Queue, level, number, settled};

/// How a consumer settles a message for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// basic.ack
    Ack,
    /// basic.reject or basic.nack without requeue: dead-letters, if configured.
    Reject,
}

impl Queue {
    /// Settles a delivery for good; `false` if it is not unsettled here.
    pub fn settle(&mut self, seq: Seq, settlement: Settlement, now: Time, effects: &mut Vec<Effect>) -> bool {
        if let Some(stream) = &mut self.stream {
            self.counters.acked += 1;
            return stream.settle(&[seq], effects);
        }
        let Some(entry) = self.take_unsettled(seq) else { return false };
        match settlement {
            Settlement::Ack => self.counters.acked += 1,
            Settlement::Reject => {
                self.counters.rejected += 1;
                self.dead_letter(&entry.message, DeathReason::Rejected, effects);
            }
        }
        settled(seq, &entry, effects);
        self.dispatch(now, effects);
        true
    }

    /// basic.reject, nack or recover with requeue: each message goes back to its original place and is marked
    /// redelivered. Give all messages of one command at once: they are dispatched again only after the last one is
    /// back.
    pub fn requeue(&mut self, seqs: &[Seq], now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            stream.settle(seqs, effects);
            return;
        }
        for seq in seqs {
            self.put_back(*seq, effects);
        }
        self.dispatch(now, effects);
    }

    /// The channel could not take a delivery after all (its channel-wide prefetch was used up): the message goes back
    /// to its place as if it had never left, the consumer is paused until [`Queue::resume`]. Deliveries to it that are
    /// on their way still must be declined too. The window is given back separately, by [`Queue::credit`].
    pub fn decline(&mut self, consumer: ConsumerId, seq: Seq, now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            return stream.decline(consumer, seq);
        }
        self.consumers.set_paused(consumer, true);
        if let Some(holder) = self.unsettled_holder(seq) {
            self.make_ready(seq);
            self.consumers.settled(holder);
        }
        self.dispatch(now, effects);
    }

    /// Requeues one message, without dispatching. One that came back too often dies instead.
    pub(super) fn put_back(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        let Some(holder) = self.unsettled_holder(seq) else { return };
        let Some(entry) = self.lanes[level(seq)].get_mut(number(seq)) else { return };
        entry.requeues = entry.requeues.saturating_add(1);
        self.counters.requeued += 1;
        if self.settings.delivery_limit.is_some_and(|limit| entry.requeues > limit) {
            let Some(entry) = self.take_unsettled(seq) else { return };
            self.dead_letter(&entry.message, DeathReason::DeliveryLimit, effects);
            settled(seq, &entry, effects);
            return;
        }
        if entry.stored {
            effects.push(Effect::Requeued { seq, count: entry.requeues });
        }
        self.make_ready(seq);
        self.consumers.settled(holder);
    }

    /// Dead-letters a message, if the queue has a place for that.
    pub(super) fn dead_letter(&self, message: &Arc<Message>, reason: DeathReason, effects: &mut Vec<Effect>) {
        if self.settings.dead_letter.is_some() {
            effects.push(Effect::DeadLetter { message: message.clone(), reason });
        }
    }

    fn make_ready(&mut self, seq: Seq) {
        let lane = &mut self.lanes[level(seq)];
        lane.put_back(number(seq));
        self.top = self.top.max(level(seq));
        let Some(entry) = lane.get_mut(number(seq)) else { return };
        // Its entry may be in the index still.
        let is_new = !std::mem::replace(&mut entry.indexed, entry.expiry.is_some());
        if let Some(expiry) = entry.expiry.filter(|_| is_new) {
            self.index_expiry(expiry.time(), seq);
        }
    }

    fn unsettled_holder(&self, seq: Seq) -> Option<Holder> {
        match self.lanes.get(level(seq))?.get(number(seq))?.state {
            State::Unsettled(holder) => Some(holder),
            State::Ready => None,
        }
    }

    /// Removes an unsettled message and takes it off its consumer's count.
    fn take_unsettled(&mut self, seq: Seq) -> Option<Entry> {
        let holder = self.unsettled_holder(seq)?;
        let entry = self.lanes[level(seq)].remove(number(seq))?;
        self.consumers.settled(holder);
        Some(entry)
    }
}
