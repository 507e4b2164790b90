//! The model's hot paths, to be measured from outside: nothing but the runtime reads the clock.
//!
//! Run with a part of a path's name and a number of rounds, this does that path over and over, 10,000 operations a
//! round:
//!
//! ```text
//!   cargo bench -p leveret-core --no-run      # prints where the program is
//!   time <program> 'get it out' 1000       # user seconds for 10,000,000 operations
//! ```
//!
//! Without arguments it does each path once and prints their names. The aim is to see a path that became twice as slow,
//! and to know the model's share of a message's budget (0.35 us of CPU for a small one, in the whole broker).

use std::hint::black_box;
use std::sync::Arc;

use leveret_core::confirms::Confirms;
use leveret_core::ledger::{Ledger, Unsettled};
use leveret_core::message::Message;
use leveret_core::queue::{ConsumerSpec, Effect, Get, Queue, Settlement, delivery_cost};
use leveret_core::topology::{
    Bind, BindingEnd, Declared, ExchangeDeclare, Publish, QueueDeclare, QueueRecord, Router, Topology, TopologyChange,
};
use leveret_core::value::Arguments;
use leveret_core::{ConnectionId, ConsumerId, QueueId, Seq, ShardId, Time, VhostId};

const MESSAGES: u64 = 10_000;
const VHOST: VhostId = VhostId(0);
const ME: ConnectionId = ConnectionId(1);
const BODY: &[u8] = b"sixteen bytes!!!";

fn main() {
    messages();
    queues();
    channels();
    routes();
    bindings();
}

/// Does a path as often as the command line says.
fn measure(name: &str, count: u64, mut work: impl FnMut()) {
    // Cargo adds options of its own.
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let wanted = words.next().unwrap_or_default();
    let rounds: u64 = words.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    if name.contains(&wanted) {
        (0..rounds).for_each(|_| work());
        println!("{:>12} times: {name}", rounds * count);
    }
}

fn message() -> Arc<Message> {
    let mut message = Message::builder("", "queue", b"\x90\x00\x02", BODY.len());
    message.body(BODY).persistent(true);
    message.build()
}

fn messages() {
    measure("build and drop a message", MESSAGES, || {
        for _ in 0..MESSAGES {
            black_box(message());
        }
    });
}

fn spec(id: u64) -> ConsumerSpec {
    ConsumerSpec {
        id: ConsumerId(id),
        no_ack: false,
        exclusive: false,
        prefetch: 0,
        priority: 0,
        window_bytes: 1 << 40,
        stream: None,
    }
}

fn queue(arguments: Arguments) -> Queue {
    let (_, record) = one_queue(arguments);
    Queue::new(&"/".into(), &record, Time(0))
}

fn one_queue(arguments: Arguments) -> (Topology, Arc<QueueRecord>) {
    let mut topology = Topology::new();
    let added = topology.add_vhost("/");
    apply(&mut topology, added);
    let record = declare_queue(&mut topology, "queue", arguments);
    (topology, record)
}

fn apply(topology: &mut Topology, change: Option<TopologyChange>) {
    topology.apply(&change.expect("something changes"));
}

fn declare_queue(topology: &mut Topology, name: &str, arguments: Arguments) -> Arc<QueueRecord> {
    let declare = QueueDeclare {
        vhost: VHOST,
        name,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments,
        connection: ME,
        shard: ShardId(0),
        random: [0; 16],
    };
    let Ok(Declared::New(record, change)) = topology.declare_queue(&declare) else { panic!("valid and new") };
    topology.apply(&change);
    record
}

fn queues() {
    let shared = message();
    for (name, consumers, no_ack, prefetch) in [
        ("publish, deliver without acks, one consumer", 1, true, 0),
        ("publish, deliver, ack, one consumer", 1, false, 0),
        ("publish, deliver, ack, one consumer with prefetch", 1, false, 100),
        ("publish, deliver, ack, 100 consumers", 100, false, 10),
    ] {
        let mut queue = queue(Arguments::new());
        let mut effects = Vec::new();
        for id in 0..consumers {
            queue.consume(ConsumerSpec { no_ack, prefetch, ..spec(id) }, Time(0), &mut effects).expect("admitted");
        }
        measure(name, MESSAGES, || publish_deliver_ack(&mut queue, &shared, no_ack, &mut effects));
    }
    let mut queue = queue(Arguments::new());
    measure("publish into a backlog and get it out later", MESSAGES, || {
        let mut effects = Vec::new();
        for _ in 0..MESSAGES {
            queue.publish(shared.clone(), Time(0), &mut effects);
        }
        while let Ok(Get::Message(got)) = queue.get(true, Time(0), &mut effects) {
            black_box(&got);
            effects.clear();
        }
    });
}

/// Acks come in order, 50 messages behind.
fn publish_deliver_ack(queue: &mut Queue, message: &Arc<Message>, no_ack: bool, effects: &mut Vec<Effect>) {
    let mut unsettled = std::collections::VecDeque::new();
    let cost = delivery_cost(message);
    for _ in 0..MESSAGES {
        queue.publish(message.clone(), Time(0), effects);
        let mut credits = [None; 2];
        for (effect, credit) in effects.drain(..).zip(&mut credits) {
            if let Effect::Deliver(delivery) = black_box(effect) {
                *credit = delivery.consumer;
                unsettled.extend((!no_ack).then_some(delivery.seq));
            }
        }
        for consumer in credits.into_iter().flatten() {
            queue.credit(consumer, cost, Time(0), effects);
        }
        if unsettled.len() > 50 {
            let seq = unsettled.pop_front().expect("not empty");
            queue.settle(seq, Settlement::Ack, Time(0), effects);
        }
    }
    for seq in unsettled {
        queue.settle(seq, Settlement::Ack, Time(0), effects);
    }
    effects.clear();
}

fn channels() {
    let delivery = Unsettled { queue: QueueId(1), shard: ShardId(0), seq: Seq(1), consumer: Some(ConsumerId(1)) };
    let (mut ledger, mut out) = (Ledger::new(), Vec::new());
    measure("ledger: deliver, settle in order", MESSAGES, || {
        for _ in 0..MESSAGES {
            let tag = ledger.deliver(delivery);
            ledger.settle(tag, false, &mut out).expect("outstanding");
            out.clear();
        }
    });
    let (mut confirms, mut frames) = (Confirms::new(), Vec::new());
    measure("confirms: number, confirm, take in batches of 64", MESSAGES, || {
        for index in 0..MESSAGES {
            let number = confirms.next(1);
            confirms.confirmed(number);
            if index % 64 == 0 {
                confirms.take(&mut frames);
                frames.clear();
            }
        }
    });
}

fn declare_exchange(topology: &mut Topology, name: &str, kind: &str) {
    let declare = ExchangeDeclare {
        vhost: VHOST,
        name,
        kind,
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Arguments::new(),
    };
    let Ok(Declared::New(_, change)) = topology.declare_exchange(&declare) else { panic!("valid and new") };
    topology.apply(&change);
}

fn bind(topology: &mut Topology, source: &str, key: &str, queue: &str) {
    let destination = BindingEnd::Queue(queue.into());
    let bind = Bind { vhost: VHOST, source, destination, key, arguments: Arguments::new(), connection: ME };
    let change = topology.bind(&bind).expect("valid");
    apply(topology, change);
}

fn routes() {
    let (mut topology, _) = one_queue(Arguments::new());
    declare_exchange(&mut topology, "orders", "topic");
    for index in 0..10 {
        declare_queue(&mut topology, &format!("q{index}"), Arguments::new());
        bind(&mut topology, "amq.fanout", "", &format!("q{index}"));
    }
    bind(&mut topology, "amq.direct", "key", "queue");
    bind(&mut topology, "orders", "order.*.created", "queue");
    let mut router = Router::default();
    route(&mut router, &topology, "default exchange", "", "queue", 1);
    route(&mut router, &topology, "direct exchange", "amq.direct", "key", 1);
    route(&mut router, &topology, "fanout to 10 queues", "amq.fanout", "", 10);
    route(&mut router, &topology, "topic, one binding", "orders", "order.eu.created", 1);
    for index in 0..10_000 {
        bind(&mut topology, "orders", &format!("order.{index}.#"), &format!("q{}", index % 10));
        bind(&mut topology, "orders", &format!("*.{index}.created"), &format!("q{}", index % 10));
    }
    route(&mut router, &topology, "topic, 20,001 bindings", "orders", "order.4711.created", 2);
}

fn route(router: &mut Router, topology: &Topology, name: &str, exchange: &str, key: &str, expected: usize) {
    let publish = Publish { exchange, routing_key: key, ..Publish::default() };
    measure(&format!("check and route: {name}"), MESSAGES, || {
        for _ in 0..MESSAGES {
            let point = topology.publish_point_for_client(VHOST, black_box(exchange)).expect("there");
            black_box(point.needs_headers());
            let found = router.route_from(point, black_box(&publish));
            assert_eq!(found.len(), expected);
        }
    });
}

fn bindings() {
    const COUNT: u64 = 10_000;
    let keys: Vec<_> = (0..COUNT).map(|index| format!("order.{index}.*.created")).collect();
    measure("check and apply a topic binding, 10,000 to one queue", COUNT, || {
        let (mut topology, _) = one_queue(Arguments::new());
        keys.iter().for_each(|key| bind(&mut topology, "amq.topic", key, "queue"));
        black_box(topology);
    });
}
