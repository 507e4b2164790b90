//! How long a test waits for something that should happen at once.
//!
//! One limit for everything, and a long one: it only ends a test that has failed already, so it must not fail one that
//! merely runs on a slow or busy machine.

use std::env;
use std::sync::OnceLock;
use std::time::Duration;

const PATIENCE_DEFAULT_SECS: u64 = 180;

/// The longest wait for one event. `LEVERET_TEST_PATIENCE_SECS` changes it.
///
/// # Panics
/// When the variable is not a whole number of seconds.
pub fn patience() -> Duration {
    static PATIENCE: OnceLock<Duration> = OnceLock::new();
    *PATIENCE.get_or_init(|| Duration::from_secs(configured_secs()))
}

fn configured_secs() -> u64 {
    match env::var("LEVERET_TEST_PATIENCE_SECS") {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("LEVERET_TEST_PATIENCE_SECS={text}: not a number of seconds"))
        }
        Err(_) => PATIENCE_DEFAULT_SECS,
    }
}
