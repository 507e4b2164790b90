//! Randomness of the current driver: the kernel's, or a simulation's seed.

use crate::coroutine::current;

/// Fills `bytes`. On the OS driver they are fit for secrets.
///
/// # Panics
/// Outside of a runtime.
pub fn fill(bytes: &mut [u8]) {
    current::with(|shard| shard.driver.random(bytes));
}

/// A random number.
///
/// # Panics
/// Outside of a runtime.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
