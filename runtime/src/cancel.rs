//! `timeout` around any blocking calls: the block unwinds at whatever it waits for when its time is over.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::coroutine::current;
use crate::coroutine::park::Expired;
use crate::coroutine::task::{DeadlineFrame, Task};
use crate::time::{self, CENTURY};

/// The time of a [`timeout`] block was over before its work was done.
///
/// ```
/// # leveret_runtime::run(|| {
/// use std::time::Duration;
/// let waits = || leveret_runtime::sleep(Duration::from_secs(60));
/// let error = std::io::Error::from(leveret_runtime::timeout(Duration::from_millis(1), waits).unwrap_err());
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time allowed for this block is over")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, which may make any blocking calls, for at most `limit`. When the time is over the call that waits unwinds:
/// destructors run, and the block answers [`Elapsed`]. Blocks nest; the earliest deadline counts.
///
/// Only waits are cut short: a block that computes without waiting ends late and still succeeds. Code that catches
/// panics inside the block must pass on payloads that it does not know.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{sleep, timeout};
/// # leveret_runtime::run(|| {
/// assert!(timeout(Duration::from_millis(5), || sleep(Duration::from_secs(60))).is_err());
/// assert_eq!(timeout(Duration::from_secs(60), || 7), Ok(7));
/// # }).unwrap();
/// ```
///
/// ```
/// use std::io::{self, Read};
/// use std::time::Duration;
/// use leveret_runtime::{net::UnixStream, timeout};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (mut ours, _theirs) = UnixStream::pair().unwrap();
/// let mut header = [0; 8];
/// // Around whole conversations, with `?` through both kinds of failure:
/// let read = timeout(Duration::from_secs(5), || ours.read_exact(&mut header)).unwrap_or_else(|late| Err(late.into()));
/// assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`Elapsed`] when the time was over first.
///
/// # Panics
/// Outside of a coroutine; a panic of `f` goes on in the caller.
pub fn timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let id = next_id();
    // A limit beyond the clock's range is no limit worth keeping apart from a century.
    let deadline = time::deadline_in(limit).unwrap_or_else(|| time::now() + CENTURY);
    let frame = current::with(|shard| Frame::push(&current::task(shard), DeadlineFrame { id, deadline, thrown: 0 }));
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast_ref::<Expired>() {
            Some(Expired(expired)) if *expired == id => Err(Elapsed),
            _ => {
                drop(frame);
                resume_unwind(payload)
            }
        },
    }
}

fn next_id() -> u64 {
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(0) };
    }
    let id = NEXT.get() + 1;
    NEXT.set(id);
    id
}

/// A deadline on the coroutine's list for as long as this lives.
struct Frame {
    id: u64,
}

impl Frame {
    fn push(task: &Task, frame: DeadlineFrame) -> Frame {
        task.change_deadlines(|deadlines| deadlines.push(frame));
        Frame { id: frame.id }
    }
}

impl Drop for Frame {
    /// Usually the last one; but a block inside a generator ends in whichever coroutine resumes it then.
    fn drop(&mut self) {
        if let Some(task) = current::try_task() {
            task.change_deadlines(|deadlines| {
                if let Some(at) = deadlines.iter().rposition(|frame| frame.id == self.id) {
                    deadlines.remove(at);
                }
            });
        }
    }
}
