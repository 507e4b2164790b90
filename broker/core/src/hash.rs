//! A fast hasher, keyed once for the whole process.
//!
//! Two reasons for not taking the standard one. Replay: a seed must repeat a run exactly, so iteration order may depend
//! on nothing but the key that [`key_hashes`] was given (tests give none). Speed: keys here are small integers and short
//! names, for which SipHash costs more than the lookup itself. One multiplication of 64 by 64 to 128 bits folds each word into the state (a *folded multiply*),
//! which mixes high bits into low ones, so that hash tables that use either end are served well.
//!
//! The key is there for clients who would pick names that collide. Start and multiplier are both secret, and no hash is
//! ever shown: results that must be the same in every process come from [`stable_hasher`] instead. It is no
//! cryptographic hash; who could measure lookups to the nanosecond over a network might learn something of the key.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// A `HashMap` with [`FoldHasher`].
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FoldHasher>>;
/// A `HashSet` with [`FoldHasher`].
pub type FastSet<K> = HashSet<K, BuildHasherDefault<FoldHasher>>;

/// Odd and without pattern: the fractional digits of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Starting state, so that a single zero does not hash to zero: fractional digits of the square root of two.
const START: u64 = 0x6a09_e667_f3bc_c908;

static KEY: [AtomicU64; 2] = [AtomicU64::new(START), AtomicU64::new(MULTIPLIER)];

/// Keys every hash of this process. To be called before the first map is filled, or not at all: what is in a map already
/// would not be found again.
pub fn key_hashes(random: [u64; 2]) {
    // Any odd number with ones and zeros well mixed multiplies well; the exclusive or keeps the mixture of a bad draw.
    let key = [random[0] ^ START, (random[1] ^ MULTIPLIER) | 1 | 1 << 63];
    for (place, key) in KEY.iter().zip(key) {
        place.store(key, Ordering::Relaxed);
    }
}

/// See the module's description.
#[derive(Clone, Copy, Debug)]
pub struct FoldHasher {
    state: u64,
    multiplier: u64,
}

impl Default for FoldHasher {
    #[inline]
    fn default() -> Self {
        let [state, multiplier] = &KEY;
        Self { state: state.load(Ordering::Relaxed), multiplier: multiplier.load(Ordering::Relaxed) }
    }
}

/// A hasher whose results may be relied on in other processes: for choices that must survive a restart.
pub(crate) fn stable_hasher() -> FoldHasher {
    FoldHasher { state: START, multiplier: MULTIPLIER }
}

impl FoldHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.multiplier);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FoldHasher {
    /// Whole words, then the last one, which may overlap: no copying of odd lengths. The length tells "a" from "a\0".
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64) << 56;
        if let Some(last) = bytes.last_chunk::<8>() {
            for word in bytes[..bytes.len() - 1].as_chunks::<8>().0 {
                self.fold(u64::from_le_bytes(*word));
            }
            self.fold(u64::from_le_bytes(*last) ^ length);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            self.fold((u64::from(first) | u64::from(last) << 32) ^ length);
        } else {
            let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.fold(word ^ length);
        }
    }

    /// Cheap, because it mostly ends a string, whose length is in the state already.
    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.state = self.state.rotate_left(8) ^ u64::from(value);
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.fold(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault};

    fn hash<T: std::hash::Hash>(value: T) -> u64 {
        BuildHasherDefault::<FoldHasher>::default().hash_one(value)
    }

    #[test]
    fn near_keys_differ() {
        let check = |a: &str, b: &str| assert_ne!(hash(a), hash(b), "{a:?} {b:?}");
        check("", "\0");
        check("a", "a\0");
        check("a", "b");
        check("abcdefgh", "abcdefgh\0");
        check("abcdefgh1", "abcdefgh2");
        check("abcdefgh", "abcdefghh");
        check("abcd", "abcdd");
        check("aaaa", "aaaaa");
        check("aaaaaaaa", "aaaaaaaaa");
        check("aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaa");
    }

    #[test]
    fn names_spread_over_low_and_high_bits() {
        for shift in [0, 57] {
            let mut seen = [0; 128];
            for n in 0..12_800u64 {
                seen[((hash(format!("queue.{n}")) >> shift) & 127) as usize] += 1;
            }
            assert!(seen.iter().all(|&count| (50..200).contains(&count)), "{seen:?}");
        }
    }

    #[test]
    fn sequential_integers_spread_over_low_and_high_bits() {
        for shift in [0, 57] {
            let mut seen = [0; 128];
            for n in 0..12_800u64 {
                seen[((hash(n) >> shift) & 127) as usize] += 1;
            }
            assert!(seen.iter().all(|&count| (50..200).contains(&count)), "{seen:?}");
        }
    }

    #[test]
    fn equal_keys_have_equal_hashes() {
        assert_eq!(hash(1u64), hash(1u64));
        assert_eq!(hash("amq.topic"), hash(String::from("amq.topic")));
    }

    #[test]
    fn a_stable_hash_is_the_same_in_every_process() {
        let mut hasher = stable_hasher();
        std::hash::Hash::hash("amq.topic", &mut hasher);
        assert_eq!(hasher.finish(), 0x15c3_b030_ebb6_231d, "keys go the same ways after an upgrade, too");
    }
}
