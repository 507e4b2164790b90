//! Waiting for each other, on one shard: channels, queues, events, locks, conditions, groups, and the choice between several.
//!
//! A shard's coroutines run on one thread, so nothing here is atomic and nothing is `Send`; between shards, use
//! [`mailbox`](crate::mailbox). Everything is first come, first served: what is given up (a value, a permit, a lock) goes
//! to whoever has waited longest and cannot be taken by a passer-by meanwhile.
//!
//! Interruptions: a waiter that is killed, or whose [`timeout`](crate::timeout) is over, leaves its place and unwinds. One
//! that was already granted what it waited for gets it, and the interruption strikes at its next wait, so nothing
//! granted is ever lost. A destructor of an unwinding stack must not wait: calls with an error type say so, the others
//! panic.
//!
//! Mostly none of it is needed: nobody else of the shard runs between two waits.
//!
//! ```
//! use std::{cell::RefCell, collections::BTreeMap, rc::Rc};
//! use leveret_runtime::{join_all, spawn, sync::Semaphore, yield_now};
//! # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
//! let hits = Rc::new(RefCell::new(BTreeMap::new())); // shared, and never seen half changed
//! let at_once = Rc::new(Semaphore::new(2)); // for what does wait
//! let visitors: Vec<_> = ["/", "/queues", "/"].into_iter().map(|path| {
//!     let (hits, at_once) = (hits.clone(), at_once.clone());
//!     spawn(move || {
//!         let _permit = at_once.acquire();
//!         yield_now(); // an answer is written, say
//!         *hits.borrow_mut().entry(path).or_insert(0) += 1; // no wait inside
//!     })
//! }).collect();
//! join_all(visitors);
//! assert_eq!(hits.borrow()["/"], 2);
//! # }).unwrap();
//! ```
//!
//! All of these may be made, and used without waiting, outside of a runtime; waiting needs a coroutine.

pub mod barrier;
pub mod channel;
pub mod condvar;
pub mod event;
pub(crate) mod line;
pub mod mutex;
pub mod once_result;
pub mod queue;
pub mod reentrant;
pub mod rwlock;
pub mod select;
pub mod semaphore;
pub mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use channel::{bounded, unbounded};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use once_result::OnceResult;
pub use queue::{LifoQueue, PriorityQueue};
pub use reentrant::{ReentrantMutex, ReentrantMutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use select::Select;
pub use semaphore::{Semaphore, SemaphorePermit};
pub use wait_group::WaitGroup;

/// A call without an error type that would have to wait while the stack unwinds.
#[cold]
#[track_caller]
fn refuse(call: &str) -> ! {
    panic!("{call}: {}", crate::Unwinding)
}

#[cfg(test)]
mod testing {
    //! What the tests of this folder share.

    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use crate::Runtime;

    pub(super) const SECOND: Duration = Duration::from_secs(1);

    /// Runs on virtual time.
    pub(super) fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
        Runtime::builder().simulated(1).build().expect("a valid configuration").run(main).expect("no deadlock")
    }

    /// What coroutines did, in order.
    #[derive(Clone)]
    pub(super) struct Log<T>(Rc<RefCell<Vec<T>>>);

    impl<T> Log<T> {
        pub(super) fn new() -> Log<T> {
            Log(Rc::default())
        }

        pub(super) fn add(&self, entry: T) {
            self.0.borrow_mut().push(entry);
        }

        pub(super) fn take(&self) -> Vec<T> {
            self.0.take()
        }
    }
}
