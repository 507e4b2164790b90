//! Listeners and how connections come to be.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::stream::Connection;
use super::wire::{CONNECT_GIVES_UP, Due, Flight, Link, Packet};
use super::{Addr, Fd, Kind, Net, os_error, reaches, seen_from};
use crate::driver::sim::World;
use crate::driver::sim::hosts::HostId;
use crate::driver::sim::random::Stream;
use crate::readiness::Ready;

/// Doublings of the pause between a client's attempts at a full queue: its patience ends before.
const ATTEMPTS_MAX: u32 = 7;

#[derive(Debug)]
pub(super) struct Listener {
    addr: Addr,
    /// Connections that wait to be accepted.
    waiting: VecDeque<Fd>,
}

impl Listener {
    pub(super) fn addr(&self) -> &Addr {
        &self.addr
    }

    pub(super) fn ready(&self) -> Ready {
        match self.waiting.is_empty() {
            true => Ready::NONE,
            false => Ready::READABLE,
        }
    }
}

impl Net {
    fn listener(&mut self, fd: Fd) -> io::Result<&mut Listener> {
        match &mut self.sock(fd)?.kind {
            Kind::Listener(listener) => Ok(listener),
            _ => Err(os_error(libc::EINVAL)),
        }
    }

    // ---- listening

    pub(crate) fn listen(&mut self, world: &World, addr: SocketAddr) -> io::Result<Fd> {
        let host = world.hosts.current();
        let addr = self.local(world, host, addr)?;
        let taken = |other: &Addr| matches!(other, Addr::Inet(other) if reaches(*other, addr));
        let mut listeners = self.socks.values().filter(|sock| sock.host == host);
        if listeners.any(|sock| matches!(&sock.kind, Kind::Listener(listener) if taken(&listener.addr))) {
            return Err(os_error(libc::EADDRINUSE));
        }
        self.open(world, Kind::Listener(Listener { addr: Addr::Inet(addr), waiting: VecDeque::new() }))
    }

    pub(crate) fn listen_unix(&mut self, world: &World, path: &Path) -> io::Result<Fd> {
        let place = (world.hosts.current(), path.to_owned());
        if self.paths.contains_key(&place) {
            return Err(os_error(libc::EADDRINUSE));
        }
        let listener = Listener { addr: Addr::Unix(Some(path.to_owned())), waiting: VecDeque::new() };
        let fd = self.open(world, Kind::Listener(listener))?;
        self.paths.insert(place, Some(fd));
        Ok(fd)
    }

    /// Removes the name of a Unix listener, as removing its file does. Whether there was one.
    pub(crate) fn unlink(&mut self, host: HostId, path: &Path) -> bool {
        self.paths.remove(&(host, path.to_owned())).is_some()
    }

    /// Whether a Unix listener is there, or was and left its name.
    pub(crate) fn has_path(&self, host: HostId, path: &Path) -> bool {
        self.paths.contains_key(&(host, path.to_owned()))
    }

    /// The next connection that waits, and who it is from.
    pub(crate) fn accept(&mut self, fd: Fd) -> io::Result<(Fd, Addr)> {
        let host = self.sock(fd)?.host;
        if self.listener(fd)?.waiting.is_empty() {
            return Err(os_error(libc::EAGAIN));
        }
        self.check_room(host)?;
        let accepted = self.listener(fd)?.waiting.pop_front().ok_or_else(|| os_error(libc::EAGAIN))?;
        let sock = self.sock(accepted)?;
        sock.open = true;
        match &sock.kind {
            Kind::Connection(connection) => Ok((accepted, connection.named_peer())),
            _ => Err(os_error(libc::EINVAL)),
        }
    }

    pub(super) fn close_listener(&mut self, world: &World, fd: Fd) {
        let waiting = self.listener(fd).map(|listener| std::mem::take(&mut listener.waiting)).unwrap_or_default();
        for connection in waiting {
            let _ = self.set_resets(connection, true); // it is one, and there
            self.close_connection(world, connection);
        }
        self.socks.remove(&fd);
        self.paths.values_mut().filter(|listener| **listener == Some(fd)).for_each(|listener| *listener = None);
    }

    // ---- connecting

    /// Begins to connect; the answer comes as an event.
    pub(crate) fn connect(&mut self, world: &World, addr: SocketAddr) -> io::Result<Fd> {
        let host = world.hosts.current();
        let target = world.hosts.at(host, addr.ip()).ok_or_else(|| os_error(libc::EHOSTUNREACH))?;
        let local = SocketAddr::new(seen_from(world, host, addr.ip()), self.ephemeral(host)?);
        let to = match addr.ip().is_unspecified() {
            true => SocketAddr::new(seen_from(world, host, addr.ip()), addr.port()),
            false => addr,
        };
        let connection = Connection::new(Addr::Inet(local), Addr::Inet(to), None);
        let fd = self.open(world, Kind::Connection(connection))?;
        let patience = self.wire.at(world.clock.elapsed() + CONNECT_GIVES_UP, Due::ConnectGivesUp { fd });
        self.set_patience(fd, patience);
        let packet = Packet::Syn { from: local, to, attempt: 0 };
        let flight = Flight { link: (host, target), from: fd, to: None, packet };
        let (delay, bandwidth) = (self.faults.delay, self.faults.bandwidth);
        self.wire.send(world, delay, bandwidth, Duration::ZERO, flight);
        self.deliver(world);
        Ok(fd)
    }

    /// A client asks for a connection.
    pub(super) fn on_syn(
        &mut self,
        world: &World,
        link: Link,
        client: Fd,
        from: SocketAddr,
        to: SocketAddr,
        attempt: u32,
    ) {
        if !self.socks.contains_key(&client) {
            return; // it has given up
        }
        let host = link.1;
        let hears = |addr: &Addr| matches!(addr, Addr::Inet(addr) if reaches(*addr, to));
        let listener = self.socks.iter().find_map(|(&fd, sock)| match &sock.kind {
            Kind::Listener(listener) if sock.host == host && hears(&listener.addr) => {
                Some((fd, listener.waiting.len()))
            }
            _ => None,
        });
        let refused = world.chance(Stream::Network, self.faults.refuse)
            && world.fault_fires(format!("refuse: connection {from} -> {to}"));
        match listener {
            Some((fd, waiting)) if !refused && waiting < self.faults.backlog => {
                let connection = Connection::new(Addr::Inet(to), Addr::Inet(from), Some((link.0, client)));
                let server = self.enqueue(host, fd, connection);
                self.answer_from(world, server, client, Packet::SynAck);
            }
            Some(_) if !refused => self.knock_again(world, link, client, from, to, attempt),
            _ => self.answer(world, link, client, client, Packet::Rst),
        }
    }

    fn enqueue(&mut self, host: HostId, listener: Fd, connection: Connection) -> Fd {
        let server = self.insert(host, false, Kind::Connection(connection));
        if let Ok(listening) = self.listener(listener) {
            listening.waiting.push_back(server);
            self.tell(listener, Ready::READABLE);
        }
        server
    }

    /// Sends as the socket `from`, whose later packets stay behind this one.
    fn answer_from(&mut self, world: &World, from: Fd, to: Fd, packet: Packet) {
        let (Some(sender), Some(receiver)) = (self.socks.get(&from), self.socks.get(&to)) else { return };
        let flight = Flight { link: (sender.host, receiver.host), from, to: Some(to), packet };
        let (delay, bandwidth) = (self.faults.delay, self.faults.bandwidth);
        let due = self.wire.send(world, delay, bandwidth, Duration::ZERO, flight);
        if let Some(sock) = self.socks.get_mut(&from) {
            sock.last_due = due;
        }
    }

    /// A full queue drops who asks; the client asks again after 1, 2, 4... seconds, until its patience ends.
    fn knock_again(&mut self, world: &World, link: Link, client: Fd, from: SocketAddr, to: SocketAddr, attempt: u32) {
        let packet = Packet::Syn { from, to, attempt: attempt + 1 };
        let again = world.clock.elapsed() + Duration::from_secs(1 << attempt.min(ATTEMPTS_MAX));
        self.wire.at(again, Due::Arrives(Flight { link, from: client, to: None, packet }));
    }

    /// Connects at once or not at all.
    pub(crate) fn connect_unix(&mut self, world: &World, path: &Path) -> io::Result<Fd> {
        let host = world.hosts.current();
        let backlog = self.faults.backlog;
        let listener = self.paths.get(&(host, path.to_owned())).copied().ok_or_else(|| os_error(libc::ENOENT))?;
        let listener = listener.ok_or_else(|| os_error(libc::ECONNREFUSED))?;
        if self.listener(listener)?.waiting.len() >= backlog {
            return Err(os_error(libc::EAGAIN));
        }
        let named = || Addr::Unix(Some(path.to_owned()));
        let client = self.open(world, Kind::Connection(Connection::new(Addr::Unix(None), named(), None)))?;
        let server = self.enqueue(host, listener, Connection::new(named(), Addr::Unix(None), None));
        self.join(host, client, server);
        Ok(client)
    }
}
