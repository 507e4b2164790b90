//! Metrics in Prometheus' text format 0.0.4, with the names, labels and buckets that RabbitMQ's dashboards draw.
//!
//! `/metrics` has sums, `/metrics/per-object` one line for each queue, connection, channel and exchange, `/metrics/detailed` only the
//! families that are asked for. Every panel of the dashboards joins with `rabbitmq_identity_info`, so that comes first.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use leveret_core::Name;
use leveret_core::topology::QueueRecord;
use regex::RegexBuilder;

use crate::api::context::Api;
use crate::failure::Failure;
use crate::http::{Body, Method, Request, Response, Status};
use crate::port::{ChannelState, ConnectionState, QueueState, SIZE_BUCKETS};

/// Bytes that a filter's automaton may occupy.
const FILTER_PROGRAM_MAX: usize = 256 * 1024;
/// Queues written before others may run.
const SLICE: usize = 256;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The bounds of the message size histogram exactly as RabbitMQ writes them; dashboards match the text.
const BOUNDS: [&str; SIZE_BUCKETS.len()] =
    ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08"];

/// Family, name, kind, help, and where the figure comes from.
type QueueFigure = (&'static str, &'static str, &'static str, &'static str, fn(&QueueState) -> u64);
/// Family, name, kind, and where the figure comes from.
type ConnectionFigure = (&'static str, &'static str, &'static str, fn(&ConnectionState) -> u64);
/// Name, and where the figure comes from.
type ChannelFigure = (&'static str, fn(&ChannelState) -> u64);

const QUEUE: [QueueFigure; 18] = [
    ("queue_coarse_metrics", "queue_messages_ready", "gauge", "Messages ready to be delivered to consumers", |it| {
        it.ready
    }),
    (
        "queue_coarse_metrics",
        "queue_messages_unacked",
        "gauge",
        "Messages delivered to consumers but not yet acknowledged",
        |it| it.unsettled,
    ),
    ("queue_coarse_metrics", "queue_messages", "gauge", "Sum of ready and unacknowledged messages", |it| {
        it.ready + it.unsettled
    }),
    (
        "queue_coarse_metrics",
        "queue_process_reductions_total",
        "counter",
        "There are no reductions; for dashboards",
        |_| 0,
    ),
    ("queue_consumer_count", "queue_consumers", "gauge", "Consumers on a queue", |it| it.consumers),
    ("queue_metrics", "queue_messages_ram", "gauge", "Ready and unacknowledged messages stored in memory", |it| {
        it.ready + it.unsettled
    }),
    ("queue_metrics", "queue_messages_ready_ram", "gauge", "Ready messages stored in memory", |it| it.ready),
    ("queue_metrics", "queue_messages_unacked_ram", "gauge", "Unacknowledged messages stored in memory", |it| {
        it.unsettled
    }),
    ("queue_metrics", "queue_messages_bytes", "gauge", "Size in bytes of ready and unacknowledged messages", |it| {
        it.ready_bytes + it.unsettled_bytes
    }),
    ("queue_metrics", "queue_messages_ready_bytes", "gauge", "Size in bytes of ready messages", |it| it.ready_bytes),
    ("queue_metrics", "queue_messages_unacked_bytes", "gauge", "Size in bytes of all unacknowledged messages", |it| {
        it.unsettled_bytes
    }),
    (
        "queue_delivery_metrics",
        "queue_get_ack_total",
        "counter",
        "Messages fetched with basic.get in manual acknowledgement mode",
        |it| it.counters.got - it.counters.got_no_ack.min(it.counters.got),
    ),
    (
        "queue_delivery_metrics",
        "queue_get_total",
        "counter",
        "Messages fetched with basic.get in automatic acknowledgement mode",
        |it| it.counters.got_no_ack,
    ),
    (
        "queue_delivery_metrics",
        "queue_messages_delivered_ack_total",
        "counter",
        "Messages delivered to consumers in manual acknowledgement mode",
        |it| it.counters.delivered - it.counters.delivered_no_ack.min(it.counters.delivered),
    ),
    (
        "queue_delivery_metrics",
        "queue_messages_delivered_total",
        "counter",
        "Messages delivered to consumers in automatic acknowledgement mode",
        |it| it.counters.delivered_no_ack,
    ),
    (
        "queue_delivery_metrics",
        "queue_messages_redelivered_total",
        "counter",
        "Messages redelivered to consumers",
        |it| it.counters.redelivered,
    ),
    ("queue_delivery_metrics", "queue_messages_acked_total", "counter", "Messages acknowledged by consumers", |it| {
        it.counters.acked
    }),
    ("queue_delivery_metrics", "queue_get_empty_total", "counter", "Times that a get found nothing", |it| {
        it.counters.got_empty
    }),
];

const CONNECTION: [ConnectionFigure; 4] = [
    ("connection_coarse_metrics", "connection_incoming_bytes_total", "counter", |it| it.received_bytes),
    ("connection_coarse_metrics", "connection_outgoing_bytes_total", "counter", |it| it.sent_bytes),
    ("connection_metrics", "connection_pending_packets", "gauge", |it| it.pending_bytes.min(1)),
    ("connection_metrics", "connection_channels", "gauge", |it| it.channels),
];

const CHANNEL: [ChannelFigure; 7] = [
    ("channel_consumers", |it| it.consumers.len() as u64),
    ("channel_messages_unacked", |it| it.unsettled),
    ("channel_messages_unconfirmed", |it| it.unconfirmed),
    ("channel_messages_uncommitted", |it| it.uncommitted),
    ("channel_acks_uncommitted", |it| it.uncommitted_acks),
    ("consumer_prefetch", |it| it.prefetch.into()),
    ("channel_prefetch", |it| it.channel_prefetch.into()),
];

/// Which lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Aggregated,
    PerObject,
    Detailed,
}

impl Form {
    /// The word in `rabbitmq_endpoint`.
    fn as_str(self) -> &'static str {
        match self {
            Form::Aggregated => "aggregated",
            Form::PerObject => "per-object",
            Form::Detailed => "detailed",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Form::Detailed => "rabbitmq_detailed_",
            _ => "rabbitmq_",
        }
    }
}

pub(crate) fn respond(api: &Api, request: &Request) -> Response {
    let form = match request.path.as_str() {
        "/metrics" | "/metrics/" => Form::Aggregated,
        "/metrics/per-object" => Form::PerObject,
        "/metrics/detailed" => Form::Detailed,
        "/" => return Response::empty(Status::SeeOther).header("location", "/metrics"),
        _ => return Failure::NotFound.response(),
    };
    if !matches!(request.method, Method::Get | Method::Head) {
        return Failure::MethodNotAllowed(vec![Method::Get, Method::Head]).response();
    }
    match Scrape::new(api, request, form) {
        Ok(scrape) => Response::with(Status::Ok, CONTENT_TYPE, Body::Owned(scrape.write().into_bytes())),
        Err(failure) => failure.response(),
    }
}

/// The text under construction.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escape(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A family of one line.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }
}

/// "label_value can be any sequence of UTF-8 characters, but backslash, double-quote, and line feed have to be escaped".
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// One answer.
struct Scrape<'a> {
    api: &'a Api,
    form: Form,
    families: Vec<String>,
    queues: Vec<(Name, Arc<QueueRecord>, QueueState)>,
    text: Text,
}

impl<'a> Scrape<'a> {
    fn new(api: &'a Api, request: &Request, form: Form) -> Result<Scrape<'a>, Failure> {
        let families = request.query.all("family").map(str::to_owned).collect();
        let vhosts: Vec<&str> = request.query.all("vhost").collect();
        let filter = match request.query.get("queue") {
            None => None,
            Some(text) => {
                let regex = RegexBuilder::new(text).size_limit(FILTER_PROGRAM_MAX).build();
                Some(regex.map_err(|error| Failure::BadRequest(format!("invalid regular expression: {error}")))?)
            }
        };
        let mut queues = Vec::new();
        let mut states = api.broker.queues();
        api.broker.read_topology(&mut |topology| {
            for (_, vhost) in
                topology.vhosts().filter(|(_, vhost)| vhosts.is_empty() || vhosts.contains(&&**vhost.name()))
            {
                let wanted = vhost.queues().filter(|record| filter.as_ref().is_none_or(|it| it.is_match(&record.name)));
                queues.extend(wanted.map(|record| (vhost.name().clone(), record.clone(), QueueState::default())));
            }
        });
        queues.sort_by(|(a, x, _), (b, y, _)| (a, &x.name).cmp(&(b, &y.name)));
        for (_, record, state) in &mut queues {
            *state = states.remove(&record.id).unwrap_or_default();
        }
        Ok(Scrape { api, form, families, queues, text: Text::default() })
    }

    fn write(mut self) -> String {
        self.identity();
        if self.form != Form::Detailed {
            self.machine();
            self.globals();
            self.sizes();
            self.alarms();
            self.churn();
        }
        self.objects();
        self.text.0
    }

    /// Whether a family was asked for, where families are asked for.
    fn wants(&self, family: &str) -> bool {
        self.form != Form::Detailed || self.families.iter().any(|it| it == family)
    }

    fn identity(&mut self) {
        let facts = self.api.broker.facts();
        let labels = [
            ("rabbitmq_node", facts.node.as_str()),
            ("rabbitmq_cluster", &facts.cluster_name),
            ("rabbitmq_cluster_permanent_id", &facts.cluster_name),
            ("rabbitmq_endpoint", self.form.as_str()),
        ];
        self.text.family("rabbitmq_identity_info", "untyped", "RabbitMQ node & cluster identity info");
        self.text.line("rabbitmq_identity_info", &labels, 1);
        let version = facts.compatible_version.as_str();
        let product = format!("Leveret {}", facts.version);
        let labels = [
            ("rabbitmq_version", version),
            ("prometheus_plugin_version", version),
            ("prometheus_client_version", "5.0.0"),
            ("erlang_version", "27.3"),
            ("product_version", version),
            ("product_name", &product),
        ];
        self.text.family("rabbitmq_build_info", "untyped", "RabbitMQ & Erlang/OTP version info");
        self.text.line("rabbitmq_build_info", &labels, 1);
    }

    fn machine(&mut self) {
        let (facts, machine, now) = (self.api.broker.facts(), self.api.broker.machine(), self.api.broker.now_ms());
        let uptime = now.saturating_sub(facts.started_ms) as f64 / 1000.0;
        let gauges: [(&str, &str, f64); 12] = [
            ("rabbitmq_process_open_fds", "Open file descriptors", machine.descriptors_used as f64),
            ("rabbitmq_process_max_fds", "Open file descriptors limit", machine.descriptors_max as f64),
            ("rabbitmq_process_open_tcp_sockets", "Open TCP sockets", machine.sockets_used as f64),
            ("rabbitmq_process_max_tcp_sockets", "Open TCP sockets limit", machine.descriptors_max as f64),
            ("rabbitmq_process_resident_memory_bytes", "Memory used in bytes", machine.memory_used as f64),
            ("rabbitmq_resident_memory_limit_bytes", "Memory high watermark in bytes", machine.memory_limit as f64),
            ("rabbitmq_disk_space_available_bytes", "Disk space available in bytes", machine.disk_free as f64),
            (
                "rabbitmq_disk_space_available_limit_bytes",
                "Free disk space low watermark in bytes",
                machine.disk_limit as f64,
            ),
            ("rabbitmq_erlang_uptime_seconds", "Node uptime", uptime),
            ("rabbitmq_erlang_processes_used", "Coroutines", machine.coroutines as f64),
            ("rabbitmq_erlang_processes_limit", "Coroutines limit", 1_048_576.0),
            ("rabbitmq_erlang_scheduler_run_queue", "Coroutines that could run", 0.0),
        ];
        for (name, help, value) in gauges {
            self.text.one(name, "gauge", help, value);
        }
        for name in ["rabbitmq_erlang_gc_runs_total", "rabbitmq_erlang_gc_reclaimed_bytes_total"] {
            self.text.one(name, "counter", "There is no garbage collector; for dashboards", 0);
        }
        self.text.one("leveret_turns_total", "counter", "Turns of all shards", machine.turns);
        self.text.one("leveret_switches_total", "counter", "Switches between coroutines", machine.switches);
    }

    fn globals(&mut self) {
        let totals = self.api.broker.totals();
        let it = &totals.channels;
        let protocol = ("protocol", "amqp091");
        let incoming: [(&str, &str, u64); 7] = [
            ("received", "messages received from clients", it.published),
            ("received_confirm", "messages received from publishers using confirms", totals.received_confirm),
            ("routed", "messages routed to queues", totals.routed),
            (
                "unroutable_dropped",
                "messages published as non-mandatory into an exchange and dropped as unroutable",
                it.dropped,
            ),
            (
                "unroutable_returned",
                "messages published as mandatory into an exchange and returned as unroutable",
                it.returned,
            ),
            ("confirmed", "messages confirmed to publishers", it.confirmed),
            ("received_bytes", "bytes of messages received from clients", totals.published_bytes),
        ];
        for (name, help, value) in incoming {
            let name = format!("rabbitmq_global_messages_{name}_total");
            self.text.family(&name, "counter", &format!("Total number of {help}"));
            self.text.line(&name, &[protocol], value);
        }
        let delivered = it.delivered + it.delivered_no_ack + it.got + it.got_no_ack;
        let outgoing: [(&str, &str, u64); 8] = [
            ("delivered", "messages delivered to consumers", delivered),
            ("delivered_consume_manual_ack", "messages sent to consumers that acknowledge", it.delivered),
            ("delivered_consume_auto_ack", "messages sent to consumers that do not acknowledge", it.delivered_no_ack),
            ("delivered_get_manual_ack", "messages got with acknowledgement", it.got),
            ("delivered_get_auto_ack", "messages got without acknowledgement", it.got_no_ack),
            ("get_empty", "times that a get found nothing", it.got_empty),
            ("redelivered", "messages redelivered to consumers", it.redelivered),
            ("acknowledged", "messages acknowledged by consumers", it.acked),
        ];
        let queue_type = ("queue_type", "rabbit_classic_queue");
        for (name, help, value) in outgoing {
            let name = format!("rabbitmq_global_messages_{name}_total");
            self.text.family(&name, "counter", &format!("Total number of {help}"));
            self.text.line(&name, &[protocol, queue_type], value);
        }
        let dead = [
            ("expired", totals.dead_lettered_expired),
            ("rejected", totals.dead_lettered_rejected),
            ("maxlen", totals.dead_lettered_maxlen),
            ("delivery_limit", totals.dead_lettered_delivery_limit),
            ("confirmed", 0),
        ];
        for (name, value) in dead {
            let name = format!("rabbitmq_global_messages_dead_lettered_{name}_total");
            self.text.family(&name, "counter", "Total number of messages dead-lettered for that reason");
            self.text.line(&name, &[queue_type, ("dead_letter_strategy", "at_most_once")], value);
        }
        let channels = self.api.broker.channels();
        let publishers = channels.iter().filter(|channel| channel.counts.published > 0).count();
        let consumers: usize = channels.iter().map(|channel| channel.consumers.len()).sum();
        for (name, value) in [("publishers", publishers), ("consumers", consumers)] {
            let name = format!("rabbitmq_global_{name}");
            self.text.family(&name, "gauge", "Connected at the moment");
            self.text.line(&name, &[protocol], value);
        }
    }

    fn sizes(&mut self) {
        let totals = self.api.broker.totals();
        let name = "rabbitmq_message_size_bytes";
        let protocol = ("protocol", "amqp091");
        self.text.family(name, "histogram", "Size of messages received from publishers");
        let mut sum = 0;
        for (bound, count) in BOUNDS.iter().chain(&["+Inf"]).zip(totals.sizes) {
            sum += count;
            self.text.line(&format!("{name}_bucket"), &[protocol, ("le", bound)], sum);
        }
        self.text.line(&format!("{name}_count"), &[protocol], sum);
        self.text.line(&format!("{name}_sum"), &[protocol], totals.published_bytes);
    }

    fn alarms(&mut self) {
        let machine = self.api.broker.machine();
        let alarms = [
            ("rabbitmq_alarms_memory_used_watermark", machine.memory_alarm),
            ("rabbitmq_alarms_free_disk_space_watermark", machine.disk_alarm),
            ("rabbitmq_alarms_file_descriptor_limit", false),
        ];
        for (name, is_set) in alarms {
            self.text.one(name, "untyped", "is 1 if the alarm is in effect", u8::from(is_set));
        }
    }

    fn churn(&mut self) {
        let totals = self.api.broker.totals();
        let counters = [
            ("connections_opened", totals.connections_opened),
            ("connections_closed", totals.connections_closed),
            ("channels_opened", totals.channels_opened),
            ("channels_closed", totals.channels_closed),
            ("queues_declared", totals.queues_declared),
            ("queues_created", totals.queues_created),
            ("queues_deleted", totals.queues_deleted),
        ];
        for (name, value) in counters {
            self.text.one(&format!("rabbitmq_{name}_total"), "counter", "Total number since the start", value);
        }
        let attempts = [
            ("auth_attempts", totals.logins + totals.failed_logins),
            ("auth_attempts_succeeded", totals.logins),
            ("auth_attempts_failed", totals.failed_logins),
        ];
        for (name, value) in attempts {
            self.text.one(&format!("rabbitmq_{name}_total"), "counter", "Total number since the start", value);
        }
    }

    fn objects(&mut self) {
        if self.form != Form::Detailed {
            self.totals();
        }
        self.queue_families();
        if self.form != Form::Aggregated {
            self.connections();
            self.exchanges();
            self.vhosts();
        }
    }

    fn totals(&mut self) {
        let connections = self.api.broker.connections();
        let channels: u64 = connections.iter().map(|it| it.channels).sum();
        let consumers: u64 = self.queues.iter().map(|(_, _, state)| state.consumers).sum();
        self.text.one("rabbitmq_connections", "gauge", "Connections currently open", connections.len());
        self.text.one("rabbitmq_channels", "gauge", "Channels currently open", channels);
        self.text.one("rabbitmq_consumers", "gauge", "Consumers currently connected", consumers);
        self.text.family("rabbitmq_queues", "gauge", "Queues available");
        let count = self.queues.len();
        self.text.line("rabbitmq_queues", &[], count);
    }

    /// One family for each figure: the sum, or a line for each queue.
    fn queue_families(&mut self) {
        for (family, name, kind, help, figure) in QUEUE {
            if !self.wants(family) {
                continue;
            }
            let name = format!("{}{name}", self.form.prefix());
            self.text.family(&name, kind, help);
            if self.form == Form::Aggregated {
                let sum: u64 = self.queues.iter().map(|(_, _, state)| figure(state)).sum();
                self.text.line(&name, &[], sum);
                continue;
            }
            for (index, (vhost, record, state)) in self.queues.iter().enumerate() {
                if index % SLICE == SLICE - 1 {
                    self.api.broker.pause();
                }
                self.text.line(&name, &[("vhost", vhost), ("queue", &record.name)], figure(state));
            }
        }
    }

    fn connections(&mut self) {
        let connections = self.api.broker.connections();
        for (family, name, kind, figure) in CONNECTION {
            if !self.wants(family) {
                continue;
            }
            let name = format!("{}{name}", self.form.prefix());
            self.text.family(&name, kind, "Of a connection");
            for connection in &connections {
                self.text.line(&name, &[("channel", ""), ("connection", &connection.name())], figure(connection));
            }
        }
        if !self.wants("channel_metrics") {
            return;
        }
        let channels = self.api.broker.channels();
        for (name, figure) in CHANNEL {
            let name = format!("{}{name}", self.form.prefix());
            self.text.family(&name, "gauge", "Of a channel");
            for channel in &channels {
                let connection = connections.iter().find(|it| it.id == channel.connection);
                let connection = connection.map(|it| it.name()).unwrap_or_default();
                let label = format!("{connection} ({})", channel.number);
                self.text.line(&name, &[("channel", &label), ("connection", &connection)], figure(channel));
            }
        }
    }

    fn exchanges(&mut self) {
        if !self.wants("exchange_metrics") {
            return;
        }
        let name = format!("{}exchange_messages_published_total", self.form.prefix());
        self.text.family(&name, "counter", "Messages published to an exchange");
        let mut rows: Vec<_> = self.api.broker.exchanges().into_iter().collect();
        rows.sort_by(|((a, x), _), ((b, y), _)| (a, x).cmp(&(b, y)));
        for ((vhost, exchange), counts) in rows {
            let mut host = Name::from("");
            self.api.broker.read_topology(&mut |topology| {
                host = topology.vhost(vhost).map_or_else(|_| "".into(), |vhost| vhost.name().clone());
            });
            self.text.line(&name, &[("vhost", &host), ("exchange", &exchange)], counts.published_in);
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
    fn lines_are_escaped() {
        let mut text = Text::default();
        text.family("a", "gauge", "An a");
        text.line("a", &[("x", "q\"\\\n"), ("y", "")], 1.5);
        text.line("a", &[], 2);
        assert_eq!(text.0, "# TYPE a gauge\n# HELP a An a\na{x=\"q\\\"\\\\\\n\",y=\"\"} 1.5\na 2\n");
    }

    #[test]
    fn the_bounds_are_those_of_the_buckets() {
        for (text, bound) in BOUNDS.iter().zip(SIZE_BUCKETS) {
            assert_eq!(text.parse::<f64>().unwrap(), bound as f64);
        }
    }
}
