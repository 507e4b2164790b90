//! The simulated machine: what its shards share (they all run on one thread), and one shard's view of it.
//!
//! Each part is a file of its own: the clock, randomness in streams, the trace, the list of faults that fired, the network.
//! They meet in [`World`] only.

pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod fault;
pub(crate) mod hosts;
pub(crate) mod lanes;
pub(crate) mod net;
pub(crate) mod plan;
pub(crate) mod random;
pub(crate) mod schedule;
mod signals;
pub(crate) mod trace;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clock::Clock;
use disk::Disks;
use fault::Faults;
use hosts::{HostId, Hosts, Skew};
use lanes::SimulatedLanes;
use net::Net;
use plan::Plan;
use random::{Random, Stream, mix};
use signals::Listeners;
use trace::Trace;

use crate::mailbox::RemoteWaiter;
use crate::readiness::{Ready, Token};

/// What the shards of one simulation share.
pub(crate) struct World {
    /// Of all simulations of this process; in no trace.
    id: u64,
    pub(crate) clock: Clock,
    pub(crate) trace: Trace,
    pub(crate) faults: Rc<Faults>,
    pub(crate) hosts: Hosts,
    pub(crate) plan: Plan,
    disks: Disks,
    pub(crate) lanes: SimulatedLanes,
    net: RefCell<Net>,
    signals: Listeners,
    /// Who waits for a socket to be closed.
    freed: RefCell<Vec<RemoteWaiter>>,
    random: Random,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("elapsed", &self.clock.elapsed()).finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(seed: u64, shards: usize) -> Rc<World> {
        let session = SESSION.with_borrow(Clone::clone);
        let faults = session.map(|session| session.faults.clone()).unwrap_or_default();
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        Rc::new(World {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed),
            clock: Clock::new(),
            trace: Trace::default(),
            faults,
            hosts: Hosts::new(),
            plan: Plan::default(),
            disks: Disks::default(),
            lanes: SimulatedLanes::default(),
            net: RefCell::new(Net::new(shards)),
            signals: Listeners::default(),
            freed: RefCell::default(),
            random: Random::new(seed),
        })
    }

    /// Tells it from every other simulation of this process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Moves the clock forward to `at`; never back.
    pub(crate) fn advance_to(&self, at: Instant) {
        self.clock.advance_to(at);
        self.note("clock", 0, 0);
    }

    /// Notes an event in the trace, with the virtual time. The numbers must be the same in every run of the seed.
    pub(crate) fn note(&self, what: &'static str, a: u64, b: u64) {
        self.trace.note(self.clock.elapsed(), what, a, b);
    }

    /// 64 random bits.
    pub(crate) fn draw(&self, stream: Stream) -> u64 {
        let drawn = self.random.draw(stream);
        self.note("draw", stream as u64, drawn);
        drawn
    }

    /// A number from 0 to `bound - 1`; 0 for a bound of 0.
    pub(crate) fn below(&self, stream: Stream, bound: u64) -> u64 {
        ((u128::from(self.draw(stream)) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability; draws nothing for 0.
    pub(crate) fn chance(&self, stream: Stream, probability: f64) -> bool {
        probability > 0.0 && ((self.draw(stream) >> 11) as f64 / (1u64 << 53) as f64) < probability
    }

    /// A duration between the two, both included; draws nothing if they are the same.
    pub(crate) fn between(&self, stream: Stream, least: Duration, most: Duration) -> Duration {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        match nanos(most).saturating_sub(nanos(least)) {
            0 => least,
            span => least + Duration::from_nanos(self.below(stream, span.saturating_add(1))),
        }
    }

    /// Numbers a fault that the seed wants to fire now, and says whether it does: a runner that looks for the few faults that
    /// matter has some of them left out.
    pub(crate) fn fault_fires(&self, what: impl Into<String>) -> bool {
        let fires = self.faults.fires(self.clock.elapsed(), what.into());
        self.note("fault", u64::from(fires), 0);
        fires
    }
}

/// Hosts that fail and come back.
impl World {
    /// The power of a host fails: what it had open is gone, and nobody is told.
    pub(crate) fn crash(&self, host: HostId) {
        self.note("host crashes", host.0.into(), 0);
        self.hosts.set_up(host, false);
        self.net(|net, _| net.crash(host));
        self.disk_of(host).crash_in(self);
    }

    /// A host is back.
    pub(crate) fn restart(&self, host: HostId) {
        self.note("host restarts", host.0.into(), 0);
        self.hosts.set_up(host, true);
        self.net(Net::restart);
    }
}

/// The network.
impl World {
    /// Calls the network. What it does wakes nobody at once: events wait until their shard asks for them.
    pub(crate) fn net<T>(&self, f: impl FnOnce(&mut Net, &World) -> T) -> T {
        f(&mut self.net.borrow_mut(), self)
    }

    /// When something that is on its way arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.net.borrow().next_due().map(|due| self.clock.at(due))
    }

    /// Keeps a waiter until a socket is closed.
    pub(crate) fn wait_freed(&self, waiter: RemoteWaiter) {
        self.freed.borrow_mut().push(waiter);
    }

    pub(crate) fn forget_waiter(&self, waiter: &RemoteWaiter) {
        self.freed.borrow_mut().retain(|other| !other.is(waiter));
    }

    /// A socket is closed: whoever lacked one may try again.
    pub(crate) fn wake_freed(&self) {
        let waiters = self.freed.take();
        waiters.into_iter().for_each(RemoteWaiter::wake);
    }
}

/// What a test body's simulations share and leave behind; there may be several, one after the other.
#[derive(Debug)]
pub(crate) struct Session {
    faults: Rc<Faults>,
    hash: Cell<u64>,
    simulated: Cell<Duration>,
    recent: RefCell<String>,
}

impl Session {
    pub(crate) fn new(faults: Faults) -> Session {
        Session {
            faults: Rc::new(faults),
            hash: Cell::new(0),
            simulated: Cell::new(Duration::ZERO),
            recent: RefCell::default(),
        }
    }

    pub(crate) fn faults(&self) -> &Rc<Faults> {
        &self.faults
    }

    /// Of all simulations that have ended.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// Virtual time of all simulations that have ended.
    pub(crate) fn simulated(&self) -> Duration {
        self.simulated.get()
    }

    /// The last events of the last simulation.
    pub(crate) fn recent(&self) -> String {
        self.recent.borrow().clone()
    }

    fn note_end(&self, world: &World) {
        self.hash.set(mix(self.hash.get().rotate_left(5) ^ world.trace.hash()));
        self.simulated.set(self.simulated.get() + world.clock.elapsed());
        self.recent.replace(world.trace.recent());
    }
}

thread_local! {
    /// Of the test body that runs on this thread.
    static SESSION: RefCell<Option<Rc<Session>>> = const { RefCell::new(None) };
    /// The trace of the last simulation that ended on this thread.
    static LAST_HASH: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` with one session for all its simulations.
pub(crate) fn with_session<T>(session: Rc<Session>, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<Session>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SESSION.set(self.0.take());
        }
    }
    let _restore = Restore(SESSION.replace(Some(session)));
    f()
}

/// The hash of the last simulation that ended on this thread; zero if there was none.
pub(crate) fn last_hash() -> u64 {
    LAST_HASH.get()
}

impl Drop for World {
    fn drop(&mut self) {
        LAST_HASH.set(self.trace.hash());
        if let Some(session) = SESSION.with_borrow(Clone::clone) {
            session.note_end(self);
        }
    }
}

/// One shard's view of the simulated world.
#[derive(Debug)]
pub(crate) struct SimDriver {
    world: Rc<World>,
    shard: usize,
}

impl SimDriver {
    pub(crate) fn new(world: Rc<World>, shard: usize) -> SimDriver {
        SimDriver { world, shard }
    }

    pub(crate) fn world(&self) -> &Rc<World> {
        &self.world
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn system_now(&self) -> SystemTime {
        let now = self.world.clock.system_now();
        match self.world.hosts.skew(self.world.hosts.current()) {
            Skew::Ahead(skew) => now + skew,
            Skew::Behind(skew) => now - skew,
        }
    }

    /// Reports the events since the last call.
    pub(crate) fn poll(&self, mut on_event: impl FnMut(Token, Ready)) {
        let events = self.world.net.borrow_mut().take_events(self.shard);
        for (token, ready) in events {
            self.world.note("event", self.shard as u64, token.slot.into());
            on_event(token, ready);
        }
    }

    pub(crate) fn has_events(&self) -> bool {
        self.world.net.borrow().has_events(self.shard)
    }

    pub(crate) fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.world.net(|net, _| net.register(fd, self.shard, token))
    }

    pub(crate) fn deregister(&self, fd: RawFd) {
        self.world.net(|net, _| net.deregister(fd));
        self.world.wake_freed();
    }

    pub(crate) fn random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.world.draw(Stream::Program).to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_again_and_another_seed_others() {
        let bytes = |seed| {
            let driver = SimDriver::new(World::new(seed, 1), 0);
            let mut bytes = [0u8; 27];
            driver.random(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn draws_stay_in_their_range() {
        let world = World::new(5, 1);
        for bound in [1, 2, 3, 1000] {
            assert!((0..1000).all(|_| world.below(Stream::Network, bound) < bound));
        }
        assert_eq!(world.below(Stream::Network, 0), 0);
        let hits = (0..10_000).filter(|_| world.chance(Stream::Network, 0.25)).count();
        assert!((2_000..3_000).contains(&hits), "{hits}");
        assert!(world.chance(Stream::Network, 1.0) && !world.chance(Stream::Network, 0.0));
        let (one, two) = (Duration::from_millis(1), Duration::from_millis(2));
        assert!((0..100).all(|_| (one..=two).contains(&world.between(Stream::Network, one, two))));
    }

    #[test]
    fn a_simulation_leaves_its_hash_behind() {
        let hash = |seed| {
            let world = World::new(seed, 1);
            world.draw(Stream::Disk);
            drop(world);
            last_hash()
        };
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
