//! Remembered routes of topic exchanges.
//!
//! Publishers use few keys again and again. An entry holds as long as the exchange's *version* is the same; a virtual
//! host gives every exchange a new one, never used before, with each change to its bindings. So nothing has to be
//! cleared, and declares elsewhere do not matter.
//!
//! Each key has one place; a newcomer takes over its place and its buffers. Where newcomers have taken as many places as there
//! are, the keys are more than the places, and the table doubles, up to a limit: then what is remembered is found anew.
//! Memory is bounded by the constants below.

use std::hash::{Hash, Hasher};

use crate::exchange::Destination;
use crate::hash::FoldHasher;
use crate::ids::ExchangeId;

/// Places at first and at most; powers of two.
const PLACES_MIN: usize = 1 << 10;
const PLACES_MAX: usize = 1 << 14;
/// Longer routes are not worth remembering: copying them dominates.
const DESTINATIONS_MAX: usize = 64;

/// What a route depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Tells virtual hosts apart, too.
    pub(super) version: u64,
    pub(super) exchange: ExchangeId,
    pub(super) key: &'a str,
}

#[derive(Debug, Default)]
pub(super) struct RouteCache {
    /// Empty until first used.
    places: Vec<Route>,
    /// How many routes that still held were taken over by others of their exchange since the table has its size.
    evictions: usize,
}

#[derive(Clone, Debug)]
struct Route {
    version: u64,
    exchange: ExchangeId,
    key: String,
    destinations: Vec<Destination>,
}

impl RouteCache {
    #[inline]
    pub(super) fn find(&self, question: Question<'_>) -> Option<&[Destination]> {
        let route = self.places.get(place(question, self.places.len()))?;
        let is_it =
            route.version == question.version && route.exchange == question.exchange && route.key == question.key;
        is_it.then_some(&route.destinations)
    }

    pub(super) fn remember(&mut self, question: Question<'_>, destinations: &[Destination]) {
        if destinations.len() > DESTINATIONS_MAX {
            return;
        }
        if self.places.is_empty() || self.evictions > self.places.len() && self.places.len() < PLACES_MAX {
            self.grow();
        }
        let count = self.places.len();
        let Some(route) = self.places.get_mut(place(question, count)) else { return };
        self.evictions += usize::from(route.version == question.version);
        route.version = question.version;
        route.exchange = question.exchange;
        route.key.clear();
        route.key.push_str(question.key);
        route.destinations.clear();
        route.destinations.extend_from_slice(destinations);
    }

    #[cold]
    fn grow(&mut self) {
        let nothing = Route { version: 0, exchange: ExchangeId(0), key: String::new(), destinations: Vec::new() };
        let count = (2 * self.places.len()).clamp(PLACES_MIN, PLACES_MAX);
        self.places.clear();
        self.places.resize(count, nothing);
        self.evictions = 0;
    }
}

/// Where the route of a question is, in a table of `count` places (a power of two, or none).
#[inline]
fn place(question: Question<'_>, count: usize) -> usize {
    let mut hasher = FoldHasher::default();
    question.key.hash(&mut hasher);
    question.exchange.hash(&mut hasher);
    (hasher.finish() >> 32) as usize & count.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{QueueId, ShardId};

    #[test]
    fn the_table_grows_with_the_keys_in_use_and_no_further() {
        let check = |keys: usize, rounds: usize, places: usize, hits_min: usize| {
            let (mut cache, mut hits) = (RouteCache::default(), 0);
            for _ in 0..rounds {
                hits = 0;
                for number in 0..keys {
                    let key = format!("key.{number}");
                    let question = Question { version: 1, exchange: ExchangeId(1), key: &key };
                    let route = [Destination { queue: QueueId(number as u64), shard: ShardId(0) }];
                    match cache.find(question) {
                        Some(known) => {
                            assert_eq!(known, route);
                            hits += 1;
                        }
                        None => cache.remember(question, &route),
                    }
                }
            }
            assert_eq!(cache.places.len(), places);
            assert!(hits >= hits_min, "{hits} of {keys} were remembered");
        };
        check(10, 3, PLACES_MIN, 9);
        check(10_000, 9, PLACES_MAX, 4_000);
        check(200_000, 3, PLACES_MAX, 0);
    }
}
