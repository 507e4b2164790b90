//! Randomness of the current driver: the kernel's, or a simulation's seed.

use crate::coroutine::current;

/// Fills `bytes`. On the OS driver they are fit for secrets.
///
/// ```
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let mut key = [0; 32];
/// leveret_runtime::random::fill(&mut key);
/// assert_ne!(key, [0; 32]);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn fill(bytes: &mut [u8]) {
    current::with(|shard| shard.driver.random(bytes));
}

/// A random number.
///
/// ```
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// assert_ne!(leveret_runtime::random::u64(), leveret_runtime::random::u64());
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
