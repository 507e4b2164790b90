//! Queues, connections, channels, exchanges, virtual hosts: sums of them, or a line for each.

use leveret_core::{ConnectionId, FastMap, Name};

use super::{Form, SLICE, Scrape};
use crate::api::queues::{capacity, memory};
use crate::port::{ChannelState, ConnectionState, ExchangeCounts, QueueState};

/// A figure of objects of one kind.
struct Figure<T> {
    family: &'static str,
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> f64,
}

impl<T> Figure<T> {
    /// What Prometheus is told of it.
    fn kind(&self) -> &'static str {
        if self.name.ends_with("_total") { "counter" } else { "gauge" }
    }
}

const fn figure<T>(family: &'static str, name: &'static str, help: &'static str, value: fn(&T) -> f64) -> Figure<T> {
    Figure { family, name, help, value }
}

#[rustfmt::skip]
const QUEUE: &[Figure<QueueState>] = &[
    figure("queue_coarse_metrics", "queue_messages_ready", "Messages ready to be delivered to consumers", |it| it.ready as f64),
    figure("queue_coarse_metrics", "queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged", |it| it.unsettled as f64),
    figure("queue_coarse_metrics", "queue_messages", "Sum of ready and unacknowledged messages", |it| (it.ready + it.unsettled) as f64),
    figure("queue_coarse_metrics", "queue_process_reductions_total", "There are no reductions; for dashboards", |_| 0.0),
    figure("queue_consumer_count", "queue_consumers", "Consumers on a queue", |it| it.consumers as f64),
    figure("queue_metrics", "queue_consumer_capacity", "Share of time in which consumers could take messages", capacity),
    figure("queue_metrics", "queue_consumer_utilisation", "Same as consumer capacity", capacity),
    figure("queue_metrics", "queue_process_memory_bytes", "Memory that a queue occupies, in bytes", |it| memory(it) as f64),
    figure("queue_metrics", "queue_messages_ram", "Ready and unacknowledged messages stored in memory", |it| (it.ready + it.unsettled).saturating_sub(it.away) as f64),
    figure("queue_metrics", "queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory", |it| (it.ready_bytes + it.unsettled_bytes).saturating_sub(it.away_bytes) as f64),
    figure("queue_metrics", "queue_messages_ready_ram", "Ready messages stored in memory", |it| it.ready.saturating_sub(it.away) as f64),
    figure("queue_metrics", "queue_messages_paged_out", "Messages that are on disk and not in memory", |it| it.away as f64),
    figure("queue_metrics", "queue_messages_paged_out_bytes", "Size of messages that are on disk and not in memory", |it| it.away_bytes as f64),
    figure("queue_metrics", "queue_messages_unacked_ram", "Unacknowledged messages stored in memory", |it| it.unsettled as f64),
    figure("queue_metrics", "queue_messages_bytes", "Size in bytes of ready and unacknowledged messages", |it| (it.ready_bytes + it.unsettled_bytes) as f64),
    figure("queue_metrics", "queue_messages_ready_bytes", "Size in bytes of ready messages", |it| it.ready_bytes as f64),
    figure("queue_metrics", "queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages", |it| it.unsettled_bytes as f64),
    figure("queue_metrics", "queue_head_message_timestamp", "Timestamp property of the first message in the queue", |it| it.head_timestamp.unwrap_or(0) as f64),
    figure("queue_delivery_metrics", "queue_messages_published_total", "Messages published to queues", |it| it.counters.published as f64),
    figure("queue_delivery_metrics", "queue_get_ack_total", "Messages fetched with basic.get in manual acknowledgement mode", |it| it.counters.got.saturating_sub(it.counters.got_no_ack) as f64),
    figure("queue_delivery_metrics", "queue_get_total", "Messages fetched with basic.get in automatic acknowledgement mode", |it| it.counters.got_no_ack as f64),
    figure("queue_delivery_metrics", "queue_messages_delivered_ack_total", "Messages delivered to consumers in manual acknowledgement mode", |it| it.counters.delivered.saturating_sub(it.counters.delivered_no_ack) as f64),
    figure("queue_delivery_metrics", "queue_messages_delivered_total", "Messages delivered to consumers in automatic acknowledgement mode", |it| it.counters.delivered_no_ack as f64),
    figure("queue_delivery_metrics", "queue_messages_redelivered_total", "Messages redelivered to consumers", |it| it.counters.redelivered as f64),
    figure("queue_delivery_metrics", "queue_messages_acked_total", "Messages acknowledged by consumers", |it| it.counters.acked as f64),
    figure("queue_delivery_metrics", "queue_get_empty_total", "Times that a get found nothing", |it| it.counters.got_empty as f64),
];

#[rustfmt::skip]
const CONNECTION: &[Figure<ConnectionState>] = &[
    figure("connection_coarse_metrics", "connection_incoming_bytes_total", "Bytes received on a connection", |it| it.received_bytes as f64),
    figure("connection_coarse_metrics", "connection_outgoing_bytes_total", "Bytes sent on a connection", |it| it.sent_bytes as f64),
    figure("connection_coarse_metrics", "connection_process_reductions_total", "There are no reductions; for dashboards", |_| 0.0),
    figure("connection_metrics", "connection_incoming_packets_total", "Packets received on a connection", |it| it.received_count as f64),
    figure("connection_metrics", "connection_outgoing_packets_total", "Packets sent on a connection", |it| it.sent_count as f64),
    figure("connection_metrics", "connection_pending_packets", "Whether something waits to be sent on a connection", |it| it.pending_bytes.min(1) as f64),
    figure("connection_metrics", "connection_channels", "Channels on a connection", |it| it.channels as f64),
];

#[rustfmt::skip]
const CHANNEL: &[Figure<ChannelState>] = &[
    figure("channel_metrics", "channel_consumers", "Consumers on a channel", |it| it.consumers.len() as f64),
    figure("channel_metrics", "channel_messages_unacked", "Delivered but not yet acknowledged messages", |it| it.unsettled as f64),
    figure("channel_metrics", "channel_messages_unconfirmed", "Published but not yet confirmed messages", |it| it.unconfirmed as f64),
    figure("channel_metrics", "channel_messages_uncommitted", "Messages received in a transaction but not yet committed", |it| it.uncommitted as f64),
    figure("channel_metrics", "channel_acks_uncommitted", "Acknowledgements in a transaction not yet committed", |it| it.uncommitted_acks as f64),
    figure("channel_metrics", "consumer_prefetch", "Limit of unacknowledged messages for each consumer", |it| it.prefetch.into()),
    figure("channel_metrics", "channel_prefetch", "Total limit of unacknowledged messages for all consumers on a channel", |it| it.channel_prefetch.into()),
    figure("channel_process_metrics", "channel_process_reductions_total", "There are no reductions; for dashboards", |_| 0.0),
    figure("channel_exchange_metrics", "channel_messages_published_total", "Messages published on a channel", |it| it.counts.published as f64),
    figure("channel_exchange_metrics", "channel_messages_confirmed_total", "Messages confirmed on a channel", |it| it.counts.confirmed as f64),
    figure("channel_exchange_metrics", "channel_messages_unroutable_returned_total", "Messages returned as unroutable on a channel", |it| it.counts.returned as f64),
    figure("channel_exchange_metrics", "channel_messages_unroutable_dropped_total", "Messages dropped as unroutable on a channel", |it| it.counts.dropped as f64),
    figure("channel_queue_metrics", "channel_get_ack_total", "Messages fetched with basic.get in manual acknowledgement mode", |it| it.counts.got as f64),
    figure("channel_queue_metrics", "channel_get_total", "Messages fetched with basic.get in automatic acknowledgement mode", |it| it.counts.got_no_ack as f64),
    figure("channel_queue_metrics", "channel_messages_delivered_ack_total", "Messages delivered in manual acknowledgement mode", |it| it.counts.delivered as f64),
    figure("channel_queue_metrics", "channel_messages_delivered_total", "Messages delivered in automatic acknowledgement mode", |it| it.counts.delivered_no_ack as f64),
    figure("channel_queue_metrics", "channel_messages_redelivered_total", "Messages redelivered", |it| it.counts.redelivered as f64),
    figure("channel_queue_metrics", "channel_messages_acked_total", "Messages acknowledged", |it| it.counts.acked as f64),
    figure("channel_queue_metrics", "channel_get_empty_total", "Times that a get found nothing", |it| it.counts.got_empty as f64),
];

#[rustfmt::skip]
const EXCHANGE: &[Figure<ExchangeCounts>] = &[
    figure("exchange_metrics", "exchange_messages_published_total", "Messages published to an exchange", |it| it.published_in as f64),
    figure("exchange_metrics", "exchange_messages_routed_total", "Copies of messages that went from an exchange to queues", |it| it.published_out as f64),
];

/// The values of the labels of an object, in the order of the labels' names.
type Labels = [String; 2];

impl Scrape<'_> {
    pub(super) fn objects(&mut self) {
        let queues: Vec<(Labels, QueueState)> = std::mem::take(&mut self.queues)
            .into_iter()
            .map(|(vhost, record, state)| ([vhost.to_string(), record.name.to_string()], state))
            .collect();
        self.figures(QUEUE, ["vhost", "queue"], &queues);
        let connections = self.api.broker.connections();
        let names: FastMap<ConnectionId, String> = connections.iter().map(|it| (it.id, it.name())).collect();
        let connections: Vec<_> = connections.into_iter().map(|it| ([it.name(), String::new()], it)).collect();
        self.figures(CONNECTION, ["connection", ""], &connections);
        if CHANNEL.iter().any(|figure| self.wants(figure.family)) {
            let channels = self.api.broker.channels().into_iter().map(|it| {
                let connection = names.get(&it.connection).cloned().unwrap_or_default();
                ([format!("{connection} ({})", it.number), connection], it)
            });
            let channels: Vec<_> = channels.collect();
            self.figures(CHANNEL, ["channel", "connection"], &channels);
        }
        if self.form != Form::Aggregated {
            self.exchanges();
            self.exchange_bindings();
            self.vhosts();
        }
    }

    /// One family for each figure: the sum, or a line for each object.
    fn figures<T>(&mut self, figures: &[Figure<T>], labels: [&str; 2], objects: &[(Labels, T)]) {
        for figure in figures {
            if !self.wants(figure.family) {
                continue;
            }
            let name = self.name(figure.name);
            self.text.family(&name, figure.kind(), figure.help);
            if self.form == Form::Aggregated {
                let sum: f64 = objects.iter().map(|(_, object)| (figure.value)(object)).sum();
                self.text.line(&name, &[], sum);
                continue;
            }
            for (index, (values, object)) in objects.iter().enumerate() {
                if index % SLICE == SLICE - 1 {
                    self.api.broker.pause();
                }
                let pairs = [(labels[0], values[0].as_str()), (labels[1], values[1].as_str())];
                let used = if labels[1].is_empty() { &pairs[..1] } else { &pairs[..] };
                self.text.line(&name, used, (figure.value)(object));
            }
        }
    }

    fn exchanges(&mut self) {
        let mut rows = Vec::new();
        let counts = self.api.broker.exchanges();
        self.api.broker.read_topology(&mut |topology| {
            for ((vhost, exchange), counts) in &counts {
                let host = topology.vhost(*vhost).map_or_else(|_| String::new(), |vhost| vhost.name().to_string());
                rows.push(([host, exchange.to_string()], *counts));
            }
        });
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.figures(EXCHANGE, ["vhost", "exchange"], &rows);
    }

    /// How many bindings each exchange has, and that it is there.
    fn exchange_bindings(&mut self) {
        let mut rows: Vec<(Name, String, &'static str, usize)> = Vec::new();
        self.api.broker.read_topology(&mut |topology| {
            for (_, vhost) in topology.vhosts() {
                let mut counts: FastMap<Name, usize> = FastMap::default();
                vhost.bindings().for_each(|it| *counts.entry(it.source.clone()).or_default() += 1);
                rows.extend(vhost.exchanges().map(|it| {
                    let count = counts.get(&it.name).copied().unwrap_or(0);
                    (vhost.name().clone(), it.name.to_string(), it.kind.as_str(), count)
                }));
            }
        });
        rows.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        let families = [
            ("exchange_bindings", "rabbitmq_cluster_exchange_bindings", "Number of bindings for an exchange"),
            ("exchange_names", "rabbitmq_cluster_exchange_name", "Enumerates exchanges without any additional info"),
        ];
        for (family, name, help) in families {
            if self.form != Form::Detailed || !self.wants(family) {
                continue;
            }
            self.text.family(name, "gauge", help);
            for (vhost, exchange, kind, count) in &rows {
                let value = if family == "exchange_names" { 1 } else { *count };
                self.text.line(name, &[("vhost", vhost), ("exchange", exchange), ("type", kind)], value);
            }
        }
    }

    fn vhosts(&mut self) {
        if !self.wants("vhost_status") {
            return;
        }
        let mut names = Vec::new();
        self.api.broker.read_topology(&mut |topology| {
            names = topology.vhosts().map(|(_, vhost)| vhost.name().clone()).collect();
        });
        self.text.family("rabbitmq_cluster_vhost_status", "gauge", "Whether a given vhost is running");
        for name in names {
            self.text.line("rabbitmq_cluster_vhost_status", &[("vhost", &name)], 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        let names = QUEUE.iter().map(|it| it.name).chain(CONNECTION.iter().map(|it| it.name));
        let mut names: Vec<&str> = names.chain(CHANNEL.iter().map(|it| it.name)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!((QUEUE[0].kind(), QUEUE[3].kind()), ("gauge", "counter"));
    }
}
