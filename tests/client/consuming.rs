//! Deliveries, settling, cancelling from both sides, get.

use std::time::Duration;

use harness::patience;
use leveret_client::{Channel, ConsumeOptions, Consumer, Delivery, Error, Properties};

use crate::{World, refusal};

crate::scenarios! { deliveries_come_in_order, settling, prefetch_limits, cancelled_consumers_finish_what_came,
a_dropped_consumer_gives_back, the_server_cancels, a_closed_channel_ends_its_consumers, gets, more_than_the_reader_likes_to_hold,
two_consumers_of_one_channel }

const AT_ONCE: Duration = Duration::ZERO;

fn publish(channel: &Channel, queue: &str, bodies: impl IntoIterator<Item = u32>) {
    for body in bodies {
        channel.publish("", queue, &Properties::default(), body.to_string().as_bytes()).expect("an open channel");
    }
}

fn body(delivery: &Delivery) -> u32 {
    std::str::from_utf8(delivery.body()).ok().and_then(|text| text.parse().ok()).expect("a number")
}

fn next(consumer: &mut Consumer) -> Delivery {
    consumer.next_timeout(patience()).expect("an open channel").expect("a delivery in time")
}

fn consume(channel: &Channel, queue: &str) -> Consumer {
    channel.consume(queue, &ConsumeOptions::default()).expect("a consumer")
}

fn deliveries_come_in_order(world: &World) {
    let (channel, queue) = world.queue();
    publish(&channel, &queue, 0..1000);
    for (expected, delivery) in (0..1000).zip(consume(&channel, &queue)) {
        let delivery = delivery.expect("an open channel");
        assert_eq!((body(&delivery), delivery.redelivered()), (expected, false));
        assert_eq!(delivery.delivery_tag(), u64::from(expected) + 1);
        delivery.ack().expect("an open channel");
    }
}

fn settling(world: &World) {
    let (channel, queue) = world.queue();
    channel.qos(3, false).expect("an open channel");
    publish(&channel, &queue, 0..5);
    let mut consumer = consume(&channel, &queue);
    let [a, b, c] = [0; 3].map(|_| next(&mut consumer));
    b.nack(true).expect("an open channel");
    let again = next(&mut consumer);
    assert_eq!((body(&again), again.redelivered()), (1, true));
    again.reject(false).expect("an open channel");
    let d = next(&mut consumer);
    assert_eq!([&a, &c, &d].map(body), [0, 2, 3]);
    d.ack_multiple().expect("an open channel");
    next(&mut consumer).ack().expect("an open channel");
    consumer.cancel().expect("an open channel");
    assert_eq!(channel.queue_delete(&queue, false, false), Ok(0));
}

fn prefetch_limits(world: &World) {
    let (channel, queue) = world.queue();
    channel.qos(2, false).expect("an open channel");
    publish(&channel, &queue, 0..3);
    let mut consumer = consume(&channel, &queue);
    let (a, b) = (next(&mut consumer), next(&mut consumer));
    channel.recover().expect("an open channel"); // whatever was sent before its answer has come
    let again = [0; 2].map(|_| next(&mut consumer));
    assert!(again.iter().all(Delivery::redelivered));
    assert!(consumer.next_timeout(AT_ONCE).expect("an open channel").is_none());
    drop((a, b));
    for delivery in again {
        delivery.ack().expect("an open channel");
    }
    assert_eq!(body(&next(&mut consumer)), 2);
}

fn cancelled_consumers_finish_what_came(world: &World) {
    let (channel, queue) = world.queue();
    publish(&channel, &queue, 0..3);
    let mut consumer = consume(&channel, &queue);
    let first = next(&mut consumer);
    consumer.cancel().expect("an open channel");
    consumer.cancel().expect("nothing happens");
    publish(&channel, &queue, 3..4);
    let rest: Vec<u32> = consumer.map(|delivery| body(&delivery.expect("an open channel"))).collect();
    assert_eq!((body(&first), rest), (0, vec![1, 2]));
}

fn a_dropped_consumer_gives_back(world: &World) {
    let (channel, queue) = world.queue();
    publish(&channel, &queue, 0..100);
    let mut consumer = consume(&channel, &queue);
    next(&mut consumer).ack().expect("an open channel");
    drop(consumer);
    let rest: Vec<u32> = consume(&channel, &queue).take(99).map(|delivery| body(&delivery.expect("open"))).collect();
    assert!(rest.into_iter().eq(1..100));
}

fn the_server_cancels(world: &World) {
    let (channel, queue) = world.queue();
    let mut consumer = consume(&channel, &queue);
    channel.queue_delete(&queue, false, false).expect("it is ours");
    assert_eq!(consumer.next().map(|item| item.err()), Some(Some(Error::Cancelled)));
    assert!(consumer.next().is_none());
    channel.qos(1, false).expect("the channel lives on");
}

fn a_closed_channel_ends_its_consumers(world: &World) {
    let (channel, queue) = world.queue();
    let mut consumer = consume(&channel, &queue);
    assert_eq!(refusal(channel.consume("no such queue", &ConsumeOptions::default())).0, 404);
    assert_eq!(consumer.next().and_then(|item| item.err()).and_then(|error| error.reply_code()), Some(404));
    assert!(consumer.next().is_none());
    let other = world.channel();
    let ended = consume(&other, &queue);
    other.close().expect("it is open");
    assert_eq!(ended.count(), 0);
}

fn gets(world: &World) {
    let (channel, queue) = world.queue();
    assert_eq!(channel.get(&queue, false), Ok(None));
    publish(&channel, &queue, 7..9);
    let got = channel.get(&queue, false).expect("it is there").expect("a message");
    assert_eq!((got.message.body(), got.redelivered, got.message_count), (&b"7"[..], false, 1));
    channel.nack(got.delivery_tag, false, true).expect("an open channel");
    let again = channel.get(&queue, false).expect("it is there").expect("a message");
    assert_eq!((again.message.body(), again.redelivered), (&b"7"[..], true));
    channel.ack(again.delivery_tag, false).expect("an open channel");
    assert_eq!(channel.queue_purge(&queue), Ok(1));
}

/// The reader pauses while 64 MiB wait; whoever asks something meanwhile gets an answer all the same.
fn more_than_the_reader_likes_to_hold(world: &World) {
    const COUNT: usize = 100;
    let (channel, queue) = world.queue();
    let megabyte = vec![7; 1024 * 1024];
    let no_ack = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    let mut consumer = channel.consume(&queue, &no_ack).expect("a consumer");
    let publisher = world.channel();
    publisher.confirm_select().expect("confirms");
    for _ in 0..COUNT {
        publisher.publish("", &queue, &Properties::default(), &megabyte).expect("an open channel");
    }
    publisher.wait_for_confirms().expect("confirms");
    channel.qos(1, false).expect("an answer past all deliveries");
    assert!((0..COUNT).all(|_| next(&mut consumer).body() == megabyte));
}

fn two_consumers_of_one_channel(world: &World) {
    let (channel, queue) = world.queue();
    let (mut a, mut b) = (consume(&channel, &queue), consume(&channel, &queue));
    assert_ne!(a.tag(), b.tag());
    publish(&channel, &queue, 0..2);
    let (first, second) = (next(&mut a), next(&mut b));
    assert_eq!([&first, &second].map(body), [0, 1]);
    assert_eq!((first.consumer_tag(), second.consumer_tag()), (a.tag(), b.tag()));
}
