//! Messages in: publishing, length limits, recovery.

use std::sync::Arc;

use crate::death::DeathReason;
use crate::ids::{Seq, Time};
use crate::message::Message;

use super::consumers::{Holder, delivery_cost};
use super::effect::{Delivery, Effect};
use super::expiry::Expiry;
use super::lane::{Entry, State};
use super::settings::Overflow;
use super::{Queue, level, number, push_settled, seq, settled};

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The queue has it (or has handed it over already). If `stored`, the confirm must wait for the store, unless an
    /// [`Effect::Settled`] that covers it came at once.
    Accepted {
        /// Its place.
        seq: Seq,
        /// It belongs in the store: persistent, in a durable queue.
        stored: bool,
    },
    /// A length limit refused it: nack.
    Rejected,
    /// The queue has ended; its publishes count as done: ack.
    Ended,
}

impl Queue {
    /// Takes a message, or refuses it.
    pub fn publish(&mut self, message: Arc<Message>, now: Time, effects: &mut Vec<Effect>) -> Published {
        if self.ended {
            return Published::Ended;
        }
        self.counters.published += 1;
        if let Some(stream) = &mut self.stream {
            let seq = Seq(stream.log().next());
            stream.publish(message, now, &self.settings.retention, effects);
            return Published::Accepted { seq, stored: self.durable };
        }
        self.expire_messages(now, effects);
        if self.refuses(&message) {
            self.counters.overflowed += 1;
            if self.settings.overflow == Overflow::RejectPublishDlx {
                self.dead_letter(&message, DeathReason::MaxLength, effects);
            }
            return Published::Rejected;
        }
        let stored = self.durable && message.persistent;
        let level = self.level(&message);
        let expiry = self.expiry_of(&message, now).map(Expiry::at);
        let entry = Entry { message, expiry, requeues: 0, state: State::Ready, stored, indexed: false };
        // With a full batch expired there may be more, and then the head is one of them: it is ready, so nobody gets
        // ahead of it.
        let waiting = if self.head_level().is_none() { self.consumers.next() } else { None };
        let seq = match waiting {
            Some(holder) => self.hand_over(level, holder, entry, effects),
            None => self.enqueue(level, entry, now, effects),
        };
        Published::Accepted { seq, stored }
    }

    /// Whether a message of it belongs in the store: persistent in a durable queue, any in a stream.
    pub fn stores(&self, message: &Message) -> bool {
        self.durable && (message.persistent || self.stream.is_some())
    }

    /// When a message that is enqueued now will expire: "min(queue x-message-ttl, message expiration)".
    pub fn expiry_of(&self, message: &Message, now: Time) -> Option<Time> {
        if self.stream.is_some() {
            return None;
        }
        let ttls = [self.settings.message_ttl_ms, message.expiration_ms];
        ttls.into_iter().flatten().min().map(|ms| now.plus_ms(ms))
    }

    /// Puts a message back that the store kept, in its old place. To be called before anything else, for each priority
    /// in ascending order; `false` if the place does not fit (then publish it anew).
    pub fn restore(&mut self, seq: Seq, message: Arc<Message>, expiry: Option<Time>, requeues: u32) -> bool {
        if let Some(stream) = &mut self.stream {
            return stream.restore(seq.0, message, self.last_used, &self.settings.retention);
        }
        let (level, number) = (level(seq), number(seq));
        match self.lanes.get_mut(level) {
            Some(lane) if lane.next_number() <= number => lane.skip_to(number),
            _ => return false,
        }
        let expiry = expiry.map(Expiry::at);
        let entry = Entry { message, expiry, requeues, state: State::Ready, stored: true, indexed: false };
        self.push(level, entry);
        true
    }

    /// The messages that were restored may have been delivered before a crash: they are marked redelivered, as "may have been
    /// delivered before" is what that flag says. To be called when all are restored.
    pub fn doubt_restored(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.doubt_all());
    }

    /// Places up to this one were given out before a restart, and are not to be given out again.
    pub fn resume_numbering(&mut self, last: Seq) {
        if let Some(stream) = &mut self.stream {
            return stream.skip_to(last.0 + 1);
        }
        if let Some(lane) = self.lanes.get_mut(level(last)) {
            lane.skip_to(number(last) + 1);
        }
    }

    /// Drops ready messages from the head until the limits are kept.
    pub(super) fn drop_overflow(&mut self, effects: &mut Vec<Effect>) {
        if self.settings.overflow != Overflow::DropHead || !self.has_length_limit() {
            return;
        }
        while self.is_over(self.ready_count(), self.ready_bytes()) {
            let Some(level) = self.head_level() else { return };
            let Some((number, entry)) = self.lanes[level].remove_head() else { return };
            self.counters.overflowed += 1;
            self.dead_letter(&entry.message, DeathReason::MaxLength, effects);
            settled(seq(level, number), &entry, effects);
        }
    }

    /// "message priority above n counts as n" (RabbitMQ).
    fn level(&self, message: &Message) -> usize {
        usize::from(message.priority.min(self.settings.max_priority))
    }

    /// Gives a message straight to a consumer; it never becomes ready.
    fn hand_over(&mut self, level: usize, holder: Holder, mut entry: Entry, effects: &mut Vec<Effect>) -> Seq {
        let spec = self.consumers.delivered(holder, delivery_cost(&entry.message));
        let (consumer, no_ack) = (spec.id, spec.no_ack);
        self.counters.delivered += 1;
        self.counters.delivered_no_ack += u64::from(no_ack);
        let is_settled = no_ack && entry.stored;
        let lane = &mut self.lanes[level];
        let (number, message) = if no_ack {
            (lane.skip(), entry.message)
        } else {
            let message = entry.message.clone();
            entry.state = State::Unsettled(holder);
            (lane.push_unsettled(entry), message)
        };
        let seq = seq(level, number);
        let consumer = Some(consumer);
        effects.push(Effect::Deliver(Delivery {
            consumer,
            seq,
            message,
            redelivered: false,
            requeues: 0,
            offset: None,
        }));
        if is_settled {
            push_settled(seq, effects);
        }
        seq
    }

    /// Lets a message wait. "TTL 0: expires unless it can be delivered immediately", which it could not.
    fn enqueue(&mut self, level: usize, entry: Entry, now: Time, effects: &mut Vec<Effect>) -> Seq {
        let expires_now = entry.expiry.is_some_and(|expiry| expiry.time() <= now);
        let seq = self.push(level, entry);
        if expires_now {
            self.expire_messages(now, effects);
        }
        self.drop_overflow(effects);
        seq
    }

    fn push(&mut self, level: usize, mut entry: Entry) -> Seq {
        let expiry = entry.expiry;
        entry.indexed = expiry.is_some();
        let seq = seq(level, self.lanes[level].push(entry));
        self.top = self.top.max(level);
        if let Some(expiry) = expiry {
            self.index_expiry(expiry.time(), seq);
        }
        seq
    }

    /// Whether one more message would exceed a limit in a mode that refuses new ones. As in RabbitMQ, a waiting
    /// consumer does not help.
    fn refuses(&self, message: &Message) -> bool {
        let modes = [Overflow::RejectPublish, Overflow::RejectPublishDlx];
        modes.contains(&self.settings.overflow)
            && self.has_length_limit()
            && self.is_over(self.ready_count() + 1, self.ready_bytes() + message.body().len() as u64)
    }

    fn has_length_limit(&self) -> bool {
        self.settings.max_length.is_some() || self.settings.max_length_bytes.is_some()
    }

    fn is_over(&self, count: u64, bytes: u64) -> bool {
        self.settings.max_length.is_some_and(|max| count > max)
            || self.settings.max_length_bytes.is_some_and(|max| bytes > max)
    }
}
