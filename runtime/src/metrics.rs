//! What a shard counts. Plain cells: the shard alone writes them, `stats` copies them.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use crate::coroutine::current;
use crate::coroutine::task::State;
use crate::shard::Shard;

#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get() + n);
    }

    /// For a high-water mark instead of a count.
    #[inline]
    pub(crate) fn raise(&self, n: u64) {
        self.0.set(self.0.get().max(n));
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
    pub(crate) mail_most: Counter,
    pub(crate) longest_turn_nanos: Counter,
}

/// A shard's counters at one moment. `turns` to `longest_turn` are since the shard started, the others are as things stand.
///
/// Printed, it is a line for each: its name and its value.
///
/// ```
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let text = leveret_runtime::stats().to_string();
/// assert!(text.lines().any(|line| line.starts_with("switches")));
/// # }).unwrap();
/// ```
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
    /// The most coroutines that had a stack at once.
    pub stacks_most: usize,
    /// The most letters that were taken from the shard's inbox at once.
    pub mail_most: usize,
    /// The longest turn: for so long nobody looked at sockets and timers. Always zero on the simulated driver.
    pub longest_turn: Duration,
    /// Coroutines that have not ended.
    pub coroutines: usize,
    /// Those of them that wait.
    pub parked: usize,
    /// Those of them that could run now.
    pub ready: usize,
    /// Deadlines that are waited for.
    pub timers: usize,
    /// Letters in the shard's inbox.
    pub mail: usize,
    /// Stacks on loan.
    pub stacks: usize,
    /// Registered descriptors.
    pub descriptors: usize,
}

impl Stats {
    fn of(shard: &Shard) -> Stats {
        let counters = &shard.counters;
        Stats {
            turns: counters.turns.value(),
            switches: counters.switches.value(),
            polls: counters.polls.value(),
            spawned: counters.spawned.value(),
            woken: shard.inbox.woken(),
            stacks_most: shard.stacks.most(),
            mail_most: counters.mail_most.value() as usize,
            longest_turn: Duration::from_nanos(counters.longest_turn_nanos.value()),
            coroutines: shard.coroutines(),
            parked: shard.coroutines_in(State::Parked),
            ready: shard.coroutines_in(State::Ready),
            timers: shard.timers(),
            mail: shard.inbox.depth(),
            stacks: shard.stacks.in_use(),
            descriptors: shard.sources.len(),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { turns, switches, polls, spawned, woken, stacks_most, mail_most, longest_turn, .. } = self;
        let Stats { coroutines, parked, ready, timers, mail, stacks, descriptors, .. } = self;
        let micros = longest_turn.as_micros();
        writeln!(f, "turns {turns}\nswitches {switches}\npolls {polls}\nspawned {spawned}\nwoken {woken}")?;
        writeln!(f, "stacks_most {stacks_most}\nmail_most {mail_most}\nlongest_turn_us {micros}")?;
        writeln!(f, "coroutines {coroutines}\nparked {parked}\nready {ready}\ntimers {timers}")?;
        writeln!(f, "mail {mail}\nstacks {stacks}\ndescriptors {descriptors}")
    }
}

/// The counters of the current shard. Counting the parked ones looks at every coroutine; the rest is at hand.
///
/// ```
/// # leveret_runtime::run(|| {
/// let before = leveret_runtime::stats();
/// let _parked = leveret_runtime::spawn(|| leveret_runtime::sync::Event::new().wait());
/// leveret_runtime::yield_now();
/// let after = leveret_runtime::stats();
/// assert_eq!((after.spawned, after.parked), (before.spawned + 1, before.parked + 1));
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn stats() -> Stats {
    current::with(Stats::of)
}
