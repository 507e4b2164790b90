//! Typed mail: many senders on any thread, one receiving coroutine on the shard that made the channel.
//!
//! Senders push batches under a lock; the receiver takes all that is there at once. Nothing is boxed per item.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::RemoteWaiter;
use crate::coroutine::current;
use crate::coroutine::park::{Parker, Unwinding, WaitError};
use crate::coroutine::task::Wait;
use crate::shard::Shard;
use crate::time;

struct State<T> {
    items: Vec<T>,
    receiver: Option<RemoteWaiter>,
    senders: usize,
    receiver_gone: bool,
}

struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn state(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a channel whose receiver stays with the current shard and whose senders go anywhere.
///
/// It is unbounded: bound it by what the senders await, or look at [`Sender::len`].
///
/// ```
/// let runtime = leveret_runtime::Runtime::builder().shards(2).build().unwrap();
/// runtime.run(|| {
///     let other = leveret_runtime::shards().nth(1).unwrap();
///     let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
///     let sending = leveret_runtime::spawn_on(other, move || sender.send_batch(&mut vec![1, 2, 3]));
///     let mut received = Vec::new();
///     while receiver.receive_batch(&mut received).unwrap() {}
///     assert_eq!(received, [1, 2, 3]);
///     sending.join().unwrap();
/// }).unwrap();
/// ```
pub fn channel<T: Send>() -> (Sender<T>, Receiver<T>) {
    let state = State { items: Vec::new(), receiver: None, senders: 1, receiver_gone: false };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender { shared: shared.clone() }, Receiver { shared, _local: std::marker::PhantomData })
}

/// The receiver is gone; the items come back.
///
/// ```
/// use leveret_runtime::mailbox::channel::{Closed, channel};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (sender, receiver) = channel();
/// drop(receiver);
/// let Closed(letter) = sender.send("letter").unwrap_err();
/// assert_eq!(letter, "letter"); // nothing is lost
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver of this mailbox is gone")
    }
}

/// Sends from any thread. Never waits.
///
/// ```
/// use leveret_runtime::mailbox;
/// # leveret_runtime::run(|| {
/// let (sender, receiver) = mailbox::channel::channel();
/// let threads: Vec<_> = (0..3).map(|n| {
///     let sender = sender.clone();
///     std::thread::spawn(move || sender.send(n).unwrap()) // any thread will do
/// }).collect();
/// drop(sender);
/// let mut received = Vec::new();
/// while receiver.receive_batch(&mut received).unwrap() {} // until every sender is gone
/// assert_eq!(received.len(), 3);
/// threads.into_iter().for_each(|thread| thread.join().unwrap());
/// # }).unwrap();
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Sender<T> {
    /// Sends one item.
    ///
    /// ```
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
    /// sender.send(1).unwrap();
    /// sender.send(2).unwrap();
    /// assert_eq!(sender.len(), 2); // for senders that want to keep to a limit
    /// drop(receiver);
    /// assert!(sender.send(3).is_err());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The item, when the receiver is gone.
    pub fn send(&self, item: T) -> Result<(), Closed<T>> {
        let mut state = self.shared.state();
        if state.receiver_gone {
            return Err(Closed(item));
        }
        state.items.push(item);
        wake(state);
        Ok(())
    }

    /// Sends all of `items` under one lock and leaves it empty. Nothing is copied where the receiver has taken everything:
    /// the vectors change places, so two or three of them go round and their capacity with them. Items for a receiver that
    /// is gone are dropped.
    ///
    /// ```
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
    /// let mut batch = vec![1, 2, 3];
    /// sender.send_batch(&mut batch);
    /// assert!(batch.is_empty()); // ready to be filled again
    /// assert_eq!(receiver.try_receive_batch(&mut batch), 3);
    /// # }).unwrap();
    /// ```
    pub fn send_batch(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut state = self.shared.state();
        if state.receiver_gone {
            drop(state);
            items.clear();
            return;
        }
        if state.items.is_empty() {
            std::mem::swap(&mut state.items, items);
        } else {
            state.items.append(items);
        }
        wake(state);
    }

    /// Items sent and not yet taken.
    pub fn len(&self) -> usize {
        self.shared.state().items.len()
    }

    /// Whether everything sent was taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn wake<T>(mut state: std::sync::MutexGuard<'_, State<T>>) {
    let receiver = state.receiver.take();
    drop(state);
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.state().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.senders -= 1;
        if state.senders == 0 {
            wake(state);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// Receives on the shard that made the channel.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{mailbox, sleep, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (sender, receiver) = mailbox::channel::channel();
/// let _ = spawn(move || for n in 0..4 { sleep(Duration::from_millis(1)); sender.send(n).unwrap() });
/// let (mut batch, mut sum) = (Vec::new(), 0);
/// while receiver.receive_batch(&mut batch).unwrap() {
///     sum += batch.drain(..).sum::<i32>(); // keep the vector: it is filled again without an allocation
/// }
/// assert_eq!(sum, 6);
/// # }).unwrap();
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    _local: std::marker::PhantomData<*const ()>,
}

impl<T: Send> Receiver<T> {
    /// Waits until something is there and moves all of it to the end of `into`. False when every sender is gone and nothing
    /// is left.
    ///
    /// If the caller is killed or timed out, what was sent stays for the next call. Every few calls it lets others run.
    ///
    /// ```
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
    /// (1..=3).for_each(|n| sender.send(n).unwrap());
    /// drop(sender);
    /// let mut letters = vec![0];
    /// assert_eq!(receiver.receive_batch(&mut letters), Ok(true));
    /// assert_eq!(letters, [0, 1, 2, 3]); // behind what was there
    /// assert_eq!(receiver.receive_batch(&mut letters), Ok(false)); // the end
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Unwinding`] in a destructor while the stack unwinds.
    ///
    /// # Panics
    /// Outside of a coroutine; if another coroutine waits here.
    pub fn receive_batch(&self, into: &mut Vec<T>) -> Result<bool, Unwinding> {
        match self.receive_until(into, None) {
            Ok(open) => Ok(open),
            Err(WaitError::Unwinding) => Err(Unwinding),
            Err(WaitError::TimedOut) => unreachable!("no deadline was given"),
        }
    }

    /// As [`Receiver::receive_batch`], for at most `limit`; `None` when the time was over first (or the stack unwinds).
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::mailbox;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = mailbox::channel::channel::<u32>();
    /// let mut letters = Vec::new();
    /// assert_eq!(receiver.receive_batch_timeout(&mut letters, Duration::from_secs(1)), None);
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.receive_batch_timeout(&mut letters, Duration::from_secs(1)), Some(true));
    /// drop(sender);
    /// assert_eq!(receiver.receive_batch_timeout(&mut letters, Duration::from_secs(1)), Some(false));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Receiver::receive_batch`].
    pub fn receive_batch_timeout(&self, into: &mut Vec<T>, limit: Duration) -> Option<bool> {
        self.receive_until(into, time::deadline_in(limit)).ok()
    }

    fn receive_until(&self, into: &mut Vec<T>, deadline: Option<std::time::Instant>) -> Result<bool, WaitError> {
        current::with(Shard::charge_call); // whoever is flooded with mail lets the others run all the same
        loop {
            let parker = Parker::arm().map_err(|Unwinding| WaitError::Unwinding)?;
            let mut state = self.shared.state();
            if !state.items.is_empty() {
                take_all(&mut state.items, into);
                return Ok(true);
            }
            if state.senders == 0 {
                return Ok(false);
            }
            let other = state.receiver.replace(parker.remote()).filter(RemoteWaiter::is_live_here);
            if other.is_some() {
                state.receiver = other;
                drop(state);
                panic!("another coroutine receives from this mailbox already: give it one owner");
            }
            drop(state);
            parker.park(Wait::Mail, deadline)?;
        }
    }

    /// Takes what is there without waiting; says how many items.
    ///
    /// ```
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
    /// let mut letters = Vec::new();
    /// assert_eq!(receiver.try_receive_batch(&mut letters), 0);
    /// sender.send_batch(&mut vec!["a", "b"]);
    /// assert_eq!(receiver.try_receive_batch(&mut letters), 2);
    /// # }).unwrap();
    /// ```
    pub fn try_receive_batch(&self, into: &mut Vec<T>) -> usize {
        let mut state = self.shared.state();
        let count = state.items.len();
        take_all(&mut state.items, into);
        count
    }
}

fn take_all<T>(items: &mut Vec<T>, into: &mut Vec<T>) {
    if into.is_empty() {
        std::mem::swap(items, into);
    } else {
        into.append(items);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.receiver_gone = true;
        let items = std::mem::take(&mut state.items);
        drop(state);
        drop(items); // outside of the lock: destructors may do anything
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
