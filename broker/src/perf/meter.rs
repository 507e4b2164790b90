//! What is measured: counts, rates and latencies, of the interval and of the whole run.
//!
//! Latencies are kept in histograms of three significant digits (hdrhistogram), so that a long run takes no more memory than a
//! short one and percentiles are exact enough to compare.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use leveret_client::Outcome;

/// Longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// Digits that count.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Messages since some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    pub(super) returned: u64,
    pub(super) received: u64,
}

/// Some latencies, in nanoseconds.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// Counts and latencies of a span of time.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) start: Instant,
    pub(super) counts: Counts,
    /// From publish to delivery.
    pub(super) delivery: Latencies,
    /// From publish to confirm.
    pub(super) confirm: Latencies,
}

/// The measurements of a run.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) total: Span,
    /// Since the last report.
    pub(super) interval: Span,
    publishing_ended: Option<Instant>,
    ended: Option<Instant>,
}

impl Latencies {
    fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, nanos(LATENCY_MAX), SIGNIFICANT_DIGITS);
        Latencies(histogram.expect("constant bounds that are in order"))
    }

    fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanos(latency).max(1));
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that this part of all took at most, 0 to 1.
    pub(super) fn micros(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile) / 1000
    }

    /// The shortest and the longest, in microseconds.
    pub(super) fn extremes(&self) -> (u64, u64) {
        if self.0.is_empty() { (0, 0) } else { (self.0.min() / 1000, self.0.max() / 1000) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Span {
    fn new(start: Instant) -> Span {
        Span { start, counts: Counts::default(), delivery: Latencies::new(), confirm: Latencies::new() }
    }

    fn restart(&mut self, now: Instant) {
        self.start = now;
        self.counts = Counts::default();
        self.delivery.0.reset();
        self.confirm.0.reset();
    }
}

impl Meter {
    pub(super) fn new(now: Instant) -> Meter {
        Meter { total: Span::new(now), interval: Span::new(now), publishing_ended: None, ended: None }
    }

    pub(super) fn published(&mut self) {
        self.both(|counts| counts.published += 1);
    }

    pub(super) fn returned(&mut self) {
        self.both(|counts| counts.returned += 1);
    }

    pub(super) fn confirmed(&mut self, latency: Duration, outcome: Outcome) {
        match outcome {
            Outcome::Acked => self.both(|counts| counts.confirmed += 1),
            Outcome::Nacked => self.both(|counts| counts.nacked += 1),
        }
        self.total.confirm.record(latency);
        self.interval.confirm.record(latency);
    }

    pub(super) fn received_after(&mut self, latency: Duration) {
        self.both(|counts| counts.received += 1);
        self.total.delivery.record(latency);
        self.interval.delivery.record(latency);
    }

    /// Messages received in the whole run.
    pub(super) fn received(&self) -> u64 {
        self.total.counts.received
    }

    /// Begins the next interval.
    pub(super) fn next_interval(&mut self, now: Instant) {
        self.interval.restart(now);
    }

    /// The last message was published and confirmed.
    pub(super) fn stop_publishing(&mut self, now: Instant) {
        self.publishing_ended.get_or_insert(now);
    }

    /// The last message was received, or `now` is when the waiting for it was given up.
    pub(super) fn stop(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// Messages a second over the whole run: published and received.
    pub(super) fn rates(&self) -> (f64, f64) {
        let start = self.total.start;
        let rate = |count: u64, end: Option<Instant>| {
            per_second(count, end.map_or(Duration::ZERO, |end| end.saturating_duration_since(start)))
        };
        let counts = self.total.counts;
        (rate(counts.published, self.publishing_ended), rate(counts.received, self.ended))
    }

    /// How long it took until the end.
    pub(super) fn duration(&self) -> Duration {
        self.ended.map_or(Duration::ZERO, |end| end.saturating_duration_since(self.total.start))
    }

    fn both(&mut self, change: impl Fn(&mut Counts)) {
        change(&mut self.total.counts);
        change(&mut self.interval.counts);
    }
}

/// A rate; 0 of no time.
pub(super) fn per_second(count: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { count as f64 / span.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_latencies_are_those_of_their_span() {
        leveret_runtime::run(|| {
            let start = leveret_runtime::time::now();
            let mut meter = Meter::new(start);
            for millis in 1..=100 {
                meter.published();
                meter.received_after(Duration::from_millis(millis));
                meter.confirmed(Duration::from_micros(millis), Outcome::Acked);
            }
            meter.stop_publishing(start + Duration::from_secs(10));
            meter.stop(start + Duration::from_secs(20));
            assert_eq!(meter.rates(), (10.0, 5.0));
            let p50 = meter.total.delivery.micros(0.5);
            assert!((49_900..=50_100).contains(&p50), "{p50}");
            assert!((999..=1001).contains(&meter.total.delivery.extremes().0));
            meter.next_interval(start);
            meter.received_after(LATENCY_MAX * 2);
            assert_eq!((meter.interval.counts.received, meter.total.counts.received), (1, 101));
            assert_eq!(meter.interval.delivery.count(), 1);
            assert_eq!(meter.interval.confirm.extremes(), (0, 0));
        })
        .expect("no deadlock");
    }
}
