//! The overview, and small things about the broker as a whole.

use leveret_core::exchange::ExchangeKind;
use serde_json::{Map, Value, json};

use super::context::Context;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{Columns, Object};
use crate::listing::Row;
use crate::port::{Facts, SIZE_BUCKETS};
use crate::stats::messages::{
    CHURN, Counts, LENGTH, READY, UNSETTLED, Whose, churn_of, message_stats, of_broker, of_exchange, sum,
};
use crate::stats::{Range, details};

/// What clients take us for where they look at Erlang's version.
const ERLANG_VERSION: &str = "27.3";
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// GET /overview
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let columns = Columns::parse(cx.query("columns"));
    let mut object = Object::new(&columns);
    put_facts(cx, &mut object);
    put_statistics(cx, &mut object);
    let shown = object.finish();
    Ok(Response::json(Status::Ok, &shown))
}

fn put_facts(cx: &Context<'_>, object: &mut Object<'_>) {
    let facts = cx.broker().facts();
    object
        .put("management_version", facts.compatible_version.as_str())
        .put("rates_mode", "basic")
        .put("sample_retention_policies", json!({"global": [600, 28_800, 86_400], "basic": [60], "detailed": [60]}))
        .put_with("exchange_types", exchange_types)
        .put("product_version", facts.compatible_version.as_str())
        .put("product_name", "RabbitMQ")
        .put("rabbitmq_version", facts.compatible_version.as_str())
        .put("leveret_version", facts.version.as_str())
        .put("cluster_name", cluster_name(cx))
        .put("cluster_tags", json!({}))
        .put("node_tags", json!({}))
        .put("erlang_version", ERLANG_VERSION)
        .put("erlang_full_version", format!("Leveret {}, no Erlang", facts.version))
        .put("crypto_lib_version", "")
        .put("release_series_support_status", "supported")
        .put("disable_stats", false)
        .put("default_queue_type", facts.default_queue_type.as_str())
        .put("is_op_policy_updating_enabled", true)
        .put("enable_queue_totals", false)
        .put("statistics_db_event_queue", 0)
        .put("node", facts.node.as_str())
        .put_with("message_sizes", || message_sizes(cx))
        .put_with("listeners", || listeners(facts))
        .put_with("contexts", || contexts(facts));
}

/// Messages published since the start, by the size of their bodies: up to so many bytes each.
fn message_sizes(cx: &Context<'_>) -> Value {
    let bounds = SIZE_BUCKETS.iter().map(|bound| json!(bound)).chain([Value::Null]);
    bounds.zip(cx.broker().totals().sizes).map(|(bound, count)| json!({"up_to": bound, "messages": count})).collect()
}

/// The name as set, or the configured one.
pub(crate) fn cluster_name(cx: &Context<'_>) -> String {
    let set = cx.access.global_parameters().find(|(name, _)| &***name == "cluster_name");
    let set = set.and_then(|(_, value)| value.as_str().map(str::to_owned));
    set.unwrap_or_else(|| cx.broker().facts().cluster_name.clone())
}

pub(crate) fn exchange_types() -> Value {
    let kind = |kind: ExchangeKind| {
        let name = kind.as_str();
        json!({"name": name, "description": format!("AMQP {name} exchange, as per the AMQP specification"), "enabled": true})
    };
    ExchangeKind::ALL.into_iter().map(kind).collect()
}

pub(crate) fn listeners(facts: &Facts) -> Value {
    let all = facts.listeners.iter().map(|it| {
        json!({
            "node": facts.node,
            "protocol": it.protocol,
            "ip_address": it.addr.ip().to_string(),
            "port": it.addr.port(),
            "socket_opts": {"backlog": BACKLOG, "nodelay": true},
            "tls": it.protocol.ends_with("/ssl") || it.protocol == "https",
        })
    });
    all.collect()
}

pub(crate) fn contexts(facts: &Facts) -> Value {
    let described = |protocol: &str| match protocol {
        "http" | "https" => Some("RabbitMQ Management"),
        "http/prometheus" => Some("RabbitMQ Prometheus"),
        _ => None,
    };
    let all = facts.listeners.iter().filter_map(|it| {
        let description = described(it.protocol)?;
        let port = it.addr.port().to_string();
        Some(json!({
            "node": facts.node, "description": description, "path": "/", "port": port, "cowboy_opts": "[]", "ssl_opts": [],
        }))
    });
    all.collect()
}

fn put_statistics(cx: &Context<'_>, object: &mut Object<'_>) {
    let wanted = ["message_stats", "churn_rates", "queue_totals", "object_totals"];
    if !wanted.iter().any(|name| object.columns().wants(name)) {
        return;
    }
    let (queues, totals, counts) = sums(cx);
    let query = &cx.request.query;
    let (rates, lengths) = (Range::parse(query, "msg_rates"), Range::parse(query, "lengths"));
    let history = cx.history();
    let ring = |range: Option<Range>| Some(history.overview(range.map_or(0, Range::age_ms)));
    let mut stats = message_stats(Whose::Client, &counts, ring(rates), rates).unwrap_or_else(|| json!({}));
    if stats != json!({}) {
        // RabbitMQ's message store; ours reads and writes in batches and does not count by message.
        for name in ["disk_reads", "disk_writes"] {
            stats[name] = json!(0);
            stats[format!("{name}_details")] = json!({"rate": 0.0});
        }
    }
    object.put("message_stats", stats);
    let mut queue_totals = Map::new();
    for (name, column) in [("messages", LENGTH), ("messages_ready", READY), ("messages_unacknowledged", UNSETTLED)] {
        queue_totals.insert(name.into(), json!(counts[column]));
        queue_totals.insert(format!("{name}_details"), details(ring(lengths), column, lengths));
    }
    object.put("queue_totals", Value::Object(queue_totals));
    let churn = churn_of(&totals);
    let churn_range = rates;
    let mut rates = Map::new();
    for (column, name) in CHURN.into_iter().enumerate() {
        rates.insert(name.into(), json!(churn[column]));
        rates.insert(format!("{name}_details"), details(Some(history.churn()), column, churn_range));
    }
    object.put("churn_rates", Value::Object(rates));
    drop(history);
    object.put_with("object_totals", || object_totals(cx, queues));
}

/// Queues, totals and their columns, over what the user may see.
fn sums(cx: &Context<'_>) -> (Sums, crate::port::Totals, Counts) {
    let (states, totals) = (cx.broker().queues(), cx.broker().totals());
    let mut sums = Sums::default();
    for state in states.values() {
        sums.ready += state.ready;
        sums.unsettled += state.unsettled;
        sums.consumers += state.consumers;
        sums.queues += 1;
    }
    let mut counts = of_broker(&totals, sums.ready, sums.unsettled);
    for exchange in cx.broker().exchanges().values() {
        sum(&mut counts, &of_exchange(exchange));
    }
    (sums, totals, counts)
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    ready: u64,
    unsettled: u64,
    consumers: u64,
    queues: usize,
}

fn object_totals(cx: &Context<'_>, sums: Sums) -> Value {
    let connections = cx.broker().connections();
    let channels: u64 = connections.iter().map(|it| it.channels).sum();
    let mut exchanges = 0;
    cx.read(|topology| exchanges = topology.vhosts().map(|(_, vhost)| vhost.exchanges().count()).sum());
    json!({
        "channels": channels,
        "connections": connections.len(),
        "consumers": sums.consumers,
        "exchanges": exchanges,
        "queues": sums.queues,
    })
}

/// GET /whoami
pub(crate) fn whoami(cx: &Context<'_>) -> Result<Response, Failure> {
    let tags: Vec<&str> = cx.login.tags.iter().map(|tag| tag.as_str()).collect();
    let minutes = cx.api.settings.login_session_timeout_ms / 60_000;
    let shown = json!({
        "name": *cx.login.user, "tags": tags, "is_internal_user": true, "login_session_timeout": minutes,
    });
    Ok(Response::json(Status::Ok, &shown))
}

/// GET /cluster-name
pub(crate) fn show_cluster_name(cx: &Context<'_>) -> Result<Response, Failure> {
    Ok(Response::json(Status::Ok, &json!({"name": cluster_name(cx)})))
}

/// PUT /cluster-name
pub(crate) fn put_cluster_name(cx: &Context<'_>) -> Result<Response, Failure> {
    let name = cx.fields()?.require_text("name")?.to_owned();
    let value = leveret_core::value::Value::str(&name);
    let command = leveret_core::access::Command::PutGlobalParameter { name: "cluster_name".into(), value };
    cx.administer(command)?;
    Ok(Response::empty(Status::NoContent))
}

/// GET /extensions
pub(crate) fn extensions(_: &Context<'_>) -> Result<Response, Failure> {
    Ok(Response::json(Status::Ok, &json!([{"javascript": "dispatcher.js"}])))
}

/// GET /version
pub(crate) fn version(cx: &Context<'_>) -> Result<Response, Failure> {
    Ok(Response::json(Status::Ok, &Value::from(cx.broker().facts().compatible_version.as_str())))
}

/// Features that clients ask for; all are built in.
const FEATURES: [&str; 24] = [
    "classic_mirrored_queue_version",
    "classic_queue_type_delivery_support",
    "detailed_queues_endpoint",
    "direct_exchange_routing_v2",
    "drop_unroutable_metric",
    "empty_basic_get_metric",
    "feature_flags_v2",
    "implicit_default_bindings",
    "khepri_db",
    "listener_records_in_ets",
    "maintenance_mode_status",
    "message_containers",
    "quorum_queue",
    "rabbitmq_4.0.0",
    "rabbitmq_4.1.0",
    "rabbitmq_4.2.0",
    "rabbitmq_4.3.0",
    "restart_streams",
    "stream_filtering",
    "stream_queue",
    "stream_single_active_consumer",
    "tracking_records_in_ets",
    "user_limits",
    "virtual_host_metadata",
];

/// What RabbitMQ will give up one day; all of it works here.
const DEPRECATED: [(&str, &str); 6] = [
    ("classic_queue_mirroring", "Classic mirrored queues"),
    ("global_qos", "Prefetch of whole channels"),
    ("management_metrics_collection", "Metrics of the management API"),
    ("queue_master_locator", "Where the leader of a queue is placed"),
    ("ram_node_type", "Nodes that keep metadata in memory"),
    ("transient_nonexcl_queues", "Queues that are neither durable nor exclusive"),
];

/// GET /deprecated-features
pub(crate) fn deprecated_features(cx: &Context<'_>) -> Result<Response, Failure> {
    let feature = |(name, desc): (&str, &str)| {
        json!({
            "name": name, "desc": desc, "doc_url": "", "state": "permitted", "deprecation_phase": "permitted_by_default",
            "provided_by": "rabbit",
        })
    };
    cx.list(DEPRECATED.into_iter().map(feature).collect::<Vec<Value>>())
}

/// GET /feature-flags
pub(crate) fn feature_flags(cx: &Context<'_>) -> Result<Response, Failure> {
    let flag = |name: &str| {
        json!({
            "name": name, "desc": "Built in", "doc_url": "", "state": "enabled", "stability": "stable",
            "provided_by": "rabbit", "require_level": "none", "experiments": {},
        })
    };
    cx.list(FEATURES.into_iter().map(flag).collect::<Vec<Value>>())
}

/// PUT /feature-flags/{name}/enable: they are.
pub(crate) fn enable_feature_flag(cx: &Context<'_>) -> Result<Response, Failure> {
    match FEATURES.iter().any(|name| *name == cx.name("name")) || cx.name("name") == "all" {
        true => Ok(Response::empty(Status::NoContent)),
        false => Err(Failure::BadRequest(format!("unsupported feature flag: {}", cx.name("name")))),
    }
}

/// Lists of things that there are none of.
pub(crate) fn nothing(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.list(Vec::<Value>::new())
}

/// What is done by doing nothing.
pub(crate) fn done(_: &Context<'_>) -> Result<Response, Failure> {
    Ok(Response::empty(Status::NoContent))
}

/// GET /auth: how the pages log in.
pub(crate) fn auth(_: &Context<'_>) -> Result<Response, Failure> {
    Ok(Response::json(
        Status::Ok,
        &json!({"oauth_enabled": false, "enable_uaa": false, "uaa_client_id": "", "uaa_location": ""}),
    ))
}

/// GET /config/effective: what is not secret.
pub(crate) fn config(cx: &Context<'_>) -> Result<Response, Failure> {
    let facts = cx.broker().facts();
    let shown = json!([{"node": facts.node, "data_dir": facts.data_dir, "shards": facts.shards}]);
    Ok(Response::json(Status::Ok, &shown.render(&Columns::ALL)))
}
