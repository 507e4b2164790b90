//! Rates and histories: totals that the broker counts, sampled now and then into bounded rings.
//!
//! The broker only ever adds to counters; what happened when is worked out here. An object has a short ring (about a minute),
//! the whole broker rings of several resolutions (up to a day). An object that nothing happens to costs nothing: its
//! ring is filled only when a number has changed.

pub(crate) mod messages;
pub(crate) mod ring;

use std::hash::Hash;

use leveret_core::{ConnectionId, FastMap, Name, QueueId, VhostId};
use serde_json::{Value, json};

use crate::http::Query;
use messages::{Counts, WIDTH};
use ring::{Ring, Sample};

/// Samples of an object: a minute at the usual five seconds, and the one before it.
const DETAIL: usize = 13;
/// Samples of the whole broker for each resolution, and every how many sampling rounds one is taken: ten minutes, eight hours and a
/// day at the usual five seconds.
const OVERVIEW: [(usize, u64); 3] = [(121, 1), (481, 12), (145, 120)];
/// Objects with a history; beyond that new ones have none.
const OBJECTS_MAX: usize = 100_000;

/// Everything that is remembered.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) queues: Objects<QueueId>,
    pub(crate) exchanges: Objects<(VhostId, Name)>,
    pub(crate) connections: Objects<ConnectionId>,
    pub(crate) channels: Objects<(ConnectionId, u16)>,
    overview: [Ring; 3],
    churn: Ring,
    rounds: u64,
}

impl Default for History {
    fn default() -> History {
        History {
            queues: Objects::default(),
            exchanges: Objects::default(),
            connections: Objects::default(),
            channels: Objects::default(),
            overview: OVERVIEW.map(|(length, _)| Ring::new(length)),
            churn: Ring::new(DETAIL),
            rounds: 0,
        }
    }
}

impl History {
    /// Notes the whole broker's counts; one round of sampling ends with this.
    pub(crate) fn sample_overview(&mut self, time_ms: u64, counts: &Counts, churn: &Counts) {
        for (ring, (_, every)) in self.overview.iter_mut().zip(OVERVIEW) {
            if self.rounds.is_multiple_of(every) {
                ring.push(time_ms, counts);
            }
        }
        self.churn.push(time_ms, churn);
        self.rounds += 1;
    }

    /// The whole broker's samples in the resolution that fits a range of that many milliseconds best.
    pub(crate) fn overview(&self, range_ms: u64) -> &Ring {
        self.overview.iter().find(|ring| ring.reach_ms() >= range_ms).unwrap_or(self.longest())
    }

    fn longest(&self) -> &Ring {
        self.overview.iter().max_by_key(|ring| ring.reach_ms()).unwrap_or(&self.overview[0])
    }

    pub(crate) fn churn(&self) -> &Ring {
        &self.churn
    }
}

/// The histories of objects of one kind.
#[derive(Debug)]
pub(crate) struct Objects<K> {
    rings: FastMap<K, Ring>,
    last_round_ms: u64,
}

impl<K> Default for Objects<K> {
    fn default() -> Objects<K> {
        Objects { rings: FastMap::default(), last_round_ms: 0 }
    }
}

impl<K: Eq + Hash> Objects<K> {
    /// Notes all objects of the kind; those that are not among them are forgotten.
    pub(crate) fn sample(&mut self, time_ms: u64, objects: impl Iterator<Item = (K, Counts)>) {
        for (key, counts) in objects {
            let is_full = self.rings.len() >= OBJECTS_MAX;
            match self.rings.get_mut(&key) {
                Some(ring) => ring.note(time_ms, &counts),
                None if is_full => {}
                None => {
                    let mut ring = Ring::new(DETAIL);
                    ring.note(time_ms, &counts);
                    self.rings.insert(key, ring);
                }
            }
        }
        self.rings.retain(|_, ring| ring.seen_ms() == time_ms);
        self.last_round_ms = time_ms;
    }

    pub(crate) fn get(&self, key: &K) -> Option<&Ring> {
        self.rings.get(key)
    }
}

/// Which samples a request wants to see: `msg_rates_age=60&msg_rates_incr=5`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    age_ms: u64,
    step_ms: u64,
}

/// Samples of one answer.
const SAMPLES_MAX: u64 = 1000;

impl Range {
    pub(crate) fn parse(query: &Query, prefix: &str) -> Option<Range> {
        let seconds = |suffix: &str| query.get(&format!("{prefix}_{suffix}"))?.parse::<u64>().ok();
        let (age_ms, step_ms) = (seconds("age")?.checked_mul(1000)?, seconds("incr")?.checked_mul(1000)?);
        (step_ms > 0 && age_ms / step_ms <= SAMPLES_MAX).then_some(Range { age_ms, step_ms })
    }

    pub(crate) fn age_ms(self) -> u64 {
        self.age_ms
    }
}

/// `{"rate": ...}`, with samples if a range is asked for.
pub(crate) fn details(ring: Option<&Ring>, column: usize, range: Option<Range>) -> Value {
    let rate = ring.map_or(0.0, |ring| ring.rate(column));
    let (Some(ring), Some(range)) = (ring, range) else { return json!({"rate": rate}) };
    let samples = ring.samples(column, range.age_ms, range.step_ms);
    let sum: f64 = samples.iter().map(|sample| sample.value as f64).sum();
    let count = samples.len().max(1) as f64;
    json!({
        "rate": rate,
        "avg": sum / count,
        "avg_rate": average_rate(&samples),
        "samples": samples.iter().map(|it| json!({"sample": it.value, "timestamp": it.time_ms})).collect::<Vec<_>>(),
    })
}

fn average_rate(samples: &[Sample]) -> f64 {
    match (samples.first(), samples.last()) {
        (Some(newest), Some(oldest)) if newest.time_ms > oldest.time_ms => {
            let change = newest.value as f64 - oldest.value as f64;
            change * 1000.0 / (newest.time_ms - oldest.time_ms) as f64
        }
        _ => 0.0,
    }
}

const _: () = assert!(WIDTH <= 24, "a ring of a hundred thousand objects must fit");

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(first: u64) -> Counts {
        let mut counts = [0; WIDTH];
        counts[0] = first;
        counts
    }

    #[test]
    fn objects_that_are_gone_are_forgotten() {
        let mut objects = Objects::default();
        objects.sample(1000, [(1, counts(1)), (2, counts(1))].into_iter());
        objects.sample(2000, [(2, counts(1))].into_iter());
        assert!(objects.get(&1).is_none() && objects.get(&2).is_some());
    }

    #[test]
    fn details_have_samples_only_on_request() {
        let mut ring = Ring::new(DETAIL);
        ring.push(0, &counts(0));
        ring.push(5000, &counts(50));
        ring.push(10_000, &counts(150));
        assert_eq!(details(Some(&ring), 0, None), json!({"rate": 20.0}));
        assert_eq!(details(None, 0, None), json!({"rate": 0.0}));
        let range = Range::parse(&Query::parse("x_age=10&x_incr=5"), "x");
        let shown = details(Some(&ring), 0, range);
        assert_eq!(shown["samples"].as_array().unwrap().len(), 3);
        assert_eq!(shown["samples"][0], json!({"sample": 150, "timestamp": 10_000}));
        assert_eq!((&shown["avg_rate"], &shown["rate"]), (&json!(15.0), &json!(20.0)));
    }

    #[test]
    fn ranges_are_bounded() {
        let check = |query: &str, expected: bool| {
            assert_eq!(Range::parse(&Query::parse(query), "x").is_some(), expected, "{query}")
        };
        check("x_age=60&x_incr=5", true);
        check("x_age=60", false);
        check("x_age=60&x_incr=0", false);
        check("x_age=99999999999999999999&x_incr=5", false);
        check("x_age=18446744073709551615&x_incr=5", false);
        check("x_age=100000&x_incr=1", false);
    }

    #[test]
    fn the_overview_keeps_coarser_samples_longer() {
        let mut history = History::default();
        for round in 0..2000 {
            history.sample_overview(round * 5000, &counts(round), &counts(0));
        }
        assert_eq!(history.overview(60_000).reach_ms(), 600_000);
        assert_eq!(history.overview(3_600_000).reach_ms(), 166 * 60_000);
        assert!(history.overview(u64::MAX).reach_ms() >= 166 * 60_000);
    }
}
