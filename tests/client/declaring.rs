//! Queues, exchanges, bindings, and a server that says no.

use harness::unique;
use leveret_client::{Error, ExchangeOptions, Properties, QueueOptions, Table};

use crate::{World, refusal};

crate::scenarios! { queues_are_counted_and_purged, the_server_names_queues, bindings_come_and_go, refusals_close_the_channel_only,
what_cannot_be_sent_is_refused_here, arguments_reach_the_server }

fn queues_are_counted_and_purged(world: &World) {
    let (channel, queue) = world.queue();
    for body in ["a", "b", "c"] {
        channel.publish("", &queue, &Properties::default(), body.as_bytes()).expect("an open channel");
    }
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    let info = channel.queue_declare(&queue, &passive).expect("it is there");
    assert_eq!((&*info.name, info.message_count, info.consumer_count), (&*queue, 3, 0));
    assert_eq!(channel.queue_purge(&queue), Ok(3));
    channel.publish("", &queue, &Properties::default(), b"d").expect("an open channel");
    assert_eq!(channel.queue_delete(&queue, false, false), Ok(1));
    assert_eq!(channel.queue_delete(&queue, false, false), Ok(0));
}

fn the_server_names_queues(world: &World) {
    let channel = world.channel();
    let exclusive = QueueOptions { exclusive: true, ..QueueOptions::default() };
    let names = [0; 2].map(|_| channel.queue_declare("", &exclusive).expect("a queue").name);
    assert!(names.iter().all(|name| name.starts_with("amq.gen-")), "{names:?}");
    assert_ne!(names[0], names[1]);
}

fn bindings_come_and_go(world: &World) {
    let (channel, queue) = world.queue();
    let (source, destination) = (unique("source"), unique("destination"));
    let gone_at_the_end = ExchangeOptions { auto_delete: true, ..ExchangeOptions::default() };
    channel.exchange_declare(&source, "topic", &gone_at_the_end).expect("an exchange");
    channel.exchange_declare(&destination, "fanout", &gone_at_the_end).expect("an exchange");
    channel.exchange_bind(&destination, &source, "a.#", &Table::new()).expect("a binding");
    channel.queue_bind(&queue, &destination, "", &Table::new()).expect("a binding");
    let count = |key: &str| {
        channel.publish(&source, key, &Properties::default(), b"m").expect("an open channel");
        channel.queue_purge(&queue).expect("it is there")
    };
    assert_eq!((count("a.b"), count("b.a")), (1, 0));
    channel.exchange_unbind(&destination, &source, "a.#", &Table::new()).expect("it was bound");
    channel.queue_unbind(&queue, &destination, "", &Table::new()).expect("it was bound");
    channel.exchange_delete(&source, false).expect("it may be gone by itself");
}

fn refusals_close_the_channel_only(world: &World) {
    let channel = world.channel();
    let name = unique("missing");
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    let expected = (404, format!("NOT_FOUND - no queue '{name}' in vhost '/'"));
    assert_eq!(refusal(channel.queue_declare(&name, &passive)), expected);
    assert_eq!(refusal(channel.qos(1, false)), expected);
    assert_eq!(channel.failure().and_then(|error| error.reply_code()), Some(404));
    let number = channel.number();
    drop(channel);
    let (next, queue) = world.queue();
    assert_eq!(next.number(), number);
    let other = QueueOptions { exclusive: true, auto_delete: true, ..QueueOptions::default() };
    assert_eq!(refusal(next.queue_declare(&queue, &other)).0, 406);
}

fn what_cannot_be_sent_is_refused_here(world: &World) {
    let (channel, queue) = world.queue();
    let long = "x".repeat(256);
    let too_long = Error::NameTooLong { size: 256 };
    assert_eq!(channel.queue_declare(&long, &QueueOptions::default()), Err(too_long.clone()));
    assert_eq!(channel.publish("", &long, &Properties::default(), b""), Err(too_long));
    assert_eq!(channel.queue_purge(&queue), Ok(0));
}

fn arguments_reach_the_server(world: &World) {
    let channel = world.channel();
    let arguments = Table::new().with("x-max-length", 2).with("x-overflow", "reject-publish");
    let options = QueueOptions { exclusive: true, arguments, ..QueueOptions::default() };
    let queue = channel.queue_declare(&unique("short"), &options).expect("a queue").name;
    channel.confirm_select().expect("confirms");
    for _ in 0..3 {
        channel.publish("", &queue, &Properties::default(), b"m").expect("an open channel");
    }
    let nacked = channel.wait_for_confirms().expect("confirms");
    assert_eq!(nacked.iter().map(|number| **number).collect::<Vec<_>>(), [3]);
}
