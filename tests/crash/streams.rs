//! Streams that are many times longer than what is in memory of them: kills lose nothing, offsets and times stay, several readers
//! read from several places, one that is stuck holds nobody up, and memory stays where it is.

use std::time::{SystemTime, UNIX_EPOCH};

use harness::Broker;
use leveret_client::{BasicProperties, Channel, Connection, ConsumeOptions, Consumer, FieldValue, QueueOptions, Table};
use leveret_runtime as runtime;

use crate::load::connect;
use crate::observed::Observed;

/// Messages of 32 KiB: 156 MiB, against windows of 8 MiB and a log of 128 MiB.
const MESSAGES: u64 = 5_000;
const BODY_SIZE: usize = 32 * 1024;

/// Bytes of memory that the broker may have at most; its program and its buffers included.
const RESIDENT_MAX: u64 = 110 * 1024 * 1024;

const STREAM: &str = "long";
const SHORT: &str = "short";

#[test]
fn a_long_stream_survives_kills() {
    runtime::run(|| {
        let mut broker = Broker::start_ours(2);
        declare(&broker, STREAM, &[]);
        let half = MESSAGES / 2;
        publish(&broker, STREAM, 0..half);
        let until_then = seconds_now();
        runtime::sleep(std::time::Duration::from_secs(2));
        publish(&broker, STREAM, half..MESSAGES);
        check_memory(&broker);
        broker.kill();
        broker = broker.restarted(1);
        let log = broker.log_on_failure();
        check_memory(&broker);
        let connection = connect(broker.address()).expect("a connection");
        let stuck = reader(&connection, STREAM, FieldValue::from("first"), 1);
        let readers = [("first", 0), ("last", MESSAGES - 1)].map(|(word, first)| (FieldValue::from(word), first));
        let offset = (FieldValue::from(1_234i64), 1_234);
        let time = (FieldValue::Timestamp(until_then + 1), half);
        let reading: Vec<_> = readers
            .into_iter()
            .chain([offset, time])
            .map(|(place, first)| {
                let consumer = reader(&connection, STREAM, place, 300);
                runtime::spawn(move || expect(consumer, first..MESSAGES))
            })
            .collect();
        reading.into_iter().for_each(|reader| reader.join().expect("it reads all"));
        check_memory(&broker);
        drop((stuck, log));
        // Nothing of it is settled: it is all there again, and numbers go on.
        publish(&broker, STREAM, MESSAGES..MESSAGES + 1);
        broker.kill();
        broker = broker.restarted(2);
        let _log = broker.log_on_failure();
        let connection = connect(broker.address()).expect("a connection");
        expect(reader(&connection, STREAM, FieldValue::from("first"), 300), 0..MESSAGES + 1);
    })
    .expect("somebody can always run");
}

/// Retention goes on where it was before the kill, although nothing of the stream is in memory.
#[test]
fn retention_goes_on_after_a_kill() {
    const KEPT: u64 = 1_000;
    runtime::run(|| {
        let mut broker = Broker::start_ours(1);
        declare(&broker, SHORT, &[("x-max-length-bytes", FieldValue::from((KEPT * BODY_SIZE as u64) as i64))]);
        publish(&broker, SHORT, 0..2 * KEPT);
        let before = count(&broker);
        broker.kill();
        broker = broker.restarted(2);
        let _log = broker.log_on_failure();
        assert_eq!(count(&broker), before);
        publish(&broker, SHORT, 2 * KEPT..3 * KEPT);
        // Retention may wait for a page.
        let connection = connect(broker.address()).expect("a connection");
        let left = loop {
            let left = count(&broker);
            if left <= KEPT {
                break left;
            }
            publish(&broker, SHORT, 3 * KEPT..3 * KEPT);
            runtime::sleep(std::time::Duration::from_millis(20));
        };
        assert!(left > KEPT * 6 / 8, "{left} are left: an eighth goes at a time");
        expect(reader(&connection, SHORT, FieldValue::from("first"), 300), 3 * KEPT - left..3 * KEPT);
    })
    .expect("somebody can always run");
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn declare(broker: &Broker, stream: &str, limits: &[(&str, FieldValue)]) {
    let channel = channel(broker).1;
    let mut arguments = Table::new();
    arguments.push("x-queue-type", FieldValue::from("stream"));
    limits.iter().for_each(|(name, value)| arguments.push(*name, value.clone()));
    let options = QueueOptions { durable: true, arguments, ..QueueOptions::default() };
    channel.queue_declare(stream, &options).expect("a stream");
}

fn channel(broker: &Broker) -> (Connection, Channel) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    (connection, channel)
}

/// All transient: a stream keeps them all the same.
fn publish(broker: &Broker, stream: &str, numbers: std::ops::Range<u64>) {
    let (_connection, channel) = channel(broker);
    channel.confirm_select().expect("the mode");
    let properties = BasicProperties::default().encode();
    for number in numbers {
        channel.wait_for_confirms_below(200).expect("the broker lives");
        channel.publish("", stream, &properties, &body(number)).expect("open");
    }
    channel.wait_for_confirms_below(1).expect("confirmed");
}

fn reader(connection: &Connection, stream: &str, place: FieldValue, prefetch: u16) -> (Channel, Consumer) {
    let channel = connection.open_channel().expect("a channel");
    channel.qos(prefetch, false).expect("open");
    let mut arguments = Table::new();
    arguments.push("x-stream-offset", place);
    let consumer = channel.consume(stream, &ConsumeOptions { arguments, ..ConsumeOptions::default() });
    (channel, consumer.expect("a consumer"))
}

fn count(broker: &Broker) -> u64 {
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    u64::from(channel(broker).1.queue_declare(SHORT, &passive).expect("the stream is there").message_count)
}

/// Takes these, each with its offset.
fn expect((_channel, mut consumer): (Channel, Consumer), numbers: std::ops::Range<u64>) {
    for number in numbers {
        let delivery = consumer.next().expect("there are more").expect("open");
        assert!(delivery.message().body() == body(number), "{number} is not the one that was published");
        let properties = delivery.message().properties();
        let headers = properties.headers().expect("streams say offsets");
        let offset = headers.find("x-stream-offset").and_then(|value| value.decode().as_integer());
        assert_eq!(offset, Some(number as i64));
        delivery.ack().expect("open");
    }
}

fn check_memory(broker: &Broker) {
    let bytes = Observed::new(broker).memory();
    assert!(bytes < RESIDENT_MAX, "the broker takes {bytes} bytes");
}

/// Its number, and what follows from it.
fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(BODY_SIZE, number.wrapping_mul(31) as u8);
    body
}
