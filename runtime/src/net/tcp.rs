//! TCP.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};

use super::addrs::{ToAddrs, try_each};
use super::io::{Socket, refuse_simulated, set_timeout};
use super::simulated::{Inner, SimSocket, either, inet, world};
use super::stream::{byte_stream, socket_traits};
use crate::readiness::Token;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// A TCP connection. See [`std::net::TcpStream`], whose methods these are, except that waiting parks the coroutine.
///
/// ```
/// use std::io::{Read, Write};
/// use leveret_runtime::net::{TcpListener, TcpStream};
/// # leveret_runtime::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
/// let (mut server, _) = listener.accept().unwrap();
/// client.write_all(b"hello").unwrap();
/// let mut hello = [0; 5];
/// server.read_exact(&mut hello).unwrap();
/// assert_eq!(&hello, b"hello");
/// # }).unwrap();
/// ```
pub struct TcpStream {
    socket: Socket<net::TcpStream>,
}

byte_stream!(TcpStream);
socket_traits!(TcpStream);

impl TcpStream {
    /// Connects to `addr`: to each address that its name has, in turn, until one answers.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::net::{TcpListener, TcpStream};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let addr = listener.local_addr().unwrap();
    /// assert_eq!(TcpStream::connect(addr).unwrap().peer_addr().unwrap(), addr);
    /// drop(listener);
    /// let refused = TcpStream::connect(addr).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    /// assert!(refused.to_string().contains(&addr.to_string())); // it says who
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// That of the last address, with the name in its text.
    pub fn connect(addr: impl ToAddrs) -> io::Result<TcpStream> {
        try_each("connect to", &addr, TcpStream::connect_addr)
    }

    /// Connects to one address.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn connect_addr(addr: SocketAddr) -> io::Result<TcpStream> {
        if let Some(world) = world() {
            let socket = SimSocket::open(&world, |net, world| net.connect(world, addr))?;
            return TcpStream::await_answer(Socket::not_ready_of(Inner::Sim(socket))?);
        }
        let raw = RawSocket::new(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        match raw.connect(&addr.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        TcpStream::await_answer(Socket::not_ready(net::TcpStream::from(raw))?)
    }

    fn await_answer(socket: Socket<net::TcpStream>) -> io::Result<TcpStream> {
        socket.wait_writable()?;
        match either!(socket.inner(), socket => socket.take_error())? {
            Some(error) => Err(error),
            None => Ok(TcpStream { socket }),
        }
    }

    /// Connects to `addr` within `limit`, finding its addresses included.
    ///
    /// ```
    /// use std::{io::ErrorKind, time::Duration};
    /// use leveret_runtime::{Runtime, net::TcpStream, sim, time};
    /// Runtime::builder().simulated(1).build().unwrap().run(|| {
    ///     let (server, start) = (sim::host("server"), time::now());
    ///     sim::partition(server, sim::host("main")); // nobody answers
    ///     let late = TcpStream::connect_timeout((server.ip().to_string().as_str(), 80), Duration::from_secs(3));
    ///     assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    ///     assert_eq!(time::now() - start, Duration::from_secs(3));
    /// }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`], and `TimedOut`.
    pub fn connect_timeout(addr: impl ToAddrs, limit: Duration) -> io::Result<TcpStream> {
        match crate::timeout(limit, || TcpStream::connect(&addr)) {
            Ok(connected) => connected,
            Err(_) => {
                let text = format!("no answer from {} within {limit:?}", addr.describe());
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    /// Takes over a connected std socket: makes it non-blocking and gives it to the current shard.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use leveret_runtime::net::TcpStream;
    /// # leveret_runtime::run(|| {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // of a library that knows only std
    /// let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// let mut theirs = TcpStream::from_std(listener.accept().unwrap().0).unwrap();
    /// (&ours).write_all(b"x").unwrap();
    /// theirs.read_exact(&mut [0]).unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel's; `Unsupported` on the simulated driver.
    pub fn from_std(stream: net::TcpStream) -> io::Result<TcpStream> {
        refuse_simulated()?;
        stream.set_nonblocking(true)?;
        Ok(TcpStream { socket: Socket::new(stream)? })
    }

    /// Gives the std socket back; it stays non-blocking.
    ///
    /// # Panics
    /// On the simulated driver; [`TcpStream::detach`] works on both.
    pub fn into_std(self) -> net::TcpStream {
        self.socket.into_inner().into_os()
    }

    /// Takes the connection from this shard, for handing it to another one.
    ///
    /// ```
    /// use leveret_runtime::{Runtime, call, net::{TcpListener, TcpStream}, shards};
    /// use std::io::{Read, Write};
    /// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
    /// runtime.run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ///     let there = listener.accept().unwrap().0.detach();
    ///     call(shards().nth(1).unwrap(), move || there.attach().unwrap().write_all(b"moved").unwrap()).unwrap();
    ///     let mut said = String::new();
    ///     client.read_to_string(&mut said).unwrap();
    ///     assert_eq!(said, "moved");
    /// }).unwrap();
    /// ```
    pub fn detach(self) -> DetachedStream {
        DetachedStream(self.socket.into_inner())
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        either!(self.socket.inner(), socket => socket.peer_addr())
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        either!(self.socket.inner(), socket => socket.local_addr())
    }

    /// Sends small segments at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        either!(self.socket.inner(), socket => socket.set_nodelay(nodelay))
    }

    /// Whether small segments are sent at once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn nodelay(&self) -> io::Result<bool> {
        either!(self.socket.inner(), socket => socket.nodelay())
    }

    /// What closing does with bytes that are not sent yet: `None` (the default) sends them meanwhile, zero throws them away
    /// and resets the connection (`SO_LINGER`).
    ///
    /// ```
    /// use std::{io::{ErrorKind, Read}, time::Duration};
    /// use leveret_runtime::net::{TcpListener, TcpStream};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// let (server, _) = listener.accept().unwrap();
    /// server.set_linger(Some(Duration::ZERO)).unwrap();
    /// drop(server); // a reset, instead of an orderly end
    /// assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel's; `InvalidInput` for any other duration, which would block the shard.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        if linger.is_some_and(|linger| !linger.is_zero()) {
            let text = "closing must not wait: None sends in the background, zero resets";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        match self.socket.inner() {
            Inner::Os(socket) => SockRef::from(socket).set_linger(linger),
            Inner::Sim(socket) => socket.set_resets(linger.is_some()),
        }
    }

    /// Reads what there is without taking it from the socket.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use leveret_runtime::net::{TcpListener, TcpStream};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    /// let (mut server, _) = listener.accept().unwrap();
    /// client.write_all(b"AMQP").unwrap();
    /// let mut first = [0];
    /// assert_eq!((server.peek(&mut first).unwrap(), first[0]), (1, b'A')); // which protocol is it?
    /// server.read_exact(&mut first).unwrap();
    /// assert_eq!(first[0], b'A'); // it was still there
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read_attempt(|| either!(self.socket.inner(), socket => socket.peek(buffer)))
    }

    /// Names the registration, for whoever may outlive the stream.
    pub(crate) fn token(&self) -> Token {
        self.socket.registration().token()
    }
}

/// A connection that belongs to no shard: for handing it to one, on either driver.
///
/// ```
/// use leveret_runtime::net::{TcpListener, TcpStream};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
/// fn goes_anywhere(_: &impl Send) {}
/// let detached = client.detach();
/// goes_anywhere(&detached);
/// assert_eq!(detached.attach().unwrap().peer_addr().unwrap(), listener.local_addr().unwrap());
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct DetachedStream(Inner<net::TcpStream>);

impl DetachedStream {
    /// Gives the connection to the current shard.
    ///
    /// # Errors
    /// The kernel's.
    pub fn attach(self) -> io::Result<TcpStream> {
        Ok(TcpStream { socket: Socket::of(self.0)? })
    }
}

/// A TCP listener. See [`std::net::TcpListener`].
///
/// ```
/// use leveret_runtime::net::{TcpListener, TcpStream};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
/// let (server, peer) = listener.accept().unwrap();
/// assert_eq!((peer, server.peer_addr().unwrap()), (client.local_addr().unwrap(), peer));
/// # }).unwrap();
/// ```
pub struct TcpListener {
    socket: Socket<net::TcpListener>,
}

socket_traits!(TcpListener);

impl TcpListener {
    /// Listens on the first address of `addr` that can be had, with `SO_REUSEADDR` as std does.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::net::TcpListener;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let first = TcpListener::bind("127.0.0.1:0").unwrap(); // any port that is free
    /// let taken = TcpListener::bind(first.local_addr().unwrap());
    /// assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// That of the last address, with the name in its text.
    pub fn bind(addr: impl ToAddrs) -> io::Result<TcpListener> {
        try_each("listen on", &addr, TcpListener::bind_addr)
    }

    /// Listens on one address.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    pub fn bind_addr(addr: SocketAddr) -> io::Result<TcpListener> {
        if let Some(world) = world() {
            let socket = SimSocket::open(&world, |net, world| net.listen(world, addr))?;
            return Ok(TcpListener { socket: Socket::of(Inner::Sim(socket))? });
        }
        let raw = RawSocket::new(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        raw.set_reuse_address(true)?;
        raw.bind(&addr.into())?;
        raw.listen(BACKLOG)?;
        Ok(TcpListener { socket: Socket::new(raw.into())? })
    }

    /// Takes over a listening std socket.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` on the simulated driver.
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        refuse_simulated()?;
        listener.set_nonblocking(true)?;
        Ok(TcpListener { socket: Socket::new(listener)? })
    }

    /// Parks until somebody connects.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{net::TcpListener, timeout};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// assert!(timeout(Duration::from_secs(1), || listener.accept()).is_err()); // nobody came
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `accept(2)`. At the descriptor limit that is `EMFILE`, at once and again: an accept loop must pause then,
    /// as [`StreamServer`](super::StreamServer) does.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, addr) = self.accept_detached()?;
        Ok((stream.attach()?, addr))
    }

    /// As [`TcpListener::accept`], but the connection belongs to no shard yet: for handing it to another one.
    ///
    /// ```
    /// use leveret_runtime::{Runtime, net::{TcpListener, TcpStream}, shards, spawn_on};
    /// use std::io::{Read, Write};
    /// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
    /// runtime.run(|| {
    ///     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ///     let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ///     let (stream, _peer) = listener.accept_detached().unwrap();
    ///     let there = shards().nth(1).unwrap();
    ///     let _ = spawn_on(there, move || stream.attach().unwrap().write_all(b"hi").unwrap());
    ///     client.read_exact(&mut [0; 2]).unwrap();
    /// }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub fn accept_detached(&self) -> io::Result<(DetachedStream, SocketAddr)> {
        self.socket.read_attempt(|| match self.socket.inner() {
            Inner::Os(listener) => {
                let (stream, addr) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((DetachedStream(Inner::Os(stream)), addr))
            }
            Inner::Sim(listener) => {
                let (stream, addr) = listener.accept()?;
                Ok((DetachedStream(Inner::Sim(stream)), inet(addr)?))
            }
        })
    }

    /// As [`TcpListener::accept_detached`], as std's socket, which [`TcpStream::from_std`] takes over.
    ///
    /// # Errors
    /// As [`TcpListener::accept`]; `Unsupported` on the simulated driver.
    pub fn accept_std(&self) -> io::Result<(net::TcpStream, SocketAddr)> {
        refuse_simulated()?;
        let (stream, addr) = self.accept_detached()?;
        Ok((stream.0.into_os(), addr))
    }

    /// The connections that come, one after the other. An iteration never ends; each item may be an error, which
    /// [`TcpListener::accept`] describes.
    ///
    /// ```
    /// use leveret_runtime::net::{TcpListener, TcpStream};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let _clients = [(); 3].map(|()| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    /// for stream in listener.incoming().take(3) {
    ///     assert!(stream.is_ok());
    /// }
    /// # }).unwrap();
    /// ```
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<TcpStream>> {
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
        either!(self.socket.inner(), socket => socket.local_addr())
    }
}
