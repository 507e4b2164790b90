//! The real machine: the kernel's clocks and randomness, and epoll through mio.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::unix::SourceFd;
use mio::{Interest, Poll, Waker};

use crate::readiness::{Ready, Token};
use crate::sys::epoll;

/// Events taken from the kernel at once. 64 and 1,024 measured alike; what does not fit comes with the next call.
const EVENTS_MAX: usize = 512;

/// The token of the waker; no registration has it, since slots are 32 bits and this one's is all ones.
const WAKER: Token = Token { slot: u32::MAX, generation: u32::MAX };

pub(crate) struct OsDriver {
    poll: Poll,
    events: RefCell<Box<[epoll::Event]>>,
}

impl OsDriver {
    /// A driver, and the handle by which other threads end its wait.
    pub(crate) fn new() -> io::Result<(OsDriver, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(WAKER.pack()))?);
        Ok((OsDriver { poll, events: RefCell::new(epoll::room(EVENTS_MAX)) }, waker))
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

    /// One `epoll_wait`, on mio's instance: its events are handed on as the kernel writes them, since mio's own view of each
    /// costs five questions where a request has time for about four hundred instructions.
    #[inline(always)] // with the loop over the events
    pub(crate) fn poll(&self, limit: Option<Duration>, mut on_event: impl FnMut(Token, Ready)) -> io::Result<()> {
        let mut room = self.events.borrow_mut();
        for event in epoll::wait(self.poll.as_raw_fd(), &mut room, limit)? {
            let token = Token::unpack(event.u64 as usize);
            if token != WAKER {
                on_event(token, epoll::told(event.events));
            }
        }
        Ok(())
    }

    /// Registers a descriptor once, for both directions, edge-triggered. Nothing is ever changed afterwards.
    pub(crate) fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.poll.registry().register(
            &mut SourceFd(&fd),
            mio::Token(token.pack()),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Must come before the descriptor is closed: epoll watches the open file, which a duplicate may keep alive.
    pub(crate) fn deregister(&self, fd: RawFd) {
        let gone = self.poll.registry().deregister(&mut SourceFd(&fd));
        debug_assert!(gone.is_ok(), "a registered descriptor deregisters: {gone:?}");
    }
}

impl fmt::Debug for OsDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.poll.fmt(f)
    }
}
