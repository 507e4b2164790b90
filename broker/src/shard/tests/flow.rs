//! Publishers that are faster than what they publish to: held up, and let go.

use std::rc::Rc;

use leveret_core::message::Message;
use leveret_core::queue::ConsumerSpec;
use leveret_core::{ConnectionId, ConsumerId, Name, ShardId, VhostId};
use leveret_runtime as runtime;

use super::*;
use crate::shard::flow::{CROWDED, MAIL_COST, Outflow};
use crate::shard::{Client, Inspection};

const BODY: usize = 8 * 1024;

/// A connection without a socket.
struct Publisher {
    shard: Rc<Shard>,
    id: ConnectionId,
    outflow: Outflow,
    went_on: Event,
}

impl Publisher {
    fn open() -> Rc<Publisher> {
        let shard = Shard::current();
        let id = shard.next_connection();
        let publisher =
            Rc::new(Publisher { shard: shard.clone(), id, outflow: Outflow::default(), went_on: Event::new() });
        shard.add_client(id, publisher.clone());
        publisher
    }

    fn publish(&self, queue: QueueAddress) {
        let mut message = Message::builder("", "q", &[0, 0], BODY);
        message.body(&[0; BODY]);
        let message = message.build();
        let cost = message.size() as u64 + MAIL_COST;
        let counts = if queue.shard == self.shard.id {
            self.shard.publish_here(queue.queue, Cow::Owned(message)).1
        } else {
            self.shard.command(queue, Command::Publish { message, confirm: None });
            true
        };
        if counts {
            self.shard.note_sent(&self.outflow, self.id, queue, cost);
        }
    }

    /// Publishes two megabytes, or less if it is held up before; how many bytes that were.
    fn publish_on(&self, queue: QueueAddress) -> u64 {
        let mut sent = 0;
        while !self.outflow.is_held_up() && sent < 2 * 1024 * 1024 {
            self.publish(queue);
            sent += BODY;
        }
        sent as u64
    }

    /// How long it is held up, in milliseconds of virtual time.
    fn wait(&self) -> u64 {
        let began = runtime::time::now();
        while self.outflow.is_held_up() {
            self.went_on.clear();
            assert!(self.went_on.wait_timeout(PATIENCE), "it is held up for ever");
        }
        began.elapsed_ms()
    }
}

trait Elapsed {
    fn elapsed_ms(self) -> u64;
}

impl Elapsed for std::time::Instant {
    fn elapsed_ms(self) -> u64 {
        runtime::time::now().saturating_duration_since(self).as_millis() as u64
    }
}

impl Client for Publisher {
    fn tick(self: Rc<Self>) {}
    fn shut_down(self: Rc<Self>) {}
    fn force_close(self: Rc<Self>, _: &str) {}
    fn user(&self) -> Option<Name> {
        None
    }
    fn vhost(&self) -> Option<VhostId> {
        None
    }
    fn alarms_changed(&self) {}
    fn inspect(&self) -> Inspection {
        unreachable!("nobody looks")
    }
    fn credit_came_back(&self, by: ShardId, cost: u64) {
        if self.shard.take_back(&self.outflow, by, cost) {
            self.went_on.set();
        }
    }
}

/// A consumer that says only when asked that it has got something.
struct Consumer {
    actor: Rc<Actor>,
    id: ConsumerId,
    queue: QueueAddress,
}

impl Consumer {
    /// Gets one message at a time.
    fn start(queue: QueueAddress, book: Shared) -> Consumer {
        let actor = Actor::open(Manners::Deaf, book);
        let id = actor.shard.next_consumer();
        actor.consumers.borrow_mut().insert(id.0, queue);
        let window_bytes = 1;
        let spec =
            ConsumerSpec { id, no_ack: true, exclusive: false, prefetch: 0, priority: 0, window_bytes, stream: None };
        let reply = actor.ask_queue(queue, |ticket| Command::Consume { spec, ticket });
        assert!(matches!(reply, Reply::Done), "{reply:?}");
        Consumer { actor, id, queue }
    }

    fn credit(&self, bytes: u64) {
        self.actor.shard.command(self.queue, Command::Credit { consumer: self.id, bytes });
    }
}

fn on_either_side(check: impl Fn(QueueAddress, Shared) + Copy + Send + 'static) {
    on_two_shards(move |book| {
        let there = QueueAddress { shard: ShardId(1), queue: declare_there("there", &book) };
        let actor = Actor::open(Manners::Orderly, book);
        actor.declare("here");
        let here = actor.queue("here").expect("just declared");
        assert_eq!(here.shard, ShardId(0));
        actor.close();
        [there, here].into_iter().for_each(|queue| check(queue, book));
        runtime::sleep(PATIENCE); // virtual
        for shard in runtime::shards() {
            runtime::call(shard, || Shard::current().flow.assert_at_rest()).expect("every mark came back");
        }
    });
}

#[test]
fn a_publisher_waits_until_another_shard_has_handled_what_it_sent() {
    on_two_shards(|book| {
        let queue = QueueAddress { shard: ShardId(1), queue: declare_there("q", &book) };
        let publisher = Publisher::open();
        for _ in 0..5 {
            let sent = publisher.publish_on(queue);
            assert!((512 * 1024..=1024 * 1024).contains(&sent), "{sent}");
            assert!(publisher.wait() < 10, "nobody consumes, which is no reason to wait");
        }
        publisher.shard.remove_client(publisher.id);
        publisher.publish_on(queue); // its marks come back to nobody
        runtime::sleep(PATIENCE); // virtual
        publisher.shard.flow.assert_at_rest();
    });
}

#[test]
fn a_crowded_queue_holds_up_publishers_for_a_while() {
    on_either_side(|queue, book| {
        let consumer = Consumer::start(queue, book);
        let publisher = Publisher::open();
        let (began, mut sent, mut longest) = (runtime::time::now(), 0, 0);
        while sent < 8 * CROWDED {
            sent += publisher.publish_on(queue);
            let waited = publisher.wait();
            longest = longest.max(waited);
            runtime::sleep(Duration::from_millis(1)); // virtual: no publisher is infinitely fast
        }
        let all = began.elapsed_ms();
        assert!((20..=40).contains(&longest), "held up for {longest} ms");
        assert!(all < 500, "a consumer that does not read holds up nobody for long: {all} ms");
        consumer.actor.close();
    });
}

#[test]
fn publishers_go_on_as_soon_as_consumers_have_caught_up() {
    on_either_side(|queue, book| {
        let consumer = Consumer::start(queue, book);
        let publisher = Publisher::open();
        for _ in 0..5 {
            let waited = loop {
                publisher.publish_on(queue);
                runtime::sleep(Duration::from_millis(2)); // virtual: its marks arrive
                if publisher.outflow.is_held_up() {
                    (0..8 * CROWDED / BODY as u64).for_each(|_| consumer.credit(2 * BODY as u64));
                    break publisher.wait();
                }
            };
            assert!(waited < 10, "held up for {waited} ms");
        }
        consumer.actor.close();
    });
}
