//! UDP.

use std::fmt;
use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::addrs::{ToAddrs, try_each};
use super::io::{Socket, refuse_simulated, set_timeout};
use super::simulated::{Inner, SimSocket, either, world};
use super::stream::socket_traits;

/// A UDP socket. See [`std::net::UdpSocket`], whose methods these are, except that waiting parks the coroutine.
///
/// ```
/// use leveret_runtime::net::UdpSocket;
/// # leveret_runtime::run(|| {
/// let one = UdpSocket::bind("127.0.0.1:0").unwrap();
/// let other = UdpSocket::bind("127.0.0.1:0").unwrap();
/// one.send_to(b"hi", other.local_addr().unwrap()).unwrap();
/// let mut buffer = [0; 16];
/// let (count, from) = other.recv_from(&mut buffer).unwrap();
/// assert_eq!((&buffer[..count], from), (&b"hi"[..], one.local_addr().unwrap()));
/// # }).unwrap();
/// ```
pub struct UdpSocket {
    socket: Socket<net::UdpSocket>,
}

socket_traits!(UdpSocket);

impl UdpSocket {
    /// A socket bound to the first address of `addr` that can be had.
    ///
    /// # Errors
    /// That of the last address, with the name in its text.
    pub fn bind(addr: impl ToAddrs) -> io::Result<UdpSocket> {
        if let Some(world) = world() {
            let bind = |addr| SimSocket::open(&world, |net, world| net.bind_udp(world, addr));
            return Ok(UdpSocket { socket: Socket::of(Inner::Sim(try_each("bind", &addr, bind)?))? });
        }
        UdpSocket::from_std(try_each("bind", &addr, net::UdpSocket::bind)?)
    }

    /// Takes over a bound std socket: makes it non-blocking and gives it to the current shard.
    ///
    /// # Errors
    /// The kernel's; `Unsupported` on the simulated driver.
    pub fn from_std(socket: net::UdpSocket) -> io::Result<UdpSocket> {
        refuse_simulated()?;
        socket.set_nonblocking(true)?;
        Ok(UdpSocket { socket: Socket::new(socket)? })
    }

    /// Gives the std socket back; it stays non-blocking.
    ///
    /// # Panics
    /// On the simulated driver.
    pub fn into_std(self) -> net::UdpSocket {
        self.socket.into_inner().into_os()
    }

    /// Fixes the address that [`UdpSocket::send`] sends to and that [`UdpSocket::recv`] hears.
    ///
    /// ```
    /// use leveret_runtime::net::UdpSocket;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (ours, theirs) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    /// let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// ours.connect(theirs.local_addr().unwrap()).unwrap();
    /// stranger.send_to(b"buy now", ours.local_addr().unwrap()).unwrap(); // is not heard
    /// theirs.send_to(b"pong", ours.local_addr().unwrap()).unwrap();
    /// let mut buffer = [0; 16];
    /// let count = ours.recv(&mut buffer).unwrap();
    /// assert_eq!(&buffer[..count], b"pong");
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// That of the last address, with the name in its text.
    pub fn connect(&self, addr: impl ToAddrs) -> io::Result<()> {
        try_each("connect to", &addr, |addr| either!(self.socket.inner(), socket => socket.connect(addr)))
    }

    /// Sends one datagram to the first address of `addr`.
    ///
    /// # Errors
    /// The kernel's, e.g. of a datagram that is too long; `TimedOut` after the write timeout.
    pub fn send_to(&self, datagram: &[u8], addr: impl ToAddrs) -> io::Result<usize> {
        let first = addr.to_addrs()?.into_iter().next();
        let addr =
            first.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address to send to was given"))?;
        self.socket.write_attempt(|| either!(self.socket.inner(), socket => socket.send_to(datagram, addr)))
    }

    /// Receives one datagram and says from whom. What does not fit into the buffer is lost.
    ///
    /// ```
    /// use leveret_runtime::net::UdpSocket;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// let own = socket.local_addr().unwrap();
    /// socket.send_to(b"a long datagram", own).unwrap();
    /// let mut short = [0; 6];
    /// assert_eq!(socket.recv_from(&mut short).unwrap(), (6, own));
    /// assert_eq!(&short, b"a long"); // the rest is lost
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `TimedOut` after the read timeout.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.read_attempt(|| either!(self.socket.inner(), socket => socket.recv_from(buffer)))
    }

    /// As [`UdpSocket::recv_from`], and leaves the datagram there.
    ///
    /// ```
    /// use leveret_runtime::net::UdpSocket;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
    /// let mut buffer = [0; 4];
    /// assert_eq!(socket.peek_from(&mut buffer).unwrap(), socket.recv_from(&mut buffer).unwrap());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.read_attempt(|| either!(self.socket.inner(), socket => socket.peek_from(buffer)))
    }

    /// Sends one datagram to the connected address.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`]; `ConnectionRefused` if an earlier one was.
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.socket.write_attempt(|| either!(self.socket.inner(), socket => socket.send(datagram)))
    }

    /// Receives one datagram of the connected address.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`]; `ConnectionRefused` if a datagram sent was.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read_attempt(|| either!(self.socket.inner(), socket => socket.recv(buffer)))
    }

    /// As [`UdpSocket::recv`], and leaves the datagram there.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read_attempt(|| match self.socket.inner() {
            Inner::Os(socket) => socket.peek(buffer),
            Inner::Sim(socket) => socket.peek_from(buffer).map(|(count, _)| count),
        })
    }

    /// As [`UdpSocket::send_to`] to one address, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full.
    pub fn try_send_to(&self, datagram: &[u8], addr: SocketAddr) -> io::Result<usize> {
        self.socket.try_write_attempt(|| either!(self.socket.inner(), socket => socket.send_to(datagram, addr)))
    }

    /// As [`UdpSocket::recv_from`], without waiting.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::net::UdpSocket;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// let (own, mut buffer) = (socket.local_addr().unwrap(), [0; 4]);
    /// assert_eq!(socket.try_recv_from(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    /// assert_eq!(socket.try_send_to(b"x", own).unwrap(), 1);
    /// socket.wait_readable().unwrap();
    /// assert_eq!(socket.try_recv_from(&mut buffer).unwrap(), (1, own));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_read_attempt(|| either!(self.socket.inner(), socket => socket.recv_from(buffer)))
    }

    /// Parks until a datagram is there.
    ///
    /// # Errors
    /// `TimedOut` after the read timeout.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.socket.wait_readable()
    }

    /// The longest that one receive may wait; `None` for ever.
    ///
    /// ```
    /// use std::{io::ErrorKind, time::Duration};
    /// use leveret_runtime::net::UdpSocket;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    /// socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    /// assert_eq!(socket.recv_from(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
    /// assert_eq!(socket.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Zero is invalid.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_timeout(self.socket.read_timeout(), timeout)
    }

    /// The longest that one send may wait; `None` for ever.
    ///
    /// # Errors
    /// Zero is invalid.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set_timeout(self.socket.write_timeout(), timeout)
    }

    /// The read timeout.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.socket.read_timeout().get().duration()
    }

    /// The write timeout.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.socket.write_timeout().get().duration()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        either!(self.socket.inner(), socket => socket.local_addr())
    }

    /// The connected address.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        either!(self.socket.inner(), socket => socket.peer_addr())
    }

    /// Lets datagrams to a broadcast address through (`SO_BROADCAST`).
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        either!(self.socket.inner(), socket => socket.set_broadcast(broadcast))
    }

    /// Whether datagrams to a broadcast address go through.
    ///
    /// # Errors
    /// The kernel's.
    pub fn broadcast(&self) -> io::Result<bool> {
        either!(self.socket.inner(), socket => socket.broadcast())
    }

    /// How many hops a datagram may make.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        either!(self.socket.inner(), socket => socket.set_ttl(hops))
    }

    /// Hears a multicast group on the interface with this address (unspecified: any).
    ///
    /// # Errors
    /// The kernel's.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        either!(self.socket.inner(), socket => socket.join_multicast_v4(group, interface))
    }

    /// Hears a multicast group on the interface with this index (0: any).
    ///
    /// # Errors
    /// The kernel's.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        either!(self.socket.inner(), socket => socket.join_multicast_v6(group, interface))
    }

    /// The error that the socket has stored, if any, and forgets it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self.socket.inner(), socket => socket.take_error())
    }
}
