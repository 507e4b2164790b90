//! Descriptors as a scarce thing: who has run out of them waits here until this process closes one.
//!
//! The limit is the process's, so this is one list for all shards (and all runtimes) of it. Closing a socket looks at one
//! flag; only while somebody waits does it cost more. A descriptor that somebody else closes (a file, a foreign library)
//! is not noticed: whoever waits here also looks again after a while.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::coroutine::current;
use crate::coroutine::park::{Parker, Unwinding, WaitError};
use crate::coroutine::task::Wait;
use crate::driver::sim::World;
use crate::mailbox::RemoteWaiter;

static AWAITED: AtomicBool = AtomicBool::new(false);
static WAITERS: Mutex<Vec<RemoteWaiter>> = Mutex::new(Vec::new());

/// Tells whoever waits that a descriptor is about to be closed, or was.
#[inline]
pub(crate) fn freed() {
    if AWAITED.load(Ordering::Relaxed) {
        wake_all();
    }
}

#[cold]
fn wake_all() {
    let waiters = {
        let mut waiters = WAITERS.lock().unwrap_or_else(PoisonError::into_inner);
        AWAITED.store(false, Ordering::Release);
        std::mem::take(&mut *waiters)
    };
    waiters.into_iter().for_each(RemoteWaiter::wake);
}

/// Parks until a descriptor was freed, or `deadline`.
pub(crate) fn wait_freed(deadline: Instant) -> Result<(), WaitError> {
    let parker = Parker::arm().map_err(|Unwinding| WaitError::Unwinding)?;
    let waiting = Waiting { waiter: parker.remote(), world: current::with(|shard| shard.driver.world().cloned()) };
    if let Some(world) = &waiting.world {
        world.wait_freed(waiting.waiter.clone());
    } else {
        let mut waiters = WAITERS.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.push(waiting.waiter.clone());
        AWAITED.store(true, Ordering::Release);
    }
    parker.park(Wait::Sync("a free descriptor"), Some(deadline))
}

/// A place in the list, left when dropped (also by unwinding): else whoever looks again and again would fill it.
struct Waiting {
    waiter: RemoteWaiter,
    /// A simulation has a list of its own: what other threads of the process close is none of its business.
    world: Option<Rc<World>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        match &self.world {
            Some(world) => world.forget_waiter(&self.waiter),
            None => WAITERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|waiter| !waiter.is(&self.waiter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time;

    #[test]
    fn a_waiter_wakes_when_one_is_freed_or_at_its_deadline() {
        let check = |builder: crate::RuntimeBuilder, free: fn()| {
            let body = move || {
                let start = time::now();
                let hour = start + Duration::from_secs(3600);
                let waiter = crate::spawn(move || wait_freed(hour));
                crate::yield_now();
                free();
                assert_eq!(waiter.join().unwrap(), Ok(()));
                assert!(time::now() < hour);
                assert_eq!(wait_freed(time::now()), Err(WaitError::TimedOut));
            };
            builder.build().unwrap().run(body).unwrap();
        };
        let free_simulated = || current::with(|shard| shard.driver.world().unwrap().wake_freed());
        check(crate::Runtime::builder().simulated(1), free_simulated);
        check(crate::Runtime::builder(), freed);
    }
}
