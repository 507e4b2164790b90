//! `kill -9` of a real process that writes, again and again: what it was told is durable is there, what it settled durably is
//! not, and no byte is wrong. The process is this program again, which finds its part by an environment variable.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use leveret_runtime::process::Command;
use leveret_runtime::{fs, random, run};
use leveret_store::{Attributes, Options, QueueKey, ReadLimits, Recovered, Reference, Seq, SeqRange, Store};

const DIRECTORY: &str = "LEVERET_KILL_DIRECTORY";
const QUEUE: QueueKey = QueueKey(7);
/// Messages that stay unsettled behind the newest.
const DEPTH: u64 = 700;
const KILLS: u64 = 20;

fn options() -> Options {
    Options { log_file_size: 256 * 1024, log_files: 3, segment_size: 64 * 1024, ..Options::default() }
}

fn body(seq: u64) -> Vec<u8> {
    vec![seq as u8; 100 + (seq * 37 % 1500) as usize]
}

fn last(recovered: &Recovered) -> u64 {
    recovered.queues.iter().flat_map(|queue| &queue.lanes).map(|lane| lane.last.0).max().unwrap_or(0)
}

/// The part of the child: publishes for ever, settles the oldest, and says on its output how far both are durable.
#[test]
fn the_writer() {
    let Ok(path) = std::env::var(DIRECTORY) else { return };
    run(move || {
        let (store, recovered) = Store::open(Path::new(&path), options()).expect("opens");
        let mut writer = store.writer();
        let mut seq = last(&recovered);
        loop {
            for _ in 0..1 + random::u64() % 60 {
                seq += 1;
                let reference = Reference { queue: QUEUE, seq: Seq(seq), attributes: Attributes::NONE };
                writer.publish(&[&body(seq)], &[reference]).expect("fits");
            }
            let settled = seq.saturating_sub(DEPTH);
            writer.settle(QUEUE, &[SeqRange { first: Seq(0), last: Seq(settled) }]).expect("fits");
            let position = writer.flush();
            writer.progress().wait(position.0).expect("durable");
            let mut out = std::io::stdout().lock();
            writeln!(out, "durable {seq} {settled}").and_then(|()| out.flush()).expect("the parent reads");
        }
    })
    .expect("no deadlock");
}

/// Reads how far the child came until it has said so often enough, and kills it.
fn write_and_kill(path: &Path) -> Option<(u64, u64)> {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "the_writer", "--nocapture"]).env(DIRECTORY, path);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    let enough = 1 + random::u64() % 150;
    let mut reached = None;
    for (line, number) in lines.lines().map_while(Result::ok).filter(|line| line.contains("durable ")).zip(1..) {
        let mut numbers = line.split_whitespace().rev().map_while(|word| word.parse().ok());
        if let (Some(settled), Some(durable)) = (numbers.next(), numbers.next()) {
            reached = Some((durable, settled));
        }
        if number == enough {
            child.kill().expect("it runs");
        }
    }
    child.wait().expect("ended");
    reached
}

#[test]
fn nothing_durable_is_lost_by_kill_9() {
    if std::env::var(DIRECTORY).is_ok() {
        return;
    }
    run(|| {
        let path = std::env::temp_dir().join(format!("leveret-kill-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let mut checked = 0;
        for _ in 0..KILLS {
            let Some((durable, settled)) = write_and_kill(&path) else { continue };
            let (store, _) = Store::open(&path, options()).expect("opens after a kill");
            let (mut from, mut found) = (Seq(0), Vec::new());
            loop {
                let range = SeqRange { first: from, last: Seq::MAX };
                let messages = store.read(QUEUE, range, ReadLimits::default()).expect("readable");
                let Some(last) = messages.last() else { break };
                from = Seq(last.seq.0 + 1);
                found.extend(messages);
            }
            let seqs: Vec<u64> = found.iter().map(|message| message.seq.0).collect();
            assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no gaps");
            assert!(seqs[0] > settled, "{} was settled up to {settled}", seqs[0]);
            assert!(seqs[0] <= durable + 1 && seqs[seqs.len() - 1] >= durable, "{durable} was durable");
            assert!(found.iter().all(|message| message.body == body(message.seq.0)));
            checked += found.len();
            store.close().expect("closes");
        }
        println!("KILL -9: {KILLS} kills, {checked} checked, 0 lost");
        assert!(checked > 0);
        fs::remove_dir_all(&path).expect("removed");
    })
    .expect("no deadlock");
}
