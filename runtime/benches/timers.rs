//! Timers: what one costs to set and to cancel beside a million others, the longest tick with a million live, and the
//! processor time of a million sleepers that wake.
//!
//! The wheel is measured alone, compiled from its own source: it knows ticks and no clock, so a minute takes no minute.
//! `-- --peer` measures a million tokio tasks that sleep likewise.

mod figure;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/time/wheel.rs"]
mod wheel;

use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use leveret_runtime::sync::Event;
use leveret_runtime::{JoinHandle, join_all, run, sleep, spawn, yield_now};

use wheel::Wheel;

const LIVE: usize = 1_000_000;
const CYCLES: usize = 10_000_000;
const MINUTE_TICKS: u64 = 60_000;
const TICK_NANOS: u64 = wheel::TICK_NANOS;

/// From when all sleepers are made to the first that wakes: long enough for all to fall asleep.
const FIRST_WAKE: Duration = Duration::from_secs(5);
/// From the first that wakes to the last.
const WAKES_SPREAD: Duration = Duration::from_secs(4);

fn main() {
    figure::print("timer: set + cancel, 1M live", figure::median(set_and_cancel), "ns");
    let (longest, mean): (Vec<_>, Vec<_>) = (0..figure::RUNS).map(|_| a_minute()).unzip();
    // The least: by the clock, since no other knows one tick's time, and so with whatever came between in the others.
    figure::print("timer: longest tick, 1M live", longest.into_iter().fold(f64::MAX, f64::min), "us");
    figure::print("timer: expiry, mean of 1M", figure::middle(mean), "ns");
    figure::print("1M sleepers: CPU to wake, run and end each", run(sleepers).expect("no deadlock"), "ns");
    if figure::with_peer() {
        figure::print("tokio: 1M sleepers: CPU to wake, run and end each", peer::sleepers(), "ns");
    }
}

/// Scattered numbers from 0 to 1, the same in each run.
fn scattered() -> impl FnMut() -> f64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn full_wheel() -> Wheel<usize> {
    let mut wheel = Wheel::new();
    let mut next = scattered();
    for n in 0..LIVE {
        wheel.insert((next() * (MINUTE_TICKS * TICK_NANOS) as f64) as u64, n);
    }
    wheel
}

fn set_and_cancel() -> f64 {
    let mut wheel = full_wheel();
    let watch = figure::Watch::start();
    for n in 0..CYCLES {
        let key = wheel.insert(black_box(30_000 * TICK_NANOS + n as u64), n);
        black_box(wheel.cancel(key));
    }
    watch.each(CYCLES)
}

/// Ticks through a minute: the longest in microseconds, and nanoseconds a timer.
fn a_minute() -> (f64, f64) {
    let mut wheel = full_wheel();
    let (mut longest, mut fired) = (Duration::ZERO, 0);
    let watch = figure::Watch::start();
    for tick in 1..=MINUTE_TICKS {
        let begin = Instant::now();
        wheel.advance(tick, |n| fired += usize::from(n < LIVE));
        longest = longest.max(begin.elapsed());
    }
    assert_eq!(fired, LIVE, "every timer fires once");
    (longest.as_nanos() as f64 / 1e3, watch.each(LIVE))
}

/// When each sleeper wakes, from when all are made.
fn delays() -> impl Iterator<Item = Duration> {
    let mut next = scattered();
    (0..LIVE).map(move |_| FIRST_WAKE + WAKES_SPREAD.mul_f64(next()))
}

/// Nanoseconds of processor time each, from when all sleep.
fn sleepers() -> f64 {
    let begin = Rc::new(Event::new());
    let handles: Vec<_> = delays().map(|delay| sleeper(begin.clone(), delay)).collect();
    yield_now(); // all touch their stacks and wait
    begin.set();
    sleep(FIRST_WAKE / 2);
    let watch = figure::Watch::start();
    let ended = join_all(handles).into_iter().filter(Result::is_ok).count();
    assert_eq!(ended, LIVE, "every sleeper wakes");
    watch.each(LIVE)
}

fn sleeper(begin: Rc<Event>, delay: Duration) -> JoinHandle<()> {
    spawn(move || {
        begin.wait();
        sleep(delay);
    })
}

mod peer {
    use super::*;

    pub(super) fn sleepers() -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let handles: Vec<_> = delays().map(|delay| tokio::spawn(tokio::time::sleep(delay))).collect();
            tokio::time::sleep(FIRST_WAKE / 2).await; // all have been polled once by then
            let watch = figure::Watch::start();
            for handle in handles {
                handle.await.expect("it does not panic");
            }
            watch.each(LIVE)
        })
    }
}
