//! The simulated network: sockets by number, as a kernel keeps them, and what arrives at them.
//!
//! It keeps the rules of the real thing as far as a program can see them, down to which call tells of a reset, and tells
//! readiness by edges as epoll does: an event for each arrival, for room after a writer found none, and for the state that
//! a socket has when it is registered. So everything above the driver is the same code as on a real machine.
//!
//! It does not know packets below a write: no windows but one limit of bytes that are written and not read, no congestion.

mod datagram;
pub(crate) mod faults;
mod listen;
mod stream;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use datagram::Datagrams;
use faults::NetworkFaults;
use listen::Listener;
use stream::Connection;
use wire::{Due, Flight, Packet, Wire};

use super::World;
use super::hosts::HostId;
use crate::readiness::{Ready, Token};

/// A simulated socket's number; never used again.
pub(crate) type Fd = i32;

/// The first number: so large that nobody takes it for a real descriptor.
const FD_MIN: Fd = 10_000;

/// The first port of those that are given out.
const EPHEMERAL_MIN: u16 = 32_768;

/// An address: of the internet, or a path (none: unnamed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addr {
    Inet(SocketAddr),
    Unix(Option<PathBuf>),
}

#[derive(Debug)]
enum Kind {
    Connection(Connection),
    Listener(Listener),
    Datagrams(Datagrams),
}

#[derive(Debug)]
struct Sock {
    host: HostId,
    /// Who is told: a shard, and its name for the socket.
    watcher: Option<(usize, Token)>,
    /// Whether a program holds it; connections that wait to be accepted are nobody's yet.
    open: bool,
    /// What it sent last arrives then; what it sends next not before.
    last_due: Duration,
    kind: Kind,
}

/// All sockets and all that is on its way between them.
#[derive(Debug)]
pub(crate) struct Net {
    faults: NetworkFaults,
    socks: BTreeMap<Fd, Sock>,
    last_fd: Fd,
    wire: Wire,
    /// By shard.
    events: Vec<VecDeque<(Token, Ready)>>,
    /// Where Unix listeners are, or were: a path stays when its listener is gone.
    paths: BTreeMap<(HostId, PathBuf), Option<Fd>>,
    last_port: BTreeMap<HostId, u16>,
}

pub(crate) fn os_error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Net {
    pub(crate) fn new(shards: usize) -> Net {
        Net {
            faults: NetworkFaults::default(),
            socks: BTreeMap::new(),
            last_fd: FD_MIN,
            wire: Wire::default(),
            events: (0..shards).map(|_| VecDeque::new()).collect(),
            paths: BTreeMap::new(),
            last_port: BTreeMap::new(),
        }
    }

    pub(crate) fn set_faults(&mut self, faults: NetworkFaults) {
        self.faults = faults;
    }

    pub(crate) fn faults(&self) -> &NetworkFaults {
        &self.faults
    }

    // ---- sockets

    /// Makes a socket of the running host.
    fn open(&mut self, world: &World, kind: Kind) -> io::Result<Fd> {
        let host = world.hosts.current();
        if !world.hosts.is_up(host) {
            return Err(os_error(libc::ENETDOWN));
        }
        self.check_room(host)?;
        Ok(self.insert(host, true, kind))
    }

    fn check_room(&self, host: HostId) -> io::Result<()> {
        let open = self.socks.values().filter(|sock| sock.open && sock.host == host).count();
        match open < self.faults.descriptors_max {
            true => Ok(()),
            false => Err(os_error(libc::EMFILE)),
        }
    }

    fn insert(&mut self, host: HostId, open: bool, kind: Kind) -> Fd {
        self.last_fd += 1;
        let sock = Sock { host, watcher: None, open, last_due: Duration::ZERO, kind };
        self.socks.insert(self.last_fd, sock);
        self.last_fd
    }

    fn sock(&mut self, fd: Fd) -> io::Result<&mut Sock> {
        self.socks.get_mut(&fd).ok_or_else(|| os_error(libc::EBADF))
    }

    /// Closes a socket, with all that its other side is told. Closing one that is gone (its host has crashed) does nothing.
    pub(crate) fn close(&mut self, world: &World, fd: Fd) {
        match self.socks.get(&fd).map(|sock| &sock.kind) {
            Some(Kind::Connection(_)) => self.close_connection(world, fd),
            Some(Kind::Listener(_)) => self.close_listener(world, fd),
            Some(Kind::Datagrams(_)) => drop(self.socks.remove(&fd)),
            None => {}
        }
        self.deliver(world);
    }

    /// A port of the host that nobody uses.
    fn ephemeral(&mut self, host: HostId) -> io::Result<u16> {
        for _ in EPHEMERAL_MIN..=u16::MAX {
            let last = self.last_port.entry(host).or_insert(u16::MAX);
            *last = last.checked_add(1).unwrap_or(EPHEMERAL_MIN);
            let port = *last;
            if !self.socks.values().any(|sock| sock.host == host && sock.port() == Some(port)) {
                return Ok(port);
            }
        }
        Err(os_error(libc::EADDRNOTAVAIL))
    }

    /// The address of `host` for a bind to `addr`, with a port of its own if none is given.
    fn local(&mut self, world: &World, host: HostId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let own =
            addr.ip().is_loopback() || addr.ip().is_unspecified() || addr.ip() == IpAddr::V4(world.hosts.ip(host));
        if !own {
            return Err(os_error(libc::EADDRNOTAVAIL));
        }
        let port = match addr.port() {
            0 => self.ephemeral(host)?,
            port => port,
        };
        Ok(SocketAddr::new(addr.ip(), port))
    }

    // ---- readiness

    /// Tells `shard` the events of a socket from now on, beginning with how it stands.
    pub(crate) fn register(&mut self, fd: Fd, shard: usize, token: Token) -> io::Result<()> {
        let ready = self.ready(fd)?;
        self.sock(fd)?.watcher = Some((shard, token));
        if ready != Ready::NONE {
            self.tell(fd, ready);
        }
        Ok(())
    }

    pub(crate) fn deregister(&mut self, fd: Fd) {
        if let Some(sock) = self.socks.get_mut(&fd) {
            sock.watcher = None;
        }
    }

    fn tell(&mut self, fd: Fd, ready: Ready) {
        if let Some((shard, token)) = self.socks.get(&fd).and_then(|sock| sock.watcher) {
            self.events[shard].push_back((token, ready));
        }
    }

    /// What a call would find now.
    pub(crate) fn ready(&mut self, fd: Fd) -> io::Result<Ready> {
        let buffer = self.faults.buffer;
        Ok(match &self.sock(fd)?.kind {
            Kind::Connection(connection) => connection.ready(buffer),
            Kind::Listener(listener) => listener.ready(),
            Kind::Datagrams(datagrams) => datagrams.ready(),
        })
    }

    /// The events of a shard since the last call.
    pub(crate) fn take_events(&mut self, shard: usize) -> VecDeque<(Token, Ready)> {
        std::mem::take(&mut self.events[shard])
    }

    pub(crate) fn has_events(&self, shard: usize) -> bool {
        !self.events[shard].is_empty()
    }

    // ---- what any socket answers

    pub(crate) fn local_addr(&mut self, fd: Fd) -> io::Result<Addr> {
        Ok(match &self.sock(fd)?.kind {
            Kind::Connection(connection) => connection.local().clone(),
            Kind::Listener(listener) => listener.addr().clone(),
            Kind::Datagrams(datagrams) => Addr::Inet(datagrams.local()),
        })
    }

    pub(crate) fn peer_addr(&mut self, fd: Fd) -> io::Result<Addr> {
        let not_connected = || os_error(libc::ENOTCONN);
        match &self.sock(fd)?.kind {
            Kind::Connection(connection) => connection.peer().cloned().ok_or_else(not_connected),
            Kind::Datagrams(datagrams) => datagrams.peer().map(Addr::Inet).ok_or_else(not_connected),
            Kind::Listener(_) => Err(not_connected()),
        }
    }

    pub(crate) fn take_error(&mut self, fd: Fd) -> io::Result<Option<io::Error>> {
        let code = match &mut self.sock(fd)?.kind {
            Kind::Connection(connection) => connection.take_error(),
            Kind::Datagrams(datagrams) => datagrams.take_error(),
            Kind::Listener(_) => None,
        };
        Ok(code.map(os_error))
    }

    // ---- what is on its way

    /// When something arrives next, as virtual time.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.wire.next_due()
    }

    /// Takes in all that has arrived by now.
    pub(crate) fn deliver(&mut self, world: &World) {
        while let Some(due) = self.wire.take_due(world.clock.elapsed()) {
            match due {
                Due::Arrives(flight) if self.wire.is_open(world, flight.link) => self.arrive(world, flight),
                Due::Arrives(flight) => {
                    world.note("packet held", flight.from as u64, 0);
                    self.wire.hold(world.clock.elapsed(), flight);
                }
                Due::GivesUp { link, number } => {
                    if let Some(fd) = self.wire.give_up(link, number) {
                        world.note("connection given up", fd as u64, 0);
                        self.fail(fd, libc::ETIMEDOUT);
                    }
                }
                Due::ConnectGivesUp { fd } => {
                    world.note("connect given up", fd as u64, 0);
                    self.fail(fd, libc::ETIMEDOUT);
                }
            }
        }
    }

    fn arrive(&mut self, world: &World, flight: Flight) {
        let Flight { link, from, to, packet } = flight;
        world.note(packet.name(), from as u64, to.unwrap_or_default() as u64);
        match (packet, to) {
            (Packet::Syn { from: client, to: addr, attempt }, _) => {
                self.on_syn(world, link, from, client, addr, attempt);
            }
            (Packet::Datagram { from: sender, to: addr, bytes }, _) => {
                self.on_datagram(world, link, from, sender, addr, bytes);
            }
            (Packet::Unreachable, Some(to)) => self.on_unreachable(to),
            (packet, Some(to)) => self.on_packet(world, link, from, to, packet),
            (_, None) => {}
        }
    }

    /// Puts an answer of a host on its way that belongs to none of its sockets.
    fn answer(&mut self, world: &World, from_link: (HostId, HostId), from: Fd, to: Fd, packet: Packet) {
        let flight = Flight { link: (from_link.1, from_link.0), from, to: Some(to), packet };
        let (delay, bandwidth) = (self.faults.delay, self.faults.bandwidth);
        self.wire.send(world, delay, bandwidth, Duration::ZERO, flight);
    }

    // ---- hosts and links

    /// Cuts one direction between two hosts.
    pub(crate) fn cut(&mut self, world: &World, from: HostId, to: HostId) {
        world.note("link cut", from.0.into(), to.0.into());
        self.wire.cut((from, to));
    }

    /// Mends one direction between two hosts.
    pub(crate) fn heal(&mut self, world: &World, from: HostId, to: HostId) {
        world.note("link healed", from.0.into(), to.0.into());
        self.wire.heal(world, (from, to));
        self.deliver(world);
    }

    /// Mends every link.
    pub(crate) fn heal_all(&mut self, world: &World) {
        for (from, to) in self.wire.cuts() {
            self.heal(world, from, to);
        }
    }

    /// A host is gone: its sockets with it, and nobody is told.
    pub(crate) fn crash(&mut self, host: HostId) {
        let gone: Vec<Fd> = self.socks.iter().filter(|(_, sock)| sock.host == host).map(|(&fd, _)| fd).collect();
        for fd in gone {
            self.answered(fd);
            self.socks.remove(&fd);
        }
        self.wire.crash(host);
        self.paths.retain(|(at, _), listener| *at != host || listener.take().is_none());
    }

    /// A host is back: what others have sent meanwhile arrives, and finds nobody.
    pub(crate) fn restart(&mut self, world: &World) {
        for link in self.wire.held_links() {
            self.wire.release(world, link);
        }
        self.deliver(world);
    }
}

impl Sock {
    fn port(&self) -> Option<u16> {
        let port = |addr: &Addr| match addr {
            Addr::Inet(addr) => Some(addr.port()),
            Addr::Unix(_) => None,
        };
        match &self.kind {
            Kind::Connection(connection) => port(connection.local()),
            Kind::Listener(listener) => port(listener.addr()),
            Kind::Datagrams(datagrams) => Some(datagrams.local().port()),
        }
    }
}

/// Where a socket of `host` that speaks to `peer` is seen from there.
fn seen_from(world: &World, host: HostId, peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(_) => IpAddr::V4(world.hosts.ip(host)),
    }
}

/// Whether what is sent to `wanted` reaches a socket that is bound to `bound`.
fn reaches(bound: SocketAddr, wanted: SocketAddr) -> bool {
    bound.port() == wanted.port()
        && (bound.ip() == wanted.ip() || bound.ip().is_unspecified() || wanted.ip().is_unspecified())
}
