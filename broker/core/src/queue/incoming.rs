//! Messages in: publishing, length limits, recovery.

use std::sync::Arc;

use crate::death::DeathReason;
use crate::ids::{ConsumerId, Seq, Time};
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

    /// The short way of [`Queue::publish`], for what happens most: a consumer waits, and nothing else is to be looked at. The
    /// message is that consumer's, and no effect is left to carry out. `None` changes nothing; then publish it the long way.
    #[inline]
    pub fn publish_straight(&mut self, message: &Arc<Message>, now: Time) -> Option<(ConsumerId, Seq)> {
        let is_simple = !self.ended
            && self.stream.is_none()
            && !(self.durable && message.persistent)
            && self.expiry.first().is_none()
            && !self.refuses(message);
        if !is_simple || self.head_level().is_some() {
            return None;
        }
        let holder = self.consumers.next()?;
        let level = self.level(message);
        let spec = self.consumers.delivered(holder, delivery_cost(message));
        let (consumer, no_ack) = (spec.id, spec.no_ack);
        self.counters.published += 1;
        self.counters.delivered += 1;
        self.counters.delivered_no_ack += u64::from(no_ack);
        let number = if no_ack {
            self.lanes[level].skip()
        } else {
            let expiry = self.expiry_of(message, now).map(Expiry::at);
            let (message, state) = (message.clone(), State::Unsettled(holder));
            let entry = Entry { message, expiry, requeues: 0, state, stored: false, indexed: false };
            self.lanes[level].push_unsettled(entry)
        };
        Some((consumer, seq(level, number)))
    }

    /// Whether a message of it belongs in the store: persistent in a durable queue, any in a stream.
    pub fn stores(&self, message: &Message) -> bool {
        self.durable && (message.persistent || self.stream.is_some())
    }

    /// The time that is to be stored with a message that was just published: when it expires; in a stream, when it came.
    pub fn time_to_store(&self, message: &Message, now: Time) -> Option<Time> {
        match &self.stream {
            Some(stream) => Some(stream.log().newest_time()),
            None => self.expiry_of(message, now),
        }
    }

    /// When a message that is enqueued now will expire: "min(queue x-message-ttl, message expiration)".
    pub(super) fn expiry_of(&self, message: &Message, now: Time) -> Option<Time> {
        if self.stream.is_some() {
            return None;
        }
        let ttls = [self.settings.message_ttl_ms, message.expiration_ms()];
        ttls.into_iter().flatten().min().map(|ms| now.plus_ms(ms))
    }

    /// Puts a message back that the store kept, in its old place. To be called before anything else, for each priority
    /// in ascending order; `false` if the place does not fit (then publish it anew), or if it is a stream.
    pub fn restore(&mut self, seq: Seq, message: Arc<Message>, expiry: Option<Time>, requeues: u32) -> bool {
        let (level, number) = (level(seq), number(seq));
        match self.lanes.get_mut(level) {
            Some(lane) if self.stream.is_none() && lane.next_number() <= number => lane.skip_to(number),
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

    /// The same for the messages up to this place, of its priority.
    pub fn doubt_up_to(&mut self, last: Seq) {
        if let Some(lane) = self.lanes.get_mut(level(last)) {
            lane.doubt_below(number(last).saturating_add(1));
        }
    }

    /// For each priority the place up to which messages may have been delivered before a crash, if there are any left: what
    /// [`Queue::doubt_up_to`] wants to hear at the next start.
    pub fn doubts(&self) -> Vec<Seq> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(level, lane)| Some(seq(level, lane.in_doubt_below()?.checked_sub(1)?))).collect()
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
        self.send_away(level, effects);
        if expires_now {
            self.expire_messages(now, effects);
        }
        self.drop_overflow(effects);
        self.look_ahead(now, effects);
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
    #[inline]
    fn refuses(&self, message: &Message) -> bool {
        self.settings.overflow != Overflow::DropHead
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::ConsumerSpec;
    use crate::queue::tests::{declare, int, spec};
    use crate::value::Value;

    #[test]
    fn the_short_way_of_a_publish_is_taken_where_nothing_else_is_to_be_done() {
        let check =
            |arguments: &[(&str, Value)], no_ack: bool, persistent: bool, before: usize, expected: Option<u64>| {
                let message = || {
                    let mut message = Message::builder("x", "k", b"", 0);
                    message.persistent(persistent);
                    message.build()
                };
                let mut queue = declare(true, false, arguments).expect("valid arguments");
                let (now, mut effects) = (Time(0), Vec::new());
                queue.consume(ConsumerSpec { no_ack, prefetch: 1, ..spec(1) }, now, &mut effects).expect("admitted");
                (0..before).for_each(|_| _ = queue.publish(message(), now, &mut effects));
                let taken = queue.publish_straight(&message(), now);
                assert_eq!(taken.map(|(consumer, _)| consumer.0), expected);
                assert_eq!(queue.counters().published, queue.counters().delivered + queue.ready_count());
                queue.check_invariants(now);
            };
        let refusing = |max| [("x-max-length", int(max)), ("x-overflow", Value::str("reject-publish"))];
        check(&[], false, false, 0, Some(1));
        check(&[], true, false, 2, Some(1));
        check(&[], false, false, 1, None); // its prefetch is used up
        check(&[], false, false, 2, None); // others wait before it
        check(&[], false, true, 0, None); // the store has to know
        check(&[("x-max-priority", int(3))], false, false, 0, Some(1));
        check(&refusing(0), true, false, 0, None);
        check(&refusing(1), true, false, 0, Some(1));
    }
}
