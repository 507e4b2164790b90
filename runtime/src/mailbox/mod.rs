//! Mail between shards, and from any thread to a shard.
//!
//! Each shard has one inbox: a vector behind a lock that is held for a push or a swap, never across a wait. A sender
//! rings the bell only if the shard is asleep, and only once: a busy shard looks at its inbox every turn, so a stream of
//! mail to it costs no system call. (A lock-free ring was considered; an uncontended lock costs about as much as its
//! atomics, is safe code, and receivers empty the vector whole. Senders that have many items send them as one batch.)

pub mod channel;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;

/// Something for a shard to do.
pub(crate) enum Mail {
    /// Run this on the shard's own stack; it must not wait (it may spawn).
    Run(Box<dyn FnOnce() + Send>),
    /// Make ready the coroutine at this place of the table, if it still waits with this ticket.
    Unpark { key: u32, ticket: u64 },
}

/// A shard's letter box.
pub(crate) struct Inbox {
    mail: Mutex<Vec<Mail>>,
    /// Whether `mail` may hold something; read by the shard without the lock.
    flag: AtomicBool,
    asleep: AtomicBool,
    /// `None` on the simulated driver, whose shards never sleep.
    waker: Option<Arc<Waker>>,
}

impl Inbox {
    pub(crate) fn new(waker: Option<Arc<Waker>>) -> Arc<Inbox> {
        Arc::new(Inbox {
            mail: Mutex::new(Vec::new()),
            flag: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            waker,
        })
    }

    /// Posts one item and wakes the shard if it sleeps.
    pub(crate) fn post(&self, mail: Mail) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.flag.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Wakes the shard if it sleeps.
    pub(crate) fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = &self.waker
        {
            // The only failures are of a full counter (then it is awake) and of a closed one (then it is gone).
            let _ = waker.wake();
        }
    }

    /// Takes everything, into `into`.
    pub(crate) fn take(&self, into: &mut Vec<Mail>) {
        if self.flag.load(Ordering::Relaxed) && self.flag.swap(false, Ordering::SeqCst) {
            into.append(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The shard is about to sleep. False if mail came meanwhile: then it must not.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.flag.load(Ordering::SeqCst) {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// The shard runs again.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Whether something waits to be taken.
    pub(crate) fn has_mail(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
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

    /// Makes the coroutine ready if it still waits.
    pub(crate) fn wake(self) {
        self.inbox.post(Mail::Unpark { key: self.key, ticket: self.ticket });
    }
}
