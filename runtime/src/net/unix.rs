//! Unix sockets: streams between processes of one machine.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::io::{Socket, refuse_simulated, set_timeout};
use super::simulated::{Inner, SimSocket, either, path as unix_path, world};
use super::stream::{byte_stream, socket_traits};
use crate::time::sleep;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// How long `connect` waits before it looks again whether a full listener has room: the kernel tells nobody.
const ROOM_DELAY: Duration = Duration::from_millis(1);

/// The most that delay grows to.
const ROOM_DELAY_MAX: Duration = Duration::from_millis(64);

/// A Unix stream. See [`std::os::unix::net::UnixStream`], whose methods these are, except that waiting parks the coroutine.
///
/// ```
/// use std::io::{Read, Write};
/// use leveret_runtime::net::UnixStream;
/// # leveret_runtime::run(|| {
/// let (mut one, mut other) = UnixStream::pair().unwrap();
/// one.write_all(b"hi").unwrap();
/// let mut hi = [0; 2];
/// other.read_exact(&mut hi).unwrap();
/// assert_eq!(&hi, b"hi");
/// # }).unwrap();
/// ```
pub struct UnixStream {
    socket: Socket<net::UnixStream>,
}

byte_stream!(UnixStream);
socket_traits!(UnixStream);

impl UnixStream {
    /// Connects to the socket at `path`. While the listener's queue is full it looks again every few milliseconds.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::net::UnixStream;
    /// # leveret_runtime::run(|| {
    /// let error = UnixStream::connect("/no/such/socket").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// assert!(error.to_string().contains("/no/such/socket"));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `connect(2)`, with the path in their text.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        let connected = match world() {
            None => SockAddr::unix(path).and_then(|addr| connect(&addr)),
            Some(world) => wait_for_room(|| SimSocket::open(&world, |net, world| net.connect_unix(world, path)))
                .and_then(|socket| UnixStream::of(Inner::Sim(socket))),
        };
        connected.map_err(|error| explain("connect to", path, &error))
    }

    /// Two streams that are connected to each other.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use leveret_runtime::{net::UnixStream, spawn};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    /// let answers = spawn(move || { theirs.read_exact(&mut [0]).unwrap(); theirs.write_all(b"!") });
    /// ours.write_all(b"?").unwrap();
    /// ours.read_exact(&mut [0]).unwrap();
    /// assert!(answers.join().unwrap().is_ok());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel's.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        if let Some(world) = world() {
            let (one, other) = SimSocket::pair(&world)?;
            return Ok((UnixStream::of(Inner::Sim(one))?, UnixStream::of(Inner::Sim(other))?));
        }
        let (one, other) = net::UnixStream::pair()?;
        Ok((UnixStream::from_std(one)?, UnixStream::from_std(other)?))
    }

    /// Takes over a connected std socket: makes it non-blocking and gives it to the current shard.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` on the simulated driver.
    pub fn from_std(stream: net::UnixStream) -> io::Result<UnixStream> {
        refuse_simulated()?;
        stream.set_nonblocking(true)?;
        UnixStream::of(Inner::Os(stream))
    }

    fn of(socket: Inner<net::UnixStream>) -> io::Result<UnixStream> {
        Ok(UnixStream { socket: Socket::of(socket)? })
    }

    /// Gives the std socket back; it stays non-blocking. For handing a connection to another shard.
    ///
    /// # Panics
    /// On the simulated driver.
    pub fn into_std(self) -> net::UnixStream {
        self.socket.into_inner().into_os()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.socket.inner() {
            Inner::Os(socket) => socket.peer_addr(),
            Inner::Sim(socket) => socket.peer_path(),
        }
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.socket.inner() {
            Inner::Os(socket) => socket.local_addr(),
            Inner::Sim(socket) => socket.local_path(),
        }
    }
}

fn connect(addr: &SockAddr) -> io::Result<UnixStream> {
    let raw = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    wait_for_room(|| raw.connect(addr))?;
    UnixStream::of(Inner::Os(raw.into()))
}

/// A Unix socket connects at once or not at all: `EAGAIN` means that the listener's queue is full.
fn wait_for_room<T>(mut connect: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut delay = ROOM_DELAY;
    loop {
        match connect() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(delay),
            done => return done,
        }
        delay = (delay * 2).min(ROOM_DELAY_MAX);
    }
}

fn explain(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {doing} {}: {error}", path.display()))
}

/// A Unix listener. See [`std::os::unix::net::UnixListener`].
///
/// ```
/// use std::io::{Read, Write};
/// use leveret_runtime::net::{UnixListener, UnixStream};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let path = std::env::temp_dir().join(format!("leveret-doc-unix-{}", std::process::id()));
/// let listener = UnixListener::bind(&path).unwrap();
/// let mut client = UnixStream::connect(&path).unwrap();
/// listener.accept().unwrap().0.write_all(b"x").unwrap();
/// client.read_exact(&mut [0]).unwrap();
/// assert!(UnixListener::bind(&path).is_err()); // taken, until the file is removed
/// # }).unwrap();
/// ```
pub struct UnixListener {
    socket: Socket<net::UnixListener>,
}

socket_traits!(UnixListener);

impl UnixListener {
    /// Listens at `path`, which must not exist; it stays when the listener is dropped, as with std.
    ///
    /// # Errors
    /// Those of `bind(2)`, with the path in their text.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        let bound = match world() {
            None => SockAddr::unix(path).and_then(|addr| bind(&addr)),
            Some(world) => SimSocket::open(&world, |net, world| net.listen_unix(world, path))
                .and_then(|socket| Ok(UnixListener { socket: Socket::of(Inner::Sim(socket))? })),
        };
        bound.map_err(|error| explain("listen on", path, &error))
    }

    /// Takes over a listening std socket.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` on the simulated driver.
    pub fn from_std(listener: net::UnixListener) -> io::Result<UnixListener> {
        refuse_simulated()?;
        listener.set_nonblocking(true)?;
        Ok(UnixListener { socket: Socket::new(listener)? })
    }

    /// Parks until somebody connects.
    ///
    /// # Errors
    /// Those of `accept(2)`; see [`TcpListener::accept`](super::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, addr) = self.accept_inner()?;
        Ok((UnixStream::of(stream)?, addr))
    }

    /// As [`UnixListener::accept`], but the connection is registered nowhere yet: for handing it to another shard.
    ///
    /// # Errors
    /// As [`UnixListener::accept`]; `Unsupported` on the simulated driver.
    pub fn accept_std(&self) -> io::Result<(net::UnixStream, SocketAddr)> {
        refuse_simulated()?;
        let (stream, addr) = self.accept_inner()?;
        Ok((stream.into_os(), addr))
    }

    fn accept_inner(&self) -> io::Result<(Inner<net::UnixStream>, SocketAddr)> {
        self.socket.read_attempt(|| match self.socket.inner() {
            Inner::Os(listener) => {
                let (stream, addr) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Inner::Os(stream), addr))
            }
            Inner::Sim(listener) => {
                let (stream, addr) = listener.accept()?;
                Ok((Inner::Sim(stream), unix_path(addr)?))
            }
        })
    }

    /// The connections that come, one after the other, without end.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<UnixStream>> {
        std::iter::repeat_with(|| self.accept().map(|(stream, _)| stream))
    }

    /// Parks until somebody is there to be accepted.
    ///
    /// # Errors
    /// Another coroutine waits for the same.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait_readable()
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.socket.inner() {
            Inner::Os(socket) => socket.local_addr(),
            Inner::Sim(socket) => socket.local_path(),
        }
    }
}

fn bind(addr: &SockAddr) -> io::Result<UnixListener> {
    let raw = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    raw.bind(addr)?;
    raw.listen(BACKLOG)?;
    Ok(UnixListener { socket: Socket::new(raw.into())? })
}
