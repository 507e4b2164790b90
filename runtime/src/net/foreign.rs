//! Waiting on descriptors that are not ours: a library's socket, a pipe, a timer, an inotify instance.
//!
//! The shard's epoll tells edges only, and whoever owns the descriptor reads it without telling us. So each wait first asks
//! the kernel how things stand (`poll(2)`, one system call) and parks only if they are not as wished: correct whatever the
//! owner does in between, at the price of that call.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Instant;

use super::io::refuse_simulated;
use crate::readiness::{Direction, Registration};
use crate::sys::poll::poll_now;
use crate::time;

/// Parks until a read of `fd` would not block (or would fail). For one wait; see [`Readiness`] for many.
///
/// ```
/// use std::io::{Read, Write};
/// # leveret_runtime::run(|| {
/// let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// theirs.write_all(b"x").unwrap();
/// leveret_runtime::net::wait_readable(&ours).unwrap();
/// ours.read_exact(&mut [0]).unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// The descriptor belongs to one of this shard's sockets already (use the socket's own methods); `Unsupported` on the
/// simulated driver.
pub fn wait_readable(fd: &impl AsFd) -> io::Result<()> {
    wait_once(fd.as_fd(), Direction::Read)
}

/// Parks until a write to `fd` would not block (or would fail). For one wait; see [`Readiness`] for many.
///
/// ```
/// # leveret_runtime::run(|| {
/// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// leveret_runtime::net::wait_writable(&ours).unwrap(); // there is room
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_writable(fd: &impl AsFd) -> io::Result<()> {
    wait_once(fd.as_fd(), Direction::Write)
}

fn wait_once(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    refuse_simulated()?;
    if poll_now(fd, direction.flag())?.has(direction.flag()) {
        return Ok(());
    }
    Readiness::new(fd)?.wait(direction, None)
}

/// A foreign descriptor, registered with the current shard for as long as this lives.
///
/// Regular files cannot be waited for: they are always ready, and the kernel refuses them here.
///
/// ```
/// # leveret_runtime::run(|| {
/// use std::io::{Read, Write};
/// use leveret_runtime::net::Readiness;
/// let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
/// ours.set_nonblocking(true).unwrap();
/// let ours = Readiness::new(ours).unwrap();
/// let writes = leveret_runtime::spawn(move || theirs.write_all(b"x").unwrap());
/// let mut byte = [0];
/// assert_eq!(ours.retry_read(|mut socket| socket.read(&mut byte)).unwrap(), 1); // parks in between
/// writes.join().unwrap();
/// # }).unwrap();
/// ```
pub struct Readiness<F: AsFd> {
    /// Dropped first: deregistration comes before close.
    registration: Registration,
    fd: F,
}

impl<F: AsFd> Readiness<F> {
    /// Registers `fd`, which may be owned or borrowed. For the `retry_` methods it has to be non-blocking.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::net::Readiness;
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let registered = Readiness::new(&ours).unwrap(); // borrowed
    /// assert_eq!(Readiness::new(&ours).unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// drop(registered);
    /// assert!(Readiness::new(ours).is_ok()); // owned
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `PermissionDenied` for regular files, `AlreadyExists` if this shard has registered the descriptor before;
    /// `Unsupported` on the simulated driver.
    pub fn new(fd: F) -> io::Result<Readiness<F>> {
        refuse_simulated()?;
        let registration = Registration::not_ready(fd.as_fd().as_raw_fd())?;
        Ok(Readiness { registration, fd })
    }

    /// Where the descriptor's events arrive; for waiting on several things at once.
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Parks until a read would not block.
    ///
    /// ```
    /// use std::io::Write;
    /// use leveret_runtime::{net::Readiness, spawn};
    /// # leveret_runtime::run(|| {
    /// let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let ours = Readiness::new(ours).unwrap();
    /// let writes = spawn(move || theirs.write_all(b"x").unwrap());
    /// ours.wait_readable().unwrap(); // parks; the writer runs
    /// writes.join().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Another coroutine waits for the same.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(Direction::Read, None)
    }

    /// Parks until a write would not block.
    ///
    /// # Errors
    /// Another coroutine waits for the same.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait(Direction::Write, None)
    }

    /// As [`Readiness::wait_readable`], for at most `limit`.
    ///
    /// ```
    /// use std::{io::ErrorKind, time::Duration};
    /// use leveret_runtime::net::Readiness;
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let late = Readiness::new(ours).unwrap().wait_readable_timeout(Duration::from_millis(5));
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn wait_readable_timeout(&self, limit: std::time::Duration) -> io::Result<()> {
        self.wait(Direction::Read, time::deadline_in(limit))
    }

    /// Calls `call` until it does not answer `WouldBlock`, parking until a read may succeed in between.
    ///
    /// # Errors
    /// Those of `call`.
    pub fn retry_read<T>(&self, call: impl FnMut(&F) -> io::Result<T>) -> io::Result<T> {
        self.retry(Direction::Read, call)
    }

    /// Calls `call` until it does not answer `WouldBlock`, parking until a write may succeed in between.
    ///
    /// ```
    /// use std::io::Write;
    /// use leveret_runtime::{net::Readiness, offload, spawn};
    /// # leveret_runtime::run(|| {
    /// let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// ours.set_nonblocking(true).unwrap();
    /// let ours = Readiness::new(ours).unwrap();
    /// let reading = spawn(move || offload(move || std::io::copy(&mut theirs, &mut std::io::sink())));
    /// let (block, mut sent) = (vec![7; 1 << 20], 0);
    /// while sent < block.len() {
    ///     sent += ours.retry_write(|mut socket| socket.write(&block[sent..])).unwrap(); // parks while it is full
    /// }
    /// drop(ours);
    /// assert_eq!(reading.join().unwrap().unwrap(), 1 << 20);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `call`.
    pub fn retry_write<T>(&self, call: impl FnMut(&F) -> io::Result<T>) -> io::Result<T> {
        self.retry(Direction::Write, call)
    }

    /// The descriptor.
    pub fn inner(&self) -> &F {
        &self.fd
    }

    /// Deregisters and gives the descriptor back.
    ///
    /// ```
    /// use leveret_runtime::net::Readiness;
    /// # leveret_runtime::run(|| {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    /// let ours = Readiness::new(ours).unwrap().into_inner();
    /// assert!(Readiness::new(&ours).is_ok()); // no longer registered
    /// # }).unwrap();
    /// ```
    pub fn into_inner(self) -> F {
        let Readiness { registration, fd } = self;
        drop(registration);
        fd
    }

    fn wait(&self, direction: Direction, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            self.registration.clear(direction);
            if poll_now(self.fd.as_fd(), direction.flag())?.has(direction.flag()) {
                return Ok(());
            }
            self.registration.wait(direction, &|| deadline)?;
        }
    }

    fn retry<T>(&self, direction: Direction, mut call: impl FnMut(&F) -> io::Result<T>) -> io::Result<T> {
        loop {
            match call(&self.fd) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(direction, None)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl<F: AsFd> fmt::Debug for Readiness<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("fd", &self.fd.as_fd().as_raw_fd()).finish()
    }
}
