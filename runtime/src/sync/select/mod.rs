//! Choosing between several things: values to receive, room to send, coroutines that end, descriptors that become ready,
//! time.
//!
//! A [`Select`] waits until one of its branches can go on without waiting and says which; the caller then makes that
//! call. What woke it (a value, room in a channel) is kept for it until it runs, and goes to the next waiter if the
//! caller does not use it: at the latest when the `Select` waits again or is dropped. [`select!`](crate::select!) makes
//! the call itself.
//!
//! Where several branches are ready, one of them is chosen at random (by a hash of the wait's number, so that a simulated
//! run repeats). `watch` is what can be waited for, `macros` the macro.

mod macros;
mod watch;

use std::fmt;
use std::time::{Duration, Instant};

use super::channel::{Receiver, Sender};
use super::queue::Queue;
use super::{Event, OnceResult};
use crate::coroutine::current;
use crate::coroutine::join::JoinHandle;
use crate::coroutine::park::{Parker, Unwinding, WaitError};
use crate::coroutine::task::Wait;
use crate::readiness::Direction;
use crate::time;

pub use watch::Descriptor;
pub(crate) use watch::Watch;
use watch::{Awaited, WatchedDescriptor};

/// Waits for whichever of several things comes first.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::sync::{Select, channel};
/// # leveret_runtime::run(|| {
/// let (sender, receiver) = channel::bounded(1);
/// let mut select = Select::new();
/// let received = select.recv(&receiver);
/// let late = select.timeout(Duration::from_secs(60));
/// sender.send("news").unwrap();
/// let chosen = select.wait();
/// assert_ne!(chosen, late);
/// assert_eq!(chosen, received);
/// assert_eq!(receiver.try_recv(), Ok("news"));
/// # }).unwrap();
/// ```
///
/// # Panics
/// Its waiting methods panic without a branch, outside of a coroutine, and if they have to wait while the stack unwinds.
#[derive(Default)]
pub struct Select<'a> {
    branches: Vec<Branch<'a>>,
    /// The branch that was chosen and that its owner has perhaps not used.
    chosen: Option<usize>,
}

enum Branch<'a> {
    Watch(&'a dyn Watch),
    Descriptor(WatchedDescriptor<'a>),
    Time(Option<Instant>),
}

impl<'a> Select<'a> {
    /// Without branches.
    pub const fn new() -> Select<'a> {
        Select { branches: Vec::new(), chosen: None }
    }

    /// Waits for a value, or for the last sender to go: then `recv` does not wait. Answers the branch's number.
    ///
    /// ```
    /// use leveret_runtime::sync::{Select, channel};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::unbounded::<u32>();
    /// drop(sender);
    /// let mut select = Select::new();
    /// let branch = select.recv(&receiver);
    /// assert_eq!(select.wait(), branch); // the end is news as well
    /// assert!(receiver.try_recv().is_err());
    /// # }).unwrap();
    /// ```
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(Branch::Watch(receiver))
    }

    /// Waits for room, or for the last receiver to go: then `send` does not wait.
    ///
    /// ```
    /// use leveret_runtime::sync::{Select, channel};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (full, _keep) = channel::bounded(1);
    /// full.send(1).unwrap();
    /// let (free, receiver) = channel::bounded(1);
    /// let mut select = Select::new();
    /// let (_, second) = (select.send(&full), select.send(&free));
    /// assert_eq!(select.wait(), second);
    /// free.try_send(2).unwrap(); // the caller sends; the select has only found room
    /// assert_eq!(receiver.recv(), Ok(2));
    /// # }).unwrap();
    /// ```
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(Branch::Watch(sender))
    }

    /// Waits for a coroutine's end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sleep, spawn, sync::Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let tortoise = spawn(|| sleep(Duration::from_secs(9)));
    /// let hare = spawn(|| sleep(Duration::from_secs(1)));
    /// let mut select = Select::new();
    /// let (_, second) = (select.join(&tortoise), select.join(&hare));
    /// assert_eq!(select.wait(), second);
    /// assert!(hare.is_finished() && !tortoise.is_finished());
    /// # }).unwrap();
    /// ```
    pub fn join<T>(&mut self, handle: &'a JoinHandle<T>) -> usize {
        self.add(Branch::Watch(handle))
    }

    /// Waits for an event to be set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::{Event, Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (stop, mut select) = (Event::new(), Select::new());
    /// let stopped = select.event(&stop);
    /// assert_eq!(select.wait_timeout(Duration::from_secs(1)), None);
    /// stop.set();
    /// assert_eq!(select.wait(), stopped);
    /// # }).unwrap();
    /// ```
    pub fn event(&mut self, event: &'a Event) -> usize {
        self.add(Branch::Watch(event))
    }

    /// Waits for a result to come.
    ///
    /// ```
    /// use leveret_runtime::sync::{OnceResult, Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (answer, other) = (OnceResult::new(), OnceResult::<u32>::new());
    /// answer.set("yes").unwrap();
    /// let mut select = Select::new();
    /// let (first, _) = (select.result(&answer), select.result(&other));
    /// assert_eq!(select.wait(), first);
    /// assert_eq!(answer.get(), Some(&"yes"));
    /// # }).unwrap();
    /// ```
    pub fn result<T>(&mut self, result: &'a OnceResult<T>) -> usize {
        self.add(Branch::Watch(result))
    }

    /// Waits for a value in a [queue](super::queue): then `pop` does not wait.
    ///
    /// ```
    /// use leveret_runtime::sync::{PriorityQueue, Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (urgent, later) = (PriorityQueue::<u32>::unbounded(), PriorityQueue::unbounded());
    /// later.push(7);
    /// let mut select = Select::new();
    /// let (_, second) = (select.pop(&urgent), select.pop(&later));
    /// assert_eq!(select.wait(), second);
    /// assert_eq!(later.try_pop(), Some(7));
    /// # }).unwrap();
    /// ```
    pub fn pop(&mut self, queue: &'a impl Queue) -> usize {
        self.add(Branch::Watch(queue.watch()))
    }

    /// Waits for a socket to have bytes, a connection, its end or an error. The branch is also ready when another
    /// coroutine waits to read from it: the read tells.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::time::Duration;
    /// use leveret_runtime::{net::UnixStream, sync::Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (ours, theirs) = UnixStream::pair().unwrap();
    /// let mut select = Select::new();
    /// let readable = select.readable(&ours);
    /// assert_eq!(select.wait_timeout(Duration::from_secs(1)), None);
    /// drop(theirs);
    /// assert_eq!(select.wait(), readable); // the end can be read
    /// assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
    /// # }).unwrap();
    /// ```
    pub fn readable(&mut self, descriptor: &'a impl Descriptor) -> usize {
        self.add(Branch::Descriptor(WatchedDescriptor::new(descriptor, Awaited::Transfer(Direction::Read))))
    }

    /// Waits for a socket to take bytes; as [`Select::readable`] otherwise.
    ///
    /// ```
    /// use leveret_runtime::{net::UnixStream, sync::Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (ours, _theirs) = UnixStream::pair().unwrap();
    /// let mut select = Select::new();
    /// let (readable, writable) = (select.readable(&ours), select.writable(&ours));
    /// assert_eq!(select.wait(), writable); // there is room, and nothing to read
    /// assert_ne!(readable, writable);
    /// # }).unwrap();
    /// ```
    pub fn writable(&mut self, descriptor: &'a impl Descriptor) -> usize {
        self.add(Branch::Descriptor(WatchedDescriptor::new(descriptor, Awaited::Transfer(Direction::Write))))
    }

    /// Waits for the peer of a connection to be gone, whether or not bytes wait to be read: see
    /// [`TcpStream::wait_peer_closed`](crate::net::TcpStream::wait_peer_closed).
    ///
    /// ```
    /// use std::io::Write;
    /// use leveret_runtime::{net::UnixStream, sync::Select};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (ours, theirs) = UnixStream::pair().unwrap();
    /// (&theirs).write_all(b"last words").unwrap();
    /// drop(theirs);
    /// let mut select = Select::new();
    /// let gone = select.peer_closed(&ours);
    /// assert_eq!(select.wait(), gone); // although they were not read yet
    /// # }).unwrap();
    /// ```
    pub fn peer_closed(&mut self, descriptor: &'a impl Descriptor) -> usize {
        self.add(Branch::Descriptor(WatchedDescriptor::new(descriptor, Awaited::PeerClosed)))
    }

    /// Waits for time to pass, counted from now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sleep, sync::Select, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (start, mut select) = (time::now(), Select::new());
    /// let late = select.timeout(Duration::from_secs(3));
    /// sleep(Duration::from_secs(2)); // counts
    /// assert_eq!(select.wait(), late);
    /// assert_eq!(time::now() - start, Duration::from_secs(3));
    /// # }).unwrap();
    /// ```
    pub fn timeout(&mut self, limit: Duration) -> usize {
        self.add(Branch::Time(time::deadline_in(limit)))
    }

    /// Waits for a moment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sync::Select, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let end = time::now() + Duration::from_secs(3);
    /// let mut select = Select::new();
    /// let over = select.deadline(end);
    /// assert_eq!(select.wait(), over);
    /// assert_eq!(time::now(), end);
    /// # }).unwrap();
    /// ```
    pub fn deadline(&mut self, deadline: Instant) -> usize {
        self.add(Branch::Time(Some(deadline)))
    }

    fn add(&mut self, branch: Branch<'a>) -> usize {
        self.branches.push(branch);
        self.branches.len() - 1
    }

    /// Waits until a branch can go on, and gives its number.
    ///
    /// ```
    /// use leveret_runtime::sync::{Select, channel};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (numbers, incoming) = channel::unbounded();
    /// let (words, spoken) = channel::unbounded();
    /// numbers.send(7).unwrap();
    /// words.send("seven").unwrap();
    /// let mut select = Select::new();
    /// let (number, word) = (select.recv(&incoming), select.recv(&spoken));
    /// for _ in 0..2 { // both are ready: either may come first
    ///     match select.wait() {
    ///         branch if branch == number => assert_eq!(incoming.try_recv(), Ok(7)),
    ///         branch => assert_eq!((branch, spoken.try_recv()), (word, Ok("seven"))),
    ///     }
    /// }
    /// assert_eq!(select.try_wait(), None);
    /// # }).unwrap();
    /// ```
    pub fn wait(&mut self) -> usize {
        self.wait_until(None).unwrap_or_else(|| unreachable!("a wait without deadline ends with a branch"))
    }

    /// Waits at most `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sync::{Select, channel}, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (_sender, receiver) = channel::unbounded::<u32>();
    /// let (start, mut select) = (time::now(), Select::new());
    /// select.recv(&receiver);
    /// assert_eq!(select.wait_timeout(Duration::from_secs(2)), None);
    /// assert_eq!(time::now() - start, Duration::from_secs(2));
    /// # }).unwrap();
    /// ```
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<usize> {
        self.wait_until(time::deadline_in(limit))
    }

    /// The number of a branch that can go on now, if there is one.
    ///
    /// ```
    /// use leveret_runtime::sync::{Select, channel};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::unbounded();
    /// let mut select = Select::new();
    /// let branch = select.recv(&receiver);
    /// assert_eq!(select.try_wait(), None);
    /// sender.send(1).unwrap();
    /// assert_eq!(select.try_wait(), Some(branch));
    /// assert_eq!(receiver.try_recv(), Ok(1)); // taking it is the caller's
    /// # }).unwrap();
    /// ```
    pub fn try_wait(&mut self) -> Option<usize> {
        self.settle();
        self.chosen = self.find_ready();
        self.chosen
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<usize> {
        assert!(!self.branches.is_empty(), "a select without branches would wait for ever");
        loop {
            if let Some(ready) = self.try_wait() {
                return Some(ready);
            }
            self.chosen = self.park(deadline);
            match self.chosen.take() {
                // What was granted is free again and nobody else has run since, so the branch is ready; but a
                // rendezvous that called us may have been left meanwhile.
                Some(woken) if self.is_ready(woken) => {
                    self.chosen = Some(woken);
                    return self.chosen;
                }
                Some(woken) => self.settle_branch(woken),
                None if self.find_ready().is_none() && is_over(deadline) => return None,
                None => {}
            }
        }
    }

    /// Waits for one of the branches. Answers which one woke us, after it took its grant back; `None` if time did.
    fn park(&self, deadline: Option<Instant>) -> Option<usize> {
        let parker = Parker::arm().unwrap_or_else(|Unwinding| super::refuse("Select::wait"));
        let deadline = self.branches.iter().filter_map(Branch::deadline).chain(deadline).min();
        let wait = if self.branches.iter().any(Branch::is_descriptor) { Wait::SelectReady } else { Wait::Select };
        let listed = Listed { branches: &self.branches, ticket: parker.ticket() };
        for (tag, branch) in (0..).zip(&self.branches) {
            branch.list(&parker, tag);
        }
        let woken = parker.park_tagged(wait, deadline);
        drop(listed);
        match woken {
            Ok(tag) => {
                let woken = tag as usize;
                if let Branch::Watch(watch) = &self.branches[woken] {
                    watch.take_grant_back();
                }
                Some(woken)
            }
            Err(WaitError::TimedOut) => None,
            Err(WaitError::Unwinding) => super::refuse("Select::wait"),
        }
    }

    /// A ready branch, found from a random start.
    fn find_ready(&self) -> Option<usize> {
        let count = self.branches.len();
        let start = if count < 2 { 0 } else { random() as usize % count };
        (start..count).chain(0..start).find(|&branch| self.is_ready(branch))
    }

    fn is_ready(&self, branch: usize) -> bool {
        match &self.branches[branch] {
            Branch::Watch(watch) => watch.is_ready(),
            Branch::Descriptor(descriptor) => descriptor.is_ready(),
            Branch::Time(deadline) => is_over(*deadline),
        }
    }

    /// Passes on what the last choice was woken for, in case its owner made no use of it.
    fn settle(&mut self) {
        if let Some(chosen) = self.chosen.take() {
            self.settle_branch(chosen);
        }
    }

    fn settle_branch(&self, branch: usize) {
        if let Branch::Watch(watch) = &self.branches[branch] {
            watch.settle();
        }
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= current::with(|shard| shard.now()))
}

/// A number for choosing, zero outside of a runtime: SplitMix64's finish of the wait's number.
fn random() -> u64 {
    let number = current::try_with(|shard| shard.next_ticket()).unwrap_or(0);
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Branch<'_> {
    fn list(&self, parker: &Parker, tag: u32) {
        match self {
            Branch::Watch(watch) => watch.list(parker.tagged(tag)),
            Branch::Descriptor(descriptor) => descriptor.list(parker.tagged(tag)),
            Branch::Time(_) => {}
        }
    }

    fn unlist(&self, ticket: u64) {
        match self {
            Branch::Watch(watch) => watch.unlist(ticket),
            Branch::Descriptor(descriptor) => descriptor.unlist(ticket),
            Branch::Time(_) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Branch::Time(deadline) => *deadline,
            Branch::Watch(_) | Branch::Descriptor(_) => None,
        }
    }

    fn is_descriptor(&self) -> bool {
        matches!(self, Branch::Descriptor(_))
    }
}

/// A wait left with every branch; taken back when dropped, also by unwinding.
struct Listed<'a> {
    branches: &'a [Branch<'a>],
    ticket: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.branches.iter().for_each(|branch| branch.unlist(self.ticket));
    }
}

impl Drop for Select<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("branches", &self.branches.len()).field("chosen", &self.chosen).finish()
    }
}

#[cfg(test)]
mod tests;
