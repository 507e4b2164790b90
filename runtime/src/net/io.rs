//! What all sockets share: a descriptor, its registration, its timeouts.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::coroutine::current;
use crate::driver::no_simulated_network;
use crate::lend::{BUFFER_SIZE, Lent};
use crate::readiness::{Direction, Registration};
use crate::time;

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
    fn read(&self, wanted: usize, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.registration.transfer(Direction::Read, wanted, || deadline(&self.read_timeout), call)
    }

    #[inline]
    fn write(&self, wanted: usize, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.registration.transfer(Direction::Write, wanted, || deadline(&self.write_timeout), call)
    }

    pub(crate) fn read_attempt<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.registration.attempt(Direction::Read, || deadline(&self.read_timeout), call)
    }

    pub(crate) fn write_attempt<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.registration.attempt(Direction::Write, || deadline(&self.write_timeout), call)
    }

    pub(crate) fn try_read_attempt<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.registration.try_attempt(Direction::Read, call)
    }

    pub(crate) fn try_write_attempt<T>(&self, call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.registration.try_attempt(Direction::Write, call)
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

/// Receiving, through std's own `Read`.
impl<S: AsRawFd> Socket<S>
where
    for<'a> &'a S: Read,
{
    #[inline]
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer.len(), || (&mut &self.inner).read(buffer))
    }

    pub(crate) fn recv_vectored(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.read(wanted, || (&mut &self.inner).read_vectored(slices))
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.registration.try_transfer(Direction::Read, buffer.len(), || (&mut &self.inner).read(buffer))
    }

    #[inline]
    pub(crate) fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let mut lent = None;
        let count = self.read(BUFFER_SIZE, || {
            let buffer = lent.get_or_insert_with(Lent::take);
            let read = (&mut &self.inner).read(buffer.bytes());
            if matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                lent = None; // the call parks: others may have it meanwhile
            }
            read
        })?;
        let mut buffer = lent.unwrap_or_else(Lent::take);
        Ok(f(&buffer.bytes()[..count]))
    }
}

/// Sending, with `MSG_NOSIGNAL`: a host that has not switched SIGPIPE off must not die of a peer that went away. (That is
/// also why several slices go by `sendmsg`: `writev` has no flags.)
impl<S: AsRawFd + AsFd> Socket<S> {
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes.len(), || self.send_now(bytes))
    }

    pub(crate) fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.write(wanted, || self.send_vectored_now(slices))
    }

    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.registration.try_transfer(Direction::Write, bytes.len(), || self.send_now(bytes))
    }

    pub(crate) fn try_send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.registration.try_transfer(Direction::Write, wanted, || self.send_vectored_now(slices))
    }

    #[inline]
    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&self.inner).send_with_flags(bytes, libc::MSG_NOSIGNAL)
    }

    fn send_vectored_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(&self.inner).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)
    }
}

impl<S: AsFd> AsFd for Socket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[inline(always)]
fn deadline(timeout: &Cell<Option<Duration>>) -> Option<Instant> {
    match timeout.get() {
        None => None,
        Some(timeout) => from_now(timeout),
    }
}

#[inline(never)]
fn from_now(timeout: Duration) -> Option<Instant> {
    time::deadline_in(timeout)
}

/// Sets a timeout as std does: zero is an error, `None` waits for ever.
pub(crate) fn set_timeout(cell: &Cell<Option<Duration>>, timeout: Option<Duration>) -> io::Result<()> {
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero is none: pass None to wait for ever",
        ));
    }
    cell.set(timeout);
    Ok(())
}

/// Sockets are for the real machine: the simulated one has no network yet.
pub(crate) fn refuse_simulated() -> io::Result<()> {
    match current::with(|shard| shard.driver.is_simulated()) {
        true => Err(no_simulated_network()),
        false => Ok(()),
    }
}
