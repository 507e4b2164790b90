//! Dead-lettered messages: the same body with the story of its deaths in the headers.

use std::sync::Arc;

use leveret_amqp::properties::{BasicProperties, Properties};
use leveret_core::death::Redirect;
use leveret_core::message::Message;
use leveret_core::value::Arguments;

use super::values;

/// The message as it is published again: "expiration is removed, body and other properties stay."
pub(super) fn rewrite(message: &Arc<Message>, redirect: &Redirect) -> Arc<Message> {
    // The bytes were checked when the message came in.
    let mut basic = Properties::parse(message.properties()).map(|raw| BasicProperties::from(&raw)).unwrap_or_default();
    let mut headers = values::from_table(basic.headers.take().unwrap_or_default());
    if redirect.drop_cc {
        headers.remove("CC");
    }
    redirect.deaths.write_headers(&mut headers);
    basic.headers = Some(values::table(&headers));
    basic.expiration = None;
    build(message, redirect, &basic.encode().into_raw(), headers)
}

fn build(message: &Arc<Message>, redirect: &Redirect, properties: &[u8], headers: Arguments) -> Arc<Message> {
    let mut builder = Message::builder(&redirect.exchange, &redirect.routing_key, properties, 0);
    builder
        .body_of(message)
        .persistent(message.persistent)
        .priority(message.priority)
        .headers(headers)
        .deaths(redirect.deaths.clone());
    if !redirect.drop_cc && !message.cc_keys().is_empty() {
        builder.cc_keys(message.cc_keys().to_vec());
    }
    builder.build()
}
