//! Mail with a limit: many senders on any shard, one receiving coroutine, and so many values in between.
//!
//! A sender that finds no room leaves its value as an *offer* behind those that have room, and parks. Whoever takes a value
//! thereby admits the next offer and wakes its sender, which need not run again for its value to move on. With a capacity
//! of zero every value is an offer until it is received: a rendezvous. (`sync::channel` does the same on one shard without
//! a lock; `mailbox::channel` has no limit and moves batches.)

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::RemoteWaiter;
use crate::coroutine::current;
use crate::coroutine::park::{Parker, Unwinding, WaitError};
use crate::coroutine::task::Wait;
use crate::shard::Shard;
use crate::sync::channel::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
use crate::time;

/// A value on its way.
struct Letter<T> {
    value: T,
    offer: Option<Offer>,
}

/// There was no room for it: its sender waits.
struct Offer {
    number: u64,
    sender: RemoteWaiter,
}

struct State<T> {
    /// Those with room first, then the offers, both in the order of sending.
    letters: VecDeque<Letter<T>>,
    capacity: usize,
    last_offer: u64,
    receiver: Option<RemoteWaiter>,
    senders: usize,
    receiver_gone: bool,
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        self.letters.len() < self.capacity
    }

    /// Takes the first value; gives the sender that is to be woken for it.
    fn take(&mut self) -> Option<(T, Option<RemoteWaiter>)> {
        let first = self.letters.pop_front()?;
        let admitted = match self.capacity.checked_sub(1) {
            None => first.offer, // a rendezvous: it is received
            Some(last_with_room) => self.letters.get_mut(last_with_room).and_then(|letter| letter.offer.take()),
        };
        Some((first.value, admitted.map(|offer| offer.sender)))
    }

    /// Takes an offer back, if it was not admitted.
    fn withdraw(&mut self, number: u64) -> Option<T> {
        let is_it = |letter: &Letter<T>| letter.offer.as_ref().is_some_and(|offer| offer.number == number);
        let at = self.letters.iter().position(is_it)?;
        self.letters.remove(at).map(|letter| letter.value)
    }
}

struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a channel whose receiver stays with the current shard and whose senders go to any. It holds `capacity` values; with
/// zero, each send waits until its value is received.
///
/// ```
/// use leveret_runtime::{Runtime, mailbox, shards, spawn_on};
/// let runtime = Runtime::builder().shards(2).build().unwrap();
/// runtime.run(|| {
///     let (sender, receiver) = mailbox::bounded::bounded(2);
///     let other = shards().nth(1).unwrap();
///     let sending = spawn_on(other, move || (0..100).for_each(|n| sender.send(n).unwrap())); // waits for room
///     assert_eq!(receiver.iter().sum::<u32>(), 4950);
///     sending.join().unwrap();
/// }).unwrap();
/// ```
pub fn bounded<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state =
        State { letters: VecDeque::new(), capacity, last_offer: 0, receiver: None, senders: 1, receiver_gone: false };
    let shared = Arc::new(Shared(Mutex::new(state)));
    (Sender { shared: shared.clone() }, Receiver { shared, _local: PhantomData })
}

/// Sends from any shard.
///
/// ```
/// use leveret_runtime::{Runtime, mailbox, shards, spawn_on};
/// let runtime = Runtime::builder().shards(3).simulated(1).build().unwrap();
/// let sum = runtime.run(|| {
///     let (sender, receiver) = mailbox::bounded::bounded(1);
///     for shard in shards() {
///         let sender = sender.clone();
///         let _ = spawn_on(shard, move || sender.send(shard.index()).unwrap());
///     }
///     drop(sender);
///     receiver.iter().sum::<usize>()
/// });
/// assert_eq!(sum.unwrap(), 3);
/// ```
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send> Sender<T> {
    /// Sends a value; waits for room if there is none. If the caller is killed or timed out while it waits, the value is
    /// dropped, or was sent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{mailbox, sleep, spawn, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = mailbox::bounded::bounded(0); // a rendezvous
    /// let _ = spawn(move || { sleep(Duration::from_secs(2)); receiver.recv() });
    /// let start = time::now();
    /// sender.send(1).unwrap(); // waits until it is received
    /// assert_eq!(time::now() - start, Duration::from_secs(2));
    /// assert_eq!(sender.send(2).unwrap_err().into_inner(), 2); // the receiver is gone by now
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value: the receiver is gone, or the caller unwinds and would have to wait.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_until(value, None).map_err(|error| match error {
            SendTimeoutError::Disconnected(value) => SendError::Disconnected(value),
            SendTimeoutError::Unwinding(value) => SendError::Unwinding(value),
            SendTimeoutError::Timeout(_) => unreachable!("no deadline was given"),
        })
    }

    /// As [`Sender::send`], waiting at most `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::mailbox;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = mailbox::bounded::bounded(1);
    /// sender.send(1).unwrap();
    /// let late = sender.send_timeout(2, Duration::from_secs(1)).unwrap_err();
    /// assert_eq!(late.into_inner(), 2);
    /// assert_eq!(receiver.iter().next(), Some(1)); // and the late one was not sent
    /// assert_eq!(sender.len(), 0);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value: the time was over, and as [`Sender::send`].
    ///
    /// # Panics
    /// As [`Sender::send`].
    pub fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, time::deadline_in(limit))
    }

    /// Sends a value if there is room, from any thread. (With a capacity of zero there never is.)
    ///
    /// ```
    /// use leveret_runtime::{mailbox, sync::channel::TrySendError};
    /// # leveret_runtime::run(|| {
    /// let (sender, receiver) = mailbox::bounded::bounded(1);
    /// std::thread::spawn(move || {
    ///     assert_eq!(sender.try_send(1), Ok(()));
    ///     assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// }).join().unwrap();
    /// assert_eq!(receiver.recv(), Ok(1));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value: there is no room, or the receiver is gone.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.shared.state();
        if state.receiver_gone {
            return Err(TrySendError::Disconnected(value));
        }
        if !state.has_room() {
            return Err(TrySendError::Full(value));
        }
        state.letters.push_back(Letter { value, offer: None });
        wake(state);
        Ok(())
    }

    /// How many values were sent and not received, offers included.
    pub fn len(&self) -> usize {
        self.shared.state().letters.len()
    }

    /// Whether everything was received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn send_until(&self, value: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        let value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(value)) => return Err(SendTimeoutError::Disconnected(value)),
            Err(TrySendError::Full(value)) => value,
        };
        let Ok(parker) = Parker::arm() else { return Err(SendTimeoutError::Unwinding(value)) };
        let offered = Offered { shared: &self.shared, number: self.offer(value, parker.remote()) };
        let waited = parker.park(Wait::Mail, deadline);
        match (offered.withdraw(), waited) {
            (None, _) => Ok(()), // admitted, perhaps after the deadline had woken us
            (Some(value), Err(WaitError::TimedOut)) if !self.shared.state().receiver_gone => {
                Err(SendTimeoutError::Timeout(value))
            }
            (Some(value), _) => Err(SendTimeoutError::Disconnected(value)),
        }
    }

    /// Leaves the value behind the others. (If the receiver has gone since we looked, the sender is woken at once.)
    fn offer(&self, value: T, sender: RemoteWaiter) -> u64 {
        let mut state = self.shared.state();
        state.last_offer += 1;
        let number = state.last_offer;
        match (state.receiver_gone, state.has_room()) {
            (true, _) => {
                state.letters.push_back(Letter { value, offer: Some(Offer { number, sender: sender.clone() }) });
                drop(state);
                sender.wake();
            }
            (false, true) => {
                state.letters.push_back(Letter { value, offer: None }); // made since we looked
                wake(state);
                sender.wake();
            }
            (false, false) => {
                state.letters.push_back(Letter { value, offer: Some(Offer { number, sender }) });
                wake(state);
            }
        }
        number
    }
}

/// An offer of a parked sender; taken back when dropped, unless it was admitted.
struct Offered<'a, T> {
    shared: &'a Shared<T>,
    number: u64,
}

impl<T> Offered<'_, T> {
    fn withdraw(&self) -> Option<T> {
        self.shared.state().withdraw(self.number)
    }
}

impl<T> Drop for Offered<'_, T> {
    fn drop(&mut self) {
        drop(self.withdraw());
    }
}

/// Wakes the receiver, if it waits.
fn wake<T>(mut state: MutexGuard<'_, State<T>>) {
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
/// use leveret_runtime::mailbox;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (sender, receiver) = mailbox::bounded::bounded(2);
/// sender.send("first").unwrap();
/// sender.send("second").unwrap();
/// drop(sender);
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), ["first", "second"]);
/// # }).unwrap();
/// ```
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    _local: PhantomData<*const ()>,
}

impl<T: Send> Receiver<T> {
    /// Receives a value; waits for one. If the caller is killed or timed out while it waits, it takes none.
    ///
    /// ```
    /// use leveret_runtime::{mailbox, sync::channel::RecvError};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = mailbox::bounded::bounded(1);
    /// sender.send(7).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.recv(), Ok(7));
    /// assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Nothing is there and every sender is gone; the caller unwinds and would have to wait.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait; if another coroutine waits here.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|error| match error {
            RecvTimeoutError::Disconnected => RecvError::Disconnected,
            RecvTimeoutError::Unwinding => RecvError::Unwinding,
            RecvTimeoutError::Timeout => unreachable!("no deadline was given"),
        })
    }

    /// As [`Receiver::recv`], waiting at most `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{mailbox, sync::channel::RecvTimeoutError};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (_sender, receiver) = mailbox::bounded::bounded::<u32>(1);
    /// assert_eq!(receiver.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Timeout));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The time was over, and as [`Receiver::recv`].
    ///
    /// # Panics
    /// As [`Receiver::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(time::deadline_in(limit))
    }

    /// Receives a value if one is there.
    ///
    /// ```
    /// use leveret_runtime::{mailbox, sync::channel::TryRecvError};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (sender, receiver) = mailbox::bounded::bounded::<u32>(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// None is there; and every sender is gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut state = self.shared.state();
        let Some((value, sender)) = state.take() else {
            return Err(if state.senders == 0 { TryRecvError::Disconnected } else { TryRecvError::Empty });
        };
        drop(state);
        if let Some(sender) = sender {
            sender.wake();
        }
        Ok(value)
    }

    /// What is received until every sender is gone.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.recv().ok())
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        current::with(Shard::charge_call); // whoever is flooded with mail lets the others run all the same
        loop {
            match self.try_recv() {
                Ok(value) => return Ok(value),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            let parker = Parker::arm().map_err(|Unwinding| RecvTimeoutError::Unwinding)?;
            if !self.stand(parker.remote()) {
                continue;
            }
            match parker.park(Wait::Mail, deadline) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return self.try_recv().map_err(|_| RecvTimeoutError::Timeout),
                Err(WaitError::Unwinding) => return Err(RecvTimeoutError::Unwinding),
            }
        }
    }

    /// Has the next sender wake us; false if something came meanwhile.
    fn stand(&self, receiver: RemoteWaiter) -> bool {
        let mut state = self.shared.state();
        if !state.letters.is_empty() || state.senders == 0 {
            return false;
        }
        let other = state.receiver.replace(receiver).filter(RemoteWaiter::is_live_here);
        if other.is_some() {
            state.receiver = other;
            drop(state);
            panic!("another coroutine receives from this mailbox already: give it one owner");
        }
        true
    }
}

impl<T> Drop for Receiver<T> {
    /// Offers stay: their senders take them back.
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.receiver_gone = true;
        let (offers, buffered): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.letters).into_iter().partition(|letter| letter.offer.is_some());
        let senders: Vec<_> = offers.iter().filter_map(|letter| Some(letter.offer.as_ref()?.sender.clone())).collect();
        state.letters = offers;
        drop(state);
        senders.into_iter().for_each(RemoteWaiter::wake);
        drop(buffered); // outside of the lock: destructors may do anything
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Runtime, shard_id, shards, sleep, spawn, spawn_on, timeout, yield_now};

    const SECOND: Duration = Duration::from_secs(1);

    fn simulated<T: 'static>(seed: u64, main: impl FnOnce() -> T + 'static) -> T {
        let runtime = Runtime::builder().simulated(seed).shards(3).build().expect("a valid configuration");
        runtime.run(main).expect("no deadlock")
    }

    #[test]
    fn every_value_arrives_in_its_senders_order_and_no_more_are_held_than_there_is_room_for() {
        let check = |seed: u64, capacity: usize| {
            simulated(seed, move || {
                let (sender, receiver) = bounded(capacity);
                let senders: Vec<_> = shards()
                    .map(|shard| {
                        let sender = sender.clone();
                        spawn_on(shard, move || (0..20).for_each(|n| sender.send((shard, n)).unwrap()))
                    })
                    .collect();
                let held = sender.clone();
                drop(sender);
                let mut next = [0; 3];
                for _ in 0..60 {
                    let (shard, n): (crate::ShardId, u32) = receiver.recv().unwrap();
                    assert_eq!(n, next[shard.index()]);
                    next[shard.index()] += 1;
                    assert!(held.len() <= capacity + 3, "one offer a sender at most");
                }
                drop(held);
                assert_eq!(receiver.recv(), Err(RecvError::Disconnected));
                senders.into_iter().for_each(|sender| sender.join().unwrap());
            });
        };
        for seed in 0..20 {
            [0, 1, 2, 100].into_iter().for_each(|capacity| check(seed, capacity));
        }
    }

    #[test]
    fn a_rendezvous_ends_when_the_value_is_received() {
        simulated(1, || {
            let (sender, receiver) = bounded(0);
            assert_eq!(sender.try_send(0), Err(TrySendError::Full(0)));
            let start = time::now();
            let sending = spawn_on(shard_id(), move || {
                sender.send(7).unwrap();
                time::now()
            });
            sleep(SECOND);
            assert_eq!(receiver.recv(), Ok(7));
            assert!(sending.join().unwrap() - start >= SECOND);
        });
    }

    #[test]
    fn an_offer_is_taken_back_by_time_and_by_kill_and_by_the_receivers_end() {
        simulated(1, || {
            let (sender, receiver) = bounded(1);
            sender.send(1).unwrap();
            assert_eq!(sender.send_timeout(2, SECOND), Err(SendTimeoutError::Timeout(2)));
            assert!(timeout(SECOND, || sender.send(3)).is_err());
            let theirs = sender.clone();
            let killed = spawn(move || theirs.send(4));
            yield_now();
            assert_eq!(sender.len(), 2);
            killed.kill();
            assert!(killed.join().is_err());
            assert_eq!((sender.len(), receiver.recv()), (1, Ok(1)));
            assert_eq!(receiver.recv_timeout(SECOND), Err(RecvTimeoutError::Timeout));
            sender.send(5).unwrap();
            let theirs = sender.clone();
            let waits = spawn(move || theirs.send(6));
            yield_now();
            drop(receiver);
            assert_eq!(waits.join().unwrap(), Err(SendError::Disconnected(6)));
            assert_eq!(sender.send(7), Err(SendError::Disconnected(7)));
            assert_eq!(sender.len(), 0);
        });
    }
}
