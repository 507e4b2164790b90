//! Messages by HTTP: publish to an exchange, get from a queue, look at what waits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leveret_core::access::permission::Operation;
use serde_json::{Map, Value, json};

use super::bodies::Fields;
use super::context::Context;
use super::{exchanges, queues};
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::from_arguments;
use crate::port::{Afterwards, Command, GotMessage, Outcome, Properties};

/// Messages of one get.
const COUNT_MAX: i64 = 10_000;

/// POST /exchanges/{vhost}/{name}/publish
pub(crate) fn publish(cx: &Context<'_>) -> Result<Response, Failure> {
    let (host, fields) = (cx.host()?, cx.fields()?);
    let exchange = exchanges::record(cx, &host, cx.exchange_name("name"))?.name.clone();
    let routing_key = fields.require_text("routing_key")?;
    let properties = properties(&fields.object("properties")?)?;
    fields.require("properties")?;
    let body = payload(fields.require_text("payload")?, fields.require_text("payload_encoding")?)?;
    if let Some(user) = properties.user_id.as_deref().filter(|user| *user != &*cx.login.user) {
        let text = format!("user_id property set to '{user}' but authenticated user was '{}'", cx.login.user);
        return Err(Failure::BadRequest(text));
    }
    let command = Command::Publish {
        exchange: exchange.clone(),
        routing_key: routing_key.into(),
        properties: Box::new(properties),
        body,
    };
    match cx.execute(&host, Operation::Publish { exchange: &exchange }, command)? {
        Outcome::Published { accepted: false, .. } => {
            Err(Failure::BadRequest("Unable to publish message. Check queue limits.".into()))
        }
        Outcome::Published { queues, .. } => Ok(Response::json(Status::Ok, &json!({"routed": queues > 0}))),
        _ => Ok(Response::json(Status::Ok, &json!({"routed": false}))),
    }
}

fn payload(text: &str, encoding: &str) -> Result<Vec<u8>, Failure> {
    match encoding {
        "string" => Ok(text.as_bytes().to_vec()),
        "base64" => {
            STANDARD.decode(text).map_err(|error| Failure::BadRequest(format!("payload is not base64: {error}")))
        }
        other => Err(Failure::BadRequest(format!("unsupported encoding: {other}"))),
    }
}

fn properties(fields: &Fields) -> Result<Properties, Failure> {
    let text = |key| Ok::<_, Failure>(fields.text(key)?.map(str::to_owned));
    let small = |key: &str| match fields.number(key)? {
        None => Ok(None),
        Some(number) => match u8::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::BadRequest(format!("{key} should be from 0 to 255, actually was {number}"))),
        },
    };
    let headers = fields.get("headers").map(|_| fields.arguments("headers")).transpose()?;
    let timestamp = fields.number("timestamp")?.and_then(|seconds| u64::try_from(seconds).ok());
    // Expiration is text on the wire, but many write a number.
    let expiration = match fields.get("expiration") {
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => text("expiration")?,
    };
    Ok(Properties {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers,
        delivery_mode: small("delivery_mode")?,
        priority: small("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration,
        message_id: text("message_id")?,
        timestamp,
        kind: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    })
}

/// POST /queues/{vhost}/{name}/get
pub(crate) fn get(cx: &Context<'_>) -> Result<Response, Failure> {
    let fields = cx.fields()?;
    let then = afterwards(&fields)?;
    take(cx, &fields, then)
}

/// POST /queues/{vhost}/{name}/peek: as get, but the messages stay as they are.
pub(crate) fn peek(cx: &Context<'_>) -> Result<Response, Failure> {
    take(cx, &cx.fields()?, Afterwards::Peek)
}

/// POST /queues/{vhost}/{name}/move: `to` names another queue of the virtual host, `count` how many messages. Takes what
/// getting from the one and publishing by the default exchange to the other take.
pub(crate) fn move_messages(cx: &Context<'_>) -> Result<Response, Failure> {
    let (host, fields) = (cx.host()?, cx.fields()?);
    let record = queues::record(cx, &host)?;
    let to = fields.require_text("to")?;
    if *record.name == *to {
        return Err(Failure::BadRequest("a queue's messages cannot be moved to itself".into()));
    }
    let count = fields.number("count")?.ok_or_else(|| Failure::BadRequest("key_missing: count".into()))?;
    if !(0..=COUNT_MAX).contains(&count) {
        return Err(Failure::BadRequest(format!("count should be from 0 to {COUNT_MAX}, actually was {count}")));
    }
    cx.permit(&host, Operation::Publish { exchange: "" })?;
    let count = usize::try_from(count).unwrap_or(0);
    let command = Command::Move { from: record.name.clone(), to: to.into(), count };
    match cx.execute(&host, Operation::TakeFromQueue { queue: &record.name }, command)? {
        Outcome::Moved { count, refused } => {
            Ok(Response::json(Status::Ok, &json!({"moved": count, "refused": refused})))
        }
        _ => Err(Failure::NotFound),
    }
}

fn take(cx: &Context<'_>, fields: &Fields, then: Afterwards) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = queues::record(cx, &host)?;
    let count = match then {
        Afterwards::Peek => fields.number("count")?.unwrap_or(1),
        _ => fields.number("count")?.ok_or_else(|| Failure::BadRequest("key_missing: count".into()))?,
    };
    if !(0..=COUNT_MAX).contains(&count) {
        return Err(Failure::BadRequest(format!("count should be from 0 to {COUNT_MAX}, actually was {count}")));
    }
    let is_base64 = match fields.text("encoding")?.unwrap_or("auto") {
        "auto" => false,
        "base64" => true,
        other => return Err(Failure::BadRequest(format!("unsupported encoding: {other}"))),
    };
    let truncate = fields.number("truncate")?.and_then(|size| usize::try_from(size).ok());
    let count = usize::try_from(count).unwrap_or(0);
    let command = Command::Get { queue: record.name.clone(), count, then };
    let outcome = cx.execute(&host, Operation::TakeFromQueue { queue: &record.name }, command)?;
    let Outcome::Got(messages) = outcome else { return Ok(Response::json(Status::Ok, &json!([]))) };
    let shown = messages.iter().map(|message| show(message, is_base64, truncate)).collect();
    Ok(Response::json(Status::Ok, &Value::Array(shown)))
}

fn afterwards(fields: &Fields) -> Result<Afterwards, Failure> {
    match fields.text("ackmode")? {
        Some("ack_requeue_true" | "reject_requeue_true") => Ok(Afterwards::Requeue),
        Some("ack_requeue_false") => Ok(Afterwards::Ack),
        Some("reject_requeue_false") => Ok(Afterwards::Reject),
        Some(other) => Err(Failure::BadRequest(format!("unsupported ackmode: {other}"))),
        // Clients of before 3.7.
        None => match fields.flag("requeue")? {
            Some(true) => Ok(Afterwards::Requeue),
            Some(false) => Ok(Afterwards::Ack),
            None => Err(Failure::BadRequest("key_missing: ackmode".into())),
        },
    }
}

fn show(message: &GotMessage, is_base64: bool, truncate: Option<usize>) -> Value {
    let body = &message.body[..truncate.unwrap_or(usize::MAX).min(message.body.len())];
    let (payload, encoding) = match str::from_utf8(body) {
        Ok(text) if !is_base64 => (text.to_owned(), "string"),
        _ => (STANDARD.encode(body), "base64"),
    };
    json!({
        "payload_bytes": message.body.len(),
        "redelivered": message.redelivered,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "message_count": message.remaining,
        "properties": show_properties(&message.properties),
        "payload": payload,
        "payload_encoding": encoding,
    })
}

fn show_properties(it: &Properties) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown.insert(name.to_owned(), value);
        }
    };
    put("content_type", it.content_type.clone().map(Value::from));
    put("content_encoding", it.content_encoding.clone().map(Value::from));
    put("headers", it.headers.as_ref().map(from_arguments));
    put("delivery_mode", it.delivery_mode.map(Value::from));
    put("priority", it.priority.map(Value::from));
    put("correlation_id", it.correlation_id.clone().map(Value::from));
    put("reply_to", it.reply_to.clone().map(Value::from));
    put("expiration", it.expiration.clone().map(Value::from));
    put("message_id", it.message_id.clone().map(Value::from));
    put("timestamp", it.timestamp.map(Value::from));
    put("type", it.kind.clone().map(Value::from));
    put("user_id", it.user_id.clone().map(Value::from));
    put("app_id", it.app_id.clone().map(Value::from));
    put("cluster_id", it.cluster_id.clone().map(Value::from));
    // An empty table is an empty list in RabbitMQ's answers, and clients have learnt to live with that; not here.
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_text_or_base64() {
        let message = |body: &[u8]| GotMessage {
            redelivered: false,
            exchange: String::new(),
            routing_key: "q".into(),
            remaining: 2,
            properties: Properties::default(),
            body: body.to_vec(),
        };
        let check = |body: &[u8], is_base64: bool, truncate: Option<usize>, payload: &str, encoding: &str| {
            let shown = show(&message(body), is_base64, truncate);
            assert_eq!((&shown["payload"], &shown["payload_encoding"]), (&json!(payload), &json!(encoding)));
            assert_eq!(shown["payload_bytes"], body.len());
        };
        check(b"hello", false, None, "hello", "string");
        check(b"hello", false, Some(2), "he", "string");
        check(b"hello", true, None, "aGVsbG8=", "base64");
        check(&[0xff], false, None, "/w==", "base64");
        check("\u{e4}".as_bytes(), false, Some(1), "ww==", "base64");
    }

    #[test]
    fn properties_survive_the_round_trip() {
        let text = r#"{"content_type":"text/plain","delivery_mode":2,"headers":{"n":1},"timestamp":5,"type":"t","priority":9}"#;
        let read = properties(&Fields::parse(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(show_properties(&read), serde_json::from_str::<Value>(text).unwrap());
        let refused = |text: &str| properties(&Fields::parse(text.as_bytes()).unwrap()).is_err();
        assert!(
            refused(r#"{"delivery_mode": 256}"#) && refused(r#"{"priority": "x"}"#) && refused(r#"{"headers": 1}"#)
        );
    }

    #[test]
    fn what_happens_afterwards_is_said_in_old_ways_too() {
        let check = |text: &str, expected: Option<Afterwards>| {
            assert_eq!(afterwards(&Fields::parse(text.as_bytes()).unwrap()).ok(), expected, "{text}");
        };
        check(r#"{"ackmode":"ack_requeue_true"}"#, Some(Afterwards::Requeue));
        check(r#"{"ackmode":"ack_requeue_false"}"#, Some(Afterwards::Ack));
        check(r#"{"ackmode":"reject_requeue_true"}"#, Some(Afterwards::Requeue));
        check(r#"{"ackmode":"reject_requeue_false"}"#, Some(Afterwards::Reject));
        check(r#"{"requeue":true}"#, Some(Afterwards::Requeue));
        check(r#"{"requeue":"false"}"#, Some(Afterwards::Ack));
        check(r#"{"ackmode":"x"}"#, None);
        check("{}", None);
    }
}
