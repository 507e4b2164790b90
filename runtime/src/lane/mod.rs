//! Lanes: work of one kind, done in order by one thread of its own, in batches that make themselves.
//!
//! The thread pool behind [`fs`](crate::fs) and [`offload`](crate::offload) is for calls that do not know of each other. A
//! log is another matter: its writes go to one place in one order, and one sync serves all that was written before it. A
//! [`Lane`] is a thread that is handed everything that has come since it last looked:
//!
//! ```text
//!   shard 0 --send--\                                            +--> shard 0: its end-of-turn hook looks at `value()`
//!   shard 1 --send---> queue --all at once--> write, sync, advance --> a coroutine in `wait(position)` goes on
//!   shard 2 --send--/            ^                |
//!                                +----------------+  what comes meanwhile is the next batch
//! ```
//!
//! No timer decides how long to collect: while the disk syncs one batch, the next one gathers. A lone write is synced at
//! once; under load the batches grow by themselves, and the work function decides how much of the queue it takes.
//!
//! A group commit is this much:
//!
//! ```
//! use leveret_runtime::fs::File;
//! use leveret_runtime::lane::{Lane, Progress};
//! # leveret_runtime::run(|| {
//! # let path = std::env::temp_dir().join(format!("leveret-doc-lane-{}", std::process::id()));
//!
//! let log = File::create(&path).unwrap();
//! let durable = Progress::new(0); // bytes of the log that are synced
//! let mut end = 0;
//! let committer = Lane::start("committer", {
//!     let durable = durable.clone();
//!     move |batch: &mut std::collections::VecDeque<Vec<u8>>| {
//!         for record in batch.drain(..) {
//!             log.write_all_at(&record, end).expect("a log that cannot be written is the end");
//!             end += record.len() as u64;
//!         }
//!         log.sync_data().expect("a failed sync cannot be repeated");
//!         durable.advance(end); // wakes who waits for it, on whatever shard
//!     }
//! })
//! .unwrap();
//!
//! committer.send(b"a fact".to_vec()).unwrap(); // never waits
//! durable.wait(6).unwrap();                    // parks until the six bytes are on the disk
//! # leveret_runtime::fs::remove_file(&path).unwrap();
//! # }).unwrap();
//! ```
//!
//! One thread a disk is right: two that sync in turn get no more syncs out of it together, and four times the latency.
//!
//! What the work function may do: block, above all in the calls of [`fs`](crate::fs), which on a lane's thread go straight
//! to the kernel and copy nothing. What it may not: wait for a coroutine, sleep, spawn. On the simulated driver the lane is
//! a coroutine of the shard that started it, its file calls take virtual time, and the others run meanwhile: the same code
//! is tested under crashes and failing disks.
//!
//! [`Worker`] is the lane for a thing that wants to be used from one place, such as a database: it keeps the value and is
//! handed closures. [`reply`] is a one-time answer across threads, for jobs of your own that want one.

mod progress;
mod queue;
mod reply;
mod worker;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use progress::{Bell, Ended, Progress};
pub use reply::{Answer, NoReply, Reply, reply};
pub use worker::Worker;

use crate::coroutine::{Builder, current};
use crate::driver::sim::World;
use crate::runtime::Handle;
use queue::{Place, Queue};

/// Usable bytes of a lane's stack on the simulated driver, where it is a coroutine: as roomy as a thread's, for libraries.
const SIMULATED_STACK_SIZE: usize = 1024 * 1024;

/// Where jobs of one kind are handed over to their thread. Clones hand over to the same one; when the last is dropped, the
/// thread does what is queued, and ends.
///
/// [The module](self) says what it is for. When the runtime ends, its lanes do what is queued and end before
/// [`Runtime::run`](crate::Runtime::run) returns. A simulated one whose runtime ends, or whose host crashes, finds that its
/// file calls fail (EIO), and ends when it would take its next jobs: a work function must not go on for ever against errors.
///
/// ```
/// use leveret_runtime::lane::{Lane, Progress};
/// # leveret_runtime::run(|| {
/// let (done, mut count) = (Progress::new(0), 0);
/// let theirs = done.clone();
/// let printer = Lane::start("printer", move |jobs: &mut std::collections::VecDeque<&str>| {
///     count += jobs.drain(..).count() as u64;
///     theirs.advance(count);
/// }).unwrap();
/// printer.send("page 1").unwrap();
/// printer.clone().send("page 2").unwrap(); // a clone is the same lane
/// done.wait(2).unwrap();
/// # }).unwrap();
/// ```
pub struct Lane<J> {
    queue: Arc<Queue<J>>,
    /// Dropped with the last clone.
    sender: Arc<Sender<J>>,
}

struct Sender<J>(Arc<Queue<J>>);

impl<J> Drop for Sender<J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<J: Send + 'static> Lane<J> {
    /// Starts a thread with this name. Whenever there are jobs, `work` is called with all of them, in order, and takes as many
    /// as it likes from the front; what it leaves comes first the next time, which is at once unless it took none.
    ///
    /// A panic of `work` ends the lane: what is queued is dropped, and sending fails. While a lane lives, a deadlock of
    /// coroutines is found on the simulated driver only.
    ///
    /// ```
    /// use leveret_runtime::lane::{Lane, Progress};
    /// # leveret_runtime::run(|| {
    /// let (done, mut taken) = (Progress::new(0), 0);
    /// let theirs = done.clone();
    /// let lane = Lane::start("two at a time", move |jobs: &mut std::collections::VecDeque<u32>| {
    ///     let count = jobs.len().min(2);
    ///     assert!(jobs.drain(..count).len() <= 2); // what is left comes at once, first
    ///     taken += count as u64;
    ///     theirs.advance(taken);
    /// }).unwrap();
    /// (0..5).for_each(|job| lane.send(job).unwrap());
    /// done.wait(5).unwrap();
    /// assert!(lane.is_empty());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel gives no thread.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(name: &str, work: impl FnMut(&mut VecDeque<J>) + Send + 'static) -> io::Result<Lane<J>> {
        Lane::start_on_thread(name, move || work)
    }

    /// As [`Lane::start`], with a work function that is made on the thread and need not be `Send`.
    fn start_on_thread<W: FnMut(&mut VecDeque<J>)>(
        name: &str,
        make: impl FnOnce() -> W + Send + 'static,
    ) -> io::Result<Lane<J>> {
        let queue = Queue::new();
        let lane = Lane { queue: queue.clone(), sender: Arc::new(Sender(queue.clone())) };
        if let Some(world) = current::with(|shard| shard.driver.world().cloned()) {
            let run = move || {
                let _lane = SimulatedThread::enter(world);
                queue.run(Place::Coroutine, make());
            };
            drop(Builder::new().name(name).stack_size(SIMULATED_STACK_SIZE).spawn(run)?);
        } else {
            let (handle, theirs) = (Handle::current(), queue.clone());
            let run = move || {
                theirs.run(Place::Thread, make());
                drop(handle); // until here something may come from outside of the shards
            };
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
            current::with(|shard| shard.shared.lanes.add(queue, thread));
        }
        Ok(lane)
    }
}

/// Marks the running coroutine as one that stands for a thread, until dropped.
struct SimulatedThread(Rc<World>);

impl SimulatedThread {
    fn enter(world: Rc<World>) -> SimulatedThread {
        world.lanes.enter();
        SimulatedThread(world)
    }
}

impl Drop for SimulatedThread {
    fn drop(&mut self) {
        self.0.lanes.leave();
    }
}

impl<J> Lane<J> {
    /// Hands a job over. Never waits: whoever can outrun the lane watches [`Lane::len`], or counts its jobs by
    /// [`Progress`].
    ///
    /// ```
    /// use leveret_runtime::lane::{Lane, Reply, reply};
    /// # leveret_runtime::run(|| {
    /// let lane = Lane::start("fragile", |jobs: &mut std::collections::VecDeque<Reply<()>>| {
    ///     jobs.pop_front();
    ///     panic!("ends the lane");
    /// }).unwrap();
    /// let (job, answer) = reply();
    /// lane.send(job).ok().unwrap();
    /// assert!(answer.wait().is_err());
    /// while lane.send(reply().0).is_ok() { // until the lane has ended; then the job comes back
    ///     leveret_runtime::sleep(std::time::Duration::from_millis(1));
    /// }
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The job: the lane has ended.
    pub fn send(&self, job: J) -> Result<(), J> {
        self.queue.push(job)
    }

    /// Jobs that have not been handed to the work function.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no job is queued.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<J> Clone for Lane<J> {
    fn clone(&self) -> Self {
        Lane { queue: self.queue.clone(), sender: self.sender.clone() }
    }
}

impl<J> fmt::Debug for Lane<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("queued", &self.len()).finish()
    }
}

/// The lanes of a runtime, to be ended with it.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<Vec<Running>>);

/// A lane's queue and its thread.
type Running = (Arc<dyn Close>, JoinHandle<()>);

/// A queue of whatever jobs.
trait Close: Send + Sync {
    fn close(&self);
}

impl<J: Send> Close for Queue<J> {
    fn close(&self) {
        Queue::close(self);
    }
}

impl Lanes {
    fn add(&self, queue: Arc<dyn Close>, thread: JoinHandle<()>) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|(_, thread)| !thread.is_finished());
        lanes.push((queue, thread));
    }

    /// Lets each do what is queued, and waits for its end.
    pub(crate) fn stop(&self) {
        let lanes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        lanes.iter().for_each(|(queue, _)| queue.close());
        for (_, thread) in lanes {
            let _ = thread.join(); // its panic was printed, and whoever sent to it has heard of it
        }
    }
}

#[cfg(test)]
mod tests;
