//! The engine alone: confirmed messages of 1 KiB against a bare loop of writes and syncs of the same size in the same
//! minute, what is written for how much, and how a deep backlog starts and drains.
//!
//! Plain loops with a clock: what is measured takes seconds and is bound by the disk, whose speed changes from minute to
//! minute. So each figure stands beside one of the bare disk. Arguments choose: `confirmed bare fanout short deep`.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leveret_runtime::fs::{self, File};
use leveret_runtime::{run, spawn, time};
use leveret_store::{
    Attributes, Options, Position, QueueKey, ReadLimits, Reference, Seq, SeqRange, Stats, Store, Writer,
};

const BODY: usize = 1024;
const RUN: Duration = Duration::from_secs(3);

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|arg| arg == name);
    let path = std::env::temp_dir().join(format!("leveret-store-bench-{}", std::process::id()));
    if wanted("confirmed") {
        let ours = measure(&path, |path| confirmed(path, 4, 500, 1));
        let queues = measure(&path, |path| confirmed(path, 4, 500, 100));
        let one = measure(&path, |path| confirmed(path, 1, 1, 1));
        println!("confirmed, 1 KiB, 4 x 500 outstanding: {ours}");
        println!("confirmed, the same on 100 queues:     {queues}");
        println!("confirmed, one waiting for each:       {one}");
    }
    if wanted("bare") {
        println!("bare write and sync, 1 MiB:            {}", measure(&path, |path| bare(path, 1 << 20)));
        println!("bare write and sync, 512 KiB:          {}", measure(&path, |path| bare(path, 512 << 10)));
        println!("bare write and sync, 4 KiB:            {}", measure(&path, |path| bare(path, 4096)));
    }
    if wanted("fanout") {
        println!("fan-out of 10 KiB to 100 queues:       {}", measure(&path, fanout));
    }
    if wanted("short") {
        println!("short queue:                           {}", measure(&path, short));
    }
    if wanted("deep") {
        let count = std::env::var("DEEP").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
        println!("deep backlog of {count}:\n{}", measure(&path, move |path| deep(path, count)));
    }
}

fn measure(path: &Path, body: impl FnOnce(&Path) -> String + Send + 'static) -> String {
    let path = path.to_owned();
    let text = run(move || {
        let _ = fs::remove_dir_all(&path);
        let text = body(&path);
        let _ = fs::remove_dir_all(&path);
        text
    });
    text.expect("no deadlock")
}

fn publish(writer: &mut Writer, queue: u64, seq: u64, body: &[u8]) {
    let reference = Reference { queue: QueueKey(queue), seq: Seq(seq), attributes: Attributes::NONE };
    writer.publish(&[body], &[reference]).expect("fits");
}

/// `publishers` coroutines, each with as many outstanding as `window`; the messages are settled once they are confirmed, a
/// window later.
fn confirmed(path: &Path, publishers: u64, window: u64, queues: u64) -> String {
    let (store, _) = Store::open(path, Options::default()).expect("opens");
    let (began, body) = (time::now(), vec![7; BODY]);
    let until = began + RUN;
    let tasks: Vec<_> = (0..publishers)
        .map(|publisher| {
            let (store, body) = (store.clone(), body.clone());
            spawn(move || publisher_loop(&store.writer(), &store, publisher, window, queues, &body, until))
        })
        .collect();
    let mut latencies: Vec<Duration> = Vec::new();
    let mut count = 0;
    for task in tasks {
        let (published, seen) = task.join().expect("no panic");
        count += published;
        latencies.extend(seen);
    }
    let took = (time::now() - began).as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let stats = store.stats();
    store.close().expect("closes");
    format!(
        "{:>9.0} msg/s, p50 {:?}, p99 {:?}, {:.0} groups/s, {:.0} KiB each, {}",
        count as f64 / took,
        at(0.5),
        at(0.99),
        stats.groups as f64 / took,
        stats.log_bytes_written as f64 / 1024.0 / stats.groups.max(1) as f64,
        amplification(&stats, count * BODY as u64)
    )
}

fn publisher_loop(
    _: &Writer,
    store: &Store,
    publisher: u64,
    window: u64,
    queues: u64,
    body: &[u8],
    until: Instant,
) -> (u64, Vec<Duration>) {
    let mut writer = store.writer();
    let (mut seq, mut latencies) = (0, Vec::new());
    let mut flight: std::collections::VecDeque<(Position, u64, Instant)> = Default::default();
    let mut outstanding = 0;
    loop {
        let now = time::now();
        if now < until {
            let fresh = (window - outstanding).max(u64::from(outstanding == 0));
            for _ in 0..fresh {
                seq += 1;
                publish(&mut writer, publisher * queues + seq % queues, seq, body);
            }
            outstanding += fresh;
            flight.push_back((writer.flush(), fresh, now));
        }
        let Some((position, count, since)) = flight.pop_front() else { return (seq, latencies) };
        writer.progress().wait(position.0).expect("durable");
        latencies.push(time::now() - since);
        outstanding -= count;
        let range = SeqRange { first: Seq(seq - outstanding - count + 1), last: Seq(seq - outstanding) };
        for queue in 0..queues {
            writer.settle(QueueKey(publisher * queues + queue), &[range]).expect("fits");
        }
    }
}

fn amplification(stats: &Stats, published: u64) -> String {
    let written = stats.log_bytes_written + stats.segment_bytes_written + stats.manifest_bytes_written;
    format!("written {:.3} x", written as f64 / published as f64)
}

/// Writes and syncs over a file that has been written before, as the committer does.
fn bare(path: &Path, size: usize) -> String {
    const FILE: u64 = 32 << 20;
    fs::create_dir_all(path).expect("made");
    let file = File::create_new(path.join("bare")).expect("made");
    file.write_zeros_at(FILE, 0).expect("written");
    file.sync_all().expect("synced");
    let (began, mut syncs, mut offset) = (time::now(), 0u64, 0);
    while time::now() - began < RUN {
        // Many in one go, so that the hand-over to the thread costs nothing.
        offset = file
            .blocking(move |file| {
                let (bytes, mut offset) = (vec![7; size], offset);
                for _ in 0..100 {
                    file.write_all_vectored_at(&mut [IoSlice::new(&bytes)], offset)?;
                    file.sync_data()?;
                    offset = if offset + 2 * size as u64 > FILE { 0 } else { offset + size as u64 };
                }
                Ok(offset)
            })
            .expect("written");
        syncs += 100;
    }
    let took = (time::now() - began).as_secs_f64();
    let rate = syncs as f64 / took;
    format!("{:>9.0} KiB/s, {rate:.0} syncs/s, {:.0} us each", rate * size as f64 / 1024.0, 1e6 / rate)
}

fn fanout(path: &Path) -> String {
    let (store, _) = Store::open(path, Options::default()).expect("opens");
    let (mut writer, body) = (store.writer(), vec![7; 10 * 1024]);
    for seq in 1..=100 {
        let reference = |queue| Reference { queue: QueueKey(queue), seq: Seq(seq), attributes: Attributes::NONE };
        writer.publish(&[&body], &(0..100).map(reference).collect::<Vec<_>>()).expect("fits");
    }
    let position = writer.flush();
    writer.progress().wait(position.0).expect("durable");
    let written = store.stats().log_bytes_written / 100;
    store.close().expect("closes");
    format!("{written} bytes a message; the bar is {}", body.len() * 11 / 10 + 3200)
}

/// As many messages as three log files hold, never more than some thousand of them live.
fn short(path: &Path) -> String {
    let (store, _) = Store::open(path, Options::default()).expect("opens");
    let (mut writer, body) = (store.writer(), vec![7; BODY]);
    const COUNT: u64 = 400_000;
    for seq in 1..=COUNT {
        publish(&mut writer, 1, seq, &body);
        if seq > 5000 {
            writer.settle(QueueKey(1), &[SeqRange::one(Seq(seq - 5000))]).expect("fits");
        }
        if seq % 500 == 0 {
            let position = writer.flush();
            if seq % 2000 == 0 {
                writer.progress().wait(position.0).expect("durable");
            }
        }
    }
    let position = writer.flush();
    writer.progress().wait(position.0).expect("durable");
    let text = amplification(&store.stats(), COUNT * BODY as u64);
    store.close().expect("closes");
    text
}

fn deep(path: &Path, count: u64) -> String {
    let mut text = String::new();
    let mut say = |line: String| text.push_str(&format!("  {line}\n"));
    let (store, _) = Store::open(path, Options::default()).expect("opens");
    let (mut writer, body) = (store.writer(), vec![7; BODY]);
    let began = time::now();
    for seq in 1..=count {
        publish(&mut writer, 1, seq, &body);
        if seq % 250 == 0 {
            let position = writer.flush();
            writer.progress().wait(position.0.saturating_sub(8)).expect("durable");
        }
    }
    let position = writer.flush();
    writer.progress().wait(position.0).expect("durable");
    let took = (time::now() - began).as_secs_f64();
    let stats = store.stats();
    say(format!("filled at {:.0} msg/s, {}", count as f64 / took, amplification(&stats, count * BODY as u64)));
    say(format!("{} segments of {} MiB; {}", stats.segments, stats.segment_bytes >> 20, resident()));
    store.close().expect("closes");
    let began = time::now();
    let (store, recovered) = Store::open(path, Options::default()).expect("opens");
    let took = time::now() - began;
    let found: u64 = recovered.queues.iter().map(|queue| queue.count).sum();
    say(format!("{found} found in {took:?}, {} MiB of log replayed; {}", recovered.bytes >> 20, resident()));
    let began = time::now();
    let (mut from, mut drained) = (Seq(0), 0);
    let mut writer = store.writer();
    loop {
        let range = SeqRange { first: from, last: Seq::MAX };
        let messages = store.read(QueueKey(1), range, ReadLimits::default()).expect("readable");
        let Some(last) = messages.last() else { break };
        writer.settle(QueueKey(1), &[SeqRange { first: messages[0].seq, last: last.seq }]).expect("fits");
        writer.flush();
        from = Seq(last.seq.0 + 1);
        drained += messages.len() as u64;
    }
    let took = (time::now() - began).as_secs_f64();
    say(format!("{drained} drained at {:.0} MB/s", drained as f64 * BODY as f64 / took / 1e6));
    store.tick();
    store.close().expect("closes");
    say(format!("{} MiB left on the disk", disk_use(path) >> 20));
    text
}

fn disk_use(path: &Path) -> u64 {
    let size =
        |entry: &PathBuf| if entry.is_dir() { disk_use(entry) } else { fs::metadata(entry).map_or(0, |m| m.len()) };
    let entries = fs::read_dir(path).expect("listed");
    entries.iter().map(|entry| size(&entry.path().to_owned())).sum()
}

fn resident() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
