//! What other front-ends ask of AMQP's: the words of refusals, and properties from and to the bytes that messages carry.

use leveret_amqp::properties::{BasicProperties, Properties};
use leveret_amqp::reply::ReplyCode;
use leveret_core::Error;
use leveret_core::message::Message;
use leveret_management::port::{self, Refusal};

use super::errors::explain;
use super::publish::parse_expiration;
pub(in crate::frontend) use super::server_properties::COMPATIBLE_VERSION;
use super::values;

/// A refusal of the core as a client would read it.
pub(in crate::frontend) fn refusal(error: &Error) -> Refusal {
    let error = explain(error);
    Refusal { code: error.code.code(), text: error.text }
}

/// Property bytes, and the time to live among them.
///
/// # Errors
/// An expiration that is no number of milliseconds.
pub(in crate::frontend) fn encode(it: &port::Properties) -> Result<(Vec<u8>, Option<u64>), Refusal> {
    let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
    let expiration_ms = match &it.expiration {
        None => None,
        Some(text) => {
            let refuse = |error: leveret_amqp::error::ProtocolError| Refusal {
                code: ReplyCode::PreconditionFailed.code(),
                text: error.text,
            };
            Some(parse_expiration(text.as_bytes()).map_err(refuse)?)
        }
    };
    let basic = BasicProperties {
        content_type: bytes(&it.content_type),
        content_encoding: bytes(&it.content_encoding),
        headers: it.headers.as_ref().map(values::table),
        delivery_mode: it.delivery_mode,
        priority: it.priority,
        correlation_id: bytes(&it.correlation_id),
        reply_to: bytes(&it.reply_to),
        expiration: bytes(&it.expiration),
        message_id: bytes(&it.message_id),
        timestamp: it.timestamp,
        kind: bytes(&it.kind),
        user_id: bytes(&it.user_id),
        app_id: bytes(&it.app_id),
        cluster_id: bytes(&it.cluster_id),
    };
    Ok((basic.encode().into_raw(), expiration_ms))
}

/// A message's properties.
pub(in crate::frontend) fn decode(message: &Message) -> port::Properties {
    // The bytes were checked when the message came in.
    let Ok(properties) = Properties::parse(message.properties()) else { return port::Properties::default() };
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    port::Properties {
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        headers: properties.headers().map(|headers| values::arguments(&headers)),
        delivery_mode: properties.delivery_mode(),
        priority: properties.priority(),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        expiration: text(properties.expiration()),
        message_id: text(properties.message_id()),
        timestamp: properties.timestamp(),
        kind: text(properties.kind()),
        user_id: text(properties.user_id()),
        app_id: text(properties.app_id()),
        cluster_id: text(properties.cluster_id()),
    }
}

/// A message's property `timestamp`, in seconds.
pub(in crate::frontend) fn timestamp(message: &Message) -> Option<u64> {
    Properties::parse(message.properties()).ok()?.timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_survive_the_round_trip() {
        let properties = port::Properties {
            content_type: Some("text/plain".into()),
            delivery_mode: Some(2),
            expiration: Some("60".into()),
            timestamp: Some(7),
            kind: Some("k".into()),
            ..port::Properties::default()
        };
        let (raw, expiration_ms) = encode(&properties).expect("a number of milliseconds");
        let message = Message::builder("x", "k", &raw, 0).build();
        assert_eq!((decode(&message), expiration_ms, timestamp(&message)), (properties, Some(60), Some(7)));
        let refused = encode(&port::Properties { expiration: Some("soon".into()), ..Default::default() });
        assert_eq!(refused.unwrap_err().code, 406);
    }
}
