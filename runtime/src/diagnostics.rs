//! Who is there and what does everybody wait for.

use std::fmt;
use std::time::{Duration, Instant};

use crate::coroutine::current;
use crate::coroutine::task::{State, Task, Wait};
use crate::remote;
use crate::shard::ShardId;

/// One coroutine at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoroutineInfo {
    /// The shard that it lives on.
    pub shard: ShardId,
    /// Its number since the shard started.
    pub number: u64,
    /// Its name, or the place that spawned it.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// What it waits for, if it is parked.
    pub wait: Wait,
    /// How long it has been waiting (parked or ready), to the precision of a turn.
    pub waited: Duration,
    /// Time since it was spawned.
    pub age: Duration,
}

impl CoroutineInfo {
    pub(crate) fn of(shard: ShardId, task: &Task, now: Instant) -> CoroutineInfo {
        CoroutineInfo {
            shard,
            number: task.number,
            name: task.name.to_string(),
            state: task.state.get(),
            wait: task.wait.get(),
            waited: now.saturating_duration_since(task.since.get()),
            age: now.saturating_duration_since(task.born),
        }
    }
}

impl fmt::Display for CoroutineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} '{}' ", self.shard, self.number, self.name)?;
        match self.state {
            State::Parked => write!(f, "waits for {}, since {:.3} s", self.wait, self.waited.as_secs_f64())?,
            State::Ready => write!(f, "is ready")?,
            State::Running => write!(f, "is running")?,
            State::Done => write!(f, "has ended")?,
        }
        write!(f, " (age {:.3} s)", self.age.as_secs_f64())
    }
}

/// Every coroutine of the current shard, oldest first.
///
/// # Panics
/// Outside of a runtime.
pub fn coroutines() -> Vec<CoroutineInfo> {
    current::with(|shard| shard.list())
}

/// Every coroutine of every shard, in a form for people: one line each. Waits for the other shards' answers.
///
/// # Panics
/// Outside of a coroutine.
pub fn dump() -> String {
    let lists: Vec<_> = remote::shards().map(|shard| remote::spawn_on(shard, coroutines)).collect();
    let mut all: Vec<CoroutineInfo> = lists.into_iter().filter_map(|list| list.join().ok()).flatten().collect();
    all.retain(|info| info.state != State::Running); // those that make the lists
    render(&all)
}

/// One line a coroutine, with a count first.
pub(crate) fn render(list: &[CoroutineInfo]) -> String {
    let lines: Vec<String> = list.iter().map(|info| format!("  {info}\n")).collect();
    format!("{} coroutines:\n{}", list.len(), lines.concat())
}

/// Nothing can ever run again: every coroutine waits for another one.
#[derive(Clone, Debug)]
pub struct Deadlock {
    /// The coroutines that wait.
    pub waiting: Vec<CoroutineInfo>,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deadlock: nothing can run, no timer is set and no event can come; {}", render(&self.waiting))
    }
}

impl std::error::Error for Deadlock {}
