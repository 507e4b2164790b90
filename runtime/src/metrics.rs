//! What a shard counts. Plain cells: the shard alone writes them, `stats` copies them.

use std::cell::Cell;

use crate::coroutine::current;

#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.get()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) turns: Counter,
    pub(crate) switches: Counter,
    pub(crate) polls: Counter,
    pub(crate) spawned: Counter,
}

/// A shard's counters at one moment. All but the last three count since the shard started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Times that a coroutine was resumed.
    pub switches: u64,
    /// Times that the kernel was asked for events.
    pub polls: u64,
    /// Coroutines spawned.
    pub spawned: u64,
    /// Times that mail woke the shard from its sleep in the kernel; mail to a shard that is busy does not.
    pub woken: u64,
    /// Coroutines that have not ended.
    pub coroutines: usize,
    /// Stacks on loan.
    pub stacks: usize,
    /// Registered descriptors.
    pub descriptors: usize,
}

/// The counters of the current shard.
///
/// # Panics
/// Outside of a runtime.
pub fn stats() -> Stats {
    current::with(|shard| Stats {
        turns: shard.counters.turns.value(),
        switches: shard.counters.switches.value(),
        polls: shard.counters.polls.value(),
        spawned: shard.counters.spawned.value(),
        woken: shard.inbox.woken(),
        coroutines: shard.coroutines(),
        stacks: shard.stacks.in_use(),
        descriptors: shard.sources.len(),
    })
}
