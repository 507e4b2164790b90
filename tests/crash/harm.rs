//! The disk harms files of a broker, stopped or running: the messages that it hits are dropped and counted, every other one of the
//! backlog arrives, in order, and no wrong byte does.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use harness::Broker;
use leveret_client::{BasicProperties, Channel, ConsumeOptions, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;

use crate::load::connect;

const QUEUE: &str = "harmed";

/// Messages of 16 KiB: 156 MiB, most of it in segments.
const MESSAGES: u64 = 10_000;
const BODY_SIZE: usize = 16 * 1024;

/// A message that is hit, as seen from the front of the queue: far behind what is in memory. The first ones while the broker is
/// stopped, the others while it runs.
const STOPPED: [u64; 3] = [700, 701, 1_500];
const RUNNING: [u64; 2] = [900, 1_600];

#[test]
fn harm_to_the_disk_costs_what_it_hits() {
    runtime::run(|| {
        let mut broker = Broker::start_ours(2);
        publish(&broker);
        broker = runtime::offload(move || {
            broker.terminate();
            assert!(broker.await_end().success());
            broker
        });
        STOPPED.into_iter().for_each(|number| flip_bit(&broker, number));
        broker = broker.restarted(2);
        let _log = broker.log_on_failure();
        RUNNING.into_iter().for_each(|number| flip_bit(&broker, number));
        drain(&broker);
        let lost = STOPPED.len() + RUNNING.len();
        broker.logged("`leveret store check`").expect("says where, and what to do");
        assert_eq!(metric(&broker, "leveret_messages_lost_total"), lost.to_string());
    })
    .expect("somebody can always run");
}

fn publish(broker: &Broker) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    let durable = QueueOptions { durable: true, ..QueueOptions::default() };
    channel.queue_declare(QUEUE, &durable).expect("a queue");
    channel.confirm_select().expect("the mode");
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for number in 0..MESSAGES {
        channel.wait_for_confirms_below(200).expect("the broker lives");
        channel.publish("", QUEUE, &properties, &body(number)).expect("open");
    }
    channel.wait_for_confirms_below(1).expect("confirmed");
}

/// Its number many times, so that it is known wherever it is hit.
fn body(number: u64) -> Vec<u8> {
    (number | 0xA5A5 << 48).to_le_bytes().repeat(BODY_SIZE / 8)
}

/// Flips a bit in the middle of a message's body, in the segment that it lies in.
fn flip_bit(broker: &Broker, number: u64) {
    let wanted = &body(number)[..32];
    let segments: Vec<PathBuf> = std::fs::read_dir(broker.data_dir().join("messages/segments"))
        .expect("there are some")
        .map(|entry| entry.expect("listed").path())
        .collect();
    for path in segments {
        let bytes = std::fs::read(&path).expect("readable");
        let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) else { continue };
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("there");
        let at = at + BODY_SIZE / 2;
        file.write_all_at(&[bytes[at] ^ 0x10], at as u64).expect("written");
        return;
    }
    panic!("message {number} lies in no segment");
}

fn drain(broker: &Broker) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    assert_eq!(count(&channel), MESSAGES, "nobody has looked yet");
    let no_ack = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    let mut consumer = channel.consume(QUEUE, &no_ack).expect("a consumer");
    for number in (0..MESSAGES).filter(|number| !STOPPED.contains(number) && !RUNNING.contains(number)) {
        let delivery = consumer.next().expect("all but the harmed ones").expect("open");
        assert!(delivery.message().body() == body(number), "{number} is not the one that was published");
    }
    consumer.cancel().expect("open");
    assert!(channel.get(QUEUE, true).expect("open").is_none());
    assert_eq!(count(&channel), 0, "the harmed ones do not count any more");
}

fn count(channel: &Channel) -> u64 {
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    u64::from(channel.queue_declare(QUEUE, &passive).expect("the queue is there").message_count)
}

fn metric(broker: &Broker, name: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = runtime::net::TcpStream::connect(broker.prometheus()).expect("listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let line = answer.lines().find_map(|line| line.strip_prefix(name)).expect("it is among them");
    line.trim().to_owned()
}
