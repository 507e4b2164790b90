//! What the rest of the broker asks of AMQP's property bytes.

use std::sync::Arc;

use leveret_amqp::properties::{BasicProperties, Properties};
use leveret_amqp::value::FieldValue;
use leveret_core::Time;
use leveret_core::death::DeathHistory;
use leveret_core::message::Message;
use leveret_core::stream::StreamOffset;

use super::dead_letter::rewrite;
use super::publish::{keys_of, parse_expiration};
use super::values;
use crate::shard::editor::{Details, Editor};
use crate::shard::events::Event;
use crate::shard::stored::record::Kept;

/// AMQP's.
pub const EDITOR: Editor = Editor { redirect: rewrite, waited, restore, details, event };

/// "The event's fields are headers; the body is empty", with the time twice, as RabbitMQ has it.
fn event(exchange: &str, event: &Event, now: Time) -> Arc<Message> {
    let mut headers = values::table(&event.fields);
    let now_ms = i64::try_from(now.0).unwrap_or(i64::MAX);
    headers.push("timestamp_in_ms", now_ms);
    let properties = BasicProperties {
        headers: Some(headers),
        delivery_mode: Some(2),
        timestamp: Some(now.0 / 1000),
        ..BasicProperties::default()
    };
    let mut builder = Message::builder(exchange, event.key, properties.encode().raw(), 0);
    builder.persistent(true);
    builder.build()
}

/// What routing may look at.
fn details(message: &Message) -> Details {
    // The bytes were checked when the message came in.
    let Ok(properties) = Properties::parse(message.properties()) else { return Details::default() };
    of(&properties)
}

/// What routing may look at, of a message that is not built yet.
pub(super) fn of(properties: &Properties<'_>) -> Details {
    Details {
        headers: properties.headers().map(|headers| values::arguments(&headers)).unwrap_or_default(),
        correlation_id: properties.correlation_id().map(Box::from),
        message_id: properties.message_id().map(Box::from),
        timestamp: properties.timestamp(),
    }
}

/// A message as its delay ends: the header `x-delay` is negative now, as from RabbitMQ's plugin, so that nothing delays the message
/// again.
fn waited(message: &Arc<Message>) -> Arc<Message> {
    let Ok(properties) = Properties::parse(message.properties()) else { return message.clone() };
    let mut basic = BasicProperties::from(&properties);
    if let Some(headers) = &mut basic.headers
        && let Some(delay) = headers.get("x-delay").cloned()
    {
        headers.set("x-delay", negative(delay));
    }
    let raw = basic.encode().into_raw();
    let (exchange, key) = (message.exchange_name(), message.routing_key_text());
    let mut builder = Message::builder(exchange, key, &raw, 0);
    builder
        .body_of(message)
        .persistent(message.persistent)
        .priority(message.priority)
        .expiration_ms(message.expiration_ms());
    if !message.cc_keys().is_empty() {
        builder.cc_keys(message.cc_keys().to_vec());
    }
    if !message.bcc_keys().is_empty() {
        builder.bcc_keys(message.bcc_keys().to_vec());
    }
    if let Some(deaths) = message.deaths() {
        builder.deaths(deaths.clone());
    }
    builder.build()
}

/// The properties of a message from a stream: with the header `x-stream-offset`.
pub(super) fn with_offset(message: &Message, offset: StreamOffset) -> Vec<u8> {
    let mut basic = Properties::parse(message.properties()).map(|raw| BasicProperties::from(&raw)).unwrap_or_default();
    let offset = FieldValue::I64(i64::try_from(offset.get()).unwrap_or(i64::MAX));
    basic.headers.get_or_insert_default().set("x-stream-offset", offset);
    basic.encode().into_raw()
}

/// A stored message, as it was before.
fn restore(kept: &Kept<'_>) -> Option<Arc<Message>> {
    let properties = Properties::parse(kept.properties).ok()?;
    let mut builder = Message::builder(kept.exchange, kept.routing_key, kept.properties, kept.body.len());
    builder
        .body(kept.body)
        .persistent(kept.is_persistent)
        .priority(properties.priority().unwrap_or(0))
        .expiration_ms(properties.expiration().and_then(|text| parse_expiration(text).ok()));
    if let Some(headers) = properties.headers() {
        let cc_keys = keys_of(&headers, "CC").unwrap_or_default();
        if !cc_keys.is_empty() {
            builder.cc_keys(cc_keys);
        }
        if let Some(FieldValue::LongString(value)) = headers.find("x-stream-filter-value").map(|it| it.decode()) {
            builder.filter_value(&value);
        }
        if kept.is_dead
            && let Some(deaths) = DeathHistory::from_headers(&values::arguments(&headers))
        {
            builder.deaths(deaths);
        }
    }
    if !kept.bcc_keys.is_empty() {
        builder.bcc_keys(kept.bcc_keys.clone());
    }
    Some(builder.build())
}

fn negative(delay: FieldValue) -> FieldValue {
    match delay {
        FieldValue::I8(value) => FieldValue::I8(value.saturating_neg()),
        FieldValue::I16(value) => FieldValue::I16(value.saturating_neg()),
        FieldValue::I32(value) => FieldValue::I32(value.saturating_neg()),
        FieldValue::I64(value) => FieldValue::I64(value.saturating_neg()),
        FieldValue::U8(value) => FieldValue::I16(-i16::from(value)),
        FieldValue::U16(value) => FieldValue::I32(-i32::from(value)),
        FieldValue::U32(value) => FieldValue::I64(-i64::from(value)),
        FieldValue::LongString(text) => FieldValue::LongString([b"-", &text[..]].concat()),
        other => other,
    }
}
