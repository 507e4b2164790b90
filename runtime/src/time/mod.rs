//! Time: the clock of the current driver, sleeping, and `timeout` around any blocking calls.
//!
//! On the simulated driver time is virtual: it stands still while anything can run and jumps to the next deadline when
//! nothing can.

pub(crate) mod wheel;

use std::time::{Duration, Instant, SystemTime};

use crate::coroutine::current;
use crate::coroutine::park::{Parker, WaitError};
use crate::coroutine::task::Wait;
use crate::coroutine::yield_now;

pub use crate::cancel::{Elapsed, timeout};

/// The monotonic clock.
///
/// ```
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// use leveret_runtime::{sleep, time};
/// let start = time::now();
/// sleep(std::time::Duration::from_secs(3));
/// assert_eq!(time::now() - start, std::time::Duration::from_secs(3));
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn now() -> Instant {
    current::with(|shard| shard.driver.now())
}

/// The moment `limit` from now; `None`, which never comes, if it is beyond the clock's range.
pub(crate) fn deadline_in(limit: Duration) -> Option<Instant> {
    now().checked_add(limit) // the clock itself: what a coroutine knows of it may be old if it has computed for long
}

/// What a duration beyond the clock's range stands for where there has to be a deadline.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The wall clock: for stamps that people or other machines read, never for measuring.
///
/// ```
/// use std::time::SystemTime;
/// use leveret_runtime::time;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let before = time::system_now();
/// leveret_runtime::sleep(std::time::Duration::from_secs(1));
/// assert!(time::system_now() > before); // a simulation's has a date of its own
/// assert!(before > SystemTime::UNIX_EPOCH);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn system_now() -> SystemTime {
    current::with(|shard| shard.driver.system_now())
}

/// Waits for `duration`, never less, and about a millisecond more at most on an idle machine. Zero yields.
///
/// ```
/// use std::time::Duration;
/// let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// runtime.run(|| leveret_runtime::sleep(Duration::from_secs(86_400))).unwrap(); // a virtual day, at once
/// ```
///
/// A kill or an expired [`timeout`] strikes here, as at any wait. A duration beyond the clock's range is a century.
///
/// # Panics
/// Outside of a coroutine, and in a destructor while the stack unwinds.
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return yield_now();
    }
    sleep_until(deadline_in(duration).unwrap_or_else(|| now() + CENTURY));
}

/// Waits until `deadline`; not at all if it is past.
///
/// ```
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// use leveret_runtime::time;
/// let deadline = time::now() + std::time::Duration::from_secs(3);
/// time::sleep_until(deadline);
/// assert_eq!(time::now(), deadline);
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`sleep`].
pub fn sleep_until(deadline: Instant) {
    while current::with(|shard| shard.now()) < deadline {
        let parker = Parker::arm().unwrap_or_else(|unwinding| panic!("sleep: {unwinding}"));
        match parker.park(Wait::Sleep, Some(deadline)) {
            Ok(()) | Err(WaitError::TimedOut) => {}
            Err(WaitError::Unwinding) => unreachable!("arm has checked it"),
        }
    }
}
