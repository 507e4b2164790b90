//! Channels between coroutines of one shard: bounded, unbounded, and without any room (a rendezvous).
//!
//! Any number of senders and receivers, both clonable; values arrive in the order of sending, and receivers are served in
//! the order of waiting. When the last sender goes, receivers get what is left and then an error; when the last receiver
//! goes, what is left is dropped and senders get their values back.
//!
//! Sending and receiving yield only where they have to wait. `core` holds the state and its rules, `error` the errors,
//! `iter` the iterators.

mod core;
mod error;
mod iter;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use self::core::{Core, Refused};
use super::select::Watch;
use crate::coroutine::park::{WaitError, Waiter};
use crate::time;

pub use error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use iter::{IntoIter, Iter, TryIter};

/// Makes a channel with room for `capacity` values; with none, a sender waits until a receiver takes its value.
///
/// ```
/// use leveret_runtime::{spawn, sync::channel};
/// # leveret_runtime::run(|| {
/// let (sender, receiver) = channel::bounded(1);
/// let producer = spawn(move || (1..=3).for_each(|n| sender.send(n).unwrap()));
/// assert_eq!(receiver.iter().sum::<i32>(), 6); // ends when the sender is gone
/// producer.join().unwrap();
/// # }).unwrap();
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends(Core::new(capacity))
}

/// Makes a channel whose senders never wait. What keeps it from growing without end is up to its users.
///
/// ```
/// # leveret_runtime::run(|| {
/// let (sender, receiver) = leveret_runtime::sync::channel::unbounded();
/// (0..1000).for_each(|n| sender.send(n).unwrap()); // never waits
/// drop(sender);
/// assert_eq!(receiver.iter().count(), 1000);
/// # }).unwrap();
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(Core::new(core::UNBOUNDED))
}

fn ends<T>(core: Core<T>) -> (Sender<T>, Receiver<T>) {
    let core = Rc::new(core);
    (Sender { core: core.clone() }, Receiver { core })
}

/// The end of a channel that values are put into.
///
/// ```
/// use leveret_runtime::{join_all, spawn, sync::channel};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (sender, receiver) = channel::unbounded();
/// let send = |n| { let sender = sender.clone(); spawn(move || sender.send(n).unwrap()) };
/// let workers: Vec<_> = (0..3).map(send).collect();
/// drop(sender); // else the loop below would wait for this one too
/// assert_eq!(receiver.iter().count(), 3);
/// join_all(workers);
/// # }).unwrap();
/// ```
pub struct Sender<T> {
    core: Rc<Core<T>>,
}

/// The end of a channel that values are taken out of.
///
/// ```
/// use leveret_runtime::{spawn, sync::channel};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (jobs, queue) = channel::unbounded();
/// let workers: Vec<_> = (0..2).map(|_| { let queue = queue.clone(); spawn(move || queue.iter().count()) }).collect();
/// (0..10).for_each(|job| jobs.send(job).unwrap());
/// drop(jobs); // the workers' loops end
/// let done: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
/// assert_eq!(done, 10); // each job went to one of them
/// # }).unwrap();
/// ```
pub struct Receiver<T> {
    core: Rc<Core<T>>,
}

impl<T> Sender<T> {
    /// Sends `value`, and waits for room if there is none. If the coroutine is killed or timed out while it waits, the value
    /// is dropped, unless it was accepted before the coroutine got to run again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sleep, spawn, sync::channel, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::bounded(1);
    /// let slow = spawn(move || { sleep(Duration::from_secs(2)); receiver.recv() }); // and drops its end
    /// let start = time::now();
    /// sender.send("first").unwrap(); // there is room
    /// sender.send("second").unwrap(); // not before the first was taken
    /// assert_eq!(time::now() - start, Duration::from_secs(2));
    /// assert_eq!(slow.join().unwrap(), Ok("first"));
    /// assert_eq!(sender.send("third").unwrap_err().into_inner(), "third"); // nobody is left to receive
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value: every receiver is gone, or the stack unwinds and there is no room.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.core.send(value, None).map_err(|refused| match refused {
            Refused::Disconnected(value) => SendError::Disconnected(value),
            Refused::Unwinding(value) => SendError::Unwinding(value),
            Refused::TimedOut(_) => unreachable!("a wait without deadline does not time out"),
        })
    }

    /// Sends `value`, and waits at most `limit` for room.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::channel::{self, SendTimeoutError};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::bounded(1);
    /// sender.send(1).unwrap();
    /// assert_eq!(sender.send_timeout(2, Duration::from_secs(1)), Err(SendTimeoutError::Timeout(2)));
    /// drop(receiver);
    /// assert_eq!(sender.send_timeout(3, Duration::from_secs(1)), Err(SendTimeoutError::Disconnected(3)));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value: there was no room in time, every receiver is gone, or the stack unwinds and there is no room.
    ///
    /// # Panics
    /// As [`Sender::send`].
    pub fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        let value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
            Err(TrySendError::Full(value)) => value,
        };
        self.core.send(value, time::deadline_in(limit)).map_err(|refused| match refused {
            Refused::Disconnected(value) => SendTimeoutError::Disconnected(value),
            Refused::Unwinding(value) => SendTimeoutError::Unwinding(value),
            Refused::TimedOut(value) => SendTimeoutError::Timeout(value),
        })
    }

    /// Sends `value` if there is room now.
    ///
    /// ```
    /// use leveret_runtime::{spawn, sync::channel::{self, TrySendError}, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::bounded(0);
    /// assert_eq!(sender.try_send(1), Err(TrySendError::Full(1))); // nobody waits to receive
    /// let waiting = spawn(move || receiver.recv());
    /// yield_now();
    /// assert_eq!(sender.try_send(2), Ok(()));
    /// assert_eq!(waiting.join().unwrap(), Ok(2));
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Disconnected(3)));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value: there is no room, or every receiver is gone.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.core.put(value)
    }

    /// Values sent and not yet received, without those of senders that wait for room.
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether no value waits to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a sender would have to wait. A rendezvous is always full.
    pub fn is_full(&self) -> bool {
        self.core.is_full()
    }

    /// How many values there is room for; `None` for an unbounded channel.
    pub fn capacity(&self) -> Option<usize> {
        self.core.capacity()
    }

    /// Whether every receiver is gone.
    ///
    /// ```
    /// use leveret_runtime::sync::channel;
    /// let (sender, receiver) = channel::bounded::<u32>(1);
    /// assert!(!sender.is_disconnected());
    /// drop(receiver);
    /// assert!(sender.is_disconnected());
    /// ```
    pub fn is_disconnected(&self) -> bool {
        !self.core.has_receivers()
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest value, and waits for one if there is none.
    ///
    /// ```
    /// use leveret_runtime::sync::channel::{self, RecvError};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::unbounded();
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.recv(), Ok(1)); // what was sent before is still there
    /// assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The channel is empty and every sender is gone, or the stack unwinds and there is no value.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.core.receive(None).map_err(|error| match error {
            Ok(core::Disconnected) => RecvError::Disconnected,
            Err(WaitError::Unwinding) => RecvError::Unwinding,
            Err(WaitError::TimedOut) => unreachable!("a wait without deadline does not time out"),
        })
    }

    /// Takes the oldest value, and waits at most `limit` for one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::channel::{self, RecvTimeoutError};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::bounded(1);
    /// assert_eq!(receiver.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Timeout));
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(1)); // a value that is there needs no time
    /// drop(sender);
    /// assert_eq!(receiver.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Disconnected));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None came in time, the channel is empty and every sender is gone, or the stack unwinds and there is no value.
    ///
    /// # Panics
    /// As [`Receiver::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        match self.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        self.core.receive(time::deadline_in(limit)).map_err(|error| match error {
            Ok(core::Disconnected) => RecvTimeoutError::Disconnected,
            Err(WaitError::Unwinding) => RecvTimeoutError::Unwinding,
            Err(WaitError::TimedOut) => RecvTimeoutError::Timeout,
        })
    }

    /// Takes the oldest value if there is one.
    ///
    /// ```
    /// use leveret_runtime::sync::channel::{self, TryRecvError};
    /// let (sender, receiver) = channel::bounded(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.try_send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    ///
    /// # Errors
    /// There is none, or there is none and every sender is gone.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.core.take() {
            Some(value) => Ok(value),
            None if self.core.has_senders() => Err(TryRecvError::Empty),
            None => Err(TryRecvError::Disconnected),
        }
    }

    /// The values as they come; waits between them, and ends when the channel is empty and every sender is gone.
    ///
    /// ```
    /// use leveret_runtime::{spawn, sync::channel};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::bounded(1);
    /// let _ = spawn(move || for word in ["declare", "bind", "publish"] { sender.send(word).unwrap() });
    /// let mut said = Vec::new();
    /// for word in &receiver { // the same as `receiver.iter()`
    ///     said.push(word);
    /// }
    /// assert_eq!(said, ["declare", "bind", "publish"]);
    /// # }).unwrap();
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The values that are there; never waits.
    ///
    /// ```
    /// use leveret_runtime::sync::channel;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = channel::unbounded();
    /// (1..=3).for_each(|n| sender.send(n).unwrap());
    /// assert_eq!(receiver.try_iter().sum::<i32>(), 6); // ends although the sender is still there
    /// assert_eq!(receiver.try_iter().count(), 0);
    /// # }).unwrap();
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Values sent and not yet received, without those of senders that wait for room.
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether no value waits to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a sender would have to wait. A rendezvous is always full.
    pub fn is_full(&self) -> bool {
        self.core.is_full()
    }

    /// How many values there is room for; `None` for an unbounded channel.
    pub fn capacity(&self) -> Option<usize> {
        self.core.capacity()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.core.add_sender();
        Sender { core: self.core.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.core.remove_sender();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.core.add_receiver();
        Receiver { core: self.core.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.core.remove_receiver();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

impl<T> Watch for Receiver<T> {
    fn is_ready(&self) -> bool {
        self.core.can_receive()
    }

    fn list(&self, waiter: Waiter) {
        self.core.list_receiver(waiter);
    }

    fn unlist(&self, ticket: u64) {
        self.core.unlist_receiver(ticket);
    }

    fn take_grant_back(&self) {
        self.core.unpromise();
    }

    fn settle(&self) {
        self.core.settle();
    }
}

impl<T> Watch for Sender<T> {
    fn is_ready(&self) -> bool {
        self.core.can_send()
    }

    fn list(&self, waiter: Waiter) {
        self.core.list_sender(waiter);
    }

    fn unlist(&self, ticket: u64) {
        self.core.unlist_sender(ticket);
    }

    fn take_grant_back(&self) {
        self.core.unreserve();
    }

    fn settle(&self) {
        self.core.settle();
    }
}

#[cfg(test)]
mod tests;
