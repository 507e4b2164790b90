//! A full disk: publishers are told to wait, consumers drain, and when there is room again work goes on, without a restart and
//! without a loss.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_runtime::{Runtime, sim, sleep, spawn};
use leveret_store::{Attributes, Event, Options, QueueKey, ReadLimits, Reference, Seq, SeqRange, Store, Writer};

const QUEUE: QueueKey = QueueKey(1);
const ALL: SeqRange = SeqRange { first: Seq(0), last: Seq::MAX };
/// Room for the log files and some twenty segments.
const CAPACITY: u64 = 250 * 1024;

/// As the broker has publishers wait, only smaller.
const IN_FLIGHT_MAX: u64 = 4 * 1024;

const SEEDS: u64 = 20;

/// Counts what the store says.
#[derive(Default)]
struct Heard {
    blocked: AtomicU64,
    unblocked: AtomicU64,
    failed: AtomicU64,
}

fn options(heard: &Arc<Heard>) -> Options {
    let heard = heard.clone();
    let on_event = Arc::new(move |event| {
        let counter = match event {
            Event::Blocked { .. } => &heard.blocked,
            Event::Unblocked => &heard.unblocked,
            Event::Failed { .. } => &heard.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    });
    Options { log_file_size: 24 * 1024, log_files: 3, segment_size: 6 * 1024, on_event, ..Options::default() }
}

fn publish(writer: &mut Writer, seq: u64) {
    let reference = Reference { queue: QUEUE, seq: Seq(seq), attributes: Attributes::NONE };
    writer.publish(&[&[seq as u8; 900]], &[reference]).expect("fits");
    writer.flush();
}

/// Settles from the front until the queue is as long as wanted.
fn drain(store: &Store, writer: &mut Writer, next: &mut u64, down_to: u64, last: u64) {
    while last + 1 - *next > down_to {
        let messages = store.read(QUEUE, ALL, ReadLimits { messages: 60, ..ReadLimits::default() }).expect("readable");
        for message in messages {
            assert_eq!((message.seq.0, &message.body[..]), (*next, &[*next as u8; 900][..]));
            writer.settle(QUEUE, &[SeqRange::one(message.seq)]).expect("fits");
            *next += 1;
        }
        let position = writer.flush();
        writer.progress().wait(position.0).expect("settling goes on");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_full_disk_blocks_publishers_and_drains() {
    (0..SEEDS).for_each(fill_and_drain);
}

fn fill_and_drain(seed: u64) {
    let heard = Arc::new(Heard::default());
    let options = options(&heard);
    let simulation = Runtime::builder().simulated(seed).build().expect("a runtime");
    let body = move || {
        sim::disk().set_capacity(CAPACITY);
        let (store, _) = Store::open(Path::new("/data"), options).expect("opens");
        let ticker = store.clone();
        let ticker = spawn(move || {
            loop {
                sleep(Duration::from_millis(20));
                ticker.tick();
            }
        });
        let mut writer = store.writer();
        let (mut seq, mut next) = (0, 1);
        for round in 1..=3 {
            while !store.is_blocked() {
                // As the broker does: what is on its way must find room in the log files that are kept free.
                if writer.in_flight_bytes() < IN_FLIGHT_MAX {
                    seq += 1;
                    publish(&mut writer, seq);
                }
                sleep(Duration::from_millis(1));
                assert!(seq < 10_000, "the disk is never full");
            }
            assert!(heard.blocked.load(Ordering::Relaxed) >= round, "it was said");
            drain(&store, &mut writer, &mut next, 20, seq);
            for _ in 0..100 {
                sleep(Duration::from_millis(10));
            }
            assert!(!store.is_blocked(), "there is room again");
            assert_eq!(heard.unblocked.load(Ordering::Relaxed), heard.blocked.load(Ordering::Relaxed));
        }
        drain(&store, &mut writer, &mut next, 0, seq);
        assert_eq!((next, heard.failed.load(Ordering::Relaxed)), (seq + 1, 0));
        ticker.kill();
        store.close().expect("closes");
    };
    simulation.run(body).expect("no deadlock");
}
