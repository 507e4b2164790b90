//! What all sockets share: a descriptor, its registration, its timeouts.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::simulated::Inner;
use crate::coroutine::current;
use crate::driver::not_simulated;
use crate::lend::{BUFFER_SIZE, Lent};
use crate::readiness::{Direction, Limit, Registration};
use crate::sys::socket;
use crate::time;

/// A registered, non-blocking socket of type `S`.
pub(crate) struct Socket<S> {
    /// Dropped first: deregistration comes before close.
    registration: Registration,
    inner: Inner<S>,
    read_timeout: Cell<Limit>,
    write_timeout: Cell<Limit>,
}

impl<S: AsRawFd + AsFd> Socket<S> {
    /// Takes over a socket that is already non-blocking and may be ready.
    pub(crate) fn new(inner: S) -> io::Result<Socket<S>> {
        Socket::of(Inner::Os(inner))
    }

    /// Takes over a socket that is not ready until the kernel says so.
    pub(crate) fn not_ready(inner: S) -> io::Result<Socket<S>> {
        Socket::not_ready_of(Inner::Os(inner))
    }

    /// As [`Socket::new`], for a socket of either driver.
    pub(crate) fn of(inner: Inner<S>) -> io::Result<Socket<S>> {
        let registration = Registration::new(inner.number())?;
        Ok(Socket::with(registration, inner))
    }

    /// As [`Socket::not_ready`], for a socket of either driver.
    pub(crate) fn not_ready_of(inner: Inner<S>) -> io::Result<Socket<S>> {
        let registration = Registration::not_ready(inner.number())?;
        Ok(Socket::with(registration, inner))
    }

    fn with(registration: Registration, inner: Inner<S>) -> Socket<S> {
        Socket { registration, inner, read_timeout: Cell::default(), write_timeout: Cell::default() }
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Inner<S> {
        &self.inner
    }

    #[inline]
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Deregisters and gives the socket back.
    pub(crate) fn into_inner(self) -> Inner<S> {
        let Socket { registration, inner, .. } = self;
        drop(registration);
        inner
    }

    #[inline(always)]
    fn read(&self, wanted: usize, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.registration.transfer(Direction::Read, wanted, || self.read_timeout.get(), call)
    }

    #[inline(always)]
    fn write(&self, wanted: usize, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        self.registration.transfer(Direction::Write, wanted, || self.write_timeout.get(), call)
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
        self.wait_until_ready(Direction::Read, deadline(&self.read_timeout))
    }

    pub(crate) fn wait_writable(&self) -> io::Result<()> {
        self.wait_until_ready(Direction::Write, deadline(&self.write_timeout))
    }

    /// Asks the kernel where the flag says "perhaps": it stands on a fresh socket and after a transfer of all that was asked
    /// for, when nothing may be there. An error of the question counts as ready: the call to come will tell.
    fn wait_until_ready(&self, direction: Direction, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            self.registration.wait(direction, &|| deadline)?;
            if self.inner.look(direction.flag()).map_or(true, |ready| ready.has(direction.flag())) {
                return Ok(());
            }
            self.registration.clear(direction);
        }
    }

    pub(crate) fn read_timeout(&self) -> &Cell<Limit> {
        &self.read_timeout
    }

    pub(crate) fn write_timeout(&self) -> &Cell<Limit> {
        &self.write_timeout
    }
}

/// Receiving.
impl<S: AsRawFd + AsFd> Socket<S>
where
    for<'a> &'a S: Read,
{
    fn recv_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(socket) => socket::receive(socket.as_fd(), buffer),
            Inner::Sim(socket) => socket.read(buffer),
        }
    }

    #[inline]
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Inner::Os(socket) = &self.inner else { return self.recv_simulated(buffer) };
        self.read(buffer.len(), || socket::receive(socket.as_fd(), buffer))
    }

    /// Away from the real path, to which the branch around a call would cost four times as much as the one before it.
    #[cold]
    #[inline(never)]
    fn recv_simulated(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer.len(), || self.recv_now(buffer))
    }

    pub(crate) fn recv_vectored(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.read(wanted, || match &self.inner {
            Inner::Os(socket) => (&mut &*socket).read_vectored(slices),
            Inner::Sim(socket) => socket.read_vectored(slices),
        })
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.registration.try_transfer(Direction::Read, buffer.len(), || self.recv_now(buffer))
    }

    #[inline]
    pub(crate) fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        self.read_behind(&[], f)
    }

    /// # Panics
    /// If `kept` is longer than half a lent buffer.
    #[inline(always)]
    pub(crate) fn read_behind<T>(&self, kept: &[u8], f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let Inner::Os(socket) = &self.inner else { return self.read_behind_simulated(kept, f) };
        self.read_lent(kept, f, |buffer| socket::receive(socket.as_fd(), buffer))
    }

    #[cold]
    #[inline(never)]
    fn read_behind_simulated<T>(&self, kept: &[u8], f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        self.read_lent(kept, f, |buffer| self.recv_now(buffer))
    }

    #[inline(always)]
    fn read_lent<T>(
        &self,
        kept: &[u8],
        f: impl FnOnce(&[u8]) -> T,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<T> {
        assert!(kept.len() <= BUFFER_SIZE / 2, "read_behind keeps at most {} bytes", BUFFER_SIZE / 2);
        let shard = current::here();
        shard.charge_call();
        loop {
            self.registration.await_transfer(&shard, Direction::Read, &|| self.read_timeout.get())?;
            let mut lent = Lent::take(&shard); // not before: who parks leaves it to the others
            let (front, room) = lent.bytes().split_at_mut(kept.len());
            front.copy_from_slice(kept);
            let (wanted, result) = (room.len(), read(room));
            match self.registration.outcome(&shard, Direction::Read, wanted, result) {
                Some(Ok(count)) => return Ok(f(&lent.bytes()[..(kept.len() + count).min(BUFFER_SIZE)])),
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
    }
}

/// Sending, with `MSG_NOSIGNAL`. (That is also why several slices go by `sendmsg`: `writev` has no flags.)
impl<S: AsRawFd + AsFd> Socket<S> {
    #[inline]
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let Inner::Os(socket) = &self.inner else { return self.send_simulated(bytes) };
        self.write(bytes.len(), || socket::send(socket.as_fd(), bytes))
    }

    #[cold]
    #[inline(never)]
    fn send_simulated(&self, bytes: &[u8]) -> io::Result<usize> {
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

    /// Sends all of `bytes`, in as many calls as that takes.
    #[inline(always)]
    pub(crate) fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.send(bytes)? {
            sent if sent == bytes.len() => Ok(()),
            sent => self.send_rest(&bytes[sent..], sent),
        }
    }

    #[inline(never)]
    fn send_rest(&self, mut rest: &[u8], mut sent: usize) -> io::Result<()> {
        while sent > 0 && !rest.is_empty() {
            sent = self.send(rest)?;
            rest = &rest[sent..];
        }
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(socket) => socket::send(socket.as_fd(), bytes),
            Inner::Sim(socket) => socket.write(bytes),
        }
    }

    fn send_vectored_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(socket) => SockRef::from(socket).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL),
            Inner::Sim(socket) => socket.write_vectored(slices),
        }
    }
}

impl<S: AsFd> AsFd for Socket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[inline(always)]
fn deadline(timeout: &Cell<Limit>) -> Option<Instant> {
    match timeout.get().duration() {
        None => None,
        Some(timeout) => from_now(timeout),
    }
}

#[inline(never)]
fn from_now(timeout: Duration) -> Option<Instant> {
    time::deadline_in(timeout)
}

/// Sets a timeout as std does: zero is an error, `None` waits for ever.
pub(crate) fn set_timeout(cell: &Cell<Limit>, timeout: Option<Duration>) -> io::Result<()> {
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a timeout of zero is none: pass None to wait for ever",
        ));
    }
    cell.set(Limit::of(timeout));
    Ok(())
}

/// Real descriptors and signals are for the real machine.
pub(crate) fn refuse_simulated() -> io::Result<()> {
    match current::with(|shard| shard.driver.is_simulated()) {
        true => Err(not_simulated()),
        false => Ok(()),
    }
}
