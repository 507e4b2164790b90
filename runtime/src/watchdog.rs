//! The watchdog: a thread that reports a shard which has not looked at its sockets and timers for too long.
//!
//! A coroutine that computes for long, or makes a call that blocks the thread, stops every other coroutine of its shard.
//! Each shard counts its turns where the watchdog can see it; a turn that lasts longer than the limit is logged once, with
//! the name of the coroutine that holds it, which the shard's thread itself tells from a signal handler.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::interrupt;

/// The shortest time between two looks: a limit of nothing would have the thread do nothing else.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// What the watchdog sees of a shard. Written by the shard alone, twice a turn.
#[derive(Debug, Default)]
#[repr(align(64))] // a cache line of its own: shards do not slow each other down
pub(crate) struct Pulse {
    /// The turn in progress; zero while the shard waits in the kernel.
    turn: AtomicU64,
    /// The kernel's number of its thread.
    thread: AtomicI32,
}

impl Pulse {
    /// The shard runs on the calling thread.
    pub(crate) fn start(&self) {
        self.thread.store(interrupt::thread_number(), Ordering::Relaxed);
    }

    /// The number of the shard's thread.
    pub(crate) fn thread(&self) -> i32 {
        self.thread.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn begin_turn(&self, turn: u64) {
        self.turn.store(turn, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn end_turn(&self) {
        self.turn.store(0, Ordering::Relaxed);
    }
}

/// Ends the watchdog's thread.
#[derive(Debug, Default)]
pub(crate) struct Leash {
    released: Mutex<bool>,
    changed: Condvar,
}

impl Leash {
    /// Has the thread end soon.
    pub(crate) fn release(&self) {
        *self.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits; true if the thread is to end.
    fn wait(&self, limit: Duration) -> bool {
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(released, limit, |released| !*released);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What was seen of a shard last.
#[derive(Clone, Copy)]
struct Seen {
    turn: u64,
    since: Instant,
    reported: bool,
}

/// The watchdog's thread: looks twice within each `limit`.
pub(crate) fn watch(pulses: &[Pulse], limit: Duration, leash: &Leash) {
    let now = Instant::now();
    let mut seen = vec![Seen { turn: 0, since: now, reported: false }; pulses.len()];
    while !leash.wait((limit / 2).max(LOOK_MIN)) {
        let now = Instant::now();
        for (index, (pulse, seen)) in pulses.iter().zip(&mut seen).enumerate() {
            let turn = pulse.turn.load(Ordering::Relaxed);
            if turn == 0 || turn != seen.turn {
                *seen = Seen { turn, since: now, reported: false };
            } else if !seen.reported && now - seen.since >= limit {
                seen.reported = true;
                report(index, pulse, now - seen.since);
            }
        }
    }
}

fn report(shard: usize, pulse: &Pulse, stalled: Duration) {
    let name = interrupt::running_coroutine(pulse.thread());
    log::warn!(
        "shard {shard} has not looked at its sockets and timers for {:.3} s: coroutine '{}' holds it; give blocking work to \
         offload, and let long computations yield",
        stalled.as_secs_f64(),
        name.as_deref().unwrap_or("(unknown)")
    );
}
