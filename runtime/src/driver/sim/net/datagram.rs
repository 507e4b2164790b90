//! UDP: datagrams that are lost, doubled and overtaken.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::wire::{Flight, Link, Packet};
use super::{Fd, Kind, Net, os_error, reaches, seen_from};
use crate::driver::sim::World;
use crate::driver::sim::random::Stream;
use crate::readiness::Ready;

/// The longest datagram, as IPv4's headers allow.
const DATAGRAM_SIZE_MAX: usize = 65_507;

/// Bytes that wait to be received; what comes beyond is lost, as with Linux's default.
const INBOX_SIZE_MAX: usize = 212_992;

#[derive(Debug)]
pub(super) struct Datagrams {
    local: SocketAddr,
    peer: Option<SocketAddr>,
    inbox: VecDeque<(SocketAddr, Vec<u8>)>,
    error: Option<i32>,
    broadcast: bool,
}

impl Datagrams {
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(super) fn take_error(&mut self) -> Option<i32> {
        self.error.take()
    }

    pub(super) fn ready(&self) -> Ready {
        match self.inbox.is_empty() && self.error.is_none() {
            true => Ready::WRITABLE,
            false => Ready::READABLE | Ready::WRITABLE,
        }
    }

    fn has_room(&self, size: usize) -> bool {
        self.inbox.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + size <= INBOX_SIZE_MAX
    }
}

impl Net {
    fn datagrams(&mut self, fd: Fd) -> io::Result<&mut Datagrams> {
        match &mut self.sock(fd)?.kind {
            Kind::Datagrams(datagrams) => Ok(datagrams),
            _ => Err(os_error(libc::EINVAL)),
        }
    }

    pub(crate) fn bind_udp(&mut self, world: &World, addr: SocketAddr) -> io::Result<Fd> {
        let host = world.hosts.current();
        let local = self.local(world, host, addr)?;
        let taken = |kind: &Kind| matches!(kind, Kind::Datagrams(other) if reaches(other.local, local));
        if self.socks.values().any(|sock| sock.host == host && taken(&sock.kind)) {
            return Err(os_error(libc::EADDRINUSE));
        }
        let datagrams = Datagrams { local, peer: None, inbox: VecDeque::new(), error: None, broadcast: false };
        self.open(world, Kind::Datagrams(datagrams))
    }

    pub(crate) fn connect_udp(&mut self, world: &World, fd: Fd, addr: SocketAddr) -> io::Result<()> {
        let host = self.sock(fd)?.host;
        world.hosts.at(host, addr.ip()).ok_or_else(|| os_error(libc::ENETUNREACH))?;
        self.datagrams(fd)?.peer = Some(addr);
        Ok(())
    }

    /// Sends to `addr`, or to the connected address.
    pub(crate) fn send_to(
        &mut self,
        world: &World,
        fd: Fd,
        bytes: &[u8],
        addr: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let datagrams = self.datagrams(fd)?;
        if let Some(code) = datagrams.error.take() {
            return Err(os_error(code));
        }
        let to = addr.or(datagrams.peer).ok_or_else(|| os_error(libc::EDESTADDRREQ))?;
        let local = datagrams.local;
        if bytes.len() > DATAGRAM_SIZE_MAX {
            return Err(os_error(libc::EMSGSIZE));
        }
        let host = self.sock(fd)?.host;
        let target = world.hosts.at(host, to.ip()).ok_or_else(|| os_error(libc::ENETUNREACH))?;
        let from = match local.ip().is_unspecified() {
            true => SocketAddr::new(seen_from(world, host, to.ip()), local.port()),
            false => local,
        };
        let packet = Packet::Datagram { from, to, bytes: bytes.to_vec() };
        self.launch(world, Flight { link: (host, target), from: fd, to: None, packet });
        self.deliver(world);
        Ok(bytes.len())
    }

    fn launch(&mut self, world: &World, flight: Flight) {
        let faults = &self.faults;
        let (loss, twice, overtaken) = (faults.datagram_loss, faults.datagram_duplicate, faults.datagram_reorder);
        let (delay, bandwidth) = (faults.delay, faults.bandwidth);
        let name = |what: &str| format!("{what}: datagram of socket {}", flight.from);
        let happens = |probability| world.chance(Stream::Network, probability);
        if happens(loss) && world.fault_fires(name("loss")) {
            return;
        }
        let copies = 1 + usize::from(happens(twice) && world.fault_fires(name("duplicate")));
        let late = happens(overtaken) && world.fault_fires(name("overtaken"));
        let last = self.wire.last_datagram(flight.link);
        for _ in 0..copies {
            let link = flight.link;
            if late {
                // Another way altogether: up to four times as long, and nobody waits for it.
                let longer = (delay.0, delay.1.max(std::time::Duration::from_millis(1)) * 4);
                self.wire.send(world, longer, bandwidth, last, flight.clone());
            } else {
                let due = self.wire.send(world, delay, bandwidth, last, flight.clone());
                self.wire.order_datagram(link, due);
            }
        }
    }

    pub(super) fn on_datagram(
        &mut self,
        world: &World,
        link: Link,
        sender: Fd,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) {
        let hears = |datagrams: &Datagrams| {
            reaches(datagrams.local, to) && datagrams.peer.is_none_or(|peer| reaches(peer, from))
        };
        let receiver = self.socks.iter_mut().find_map(|(&fd, sock)| match &mut sock.kind {
            Kind::Datagrams(datagrams) if sock.host == link.1 && hears(datagrams) => Some((fd, datagrams)),
            _ => None,
        });
        match receiver {
            Some((fd, datagrams)) => {
                if datagrams.has_room(bytes.len()) {
                    datagrams.inbox.push_back((from, bytes));
                    self.tell(fd, Ready::READABLE);
                }
            }
            None => self.answer(world, link, sender, sender, Packet::Unreachable),
        }
    }

    /// A connected socket learns that nobody was there; another one does not.
    pub(super) fn on_unreachable(&mut self, fd: Fd) {
        if let Ok(datagrams) = self.datagrams(fd)
            && datagrams.peer.is_some()
        {
            datagrams.error = Some(libc::ECONNREFUSED);
            self.tell(fd, Ready::READABLE | Ready::WRITABLE);
        }
    }

    pub(crate) fn set_broadcast(&mut self, fd: Fd, broadcast: bool) -> io::Result<()> {
        self.datagrams(fd)?.broadcast = broadcast;
        Ok(())
    }

    pub(crate) fn broadcast(&mut self, fd: Fd) -> io::Result<bool> {
        Ok(self.datagrams(fd)?.broadcast)
    }

    pub(crate) fn recv_from(&mut self, fd: Fd, buffer: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let datagrams = self.datagrams(fd)?;
        if let Some(code) = datagrams.error.take() {
            return Err(os_error(code));
        }
        let (from, bytes) = datagrams.inbox.front().ok_or_else(|| os_error(libc::EAGAIN))?;
        let (from, count) = (*from, bytes.len().min(buffer.len()));
        buffer[..count].copy_from_slice(&bytes[..count]);
        if !peek {
            datagrams.inbox.pop_front();
        }
        Ok((count, from))
    }
}
