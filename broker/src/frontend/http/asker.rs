//! Somebody who asks queues without being a channel: it gets answers and confirms, and never consumes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use leveret_core::ConsumerId;
use leveret_core::message::Message;
use leveret_core::queue::Delivery;
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
    /// A queue refused what was published.
    refused: Cell<bool>,
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
            refused: Cell::new(false),
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
    pub(super) fn publish(&self, queues: &[QueueAddress], message: &std::sync::Arc<Message>) -> bool {
        let ear = &self.0;
        ear.missing.set(queues.len());
        ear.shard.read_clock();
        for queue in queues {
            let confirm = Some((self.address(), 1));
            ear.shard.command(*queue, Command::Publish { message: message.clone(), confirm });
        }
        loop {
            ear.heard.clear();
            if ear.missing.get() == 0 {
                return !ear.refused.get();
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

    fn deliver(self: Rc<Self>, queue: QueueAddress, consumer: ConsumerId, delivery: Delivery) {
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

    fn confirm(self: Rc<Self>, _: u64, accepted: bool) {
        self.missing.set(self.missing.get().saturating_sub(1));
        self.refused.set(self.refused.get() | !accepted);
        self.heard.set();
    }
}
