//! What all connections together have seen.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::connection::Failure;
use crate::options::LoadOptions;

/// Latencies beyond this count as this.
const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Failures that are told one by one.
const FAILURES_TOLD_MAX: usize = 10;

pub(super) struct Tally {
    requests: Cell<u64>,
    /// In nanoseconds.
    latencies: RefCell<Histogram<u64>>,
    failed: Cell<usize>,
    failures: RefCell<Vec<String>>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        let latencies = Histogram::new_with_max(LATENCY_MAX.as_nanos() as u64, DIGITS);
        Tally {
            requests: Cell::new(0),
            latencies: RefCell::new(latencies.expect("an hour at three digits is a range that the histogram takes")),
            failed: Cell::new(0),
            failures: RefCell::default(),
        }
    }

    pub(super) fn note_answer(&self, latency: Duration) {
        self.requests.set(self.requests.get() + 1);
        self.latencies.borrow_mut().saturating_record(latency.as_nanos() as u64);
    }

    pub(super) fn note_failure(&self, connection: usize, failure: Failure) {
        self.failed.set(self.failed.get() + 1);
        let mut failures = self.failures.borrow_mut();
        if failures.len() < FAILURES_TOLD_MAX {
            failures.push(format!("connection {connection}: {failure}"));
        }
    }

    /// Requests answered so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Whether every connection did what it should.
    pub(super) fn is_clean(&self) -> bool {
        self.failed.get() == 0
    }

    /// The failures, or the first of them and how many more there were.
    pub(super) fn failures(&self) -> impl Iterator<Item = String> {
        let told = self.failures.borrow().clone();
        let more = self.failed.get() - told.len();
        told.into_iter().chain((more > 0).then(|| format!("and {more} connections more failed")))
    }

    /// The figures, in a form for people.
    pub(super) fn report(&self, options: &LoadOptions, elapsed: Duration) -> String {
        let (requests, seconds) = (self.requests(), elapsed.as_secs_f64().max(1e-9));
        let latencies = self.latencies.borrow();
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let mut text = format!(
            "{} connections, {} bytes a request, depth {}\n{requests} requests in {seconds:.2} s: {:.0} requests/s\n\n\
             latency        ms\n",
            options.connections,
            options.size,
            options.depth,
            requests as f64 / seconds
        );
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let _ = writeln!(text, "{name:<5} {:>10.3}", ms(latencies.value_at_quantile(quantile)));
        }
        let _ = writeln!(text, "max   {:>10.3}", ms(latencies.max()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    fn options() -> LoadOptions {
        LoadOptions {
            addr: String::new(),
            connections: 3,
            size: 64,
            depth: 2,
            seconds: Duration::from_secs(1),
            quiet: true,
        }
    }

    #[test]
    fn figures_are_of_what_was_noted() {
        let tally = Tally::new();
        for micros in 1..=1000 {
            tally.note_answer(Duration::from_micros(micros));
        }
        let report = tally.report(&options(), Duration::from_secs(2));
        for line in [
            "3 connections, 64 bytes a request, depth 2",
            "1000 requests in 2.00 s: 500 requests/s",
            "p50        0.500",
            "p99        0.990",
            "p99.9      0.999",
            "max        1.000",
        ] {
            assert!(report.lines().any(|own| own == line), "{line:?} is not in\n{report}");
        }
        assert!(tally.is_clean());
    }

    #[test]
    fn nothing_at_all_is_reported_too() {
        assert!(Tally::new().report(&options(), Duration::ZERO).contains("0 requests in"));
    }

    #[test]
    fn failures_are_counted_and_the_first_are_told() {
        let tally = Tally::new();
        for connection in 0..=FAILURES_TOLD_MAX {
            tally.note_failure(connection, Failure::Io(io::ErrorKind::ConnectionReset.into()));
        }
        let told: Vec<_> = tally.failures().collect();
        assert_eq!(told.len(), FAILURES_TOLD_MAX + 1);
        assert_eq!(told[0], "connection 0: connection reset");
        assert_eq!(told[FAILURES_TOLD_MAX], "and 1 connections more failed");
        assert!(!tally.is_clean());
    }
}
