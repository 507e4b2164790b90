//! Who is there and what does everybody wait for.
//!
//! [`coroutines`] lists the current shard's coroutines as values; [`dump`] and [`dump_with_backtraces`] print those of all
//! shards. [`stack_use`] says how deep stacks were used, for choosing their size. From outside of the process the same is to
//! be had by a signal ([`RuntimeBuilder::dump_on`](crate::RuntimeBuilder::dump_on)) and by the
//! [`backdoor`](crate::RuntimeBuilder::backdoor).

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use crate::coroutine::current;
use crate::coroutine::inspect::Inspection;
use crate::coroutine::task::{State, Task, Wait};
use crate::observe::{self, Answer};
use crate::offload::offload;
use crate::runtime::Shared;
use crate::shard::{Shard, ShardId};

mod frames;

/// One coroutine at one moment.
///
/// ```
/// use leveret_runtime::{Builder, coroutines, sleep, yield_now};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let sleeper = Builder::new().name("sleeper").spawn(|| sleep(std::time::Duration::from_secs(60))).unwrap();
/// sleep(std::time::Duration::from_secs(5));
/// let info = &coroutines()[1];
/// assert_eq!((info.name.as_str(), info.waited.as_secs(), info.age.as_secs()), ("sleeper", 5, 5));
/// sleeper.kill();
/// yield_now();
/// assert_eq!(coroutines().len(), 1);
/// # }).unwrap();
/// ```
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
/// ```
/// use leveret_runtime::{Builder, Wait, coroutines, sleep, yield_now};
/// # leveret_runtime::run(|| {
/// let _sleeper = Builder::new().name("sleeper").spawn(|| sleep(std::time::Duration::from_secs(60)));
/// yield_now();
/// let all = coroutines();
/// assert_eq!((all[1].name.as_str(), all[1].wait), ("sleeper", Wait::Sleep));
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn coroutines() -> Vec<CoroutineInfo> {
    current::with(|shard| shard.list())
}

/// Every coroutine of every shard, in a form for people: one line each. Waits for the other shards' answers; one that does
/// not answer within a second is reported with the coroutine that holds it.
///
/// ```
/// # leveret_runtime::run(|| {
/// let text = leveret_runtime::dump();
/// assert!(text.starts_with("1 coroutines:\n  0/1 'main' waits for "));
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a coroutine, and while the stack unwinds.
pub fn dump() -> String {
    dump_of(&current::with(|shard| shard.shared.clone()), false)
}

/// As [`dump`], with the frames of every coroutine that waits. Their names are looked up on the thread pool, which takes a
/// while the first time.
///
/// Each coroutine is resumed for a moment, on its own stack, to look at it; its wait goes on as if nothing had happened.
///
/// ```
/// # leveret_runtime::run(|| {
/// let text = leveret_runtime::dump_with_backtraces();
/// assert!(text.contains("'main'") && text.contains("dump_with_backtraces"));
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`dump`].
pub fn dump_with_backtraces() -> String {
    dump_of(&current::with(|shard| shard.shared.clone()), true)
}

/// The dump of a runtime, which need not be the caller's.
pub(crate) fn dump_of(shared: &Shared, backtraces: bool) -> String {
    match backtraces {
        false => render_shards(&observe::ask(shared, || current::with(|shard| shard.inspect(false)))),
        true => {
            let answers = observe::ask(shared, || current::with(|shard| shard.inspect(true)));
            offload(move || render_shards(&answers))
        }
    }
}

/// What every shard has said, or why it has not.
fn render_shards(answers: &[Answer<Vec<Inspection>>]) -> String {
    let mut text = String::new();
    let count: usize = answers.iter().filter_map(Answer::came).map(Vec::len).sum();
    let _ = writeln!(text, "{count} coroutines:"); // writing to a string does not fail
    for (shard, answer) in answers.iter().enumerate() {
        match answer {
            Answer::Came(list) => list.iter().for_each(|inspection| text.push_str(&render_inspection(inspection))),
            other => drop(writeln!(text, "  shard {shard} {other}")),
        }
    }
    text
}

fn render_inspection(inspection: &Inspection) -> String {
    let mut text = format!("  {}", inspection.info);
    if let Some(depth) = inspection.depth {
        let _ = write!(text, ", stack {} of {} KiB", depth.used / 1024, depth.size / 1024);
    }
    text.push('\n');
    if let Some(backtrace) = &inspection.backtrace {
        for frame in frames::readable_frames(&backtrace.to_string()) {
            let _ = writeln!(text, "      {frame}");
        }
    }
    text
}

/// One line a coroutine, with a count first.
fn render(list: &[CoroutineInfo]) -> String {
    let lines: Vec<String> = list.iter().map(|info| format!("  {info}\n")).collect();
    format!("{} coroutines:\n{}", list.len(), lines.concat())
}

/// How the stacks of one size were used on a shard.
///
/// ```
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let stacks = leveret_runtime::stack_use();
/// assert!(stacks[0].to_string().contains("in use"));
/// assert!(stacks[0].deepest <= stacks[0].size);
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackUse {
    /// Usable bytes of each.
    pub size: usize,
    /// On loan now.
    pub in_use: usize,
    /// The most that were on loan at once.
    pub most: usize,
    /// The most bytes that one of them was used to, in whole pages. What was given back to the kernel after a burst of
    /// coroutines, or swapped out, is not counted.
    pub deepest: usize,
}

impl fmt::Display for StackUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, deepest) = (self.size / 1024, self.deepest / 1024);
        write!(f, "{} of {size} KiB in use, {} at most, the deepest used to {deepest} KiB", self.in_use, self.most)
    }
}

/// How the current shard's stacks were used, by size; those of the default size come first. It looks at every page of all of
/// them: milliseconds for thousands.
///
/// ```
/// # leveret_runtime::run(|| {
/// let stacks = leveret_runtime::stack_use();
/// assert_eq!((stacks[0].size, stacks[0].in_use), (leveret_runtime::STACK_SIZE_DEFAULT, 1));
/// assert!(stacks[0].deepest > 0);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn stack_use() -> Vec<StackUse> {
    current::with(Shard::stack_use)
}

impl Shard {
    pub(crate) fn stack_use(&self) -> Vec<StackUse> {
        let uses = self.stacks.uses();
        uses.map(|(pool, in_use)| StackUse {
            size: pool.stack_size(),
            in_use,
            most: pool.most(),
            deepest: pool.deepest(),
        })
        .collect()
    }
}

/// Nothing can ever run again: every coroutine waits for another one.
///
/// ```
/// let ended = leveret_runtime::run(|| leveret_runtime::sync::Event::new().wait());
/// let deadlock = ended.unwrap_err();
/// assert_eq!(deadlock.waiting[0].name, "main");
/// assert!(deadlock.to_string().contains("'main' waits for an event"));
/// ```
#[derive(Clone, Debug)]
pub struct Deadlock {
    /// The coroutines that wait.
    pub waiting: Vec<CoroutineInfo>,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deadlock: nothing can run, no timer is set and no event can come; look for a value, an end or a lock in this \
             list that nobody is left to give; {}",
            render(&self.waiting)
        )
    }
}

impl std::error::Error for Deadlock {}
