//! Remembered routes of topic exchanges.
//!
//! Publishers use few keys again and again. An entry holds as long as the exchange's *version* is the same; a virtual
//! host gives every exchange a new one, never used before, with each change to its bindings. So nothing has to be
//! cleared, and declares elsewhere do not matter.
//!
//! The table has a fixed number of places, each key one of them; a newcomer takes over its place and its buffers.
//! Memory is bounded by the constants below.

use std::hash::{Hash, Hasher};

use crate::exchange::Destination;
use crate::hash::FoldHasher;
use crate::ids::ExchangeId;

/// Places, as a power of two.
const PLACES_BITS: u32 = 10;
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
        let route = self.places.get(place(question))?;
        let is_it =
            route.version == question.version && route.exchange == question.exchange && route.key == question.key;
        is_it.then_some(&route.destinations)
    }

    pub(super) fn remember(&mut self, question: Question<'_>, destinations: &[Destination]) {
        if destinations.len() > DESTINATIONS_MAX {
            return;
        }
        if self.places.is_empty() {
            let nothing = Route { version: 0, exchange: ExchangeId(0), key: String::new(), destinations: Vec::new() };
            self.places.resize(1 << PLACES_BITS, nothing);
        }
        let Some(route) = self.places.get_mut(place(question)) else { return };
        route.version = question.version;
        route.exchange = question.exchange;
        route.key.clear();
        route.key.push_str(question.key);
        route.destinations.clear();
        route.destinations.extend_from_slice(destinations);
    }
}

#[inline]
fn place(question: Question<'_>) -> usize {
    let mut hasher = FoldHasher::default();
    question.key.hash(&mut hasher);
    question.exchange.hash(&mut hasher);
    (hasher.finish() >> (u64::BITS - PLACES_BITS)) as usize
}
