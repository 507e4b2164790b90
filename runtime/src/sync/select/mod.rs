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
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(Branch::Watch(receiver))
    }

    /// Waits for room, or for the last receiver to go: then `send` does not wait.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(Branch::Watch(sender))
    }

    /// Waits for a coroutine's end.
    pub fn join<T>(&mut self, handle: &'a JoinHandle<T>) -> usize {
        self.add(Branch::Watch(handle))
    }

    /// Waits for an event to be set.
    pub fn event(&mut self, event: &'a Event) -> usize {
        self.add(Branch::Watch(event))
    }

    /// Waits for a result to come.
    pub fn result<T>(&mut self, result: &'a OnceResult<T>) -> usize {
        self.add(Branch::Watch(result))
    }

    /// Waits for a value in a [queue](super::queue): then `pop` does not wait.
    pub fn pop(&mut self, queue: &'a impl Queue) -> usize {
        self.add(Branch::Watch(queue.watch()))
    }

    /// Waits for a socket to have bytes, a connection, its end or an error. The branch is also ready when another
    /// coroutine waits to read from it: the read tells.
    pub fn readable(&mut self, descriptor: &'a impl Descriptor) -> usize {
        self.add(Branch::Descriptor(WatchedDescriptor::new(descriptor, Awaited::Transfer(Direction::Read))))
    }

    /// Waits for a socket to take bytes; as [`Select::readable`] otherwise.
    pub fn writable(&mut self, descriptor: &'a impl Descriptor) -> usize {
        self.add(Branch::Descriptor(WatchedDescriptor::new(descriptor, Awaited::Transfer(Direction::Write))))
    }

    /// Waits for the peer of a connection to be gone, whether or not bytes wait to be read: see
    /// [`TcpStream::wait_peer_closed`](crate::net::TcpStream::wait_peer_closed).
    pub fn peer_closed(&mut self, descriptor: &'a impl Descriptor) -> usize {
        self.add(Branch::Descriptor(WatchedDescriptor::new(descriptor, Awaited::PeerClosed)))
    }

    /// Waits for time to pass, counted from now.
    pub fn timeout(&mut self, limit: Duration) -> usize {
        self.add(Branch::Time(time::deadline_in(limit)))
    }

    /// Waits for a moment.
    pub fn deadline(&mut self, deadline: Instant) -> usize {
        self.add(Branch::Time(Some(deadline)))
    }

    fn add(&mut self, branch: Branch<'a>) -> usize {
        self.branches.push(branch);
        self.branches.len() - 1
    }

    /// Waits until a branch can go on, and gives its number.
    pub fn wait(&mut self) -> usize {
        self.wait_until(None).unwrap_or_else(|| unreachable!("a wait without deadline ends with a branch"))
    }

    /// Waits at most `limit`.
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<usize> {
        self.wait_until(time::deadline_in(limit))
    }

    /// The number of a branch that can go on now, if there is one.
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
