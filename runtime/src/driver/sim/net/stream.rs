//! Connections, TCP and Unix: bytes in order, ends, resets.
//!
//! ```text
//!   Connecting --SYN-ACK--> Open --FIN arrives--> in_ended: reads end, writes go on
//!       |                    |   --shutdown(Write)--> out_ended: a FIN was sent
//!       +--RST, gave up------+--> gone: the first call tells `error`, then reads end and writes fail with EPIPE
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;

use super::wire::{Flight, Link, Moment, Packet};
use super::{Addr, Fd, Kind, Net, Sock, os_error};
use crate::driver::sim::World;
use crate::driver::sim::hosts::HostId;
use crate::driver::sim::random::Stream;
use crate::readiness::Ready;

/// Everything that an event may tell: after a reset no call blocks.
fn all() -> Ready {
    Ready::READABLE | Ready::WRITABLE | Ready::READ_CLOSED
}

/// The most pieces that one write is cut into.
const PIECES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Connection {
    local: Addr,
    peer: Addr,
    /// The socket at the other end, where it is known.
    other: Option<(HostId, Fd)>,
    received: VecDeque<u8>,
    /// The other side sends nothing more.
    in_ended: bool,
    /// The program wants to read nothing more.
    deaf: bool,
    /// This side sends nothing more.
    out_ended: bool,
    /// The other side is no more.
    gone: bool,
    /// For the next call.
    error: Option<i32>,
    /// Bytes sent that the other side's program has not read.
    unread: usize,
    /// A writer found no room and waits to be told.
    starved: bool,
    /// Close means reset.
    resets: bool,
    /// When the connect fails for want of an answer.
    patience: Option<Moment>,
}

impl Connection {
    pub(super) fn new(local: Addr, peer: Addr, other: Option<(HostId, Fd)>) -> Connection {
        Connection {
            local,
            peer,
            other,
            received: VecDeque::new(),
            in_ended: false,
            deaf: false,
            out_ended: false,
            gone: false,
            error: None,
            unread: 0,
            starved: false,
            resets: false,
            patience: None,
        }
    }

    pub(super) fn local(&self) -> &Addr {
        &self.local
    }

    pub(super) fn peer(&self) -> Option<&Addr> {
        (self.other.is_some() && !self.gone).then_some(&self.peer)
    }

    /// Whom it was connected to, whether it still is or not.
    pub(super) fn named_peer(&self) -> Addr {
        self.peer.clone()
    }

    pub(super) fn take_error(&mut self) -> Option<i32> {
        self.error.take()
    }

    fn is_unix(&self) -> bool {
        matches!(self.local, Addr::Unix(_))
    }

    pub(super) fn ready(&self, buffer: usize) -> Ready {
        if self.gone {
            return all();
        }
        let mut ready = Ready::NONE;
        if !self.received.is_empty() {
            ready |= Ready::READABLE;
        }
        if self.in_ended || self.deaf {
            ready |= Ready::READABLE | Ready::READ_CLOSED;
        }
        if self.other.is_some() && (self.out_ended || self.unread < buffer) {
            ready |= Ready::WRITABLE;
        }
        ready
    }

    /// A failed connection: how the next call learns of it.
    fn fail(&mut self, code: i32) {
        if !self.gone {
            // Linux: whoever has seen the other side's end learns that it is gone for good by a broken pipe.
            let after_end = self.in_ended && code == libc::ECONNRESET;
            self.error = Some(if after_end { libc::EPIPE } else { code });
            self.gone = true;
            self.in_ended = true;
        }
    }
}

impl Net {
    fn connection(&mut self, fd: Fd) -> io::Result<&mut Connection> {
        match &mut self.sock(fd)?.kind {
            Kind::Connection(connection) => Ok(connection),
            _ => Err(os_error(libc::ENOTCONN)),
        }
    }

    /// Two Unix streams that are connected to each other.
    pub(crate) fn pair(&mut self, world: &World) -> io::Result<(Fd, Fd)> {
        let unnamed = || Connection::new(Addr::Unix(None), Addr::Unix(None), None);
        let one = self.open(world, Kind::Connection(unnamed()))?;
        let other = match self.open(world, Kind::Connection(unnamed())) {
            Ok(other) => other,
            Err(error) => {
                self.socks.remove(&one);
                return Err(error);
            }
        };
        self.join(world.hosts.current(), one, other);
        Ok((one, other))
    }

    /// Makes two sockets of a host the ends of one connection.
    pub(super) fn join(&mut self, host: HostId, one: Fd, other: Fd) {
        for (fd, peer) in [(one, other), (other, one)] {
            if let Ok(connection) = self.connection(fd) {
                connection.other = Some((host, peer));
            }
        }
    }

    /// A socket's connect fails at that moment.
    pub(super) fn set_patience(&mut self, fd: Fd, moment: Moment) {
        if let Ok(connection) = self.connection(fd) {
            connection.patience = Some(moment);
        }
    }

    /// A socket's connect has ended, one way or the other.
    pub(super) fn answered(&mut self, fd: Fd) {
        if let Some(moment) = self.connection(fd).ok().and_then(|connection| connection.patience.take()) {
            self.wire.cancel(moment);
        }
    }

    /// The connection's other side has answered.
    pub(super) fn established(&mut self, fd: Fd, other: (HostId, Fd)) {
        self.answered(fd);
        if let Ok(connection) = self.connection(fd) {
            connection.other = Some(other);
            self.tell(fd, Ready::WRITABLE);
        }
    }

    /// Ends a connection with an error and tells whoever waits for it.
    pub(super) fn fail(&mut self, fd: Fd, code: i32) {
        self.answered(fd);
        if let Ok(connection) = self.connection(fd) {
            connection.fail(code);
            self.tell(fd, all());
        }
    }

    // ---- calls

    pub(crate) fn read(&mut self, world: &World, fd: Fd, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let connection = self.connection(fd)?;
        let count = buffer.len().min(connection.received.len());
        if count > 0 || buffer.is_empty() {
            for (to, from) in buffer.iter_mut().zip(&connection.received) {
                *to = *from;
            }
            if !peek && count > 0 {
                connection.received.drain(..count);
                self.send_packet(world, fd, Packet::Ack(count));
                self.deliver(world);
            }
            return Ok(count);
        }
        match connection.error.take() {
            Some(code) => Err(os_error(code)),
            None if connection.in_ended || connection.deaf => Ok(0),
            None if connection.other.is_none() => Err(os_error(libc::ENOTCONN)),
            None => Err(os_error(libc::EAGAIN)),
        }
    }

    pub(crate) fn write(&mut self, world: &World, fd: Fd, bytes: &[u8]) -> io::Result<usize> {
        let (capacity, reset, short) = (self.faults.buffer, self.faults.reset, self.faults.short_write);
        let connection = self.connection(fd)?;
        if let Some(code) = connection.error.take() {
            return Err(os_error(code));
        }
        if connection.out_ended || connection.gone {
            return Err(os_error(libc::EPIPE));
        }
        if connection.other.is_none() {
            return Err(os_error(libc::ENOTCONN));
        }
        let (is_unix, room) = (connection.is_unix(), capacity.saturating_sub(connection.unread));
        if !is_unix && world.chance(Stream::Network, reset) && world.fault_fires(self.describe("reset", fd)) {
            self.reset(world, fd);
            return Err(os_error(libc::ECONNRESET));
        }
        let fits = bytes.len().min(room);
        let count = match world.chance(Stream::Network, short) && fits > 1 {
            true => 1 + world.below(Stream::Network, fits as u64 - 1) as usize,
            false => fits,
        };
        let connection = self.connection(fd)?;
        connection.unread += count;
        connection.starved |= fits < bytes.len();
        if count == 0 && !bytes.is_empty() {
            return Err(os_error(libc::EAGAIN));
        }
        if count < fits {
            self.tell(fd, Ready::WRITABLE); // there is still room
        }
        self.send_pieces(world, fd, &bytes[..count]);
        self.deliver(world);
        Ok(count)
    }

    fn send_pieces(&mut self, world: &World, fd: Fd, bytes: &[u8]) {
        let mut rest = bytes;
        if world.chance(Stream::Network, self.faults.split) {
            for _ in 1..PIECES_MAX {
                if rest.len() < 2 {
                    break;
                }
                let most = rest.len() as u64 - 1;
                let size = match world.chance(Stream::Network, 0.5) {
                    true => 1,
                    false => 1 + world.below(Stream::Network, most) as usize,
                };
                let (piece, after) = rest.split_at(size);
                self.send_packet(world, fd, Packet::Data(piece.to_vec()));
                rest = after;
            }
        }
        if !rest.is_empty() {
            self.send_packet(world, fd, Packet::Data(rest.to_vec()));
        }
    }

    pub(crate) fn shutdown(&mut self, world: &World, fd: Fd, how: Shutdown) -> io::Result<()> {
        let connection = self.connection(fd)?;
        if connection.gone || connection.other.is_none() {
            return Err(os_error(libc::ENOTCONN));
        }
        let (input, output) = match how {
            Shutdown::Read => (true, false),
            Shutdown::Write => (false, true),
            Shutdown::Both => (true, true),
        };
        connection.deaf |= input;
        if output && !std::mem::replace(&mut connection.out_ended, true) {
            self.send_packet(world, fd, Packet::Fin);
            self.tell(fd, Ready::WRITABLE);
        }
        if input {
            self.tell(fd, Ready::READABLE | Ready::READ_CLOSED);
        }
        self.deliver(world);
        Ok(())
    }

    /// Whether closing resets the connection instead of ending it in good order (`SO_LINGER` of zero).
    pub(crate) fn set_resets(&mut self, fd: Fd, resets: bool) -> io::Result<()> {
        self.connection(fd)?.resets = resets;
        Ok(())
    }

    pub(super) fn close_connection(&mut self, world: &World, fd: Fd) {
        self.answered(fd);
        let Ok(connection) = self.connection(fd) else { return };
        // Linux: whoever closes without having read everything resets.
        let resets = connection.resets || !connection.received.is_empty();
        let silent = connection.gone || connection.other.is_none();
        let (is_unix, told, other) = (connection.is_unix(), connection.out_ended, connection.other);
        match other {
            Some((_, other)) if is_unix => self.on_closed_unix(other, resets),
            _ if silent => {}
            _ if resets => self.send_packet(world, fd, Packet::Rst),
            _ if told => {}
            _ => self.send_packet(world, fd, Packet::Fin),
        }
        self.socks.remove(&fd);
    }

    /// The other side of a Unix stream is no more: what it sent can be read, nothing can be written.
    fn on_closed_unix(&mut self, fd: Fd, resets: bool) {
        let Ok(connection) = self.connection(fd) else { return };
        if !connection.gone {
            connection.gone = true;
            connection.in_ended = true;
            connection.error = resets.then_some(libc::ECONNRESET);
            self.tell(fd, all());
        }
    }

    /// Breaks a connection on both sides.
    fn reset(&mut self, world: &World, fd: Fd) {
        self.send_packet(world, fd, Packet::Rst);
        if let Ok(connection) = self.connection(fd) {
            connection.fail(libc::ECONNRESET);
            connection.error = None; // the call that is under way tells it
            self.tell(fd, all());
        }
        self.deliver(world);
    }

    fn describe(&mut self, what: &str, fd: Fd) -> String {
        match self.connection(fd) {
            Ok(Connection { local: Addr::Inet(local), peer: Addr::Inet(peer), .. }) => {
                format!("{what}: connection {local} -> {peer}")
            }
            _ => format!("{what}: socket {fd}"),
        }
    }

    // ---- packets

    /// Sends to the connection's other side. Unix streams have no way between: what is sent has arrived.
    fn send_packet(&mut self, world: &World, fd: Fd, packet: Packet) {
        let Ok(connection) = self.connection(fd) else { return };
        let (is_unix, other) = (connection.is_unix(), connection.other);
        let Some((host, to)) = other else { return };
        let Some(sock) = self.socks.get(&fd) else { return };
        let flight = Flight { link: (sock.host, host), from: fd, to: Some(to), packet };
        if is_unix {
            return self.arrive(world, flight);
        }
        let (delay, bandwidth, after) = (self.faults.delay, self.faults.bandwidth, sock.last_due);
        let due = self.wire.send(world, delay, bandwidth, after, flight);
        if let Some(sock) = self.socks.get_mut(&fd) {
            sock.last_due = due;
        }
    }

    /// A packet for a socket that may be gone by now.
    pub(super) fn on_packet(&mut self, world: &World, link: Link, from: Fd, to: Fd, packet: Packet) {
        let Some(Sock { kind: Kind::Connection(connection), .. }) = self.socks.get_mut(&to) else {
            return self.on_stray(world, link, from, to, &packet);
        };
        match packet {
            Packet::SynAck => self.established(to, (link.0, from)),
            Packet::Data(bytes) if !connection.gone => {
                connection.received.extend(bytes);
                self.tell(to, Ready::READABLE);
            }
            Packet::Ack(count) => self.on_ack(to, count),
            Packet::Fin => {
                connection.in_ended = true;
                self.tell(to, Ready::READABLE | Ready::READ_CLOSED);
            }
            Packet::Rst if connection.other.is_none() => self.fail(to, libc::ECONNREFUSED),
            Packet::Rst => self.fail(to, libc::ECONNRESET),
            Packet::Data(_) | Packet::Syn { .. } | Packet::Datagram { .. } | Packet::Unreachable => {}
        }
    }

    fn on_ack(&mut self, fd: Fd, count: usize) {
        let capacity = self.faults.buffer;
        let Ok(connection) = self.connection(fd) else { return };
        connection.unread = connection.unread.saturating_sub(count);
        // As Linux: a writer is told when a third is free.
        if connection.starved && capacity.saturating_sub(connection.unread) >= (capacity / 3).max(1) {
            connection.starved = false;
            self.tell(fd, Ready::WRITABLE);
        }
    }

    /// Whoever sends to a socket that is gone learns it by a reset; but an end that meets one's own is the end of both.
    fn on_stray(&mut self, world: &World, link: Link, from: Fd, to: Fd, packet: &Packet) {
        let Ok(sender) = self.connection(from) else { return };
        let resets = match packet {
            Packet::Data(_) | Packet::SynAck => true,
            Packet::Fin => !sender.in_ended,
            _ => false,
        };
        if resets {
            self.answer(world, link, to, from, Packet::Rst);
        }
    }
}
