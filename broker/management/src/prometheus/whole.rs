//! The node, and sums over everything that ever was. The latter never go down when objects disappear; that is their point.

use super::{Form, Scrape};
use crate::api::nodes::memory_by_use;
use crate::port::SIZE_BUCKETS;

/// The bounds of the message size histogram exactly as RabbitMQ writes them; dashboards match the text.
const BOUNDS: [&str; SIZE_BUCKETS.len()] =
    ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08"];

/// What RabbitMQ's stream protocol can refuse. It is not spoken here, so none of it ever happens.
const STREAM_ERRORS: [&str; 17] = [
    "access_refused",
    "authentication_failure",
    "frame_too_large",
    "internal_error",
    "precondition_failed",
    "publisher_does_not_exist",
    "sasl_authentication_failure_loopback",
    "sasl_challenge",
    "sasl_error",
    "sasl_mechanism_not_supported",
    "stream_already_exists",
    "stream_does_not_exist",
    "stream_not_available",
    "subscription_id_already_exists",
    "subscription_id_does_not_exist",
    "unknown_frame",
    "vhost_access_failure",
];

/// What RabbitMQ's store, index and schema count; ours works otherwise. Dashboards look for the names.
const PERSISTER: [&str; 17] = [
    "io_read_ops_total",
    "io_read_bytes_total",
    "io_read_time_seconds_total",
    "io_write_ops_total",
    "io_write_bytes_total",
    "io_write_time_seconds_total",
    "io_sync_ops_total",
    "io_sync_time_seconds_total",
    "io_seek_ops_total",
    "io_seek_time_seconds_total",
    "io_reopen_ops_total",
    "msg_store_read_total",
    "msg_store_write_total",
    "queue_index_read_ops_total",
    "queue_index_write_ops_total",
    "schema_db_ram_tx_total",
    "schema_db_disk_tx_total",
];

/// Positions in RabbitMQ's replicated logs, by their names since 4.2 and those before; there is one node here, and no such log.
const RAFT: [&str; 9] = [
    "raft_term",
    "raft_commit_index",
    "raft_last_written_index",
    "raft_snapshot_index",
    "raft_term_total",
    "raft_log_snapshot_index",
    "raft_log_last_applied_index",
    "raft_log_commit_index",
    "raft_log_last_written_index",
];

impl Scrape<'_> {
    pub(super) fn identity(&mut self) {
        let facts = self.api.broker.facts();
        let access = self.api.broker.access();
        let global = |name: &str| access.global_parameters().find(|(known, _)| &***known == name);
        let text = |name: &str| global(name).and_then(|(_, value)| value.as_str().map(str::to_owned));
        let cluster = text("cluster_name").unwrap_or_else(|| facts.cluster_name.clone());
        let id = text("internal_cluster_id").unwrap_or_else(|| cluster.clone());
        let labels = [
            ("rabbitmq_node", facts.node.as_str()),
            ("rabbitmq_cluster", &cluster),
            ("rabbitmq_cluster_permanent_id", &id),
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

    #[rustfmt::skip]
    pub(super) fn node(&mut self) {
        let (facts, machine, now) = (self.api.broker.facts(), self.api.broker.machine(), self.api.broker.now_ms());
        let uptime = now.saturating_sub(facts.started_ms) as f64 / 1000.0;
        let figures: [(&str, &str, &str, f64); 16] = [
            ("node_coarse_metrics", "process_open_fds", "Open file descriptors", machine.descriptors_used as f64),
            ("node_coarse_metrics", "process_open_tcp_sockets", "Open TCP sockets", machine.sockets_used as f64),
            ("node_coarse_metrics", "process_resident_memory_bytes", "Memory used in bytes", machine.memory_used as f64),
            ("node_coarse_metrics", "disk_space_available_bytes", "Disk space available in bytes", machine.disk_free as f64),
            ("node_coarse_metrics", "erlang_processes_used", "Coroutines", machine.coroutines as f64),
            ("node_coarse_metrics", "erlang_gc_runs_total", "There is no garbage collector; for dashboards", 0.0),
            ("node_coarse_metrics", "erlang_gc_reclaimed_bytes_total", "There is no garbage collector; for dashboards", 0.0),
            ("node_coarse_metrics", "erlang_scheduler_context_switches_total", "Switches between coroutines", machine.switches as f64),
            ("node_metrics", "process_max_fds", "Open file descriptors limit", machine.descriptors_max as f64),
            ("node_metrics", "process_max_tcp_sockets", "Open TCP sockets limit", machine.descriptors_max as f64),
            ("node_metrics", "resident_memory_limit_bytes", "Memory high watermark in bytes", machine.memory_limit as f64),
            ("node_metrics", "disk_space_available_limit_bytes", "Free disk space low watermark in bytes", machine.disk_limit as f64),
            ("node_metrics", "erlang_processes_limit", "Coroutines limit", 1_048_576.0),
            ("node_metrics", "erlang_scheduler_run_queue", "Coroutines that could run", 0.0),
            ("node_metrics", "erlang_net_ticktime_seconds", "Inter-node heartbeat interval", 60.0),
            ("node_metrics", "erlang_uptime_seconds", "Node uptime", uptime),
        ];
        let persister = PERSISTER.map(|name| ("node_persister_metrics", name, "Of RabbitMQ's files; for dashboards", 0.0));
        for (family, name, help, value) in figures.into_iter().chain(persister) {
            if self.wants(family) {
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                self.text.one(&self.name(name), kind, help, value);
            }
        }
        if self.form != Form::Detailed {
            let started = facts.started_ms as f64 / 1000.0;
            self.text.one("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds", started);
            self.text.one("leveret_turns_total", "counter", "Turns of all shards", machine.turns);
            self.text.one("leveret_switches_total", "counter", "Switches between coroutines", machine.switches);
            let help = "Messages that were dropped since the disk had harmed them";
            self.text.one("leveret_messages_lost_total", "counter", help, machine.messages_lost);
        }
    }

    pub(super) fn raft(&mut self) {
        if !self.wants("ra_metrics") {
            return;
        }
        for name in RAFT {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            self.text.one(&self.name(name), kind, "There is one node and no replicated log; for dashboards", 0);
        }
        for name in ["raft_entry_commit_latency_seconds", "raft_commit_latency_seconds"] {
            self.text.one(&self.name(name), "gauge", "There is one node and no replicated log; for dashboards", 0);
        }
    }

    pub(super) fn globals(&mut self) {
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

    pub(super) fn streams(&mut self) {
        for error in STREAM_ERRORS {
            let name = format!("rabbitmq_global_stream_error_{error}_total");
            self.text.family(&name, "counter", "Total number of such errors of the stream protocol");
            self.text.line(&name, &[("protocol", "stream")], 0);
        }
    }

    pub(super) fn sizes(&mut self) {
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

    pub(super) fn alarms(&mut self) {
        if !self.wants("alarms") {
            return;
        }
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

    pub(super) fn churn(&mut self) {
        if !self.wants("connection_churn_metrics") {
            return;
        }
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
            let name = self.name(&format!("{name}_total"));
            self.text.one(&name, "counter", "Total number since the start", value);
        }
    }

    pub(super) fn auth_attempts(&mut self) {
        if !self.wants("auth_attempt_metrics") {
            return;
        }
        let attempts = self.api.attempts.since_start(&self.api.broker.totals());
        let figures = [
            ("auth_attempts", attempts.map(|(protocol, it)| (protocol, it.succeeded + it.failed))),
            ("auth_attempts_succeeded", attempts.map(|(protocol, it)| (protocol, it.succeeded))),
            ("auth_attempts_failed", attempts.map(|(protocol, it)| (protocol, it.failed))),
        ];
        for (name, counts) in figures {
            let name = self.name(&format!("{name}_total"));
            self.text.family(&name, "counter", "Total number of logins since the start");
            for (protocol, count) in counts {
                self.text.line(&name, &[("protocol", protocol)], count);
            }
        }
    }

    /// Connections that nobody has logged in on, which a flood consists of; RabbitMQ has no name for them.
    pub(super) fn strangers(&mut self) {
        let strangers = self.api.broker.totals().strangers;
        let protocols = [("protocol", "amqp091"), ("protocol", "http")];
        let open = "leveret_unauthenticated_connections";
        self.text.family(open, "gauge", "Connections that have not logged in");
        for (protocol, it) in protocols.iter().zip(strangers) {
            self.text.line(open, &[*protocol], it.count);
        }
        let refused = "leveret_unauthenticated_connections_refused_total";
        self.text.family(refused, "counter", "Connections closed since too many had not logged in");
        for (protocol, it) in protocols.iter().zip(strangers) {
            self.text.line(refused, &[*protocol], it.refused);
        }
    }

    pub(super) fn totals(&mut self) {
        let connections = self.api.broker.connections();
        let channels: u64 = connections.iter().map(|it| it.channels).sum();
        let consumers: u64 = self.queues.iter().map(|(_, _, state)| state.consumers).sum();
        self.text.one("rabbitmq_connections", "gauge", "Connections currently open", connections.len());
        self.text.one("rabbitmq_channels", "gauge", "Channels currently open", channels);
        self.text.one("rabbitmq_consumers", "gauge", "Consumers currently connected", consumers);
        let count = self.queues.len();
        self.text.one("rabbitmq_queues", "gauge", "Queues available", count);
    }

    /// Who has the memory, by RabbitMQ's names.
    pub(super) fn memory(&mut self) {
        for use_of in memory_by_use(&*self.api.broker) {
            let name = format!("rabbitmq_memory_{}_bytes", use_of.metric);
            self.text.one(&name, "gauge", "Memory used for it, in bytes", use_of.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_buckets() {
        for (text, bound) in BOUNDS.iter().zip(SIZE_BUCKETS) {
            assert_eq!(text.parse::<f64>().unwrap(), bound as f64);
        }
    }
}
