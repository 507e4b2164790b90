//! Channels and consumers.

use leveret_core::queue::ConsumerState;
use leveret_core::{ConnectionId, ConsumerId, FastMap, Name, QueueId};
use serde_json::{Value, json};

use super::context::{Context, Host};
use super::queues::garbage_collection;
use crate::clock::timestamp;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{Columns, Object, from_arguments};
use crate::listing::Row;
use crate::port::{ChannelConsumer, ChannelState, ConnectionState};
use crate::stats::Range;
use crate::stats::messages::{Whose, message_stats, of_channel};

/// A channel with its connection.
pub(crate) struct ChannelRow<'a> {
    cx: &'a Context<'a>,
    channel: ChannelState,
    connection: ConnectionState,
    name: String,
}

impl Row for ChannelRow<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn render(&self, columns: &Columns) -> Value {
        let mut object = Object::new(columns);
        let it = &self.channel;
        object
            .put("name", self.name.as_str())
            .put("number", it.number)
            .put("user", &*it.user)
            .put("user_who_performed_action", &*it.user)
            .put("vhost", &*it.vhost)
            .put_with("node", || json!(self.cx.broker().facts().node))
            .put("state", "running")
            .put("transactional", it.is_transactional)
            .put("confirm", it.is_confirming)
            .put("consumer_count", it.consumers.len())
            .put("messages_unacknowledged", it.unsettled)
            .put("messages_unconfirmed", it.unconfirmed)
            .put("messages_uncommitted", it.uncommitted)
            .put("acks_uncommitted", it.uncommitted_acks)
            .put("prefetch_count", it.prefetch)
            .put("global_prefetch_count", it.channel_prefetch)
            .put("pending_raft_commands", 0)
            .put("reductions", 0)
            .put("reductions_details", json!({"rate": 0.0}))
            .put_with("garbage_collection", garbage_collection)
            .put_with("connection_details", || connection_details(&self.connection))
            .put_with("message_stats", || self.message_stats().unwrap_or_else(|| json!({})));
        object.put_some("idle_since", self.idle_since().map(timestamp));
        object.finish()
    }
}

impl ChannelRow<'_> {
    fn message_stats(&self) -> Option<Value> {
        let history = self.cx.history();
        let ring = history.channels.get(&(self.channel.connection, self.channel.number));
        message_stats(
            Whose::Client,
            &of_channel(&self.channel.counts),
            ring,
            Range::parse(&self.cx.request.query, "msg_rates"),
        )
    }
}

impl ChannelRow<'_> {
    /// Since when nothing has happened on it, in milliseconds since 1970.
    fn idle_since(&self) -> Option<u64> {
        let history = self.cx.history();
        let ring = history.channels.get(&(self.channel.connection, self.channel.number))?;
        ring.idle_since(self.cx.broker().now_ms())
    }
}

fn connection_details(it: &ConnectionState) -> Value {
    json!({"name": it.name(), "peer_host": it.peer.ip().to_string(), "peer_port": it.peer.port()})
}

/// The channels that the user may see, by name.
fn rows<'a>(cx: &'a Context<'a>) -> Vec<ChannelRow<'a>> {
    let connections: FastMap<ConnectionId, ConnectionState> =
        cx.broker().connections().into_iter().map(|it| (it.id, it)).collect();
    let row = |channel: ChannelState| {
        let connection = connections.get(&channel.connection)?.clone();
        let name = format!("{} ({})", connection.name(), channel.number);
        Some(ChannelRow { cx, channel, connection, name })
    };
    let mut rows: Vec<_> = cx.broker().channels().into_iter().filter_map(row).collect();
    rows.retain(|row| cx.login.is_monitoring() || row.channel.user == cx.login.user);
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

/// GET /channels
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.list(rows(cx))
}

/// GET /vhosts/{vhost}/channels
pub(crate) fn list_of_vhost(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    cx.list(rows(cx).into_iter().filter(|row| row.channel.vhost == host.name).collect())
}

/// GET /connections/{name}/channels
pub(crate) fn list_of_connection(cx: &Context<'_>) -> Result<Response, Failure> {
    let connection = super::connections::find(cx)?;
    cx.list(rows(cx).into_iter().filter(|row| row.channel.connection == connection.id).collect())
}

/// GET /channels/{name}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let row = rows(cx).into_iter().find(|row| row.name == cx.name("name")).ok_or(Failure::NotFound)?;
    let consumers = consumers(cx, &cx.hosts()?);
    let mine = consumers.iter().filter(|it| it.channel_name == row.name).map(|it| it.render(&Columns::ALL));
    let mut shown = row.render(&Columns::ALL);
    shown["consumer_details"] = mine.collect();
    shown["publishes"] = json!([]);
    shown["deliveries"] = json!([]);
    Ok(Response::json(Status::Ok, &shown.render(&Columns::parse(cx.query("columns")))))
}

// ---- consumers

/// A consumer, as its channel and its queue know it.
pub(crate) struct ConsumerRow<'a> {
    cx: &'a Context<'a>,
    consumer: ChannelConsumer,
    /// What the queue says; `None` in the moment when it is not registered yet or not any more.
    state: Option<ConsumerState>,
    pub(crate) queue: QueueId,
    queue_name: Name,
    vhost: Name,
    is_single: bool,
    pub(crate) channel_name: String,
    number: u16,
    user: Name,
    connection: ConnectionState,
}

impl Row for ConsumerRow<'_> {
    fn name(&self) -> &str {
        &self.consumer.tag
    }

    fn render(&self, columns: &Columns) -> Value {
        let active = self.state.as_ref().is_none_or(|state| state.active);
        let status = match (self.is_single, active) {
            (true, true) => "single_active",
            (true, false) => "waiting",
            _ => "up",
        };
        let mut object = Object::new(columns);
        object
            .put("consumer_tag", &*self.consumer.tag)
            .put("queue", json!({"name": *self.queue_name, "vhost": *self.vhost}))
            .put_with("channel_details", || self.channel_details())
            .put("ack_required", !self.consumer.no_ack)
            .put("exclusive", self.consumer.exclusive)
            .put("active", active)
            .put("activity_status", status)
            .put("prefetch_count", self.consumer.prefetch)
            .put_with("arguments", || from_arguments(&self.consumer.arguments))
            .put("consumer_timeout", Value::Null);
        object.put_some("messages_unacknowledged", self.state.as_ref().map(|state| state.unsettled));
        object.finish()
    }
}

impl ConsumerRow<'_> {
    pub(crate) fn id(&self) -> ConsumerId {
        self.consumer.id
    }

    pub(crate) fn tag(&self) -> &str {
        &self.consumer.tag
    }

    pub(crate) fn connection_name(&self) -> String {
        self.connection.name()
    }

    fn channel_details(&self) -> Value {
        json!({
            "connection_name": self.connection.name(),
            "name": self.channel_name,
            "node": self.cx.broker().facts().node,
            "number": self.number,
            "peer_host": self.connection.peer.ip().to_string(),
            "peer_port": self.connection.peer.port(),
            "user": *self.user,
        })
    }
}

/// The consumers of some virtual hosts, by queue and tag.
pub(crate) fn consumers<'a>(cx: &'a Context<'a>, hosts: &[Host]) -> Vec<ConsumerRow<'a>> {
    let connections: FastMap<ConnectionId, ConnectionState> =
        cx.broker().connections().into_iter().map(|it| (it.id, it)).collect();
    let channels = cx.broker().channels();
    let mut states: FastMap<QueueId, FastMap<ConsumerId, ConsumerState>> = FastMap::default();
    let mut rows = Vec::new();
    for channel in channels {
        let Some(connection) = connections.get(&channel.connection) else { continue };
        let Some(host) = hosts.iter().find(|host| host.name == channel.vhost) else { continue };
        for consumer in &channel.consumers {
            let mut record = None;
            cx.read(|topology| {
                record = topology.vhost(host.id).ok().and_then(|vhost| vhost.queue_by_id(consumer.queue)).cloned();
            });
            let Some(record) = record else { continue };
            let of_queue = states.entry(record.id).or_insert_with(|| {
                let detail = cx.broker().queue(&record).unwrap_or_default();
                detail.consumers.into_iter().map(|state| (state.spec.id, state)).collect()
            });
            rows.push(ConsumerRow {
                cx,
                consumer: consumer.clone(),
                state: of_queue.get(&consumer.id).cloned(),
                queue: record.id,
                queue_name: record.name.clone(),
                vhost: host.name.clone(),
                is_single: record.settings.single_active_consumer,
                channel_name: format!("{} ({})", connection.name(), channel.number),
                number: channel.number,
                user: channel.user.clone(),
                connection: connection.clone(),
            });
        }
    }
    rows.sort_by(|a, b| (&a.vhost, &a.queue_name, &a.consumer.tag).cmp(&(&b.vhost, &b.queue_name, &b.consumer.tag)));
    rows
}

/// GET /consumers, /consumers/{vhost}
pub(crate) fn list_consumers(cx: &Context<'_>) -> Result<Response, Failure> {
    let hosts = cx.hosts()?;
    cx.list(consumers(cx, &hosts))
}
