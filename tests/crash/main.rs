//! The broker is killed (SIGKILL) again and again under confirmed load, and started again on what it left: nothing that was
//! confirmed and not acknowledged may be missing, nothing may be there that nobody published, and every queue keeps its order.
//!
//! `LEVERET_KILLS` sets how often (default [`KILLS`]), `LEVERET_SEED` the moments.

mod backlog;
mod book;
mod harm;
mod load;
#[path = "../stress/observed.rs"]
#[allow(dead_code, reason = "memory is all that is asked for here")]
mod observed;
mod stop;
mod streams;

use std::time::{Duration, Instant};

use harness::{Broker, SHARD_COUNTS};
use leveret_client::Table;
use leveret_runtime as runtime;
use load::SharedBook;

/// Kills of one run of the tests, over all shard counts.
const KILLS: u64 = 50;

/// Confirms of a round, at most.
const CONFIRMS_MAX: u64 = 400;

/// How long a broker may take to be ready after a kill. A bound against hanging, not a figure.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_confirmed_is_lost_by_kills() {
    let (kills, seed) = (setting("LEVERET_KILLS", KILLS), setting("LEVERET_SEED", 1));
    let rounds = kills.div_ceil(SHARD_COUNTS.len() as u64);
    for shards in SHARD_COUNTS {
        let report = runtime::run(move || run(shards, rounds, seed)).expect("somebody can always run");
        println!("TEST: {rounds} kills with {shards} shards, {report} (seed {seed})");
    }
}

/// One broker's life of many deaths; answers the report's middle.
fn run(shards: usize, rounds: u64, seed: u64) -> String {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ shards as u64;
    let book = SharedBook::default();
    let mut broker = Broker::start_ours(shards);
    let mut worst = Duration::ZERO;
    load::declare(broker.address(), &Table::new());
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let confirms = 1 + (random >> 33) % CONFIRMS_MAX;
        load::round_of_load(broker.address(), &book, confirms, || broker.kill());
        let start = Instant::now();
        // Now and then with another number of threads: where a queue lives is no part of what is stored.
        broker = broker.restarted(if round % 5 == 4 { shards % 5 + 1 } else { shards });
        worst = worst.max(start.elapsed());
        assert!(worst < RECOVERY_MAX, "the broker was not ready for {worst:?}");
    }
    let _log = broker.log_on_failure();
    load::drain(broker.address(), &book);
    let book = book.borrow();
    book.judge();
    format!(
        "{} checked, 0 lost, {} duplicates, worst recovery {:.2} s",
        book.confirmed(),
        book.doubled(),
        worst.as_secs_f64()
    )
}
