//! A bounded pool of threads for work that would block a shard: files, DNS, heavy computing.
//!
//! Threads start as work comes, up to the limit, and wait for more; what exceeds them queues in order. On the simulated
//! driver the work runs in place, so that a run is the same every time.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::coroutine::contain::discard;
use crate::coroutine::current;
use crate::coroutine::park::{Parker, Unwinding};
use crate::coroutine::task::Wait;
use crate::mailbox::RemoteWaiter;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

struct Inner {
    queue: Mutex<Queue>,
    work: Condvar,
    threads_max: usize,
}

/// The pool of a runtime.
pub(crate) struct Pool(Arc<Inner>);

impl Pool {
    pub(crate) fn new(threads_max: usize) -> Pool {
        Pool(Arc::new(Inner { queue: Mutex::default(), work: Condvar::new(), threads_max }))
    }

    fn submit(&self, job: Job) {
        let inner = &self.0;
        let mut queue = inner.lock();
        queue.jobs.push_back(job);
        inner.work.notify_one();
        // A thread counts as idle until it has woken up: each of them is good for one of the jobs that wait, no more.
        if queue.jobs.len() > queue.idle && queue.threads < inner.threads_max {
            queue.threads += 1;
            let theirs = inner.clone();
            let thread = std::thread::Builder::new().name(format!("offload-{}", queue.threads));
            if let Err(error) = thread.spawn(move || theirs.work()) {
                queue.threads -= 1;
                assert!(queue.threads > 0, "no thread for blocking work: {error}");
            }
        }
    }

    /// Lets idle threads end; those at work end after their job.
    pub(crate) fn stop(&self) {
        let mut queue = self.0.lock();
        queue.stopped = true;
        let jobs = std::mem::take(&mut queue.jobs);
        self.0.work.notify_all();
        drop(queue);
        drop(jobs); // outside of the lock: destructors may do anything
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                // What is left of it may be the value of a caller that is gone, with a destructor that panics.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                    discard(payload);
                }
                queue = self.lock();
            } else if queue.stopped {
                queue.threads -= 1;
                return;
            } else {
                queue.idle += 1;
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
            }
        }
    }
}

type Outcome<T> = Result<T, Box<dyn Any + Send>>;

struct Slot<T> {
    outcome: Option<Outcome<T>>,
    waiter: Option<RemoteWaiter>,
}

/// Runs `f` on the thread pool and waits for its value; the shard goes on meanwhile.
///
/// If the caller is killed or timed out while it waits, `f` still runs to its end and its value is dropped on the pool's
/// thread. If it was so before, `f` does not begin. When the runtime ends, work that has not begun is dropped, and what has
/// begun goes on by itself. On the simulated driver `f` runs in place.
///
/// ```
/// # leveret_runtime::run(|| {
/// let length = leveret_runtime::offload(|| std::fs::read("Cargo.toml").map(|bytes| bytes.len()));
/// assert!(length.unwrap() > 0);
/// # }).unwrap();
/// ```
///
/// ```
/// use leveret_runtime::{JoinError, offload, spawn};
/// # leveret_runtime::run(|| {
/// let failed = spawn(|| offload(|| -> u32 { "many".parse().expect("a number") })).join();
/// assert!(matches!(failed, Err(JoinError::Panicked(_)))); // a panic over there is one here
/// # }).unwrap();
/// ```
///
/// # Panics
/// With the panic of `f`; outside of a coroutine; and in a destructor while the stack unwinds.
pub fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    if current::with(|shard| shard.driver.is_simulated()) {
        return f();
    }
    // Whoever cannot wait, or is killed or timed out by now, does not begin.
    let _ = Parker::arm().unwrap_or_else(|unwinding| panic!("offload: {unwinding}"));
    let slot = Arc::new(Mutex::new(Slot { outcome: None, waiter: None }));
    let theirs = slot.clone();
    current::with(|shard| {
        shard.shared.offload.submit(Box::new(move || deliver(&theirs, catch_unwind(AssertUnwindSafe(f)))));
    });
    match await_outcome(&slot) {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload),
    }
}

/// [`offload`] for calls that can fail, which includes that they are made while the stack unwinds.
pub(crate) fn offload_io<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    match std::thread::panicking() {
        true => Err(Unwinding.into()),
        false => offload(f),
    }
}

fn deliver<T>(slot: &Mutex<Slot<T>>, outcome: Outcome<T>) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.outcome = Some(outcome);
    let waiter = slot.waiter.take();
    drop(slot);
    if let Some(waiter) = waiter {
        waiter.wake();
    }
}

fn await_outcome<T>(slot: &Mutex<Slot<T>>) -> Outcome<T> {
    loop {
        let parker = Parker::arm().unwrap_or_else(|unwinding| panic!("offload: {unwinding}"));
        let mut guard = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = guard.outcome.take() {
            return outcome;
        }
        guard.waiter = Some(parker.remote());
        drop(guard);
        let woken = parker.park(Wait::Offload, None);
        debug_assert!(woken.is_ok(), "there is no deadline, and arm has checked for unwinding");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// The value of a job whose caller was killed is dropped on the pool; its panic took the thread away for good.
    #[test]
    fn a_destructor_that_panics_on_the_pool_costs_no_thread() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a destructor, on purpose");
            }
        }
        let runtime = crate::Runtime::builder().offload_threads(1).build().unwrap();
        runtime
            .run(|| {
                let (release, gate) = mpsc::channel::<()>();
                let victim = crate::spawn(move || {
                    offload(move || {
                        let _ = gate.recv();
                        Bomb
                    })
                });
                crate::yield_now();
                victim.kill();
                assert!(victim.join().is_err());
                drop(release);
                assert_eq!(offload(|| 3), 3);
            })
            .unwrap();
    }

    #[test]
    fn a_killed_caller_does_not_begin() {
        let (sender, began) = mpsc::channel();
        crate::run(move || {
            let victim = crate::spawn(move || {
                crate::yield_now();
                offload(move || sender.send(()))
            });
            crate::yield_now();
            victim.kill();
            assert!(victim.join().is_err());
            assert!(began.recv().is_err(), "the sender went without sending");
        })
        .unwrap();
    }

    /// Two jobs that came while one thread was idle both counted on that thread: the second one waited for the first to
    /// end, although the first waited for the second.
    #[test]
    fn a_job_never_waits_behind_another_while_threads_may_start() {
        crate::run(|| {
            for _ in 0..200 {
                offload(|| ()); // leaves an idle thread
                let (release, gate) = mpsc::channel();
                let first = crate::spawn(|| offload(move || gate.recv().is_ok()));
                let second = crate::spawn(move || offload(move || release.send(()).is_ok()));
                assert!(first.join().unwrap() && second.join().unwrap());
            }
        })
        .unwrap();
    }
}
