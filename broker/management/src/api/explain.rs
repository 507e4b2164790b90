//! Where a message would go and why, and why a queue does not move.

use std::sync::Arc;

use leveret_core::topology::{BindingEnd, Explanation, Hop, Publish, QueueRecord, Verdict};
use serde_json::{Value, json};

use super::bodies::Fields;
use super::channels;
use super::context::{Context, Host};
use super::{exchanges, queues};
use crate::doctor::{Finding, Patient, Taker, examine};
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::from_arguments;

/// Queues that the doctor looks at in one go.
const PATIENTS_MAX: usize = 20;

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
    let text = route_lines(&queues, &hops);
    json!({"routed": !queues.is_empty(), "queues": queues, "hops": hops, "text": text})
}

/// The same as lines for a terminal.
fn route_lines(queues: &[&str], hops: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![match queues {
        [] => "It reaches no queue.".to_owned(),
        queues => format!("It goes to {}.", queues.join(", ")),
    }];
    for hop in hops {
        let name = match &*text(&hop["exchange"]) {
            "" => "The default exchange".to_owned(),
            name => format!("Exchange {name} ({})", text(&hop["type"])),
        };
        lines.push(format!("{name}:"));
        for it in hop["bindings"].as_array().into_iter().flatten() {
            let sign = if it["matches"] == true { "+" } else { "-" };
            lines.push(format!(
                "  {sign} {} {}: {}",
                text(&it["destination_type"]),
                text(&it["destination"]),
                text(&it["reason"])
            ));
        }
        if let Some(reason) = hop["alternate"]["reason"].as_str() {
            lines.push(format!("  > {}: {reason}", text(&hop["alternate"]["exchange"])));
        }
        lines.extend(hop["reason"].as_str().map(|reason| format!("  {reason}")));
    }
    lines
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
    let findings = findings(cx, &host, &record)?;
    Ok(Response::json(Status::Ok, &show_findings(&host, &record.name, &findings)))
}

/// GET /doctor/{vhost}: the fullest queues of a virtual host, [`PATIENTS_MAX`] at most.
pub(crate) fn doctor_of_vhost(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let states = cx.broker().queues();
    let held = |record: &QueueRecord| states.get(&record.id).map_or(0, |state| state.ready + state.unsettled);
    let mut records = queues::records(cx, std::slice::from_ref(&host));
    records.retain(|(_, record)| held(record) > 0);
    records.sort_by_key(|(_, record)| std::cmp::Reverse(held(record)));
    records.truncate(PATIENTS_MAX);
    let (mut told, mut text) = (Vec::new(), Vec::new());
    for (_, record) in &records {
        // A queue that has gone meanwhile is no patient.
        let Ok(findings) = findings(cx, &host, record) else { continue };
        told.push(show_findings(&host, &record.name, &findings));
        text.push(format!("{}:", record.name));
        text.extend(finding_lines(&findings).into_iter().map(|line| format!("  {line}")));
    }
    if told.is_empty() {
        text.push(format!("No queue of virtual host '{}' holds messages.", host.name));
    }
    Ok(Response::json(Status::Ok, &json!({"vhost": *host.name, "queues": told, "text": text})))
}

fn show_findings(host: &Host, queue: &str, findings: &[Finding]) -> Value {
    let show = |it: &Finding| json!({"code": it.code, "sentence": it.sentence, "remedy": it.remedy});
    let shown: Vec<Value> = findings.iter().map(show).collect();
    json!({"queue": queue, "vhost": *host.name, "findings": shown, "text": finding_lines(findings)})
}

/// Each sentence, and below it the command that helps.
fn finding_lines(findings: &[Finding]) -> Vec<String> {
    let lines = |it: &Finding| [Some(it.sentence.clone()), it.remedy.as_ref().map(|remedy| format!("  {remedy}"))];
    findings.iter().flat_map(lines).flatten().collect()
}

fn findings(cx: &Context<'_>, host: &Host, record: &Arc<QueueRecord>) -> Result<Vec<Finding>, Failure> {
    let detail = cx.broker().queue(record).ok_or(Failure::NotFound)?;
    let machine = cx.broker().machine();
    let settings = queues::effective(cx, &host.name, record).queue_settings(&record.arguments, &record.settings);
    let (mut missing, mut bindings) = (None, 0);
    cx.read(|topology| {
        let Ok(vhost) = topology.vhost(host.id) else { return };
        bindings = vhost.bindings_to(&BindingEnd::Queue(record.name.clone())).len();
        let target = settings.dead_letter.as_ref().map(|target| target.exchange.clone());
        missing = target.filter(|name| vhost.exchange(name).is_none()).map(|name| name.to_string());
    });
    let known = channels::consumers(cx, std::slice::from_ref(host));
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
        messages_lost: machine.messages_lost,
        disk_alarm: machine.disk_alarm,
        expired: detail.state.counters.expired,
        published: detail.state.counters.published,
    };
    Ok(examine(&patient))
}
