//! The node: what the process and the machine have. There is one.

use serde_json::{Map, Value, json};

use super::context::Context;
use super::overview::{contexts, exchange_types};
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::Columns;
use crate::listing::Row;
use crate::port::{Broker, Facts, Machine, Service};

/// Counters that only make sense where there is Erlang. Clients decode numbers strictly, so they are there.
const ZEROS: [&str; 39] = [
    "gc_num",
    "gc_bytes_reclaimed",
    "io_read_count",
    "io_read_bytes",
    "io_read_avg_time",
    "io_write_count",
    "io_write_bytes",
    "io_write_avg_time",
    "io_sync_count",
    "io_sync_avg_time",
    "io_seek_count",
    "io_seek_avg_time",
    "io_reopen_count",
    "io_file_handle_open_attempt_count",
    "io_file_handle_open_attempt_avg_time",
    "mnesia_ram_tx_count",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_journal_write_count",
    "queue_index_read_count",
    "queue_index_write_count",
    "quorum_queue_reads",
    "quorum_queue_writes",
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
    "context_switches",
    "mem_used",
    "fd_used",
    "sockets_used",
    "proc_used",
    "disk_free",
    "run_queue",
    "reductions",
];

fn node(cx: &Context<'_>) -> Value {
    let (facts, machine, totals) = (cx.broker().facts(), cx.broker().machine(), cx.broker().totals());
    let mut node = Map::new();
    for name in ZEROS {
        node.insert(name.into(), json!(0));
        node.insert(format!("{name}_details"), json!({"rate": 0.0}));
    }
    let mut put = |fields: Value| {
        if let Value::Object(fields) = fields {
            node.extend(fields);
        }
    };
    put(identity(cx, facts));
    put(resources(facts, &machine, cx.broker().now_ms()));
    put(json!({
        "connection_created": totals.connections_opened,
        "connection_closed": totals.connections_closed,
        "channel_created": totals.channels_opened,
        "channel_closed": totals.channels_closed,
        "queue_declared": totals.queues_declared,
        "queue_created": totals.queues_created,
        "queue_deleted": totals.queues_deleted,
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
        "metrics_gc_queue_length": {
            "channel_closed": 0, "channel_consumer_deleted": 0, "connection_closed": 0, "consumer_deleted": 0,
            "exchange_deleted": 0, "node_node_deleted": 0, "queue_deleted": 0, "vhost_deleted": 0,
        },
    }));
    Value::Object(node)
}

fn identity(cx: &Context<'_>, facts: &Facts) -> Value {
    json!({
        "name": facts.node,
        "type": "disc",
        "running": cx.broker().service() != Service::Stopped,
        "being_drained": cx.broker().service() == Service::Drained,
        "partitions": [],
        "cluster_links": [],
        "net_ticktime": 60,
        "rates_mode": "basic",
        "exchange_types": exchange_types(),
        "auth_mechanisms": auth_mechanisms(),
        "applications": [{
            "name": "rabbit", "description": format!("Leveret {}", facts.version), "version": facts.compatible_version,
        }],
        "contexts": contexts(facts),
        "log_files": ["<stderr>"],
        "config_files": facts.config_files,
        "db_dir": facts.data_dir,
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "mem_calculation_strategy": "rss",
        "os_pid": cx.broker().machine().process_id.to_string(),
    })
}

fn auth_mechanisms() -> Value {
    let mechanism = |name: &str, description: &str| json!({"name": name, "description": description, "enabled": true});
    json!(
        [mechanism("PLAIN", "SASL PLAIN authentication mechanism"), mechanism("AMQPLAIN", "QPid AMQPLAIN mechanism"),]
    )
}

fn resources(facts: &Facts, it: &Machine, now_ms: u64) -> Value {
    json!({
        "uptime": now_ms.saturating_sub(facts.started_ms),
        "fd_used": it.descriptors_used,
        "fd_total": it.descriptors_max,
        "sockets_used": it.sockets_used,
        "sockets_total": it.descriptors_max,
        "proc_used": it.coroutines,
        "proc_total": 1_048_576,
        "mem_used": it.memory_used,
        "mem_limit": it.memory_limit,
        "mem_alarm": it.memory_alarm,
        "disk_free": it.disk_free,
        "disk_free_limit": it.disk_limit,
        "disk_free_alarm": it.disk_alarm,
        "processors": it.processors,
        "run_queue": 0,
        "context_switches": it.switches,
        "messages_lost": it.messages_lost,
    })
}

/// GET /nodes
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.list(vec![node(cx)])
}

fn check_name(cx: &Context<'_>) -> Result<(), Failure> {
    if cx.name("node") == cx.broker().facts().node { Ok(()) } else { Err(Failure::NotFound) }
}

/// GET /nodes/{node}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    check_name(cx)?;
    let mut shown = node(cx);
    if cx.request.query.is_true("memory") {
        shown["memory"] = breakdown(cx);
    }
    if cx.request.query.is_true("binary") {
        shown["binary"] = BINARIES.iter().map(|name| ((*name).to_owned(), json!(0))).collect::<Map<_, _>>().into();
    }
    Ok(Response::json(Status::Ok, &shown.render(&Columns::parse(cx.query("columns")))))
}

/// Whose binaries RabbitMQ counts.
const BINARIES: [&str; 17] = [
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "queue_slave_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "mgmt_db",
    "msg_index",
    "other",
    "metrics",
    "mnesia",
];

/// What some memory is used for.
pub(crate) struct Use {
    /// Its name in the API.
    name: &'static str,
    /// Its name among the metrics, without what all have in common.
    pub(crate) metric: &'static str,
    pub(crate) bytes: u64,
}

/// RabbitMQ's names, which tools look for; what is known here is messages, and the rest.
const USES: [(&str, &str); 27] = [
    ("queue_procs", "classic_queue_erlang_process"),
    ("other_proc", "other_erlang_process"),
    ("allocated_unused", "runtime_allocated_unused"),
    ("atom", "runtime_atom"),
    ("binary", "runtime_binary_heap"),
    ("code", "code_module"),
    ("connection_channels", "client_connection_channel"),
    ("connection_other", "client_connection_other"),
    ("connection_readers", "client_connection_reader"),
    ("connection_writers", "client_connection_writer"),
    ("metadata_store", "modern_metadata_store"),
    ("metadata_store_ets", "modern_metadata_store_ets_tables"),
    ("metrics", "metrics"),
    ("mgmt_db", "management_stats_db"),
    ("mnesia", "classic_metadata_store"),
    ("msg_index", "message_index"),
    ("other_ets", "other_ets_tables"),
    ("other_system", "other_system"),
    ("plugins", "plugin"),
    ("queue_slave_procs", "queue_mirror_erlang_process"),
    ("quorum_ets", "quorum_queue_ets_table"),
    ("quorum_queue_dlx_procs", "quorum_queue_dlx_erlang_process"),
    ("quorum_queue_procs", "quorum_queue_erlang_process"),
    ("reserved_unallocated", "runtime_reserved_unallocated"),
    ("stream_queue_procs", "stream_erlang_process"),
    ("stream_queue_coordinator_procs", "stream_coordinator_erlang_process"),
    ("stream_queue_replica_reader_procs", "stream_replica_reader_erlang_process"),
];

/// Bytes by use; together they are the process's memory.
pub(crate) fn memory_by_use(broker: &dyn Broker) -> Vec<Use> {
    let used = broker.machine().memory_used;
    let messages: u64 = broker.queues().values().map(|it| it.ready_bytes + it.unsettled_bytes).sum();
    let queues = messages.min(used);
    let bytes = |name| match name {
        "queue_procs" => queues,
        "other_proc" => used - queues,
        _ => 0,
    };
    USES.iter().map(|&(name, metric)| Use { name, metric, bytes: bytes(name) }).collect()
}

fn breakdown(cx: &Context<'_>) -> Value {
    let uses = memory_by_use(cx.broker());
    let used: u64 = uses.iter().map(|it| it.bytes).sum();
    let mut memory: Map<String, Value> = uses.iter().map(|it| (it.name.to_owned(), json!(it.bytes))).collect();
    memory.insert("strategy".into(), json!("rss"));
    memory.insert("total".into(), json!({"erlang": used, "rss": used, "allocated": used}));
    Value::Object(memory)
}

/// GET /nodes/{node}/memory
pub(crate) fn memory(cx: &Context<'_>) -> Result<Response, Failure> {
    check_name(cx)?;
    Ok(Response::json(Status::Ok, &json!({"memory": breakdown(cx)})))
}

/// GET /nodes/{node}/memory/relative: percent of the whole.
pub(crate) fn relative_memory(cx: &Context<'_>) -> Result<Response, Failure> {
    check_name(cx)?;
    let breakdown = breakdown(cx);
    let total = breakdown["total"]["rss"].as_f64().unwrap_or(1.0).max(1.0);
    let parts = breakdown.as_object().into_iter().flatten().filter(|(_, value)| value.is_number());
    let percent = |value: &Value| json!((value.as_f64().unwrap_or_default() * 100.0 / total).round());
    let mut shown: Map<String, Value> = parts.map(|(name, value)| (name.clone(), percent(value))).collect();
    shown.insert("total".into(), json!(100));
    Ok(Response::json(Status::Ok, &json!({"memory": shown})))
}
