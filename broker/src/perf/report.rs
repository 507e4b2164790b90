//! What is printed: progress while it runs, and at the end figures and a verdict, as text, JSON or CSV.
//!
//! Results go to stdout, progress to stderr, so that results can be piped. On a terminal the progress is one line that is written
//! over and over.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use leveret_runtime::{sleep, time};

use super::Run;
use super::ledger::Tally;
use super::meter::{Counts, Latencies, Meter, per_second};
use super::options::Perf;

/// Which part of all messages was faster than the figure, and how JSON calls it.
const QUANTILES: [(f64, &str); 5] = [(0.5, "p50"), (0.75, "p75"), (0.95, "p95"), (0.99, "p99"), (0.999, "p999")];

const CSV_HEADER: &str = "seconds,published_per_second,confirmed_per_second,received_per_second,\
latency_p50_us,latency_p95_us,latency_p99_us,latency_max_us";

/// Whether all went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Somebody produced and somebody consumed, so that losses can be known.
    pub(super) is_checked: bool,
    pub(super) lost: u64,
    pub(super) tally: Tally,
}

impl Verdict {
    /// Nothing was lost and nothing came twice.
    pub(super) fn is_good(&self) -> bool {
        self.lost == 0 && self.tally.duplicated == 0
    }

    fn text(&self) -> String {
        let Tally { duplicated, redelivered, out_of_order, foreign } = self.tally;
        let lost = if self.is_checked { format!("{} lost", self.lost) } else { "losses not checked".into() };
        let mut text = format!("{lost}, {duplicated} duplicated, {out_of_order} out of order");
        for (count, what) in [(redelivered, "redelivered"), (foreign, "of other runs")] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        let word = if self.is_good() { "good" } else { "BAD" };
        format!("{word}: {text}")
    }
}

/// Before the first message.
pub(super) fn begin(options: &Perf) {
    if options.csv {
        print(CSV_HEADER);
    }
}

/// Prints a line each interval, for ever.
pub(super) fn show_progress(run: &Run) {
    let is_terminal = io::stderr().is_terminal();
    loop {
        sleep(run.options.interval);
        let now = time::now();
        let mut meter = run.meter.borrow_mut();
        if run.options.csv {
            print(&csv_line(&meter, now));
        }
        if !run.options.quiet && (is_terminal || !run.options.csv) {
            let line = progress_line(&meter, now);
            let (before, after) = if is_terminal { ("\r", "\x1b[K") } else { ("", "\n") };
            let _ = write!(io::stderr(), "{before}{line}{after}");
        }
        meter.next_interval(now);
    }
}

/// After the last message.
pub(super) fn finish(run: &Run, verdict: &Verdict) {
    if !run.options.quiet && io::stderr().is_terminal() {
        eprintln!();
    }
    let meter = run.meter.borrow();
    if run.options.json {
        print(&json(&meter, verdict));
    } else if run.options.csv {
        if meter.interval.counts != Counts::default() {
            print(&csv_line(&meter, time::now()));
        }
        eprintln!("{}", verdict.text());
    } else {
        print(&summary(&meter, verdict));
    }
}

/// A closed stdout is no reason to fail.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn progress_line(meter: &Meter, now: std::time::Instant) -> String {
    let span = &meter.interval;
    let rate = |count| per_second(count, now.saturating_duration_since(span.start));
    let seconds = now.saturating_duration_since(meter.total.start).as_secs_f64();
    let mut line = format!("{seconds:.1} s: published {:.0}/s", rate(span.counts.published));
    if span.confirm.count() > 0 {
        let _ = write!(line, ", confirmed {:.0}/s", rate(span.counts.confirmed + span.counts.nacked));
    }
    let _ = write!(line, ", received {:.0}/s", rate(span.counts.received));
    if span.delivery.count() > 0 {
        let [p50, p99] = [0.5, 0.99].map(|quantile| micros(span.delivery.micros(quantile)));
        let _ = write!(line, ", latency p50 {p50}, p99 {p99}, max {}", micros(span.delivery.extremes().1));
    }
    line
}

fn csv_line(meter: &Meter, now: std::time::Instant) -> String {
    let span = &meter.interval;
    let rate = |count| per_second(count, now.saturating_duration_since(span.start));
    let counts = span.counts;
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| span.delivery.micros(quantile));
    format!(
        "{:.3},{:.0},{:.0},{:.0},{p50},{p95},{p99},{}",
        now.saturating_duration_since(meter.total.start).as_secs_f64(),
        rate(counts.published),
        rate(counts.confirmed),
        rate(counts.received),
        span.delivery.extremes().1
    )
}

fn summary(meter: &Meter, verdict: &Verdict) -> String {
    let (counts, (published, received)) = (meter.total.counts, meter.rates());
    let mut text = format!("published  {:>12}  {published:>10.0}/s\n", counts.published);
    if meter.total.confirm.count() > 0 {
        let _ = writeln!(text, "confirmed  {:>12}  {} nacked", counts.confirmed, counts.nacked);
    }
    if counts.returned > 0 {
        let _ = writeln!(text, "returned   {:>12}", counts.returned);
    }
    let _ = writeln!(text, "received   {:>12}  {received:>10.0}/s", counts.received);
    for (name, latencies) in [("latency", &meter.total.delivery), ("confirms", &meter.total.confirm)] {
        if latencies.count() > 0 {
            let _ = writeln!(text, "{name:<10} {}", percentiles(latencies));
        }
    }
    text + &verdict.text()
}

fn percentiles(latencies: &Latencies) -> String {
    let (min, max) = latencies.extremes();
    let middle = QUANTILES.map(|(quantile, name)| format!("{name} {}", micros(latencies.micros(quantile))));
    format!("min {}, {}, max {}", micros(min), middle.join(", "), micros(max))
}

/// Microseconds as people read them.
fn micros(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} us"),
        10_000..10_000_000 => format!("{:.1} ms", count as f64 / 1e3),
        _ => format!("{:.1} s", count as f64 / 1e6),
    }
}

/// One object on one line; all numbers, so nothing needs escaping.
fn json(meter: &Meter, verdict: &Verdict) -> String {
    let (counts, (published, received)) = (meter.total.counts, meter.rates());
    let Tally { duplicated, redelivered, out_of_order, foreign } = verdict.tally;
    format!(
        "{{\"seconds\":{:.3},\"published\":{},\"confirmed\":{},\"nacked\":{},\"returned\":{},\"received\":{},\
         \"published_per_second\":{published:.0},\"received_per_second\":{received:.0},\
         \"latency_us\":{},\"confirm_latency_us\":{},\
         \"verdict\":{{\"good\":{},\"losses_checked\":{},\"lost\":{},\"duplicated\":{duplicated},\
         \"out_of_order\":{out_of_order},\"redelivered\":{redelivered},\"foreign\":{foreign}}}}}",
        meter.duration().as_secs_f64(),
        counts.published,
        counts.confirmed,
        counts.nacked,
        counts.returned,
        counts.received,
        json_latencies(&meter.total.delivery),
        json_latencies(&meter.total.confirm),
        verdict.is_good(),
        verdict.is_checked,
        verdict.lost,
    )
}

fn json_latencies(latencies: &Latencies) -> String {
    let (min, max) = latencies.extremes();
    let middle = QUANTILES.map(|(quantile, name)| format!("\"{name}\":{}", latencies.micros(quantile)));
    format!("{{\"count\":{},\"min\":{min},{},\"max\":{max}}}", latencies.count(), middle.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_readable() {
        let check = |count, expected: &str| assert_eq!(micros(count), expected);
        check(0, "0 us");
        check(9_999, "9999 us");
        check(10_000, "10.0 ms");
        check(9_999_999, "10000.0 ms");
        check(12_345_678, "12.3 s");
    }

    #[test]
    fn lost_and_duplicated_messages_are_bad() {
        let check = |is_checked, lost, duplicated, out_of_order, expected: &str| {
            let tally = Tally { duplicated, out_of_order, ..Tally::default() };
            assert_eq!(Verdict { is_checked, lost, tally }.text(), expected);
        };
        check(true, 0, 0, 0, "good: 0 lost, 0 duplicated, 0 out of order");
        check(true, 0, 0, 7, "good: 0 lost, 0 duplicated, 7 out of order");
        check(true, 1, 0, 0, "BAD: 1 lost, 0 duplicated, 0 out of order");
        check(false, 0, 2, 0, "BAD: losses not checked, 2 duplicated, 0 out of order");
    }
}
