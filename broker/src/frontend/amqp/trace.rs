//! The firehose: copies of what goes through a virtual host, for `amq.rabbitmq.trace`, where an operator has switched that on.
//!
//! "Key `publish.<exchange>` with headers exchange_name, routing_keys, properties, node, vhost, connection, channel, user,
//! routed_queues; key `deliver.<queue>` with redelivered in addition. Body is the message body" (RabbitMQ). What goes to the trace's
//! own exchange is not traced.

use std::rc::Rc;
use std::sync::Arc;

use leveret_amqp::properties::{BasicProperties, Properties};
use leveret_amqp::table::Table;
use leveret_amqp::value::FieldValue;
use leveret_core::exchange::Destination;
use leveret_core::message::Message;
use leveret_core::{QueueId, VhostId};

use super::channel::Channel;
use crate::shard::Shard;

/// Where the copies go.
const EXCHANGE: &str = "amq.rabbitmq.trace";

/// Who publishes or gets a message.
pub(in crate::frontend) struct Origin<'a> {
    pub(in crate::frontend) shard: &'a Rc<Shard>,
    pub(in crate::frontend) vhost: VhostId,
    pub(in crate::frontend) vhost_name: &'a str,
    pub(in crate::frontend) user: &'a str,
    /// The connection's name.
    pub(in crate::frontend) connection: &'a str,
    /// The channel's number.
    pub(in crate::frontend) channel: u16,
}

impl Channel {
    /// Whether the virtual host is traced.
    #[inline]
    pub(super) fn is_traced(&self) -> bool {
        self.link.shard.is_traced(self.link.vhost)
    }

    /// The channel as somebody who publishes and gets.
    #[cold]
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            shard: &self.link.shard,
            vhost: self.link.vhost,
            vhost_name: &self.link.vhost_name,
            user: &self.link.user,
            connection: &self.link.name,
            channel: self.number,
        }
    }
}

impl Origin<'_> {
    /// Copies a message that has been published.
    pub(in crate::frontend) fn trace_publish(&self, message: &Arc<Message>, destinations: &[Destination]) {
        let queues = destinations.iter().filter_map(|destination| self.name_of(destination.queue));
        let queues: Vec<FieldValue> = queues.map(FieldValue::from).collect();
        let headers = self.headers(message).with("routed_queues", queues);
        self.send_copy(&format!("publish.{}", message.exchange_name()), headers, message);
    }

    /// Copies a message that goes to a consumer or to who has got it.
    pub(in crate::frontend) fn trace_delivery(&self, queue: QueueId, message: &Arc<Message>, redelivered: bool) {
        let name = self.name_of(queue).unwrap_or_default();
        let headers = self.headers(message).with("redelivered", i32::from(redelivered));
        self.send_copy(&format!("deliver.{name}"), headers, message);
    }

    fn name_of(&self, queue: QueueId) -> Option<String> {
        let topology = self.shard.topology.borrow();
        let record = topology.vhost(self.vhost).ok().and_then(|vhost| vhost.queue_by_id(queue));
        record.map(|record| record.name.to_string())
    }

    fn headers(&self, message: &Message) -> Table {
        let keys = std::iter::once(message.routing_key_text()).chain(message.cc_keys().iter().map(|key| &**key));
        let keys: Vec<FieldValue> = keys.map(FieldValue::from).collect();
        Table::new()
            .with("exchange_name", message.exchange_name())
            .with("routing_keys", keys)
            .with("properties", properties_table(message))
            .with("node", self.shard.config.node_name.as_str())
            .with("vhost", self.vhost_name)
            .with("connection", self.connection)
            .with("channel", i32::from(self.channel))
            .with("user", self.user)
    }

    fn send_copy(&self, key: &str, headers: Table, message: &Arc<Message>) {
        if message.exchange_name() == EXCHANGE {
            return;
        }
        let properties = BasicProperties { headers: Some(headers), ..BasicProperties::default() };
        let mut builder = Message::builder(EXCHANGE, key, properties.encode().raw(), 0);
        builder.body_of(message);
        self.shard.republish(self.vhost, EXCHANGE, &builder.build());
    }
}

/// The properties that a message has, by name.
fn properties_table(message: &Message) -> Table {
    let mut table = Table::new();
    // The bytes were checked when the message came in.
    let Ok(raw) = Properties::parse(message.properties()) else { return table };
    let it = BasicProperties::from(&raw);
    let texts = [
        ("content_type", it.content_type),
        ("content_encoding", it.content_encoding),
        ("correlation_id", it.correlation_id),
        ("reply_to", it.reply_to),
        ("expiration", it.expiration),
        ("message_id", it.message_id),
        ("type", it.kind),
        ("user_id", it.user_id),
        ("app_id", it.app_id),
        ("cluster_id", it.cluster_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            table.push(name, FieldValue::LongString(text));
        }
    }
    for (name, number) in [("delivery_mode", it.delivery_mode), ("priority", it.priority)] {
        if let Some(number) = number {
            table.push(name, FieldValue::I32(number.into()));
        }
    }
    if let Some(seconds) = it.timestamp {
        table.push("timestamp", i64::try_from(seconds).unwrap_or(i64::MAX));
    }
    if let Some(headers) = it.headers {
        table.push("headers", headers);
    }
    table
}
