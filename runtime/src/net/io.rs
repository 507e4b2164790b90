//! What all sockets share: a descriptor, its registration, its timeouts.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::coroutine::current;
use crate::readiness::{Direction, Registration};

/// A registered, non-blocking socket of type `S`.
pub(crate) struct Socket<S> {
    /// Dropped first: deregistration comes before close.
    registration: Registration,
    inner: S,
    read_timeout: Cell<Option<Duration>>,
    write_timeout: Cell<Option<Duration>>,
}

impl<S: AsRawFd> Socket<S> {
    /// Takes over a socket that is already non-blocking and may be ready.
    pub(crate) fn new(inner: S) -> io::Result<Socket<S>> {
        let registration = Registration::new(inner.as_raw_fd())?;
        Ok(Socket::with(registration, inner))
    }

    /// Takes over a socket that is not ready until the kernel says so.
    pub(crate) fn not_ready(inner: S) -> io::Result<Socket<S>> {
        let registration = Registration::not_ready(inner.as_raw_fd())?;
        Ok(Socket::with(registration, inner))
    }

    fn with(registration: Registration, inner: S) -> Socket<S> {
        Socket { registration, inner, read_timeout: Cell::new(None), write_timeout: Cell::new(None) }
    }

    #[inline]
    pub(crate) fn inner(&self) -> &S {
        &self.inner
    }

    #[inline]
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Deregisters and gives the socket back.
    pub(crate) fn into_inner(self) -> S {
        let Socket { registration, inner, .. } = self;
        drop(registration);
        inner
    }

    #[inline]
    pub(crate) fn read(&self, wanted: usize, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.registration.transfer(Direction::Read, wanted, || deadline(&self.read_timeout), call)
    }

    #[inline]
    pub(crate) fn write(&self, wanted: usize, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.registration.transfer(Direction::Write, wanted, || deadline(&self.write_timeout), call)
    }

    pub(crate) fn read_attempt<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.registration.attempt(Direction::Read, || deadline(&self.read_timeout), call)
    }

    pub(crate) fn write_attempt<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.registration.attempt(Direction::Write, || deadline(&self.write_timeout), call)
    }

    pub(crate) fn wait_readable(&self) -> io::Result<()> {
        self.registration.wait(Direction::Read, &|| deadline(&self.read_timeout))
    }

    pub(crate) fn wait_writable(&self) -> io::Result<()> {
        self.registration.wait(Direction::Write, &|| deadline(&self.write_timeout))
    }

    pub(crate) fn read_timeout(&self) -> &Cell<Option<Duration>> {
        &self.read_timeout
    }

    pub(crate) fn write_timeout(&self) -> &Cell<Option<Duration>> {
        &self.write_timeout
    }
}

impl<S: AsFd> AsFd for Socket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

fn deadline(timeout: &Cell<Option<Duration>>) -> Option<Instant> {
    timeout.get().and_then(|timeout| current::with(|shard| shard.now()).checked_add(timeout))
}

/// Sets a timeout as std does: zero is an error, `None` waits for ever.
pub(crate) fn set_timeout(cell: &Cell<Option<Duration>>, timeout: Option<Duration>) -> io::Result<()> {
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout of zero is none: pass None to wait for ever"));
    }
    cell.set(timeout);
    Ok(())
}
