//! The real machine: the kernel's clocks and randomness, and epoll through mio.

use std::cell::RefCell;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Waker};

use crate::readiness::{Ready, Token};

/// Events taken from the kernel at once. 64 and 1,024 measured alike; what does not fit comes with the next call.
const EVENTS_MAX: usize = 512;

/// The token of the waker; no registration has it, since slots are 32 bits and this one's is all ones.
const WAKER: Token = Token { slot: u32::MAX, generation: u32::MAX };

#[derive(Debug)]
pub(crate) struct OsDriver {
    inner: RefCell<(Poll, Events)>,
    registry: Registry,
}

impl OsDriver {
    /// A driver, and the handle by which other threads end its wait.
    pub(crate) fn new() -> io::Result<(OsDriver, Arc<Waker>)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Arc::new(Waker::new(&registry, mio::Token(WAKER.pack()))?);
        Ok((OsDriver { inner: RefCell::new((poll, Events::with_capacity(EVENTS_MAX))), registry }, waker))
    }

    #[inline]
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    pub(crate) fn system_now(&self) -> SystemTime {
        SystemTime::now()
    }

    pub(crate) fn random(&self, bytes: &mut [u8]) {
        crate::sys::random::fill(bytes);
    }

    /// One `epoll_wait`. A signal that interrupts it counts as no event. mio rounds the limit up to milliseconds, so that
    /// a timer neither spins nor fires early.
    pub(crate) fn poll(&self, limit: Option<Duration>, mut on_event: impl FnMut(Token, Ready)) -> io::Result<()> {
        let (poll, events) = &mut *self.inner.borrow_mut();
        match poll.poll(events, limit) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            let token = Token::unpack(event.token().0);
            if token != WAKER {
                on_event(token, ready(event));
            }
        }
        Ok(())
    }

    /// Registers a descriptor once, for both directions, edge-triggered. Nothing is ever changed afterwards.
    pub(crate) fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&fd), mio::Token(token.pack()), Interest::READABLE | Interest::WRITABLE)
    }

    /// Must come before the descriptor is closed: epoll watches the open file, which a duplicate may keep alive.
    pub(crate) fn deregister(&self, fd: RawFd) {
        let gone = self.registry.deregister(&mut SourceFd(&fd));
        debug_assert!(gone.is_ok(), "a registered descriptor deregisters: {gone:?}");
    }
}

/// RDHUP is not HUP: a peer that has only closed its sending side can still be written to.
fn ready(event: &mio::event::Event) -> Ready {
    let mut ready = Ready::NONE;
    if event.is_readable() {
        ready |= Ready::READABLE;
    }
    if event.is_writable() {
        ready |= Ready::WRITABLE;
    }
    if event.is_read_closed() {
        ready |= Ready::READABLE | Ready::READ_CLOSED;
    }
    if event.is_write_closed() {
        ready |= Ready::WRITABLE;
    }
    if event.is_error() {
        ready |= Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED;
    }
    ready
}
