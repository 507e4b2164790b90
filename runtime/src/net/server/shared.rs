//! What the parts of a server share across shards: counts, phase, and who is being served where.
//!
//! Everything here is touched once or twice a connection, never per byte, so plain locks and counters do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

use super::{ServerStats, deadline};
use crate::coroutine::current;
use crate::coroutine::park::{Parker, RemoteKill, Unwinding, WaitError};
use crate::coroutine::task::Wait;
use crate::mailbox::{Inbox, Mail, RemoteWaiter};
use crate::readiness::Token;
use crate::shard::ShardId;
use crate::time;

/// How long after a kill the connections are looked at again: one may have been on its way to another shard.
const KILL_AGAIN: Duration = Duration::from_millis(20);

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No accepting; connections have until then.
    Stopping {
        until: Instant,
    },
    Ended,
}

pub(super) struct Core {
    addr: SocketAddr,
    connections_max: usize,
    end_input: bool,
    rosters: Vec<Roster>,
    accepted: AtomicU64,
    refused: AtomicU64,
    paused: AtomicU64,
    killed: AtomicUsize,
    /// Whether somebody has begun to serve, and so will end it.
    served: AtomicBool,
    control: Mutex<Control>,
}

/// Those who wait look for themselves whether a change is the one they wait for.
struct Control {
    phase: Phase,
    /// Whoever waits for a change of phase. It may be every connection.
    phase_waiters: Vec<RemoteWaiter>,
    /// Whoever waits for a connection to end, or for a change of phase: the server's own coroutines.
    end_waiters: Vec<RemoteWaiter>,
}

/// Which of the lists a wait stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Phase,
    End,
}

impl Control {
    fn waiters(&mut self, list: For) -> &mut Vec<RemoteWaiter> {
        match list {
            For::Phase => &mut self.phase_waiters,
            For::End => &mut self.end_waiters,
        }
    }
}

/// A place in one of the lists, left when dropped (also by unwinding): else whoever looks again and again would fill it.
struct Waiting<'a> {
    control: &'a Mutex<Control>,
    list: For,
    waiter: RemoteWaiter,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(self.control).waiters(self.list).retain(|waiter| !waiter.is(&self.waiter));
    }
}

/// The connections of one shard.
struct Roster {
    shard: ShardId,
    inbox: Arc<Inbox>,
    /// Places reserved, from acceptance to the coroutine's end.
    active: AtomicUsize,
    entries: Mutex<Slab<Entry>>,
}

#[derive(Clone)]
struct Entry {
    kill: RemoteKill,
    token: Token,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// The core of a server that listens.
    pub(super) fn open(addr: SocketAddr, targets: Vec<ShardId>, connections_max: usize, end_input: bool) -> Ending {
        let inbox = |shard: ShardId| current::with(|current| current.shared.inboxes[shard.index()].clone());
        let roster =
            |shard| Roster { shard, inbox: inbox(shard), active: AtomicUsize::new(0), entries: Mutex::default() };
        Ending(Arc::new(Core {
            addr,
            connections_max,
            end_input,
            rosters: targets.into_iter().map(roster).collect(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            paused: AtomicU64::new(0),
            killed: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            control: Mutex::new(Control { phase: Phase::Open, phase_waiters: Vec::new(), end_waiters: Vec::new() }),
        }))
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn shard_count(&self) -> usize {
        self.rosters.len()
    }

    pub(super) fn phase(&self) -> Phase {
        lock(&self.control).phase
    }

    pub(super) fn note_served(&self) {
        self.served.store(true, Ordering::Release);
    }

    pub(super) fn is_served(&self) -> bool {
        self.served.load(Ordering::Acquire)
    }

    pub(super) fn killed(&self) -> usize {
        self.killed.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self) -> ServerStats {
        ServerStats {
            accepted: self.accepted.load(Ordering::Relaxed),
            active: self.active(),
            refused: self.refused.load(Ordering::Relaxed),
            paused: self.paused.load(Ordering::Relaxed),
        }
    }

    pub(super) fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_pause(&self) {
        self.paused.fetch_add(1, Ordering::Relaxed);
    }

    fn active(&self) -> usize {
        self.rosters.iter().map(|roster| roster.active.load(Ordering::Acquire)).sum()
    }

    // ---- waiting

    /// Parks until `done` holds; it is asked again after every change of phase, and after every connection's end if it is
    /// for that.
    pub(super) fn wait(
        &self,
        list: For,
        what: &'static str,
        deadline: Option<Instant>,
        done: impl Fn(&Phase) -> bool,
    ) -> Result<(), WaitError> {
        loop {
            let parker = Parker::arm().map_err(|Unwinding| WaitError::Unwinding)?;
            let waiting = Waiting { control: &self.control, list, waiter: parker.remote() };
            {
                let mut control = lock(&self.control);
                if done(&control.phase) {
                    drop(control); // before `waiting`, which locks it
                    return Ok(());
                }
                control.waiters(list).push(waiting.waiter.clone());
            }
            parker.park(Wait::Sync(what), deadline)?;
        }
    }

    fn wake(&self, list: For) {
        let waiters = std::mem::take(lock(&self.control).waiters(list));
        waiters.into_iter().for_each(RemoteWaiter::wake);
    }

    fn wake_all(&self) {
        self.wake(For::End);
        self.wake(For::Phase);
    }

    /// Parks while there are as many connections as there may be.
    pub(super) fn wait_for_room(&self) -> Result<(), WaitError> {
        match self.active() < self.connections_max {
            true => Ok(()),
            false => self.wait(For::End, "a connection to end", None, |_| self.active() < self.connections_max),
        }
    }

    // ---- connections

    /// Counts a connection as accepted and gives it a place on the shard that has the fewest.
    pub(super) fn reserve(self: &Arc<Core>) -> Place {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let least = |&index: &usize| self.rosters[index].active.load(Ordering::Acquire);
        let roster = (0..self.rosters.len()).min_by_key(least).expect("a server has at least one shard");
        self.rosters[roster].active.fetch_add(1, Ordering::AcqRel);
        Place { core: self.clone(), roster, entry: None }
    }

    // ---- stopping

    /// Stops accepting; connections have `limit` from now, or what is left of a shorter one.
    pub(super) fn begin_stop(&self, limit: Duration) {
        let wanted = deadline(limit);
        let mut control = lock(&self.control);
        control.phase = match control.phase {
            Phase::Open => Phase::Stopping { until: wanted },
            Phase::Stopping { until } => Phase::Stopping { until: until.min(wanted) },
            Phase::Ended => Phase::Ended,
        };
        drop(control);
        self.wake_all();
    }

    /// Tells the connections, waits for them to end until the deadline, kills the rest.
    pub(super) fn drain(self: &Arc<Core>) -> Result<(), WaitError> {
        if self.end_input {
            self.on_every_shard(|roster| roster.end_input());
        }
        while let Phase::Stopping { until } = self.phase()
            && self.active() > 0
        {
            if time::now() >= until {
                self.killed.fetch_max(self.active(), Ordering::Relaxed);
                self.kill_all();
                self.wait_ended(time::now() + KILL_AGAIN, until)?;
            } else {
                self.wait_ended(until, until)?;
            }
        }
        Ok(())
    }

    /// Parks until no connection is left, until `deadline`, or until somebody wants it sooner than at `until`.
    fn wait_ended(&self, deadline: Instant, until: Instant) -> Result<(), WaitError> {
        let done = |phase: &Phase| self.active() == 0 || *phase != Phase::Stopping { until };
        match self.wait(For::End, "connections to end", Some(deadline), done) {
            Err(WaitError::TimedOut) => Ok(()),
            other => other,
        }
    }

    fn kill_all(self: &Arc<Core>) {
        self.on_every_shard(|roster| roster.entries().iter().for_each(|entry| entry.kill.strike()));
    }

    fn on_every_shard(self: &Arc<Core>, f: fn(&Roster)) {
        for (index, roster) in self.rosters.iter().enumerate() {
            let core = self.clone();
            roster.inbox.post(Mail::Run(Box::new(move || f(&core.rosters[index]))));
        }
    }
}

impl Roster {
    /// A copy, because a kill may run destructors that come back here.
    fn entries(&self) -> Vec<Entry> {
        lock(&self.entries).iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Runs on the roster's shard.
    fn end_input(&self) {
        self.entries().iter().for_each(Entry::end_input);
    }
}

impl Entry {
    /// Ends the input of the connection, if its handler has not closed it or given it away.
    fn end_input(&self) {
        current::with(|shard| {
            if let Some(fd) = shard.sources.fd(self.token) {
                // A peer that has gone already has ended it too.
                let _ = shard.driver.shutdown_read(fd);
            }
        });
    }
}

/// One connection's room in the counts and, once it runs, in its shard's list; given back when dropped.
pub(super) struct Place {
    core: Arc<Core>,
    roster: usize,
    entry: Option<usize>,
}

impl Place {
    pub(super) fn core(&self) -> Arc<Core> {
        self.core.clone()
    }

    pub(super) fn shard(&self) -> ShardId {
        self.roster().shard
    }

    /// Lists the running coroutine and its stream.
    pub(super) fn enter(mut self, token: Token) -> Place {
        let entry = Entry { kill: current::with(|shard| RemoteKill::of(&current::task(shard))), token };
        let key = lock(&self.roster().entries).insert(entry.clone());
        self.entry = Some(key);
        // A stop that came while the connection was on its way has not seen it in the list.
        if self.core.end_input && self.core.phase() != Phase::Open {
            entry.end_input();
        }
        self
    }

    fn roster(&self) -> &Roster {
        &self.core.rosters[self.roster]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            lock(&self.roster().entries).remove(entry);
        }
        self.roster().active.fetch_sub(1, Ordering::AcqRel);
        self.core.wake(For::End);
    }
}

/// The server's own hold of the core: when it goes, whichever way, the server has ended and so do its connections.
pub(super) struct Ending(Arc<Core>);

impl Ending {
    pub(super) fn share(&self) -> Arc<Core> {
        self.0.clone()
    }

    pub(super) fn drain(&self) -> io::Result<()> {
        Ok(self.0.drain()?)
    }
}

impl Deref for Ending {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.stats().fmt(f)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        lock(&self.0.control).phase = Phase::Ended;
        if self.0.active() > 0 {
            self.0.kill_all();
        }
        self.0.wake_all();
    }
}
