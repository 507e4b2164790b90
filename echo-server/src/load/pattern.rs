//! The endless pattern that connections send stretches of, so that every byte that comes back can be checked.

/// Bytes after which the pattern repeats: a prime, so that no number of requests of one size (but this) is a whole period,
/// and a lost request shows.
const PERIOD: usize = 65_521;

/// The longest stretch that is looked at in one piece.
pub(super) const STRETCH_MAX: usize = 64 * 1024;

/// Each byte value but the lower-case letters, which a server that answers in upper case would change.
const VALUES: u64 = 256 - 26;

/// One period, and as much again as a stretch that starts at its end needs.
pub(super) struct Pattern(Box<[u8]>);

impl Pattern {
    pub(super) fn new() -> Pattern {
        let period: Vec<u8> = (0..PERIOD as u64).map(byte).collect();
        Pattern(period.iter().copied().cycle().take(PERIOD + STRETCH_MAX).collect())
    }

    /// The bytes at `offset`, `wanted` of them or [`STRETCH_MAX`].
    pub(super) fn stretch(&self, offset: u64, wanted: u64) -> &[u8] {
        let start = (offset % PERIOD as u64) as usize;
        let length = wanted.min(STRETCH_MAX as u64) as usize;
        &self.0[start..start + length]
    }

    /// Where `bytes` first differ from the pattern at `offset`.
    pub(super) fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = offset;
        for part in bytes.chunks(STRETCH_MAX) {
            let expected = self.stretch(at, part.len() as u64);
            if part != expected {
                let same = part.iter().zip(expected).take_while(|(a, b)| a == b).count();
                return Some(at - offset + same as u64);
            }
            at += part.len() as u64;
        }
        None
    }
}

/// Mixed, so that neighbouring periods of small length do not occur.
fn byte(index: u64) -> u8 {
    let mixed = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let value = ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32) % VALUES;
    let value = value as u8;
    if value < b'a' { value } else { value + 26 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_case_changes_nothing() {
        let pattern = Pattern::new();
        assert!(!pattern.0.iter().any(u8::is_ascii_lowercase));
        assert!((0..=255u8).filter(|byte| !byte.is_ascii_lowercase()).all(|byte| pattern.0.contains(&byte)));
    }

    #[test]
    fn stretches_continue_each_other_across_the_period() {
        let pattern = Pattern::new();
        for offset in [0, 1, PERIOD as u64 - 1, PERIOD as u64, 3 * PERIOD as u64 - 7] {
            let whole = pattern.stretch(offset, 100).to_vec();
            let parts = [pattern.stretch(offset, 60), pattern.stretch(offset + 60, 40)].concat();
            assert_eq!(whole, parts);
        }
        assert_eq!(pattern.stretch(0, u64::MAX).len(), STRETCH_MAX);
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        let pattern = Pattern::new();
        let good: Vec<u8> = (0..4).flat_map(|n| pattern.stretch(5 + n * 50_000, 50_000).to_vec()).collect();
        assert_eq!(pattern.first_difference(5, &good), None);
        for at in [0, 1, 65_535, 65_536, 199_999] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(pattern.first_difference(5, &bad), Some(at as u64));
        }
        let lost = [&good[..640], &good[704..]].concat();
        assert_eq!(pattern.first_difference(5, &lost).map(|at| at / 64), Some(10));
    }
}
