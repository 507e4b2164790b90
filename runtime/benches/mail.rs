//! Mail: messages from one shard to another that is busy with them, and how often the receiving shard had to be woken.
//!
//! Two threads that want a core each. `-- --peer` measures tokio's unbounded `mpsc` between two `current_thread` runtimes.

mod figure;

use std::time::Instant;

use leveret_runtime::mailbox::channel::channel;
use leveret_runtime::{Runtime, call, shards, spawn_on, stats};

const MESSAGES: usize = 4_000_000;

fn main() {
    let (nanos, woken): (Vec<_>, Vec<_>) = (0..figure::RUNS).map(|_| ours()).unzip();
    figure::print("message to a busy shard", figure::middle(nanos), "ns");
    figure::print("wake-ups per million messages", figure::middle(woken), "");
    if figure::with_peer() {
        figure::print("tokio: message to a busy thread", figure::median(peer::stream), "ns");
    }
}

/// Nanoseconds a message, and wake-ups per million.
fn ours() -> (f64, f64) {
    Runtime::builder().shards(2).build().expect("a runtime").run(stream).expect("no deadlock")
}

fn stream() -> (f64, f64) {
    let other = shards().nth(1).expect("there are two shards");
    let (tell, told) = channel();
    let receiving = spawn_on(other, move || {
        let (sender, receiver) = channel::<usize>();
        tell.send(sender).expect("the sender's side waits");
        let (mut taken, mut items) = (0, Vec::new());
        while receiver.receive_batch(&mut items).expect("nothing unwinds") {
            taken += items.len();
            items.clear();
        }
        taken
    });
    let mut senders = Vec::new();
    told.receive_batch(&mut senders).expect("nothing unwinds");
    let sender = senders.pop().expect("the receiver's side answers");
    let woken = || call(other, || stats().woken).expect("the shard answers");
    let before = woken();
    let start = Instant::now();
    for n in 0..MESSAGES {
        sender.send(n).expect("the receiver lives");
    }
    drop(sender);
    let taken = receiving.join().expect("it does not panic");
    let nanos = figure::nanos_each(start, MESSAGES);
    assert_eq!(taken, MESSAGES, "every message arrives once");
    (nanos, (woken() - before) as f64 * 1e6 / MESSAGES as f64)
}

mod peer {
    use super::*;
    use tokio::sync::mpsc;

    pub(super) fn stream() -> f64 {
        let (sender, mut receiver) = mpsc::unbounded_channel::<usize>();
        let receiving = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
                let mut taken = 0;
                while receiver.recv().await.is_some() {
                    taken += 1;
                }
                taken
            })
        });
        let start = Instant::now();
        for n in 0..MESSAGES {
            sender.send(n).expect("the receiver lives");
        }
        drop(sender);
        assert_eq!(receiving.join().expect("it does not panic"), MESSAGES, "every message arrives once");
        figure::nanos_each(start, MESSAGES)
    }
}
