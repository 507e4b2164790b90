//! A backlog that is many times longer than what a queue keeps in memory, so that most of it lies in segments, survives kills: counted
//! exactly without being read, drained in order, every byte of it.

use harness::Broker;
use leveret_client::{BasicProperties, Channel, ConsumeOptions, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;

use crate::load::connect;

/// Messages of 32 KiB: 156 MiB, against windows of 8 MiB and a log of 128 MiB.
const MESSAGES: u64 = 5_000;
const BODY_SIZE: usize = 32 * 1024;

/// Settled before the second kill.
const SETTLED: u64 = 1_500;

/// Delivered at the same time.
const PREFETCH: u16 = 300;

const QUEUE: &str = "backlog";

#[test]
fn a_long_backlog_survives_kills() {
    runtime::run(|| {
        let mut broker = Broker::start_ours(2);
        fill(&broker);
        broker.kill();
        broker = broker.restarted(1);
        settle_some(&broker);
        broker.kill();
        broker = broker.restarted(2);
        let _log = broker.log_on_failure();
        drain(&broker);
    })
    .expect("somebody can always run");
}

/// Memory that the broker may use for [`MESSAGES`] that nobody keeps but itself.
const MEMORY_LIMIT: &str = "vm_memory_high_watermark.absolute=96MB";

/// What cannot go to the store goes to scratch files: publishers are not held up, and everything comes back in order.
#[test]
fn a_transient_backlog_is_longer_than_memory() {
    runtime::run(|| {
        let broker = Broker::start_ours_with(1, &[MEMORY_LIMIT]);
        let _log = broker.log_on_failure();
        publish(&broker, false);
        drain(&broker);
    })
    .expect("somebody can always run");
}

fn fill(broker: &Broker) {
    publish(broker, true);
}

fn publish(broker: &Broker, persistent: bool) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    let durable = QueueOptions { durable: true, ..QueueOptions::default() };
    channel.queue_declare(QUEUE, &durable).expect("a queue");
    channel.confirm_select().expect("the mode");
    let delivery_mode = persistent.then_some(PERSISTENT);
    let properties = BasicProperties { delivery_mode, ..BasicProperties::default() }.encode();
    for number in 0..MESSAGES {
        channel.wait_for_confirms_below(200).expect("the broker lives");
        channel.publish("", QUEUE, &properties, &body(number)).expect("open");
    }
    channel.wait_for_confirms_below(1).expect("confirmed");
    assert_eq!(count(&channel), MESSAGES);
}

fn settle_some(broker: &Broker) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    assert_eq!(count(&channel), MESSAGES);
    let got = channel.get(QUEUE, false).expect("open").expect("there are many");
    assert!(got.message.body() == body(0) && got.redelivered, "a crash leaves it in doubt what was delivered");
    channel.nack(got.delivery_tag, false, true).expect("open");
    channel.qos(PREFETCH, false).expect("open");
    let mut consumer = channel.consume(QUEUE, &ConsumeOptions::default()).expect("a consumer");
    for number in 0..SETTLED {
        let delivery = consumer.next().expect("there are more").expect("open");
        assert!(delivery.message().body() == body(number), "{number} is not the one that was published");
        delivery.ack().expect("open");
    }
    // The answer comes when the broker has seen every acknowledgement.
    consumer.cancel().expect("open");
}

fn drain(broker: &Broker) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    let left = count(&channel);
    assert!((MESSAGES - SETTLED..=MESSAGES).contains(&left), "{left} are left");
    let no_ack = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    let mut consumer = channel.consume(QUEUE, &no_ack).expect("a consumer");
    for number in MESSAGES - left..MESSAGES {
        let delivery = consumer.next().expect("as many as were counted").expect("open");
        assert!(delivery.message().body() == body(number), "{number} is not the one that was published");
    }
    consumer.cancel().expect("open");
    assert_eq!(count(&channel), 0);
    assert!(channel.get(QUEUE, true).expect("open").is_none());
}

fn count(channel: &Channel) -> u64 {
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    u64::from(channel.queue_declare(QUEUE, &passive).expect("the queue is there").message_count)
}

/// Its number, and what follows from it.
fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(BODY_SIZE, number.wrapping_mul(31) as u8);
    body
}
