//! Where a message would go and why, and why a queue does not move.

use leveret_core::topology::{BindingEnd, Explanation, Hop, Publish, Verdict};
use serde_json::{Value, json};

use super::bodies::Fields;
use super::channels;
use super::context::Context;
use super::{exchanges, queues};
use crate::doctor::{Patient, Taker, examine};
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::from_arguments;

/// POST /explain/{vhost}/{name}: `routing_key`, and `headers` as an object.
pub(crate) fn route(cx: &Context<'_>) -> Result<Response, Failure> {
    let (host, fields) = (cx.host()?, cx.fields()?);
    let exchange = exchanges::record(cx, &host, cx.exchange_name("name"))?.name.clone();
    let routing_key = fields.text("routing_key")?.unwrap_or_default();
    let headers = headers(&fields)?;
    let publish = Publish {
        exchange: &exchange,
        routing_key,
        more_keys: &[],
        headers: Some(&headers),
        identity: Default::default(),
        has_waited: false,
    };
    let mut told = None;
    cx.read(|topology| told = topology.explain(host.id, &publish, cx.broker().now_ms()).ok());
    let told = told.ok_or(Failure::NotFound)?;
    Ok(Response::json(Status::Ok, &show(&told, routing_key)))
}

fn headers(fields: &Fields) -> Result<leveret_core::value::Arguments, Failure> {
    let properties = fields.object("properties")?;
    match properties.get("headers") {
        Some(_) => properties.arguments("headers"),
        None => fields.arguments("headers"),
    }
}

fn show(told: &Explanation, routing_key: &str) -> Value {
    let queues: Vec<&str> = told.queues.iter().map(|name| &**name).collect();
    let hops: Vec<Value> = told.hops.iter().map(|hop| show_hop(hop, routing_key)).collect();
    json!({"routed": !queues.is_empty(), "queues": queues, "hops": hops})
}

fn show_hop(hop: &Hop, routing_key: &str) -> Value {
    let verdicts: Vec<Value> = hop.bindings.iter().map(|it| show_verdict(hop, it, routing_key)).collect();
    let mut shown = json!({
        "exchange": *hop.exchange, "type": hop.kind.as_str(), "delays": hop.delays, "bindings": verdicts,
    });
    if let Some((alternate, exists)) = &hop.alternate {
        let why = match exists {
            true => "no binding takes the message, so it goes to the alternate exchange",
            false => "no binding takes the message, and the alternate exchange does not exist",
        };
        shown["alternate"] = json!({"exchange": **alternate, "exists": exists, "reason": why});
    } else if !hop.bindings.iter().any(|it| it.takes) {
        shown["reason"] = json!("no binding takes the message: it ends here");
    }
    shown
}

fn show_verdict(hop: &Hop, it: &Verdict, routing_key: &str) -> Value {
    let (kind, destination) = match &it.binding.destination {
        BindingEnd::Queue(name) => ("queue", name),
        BindingEnd::Exchange(name) => ("exchange", name),
    };
    json!({
        "destination": **destination,
        "destination_type": kind,
        "binding_key": *it.binding.key,
        "arguments": from_arguments(&it.binding.arguments),
        "matches": it.takes,
        "reason": reason(hop, it, routing_key),
    })
}

/// Why a binding takes a message or not, in words.
fn reason(hop: &Hop, it: &Verdict, routing_key: &str) -> String {
    let key = &it.binding.key;
    match (hop.kind.as_str(), it.takes) {
        (_, true) if hop.exchange.is_empty() => format!("there is a queue '{routing_key}'"),
        ("direct", true) => format!("the binding key is the routing key '{routing_key}'"),
        ("direct", false) => format!("the binding key '{key}' is not the routing key '{routing_key}'"),
        ("topic", true) => format!("the pattern '{key}' matches the routing key '{routing_key}'"),
        ("topic", false) => format!("the pattern '{key}' does not match the routing key '{routing_key}'"),
        ("fanout", true) => "a fanout exchange sends to all".into(),
        ("headers", true) => "the headers are as the binding's arguments ask".into(),
        ("headers", false) => "the headers are not as the binding's arguments ask".into(),
        (kind, true) => format!("an exchange of type {kind} chose it"),
        (kind, false) => format!("an exchange of type {kind} chose another one"),
    }
}

/// GET /doctor/{vhost}/{name}
pub(crate) fn doctor(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = queues::record(cx, &host)?;
    let detail = cx.broker().queue(&record).ok_or(Failure::NotFound)?;
    let machine = cx.broker().machine();
    let settings = queues::effective(cx, &host.name, &record).queue_settings(&record.arguments, &record.settings);
    let (mut missing, mut bindings) = (None, 0);
    cx.read(|topology| {
        let Ok(vhost) = topology.vhost(host.id) else { return };
        bindings = vhost.bindings_to(&BindingEnd::Queue(record.name.clone())).len();
        let target = settings.dead_letter.as_ref().map(|target| target.exchange.clone());
        missing = target.filter(|name| vhost.exchange(name).is_none()).map(|name| name.to_string());
    });
    let known = channels::consumers(cx, std::slice::from_ref(&host));
    let takers = detail.consumers.iter().map(|it| {
        let row = known.iter().find(|row| row.queue == record.id && row.id() == it.spec.id);
        Taker {
            tag: row.map(|row| row.tag().to_owned()).unwrap_or_default(),
            connection: row.map(|row| row.connection_name()).unwrap_or_default(),
            no_ack: it.spec.no_ack,
            prefetch: it.spec.prefetch,
            unsettled: it.unsettled,
            active: it.active,
            paused: it.paused,
            window: it.window,
        }
    });
    let patient = Patient {
        name: record.name.to_string(),
        vhost: host.name.to_string(),
        ready: detail.state.ready,
        unsettled: detail.state.unsettled,
        ready_bytes: detail.state.ready_bytes,
        consumers: takers.collect(),
        settings,
        missing_dead_letter_exchange: missing,
        bindings,
        memory_alarm: machine.memory_alarm,
        disk_alarm: machine.disk_alarm,
        expired: detail.state.counters.expired,
        published: detail.state.counters.published,
    };
    let show = |it: crate::doctor::Finding| json!({"code": it.code, "sentence": it.sentence, "remedy": it.remedy});
    let findings: Vec<Value> = examine(&patient).into_iter().map(show).collect();
    Ok(Response::json(Status::Ok, &json!({"queue": *record.name, "vhost": *host.name, "findings": findings})))
}
