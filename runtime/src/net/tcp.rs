//! TCP.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use super::io::{Socket, set_timeout};
use crate::coroutine::current;
use crate::driver::no_simulated_network;
use crate::readiness::Direction;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// A TCP connection. See [`std::net::TcpStream`], whose methods these are, except that waiting parks the coroutine.
pub struct TcpStream {
    socket: Socket<net::TcpStream>,
}

impl TcpStream {
    /// Connects to `addr`.
    ///
    /// # Errors
    /// Those of `connect(2)`; `Unsupported` on the simulated driver.
    pub fn connect_addr(addr: SocketAddr) -> io::Result<TcpStream> {
        refuse_simulated()?;
        let raw = RawSocket::new(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        match raw.connect(&addr.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let socket = Socket::not_ready(net::TcpStream::from(raw))?;
        socket.wait_writable()?;
        match socket.inner().take_error()? {
            Some(error) => Err(error),
            None => Ok(TcpStream { socket }),
        }
    }

    /// Connects to `addr` within `limit`.
    ///
    /// # Errors
    /// Those of [`TcpStream::connect_addr`], and `TimedOut`.
    pub fn connect_timeout(addr: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
        match crate::timeout(limit, || TcpStream::connect_addr(addr)) {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer from {addr} within {limit:?}"))),
        }
    }

    /// Takes over a connected std socket: makes it non-blocking and gives it to the current shard.
    ///
    /// # Errors
    /// The kernel's.
    pub fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
        refuse_simulated()?;
        stream.set_nonblocking(true)?;
        Ok(TcpStream { socket: Socket::new(stream)? })
    }

    /// Gives the std socket back; it stays non-blocking. For handing a connection to another shard.
    pub fn into_std(self) -> net::TcpStream {
        self.socket.into_inner()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner().peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner().local_addr()
    }

    /// Sends small segments at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.inner().set_nodelay(nodelay)
    }

    /// Whether small segments are sent at once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.inner().nodelay()
    }

    /// The longest that one read may wait; `None` for ever.
    ///
    /// # Errors
    /// Zero is invalid.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_timeout(self.socket.read_timeout(), timeout)
    }

    /// The longest that one write may wait; `None` for ever.
    ///
    /// # Errors
    /// Zero is invalid.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_timeout(self.socket.write_timeout(), timeout)
    }

    /// The read timeout.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.socket.read_timeout().get()
    }

    /// The write timeout.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.socket.write_timeout().get()
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    /// The kernel's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.inner().shutdown(how)
    }

    /// Reads what there is without taking it from the socket.
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read_attempt(|| self.socket.inner().peek(buffer))
    }

    /// The error that the socket has stored, if any, and forgets it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.inner().take_error()
    }

    /// Parks until a read would not block.
    ///
    /// # Errors
    /// `TimedOut` after the read timeout.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait_readable()
    }

    /// Parks until a write would not block.
    ///
    /// # Errors
    /// `TimedOut` after the write timeout.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.socket.wait_writable()
    }

    /// Reads into a buffer that the shard lends for as long as `f` runs, so that an idle connection owns no buffer. `f`
    /// gets an empty slice at the end of the stream, and may wait.
    ///
    /// # Errors
    /// As a read.
    pub fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let mut lent = None;
        let count = self.socket.read(crate::lend::BUFFER_SIZE, || {
            let buffer = lent.get_or_insert_with(crate::lend::Lent::take);
            let read = (&mut &*self.socket.inner()).read(buffer.bytes());
            if matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                lent = None; // the call parks: others may have it meanwhile
            }
            read
        })?;
        let mut buffer = lent.unwrap_or_else(crate::lend::Lent::take);
        Ok(f(&buffer.bytes()[..count]))
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len();
        self.socket.registration().try_transfer(Direction::Read, wanted, || (&mut &*self.socket.inner()).read(buffer))
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let call = || (&mut &*self.socket.inner()).write(bytes);
        self.socket.registration().try_transfer(Direction::Write, bytes.len(), call)
    }

    /// Writes several slices in one system call, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.socket.registration().try_transfer(Direction::Write, wanted, || self.send_vectored(slices))
    }

    /// `sendmsg` with `MSG_NOSIGNAL`: `writev` could not suppress SIGPIPE in a host that has not switched it off.
    fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(self.socket.inner()).send_vectored_with_flags(slices, libc::MSG_NOSIGNAL)
    }
}

impl Read for &TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer.len(), || (&mut &*self.socket.inner()).read(buffer))
    }

    fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.socket.read(wanted, || (&mut &*self.socket.inner()).read_vectored(slices))
    }
}

impl Write for &TcpStream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes.len(), || (&mut &*self.socket.inner()).write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.socket.write(wanted, || self.send_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(slices)
    }
}

impl Write for TcpStream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.inner().as_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.inner().fmt(f)
    }
}

/// A TCP listener. See [`std::net::TcpListener`].
pub struct TcpListener {
    socket: Socket<net::TcpListener>,
}

impl TcpListener {
    /// Listens on `addr`, with `SO_REUSEADDR` as std does.
    ///
    /// # Errors
    /// Those of `bind(2)`; `Unsupported` on the simulated driver.
    pub fn bind_addr(addr: SocketAddr) -> io::Result<TcpListener> {
        refuse_simulated()?;
        let raw = RawSocket::new(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        raw.set_reuse_address(true)?;
        raw.bind(&addr.into())?;
        raw.listen(BACKLOG)?;
        Ok(TcpListener { socket: Socket::new(raw.into())? })
    }

    /// Takes over a listening std socket.
    ///
    /// # Errors
    /// The kernel's.
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        refuse_simulated()?;
        listener.set_nonblocking(true)?;
        Ok(TcpListener { socket: Socket::new(listener)? })
    }

    /// Parks until somebody connects.
    ///
    /// # Errors
    /// Those of `accept(2)`. At the descriptor limit that is `EMFILE`, at once and again: an accept loop must pause then,
    /// as [`StreamServer`](super::StreamServer) does.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, addr) = self.accept_std()?;
        Ok((TcpStream { socket: Socket::new(stream)? }, addr))
    }

    /// As [`TcpListener::accept`], but the connection is registered nowhere yet: for handing it to another shard, where
    /// [`TcpStream::from_std`] takes it over.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub fn accept_std(&self) -> io::Result<(net::TcpStream, SocketAddr)> {
        let (stream, addr) = self.socket.read_attempt(|| self.socket.inner().accept())?;
        stream.set_nonblocking(true)?;
        Ok((stream, addr))
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner().local_addr()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.inner().as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.inner().fmt(f)
    }
}

pub(crate) fn refuse_simulated() -> io::Result<()> {
    match current::with(|shard| shard.driver.is_simulated()) {
        true => Err(no_simulated_network()),
        false => Ok(()),
    }
}
