//! What the benches share: one line a figure, medians of several runs, and whether the peer is to be measured too.
//!
//! Programs and not a framework's cases: each figure is of a whole runtime in one state (a thousand coroutines that yield,
//! a million that are parked), and two programs of the same shape measured within the same minute are worth more than the
//! statistics of one.
#![allow(dead_code, reason = "each bench uses its part")]

use std::fs;
use std::time::Instant;

/// Runs of which the median is told.
pub(crate) const RUNS: usize = 5;

/// Prints one figure.
pub(crate) fn print(what: &str, value: f64, unit: &str) {
    println!("{what:<58} {value:>10.1} {unit}");
}

/// Whether `--peer` asks for the same programs on tokio.
pub(crate) fn with_peer() -> bool {
    std::env::args().any(|arg| arg == "--peer")
}

/// The median of several runs.
pub(crate) fn median(mut run: impl FnMut() -> f64) -> f64 {
    middle((0..RUNS).map(|_| run()).collect())
}

/// The median of these.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A stop-watch of this thread's processor time: what else the machine does does not count, as far as it spares the caches.
pub(crate) struct Watch(f64);

impl Watch {
    /// Starts it.
    pub(crate) fn start() -> Watch {
        Watch(processor_nanos())
    }

    /// Nanoseconds since its start for each of `count`.
    pub(crate) fn each(&self, count: usize) -> f64 {
        (processor_nanos() - self.0) / count as f64
    }
}

/// Processor time of this thread, exact to a few milliseconds.
fn processor_nanos() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).expect("it begins with a number")
}

/// Nanoseconds by the clock since `start` for each of `count`.
pub(crate) fn nanos_each(start: Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}

/// A field of `/proc/self/status` in KiB.
pub(crate) fn status_kib(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel tells this field");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("the field is a number")
}

/// Mappings of this process.
pub(crate) fn mappings() -> f64 {
    fs::read_to_string("/proc/self/maps").expect("Linux has it").lines().count() as f64
}
