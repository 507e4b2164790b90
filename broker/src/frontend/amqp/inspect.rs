//! Connections and channels as operators see them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use leveret_amqp::table::RawTable;
use leveret_management::port::{ChannelConsumer, ChannelCounts, ChannelState, ConnectionState};

use super::channel::{Channel, Mode};
use super::connection::Connection;
use super::values::arguments;
use crate::shard::Inspection;
use crate::shard::events::Event;

impl Connection {
    /// What operators see of it.
    pub(super) fn inspection(&self) -> Inspection {
        let channels = self.channels.borrow();
        let received_confirm = channels.values().map(|channel| channel.received_confirm()).sum();
        let channels: Vec<ChannelState> = channels.values().map(|channel| channel.state()).collect();
        Inspection { connection: self.state(channels.len() as u64), channels, received_confirm }
    }

    fn state(&self, channels: u64) -> ConnectionState {
        let machine = self.machine.borrow();
        let negotiated = machine.negotiated();
        let ((received_bytes, received_count), (sent_bytes, sent_count)) =
            (self.received_total.get(), self.output.total());
        let host = self.host();
        ConnectionState {
            id: self.id,
            peer: canonical(self.peer),
            host: canonical(host),
            is_running: machine.is_running(),
            is_closing: machine.is_closing(),
            is_blocked: self.is_paused.get() && self.shard.watch.alarms().any(),
            user: self.user.borrow().clone(),
            vhost: self.link.borrow().as_ref().map(|link| link.vhost_name.clone()),
            channels,
            channel_max: negotiated.channel_max,
            frame_max: negotiated.frame_max,
            heartbeat: negotiated.heartbeat,
            mechanism: self.mechanism.borrow().clone(),
            client_properties: RawTable::parse(&self.client_properties.borrow())
                .map(|table| arguments(&table))
                .unwrap_or_default(),
            received_bytes,
            received_count,
            sent_bytes,
            sent_count,
            pending_bytes: self.output.backlog() as u64,
            connected_at_ms: self.connected_at_ms,
            tls: self.tls.clone(),
        }
    }
}

impl Connection {
    /// Where the client has connected to.
    fn host(&self) -> SocketAddr {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.stream.tcp().local_addr().unwrap_or(nowhere)
    }

    /// Its name, as RabbitMQ forms it.
    pub(super) fn name(&self) -> String {
        format!("{} -> {}", canonical(self.peer), canonical(self.host()))
    }

    /// Tells who listens that something has happened to it.
    pub(super) fn tell(&self, key: &'static str, more: impl FnOnce(Event) -> Event) {
        self.shard.tell(|| {
            let (peer, host) = (canonical(self.peer), canonical(self.host()));
            let event = Event::new(key)
                .text("node", &self.shard.config.node_name)
                .text("protocol", "AMQP 0-9-1")
                .text("type", "network")
                .text("peer_host", &peer.ip().to_string())
                .number("peer_port", peer.port().into())
                .text("host", &host.ip().to_string())
                .number("port", host.port().into())
                .flag("ssl", self.tls.is_some())
                .text("auth_mechanism", &self.mechanism.borrow());
            more(event)
        });
    }
}

/// IPv4 written as IPv6 is IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

impl Channel {
    fn state(&self) -> ChannelState {
        let ledger = self.ledger.borrow();
        let mode = self.mode.borrow();
        let (uncommitted, uncommitted_acks) = match &*mode {
            Mode::Transactional(transaction) => transaction.counts(),
            _ => (0, 0),
        };
        let unconfirmed = match &*mode {
            Mode::Confirming(confirms) => confirms.open_count() as u64,
            _ => 0,
        };
        let consumers = self.consumers.borrow();
        let mut consumers: Vec<ChannelConsumer> = consumers
            .values()
            .map(|it| ChannelConsumer {
                id: it.id,
                tag: it.tag.clone(),
                queue: it.queue.queue,
                no_ack: it.no_ack,
                exclusive: it.asked.borrow().exclusive,
                prefetch: it.asked.borrow().prefetch,
                arguments: it.asked.borrow().arguments.clone(),
            })
            .collect();
        consumers.sort_unstable_by_key(|consumer| consumer.id);
        ChannelState {
            connection: self.link.connection,
            number: self.number,
            user: self.link.user.clone(),
            vhost: self.link.vhost_name.clone(),
            is_transactional: matches!(&*mode, Mode::Transactional(_)),
            is_confirming: matches!(&*mode, Mode::Confirming(_)),
            unsettled: ledger.len() as u64,
            unconfirmed,
            uncommitted,
            uncommitted_acks,
            prefetch: self.prefetch.get(),
            channel_prefetch: ledger.channel_prefetch(),
            consumers,
            counts: self.tallied(),
        }
    }

    /// Publishes since it confirms.
    pub(super) fn received_confirm(&self) -> u64 {
        match &*self.mode.borrow() {
            Mode::Confirming(confirms) => confirms.last_number(),
            _ => 0,
        }
    }

    fn tallied(&self) -> ChannelCounts {
        let mut counts = self.tally.counts();
        if let Mode::Confirming(confirms) = &*self.mode.borrow() {
            counts.confirmed = confirms.last_number() - confirms.open_count() as u64;
        }
        counts
    }

    /// It closes: what it has done goes to the shard's sums.
    pub(super) fn leave_counts(&self) {
        let tally = &self.link.shard.tally;
        tally.close_channel(self.link.vhost, &self.tallied());
        tally.received_confirm.add(self.received_confirm());
        tally.channels_closed.add(u64::from(self.number > 0));
        self.tell("channel.closed", |event| event);
    }
}
