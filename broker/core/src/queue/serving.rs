//! Messages out: consumers come and go, and get what is ready.

use crate::error::Error;
use crate::ids::{ConsumerId, Seq, Time};

use super::consumers::{ConsumerSpec, Holder, delivery_cost};
use super::effect::{Delivery, Effect, EndReason};
use super::lane::Entry;
use super::settings::QueueKind;
use super::{Queue, number, push_settled, seq};

/// What comes of a get.
#[derive(Clone, Debug)]
pub enum Get {
    /// A message.
    Message(Got),
    /// There is none.
    Empty,
    /// The next one is not in memory: ask again when the page has come.
    Later,
}

/// A message that was got.
#[derive(Clone, Debug)]
pub struct Got {
    /// The message.
    pub delivery: Delivery,
    /// Ready messages left.
    pub remaining: u64,
}

impl Queue {
    /// basic.consume: adds a consumer, which may get messages at once.
    pub fn consume(&mut self, spec: ConsumerSpec, now: Time, effects: &mut Vec<Effect>) -> Result<(), Error> {
        if self.ended {
            return Err(Error::NotFound(self.resource()));
        }
        if let Some(stream) = &mut self.stream {
            if spec.prefetch == 0 {
                return Err(Error::StreamPrefetch(self.resource()));
            }
            if spec.no_ack {
                return Err(Error::StreamNoAck(self.resource()));
            }
            stream.consume(spec, effects);
            return Ok(());
        }
        if !self.consumers.admits(&spec) {
            return Err(Error::ExclusiveUse(self.resource()));
        }
        self.consumers.add(spec);
        self.dispatch(now, effects);
        Ok(())
    }

    /// basic.cancel: the consumer gets nothing more; what it holds stays unsettled. Nothing happens if it is not there.
    pub fn cancel(&mut self, consumer: ConsumerId, now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            stream.cancel(consumer);
            return;
        }
        if self.consumers.remove(consumer) {
            self.after_consumers_left(now, effects);
        }
    }

    /// A channel went, or a whole connection: its consumers are removed first, then what it held comes back, then
    /// others are served. `held` also has what it got by get. Unknown consumers and places are passed over.
    pub fn release(&mut self, consumers: &[ConsumerId], held: &[Seq], now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            consumers.iter().for_each(|consumer| _ = stream.cancel(*consumer));
            stream.settle(held, effects);
            return;
        }
        let mut left = false;
        for consumer in consumers {
            left |= self.consumers.remove(*consumer);
        }
        for seq in held {
            self.put_back(*seq, effects);
        }
        if left {
            self.after_consumers_left(now, effects);
        } else {
            self.dispatch(now, effects);
        }
    }

    /// Bytes ([`delivery_cost`]) of a consumer's deliveries were written to its socket.
    pub fn credit(&mut self, consumer: ConsumerId, bytes: u64, now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            return stream.credit(consumer, bytes, effects);
        }
        self.consumers.credit(consumer, bytes);
        self.dispatch(now, effects);
    }

    /// A consumer that declined a message can take messages again.
    pub fn resume(&mut self, consumer: ConsumerId, now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            return stream.resume(consumer, effects);
        }
        self.consumers.set_paused(consumer, false);
        self.dispatch(now, effects);
    }

    /// basic.get: takes the next message, consumers or not. Without `no_ack` it is unsettled until it is settled or
    /// requeued.
    pub fn get(&mut self, no_ack: bool, now: Time, effects: &mut Vec<Effect>) -> Result<Get, Error> {
        if self.ended {
            return Err(Error::NotFound(self.resource()));
        }
        if self.stream.is_some() {
            return Err(Error::StreamGet(self.resource()));
        }
        if self.settings.kind == QueueKind::Quorum && self.settings.single_active_consumer {
            return Err(Error::GetUnsupported(self.resource()));
        }
        self.last_used = now;
        while !self.expire_messages(now, effects) {}
        let Some(level) = self.head_level() else {
            self.counters.got_empty += 1;
            return Ok(Get::Empty);
        };
        let Some((delivery, is_settled)) = self.take_head(level, None, Holder::GET, no_ack) else {
            self.look_ahead(now, effects);
            return Ok(Get::Later);
        };
        self.counters.got += 1;
        self.counters.got_no_ack += u64::from(no_ack);
        if is_settled {
            push_settled(delivery.seq, effects);
        }
        self.look_ahead(now, effects);
        Ok(Get::Message(Got { delivery, remaining: self.ready_count() }))
    }

    /// Hands ready messages to consumers until one or the other runs out; what remains must be within the limits. While
    /// more messages have expired than one call removes, nobody gets anything.
    #[inline]
    pub(super) fn dispatch(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.expire_messages(now, effects) {
            self.serve(effects);
        }
        self.look_ahead(now, effects);
    }

    #[inline]
    fn serve(&mut self, effects: &mut Vec<Effect>) {
        while let Some(level) = self.head_level() {
            match self.consumers.next() {
                Some(holder) if self.deliver_to(level, holder, effects) => {}
                Some(_) => return, // the head is away
                None => return self.drop_overflow(effects),
            }
        }
    }

    fn deliver_to(&mut self, level: usize, holder: Holder, effects: &mut Vec<Effect>) -> bool {
        let Some((_, entry)) = self.lanes[level].head() else { return false };
        let spec = self.consumers.delivered(holder, delivery_cost(&entry.message));
        let (consumer, no_ack) = (spec.id, spec.no_ack);
        self.counters.delivered += 1;
        self.counters.delivered_no_ack += u64::from(no_ack);
        let Some((delivery, is_settled)) = self.take_head(level, Some(consumer), holder, no_ack) else { return false };
        let seq = delivery.seq;
        effects.push(Effect::Deliver(delivery));
        if is_settled {
            push_settled(seq, effects);
        }
        true
    }

    /// Takes the head of a lane for a consumer or a get; also whether the store has to hear that it is settled by that.
    fn take_head(
        &mut self,
        level: usize,
        consumer: Option<ConsumerId>,
        holder: Holder,
        no_ack: bool,
    ) -> Option<(Delivery, bool)> {
        let lane = &mut self.lanes[level];
        let delivery = |number, entry: &Entry| Delivery {
            consumer,
            seq: seq(level, number),
            message: entry.message.clone(),
            redelivered: entry.requeues > 0,
            requeues: entry.requeues,
            offset: None,
        };
        let mut taken = if no_ack {
            let (number, entry) = lane.remove_head()?;
            (delivery(number, &entry), entry.stored)
        } else {
            let (number, entry) = lane.take_head(holder)?;
            (delivery(number, entry), false)
        };
        taken.0.redelivered |= lane.is_in_doubt(number(taken.0.seq));
        self.counters.redelivered += u64::from(taken.0.redelivered);
        Some(taken)
    }

    /// "removed when the last consumer goes, only if it ever had one" (RabbitMQ): one just went.
    fn after_consumers_left(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.consumers.len() == 0 {
            self.last_used = now;
            if self.auto_delete && !self.ended {
                return self.end(EndReason::LastConsumer, effects);
            }
        }
        self.consumers.promote();
        self.dispatch(now, effects);
    }
}
