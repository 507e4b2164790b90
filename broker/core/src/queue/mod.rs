//! One queue: its messages, its consumers, and who gets what next.
//!
//! A queue belongs to one shard and is changed by plain calls. Each call ends with nothing left to do (no message is ready while a consumer could
//! take it) and appends what the shell must carry out to a list of [`Effect`]s.
//!
//! ```text
//!   publish -> ready -> unsettled -> (settled: acked, rejected)
//!                ^          |
//!                +----------+   requeue, release: marked redelivered
//!                               decline: as if nothing had happened
//! ```
//!
//! Leaving early, from ready: purged, expired, dropped or refused for a length limit; from unsettled: requeued too often. Where a dead-letter
//! exchange is configured, all of these but the purge yield [`Effect::DeadLetter`].
//!
//! The queue does not know channels, tags, sockets or the store. It knows whether a message *is* stored and says when that is settled.

mod consumers;
mod effect;
mod lane;
pub mod settings;

pub use consumers::{ConsumerSpec, DELIVERY_OVERHEAD_BYTES, delivery_cost};
pub use effect::{Delivery, Effect, EndReason};

use std::sync::Arc;

use crate::death::DeathReason;
use crate::error::{Error, Resource};
use crate::ids::{ConsumerId, Name, QueueId, Seq, Time};
use crate::message::Message;
use crate::topology::QueueRecord;
use consumers::{Consumer, Consumers, Holder};
use lane::{Entry, Lane, State};
use settings::{DeadLetterTarget, QueueSettings};

/// Where a priority sits in a [`Seq`]; below it the number within the lane. At a million messages a second 56 bits last two thousand years.
const PRIORITY_SHIFT: u32 = 56;

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// The queue has it (or has handed it over already). If `stored`, the confirm must wait for the store, unless an [`Effect::Settled`] for
    /// it came at once.
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

/// How a consumer settles a message for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// basic.ack
    Ack,
    /// basic.reject or basic.nack without requeue: dead-letters, if configured.
    Reject,
}

/// The answer to a get.
#[derive(Clone, Debug)]
pub struct Got {
    /// The message.
    pub delivery: Delivery,
    /// Ready messages left.
    pub remaining: u64,
}

/// What inspection shows of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// As it was asked for.
    pub spec: ConsumerSpec,
    /// Deliveries that are not settled.
    pub unsettled: u32,
    /// Gets messages: `false` only for those that wait behind a single active consumer.
    pub active: bool,
    /// Declined a message and was not resumed since.
    pub paused: bool,
}

/// Totals since the queue exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counters {
    pub published: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub got: u64,
    pub acked: u64,
    pub rejected: u64,
    pub requeued: u64,
    pub expired: u64,
    pub overflowed: u64,
    pub purged: u64,
}

/// See the module's description.
#[derive(Debug)]
pub struct Queue {
    id: QueueId,
    vhost: Name,
    name: Name,
    durable: bool,
    auto_delete: bool,
    settings: QueueSettings,
    lanes: Vec<Lane>,
    consumers: Consumers,
    ended: bool,
    counters: Counters,
}

impl Queue {
    /// An empty queue, as declared.
    pub fn new(vhost: &Name, record: &QueueRecord) -> Self {
        let settings = record.settings.clone();
        let levels = usize::from(settings.max_priority) + 1;
        Self {
            id: record.id,
            vhost: vhost.clone(),
            name: record.name.clone(),
            durable: record.durable,
            auto_delete: record.auto_delete,
            lanes: std::iter::repeat_with(Lane::default).take(levels).collect(),
            consumers: Consumers::new(settings.single_active_consumer),
            settings,
            ended: false,
            counters: Counters::default(),
        }
    }

    // Messages in.

    /// Takes a message, or refuses it.
    pub fn publish(&mut self, message: Arc<Message>, now: Time, effects: &mut Vec<Effect>) -> Published {
        if self.ended {
            return Published::Ended;
        }
        let _ = now;
        self.counters.published += 1;
        let stored = self.durable && message.persistent;
        let level = self.level(&message);
        let entry = Entry { message, requeues: 0, state: State::Ready, stored };
        let waiting = if self.ready_count() == 0 { self.consumers.next() } else { None };
        let number = match waiting {
            Some(holder) => self.hand_over(level, holder, entry, effects),
            None => self.lanes[level].push(entry),
        };
        Published::Accepted { seq: seq(level, number), stored }
    }

    /// Gives a message straight to a consumer; it never becomes ready.
    fn hand_over(&mut self, level: usize, holder: Holder, mut entry: Entry, effects: &mut Vec<Effect>) -> u64 {
        let spec = self.consumers.delivered(holder, delivery_cost(&entry.message));
        let (consumer, no_ack) = (spec.id, spec.no_ack);
        self.counters.delivered += 1;
        let message = entry.message.clone();
        let stored = entry.stored;
        let lane = &mut self.lanes[level];
        let number = if no_ack {
            lane.skip()
        } else {
            entry.state = State::Unsettled(holder);
            lane.push_unsettled(entry)
        };
        let seq = seq(level, number);
        let consumer = Some(consumer);
        effects.push(Effect::Deliver(Delivery { consumer, seq, message, redelivered: false, requeues: 0 }));
        if no_ack && stored {
            effects.push(Effect::Settled { seq });
        }
        number
    }

    // Consumers.

    /// basic.consume: adds a consumer, which may get messages at once.
    pub fn consume(&mut self, spec: ConsumerSpec, now: Time, effects: &mut Vec<Effect>) -> Result<(), Error> {
        if self.ended {
            return Err(Error::NotFound(self.resource()));
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
        if self.consumers.remove(consumer) {
            self.after_consumers_left(now, effects);
        }
    }

    /// A channel went, or a whole connection: its consumers are removed first, then what it held comes back, then others are served.
    /// `held` also has what it got by get. Unknown consumers and numbers are passed over.
    pub fn release(&mut self, consumers: &[ConsumerId], held: &[Seq], now: Time, effects: &mut Vec<Effect>) {
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
        self.consumers.credit(consumer, bytes);
        self.dispatch(now, effects);
    }

    /// A consumer that declined a message can take messages again.
    pub fn resume(&mut self, consumer: ConsumerId, now: Time, effects: &mut Vec<Effect>) {
        self.consumers.set_paused(consumer, false);
        self.dispatch(now, effects);
    }

    // Messages out.

    /// basic.get: takes the next message, consumers or not. Without `no_ack` it is unsettled until it is settled or requeued.
    pub fn get(&mut self, no_ack: bool, now: Time, effects: &mut Vec<Effect>) -> Result<Option<Got>, Error> {
        if self.ended {
            return Err(Error::NotFound(self.resource()));
        }
        let _ = now;
        let Some(level) = self.head_level() else { return Ok(None) };
        let Some((delivery, is_settled)) = self.take_head(level, None, Holder::GET, no_ack) else { return Ok(None) };
        self.counters.got += 1;
        if is_settled {
            effects.push(Effect::Settled { seq: delivery.seq });
        }
        Ok(Some(Got { delivery, remaining: self.ready_count() }))
    }

    /// Settles a delivery for good; `false` if it is not unsettled here (the queue was purged of it by deletion, or never had it).
    pub fn settle(&mut self, seq: Seq, settlement: Settlement, now: Time, effects: &mut Vec<Effect>) -> bool {
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

    /// basic.reject, nack or recover with requeue: each message goes back to its original place and is marked redelivered. Give all
    /// messages of one command at once: they are dispatched again only after the last one is back.
    pub fn requeue(&mut self, seqs: &[Seq], now: Time, effects: &mut Vec<Effect>) {
        for seq in seqs {
            self.put_back(*seq, effects);
        }
        self.dispatch(now, effects);
    }

    /// The channel could not take a delivery after all (its channel-wide prefetch was used up): the message goes back to its place as if it had
    /// never left, the consumer is paused until [`Queue::resume`]. Deliveries to it that are on their way still must be declined too. The
    /// window is given back separately, by [`Queue::credit`].
    pub fn decline(&mut self, consumer: ConsumerId, seq: Seq, now: Time, effects: &mut Vec<Effect>) {
        self.consumers.set_paused(consumer, true);
        if let Some(holder) = self.unsettled_holder(seq) {
            self.lanes[level(seq)].put_back(number(seq));
            self.consumers.settled(holder);
        }
        self.dispatch(now, effects);
    }

    /// queue.purge: removes ready messages; returns their number. They are not dead-lettered.
    pub fn purge(&mut self, effects: &mut Vec<Effect>) -> u64 {
        let mut count = 0;
        for level in 0..self.lanes.len() {
            while let Some((number, entry)) = self.lanes[level].remove_head() {
                settled(seq(level, number), &entry, effects);
                count += 1;
            }
        }
        self.counters.purged += count;
        count
    }

    /// queue.delete: checks, then ends the queue; returns the number of ready messages. Consumers are cancelled; no effect speaks of the
    /// messages, since the queue's deletion itself goes to the store.
    pub fn delete(&mut self, if_unused: bool, if_empty: bool, effects: &mut Vec<Effect>) -> Result<u64, Error> {
        if if_unused && self.consumers.len() > 0 {
            return Err(Error::InUse(self.resource()));
        }
        if if_empty && self.ready_count() > 0 {
            return Err(Error::NotEmpty(self.resource()));
        }
        let count = self.ready_count();
        for consumer in self.consumers.ids() {
            self.consumers.remove(consumer);
            effects.push(Effect::Cancelled { consumer });
        }
        self.lanes.iter_mut().for_each(|lane| *lane = Lane::default());
        self.consumers = Consumers::new(self.settings.single_active_consumer);
        self.ended = true;
        Ok(count)
    }

    // Inspection.

    /// Its number.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its virtual host's name.
    pub fn vhost(&self) -> &Name {
        &self.vhost
    }

    /// What governs it.
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Where its dead messages go; `None` drops them.
    pub fn dead_letter_target(&self) -> Option<&DeadLetterTarget> {
        self.settings.dead_letter.as_ref()
    }

    /// Messages that wait.
    pub fn ready_count(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.ready() as u64).sum()
    }

    /// Messages that are delivered and not settled.
    pub fn unsettled_count(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.unsettled() as u64).sum()
    }

    /// Consumers, waiting ones included.
    pub fn consumer_count(&self) -> u64 {
        self.consumers.len() as u64
    }

    /// Totals.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether it has ended and refuses everything.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The consumers, in no particular order.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerState> {
        let active = self.consumers.active();
        self.consumers.iter().map(move |consumer: &Consumer| ConsumerState {
            spec: consumer.spec.clone(),
            unsettled: consumer.unsettled,
            active: active.is_none_or(|active| active == consumer.spec.id),
            paused: consumer.paused,
        })
    }

    /// Ready messages in the order of delivery.
    pub fn ready(&self) -> impl Iterator<Item = (Seq, &Arc<Message>)> {
        self.entries_in_order().filter(|(_, entry)| entry.state == State::Ready).map(|(seq, it)| (seq, &it.message))
    }

    /// Unsettled messages.
    pub fn unsettled(&self) -> impl Iterator<Item = (Seq, &Arc<Message>)> {
        self.entries_in_order().filter(|(_, entry)| entry.state != State::Ready).map(|(seq, it)| (seq, &it.message))
    }

    // Private.

    fn entries_in_order(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        let lanes = self.lanes.iter().enumerate().rev();
        lanes.flat_map(|(level, lane)| lane.iter().map(move |(number, entry)| (seq(level, number), entry)))
    }

    fn resource(&self) -> Resource {
        Resource::queue(&self.vhost, &self.name)
    }

    /// "message priority above n counts as n" (RabbitMQ).
    fn level(&self, message: &Message) -> usize {
        usize::from(message.priority.min(self.settings.max_priority))
    }

    fn head_level(&self) -> Option<usize> {
        self.lanes.iter().rposition(|lane| lane.ready() > 0)
    }

    /// Hands ready messages to consumers until one or the other runs out.
    fn dispatch(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let _ = now;
        while let Some(level) = self.head_level() {
            let Some(holder) = self.consumers.next() else { return };
            self.deliver_to(level, holder, effects);
        }
    }

    fn deliver_to(&mut self, level: usize, holder: Holder, effects: &mut Vec<Effect>) {
        let Some((_, entry)) = self.lanes[level].head() else { return };
        let spec = self.consumers.delivered(holder, delivery_cost(&entry.message));
        let (consumer, no_ack) = (spec.id, spec.no_ack);
        self.counters.delivered += 1;
        let Some((delivery, is_settled)) = self.take_head(level, Some(consumer), holder, no_ack) else { return };
        let seq = delivery.seq;
        effects.push(Effect::Deliver(delivery));
        if is_settled {
            effects.push(Effect::Settled { seq });
        }
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
        };
        let taken = if no_ack {
            let (number, entry) = lane.remove_head()?;
            (delivery(number, &entry), entry.stored)
        } else {
            let (number, entry) = lane.take_head(holder)?;
            (delivery(number, entry), false)
        };
        self.counters.redelivered += u64::from(taken.0.redelivered);
        Some(taken)
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

    /// Requeues one message, without dispatching.
    fn put_back(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        let Some(holder) = self.unsettled_holder(seq) else { return };
        let lane = &mut self.lanes[level(seq)];
        lane.put_back(number(seq));
        if let Some(entry) = lane.get_mut(number(seq)) {
            entry.requeues = entry.requeues.saturating_add(1);
        }
        self.counters.requeued += 1;
        self.consumers.settled(holder);
        let _ = effects;
    }

    fn after_consumers_left(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.auto_delete && self.consumers.len() == 0 && !self.ended {
            self.ended = true;
            effects.push(Effect::Ended(EndReason::LastConsumer));
            return;
        }
        self.consumers.promote();
        self.dispatch(now, effects);
    }

    fn dead_letter(&self, message: &Arc<Message>, reason: DeathReason, effects: &mut Vec<Effect>) {
        if self.settings.dead_letter.is_some() {
            effects.push(Effect::DeadLetter { message: message.clone(), reason });
        }
    }

    /// Panics if the fields contradict each other; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&mut self) {
        self.lanes.iter().for_each(Lane::check_invariants);
        self.consumers.check_invariants();
        if !self.ended {
            assert!(
                self.ready_count() == 0 || self.consumers.next().is_none(),
                "nothing waits while somebody can take it"
            );
        }
        let mut held = std::collections::BTreeMap::<Holder, u32>::new();
        for entry in self.lanes.iter().flat_map(Lane::iter).map(|(_, entry)| entry) {
            if let State::Unsettled(holder) = entry.state {
                *held.entry(holder).or_default() += 1;
            }
        }
        held.remove(&Holder::GET);
        for (holder, count) in held {
            assert_eq!(self.consumers.get(holder).map(|consumer| consumer.unsettled), Some(count));
        }
    }
}

fn seq(level: usize, number: u64) -> Seq {
    Seq((level as u64) << PRIORITY_SHIFT | number)
}

fn level(seq: Seq) -> usize {
    (seq.0 >> PRIORITY_SHIFT) as usize
}

fn number(seq: Seq) -> u64 {
    seq.0 & ((1 << PRIORITY_SHIFT) - 1)
}

fn settled(seq: Seq, entry: &Entry, effects: &mut Vec<Effect>) {
    if entry.stored {
        effects.push(Effect::Settled { seq });
    }
}
