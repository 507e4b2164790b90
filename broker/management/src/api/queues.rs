//! Queues: lists, one of them, declaring, deleting, purging.

use std::sync::Arc;

use leveret_core::access::permission::Operation;
use leveret_core::access::policy::{Effective, Subject};
use leveret_core::queue::settings::QueueKind;
use leveret_core::topology::QueueRecord;
use leveret_core::{ConnectionId, FastMap, Name};
use serde_json::{Map, Value, json};

use super::channels;
use super::context::{Context, Host, put_answer};
use crate::clock::timestamp;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{Columns, Object, from_arguments};
use crate::listing::Row;
use crate::port::{Command, ConnectionState, QueueState};
use crate::stats::messages::{LENGTH, READY, UNSETTLED, Whose, message_stats, of_queue};
use crate::stats::{Range, details};

/// What the rows of a list share.
pub(crate) struct Lens<'a> {
    cx: &'a Context<'a>,
    rates: Option<Range>,
    lengths: Option<Range>,
    owners: FastMap<ConnectionId, ConnectionState>,
}

impl<'a> Lens<'a> {
    fn new(cx: &'a Context<'a>, records: &[(Name, Arc<QueueRecord>)]) -> Lens<'a> {
        let query = &cx.request.query;
        let has_owners = records.iter().any(|(_, record)| record.exclusive_owner.is_some());
        let owners = match has_owners {
            true => cx.broker().connections().into_iter().map(|it| (it.id, it)).collect(),
            false => FastMap::default(),
        };
        Lens { cx, rates: Range::parse(query, "msg_rates"), lengths: Range::parse(query, "lengths"), owners }
    }
}

/// A queue in a list.
pub(crate) struct QueueRow<'a> {
    lens: &'a Lens<'a>,
    vhost: Name,
    record: Arc<QueueRecord>,
    state: QueueState,
}

impl Row for QueueRow<'_> {
    fn name(&self) -> &str {
        &self.record.name
    }

    fn render(&self, columns: &Columns) -> Value {
        let mut object = Object::new(columns);
        self.identity(&mut object);
        self.policies(&mut object);
        self.content(&mut object);
        self.statistics(&mut object);
        object.finish()
    }
}

impl QueueRow<'_> {
    fn identity(&self, object: &mut Object<'_>) {
        let record = &self.record;
        object
            .put("name", &*record.name)
            .put("vhost", &*self.vhost)
            .put("type", record.kind().as_str())
            .put("durable", record.durable)
            .put("auto_delete", record.auto_delete)
            .put("exclusive", record.exclusive_owner.is_some())
            .put_with("arguments", || from_arguments(&record.arguments))
            .put_with("node", || Value::from(self.lens.cx.broker().facts().node.as_str()))
            .put("state", "running");
        if let Some(owner) = record.exclusive_owner.and_then(|owner| self.lens.owners.get(&owner)) {
            object.put_with("owner_pid_details", || {
                json!({"name": owner.name(), "peer_host": owner.peer.ip().to_string(), "peer_port": owner.peer.port()})
            });
        }
        self.of_the_kind(object);
    }

    /// What RabbitMQ shows of queues of some type only. There is one node.
    fn of_the_kind(&self, object: &mut Object<'_>) {
        let node = self.lens.cx.broker().facts().node.as_str();
        let of_node = |value: u64| Value::Object([(node.to_owned(), json!(value))].into_iter().collect());
        object.put_with("garbage_collection", garbage_collection);
        match self.record.kind() {
            QueueKind::Classic => {
                object
                    .put("messages_paged_out", self.state.away)
                    .put("message_bytes_paged_out", self.state.away_bytes)
                    .put("recoverable_slaves", Value::Null)
                    .put_with("backing_queue_status", || backing_queue_status(&self.state));
            }
            QueueKind::Quorum => {
                object
                    .put("leader", node)
                    .put("members", json!([node]))
                    .put("online", json!([node]))
                    .put("messages_dlx", 0)
                    .put("message_bytes_dlx", 0)
                    .put("single_active_consumer_ctag", Value::Null)
                    .put_with("open_files", || of_node(0));
            }
            QueueKind::Stream => {
                object
                    .put("leader", node)
                    .put("members", json!([node]))
                    .put("online", json!([node]))
                    .put_with("readers", || of_node(self.state.consumers));
            }
        }
    }

    fn policies(&self, object: &mut Object<'_>) {
        let wanted = ["policy", "operator_policy", "effective_policy_definition"];
        if !wanted.iter().any(|name| object.columns().wants(name)) {
            return;
        }
        let effective = effective(self.lens.cx, &self.vhost, &self.record);
        put_policies(object, &effective);
    }

    fn content(&self, object: &mut Object<'_>) {
        let state = &self.state;
        let (ready, unsettled) = (state.ready, state.unsettled);
        let (ready_bytes, unsettled_bytes) = (state.ready_bytes, state.unsettled_bytes);
        let capacity = capacity(state);
        object
            .put("messages", ready + unsettled)
            .put("messages_ready", ready)
            .put("messages_unacknowledged", unsettled)
            .put("messages_ram", (ready + unsettled).saturating_sub(state.away))
            .put("messages_ready_ram", ready.saturating_sub(state.away))
            .put("messages_unacknowledged_ram", unsettled)
            .put("message_bytes", ready_bytes + unsettled_bytes)
            .put("message_bytes_ready", ready_bytes)
            .put("message_bytes_unacknowledged", unsettled_bytes)
            .put("message_bytes_ram", (ready_bytes + unsettled_bytes).saturating_sub(state.away_bytes))
            .put("exclusive_consumer_tag", Value::Null)
            .put("single_active_consumer_tag", Value::Null)
            .put("head_message_timestamp", state.head_timestamp)
            .put("consumers", state.consumers)
            .put("consumer_capacity", capacity)
            .put("consumer_utilisation", capacity)
            .put("memory", memory(state));
    }

    fn statistics(&self, object: &mut Object<'_>) {
        let wanted = ["messages_details", "messages_ready_details", "messages_unacknowledged_details", "message_stats"];
        if !wanted.iter().chain(["idle_since", "reductions_details"].iter()).any(|name| object.columns().wants(name)) {
            return;
        }
        let history = self.lens.cx.history();
        let ring = history.queues.get(&self.record.id);
        let length = |column| details(ring, column, self.lens.lengths);
        object
            .put_with("messages_details", || length(LENGTH))
            .put_with("messages_ready_details", || length(READY))
            .put_with("messages_unacknowledged_details", || length(UNSETTLED))
            .put("reductions", 0)
            .put("reductions_details", json!({"rate": 0.0}));
        let counts = of_queue(&self.state);
        object.put_some("message_stats", message_stats(Whose::Queue, &counts, ring, self.lens.rates));
        let now = self.lens.cx.broker().now_ms();
        object.put_some("idle_since", ring.and_then(|ring| ring.idle_since(now)).map(timestamp));
    }
}

/// Whether a message that came now could be delivered at once: 1 or 0.
pub(crate) fn capacity(state: &QueueState) -> f64 {
    if state.consumers > 0 && (state.ready == 0 || state.ready_consumers > 0) { 1.0 } else { 0.0 }
}

/// Bytes of memory that a queue occupies, roughly: the bodies, and what each message costs besides.
pub(crate) fn memory(state: &QueueState) -> u64 {
    const MESSAGE: u64 = 160;
    const QUEUE: u64 = 1024;
    let bytes = (state.ready_bytes + state.unsettled_bytes).saturating_sub(state.away_bytes);
    QUEUE + bytes + (state.ready + state.unsettled).saturating_sub(state.away) * MESSAGE
}

pub(crate) fn effective(cx: &Context<'_>, vhost: &str, record: &QueueRecord) -> Effective {
    let subject = Subject::Queue { name: &record.name, kind: record.kind().as_str() };
    cx.access.effective(vhost, subject)
}

/// Where RabbitMQ's messages are between memory and disk; tools look for the names.
fn backing_queue_status(state: &QueueState) -> Value {
    let taken = state.counters.published;
    json!({
        "avg_ack_egress_rate": 0.0, "avg_ack_ingress_rate": 0.0, "avg_egress_rate": 0.0, "avg_ingress_rate": 0.0,
        "delta": ["delta", "undefined", state.away, 0, "undefined"], "len": state.ready, "mode": "default",
        "next_deliver_seq_id": taken.saturating_sub(state.ready), "next_seq_id": taken,
        "q1": 0, "q2": 0, "q3": 0, "q4": state.ready.saturating_sub(state.away), "target_ram_count": "infinity", "version": 2,
    })
}

/// Which policies apply, and what comes of them.
pub(crate) fn put_policies(object: &mut Object<'_>, effective: &Effective) {
    object.put("policy", effective.policy.as_ref().map(|it| it.name.to_string()));
    object.put("operator_policy", effective.operator_policy.as_ref().map(|it| it.name.to_string()));
    object.put_with("effective_policy_definition", || from_arguments(&effective.definition()));
}

/// The queues of some virtual hosts, by virtual host and name.
pub(crate) fn records(cx: &Context<'_>, hosts: &[Host]) -> Vec<(Name, Arc<QueueRecord>)> {
    let mut records = Vec::new();
    cx.read(|topology| {
        for host in hosts {
            let queues = topology.vhost(host.id).into_iter().flat_map(|vhost| vhost.queues());
            records.extend(queues.map(|record| (host.name.clone(), record.clone())));
        }
    });
    records.sort_by(|(vhost, a), (other, b)| (vhost, &a.name).cmp(&(other, &b.name)));
    records
}

/// GET /queues, /queues/{vhost}
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    list_those(cx, |_| true)
}

fn list_those(cx: &Context<'_>, wanted: impl Fn(&QueueRecord) -> bool) -> Result<Response, Failure> {
    let mut records = records(cx, &cx.hosts()?);
    records.retain(|(_, record)| wanted(record));
    let mut states = cx.broker().queues();
    let lens = Lens::new(cx, &records);
    let row = |(vhost, record): (Name, Arc<QueueRecord>)| {
        let state = states.remove(&record.id).unwrap_or_default();
        QueueRow { lens: &lens, vhost, record, state }
    };
    let rows = records.into_iter().map(row).collect();
    cx.list(rows)
}

/// The queue of the path.
pub(crate) fn record(cx: &Context<'_>, host: &Host) -> Result<Arc<QueueRecord>, Failure> {
    let mut found = None;
    cx.read(|topology| found = topology.vhost(host.id).ok().and_then(|vhost| vhost.queue(cx.name("name"))).cloned());
    found.ok_or(Failure::NotFound)
}

/// GET /queues/{vhost}/{name}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = record(cx, &host)?;
    let detail = cx.broker().queue(&record).unwrap_or_default();
    let records = [(host.name.clone(), record.clone())];
    let lens = Lens::new(cx, &records);
    let row = QueueRow { lens: &lens, vhost: host.name.clone(), record: record.clone(), state: detail.state.clone() };
    let columns = Columns::parse(cx.query("columns"));
    let Value::Object(mut object) = row.render(&Columns::ALL) else { return Err(Failure::NotFound) };
    let consumers = channels::consumers(cx, std::slice::from_ref(&host));
    let mine = consumers.iter().filter(|consumer| consumer.queue == record.id);
    let consumers: Vec<Value> = mine.map(|consumer| consumer.render(&Columns::ALL)).collect();
    put_tags(&mut object, &consumers);
    object.insert("consumer_details".into(), Value::Array(consumers));
    object.insert("incoming".into(), json!([]));
    object.insert("deliveries".into(), json!([]));
    Ok(Response::json(Status::Ok, &Value::Object(columns.select(object))))
}

fn put_tags(object: &mut Map<String, Value>, consumers: &[Value]) {
    let tag = |of: &dyn Fn(&&Value) -> bool| consumers.iter().find(of).map(|it| it["consumer_tag"].clone());
    if let Some(tag) = tag(&|it| it["exclusive"] == true) {
        object.insert("exclusive_consumer_tag".into(), tag);
    }
    let is_single = consumers.iter().any(|it| it["activity_status"] == "single_active");
    if let Some(tag) = tag(&|it| it["activity_status"] == "single_active").filter(|_| is_single) {
        object.insert("single_active_consumer_tag".into(), tag);
    }
}

/// What only makes sense where there is a collector; clients decode the numbers strictly.
pub(crate) fn garbage_collection() -> Value {
    json!({"fullsweep_after": 0, "max_heap_size": 0, "min_bin_vheap_size": 0, "min_heap_size": 0, "minor_gcs": 0})
}

/// PUT /queues/{vhost}/{name}
pub(crate) fn put(cx: &Context<'_>) -> Result<Response, Failure> {
    let (host, fields) = (cx.host()?, cx.fields()?);
    let name = cx.name("name");
    let mut arguments = fields.arguments("arguments")?;
    let default_type = cx.access.vhost(&host.name).and_then(|vhost| vhost.settings.default_queue_type.clone());
    if let Some(default_type) = default_type.filter(|_| arguments.get("x-queue-type").is_none())
        && exists(cx, &host, name).is_none()
    {
        arguments.push("x-queue-type", leveret_core::value::Value::str(&default_type));
    }
    let dead_letter = arguments.get("x-dead-letter-exchange").and_then(|value| value.as_str()).map(str::to_owned);
    let operation = Operation::DeclareQueue { queue: name, dead_letter_exchange: dead_letter.as_deref() };
    let command = Command::DeclareQueue {
        name: name.into(),
        durable: fields.flag("durable")?.unwrap_or(false),
        auto_delete: fields.flag("auto_delete")?.unwrap_or(false),
        arguments,
    };
    cx.execute(&host, operation, command).map(|outcome| put_answer(&outcome))
}

fn exists(cx: &Context<'_>, host: &Host, name: &str) -> Option<Arc<QueueRecord>> {
    let mut found = None;
    cx.read(|topology| found = topology.vhost(host.id).ok().and_then(|vhost| vhost.queue(name)).cloned());
    found
}

/// DELETE /queues/{vhost}/{name}
pub(crate) fn delete(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = record(cx, &host)?;
    let query = &cx.request.query;
    let (if_unused, if_empty) = (query.is_true("if-unused"), query.is_true("if-empty"));
    let operation = Operation::DeleteQueue { queue: &record.name };
    cx.execute(&host, operation, Command::DeleteQueue { name: record.name.clone(), if_unused, if_empty })?;
    Ok(Response::empty(Status::NoContent))
}

/// DELETE /queues/{vhost}/{name}/contents
pub(crate) fn purge(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = record(cx, &host)?;
    let operation = Operation::TakeFromQueue { queue: &record.name };
    cx.execute(&host, operation, Command::Purge { name: record.name.clone() })?;
    Ok(Response::empty(Status::NoContent))
}

/// POST /queues/{vhost}/{name}/actions: what mirrored queues could do once.
pub(crate) fn act(cx: &Context<'_>) -> Result<Response, Failure> {
    record(cx, &cx.host()?)?;
    match cx.fields()?.text("action")? {
        Some("sync" | "cancel_sync") => Ok(Response::empty(Status::NoContent)),
        other => Err(Failure::BadRequest(format!("unknown action: {}", other.unwrap_or_default()))),
    }
}
