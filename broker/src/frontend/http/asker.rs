//! Somebody who asks queues without being a channel: it gets answers and confirms, and never consumes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::ConsumerId;
use leveret_core::message::Message;
use leveret_core::queue::Parcel;
use leveret_runtime::sync::Event;

use crate::shard::Shard;
use crate::shard::address::{ChannelAddress, ChannelKey, QueueAddress, Reply, Subscriber, Ticket};
use crate::shard::queues::Command;

/// See the module's description. Reachable until it is dropped.
pub(super) struct Asker(Rc<Ear>);

struct Ear {
    shard: Rc<Shard>,
    key: ChannelKey,
    question: Cell<u64>,
    answer: RefCell<Option<Reply>>,
    /// Confirms that have not come.
    missing: Cell<usize>,
    /// Numbers of publishes that a queue refused.
    refused: RefCell<Vec<u64>>,
    heard: Event,
}

impl Asker {
    pub(super) fn new(shard: &Rc<Shard>) -> Asker {
        let ear = Rc::new(Ear {
            shard: shard.clone(),
            key: ChannelKey(shard.next_number()),
            question: Cell::new(0),
            answer: RefCell::default(),
            missing: Cell::new(0),
            refused: RefCell::default(),
            heard: Event::new(),
        });
        shard.add_channel(ear.clone());
        Asker(ear)
    }

    fn address(&self) -> ChannelAddress {
        ChannelAddress { shard: self.0.shard.id, key: self.0.key }
    }

    /// Asks a queue and waits for its answer.
    pub(super) fn ask(&self, queue: QueueAddress, command: impl FnOnce(Ticket) -> Command) -> Reply {
        let ear = &self.0;
        let number = ear.question.get() + 1;
        ear.question.set(number);
        ear.answer.replace(None);
        ear.shard.read_clock();
        ear.shard.command(queue, command(Ticket { channel: self.address(), number }));
        loop {
            ear.heard.clear();
            if let Some(reply) = ear.answer.take() {
                return reply;
            }
            ear.heard.wait();
        }
    }

    /// Gives a message to queues and waits until all have taken it; whether none refused it.
    pub(super) fn publish(&self, queues: &[QueueAddress], message: &Arc<Message>) -> bool {
        self.give(queues.iter().map(|queue| (*queue, message.clone(), 0)), queues.len()).is_empty()
    }

    /// Gives messages to one queue and waits until it has them, on disk where that is asked; the places in `messages` of
    /// those that it refused.
    pub(super) fn publish_all(&self, queue: QueueAddress, messages: &[Arc<Message>]) -> Vec<u64> {
        self.give(messages.iter().zip(0..).map(|(message, number)| (queue, message.clone(), number)), messages.len())
    }

    fn give(&self, copies: impl Iterator<Item = (QueueAddress, Arc<Message>, u64)>, count: usize) -> Vec<u64> {
        let ear = &self.0;
        ear.missing.set(count);
        ear.refused.take();
        ear.shard.read_clock();
        for (queue, message, number) in copies {
            ear.shard.command(queue, Command::Publish { message, confirm: Some((self.address(), number)) });
        }
        loop {
            ear.heard.clear();
            if ear.missing.get() == 0 {
                return ear.refused.take();
            }
            ear.heard.wait();
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.shard.remove_channel(self.0.key);
    }
}

impl Subscriber for Ear {
    fn key(&self) -> ChannelKey {
        self.key
    }

    fn deliver(&self, queue: QueueAddress, consumer: ConsumerId, delivery: Parcel<'_>) {
        self.shard.command(queue, Command::Decline { consumer, seq: delivery.seq });
    }

    fn deliver_reply(self: Rc<Self>, _: &Message) {}

    fn has_reply_address(&self, _: &str) -> bool {
        false
    }

    fn cancelled(self: Rc<Self>, _: ConsumerId) {}

    fn reply(self: Rc<Self>, number: u64, reply: Reply) {
        if number == self.question.get() {
            self.answer.replace(Some(reply));
            self.heard.set();
        }
    }

    fn confirm(self: Rc<Self>, number: u64, accepted: bool) {
        self.missing.set(self.missing.get().saturating_sub(1));
        if !accepted {
            self.refused.borrow_mut().push(number);
        }
        self.heard.set();
    }
}
