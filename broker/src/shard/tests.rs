//! Shards on a simulated machine: many channels do as they like, and in the end nothing is lost, doubled or left behind.
//!
//! An actor is a channel without a client: it declares, publishes, consumes, settles and closes by a seed's dice. All actors
//! write down in one ledger what they were promised and what they got. A run ends when all have closed; then the ledger is
//! held against the queues of every shard.

mod flow;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::message::Message;
use leveret_core::queue::{ConsumerSpec, Parcel, Settlement, delivery_cost};
use leveret_core::topology::QueueRecord;
use leveret_core::value::Arguments;
use leveret_core::{ConnectionId, ConsumerId, Name, QueueId, Seq, ShardId, VhostId};
use leveret_runtime as runtime;
use runtime::Runtime;
use runtime::sync::Event;

use super::Shard;
use super::address::{ChannelAddress, ChannelKey, QueueAddress, Reply, Subscriber, Ticket};
use super::metadata::{Action, Request};
use super::queues::{Command, Seqs, Taken};
use crate::boot;
use crate::config::Config;
use crate::metadata::Recovered;

/// Names that the actors declare, delete and publish to.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

const STEPS: usize = 120;

/// Of virtual time, in which all mail arrives.
const PATIENCE: Duration = Duration::from_secs(1);

/// So small that a few deliveries use it up.
const WINDOW: u64 = 700;

/// What the actors of a run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manners {
    /// Nothing is deleted, declined or closed before the end: every consumer sees each publisher's messages in order.
    Orderly,
    /// Anything.
    Wild,
    /// Deliveries are passed over without a word, credit included.
    Deaf,
}

/// What all actors of a run were promised and got.
#[derive(Default)]
struct Book {
    /// Asked for and not answered.
    unconfirmed: BTreeSet<u64>,
    /// By queue: taken, and not settled by anybody.
    expected: BTreeMap<u64, BTreeSet<u64>>,
    /// Actors go, and what they held comes to others.
    is_over: bool,
}

thread_local! {
    /// The book of the run on this thread: simulated shards share it.
    static BOOK: RefCell<Book> = RefCell::default();
}

/// Stands for the thread's book, so that it goes wherever closures go.
#[derive(Clone, Copy)]
struct Shared;

impl Shared {
    fn with_an_empty_book() -> Shared {
        BOOK.take();
        Shared
    }
}

fn note<T>(_: &Shared, f: impl FnOnce(&mut Book) -> T) -> T {
    BOOK.with_borrow_mut(f)
}

struct Held {
    queue: QueueAddress,
    seq: Seq,
    body: u64,
}

struct Actor {
    shard: Rc<Shard>,
    key: ChannelKey,
    manners: Manners,
    book: Shared,
    consumers: RefCell<BTreeMap<u64, QueueAddress>>,
    held: RefCell<Vec<Held>>,
    paused: RefCell<Vec<(ConsumerId, QueueAddress)>>,
    /// By consumer and publisher: the last number seen.
    seen: RefCell<BTreeMap<(u64, u64), u64>>,
    open: RefCell<BTreeMap<u64, (QueueAddress, u64)>>,
    question: Cell<u64>,
    answer: RefCell<Option<Reply>>,
    answered: Event,
    closed: Cell<bool>,
    published: Cell<u64>,
}

fn dice(bound: u64) -> u64 {
    runtime::random::u64() % bound
}

impl Actor {
    fn open(manners: Manners, book: Shared) -> Rc<Actor> {
        let shard = Shard::current();
        let key = ChannelKey(shard.next_number());
        let actor = Rc::new(Actor {
            shard,
            key,
            manners,
            book,
            consumers: RefCell::default(),
            held: RefCell::default(),
            paused: RefCell::default(),
            seen: RefCell::default(),
            open: RefCell::default(),
            question: Cell::new(0),
            answer: RefCell::default(),
            answered: Event::new(),
            closed: Cell::new(false),
            published: Cell::new(0),
        });
        actor.shard.add_channel(actor.clone());
        actor
    }

    fn address(&self) -> ChannelAddress {
        ChannelAddress { shard: self.shard.id, key: self.key }
    }

    fn ask(&self, ask: impl FnOnce(Ticket)) -> Reply {
        self.question.set(self.question.get() + 1);
        self.answered.clear();
        ask(Ticket { channel: self.address(), number: self.question.get() });
        assert!(self.answered.wait_timeout(PATIENCE), "no answer");
        self.answer.take().expect("set before the event")
    }

    fn ask_queue(&self, queue: QueueAddress, command: impl FnOnce(Ticket) -> Command) -> Reply {
        self.ask(|ticket| self.shard.command(queue, command(ticket)))
    }

    fn live(self: &Rc<Self>) {
        for _ in 0..STEPS {
            self.shard.read_clock();
            self.step(NAMES[dice(4) as usize]);
            if dice(3) == 0 {
                runtime::yield_now();
            }
        }
        runtime::sleep(PATIENCE / 2); // virtual: until nobody has anything left to do
        note(&self.book, |book| book.is_over = true);
        self.close();
    }

    fn step(self: &Rc<Self>, name: &str) {
        let wild = self.manners == Manners::Wild;
        match (dice(20), self.queue(name)) {
            (0, _) | (_, None) => self.declare(name),
            (1, Some(queue)) => self.consume(queue),
            (2, _) if wild => self.cancel(),
            (3, Some(queue)) if wild && dice(3) == 0 => self.delete(queue),
            (4, Some(queue)) => self.get(queue),
            (5..=8, _) => self.settle(false),
            (9, _) if wild => self.settle(true),
            (10, _) => self.resume(),
            (_, Some(queue)) => self.publish(queue),
        }
    }

    fn queue(&self, name: &str) -> Option<QueueAddress> {
        let topology = self.shard.topology.borrow();
        topology.vhost(VhostId(0)).ok()?.queue(name).map(|record| QueueAddress::of(record))
    }

    fn declare(&self, name: &str) {
        let (record, is_new) = self.ask_to_declare(name);
        if self.manners == Manners::Orderly {
            assert_everywhere(&record.name, record.id);
        }
        let counts = self.ask_queue(QueueAddress::of(&record), |ticket| Command::Counts { ticket });
        let may_be_gone = self.manners == Manners::Wild && !is_new;
        assert!(matches!(counts, Reply::Counts { .. }) || may_be_gone || self.manners == Manners::Wild, "{counts:?}");
    }

    fn ask_to_declare(&self, name: &str) -> (Arc<QueueRecord>, bool) {
        let action = Action::DeclareQueue {
            name: Name::from(name),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Arguments::new(),
            shard: self.shard.id,
            random: [0; 16],
        };
        let reply = self.request(action);
        let Reply::Queue(record, is_new) = reply else { panic!("declared: {reply:?}") };
        (record, is_new)
    }

    fn request(&self, action: Action) -> Reply {
        let request = |ticket| Request { ticket: Some(ticket), vhost: VhostId(0), connection: ConnectionId(1), action };
        self.ask(|ticket| self.shard.request(request(ticket)))
    }

    fn delete(&self, queue: QueueAddress) {
        self.ask_queue(queue, |ticket| Command::Delete { if_unused: false, if_empty: false, ticket });
        self.request(Action::QueueEnded { queue: queue.queue, reply: Reply::Done });
        note(&self.book, |book| book.expected.remove(&queue.queue.0));
    }

    fn publish(self: &Rc<Self>, queue: QueueAddress) {
        let number = self.published.get() + 1;
        self.published.set(number);
        let publisher = u64::from(self.shard.id.0) << 16 | self.key.0 & 0xffff;
        let body = publisher << 16 | number;
        let mut builder = Message::builder("", "q", &[0, 0], 8);
        builder.body(&body.to_le_bytes());
        self.open.borrow_mut().insert(number, (queue, body));
        note(&self.book, |book| {
            book.unconfirmed.insert(body);
            book.expected.entry(queue.queue.0).or_default().insert(body);
        });
        if queue.shard == self.shard.id {
            let (taken, _) = self.shard.publish_here(queue.queue, Cow::Owned(builder.build()));
            return self.clone().confirm(number, taken != Taken::Rejected);
        }
        let confirm = Some((self.address(), number));
        self.shard.command(queue, Command::Publish { message: builder.build(), confirm });
    }

    fn consume(&self, queue: QueueAddress) {
        let id = self.shard.next_consumer();
        let prefetch = dice(4) as u32;
        let spec = ConsumerSpec {
            id,
            no_ack: false,
            exclusive: false,
            prefetch,
            priority: 0,
            window_bytes: WINDOW,
            stream: None,
        };
        self.consumers.borrow_mut().insert(id.0, queue);
        if !matches!(self.ask_queue(queue, |ticket| Command::Consume { spec, ticket }), Reply::Done) {
            self.consumers.borrow_mut().remove(&id.0);
        }
    }

    fn cancel(&self) {
        let Some((id, queue)) = self.consumers.borrow().first_key_value().map(|(id, queue)| (*id, *queue)) else {
            return;
        };
        self.ask_queue(queue, |ticket| Command::Cancel { consumer: ConsumerId(id), ticket });
        self.consumers.borrow_mut().remove(&id);
    }

    fn get(&self, queue: QueueAddress) {
        if let Reply::Got(Some(got)) = self.ask_queue(queue, |ticket| Command::Get { no_ack: false, ticket }) {
            self.hold(queue, &got.delivery.parcel());
        }
    }

    fn hold(&self, queue: QueueAddress, delivery: &Parcel<'_>) -> u64 {
        let body = u64::from_le_bytes(delivery.message.body().try_into().expect("eight bytes were published"));
        self.held.borrow_mut().push(Held { queue, seq: delivery.seq, body });
        body
    }

    fn settle(&self, requeue: bool) {
        let count = self.held.borrow().len() as u64;
        if count == 0 {
            return;
        }
        let Held { queue, seq, body } = self.held.borrow_mut().swap_remove(dice(count) as usize);
        let seqs = Seqs::One(seq);
        if requeue {
            return self.shard.command(queue, Command::Requeue { seqs });
        }
        note(&self.book, |book| {
            let Some(expected) = book.expected.get_mut(&queue.queue.0) else { return };
            assert!(expected.remove(&body), "{body} is settled twice, or was never published");
        });
        self.shard.command(queue, Command::Settle { seqs, settlement: Settlement::Ack });
    }

    fn resume(&self) {
        for (consumer, queue) in self.paused.take() {
            self.shard.command(queue, Command::Resume { consumer });
        }
    }

    fn close(&self) {
        self.closed.set(true);
        let mut parts: BTreeMap<QueueAddress, (Vec<ConsumerId>, Vec<Seq>)> = BTreeMap::new();
        for (id, queue) in self.consumers.take() {
            parts.entry(queue).or_default().0.push(ConsumerId(id));
        }
        for Held { queue, seq, .. } in self.held.take() {
            parts.entry(queue).or_default().1.push(seq);
        }
        for (queue, (consumers, mut held)) in parts {
            held.sort_unstable();
            self.ask_queue(queue, |ticket| Command::Release { consumers, held, ticket });
        }
        runtime::sleep(Duration::from_millis(1)); // virtual: all mail arrives
        assert!(self.open.borrow().is_empty(), "publishes without an answer: {:?}", self.open.borrow());
        self.shard.remove_channel(self.key);
    }

    fn check_order(&self, consumer: ConsumerId, body: u64) {
        let (publisher, number) = (body >> 16, body & 0xffff);
        let last = self.seen.borrow_mut().insert((consumer.0, publisher), number);
        assert!(last.is_none_or(|last| last < number), "{number} of {publisher} after {last:?}");
    }
}

impl Subscriber for Actor {
    fn key(&self) -> ChannelKey {
        self.key
    }

    fn deliver(&self, queue: QueueAddress, consumer: ConsumerId, delivery: Parcel<'_>) {
        if self.manners == Manners::Deaf {
            return;
        }
        let decline = Command::Decline { consumer, seq: delivery.seq };
        if self.closed.get() || !self.consumers.borrow().contains_key(&consumer.0) {
            return self.shard.command(queue, decline);
        }
        let bytes = delivery_cost(delivery.message);
        if self.manners == Manners::Wild && dice(8) == 0 {
            self.shard.command(queue, decline);
            self.shard.command(queue, Command::Credit { consumer, bytes });
            return self.paused.borrow_mut().push((consumer, queue));
        }
        let body = self.hold(queue, &delivery);
        if self.manners == Manners::Orderly && !note(&self.book, |book| book.is_over) {
            self.check_order(consumer, body);
        }
        self.shard.command_next_turn(queue, Command::Credit { consumer, bytes });
    }

    fn deliver_reply(self: Rc<Self>, _: &Message) {}

    fn has_reply_address(&self, _: &str) -> bool {
        false
    }

    fn cancelled(self: Rc<Self>, consumer: ConsumerId) {
        self.consumers.borrow_mut().remove(&consumer.0);
    }

    fn reply(self: Rc<Self>, number: u64, reply: Reply) {
        assert_eq!(number, self.question.get(), "every question is answered once, in turn");
        assert!(self.answer.replace(Some(reply)).is_none());
        self.answered.set();
    }

    fn confirm(self: Rc<Self>, number: u64, accepted: bool) {
        let (_, body) = self.open.borrow_mut().remove(&number).expect("a publish is confirmed once");
        assert!(accepted, "no queue here has a limit");
        note(&self.book, |book| book.unconfirmed.remove(&body));
    }
}

/// Whoever is told that a queue is there can use it from everywhere.
fn assert_everywhere(name: &Name, id: QueueId) {
    for shard in runtime::shards() {
        let name = name.clone();
        let found = runtime::call(shard, move || {
            let shard = Shard::current();
            let topology = shard.topology.borrow();
            topology.vhost(VhostId(0)).ok().and_then(|host| host.queue(&name).map(|record| record.id))
        });
        assert_eq!(found.expect("the shard runs"), Some(id), "on {shard:?}");
    }
}

/// What a shard looks like from outside: its replica, and its own queues with the bodies that are ready.
type View = (BTreeSet<(u64, u16, String)>, BTreeMap<u64, BTreeSet<u64>>);

fn view() -> View {
    let shard = Shard::current();
    shard.assert_at_rest();
    let topology = shard.topology.borrow();
    let host = topology.vhost(VhostId(0)).expect("the default virtual host");
    let replica = host.queues().map(|record| (record.id.0, record.shard.0, record.name.to_string())).collect();
    (replica, shard.queues.ready_bodies())
}

fn run(seed: u64, shards: usize, manners: Manners) {
    let runtime = Runtime::builder().shards(shards).simulated(seed).build().expect("valid");
    let main = move || {
        let config = Config { shards, data_dir: PathBuf::new(), ..Config::default() };
        boot::start_shards(&Arc::new(config), &Arc::new(Recovered::one_vhost())).expect("the shards start");
        let book = Shared::with_an_empty_book();
        let actors: Vec<_> = (0..3).flat_map(|_| runtime::shards()).collect();
        let live = |shard| runtime::spawn(move || runtime::call(shard, move || Actor::open(manners, book).live()));
        let running: Vec<_> = actors.into_iter().map(live).collect();
        for actor in runtime::join_all(running) {
            actor.expect("the caller lives").unwrap_or_else(|error| panic!("seed {seed}, {shards} shards: {error}"));
        }
        runtime::sleep(Duration::from_secs(1)); // virtual: mail on its way arrives
        check(seed, &book);
        for shard in runtime::shards() {
            runtime::call(shard, Shard::uninstall).expect("the shard runs");
        }
    };
    runtime.run(main).expect("no deadlock");
}

fn check(seed: u64, book: &Shared) {
    let views: Vec<View> = runtime::shards().map(|shard| runtime::call(shard, view).expect("at rest")).collect();
    let mut expected = note(book, |book| {
        assert!(book.unconfirmed.is_empty(), "seed {seed}: publishes without an answer");
        std::mem::take(&mut book.expected)
    });
    let replica = &views[0].0;
    for (index, (other, ready)) in views.iter().enumerate() {
        assert_eq!(replica, other, "seed {seed}: replicas agree");
        let homes: BTreeSet<_> = ready.keys().copied().collect();
        let own = replica.iter().filter(|(_, shard, _)| usize::from(*shard) == index).map(|(id, ..)| *id).collect();
        assert_eq!(homes, own, "seed {seed}: the queues of shard {index}");
        for (queue, bodies) in ready {
            assert_eq!(*bodies, expected.remove(queue).unwrap_or_default(), "seed {seed}: queue {queue}");
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_or_left_behind() {
    for seed in 0..60 {
        run(seed, 1 + seed as usize % 4, Manners::Wild);
    }
}

#[test]
fn every_consumer_sees_each_publishers_messages_in_order() {
    for seed in 0..40 {
        run(seed, 1 + seed as usize % 4, Manners::Orderly);
    }
}

/// Runs on shard 0 of two.
fn on_two_shards(main: impl FnOnce(Shared) + Send + 'static) {
    let main = move || {
        let config = Config { shards: 2, data_dir: PathBuf::new(), ..Config::default() };
        boot::start_shards(&Arc::new(config), &Arc::new(Recovered::one_vhost())).expect("the shards start");
        main(Shared::with_an_empty_book());
        for shard in runtime::shards() {
            runtime::call(shard, Shard::uninstall).expect("the shard runs");
        }
    };
    Runtime::builder().shards(2).simulated(0).build().expect("valid").run(main).expect("no deadlock");
}

/// On the other shard; answers the queue's number.
fn declare_there(name: &'static str, book: &Shared) -> QueueId {
    let (book, there) = (*book, runtime::shards().nth(1).expect("two shards"));
    let declare = move || {
        let actor = Actor::open(Manners::Orderly, book);
        actor.declare(name);
        actor.close();
    };
    runtime::call(there, declare).expect("it is declared");
    let topology = Shard::current();
    let topology = topology.topology.borrow();
    topology.vhost(VhostId(0)).ok().and_then(|host| host.queue(name)).expect("declared above").id
}

/// A shard that had heard of a declaration published before the queue's own shard had: confirmed, and dropped.
#[test]
fn what_comes_before_the_declaration_waits_for_it() {
    on_two_shards(|book| {
        let actor = Actor::open(Manners::Orderly, book);
        let next = QueueId(declare_there("a", &book).0 + 1);
        actor.publish(QueueAddress { shard: ShardId(1), queue: next });
        runtime::sleep(Duration::from_millis(1)); // virtual
        assert_eq!(actor.open.borrow().len(), 1, "nobody has it yet");
        assert_eq!(declare_there("b", &book), next);
        runtime::sleep(Duration::from_millis(1)); // virtual
        actor.close();
        check(0, &book);
    });
}

/// The second of two who declare the same got its answer at once, before the other shards had heard of the first one's.
#[test]
fn who_declares_what_another_is_declaring_waits_as_long() {
    on_two_shards(|book| {
        let declare = |book: Shared| {
            runtime::spawn(move || {
                let actor = Actor::open(Manners::Orderly, book);
                actor.ask_to_declare("a");
                actor.shard.owner.assert_at_rest();
                actor.close();
            })
        };
        for declaring in [declare(book), declare(book)] {
            declaring.join().unwrap_or_else(|error| panic!("{error}"));
        }
    });
}

#[test]
fn made_up_reply_addresses_reach_nobody() {
    on_two_shards(|_| {
        for shard in [0, 1, 2, u16::MAX] {
            let to = ChannelAddress { shard: ShardId(shard), key: ChannelKey(u64::MAX) };
            Shard::current().deliver_reply(to, &Message::builder("", "q", &[0, 0], 0).build());
        }
        runtime::sleep(Duration::from_millis(1)); // virtual
    });
}
