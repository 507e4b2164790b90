//! Mail between shards, and from any thread to a shard.
//!
//! Two kinds of typed mail, both with any number of senders and one receiver, which stays on its shard:
//!
//! | | [`bounded`] | [`channel`] |
//! |---|---|---|
//! | a full mailbox | makes its senders wait | there is none: senders never wait |
//! | goes | value by value | all that is there at once |
//! | for | work that must not pile up; threads ([`try_send`](bounded::Sender::try_send)) | many small letters, with a limit of another kind |
//!
//! For one answer there is [`lane::reply`](crate::lane::reply()); for running something over there [`call`](crate::call) and
//! [`post`](crate::post). A [`select!`](crate::select!) chooses between things of its own shard: to have mail among them, let a
//! coroutine take it in.
//!
//! ```
//! use std::time::Duration;
//! use leveret_runtime::{mailbox, select, spawn, sync::channel};
//! # leveret_runtime::run(|| {
//! let (outside, mail) = mailbox::bounded::bounded(16);
//! let (inside, orders) = channel::bounded(0); // has no room of its own, so the limit is still 16
//! let porter = spawn(move || mail.iter().try_for_each(|order| inside.send(order)));
//! std::thread::spawn(move || outside.try_send("order").unwrap());
//! let first = select! {
//!     recv(orders) -> order => order.unwrap(),
//!     after(Duration::from_secs(60)) => "none",
//! };
//! assert_eq!(first, "order");
//! assert!(porter.join().unwrap().is_ok()); // the thread has dropped its end
//! # }).unwrap();
//! ```
//!
//! Each shard has one inbox: a vector behind a lock that is held for a push or a swap, never across a wait. A sender
//! rings the bell only if the shard is asleep, and only once: a busy shard looks at its inbox every turn, so a stream of
//! mail to it costs no system call. (A lock-free ring was considered; an uncontended lock costs about as much as its
//! atomics, is safe code, and receivers empty the vector whole. Senders that have many items send them as one batch.)

pub(crate) mod bell;
pub mod bounded;
pub mod channel;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use bell::Bell;

use crate::coroutine::current;
use crate::driver::sim::hosts::HostId;
use crate::shard::ShardId;

/// Something for a shard to do.
pub(crate) enum Mail {
    /// Run this on the shard's own stack; it must not wait (it may spawn).
    Run(Box<dyn FnOnce() + Send>),
    /// Make ready the coroutine at this place of the table, if it still waits with this ticket.
    Unpark { key: u32, ticket: u64 },
    /// Make ready the coroutine of this number at this place of the table, which was woken on another shard of its thread.
    Ready { key: u32, number: u64 },
}

/// A shard's letter box.
pub(crate) struct Inbox {
    /// `None` when the shard has ended.
    mail: Mutex<Option<Vec<Mail>>>,
    /// Rung when `mail` may hold something, or there is something else to look at; heard by the shard without the lock.
    bell: Bell,
    /// Times that it was woken from its sleep.
    woken: AtomicU64,
    /// `None` on the simulated driver, whose shards never sleep.
    waker: Option<Arc<Waker>>,
    /// Who sent each of the letters; kept on the simulated driver only.
    origins: Mutex<Vec<Origin>>,
}

/// Where a letter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// `None` for a thread that runs no shard.
    shard: Option<ShardId>,
    pub(crate) host: HostId,
}

impl Origin {
    fn of_caller() -> Origin {
        let origin = current::try_with(|shard| {
            let host = shard.driver.world().map(|world| world.hosts.current());
            Origin { shard: Some(shard.id), host: host.unwrap_or_default() }
        });
        origin.unwrap_or(Origin { shard: None, host: HostId::MAIN })
    }
}

impl Inbox {
    pub(crate) fn new(waker: Option<Arc<Waker>>) -> Arc<Inbox> {
        Arc::new(Inbox {
            mail: Mutex::new(Some(Vec::new())),
            bell: Bell::default(),
            woken: AtomicU64::new(0),
            waker,
            origins: Mutex::default(),
        })
    }

    /// Posts one item and wakes the shard if it sleeps. If the shard has ended, the item is dropped.
    pub(crate) fn post(&self, mail: Mail) {
        if let Some(late) = self.put(mail) {
            drop(late); // outside of the lock: a destructor may post
        } else {
            self.ring();
        }
    }

    /// Gives the item back if the shard has ended.
    fn put(&self, mail: Mail) -> Option<Mail> {
        match self.letters().as_mut() {
            Some(letters) => {
                letters.push(mail);
                if self.waker.is_none() {
                    self.origins().push(Origin::of_caller());
                }
                None
            }
            None => Some(mail),
        }
    }

    /// The shard ends: takes what nobody will read any more, and nothing comes in from now on. (What stayed here would never
    /// be dropped, since letters often hold an inbox themselves, to answer.)
    #[must_use = "what is left is to be dropped where destructors may run"]
    pub(crate) fn close(&self) -> Vec<Mail> {
        self.letters().take().unwrap_or_default()
    }

    /// Takes out what coroutines of a host that has crashed wanted to run here. (Wake-ups stay: they do nothing by themselves.)
    #[must_use = "what is taken out is to be dropped where destructors may run"]
    pub(crate) fn purge(&self, host: HostId) -> Vec<Mail> {
        let mut letters = self.letters();
        let Some(waiting) = letters.as_mut() else { return Vec::new() };
        let sent: Vec<_> = self.origins().drain(..).zip(waiting.drain(..)).collect();
        let (gone, kept): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|(origin, mail)| origin.host == host && matches!(mail, Mail::Run(_)));
        for (origin, mail) in kept {
            self.origins().push(origin);
            waiting.push(mail);
        }
        gone.into_iter().map(|(_, mail)| mail).collect()
    }

    fn origins(&self) -> MutexGuard<'_, Vec<Origin>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn letters(&self) -> MutexGuard<'_, Option<Vec<Mail>>> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the shard look: it wakes if it sleeps, and does not fall asleep before it has made another turn.
    pub(crate) fn ring(&self) {
        if self.bell.ring()
            && let Some(waker) = &self.waker
        {
            self.woken.fetch_add(1, Ordering::Relaxed);
            // The only failures are of a full counter (then it is awake) and of a closed one (then it is gone).
            let _ = waker.wake();
        }
    }

    /// Takes everything, into `into`.
    pub(crate) fn take(&self, into: &mut Vec<Mail>) {
        if self.bell.heard() {
            self.letters().iter_mut().for_each(|letters| into.append(letters));
        }
    }

    /// Takes what arrives by now in a simulation: of each sender's letters the first so many as `arrive` says of their number,
    /// mixed as `mix` draws among so many senders.
    pub(crate) fn take_arrived(
        &self,
        mut arrive: impl FnMut(usize) -> usize,
        mut mix: impl FnMut(usize) -> usize,
    ) -> Vec<(Origin, Mail)> {
        let mut letters = self.letters();
        let Some(waiting) = letters.as_mut().filter(|waiting| !waiting.is_empty()) else {
            self.bell.set(false);
            return Vec::new();
        };
        let sent = self.origins().drain(..).zip(waiting.drain(..)).collect();
        let mut arriving = Vec::new();
        for mut lane in by_sender(sent) {
            for (origin, mail) in lane.split_off(arrive(lane.len()).min(lane.len())) {
                self.origins().push(origin);
                waiting.push(mail);
            }
            arriving.push(lane);
        }
        self.bell.set(!waiting.is_empty());
        drop(letters);
        mixed(arriving, &mut mix)
    }

    /// The shard is about to sleep. False if mail came meanwhile: then it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.bell.fall_asleep()
    }

    /// The shard runs again.
    pub(crate) fn awake(&self) {
        self.bell.awake();
    }

    /// How often the shard was woken from its sleep in the kernel.
    pub(crate) fn woken(&self) -> u64 {
        self.woken.load(Ordering::Relaxed)
    }

    /// How many letters wait to be taken.
    pub(crate) fn depth(&self) -> usize {
        self.letters().as_ref().map_or(0, Vec::len)
    }

    /// Whether something waits to be taken.
    pub(crate) fn has_mail(&self) -> bool {
        self.bell.has_rung()
    }
}

/// Letters of one sender, in order.
type Lane = VecDeque<(Origin, Mail)>;

fn by_sender(letters: Vec<(Origin, Mail)>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    for (origin, mail) in letters {
        let of_sender = |lane: &&mut Lane| lane.front().is_some_and(|(first, _)| first.shard == origin.shard);
        match lanes.iter_mut().find(of_sender) {
            Some(lane) => lane.push_back((origin, mail)),
            None => lanes.push([(origin, mail)].into()),
        }
    }
    lanes
}

/// Takes from one lane or another, as `draw` says among so many, until all are empty.
fn mixed(mut lanes: Vec<Lane>, draw: &mut impl FnMut(usize) -> usize) -> Vec<(Origin, Mail)> {
    let mut taken = Vec::new();
    loop {
        lanes.retain(|lane| !lane.is_empty());
        let drawn = if lanes.len() > 1 { draw(lanes.len()) } else { 0 };
        match lanes.get_mut(drawn) {
            Some(lane) => taken.extend(lane.pop_front()),
            None => return taken,
        }
    }
}

/// The wake-up of a coroutine, for another thread to keep.
#[derive(Clone)]
pub(crate) struct RemoteWaiter {
    inbox: Arc<Inbox>,
    key: u32,
    ticket: u64,
}

impl RemoteWaiter {
    pub(crate) fn new(inbox: Arc<Inbox>, key: u32, ticket: u64) -> RemoteWaiter {
        RemoteWaiter { inbox, key, ticket }
    }

    /// Whether the coroutine still waits; known on its own shard only, elsewhere the answer is no.
    pub(crate) fn is_live_here(&self) -> bool {
        current::with(|shard| {
            let own = Arc::ptr_eq(&shard.inbox, &self.inbox);
            own && shard.task(self.key).is_some_and(|task| task.ticket.get() == self.ticket)
        })
    }

    /// Whether both are of the same wait.
    pub(crate) fn is(&self, other: &RemoteWaiter) -> bool {
        self.ticket == other.ticket && Arc::ptr_eq(&self.inbox, &other.inbox)
    }

    /// Makes the coroutine ready if it still waits.
    pub(crate) fn wake(self) {
        self.inbox.post(Mail::Unpark { key: self.key, ticket: self.ticket });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runtime ended between a shard's look at the flag that says so and its falling asleep: the bell was heard by
    /// nobody, and the shard slept for ever.
    #[test]
    fn a_bell_that_rings_before_the_shard_sleeps_keeps_it_awake() {
        let inbox = Inbox::new(None);
        inbox.ring();
        assert!(!inbox.fall_asleep());
        inbox.take(&mut Vec::new());
        assert!(inbox.fall_asleep());
    }
}
