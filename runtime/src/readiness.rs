//! Readiness: every descriptor is registered once, edge-triggered, and what the kernel said is kept in user space.
//!
//! The rules, each of which has cost somebody a hang:
//! - A call tries first when the flag is set and parks when it is not; only `EAGAIN` or a short transfer clears a flag.
//! - A short read means "drained" only while the peer has not closed: data and FIN may come in one event, after which no
//!   further edge tells of the end. Once a close was seen the read flag stays set.
//! - Tokens carry a generation: an event of the same batch for a slot that was freed and used again is a no-op. (A
//!   spurious wake-up would be harmless too, since every call loops on `EAGAIN`.)
//! - Deregistration comes before close, because a duplicate descriptor would keep events coming.
//! - A coroutine that keeps finding data ready has a budget in calls and bytes, then the others run.

mod patience;

use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use slab::Slab;

use crate::coroutine::current;
use crate::coroutine::park::{Parker, WaitError, Waiter};
use crate::coroutine::task::Wait;
use crate::descriptors;
use crate::shard::Shard;

use patience::Patience;
pub(crate) use patience::{Limit, Side};

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready(u8);

impl Ready {
    pub(crate) const NONE: Ready = Ready(0);
    pub(crate) const READABLE: Ready = Ready(1);
    pub(crate) const WRITABLE: Ready = Ready(2);
    /// The peer will send nothing more (or the socket failed): reads never block again.
    pub(crate) const READ_CLOSED: Ready = Ready(4);

    #[inline]
    pub(crate) fn has(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    /// What of these is also in `other`.
    #[inline]
    pub(crate) fn among(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }

    #[inline]
    fn without(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl BitOr for Ready {
    type Output = Ready;
    #[inline]
    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    #[inline]
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

/// Names a registration in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Token {
    #[inline]
    pub(crate) fn pack(self) -> usize {
        (self.generation as usize) << 32 | self.slot as usize
    }

    #[inline]
    pub(crate) fn unpack(token: usize) -> Token {
        Token { slot: token as u32, generation: (token >> 32) as u32 }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    #[inline]
    pub(crate) fn flag(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE,
            Direction::Write => Ready::WRITABLE,
        }
    }
}

/// What is known of one registered descriptor.
#[derive(Default)]
struct Source {
    /// Of the shard that is told its events.
    home: u64,
    fd: RawFd,
    generation: u32,
    ready: Cell<Ready>,
    reader: Cell<Option<Waiter>>,
    writer: Cell<Option<Waiter>>,
    reading: Patience,
    writing: Patience,
    /// Waits for the peer to be gone.
    closer: Cell<Option<Waiter>>,
}

impl Default for Ready {
    fn default() -> Self {
        Ready::NONE
    }
}

impl Source {
    #[cold]
    fn on_closed(&self) {
        if let Some(waiter) = self.closer.take() {
            waiter.wake_and_drop();
        }
    }

    #[inline]
    fn waiter(&self, direction: Direction) -> &Cell<Option<Waiter>> {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    #[inline]
    fn patience(&self, direction: Direction) -> &Patience {
        match direction {
            Direction::Read => &self.reading,
            Direction::Write => &self.writing,
        }
    }

    fn is_waited_for(&self, direction: Direction) -> bool {
        let place = self.waiter(direction);
        let waiter = place.take();
        let live = waiter.as_ref().is_some_and(Waiter::is_live);
        place.set(waiter);
        live
    }

    fn time_out(&self, direction: Direction) {
        if let Some(waiter) = self.waiter(direction).take() {
            waiter.time_out();
        }
    }
}

/// Tells shards apart, also those of runtimes that have ended: a number that no other one in this process has.
struct Home(u64);

impl Default for Home {
    fn default() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Home(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// All registered descriptors of a shard.
#[derive(Default)]
pub(crate) struct Sources {
    home: Home,
    slots: RefCell<Slab<Rc<Source>>>,
    generation: Cell<u32>,
    /// Waits with a limit that began in this turn.
    patient: RefCell<Vec<Side>>,
}

impl Sources {
    /// For the time in which the kernel tells events; nothing is registered meanwhile.
    #[inline]
    pub(crate) fn listen(&self) -> Listening<'_> {
        Listening { slots: self.slots.borrow() }
    }

    /// How many descriptors are registered.
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// The descriptor of a registration, if that still exists; open as long as it does.
    pub(crate) fn fd(&self, token: Token) -> Option<RawFd> {
        let slots = self.slots.borrow();
        let source = slots.get(token.slot as usize)?;
        (source.generation == token.generation).then_some(source.fd)
    }

    fn add(&self, shard: &Shard, fd: RawFd, ready: Ready) -> io::Result<(Token, Rc<Source>)> {
        let generation = self.generation.get().wrapping_add(1) & (u32::MAX >> 1);
        self.generation.set(generation);
        let source =
            Rc::new(Source { home: self.home.0, fd, generation, ready: Cell::new(ready), ..Source::default() });
        let slot = self.slots.borrow_mut().insert(source.clone()) as u32;
        let token = Token { slot, generation };
        if let Err(error) = shard.driver.register(fd, token) {
            self.slots.borrow_mut().remove(slot as usize);
            return Err(error);
        }
        Ok((token, source))
    }
}

/// Takes events for a shard's descriptors.
pub(crate) struct Listening<'a> {
    slots: Ref<'a, Slab<Rc<Source>>>,
}

impl Listening<'_> {
    /// Takes an event: sets flags and wakes whom they concern.
    #[inline(always)]
    pub(crate) fn on_event(&self, shard: &Shard, token: Token, ready: Ready) {
        let Some(source) = self.slots.get(token.slot as usize) else { return };
        if source.generation != token.generation {
            return; // of a descriptor that is closed by now
        }
        source.ready.set(source.ready.get() | ready);
        if ready.has(Ready::READABLE)
            && let Some(waiter) = source.reader.take()
        {
            waiter.wake_own(shard);
        }
        if ready.has(Ready::WRITABLE)
            && let Some(waiter) = source.writer.take()
        {
            waiter.wake_own(shard);
        }
        if ready.has(Ready::READ_CLOSED) {
            source.on_closed();
        }
    }
}

/// A descriptor's registration with the shard that made it; owned by the socket, dropped before the descriptor closes.
pub(crate) struct Registration {
    token: Token,
    source: Rc<Source>,
}

impl Registration {
    /// Registers `fd`, which must be non-blocking and stay open until this is dropped.
    ///
    /// It starts as ready both ways: the first call tries and finds out.
    pub(crate) fn new(fd: RawFd) -> io::Result<Registration> {
        Registration::with_readiness(fd, Ready::READABLE | Ready::WRITABLE)
    }

    /// Registers `fd`, known to be not ready until the kernel says so (a listener, a connect in progress).
    pub(crate) fn not_ready(fd: RawFd) -> io::Result<Registration> {
        Registration::with_readiness(fd, Ready::NONE)
    }

    fn with_readiness(fd: RawFd, ready: Ready) -> io::Result<Registration> {
        current::with(|shard| {
            let (token, source) = shard.sources.add(shard, fd, ready)?;
            Ok(Registration { token, source })
        })
    }

    /// Makes transfers of up to `wanted` bytes by `call` until one does not block; parks between tries.
    #[inline(always)] // as a call of its own it would cost a third more
    pub(crate) fn transfer(
        &self,
        direction: Direction,
        wanted: usize,
        timeout: impl Fn() -> Limit,
        mut call: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let shard = current::here();
        shard.charge_call();
        loop {
            if wanted == 0 && !self.is_ready(direction) {
                return Ok(0); // there is room for nothing; a Unix stream's read of nothing would wait, a TCP stream's not
            }
            self.await_transfer(&shard, direction, &timeout)?;
            let result = call();
            if let Some(outcome) = self.outcome(&shard, direction, wanted, result) {
                return outcome;
            }
        }
    }

    /// Parks until a transfer is worth a try.
    #[inline(always)]
    pub(crate) fn await_transfer(
        &self,
        shard: &Shard,
        direction: Direction,
        timeout: &impl Fn() -> Limit,
    ) -> io::Result<()> {
        while !self.is_ready(direction) {
            self.wait_within(shard, direction, timeout())?;
        }
        Ok(())
    }

    /// Takes note of a try; `None` if another one is due.
    #[inline(always)]
    pub(crate) fn outcome(
        &self,
        shard: &Shard,
        direction: Direction,
        wanted: usize,
        result: io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        match result {
            Ok(done) => {
                self.note_transfer(shard, direction, done, wanted);
                Some(Ok(done))
            }
            Err(error) => self.forgive(direction, error).err().map(Err),
        }
    }

    /// Whether an error only means that another try is due.
    #[inline(never)]
    fn forgive(&self, direction: Direction, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.clear(direction),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
        Ok(())
    }

    /// Makes one try of a call that is not a byte transfer (accept, a datagram); parks while it would block.
    pub(crate) fn attempt<T>(
        &self,
        direction: Direction,
        deadline: impl Fn() -> Option<Instant>,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        current::with(Shard::charge_call);
        loop {
            self.wait(direction, &deadline)?;
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(direction),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Like [`Registration::transfer`], but never parks: answers `WouldBlock` instead.
    pub(crate) fn try_transfer(
        &self,
        direction: Direction,
        wanted: usize,
        mut call: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            if !self.is_ready(direction) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match call() {
                Ok(done) => {
                    current::with(|shard| self.note_transfer(shard, direction, done, wanted));
                    return Ok(done);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(direction),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Like [`Registration::attempt`], but never parks: answers `WouldBlock` instead.
    pub(crate) fn try_attempt<T>(
        &self,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            if !self.is_ready(direction) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match call() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(direction),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Parks until the descriptor may be ready; not at all if it is known to be.
    ///
    /// One coroutine may wait for each direction; a second one is an error, since it would steal the first one's wake-up.
    #[inline]
    pub(crate) fn wait(&self, direction: Direction, deadline: &impl Fn() -> Option<Instant>) -> io::Result<()> {
        if self.is_ready(direction) {
            return Ok(());
        }
        current::with(|shard| self.wait_slow(shard, direction, deadline()))
    }

    /// As [`Registration::wait`], under another name in dumps: for descriptors that stand for something else.
    pub(crate) fn wait_as(&self, direction: Direction, wait: Wait, deadline: Option<Instant>) -> io::Result<()> {
        current::with(|shard| self.wait_on(shard, direction, wait, deadline))
    }

    fn wait_slow(&self, shard: &Shard, direction: Direction, deadline: Option<Instant>) -> io::Result<()> {
        self.wait_on(shard, direction, self.reason(direction), deadline)
    }

    #[inline(always)]
    fn reason(&self, direction: Direction) -> Wait {
        match direction {
            Direction::Read => Wait::Readable(self.source.fd),
            Direction::Write => Wait::Writable(self.source.fd),
        }
    }

    /// Waits once; the end of the wait need not mean readiness.
    #[inline(never)]
    fn wait_within(&self, shard: &Shard, direction: Direction, limit: Limit) -> io::Result<()> {
        match direction {
            Direction::Read => self.wait_patiently(shard, Direction::Read, limit),
            Direction::Write => self.wait_patiently(shard, Direction::Write, limit),
        }
    }

    #[inline(always)] // one function from here to the switch of stacks: its calls were a tenth of a request's instructions
    fn wait_patiently(&self, shard: &Shard, direction: Direction, limit: Limit) -> io::Result<()> {
        let source = &*self.source;
        if source.home != shard.sources.home.0 {
            return Err(stranger());
        }
        let parker = Parker::arm_on(shard).map_err(io::Error::from)?;
        leave(source.waiter(direction), &parker)?;
        match limit {
            Limit::NONE => source.patience(direction).endless(),
            limit => {
                let side = Side::new(self.token, direction);
                shard.sources.be_patient(source.patience(direction), side, limit);
            }
        }
        match parker.park_on(shard, self.reason(direction), None) {
            Ok(()) => Ok(()),
            Err(WaitError::TimedOut) => Err(timed_out(direction)),
            Err(WaitError::Unwinding) => unreachable!("arm has checked it"),
        }
    }

    /// As [`Registration::wait_within`], with a deadline that is known.
    fn wait_on(&self, shard: &Shard, direction: Direction, wait: Wait, deadline: Option<Instant>) -> io::Result<()> {
        if self.source.home != shard.sources.home.0 {
            return Err(stranger());
        }
        while !self.is_ready(direction) {
            let parker = Parker::arm_on(shard).map_err(io::Error::from)?;
            leave(self.source.waiter(direction), &parker)?;
            self.source.patience(direction).endless();
            match parker.park_on(shard, wait, deadline) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return Err(timed_out(direction)),
                Err(WaitError::Unwinding) => unreachable!("arm has checked it"),
            }
        }
        Ok(())
    }

    /// Whether the kernel has told that the peer will send nothing more, or that the connection failed.
    pub(crate) fn is_read_closed(&self) -> bool {
        self.source.ready.get().has(Ready::READ_CLOSED)
    }

    /// Parks until the peer will send nothing more, or the connection failed, whether or not bytes wait to be read.
    pub(crate) fn wait_closed(&self, deadline: Option<Instant>) -> io::Result<()> {
        current::with(|shard| {
            if self.source.home != shard.sources.home.0 {
                return Err(stranger());
            }
            while !self.is_read_closed() {
                let parker = Parker::arm_on(shard).map_err(io::Error::from)?;
                leave(&self.source.closer, &parker)?;
                parker.park_on(shard, Wait::Closed(self.source.fd), deadline).map_err(io::Error::from)?;
            }
            Ok(())
        })
    }

    /// As [`Registration::watch`], for the peer's end.
    pub(crate) fn watch_closed(&self, waiter: Waiter) {
        if !self.is_close_watched() {
            self.source.closer.set(Some(waiter));
        }
    }

    /// Takes back what [`Registration::watch_closed`] left for the wait of this ticket.
    pub(crate) fn unwatch_closed(&self, ticket: u64) {
        let place = &self.source.closer;
        place.set(place.take().filter(|waiter| waiter.ticket() != ticket));
    }

    /// Whether a coroutine waits for the peer's end.
    pub(crate) fn is_close_watched(&self) -> bool {
        let waiter = self.source.closer.take();
        let live = waiter.as_ref().is_some_and(Waiter::is_live);
        self.source.closer.set(waiter);
        live
    }

    /// Names the registration in events, and for whoever may outlive it.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Leaves one of several waits with the descriptor; [`Registration::unwatch`] must follow. Answers whether the place
    /// was free: else another coroutine waits there.
    pub(crate) fn watch(&self, direction: Direction, waiter: Waiter) -> bool {
        let free = !self.is_watched(direction);
        if free {
            self.source.patience(direction).endless();
            self.source.waiter(direction).set(Some(waiter));
        }
        free
    }

    /// Takes back what [`Registration::watch`] left for the wait of this ticket.
    pub(crate) fn unwatch(&self, direction: Direction, ticket: u64) {
        let place = self.source.waiter(direction);
        place.set(place.take().filter(|waiter| waiter.ticket() != ticket));
    }

    /// Whether a coroutine waits for this direction.
    pub(crate) fn is_watched(&self, direction: Direction) -> bool {
        self.source.is_waited_for(direction)
    }

    /// Notes what the kernel said when it was asked.
    pub(crate) fn note_ready(&self, direction: Direction) {
        self.source.ready.set(self.source.ready.get() | direction.flag());
    }

    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.source.ready.get().has(direction.flag())
    }

    /// Forgets readiness until the next edge.
    #[inline]
    pub(crate) fn clear(&self, direction: Direction) {
        self.source.ready.set(self.source.ready.get().without(direction.flag()));
    }

    #[inline]
    fn note_transfer(&self, shard: &Shard, direction: Direction, done: usize, wanted: usize) {
        let closed = direction == Direction::Read && self.source.ready.get().has(Ready::READ_CLOSED);
        if 0 < done && done < wanted && !closed {
            self.clear(direction);
        }
        shard.charge_bytes(done);
    }
}

/// Leaves an armed wait at a place that has room for one. The event that ends the wait empties the place; if something
/// else ends it (a deadline, a kill), what stays is a waiter whose ticket is over, which counts as nobody.
#[inline(always)] // on the hot path, as `Registration::wait_on`
fn leave(place: &Cell<Option<Waiter>>, parker: &Parker) -> io::Result<()> {
    match place.replace(Some(parker.waiter())) {
        None => Ok(()),
        Some(other) => give_way(place, other),
    }
}

/// Who was there before keeps the place if it still waits.
#[inline(never)]
fn give_way(place: &Cell<Option<Waiter>>, other: Waiter) -> io::Result<()> {
    if !other.is_live() {
        return Ok(());
    }
    place.set(Some(other));
    Err(busy())
}

#[cold]
fn busy() -> io::Error {
    io::Error::new(
        io::ErrorKind::ResourceBusy,
        "another coroutine waits on this descriptor in the same direction: give each direction one owner",
    )
}

#[cold]
fn stranger() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "this socket belongs to a runtime that has ended: carry it over as std's (into_std, then from_std)",
    )
}

#[cold]
fn timed_out(direction: Direction) -> io::Error {
    let text = match direction {
        Direction::Read => "nothing could be read within the read timeout",
        Direction::Write => "nothing could be written within the write timeout",
    };
    io::Error::new(io::ErrorKind::TimedOut, text)
}

impl Drop for Registration {
    fn drop(&mut self) {
        current::try_with(|shard| {
            // Not so for a socket that was carried out of an earlier runtime of this thread: its place may be another's now.
            if self.source.home == shard.sources.home.0 {
                shard.driver.deregister(self.source.fd);
                self.source.lose_patience(shard);
                let source = shard.sources.slots.borrow_mut().try_remove(self.token.slot as usize);
                debug_assert!(source.is_some_and(|source| Rc::ptr_eq(&source, &self.source)));
            }
            descriptors::freed();
        });
        for direction in [Direction::Read, Direction::Write] {
            if let Some(waiter) = self.source.waiter(direction).take() {
                waiter.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn tokens_pack_and_unpack() {
        for token in [
            Token { slot: 0, generation: 0 },
            Token { slot: u32::MAX, generation: u32::MAX },
            Token { slot: 7, generation: 0x8000_0001 },
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }

    #[test]
    fn flags_combine_and_clear() {
        let both = Ready::READABLE | Ready::READ_CLOSED;
        assert!(both.has(Ready::READABLE) && both.has(Ready::READ_CLOSED) && !both.has(Ready::WRITABLE));
        assert_eq!(both.without(Ready::READABLE), Ready::READ_CLOSED);
    }

    #[test]
    fn what_was_meant_for_a_slots_last_owner_reaches_nobody() {
        crate::run(|| {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("two sockets");
            let last = Registration::not_ready(ours.as_raw_fd()).expect("a registration");
            let stale = last.token;
            drop(last);
            let owner = Registration::not_ready(theirs.as_raw_fd()).expect("a registration");
            assert_eq!(owner.token.slot, stale.slot, "the slot is used again");
            current::with(|shard| {
                let sources = &shard.sources;
                assert_eq!((sources.fd(stale), sources.fd(owner.token)), (None, Some(theirs.as_raw_fd())));
                sources.listen().on_event(shard, stale, Ready::READABLE | Ready::WRITABLE);
                assert_eq!(owner.source.ready.get(), Ready::NONE);
                sources.listen().on_event(shard, owner.token, Ready::READABLE);
                assert_eq!(owner.source.ready.get(), Ready::READABLE);
            });
        })
        .expect("no deadlock");
    }
}
