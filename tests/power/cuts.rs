//! The power is cut under confirmed load, again and again, and the broker started on what the file system has then.
//!
//! `LEVERET_CUTS` sets how often (default [`CUTS`]), `LEVERET_SEED` the moments. The same can be done to another broker, which
//! shows whether this test can see a loss at all: `LEVERET_POWER_COMMAND` is a shell command that starts it on the data
//! directory `$DATA` and the port `$PORT`, and prints the number of its process once it answers; `LEVERET_POWER_QUEUES` is its
//! queues' type. What it loses is printed, not judged.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::Broker;
use leveret_client::{FieldValue, Table};
use leveret_runtime as runtime;

use crate::ground::Ground;
use crate::load::{self, SharedBook};
use crate::{setting, skip};

const CUTS: u64 = 5;
/// Confirms of a round, at most.
const CONFIRMS_MAX: u64 = 3000;
/// Where another broker is to listen.
const FOREIGN_PORT: u16 = 5679;

/// The broker whose power is cut.
enum Subject {
    Ours(Box<Broker>),
    Foreign { process: String },
}

impl Subject {
    /// # Errors
    /// Another broker does not start; ours has to.
    fn start(data: &Path, shards: usize) -> Result<Subject, String> {
        let Ok(command) = std::env::var("LEVERET_POWER_COMMAND") else {
            let broker = Broker::start_ours_at(data, shards, &[]);
            let broker = broker.unwrap_or_else(|lines| panic!("it does not start on what a cut left: {lines:#?}"));
            return Ok(Subject::Ours(Box::new(broker)));
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("DATA", data).env("PORT", FOREIGN_PORT.to_string());
        let output = shell.stderr(std::process::Stdio::inherit()).output().expect("a shell");
        match output.status.success() {
            true => Ok(Subject::Foreign { process: String::from_utf8_lossy(&output.stdout).trim().to_owned() }),
            false => Err("the other broker does not start".into()),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Subject::Ours(broker) => broker.address(),
            Subject::Foreign { .. } => SocketAddr::from(([127, 0, 0, 1], FOREIGN_PORT)),
        }
    }

    fn kill(&mut self) {
        match self {
            Subject::Ours(broker) => broker.kill(),
            Subject::Foreign { process } => {
                let script = "kill -9 \"$0\"; while kill -0 \"$0\" 2>/dev/null; do sleep 0.05; done";
                crate::run("sh", &["-c", script, process]).expect("it was running");
            }
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self, Subject::Ours(_))
    }
}

#[test]
fn nothing_confirmed_is_lost_by_power_cuts() {
    let ground = match Ground::new() {
        Ok(ground) => ground,
        Err(reason) => return skip("power cuts", &reason),
    };
    let (cuts, seed) = (setting("LEVERET_CUTS", CUTS), setting("LEVERET_SEED", 1));
    runtime::run(move || live_and_die(&ground, cuts, seed)).expect("somebody can always run");
}

fn live_and_die(ground: &Ground, cuts: u64, seed: u64) {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (book, mut worst) = (SharedBook::default(), Duration::ZERO);
    let queue_type = std::env::var("LEVERET_POWER_QUEUES").ok();
    let arguments = queue_type.map_or(Table::new(), |it| Table::new().with("x-queue-type", FieldValue::from(it)));
    let mut subject = Subject::start(&ground.data(), 1).expect("it starts on an empty directory");
    load::declare(subject.address(), &arguments);
    for round in 0..cuts {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let confirms = 1 + (random >> 33) % CONFIRMS_MAX;
        load::round_of_load(subject.address(), &book, confirms, || {
            book.borrow_mut().close(true);
            ground.cut();
            subject.kill();
        });
        book.borrow_mut().close(false);
        drop(subject);
        ground.restore();
        let start = Instant::now();
        subject = match Subject::start(&ground.data(), [1, 2, 5][round as usize % 3]) {
            Ok(subject) => subject,
            Err(reason) => {
                let checked = book.borrow().confirmed();
                return println!("TEST: {} power cuts, {checked} checked, all lost: {reason} (seed {seed})", round + 1);
            }
        };
        worst = worst.max(start.elapsed());
    }
    load::drain(subject.address(), &book);
    let is_ours = subject.is_ours();
    subject.kill();
    drop(subject);
    let book = book.borrow();
    let lost = book.lost();
    let (lost_count, checked) = (lost.iter().map(|(_, lost)| lost.len()).max().unwrap_or(0), book.confirmed());
    println!(
        "TEST: {cuts} power cuts, {checked} checked, {lost_count} lost, {} duplicates, worst recovery {:.2} s (seed {seed})",
        book.doubled(),
        worst.as_secs_f64()
    );
    if is_ours {
        book.judge();
    }
}
