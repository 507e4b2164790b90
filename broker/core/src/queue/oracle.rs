//! A queue against a naive model, over long random histories.
//!
//! The model is a plain list of messages and a list of consumers. It does not predict effects; it judges them, one by
//! one and in order: was this the message whose turn it was, could this consumer take it, was there a reason to drop
//! that one? After each call the lists must be the same.

use std::sync::Arc;

use super::settings::Overflow;
use super::tests::{declare, int, spec};
use super::*;
use crate::death::DeathReason;
use crate::ids::ConsumerId;
use crate::testing::Random;
use crate::value::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Held(Option<ConsumerId>),
}

#[derive(Clone, Debug)]
struct ModelMessage {
    seq: Seq,
    message: Arc<Message>,
    place: Place,
    requeues: u32,
    expiry: Option<Time>,
}

#[derive(Clone, Debug)]
struct ModelConsumer {
    spec: ConsumerSpec,
    window: i64,
    paused: bool,
}

/// Why messages may be settled in the call that is being judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// Only for the reasons that are always good: expiry, length, delivery without acknowledgement.
    Usual,
    /// This one, by its consumer.
    Settle(Seq, Settlement),
    /// All that are ready.
    Purge,
}

/// A page that the queue has asked for.
#[derive(Clone, Copy)]
struct Asked {
    first: Seq,
    last: Seq,
    size: u64,
}

struct Model {
    asked: Option<Asked>,
    settings: QueueSettings,
    messages: Vec<ModelMessage>,
    consumers: Vec<ModelConsumer>,
    active: Option<ConsumerId>,
    now: Time,
}

impl Model {
    /// The order of delivery: higher priorities first, then by number.
    fn ready(&self) -> Vec<&ModelMessage> {
        let mut ready: Vec<_> = self.messages.iter().filter(|it| it.place == Place::Ready).collect();
        ready.sort_by_key(|it| (std::cmp::Reverse(level(it.seq)), number(it.seq)));
        ready
    }

    fn index(&self, seq: Seq) -> usize {
        self.messages.iter().position(|it| it.seq == seq).unwrap_or_else(|| panic!("{seq} is unknown"))
    }

    fn held_by(&self, id: ConsumerId) -> usize {
        self.messages.iter().filter(|it| it.place == Place::Held(Some(id))).count()
    }

    fn can_take(&self, consumer: &ModelConsumer) -> bool {
        let ModelConsumer { spec, window, paused } = consumer;
        let has_prefetch = spec.no_ack || spec.prefetch == 0 || self.held_by(spec.id) < spec.prefetch as usize;
        let is_active = !self.settings.single_active_consumer || self.active == Some(spec.id);
        has_prefetch && *window > 0 && !paused && is_active
    }

    fn is_over_limit(&self) -> bool {
        let ready = self.ready();
        let bytes: usize = ready.iter().map(|it| it.message.body().len()).sum();
        self.settings.max_length.is_some_and(|max| ready.len() as u64 > max)
            || self.settings.max_length_bytes.is_some_and(|max| bytes as u64 > max)
    }

    fn promote(&mut self) {
        if self.consumers.iter().any(|it| Some(it.spec.id) == self.active) {
            return;
        }
        // max_by_key takes the last of equals, and the oldest comes first in the list.
        self.active = self.consumers.iter().rev().max_by_key(|it| it.spec.priority).map(|it| it.spec.id);
    }

    fn requeue(&mut self, seq: Seq) {
        let index = self.index(seq);
        self.messages[index].place = Place::Ready;
        self.messages[index].requeues += 1;
    }

    fn judge_delivery(&mut self, delivery: &Delivery) {
        let id = delivery.consumer.expect("gets are no effects");
        let ready = self.ready();
        let head = *ready.first().expect("something is ready");
        assert_eq!((head.seq, head.requeues), (delivery.seq, delivery.requeues), "the head is next");
        assert!(Arc::ptr_eq(&head.message, &delivery.message));
        assert!(head.expiry.is_none_or(|expiry| expiry >= self.now), "expired messages are not delivered");
        let consumer = self.consumers.iter().find(|it| it.spec.id == id).expect("it is there");
        assert!(self.can_take(consumer), "{consumer:?} cannot take a message");
        let better = self.consumers.iter().filter(|it| it.spec.priority > consumer.spec.priority);
        assert_eq!(better.filter(|it| self.can_take(it)).count(), 0, "higher priorities come first");
        let index = self.index(delivery.seq);
        self.messages[index].place = Place::Held(Some(id));
        let consumer = self.consumers.iter_mut().find(|it| it.spec.id == id).expect("it is there");
        consumer.window -= delivery_cost(&delivery.message) as i64;
    }

    /// The reason for which a stored message may be forgotten, other than being settled by its consumer.
    fn reason_to_go(&self, seq: Seq, allowed: Allowed) -> Option<DeathReason> {
        let it = &self.messages[self.index(seq)];
        let is_head = self.ready().first().is_some_and(|head| head.seq == seq);
        let is_no_ack = |id: &ConsumerId| self.consumers.iter().any(|it| it.spec.id == *id && it.spec.no_ack);
        match &it.place {
            Place::Held(Some(id)) if is_no_ack(id) => None,
            Place::Held(_) => match allowed {
                Allowed::Settle(settled, Settlement::Ack) if settled == seq => None,
                Allowed::Settle(settled, Settlement::Reject) if settled == seq => Some(DeathReason::Rejected),
                _ => panic!("{seq} is unsettled"),
            },
            Place::Ready if self.settings.delivery_limit.is_some_and(|limit| it.requeues > limit) => {
                Some(DeathReason::DeliveryLimit)
            }
            Place::Ready if allowed == Allowed::Purge => None,
            Place::Ready if it.expiry.is_some_and(|expiry| expiry <= self.now) => Some(DeathReason::Expired),
            Place::Ready => {
                assert!(is_head && self.settings.overflow == Overflow::DropHead && self.is_over_limit(), "{seq} stays");
                Some(DeathReason::MaxLength)
            }
        }
    }

    fn judge(&mut self, effects: &[Effect], allowed: Allowed) {
        let mut letter: Option<(&Arc<Message>, DeathReason)> = None;
        let mut removed = None;
        for effect in effects {
            match effect {
                Effect::Deliver(delivery) => self.judge_delivery(delivery),
                Effect::DeadLetter { message, reason } => {
                    assert!(letter.replace((message, *reason)).is_none(), "a settlement follows");
                }
                Effect::Settled { first, last } => {
                    assert!(letter.is_none() || first == last, "each letter has its settlement");
                    let mut reason = None;
                    for seq in (first.0..=last.0).map(Seq) {
                        if allowed == Allowed::Purge && !self.messages.iter().any(|it| it.seq == seq) {
                            continue; // a purge names what is away from end to end
                        }
                        reason = self.reason_to_go(seq, allowed);
                        assert!(first == last || reason.is_none() || self.settings.dead_letter.is_none());
                        removed = Some(self.messages.remove(self.index(seq)));
                    }
                    let Some(it) = removed.take() else { continue };
                    let expected = reason.filter(|_| self.settings.dead_letter.is_some());
                    let found = letter.take().inspect(|(message, _)| assert!(Arc::ptr_eq(message, &it.message)));
                    assert_eq!(found.map(|(_, reason)| reason), expected, "{first}");
                }
                Effect::Requeued { seq, count } => {
                    assert_eq!(self.messages[self.index(*seq)].requeues, *count, "{seq} came back so often");
                }
                Effect::Fetch { first, last, size, spilled } => {
                    assert!(self.asked.is_none() && !spilled, "one page at a time, of what the store has");
                    self.asked = Some(Asked { first: *first, last: *last, size: *size });
                }
                Effect::Spill { .. } | Effect::Cancelled { .. } | Effect::Ended(_) => {
                    panic!("nobody asked for {effect:?}")
                }
            }
        }
        assert!(letter.is_none(), "a settlement follows");
    }

    fn compare(&self, queue: &mut Queue) {
        queue.check_invariants(self.now);
        let ready: Vec<_> = self.ready().into_iter().map(|it| it.seq).collect();
        let shown: Vec<_> = queue.ready().map(|(seq, _)| seq).collect();
        assert!(ready.starts_with(&shown), "{shown:?}, {ready:?}");
        assert!(queue.away_count() > 0 || shown.len() == ready.len());
        let bytes: usize = self.ready().iter().map(|it| it.message.body().len()).sum();
        assert_eq!((queue.ready_count(), queue.ready_bytes()), (ready.len() as u64, bytes as u64));
        assert_eq!(queue.unsettled_count() as usize, self.messages.len() - ready.len());
        assert_eq!(queue.consumer_count() as usize, self.consumers.len());
        if self.asked.is_some() {
            return; // what a page is awaited for is not done
        }
        assert!(ready.is_empty() || !self.consumers.iter().any(|it| self.can_take(it)), "nothing waits for nothing");
        assert!(self.settings.overflow != Overflow::DropHead || !self.is_over_limit());
        let next = self.ready().iter().filter_map(|it| it.expiry).min();
        let found = queue.next_expiry();
        if queue.away_count() == 0 {
            assert_eq!(found, next);
        } else {
            let is_bound = next.is_none_or(|next| found.is_some_and(|found| found <= next));
            assert!(is_bound, "{found:?} is no bound of {next:?}");
        }
    }

    /// What a reader finds: what the store was not told to forget.
    fn read(&self, asked: Asked) -> Page {
        let kept = self.messages.iter().filter(|it| (asked.first..=asked.last).contains(&it.seq));
        let mut found: Vec<Paged> = kept
            .map(|it| Paged {
                seq: it.seq,
                message: it.message.clone(),
                expiry: it.expiry,
                requeues: it.requeues,
                stored: true,
            })
            .collect();
        found.sort_by_key(|it| it.seq);
        let mut size = 0;
        let enough = found.iter().position(|it| {
            size += it.message.size() as u64;
            size >= asked.size
        });
        found.truncate(enough.map_or(usize::MAX, |at| at + 1));
        let through = found.last().filter(|_| enough.is_some()).map_or(asked.last, |it| it.seq);
        Page { first: asked.first, through, messages: found }
    }
}

struct Run {
    queue: Queue,
    model: Model,
    random: Random,
    effects: Vec<Effect>,
    next_consumer: u64,
    /// A page that was read as soon as it was asked for.
    early: Option<Page>,
    pages: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut arguments = Vec::new();
        let mut maybe = |percent: u64, name: &'static str, value: fn(&mut Random) -> Value| {
            if random.chance(percent) {
                arguments.push((name, value(&mut random)));
            }
        };
        maybe(40, "x-max-priority", |random| int(random.below(4) as i64));
        maybe(40, "x-message-ttl", |random| int(random.below(100) as i64));
        maybe(40, "x-max-length", |random| int(random.below(20) as i64));
        maybe(20, "x-max-length-bytes", |random| int(random.below(40) as i64));
        maybe(50, "x-dead-letter-exchange", |_| Value::str("dlx"));
        maybe(30, "x-delivery-limit", |random| int(random.below(4) as i64));
        maybe(30, "x-single-active-consumer", |_| Value::Bool(true));
        maybe(40, "x-overflow", |random| {
            Value::str(["drop-head", "reject-publish", "reject-publish-dlx"][random.below(3) as usize])
        });
        let mut queue = declare(true, false, &arguments).expect("valid arguments");
        queue.set_windows(random.chance(75).then(|| Windows {
            head: random.below(900),
            tail: random.below(300),
            spill: 1,
            may_spill: random.chance(50),
        }));
        let settings = queue.settings().clone();
        let model =
            Model { asked: None, settings, messages: Vec::new(), consumers: Vec::new(), active: None, now: Time(0) };
        Self { queue, model, random, effects: Vec::new(), next_consumer: 0, early: None, pages: 0 }
    }

    fn step(&mut self) {
        if self.random.chance(20) {
            self.model.now.0 += self.random.below(20);
            self.queue.expire(self.model.now, &mut self.effects);
            self.judge(Allowed::Usual);
        }
        match self.random.below(100) {
            0..=39 => self.publish(),
            40..=54 => self.settle(),
            55..=64 => self.requeue(),
            65..=71 => self.get(),
            72..=77 => self.credit(),
            78..=82 => self.consume(),
            83..=85 => self.cancel(),
            86..=88 => self.release(),
            89..=94 => self.decline(),
            95..=98 => self.resume(),
            _ => self.purge(),
        }
        if self.random.chance(70) {
            self.answer_pages();
        } else if self.early.is_none() && self.random.chance(50) {
            self.early = self.model.asked.map(|asked| self.model.read(asked));
        }
        self.model.compare(&mut self.queue);
        let is_expired = |it: &&ModelMessage| it.expiry.is_some_and(|expiry| expiry <= self.model.now);
        assert!(self.model.asked.is_some() || !self.model.ready().iter().any(is_expired));
    }

    /// The pages come, at last.
    fn answer_pages(&mut self) {
        let mut left = 10_000;
        while let Some(asked) = self.model.asked.take() {
            let page = self.early.take().unwrap_or_else(|| self.model.read(asked));
            assert_eq!(page.first, asked.first);
            assert_eq!(self.queue.page(page, self.model.now, &mut self.effects), 0);
            self.judge(Allowed::Usual);
            self.pages += 1;
            left -= 1;
            assert!(left > 0, "it asks for ever");
        }
    }

    fn judge(&mut self, allowed: Allowed) {
        let effects = std::mem::take(&mut self.effects);
        self.model.judge(&effects, allowed);
    }

    fn publish(&mut self) {
        let mut message = Message::builder("x", "k", b"", 0);
        message.body(&vec![0; self.random.below(12) as usize]).persistent(true);
        message.priority(self.random.below(5) as u8);
        message.expiration_ms(self.random.chance(20).then_some(0).map(|_| self.random.below(60)));
        let message = message.build();
        let now = self.model.now;
        let published = self.queue.publish(message.clone(), now, &mut self.effects);
        match published {
            Published::Accepted { seq, stored } => {
                assert!(stored);
                let expiry = self.queue.expiry_of(&message, now);
                let place = Place::Ready;
                self.model.messages.push(ModelMessage { seq, message, place, requeues: 0, expiry });
            }
            Published::Rejected => {
                assert_ne!(self.model.settings.overflow, Overflow::DropHead);
                if let Some(Effect::DeadLetter { message: dead, reason }) = self.effects.last() {
                    assert!(Arc::ptr_eq(dead, &message) && *reason == DeathReason::MaxLength);
                    assert_eq!(self.model.settings.overflow, Overflow::RejectPublishDlx);
                    self.effects.pop();
                }
            }
            Published::Ended => panic!("it has not ended"),
        }
        self.judge(Allowed::Usual);
    }

    fn any_held(&mut self) -> Option<ModelMessage> {
        let held: Vec<_> = self.model.messages.iter().filter(|it| it.place != Place::Ready).collect();
        (!held.is_empty()).then(|| held[self.random.below(held.len() as u64) as usize].clone())
    }

    fn any_consumer(&mut self) -> Option<ConsumerId> {
        let count = self.model.consumers.len() as u64;
        (count > 0).then(|| self.model.consumers[self.random.below(count) as usize].spec.id)
    }

    fn settle(&mut self) {
        let Some(held) = self.any_held() else { return };
        let settlement = if self.random.chance(70) { Settlement::Ack } else { Settlement::Reject };
        assert!(self.queue.settle(held.seq, settlement, self.model.now, &mut self.effects));
        self.judge(Allowed::Settle(held.seq, settlement));
        assert!(!self.queue.settle(held.seq, settlement, self.model.now, &mut self.effects), "only once");
    }

    fn requeue(&mut self) {
        let mut seqs = Vec::new();
        for _ in 0..=self.random.below(3) {
            seqs.extend(self.any_held().map(|it| it.seq).filter(|seq| !seqs.contains(seq)));
        }
        self.queue.requeue(&seqs, self.model.now, &mut self.effects);
        seqs.iter().for_each(|seq| self.model.requeue(*seq));
        self.judge(Allowed::Usual);
    }

    fn get(&mut self) {
        let no_ack = self.random.chance(30);
        let got = match self.queue.get(no_ack, self.model.now, &mut self.effects).expect("not refused") {
            Get::Message(got) => got,
            Get::Empty => {
                self.judge(Allowed::Usual);
                return assert!(self.model.ready().is_empty());
            }
            Get::Later => {
                self.judge(Allowed::Usual);
                return assert!(self.model.asked.is_some() && self.queue.away_count() > 0);
            }
        };
        let fetch = self.effects.pop_if(|effect| matches!(effect, Effect::Fetch { .. }));
        let seq = got.delivery.seq;
        if no_ack {
            assert!(self.take_settlement(seq));
        }
        self.effects.extend(fetch);
        self.judge(Allowed::Usual);
        assert_eq!(self.model.ready().first().map(|it| it.seq), Some(seq));
        let index = self.model.index(seq);
        if no_ack {
            self.model.messages.remove(index);
        } else {
            self.model.messages[index].place = Place::Held(None);
        }
        assert_eq!(got.remaining as usize, self.model.ready().len());
    }

    /// Takes the settlement of one message off the end of the effects.
    fn take_settlement(&mut self, seq: Seq) -> bool {
        match self.effects.pop() {
            Some(Effect::Settled { first, last }) if last == seq => {
                let rest = Seq(last.0.wrapping_sub(1));
                self.effects.extend((first != last).then_some(Effect::Settled { first, last: rest }));
                true
            }
            _ => false,
        }
    }

    fn credit(&mut self) {
        let Some(id) = self.any_consumer() else { return };
        let bytes = self.random.below(600);
        let consumer = self.model.consumers.iter_mut().find(|it| it.spec.id == id).expect("chosen from them");
        consumer.window = (consumer.window + bytes as i64).min(consumer.spec.window_bytes as i64);
        self.queue.credit(id, bytes, self.model.now, &mut self.effects);
        self.judge(Allowed::Usual);
    }

    fn consume(&mut self) {
        if self.model.consumers.len() >= 5 {
            return;
        }
        self.next_consumer += 1;
        let spec = ConsumerSpec {
            no_ack: self.random.chance(15),
            prefetch: self.random.below(4) as u32,
            priority: self.random.below(2) as i64,
            window_bytes: 200 + self.random.below(2_000),
            ..spec(self.next_consumer)
        };
        let window = spec.window_bytes as i64;
        self.queue.consume(spec.clone(), self.model.now, &mut self.effects).expect("nobody is exclusive");
        self.model.consumers.push(ModelConsumer { spec, window, paused: false });
        self.model.promote();
        self.judge(Allowed::Usual);
    }

    fn cancel(&mut self) {
        let Some(id) = self.any_consumer() else { return };
        self.queue.cancel(id, self.model.now, &mut self.effects);
        self.remove_consumers(&[id]);
        self.judge(Allowed::Usual);
    }

    fn remove_consumers(&mut self, ids: &[ConsumerId]) {
        self.model.consumers.retain(|it| !ids.contains(&it.spec.id));
        self.model.promote();
    }

    fn release(&mut self) {
        let ids: Vec<_> = self.any_consumer().into_iter().chain(self.any_consumer()).collect();
        let held = self.model.messages.iter().filter(|it| match it.place {
            Place::Held(holder) => holder.is_none_or(|id| ids.contains(&id)),
            Place::Ready => false,
        });
        let seqs: Vec<_> = held.map(|it| it.seq).collect();
        self.queue.release(&ids, &seqs, self.model.now, &mut self.effects);
        self.remove_consumers(&ids);
        seqs.iter().for_each(|seq| self.model.requeue(*seq));
        self.judge(Allowed::Usual);
    }

    fn decline(&mut self) {
        let Some(held) = self.any_held() else { return };
        let Place::Held(Some(id)) = held.place else { return };
        let Some(consumer) = self.model.consumers.iter_mut().find(|it| it.spec.id == id) else { return };
        consumer.paused = true;
        let index = self.model.index(held.seq);
        self.model.messages[index].place = Place::Ready;
        self.queue.decline(id, held.seq, self.model.now, &mut self.effects);
        self.judge(Allowed::Usual);
    }

    fn resume(&mut self) {
        let Some(id) = self.any_consumer() else { return };
        let consumer = self.model.consumers.iter_mut().find(|it| it.spec.id == id).expect("chosen from them");
        consumer.paused = false;
        self.queue.resume(id, self.model.now, &mut self.effects);
        self.judge(Allowed::Usual);
    }

    fn purge(&mut self) {
        let count = self.queue.purge(&mut self.effects);
        assert_eq!(count as usize, self.model.ready().len());
        self.judge(Allowed::Purge);
        assert!(self.model.ready().is_empty());
    }
}

#[test]
fn agrees_with_a_naive_model() {
    let mut pages = 0;
    for seed in 0..300 {
        let mut run = Run::new(seed);
        for step in 0..400 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
            assert!(result.is_ok(), "seed {seed}, step {step}, settings {:?}", run.model.settings);
        }
        pages += run.pages;
    }
    assert!(pages > 1_500, "{pages} pages");
}
