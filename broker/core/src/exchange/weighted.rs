//! Consistent hashing: each key has one target, and a change of the bindings moves no more keys than it must.
//!
//! RabbitMQ lays out as many buckets as the weights add up to. Here every binding *bids* for every key instead (weighted
//! rendezvous hashing): a pseudo-random number made of the key's hash and the destination's name, stretched by the
//! binding's weight; the highest bid wins. When a binding goes, only its own keys move; when one comes, it takes its share and
//! nothing else moves. Shares are exactly proportional to weights, a weight of a billion costs no memory, and after a
//! restart the same keys go the same ways, since names decide. A message costs a few nanoseconds for each binding.

use std::hash::{Hash, Hasher};

use crate::hash::stable_hasher;
use crate::ids::Name;

use super::kind::weight;
use super::targets::Target;

#[derive(Debug)]
struct Bidder {
    target: Target,
    key: Name,
    weight: f64,
    /// Of the destination's name and the key: two bindings of one queue bid on their own.
    seed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct WeightedTable {
    bidders: Vec<Bidder>,
}

impl WeightedTable {
    /// Adds a pair that is not in the table. A key that is no weight (which a bind refuses) counts as 1.
    pub(crate) fn insert(&mut self, key: &Name, target: Target, label: &str) {
        let mut hasher = stable_hasher();
        (label, key, matches!(target, Target::Exchange(_))).hash(&mut hasher);
        let weight = f64::from(weight(key).unwrap_or(1));
        self.bidders.push(Bidder { target, key: key.clone(), weight, seed: hasher.finish() });
    }

    pub(crate) fn remove(&mut self, key: &str, target: Target) {
        if let Some(place) = self.bidders.iter().position(|it| it.target == target && &*it.key == key) {
            self.bidders.swap_remove(place);
        }
    }

    /// The winner; `None` without bindings.
    pub(crate) fn choose(&self, hash: u64) -> Option<Target> {
        let bids = self.bidders.iter().map(|bidder| (bidder.bid(hash), bidder.seed, bidder.target));
        bids.max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(.., target)| target)
    }
}

impl Bidder {
    /// With `u` evenly spread between 0 and 1, `-weight / ln u` is greatest for one of several bidders with a probability
    /// in proportion to its weight.
    fn bid(&self, hash: u64) -> f64 {
        let mixed = mix(hash ^ self.seed);
        // 53 bits are what a double holds; the half keeps it off 0 and 1.
        let even = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -self.weight / even.ln()
    }
}

/// Spreads every bit over all others (the finishing step of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ExchangeId;

    fn table(weights: &[u32]) -> WeightedTable {
        let mut table = WeightedTable::default();
        for (id, weight) in (0..).zip(weights) {
            table.insert(&weight.to_string().into(), Target::Exchange(ExchangeId(id)), &format!("x{id}"));
        }
        table
    }

    fn hash(n: u64) -> u64 {
        let mut hasher = stable_hasher();
        format!("key.{n}").hash(&mut hasher);
        hasher.finish()
    }

    fn choose(table: &WeightedTable, n: u64) -> u32 {
        match table.choose(hash(n)) {
            Some(Target::Exchange(id)) => id.0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn shares_follow_weights() {
        let check = |weights: &[u32]| {
            let (table, total) = (table(weights), f64::from(weights.iter().sum::<u32>()));
            let mut counts = vec![0u32; weights.len()];
            (0..20_000).for_each(|n| counts[choose(&table, n) as usize] += 1);
            for (count, weight) in counts.iter().zip(weights) {
                let expected = 20_000.0 * f64::from(*weight) / total;
                let deviation = (f64::from(*count) - expected).abs() / expected.sqrt();
                assert!(deviation < 5.0, "{weights:?}: {counts:?}");
            }
        };
        check(&[1]);
        check(&[1, 1]);
        check(&[1, 2, 3, 4]);
        check(&[7; 10]);
        check(&[1000, 1]);
    }

    #[test]
    fn only_the_keys_of_what_goes_or_comes_move() {
        let mut table = table(&[1, 2, 3, 4, 5]);
        let before: Vec<_> = (0..5_000).map(|n| choose(&table, n)).collect();
        let gone = Target::Exchange(ExchangeId(2));
        table.remove("3", gone);
        for (n, before) in (0..).zip(&before) {
            let now = choose(&table, n);
            assert!(now != 2 && (now == *before || *before == 2));
        }
        table.insert(&"3".into(), gone, "x2");
        assert!((0..).zip(&before).all(|(n, before)| choose(&table, n) == *before));
    }

    #[test]
    fn nobody_bids_in_an_empty_table() {
        assert_eq!(WeightedTable::default().choose(1), None);
    }
}
