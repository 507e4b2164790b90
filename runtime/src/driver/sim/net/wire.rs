//! What is on its way between hosts: packets with the moment of their arrival, and links that are cut.
//!
//! ```text
//!   send -> delay, bandwidth -> in the air until due -> link open?  yes: arrives
//!                                                       no: stream packets are held (the sender sends them again and
//!                                                           again) until the link heals, or the sender gives up;
//!                                                           datagrams are lost
//! ```
//!
//! The packets of one connection and direction stay in order, as TCP sees to it. Nothing arrives at a host that is down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::Fd;
use crate::driver::sim::World;
use crate::driver::sim::hosts::HostId;
use crate::driver::sim::random::Stream;

/// After how long without an answer a connect fails, as Linux does after its seventh SYN.
pub(super) const CONNECT_GIVES_UP: Duration = Duration::from_secs(127);

/// After how long without an answer an established connection fails, as Linux does after fifteen retransmissions.
const DATA_GIVES_UP: Duration = Duration::from_secs(924);

/// Bytes of a packet besides its contents, for the bandwidth.
const HEADER_SIZE: usize = 40;

/// One direction between two hosts.
pub(super) type Link = (HostId, HostId);

/// Names something that is to happen.
pub(super) type Moment = (Duration, u64);

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Syn {
        from: SocketAddr,
        to: SocketAddr,
        attempt: u32,
    },
    SynAck,
    Data(Vec<u8>),
    /// So many bytes were read by the other side's program: there is room again.
    Ack(usize),
    Fin,
    /// The connection is no more, or never was.
    Rst,
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Nobody is at the address of a datagram.
    Unreachable,
}

impl Packet {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Packet::Syn { .. } => "packet SYN",
            Packet::SynAck => "packet SYN-ACK",
            Packet::Data(_) => "packet DATA",
            Packet::Ack(_) => "packet ACK",
            Packet::Fin => "packet FIN",
            Packet::Rst => "packet RST",
            Packet::Datagram { .. } => "packet DATAGRAM",
            Packet::Unreachable => "packet UNREACHABLE",
        }
    }

    fn size(&self) -> usize {
        HEADER_SIZE
            + match self {
                Packet::Data(bytes) | Packet::Datagram { bytes, .. } => bytes.len(),
                _ => 0,
            }
    }

    /// Whether nobody sends it again when it is lost.
    fn is_datagram(&self) -> bool {
        matches!(self, Packet::Datagram { .. } | Packet::Unreachable)
    }

    /// When its sender gives the connection up, if nobody answers.
    fn gives_up(&self) -> Option<Duration> {
        match self {
            Packet::Data(_) | Packet::Fin => Some(DATA_GIVES_UP),
            _ => None,
        }
    }
}

/// A packet with its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) link: Link,
    /// The socket that sent it; answers go there.
    pub(super) from: Fd,
    /// The socket that it is for; none for packets that look for one by address.
    pub(super) to: Option<Fd>,
    pub(super) packet: Packet,
}

/// Something that happens at a moment.
#[derive(Debug)]
pub(super) enum Due {
    Arrives(Flight),
    /// If the flight of this number is still held on its link, its sender's connection fails.
    GivesUp {
        link: Link,
        number: u64,
    },
    /// Nobody has answered this socket's connect.
    ConnectGivesUp {
        fd: Fd,
    },
}

/// All that is on its way.
#[derive(Debug, Default)]
pub(super) struct Wire {
    air: BTreeMap<Moment, Due>,
    cut: BTreeSet<Link>,
    held: BTreeMap<Link, Vec<(u64, Flight)>>,
    /// When a link has carried all that it was given.
    busy_until: BTreeMap<Link, Duration>,
    last_datagram: BTreeMap<Link, Duration>,
    last_number: u64,
}

impl Wire {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Has something happen at `at`; answers by what it can be cancelled.
    pub(super) fn at(&mut self, at: Duration, due: Due) -> Moment {
        let moment = (at, self.number());
        self.air.insert(moment, due);
        moment
    }

    /// What would have happened then does not.
    pub(super) fn cancel(&mut self, moment: Moment) {
        self.air.remove(&moment);
    }

    /// Sends a packet, not to arrive before `after`; answers when it will.
    pub(super) fn send(
        &mut self,
        world: &World,
        delay: (Duration, Duration),
        bandwidth: Option<u64>,
        after: Duration,
        flight: Flight,
    ) -> Duration {
        let carried = self.carried(world.clock.elapsed(), flight.link, flight.packet.size(), bandwidth);
        let due = (carried + world.between(Stream::Network, delay.0, delay.1)).max(after);
        self.at(due, Due::Arrives(flight));
        due
    }

    /// When the link has carried so many bytes more.
    fn carried(&mut self, now: Duration, link: Link, size: usize, bandwidth: Option<u64>) -> Duration {
        let Some(bandwidth) = bandwidth else { return now };
        let busy = self.busy_until.entry(link).or_default();
        let takes = Duration::from_nanos((size as u64).saturating_mul(1_000_000_000) / bandwidth.max(1));
        *busy = (*busy).max(now) + takes;
        *busy
    }

    /// When the last datagram of a link that was not overtaken arrives; `due` is the next one's.
    pub(super) fn order_datagram(&mut self, link: Link, due: Duration) {
        let last = self.last_datagram.entry(link).or_default();
        *last = (*last).max(due);
    }

    pub(super) fn last_datagram(&self, link: Link) -> Duration {
        self.last_datagram.get(&link).copied().unwrap_or_default()
    }

    /// When something happens next.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.air.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Takes the next thing that has happened by now.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Due> {
        let first = self.air.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    // ---- cut links

    /// Whether a packet may pass. What a host has sent before its crash is on its way.
    pub(super) fn is_open(&self, world: &World, link: Link) -> bool {
        !self.cut.contains(&link) && world.hosts.is_up(link.1)
    }

    /// A host has crashed: nobody sends again what it has sent.
    pub(super) fn crash(&mut self, host: HostId) {
        self.held.retain(|link, _| link.0 != host);
    }

    pub(super) fn cut(&mut self, link: Link) {
        self.cut.insert(link);
    }

    pub(super) fn cuts(&self) -> Vec<Link> {
        self.cut.iter().copied().collect()
    }

    /// Opens a link: what was held goes on its way, in order.
    pub(super) fn heal(&mut self, world: &World, link: Link) {
        self.cut.remove(&link);
        self.release(world, link);
    }

    /// Sends again what was held on a link, if it is open.
    pub(super) fn release(&mut self, world: &World, link: Link) {
        if self.is_open(world, link) {
            for (_, flight) in self.held.remove(&link).unwrap_or_default() {
                self.at(world.clock.elapsed(), Due::Arrives(flight));
            }
        }
    }

    /// Every link on which something is held.
    pub(super) fn held_links(&self) -> Vec<Link> {
        self.held.keys().copied().collect()
    }

    /// A packet has come to the cut.
    pub(super) fn hold(&mut self, now: Duration, flight: Flight) {
        if flight.packet.is_datagram() {
            return;
        }
        let number = self.number();
        if let Some(patience) = flight.packet.gives_up() {
            self.at(now + patience, Due::GivesUp { link: flight.link, number });
        }
        self.held.entry(flight.link).or_default().push((number, flight));
    }

    /// The sender whose flight is still held, and drops all that it has there.
    pub(super) fn give_up(&mut self, link: Link, number: u64) -> Option<Fd> {
        let held = self.held.get_mut(&link)?;
        let fd = held.iter().find(|(held, _)| *held == number).map(|(_, flight)| flight.from)?;
        held.retain(|(_, flight)| flight.from != fd);
        Some(fd)
    }
}
