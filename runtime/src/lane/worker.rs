//! A lane that owns a value and is handed closures.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Lane, reply};
use crate::coroutine::join::{JoinError, outcome};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread that owns a value, such as an open database: others hand it closures, which it runs one after the other.
///
/// The way for libraries that block, or that hold locks of their own across their file calls. Clones reach the same value,
/// which is dropped when the last of them is, or with the runtime.
///
/// ```
/// use leveret_runtime::lane::Worker;
/// # leveret_runtime::run(|| {
/// let words = Worker::start("words", || Ok(Vec::new())).unwrap();
/// words.call(|words| words.push("settle")).unwrap();
/// assert_eq!(words.call(|words| words.len()).unwrap(), 1);
/// # }).unwrap();
/// ```
pub struct Worker<S> {
    lane: Lane<Job<S>>,
}

impl<S: 'static> Worker<S> {
    /// Starts a thread with this name, and waits until `make` has made its value there.
    ///
    /// ```
    /// use leveret_runtime::lane::Worker;
    /// # leveret_runtime::run(|| {
    /// let opened = Worker::start("database", || std::fs::File::open("/no/such/file"));
    /// assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `make`, or that it panicked; the kernel gives no thread.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn start(name: &str, make: impl FnOnce() -> io::Result<S> + Send + 'static) -> io::Result<Worker<S>> {
        let (made, answer) = reply();
        let lane = Lane::start_on_thread(name, move || {
            let mut state = None;
            match make() {
                Ok(value) => {
                    state = Some(value);
                    made.send(Ok(()));
                }
                Err(error) => made.send(Err(error)),
            }
            move |jobs: &mut VecDeque<Job<S>>| {
                // Without a value nobody has the lane to send jobs with.
                while let (Some(state), Some(job)) = (&mut state, jobs.pop_front()) {
                    job(state);
                }
            }
        })?;
        match answer.wait() {
            Ok(made) => made.map(|()| Worker { lane }),
            Err(no_reply) => Err(io::Error::other(no_reply)),
        }
    }

    /// Runs `f` with the value and waits for what it returns. If the caller is killed or timed out while it waits, `f` runs
    /// all the same.
    ///
    /// ```
    /// use leveret_runtime::lane::Worker;
    /// # leveret_runtime::run(|| {
    /// let counter = Worker::start("counter", || Ok(0)).unwrap();
    /// assert_eq!(counter.call(|count| { *count += 1; *count }).unwrap(), 1);
    /// let lost = counter.call(|count| { *count += 1; panic!("half-way") });
    /// assert_eq!(lost.unwrap_err().message(), Some("half-way"));
    /// assert_eq!(counter.call(|count| *count).unwrap(), 2); // the value is still there
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The panic of `f`, after which the value is still there, however `f` has left it; that the worker has ended; that the
    /// caller unwinds and cannot wait.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn call<T: Send + 'static>(&self, f: impl FnOnce(&mut S) -> T + Send + 'static) -> Result<T, JoinError> {
        let (reply, answer) = reply();
        let job: Job<S> = Box::new(move |state| reply.send(outcome(catch_unwind(AssertUnwindSafe(|| f(state))))));
        if std::thread::panicking() {
            return Err(JoinError::Unwinding);
        }
        self.lane.send(job).map_err(|_| JoinError::Killed)?;
        answer.wait().unwrap_or(Err(JoinError::Killed))
    }
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Worker { lane: self.lane.clone() }
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("queued", &self.lane.len()).finish()
    }
}
