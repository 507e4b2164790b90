//! A socket of the simulated machine, with the calls of std's sockets, so that the public types can hold one or the other.
//!
//! It is a number: the state is in the simulated network. So it can be sent to another shard of its simulation, and means
//! nothing outside of it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;

use crate::coroutine::current;
use crate::driver::sim::World;
use crate::driver::sim::net::{Addr, Fd, Net};
use crate::readiness::Ready;
use crate::sys::poll::poll_now;

/// The kernel's socket, or a simulated one.
pub(crate) enum Inner<S> {
    Os(S),
    Sim(SimSocket),
}

/// Calls the same method of either socket.
macro_rules! either {
    ($inner:expr, $socket:ident => $call:expr) => {
        match $inner {
            crate::net::simulated::Inner::Os($socket) => $call,
            crate::net::simulated::Inner::Sim($socket) => $call,
        }
    };
}

pub(crate) use either;

impl<S: AsRawFd> Inner<S> {
    /// What names it in registrations and dumps.
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Inner::Os(socket) => socket.as_raw_fd(),
            Inner::Sim(socket) => socket.fd,
        }
    }
}

impl<S> Inner<S> {
    /// The kernel's socket.
    ///
    /// # Panics
    /// For a simulated one.
    pub(crate) fn os(&self) -> &S {
        match self {
            Inner::Os(socket) => socket,
            Inner::Sim(_) => no_descriptor(),
        }
    }

    /// The kernel's socket, to own.
    ///
    /// # Panics
    /// For a simulated one.
    pub(crate) fn into_os(self) -> S {
        match self {
            Inner::Os(socket) => socket,
            Inner::Sim(_) => no_descriptor(),
        }
    }
}

impl<S: AsFd> Inner<S> {
    /// What of `wanted` a call would find now.
    pub(crate) fn look(&self, wanted: Ready) -> io::Result<Ready> {
        match self {
            Inner::Os(socket) => poll_now(socket.as_fd(), wanted),
            Inner::Sim(socket) => socket.look(wanted),
        }
    }
}

#[cold]
fn no_descriptor() -> ! {
    panic!(
        "a simulated socket has no descriptor and no std socket: use its own methods (accept_detached and attach hand a \
         connection to another shard on both drivers)"
    )
}

impl<S: AsFd> AsFd for Inner<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.os().as_fd()
    }
}

impl<S: fmt::Debug> fmt::Debug for Inner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        either!(self, socket => socket.fmt(f))
    }
}

/// The simulated world that the caller runs in, if it does.
pub(crate) fn world() -> Option<Rc<World>> {
    current::with(|shard| shard.driver.world().cloned())
}

/// The number of a simulated socket, which closes it when dropped.
pub(crate) struct SimSocket {
    fd: Fd,
    world: u64,
}

impl SimSocket {
    /// Opens a socket of the simulated network.
    pub(crate) fn open(world: &World, f: impl FnOnce(&mut Net, &World) -> io::Result<Fd>) -> io::Result<SimSocket> {
        let fd = world.net(f)?;
        Ok(SimSocket { fd, world: world.id() })
    }

    /// Two Unix streams that are connected to each other.
    pub(crate) fn pair(world: &World) -> io::Result<(SimSocket, SimSocket)> {
        let (one, other) = world.net(|net, world| net.pair(world))?;
        let socket = |fd| SimSocket { fd, world: world.id() };
        Ok((socket(one), socket(other)))
    }

    /// What names it in its network.
    pub(crate) fn fd(&self) -> Fd {
        self.fd
    }

    #[cold]
    fn call<T>(&self, f: impl FnOnce(&mut Net, &World, Fd) -> io::Result<T>) -> io::Result<T> {
        let world = current::try_with(|shard| shard.driver.world().cloned()).flatten();
        match world.filter(|world| world.id() == self.world) {
            Some(world) => world.net(|net, world| f(net, world, self.fd)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this socket belongs to a simulation that has ended, or to another one",
            )),
        }
    }

    fn look(&self, wanted: Ready) -> io::Result<Ready> {
        self.call(|net, _, fd| Ok(net.ready(fd)?.among(wanted)))
    }

    // ---- byte streams

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(|net, world, fd| net.read(world, fd, buffer, false))
    }

    pub(crate) fn read_vectored(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let mut read = 0;
        for slice in slices.iter_mut().filter(|slice| !slice.is_empty()) {
            match self.read(slice) {
                Ok(count) if count == slice.len() => read += count,
                Ok(count) => return Ok(read + count),
                Err(_) if read > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call(|net, world, fd| net.read(world, fd, buffer, true))
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.call(|net, world, fd| net.write(world, fd, bytes))
    }

    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.write(&bytes)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.call(|net, world, fd| net.shutdown(world, fd, how))
    }

    pub(crate) fn set_resets(&self, resets: bool) -> io::Result<()> {
        self.call(|net, _, fd| net.set_resets(fd, resets))
    }

    pub(crate) fn accept(&self) -> io::Result<(SimSocket, Addr)> {
        let (fd, addr) = self.call(|net, _, fd| net.accept(fd))?;
        Ok((SimSocket { fd, world: self.world }, addr))
    }

    // ---- datagrams

    pub(crate) fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.call(|net, world, fd| net.connect_udp(world, fd, addr))
    }

    pub(crate) fn send_to(&self, datagram: &[u8], addr: SocketAddr) -> io::Result<usize> {
        self.call(|net, world, fd| net.send_to(world, fd, datagram, Some(addr)))
    }

    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.call(|net, world, fd| net.send_to(world, fd, datagram, None))
    }

    pub(crate) fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.call(|net, _, fd| net.recv_from(fd, buffer, false))
    }

    pub(crate) fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.call(|net, _, fd| net.recv_from(fd, buffer, true))
    }

    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buffer).map(|(count, _)| count)
    }

    // ---- options: accepted, and without effect unless said otherwise

    pub(crate) fn set_nodelay(&self, _nodelay: bool) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is ever held back to be sent together.
    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        Ok(true)
    }

    pub(crate) fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.call(|net, _, fd| net.set_broadcast(fd, broadcast))
    }

    pub(crate) fn broadcast(&self) -> io::Result<bool> {
        self.call(|net, _, fd| net.broadcast(fd))
    }

    pub(crate) fn set_ttl(&self, _hops: u32) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn join_multicast_v4(&self, _group: &Ipv4Addr, _interface: &Ipv4Addr) -> io::Result<()> {
        Err(no_multicast())
    }

    pub(crate) fn join_multicast_v6(&self, _group: &Ipv6Addr, _interface: u32) -> io::Result<()> {
        Err(no_multicast())
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.call(|net, _, fd| net.take_error(fd))
    }

    // ---- addresses

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.call(|net, _, fd| net.local_addr(fd))?)
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(self.call(|net, _, fd| net.peer_addr(fd))?)
    }

    pub(crate) fn local_path(&self) -> io::Result<UnixAddr> {
        path(self.call(|net, _, fd| net.local_addr(fd))?)
    }

    pub(crate) fn peer_path(&self) -> io::Result<UnixAddr> {
        path(self.call(|net, _, fd| net.peer_addr(fd))?)
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        // Outside of its simulation there is nothing to close.
        let _ = self.call(|net, world, fd| {
            net.close(world, fd);
            Ok(())
        });
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("simulated socket").field("fd", &self.fd).finish()
    }
}

/// The address of a TCP or UDP socket.
pub(crate) fn inet(addr: Addr) -> io::Result<SocketAddr> {
    match addr {
        Addr::Inet(addr) => Ok(addr),
        Addr::Unix(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

/// The address of a Unix socket.
pub(crate) fn path(addr: Addr) -> io::Result<UnixAddr> {
    match addr {
        Addr::Unix(path) => UnixAddr::from_pathname(path.unwrap_or_default()),
        Addr::Inet(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

fn no_multicast() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the simulated network has no multicast")
}
