//! Health checks: `{"status":"ok"}`, or 503 with what is wrong.

use serde_json::{Value, json};

use super::context::Context;
use crate::failure::Failure;
use crate::http::{Response, Status};

fn ok() -> Result<Response, Failure> {
    Ok(Response::json(Status::Ok, &json!({"status": "ok"})))
}

fn failed(reason: &str, more: Value) -> Result<Response, Failure> {
    let mut body = json!({"status": "failed", "reason": reason});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    Ok(Response::json(Status::ServiceUnavailable, &body))
}

/// Checks that are true of a single node that answers at all.
pub(crate) fn fine(_: &Context<'_>) -> Result<Response, Failure> {
    ok()
}

/// node-is-quorum-critical
pub(crate) fn single_node(_: &Context<'_>) -> Result<Response, Failure> {
    Ok(Response::json(Status::Ok, &json!({"status": "ok", "reason": "single node cluster"})))
}

/// alarms, local-alarms
pub(crate) fn alarms(cx: &Context<'_>) -> Result<Response, Failure> {
    let (machine, node) = (cx.broker().machine(), &cx.broker().facts().node);
    let raised = [("memory", machine.memory_alarm), ("disk", machine.disk_alarm)];
    let alarms: Vec<Value> =
        raised.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| json!({"node": node, "resource": name})).collect();
    match alarms.is_empty() {
        true => ok(),
        false => failed("There are alarms in effect in the cluster", json!({"alarms": alarms})),
    }
}

/// port-listener/{port}
pub(crate) fn port_listener(cx: &Context<'_>) -> Result<Response, Failure> {
    let text = cx.name("port");
    let Ok(port) = text.parse::<u16>() else {
        return Err(Failure::BadRequest(format!("port should be a number, actually was '{text}'")));
    };
    let ports: Vec<u16> = cx.broker().facts().listeners.iter().map(|it| it.addr.port()).collect();
    match ports.contains(&port) {
        true => Ok(Response::json(Status::Ok, &json!({"status": "ok", "port": port}))),
        false => failed("No active listener", json!({"missing": port, "ports": ports})),
    }
}

/// A listener's protocol in the word of the checks.
fn check_name(protocol: &str) -> &str {
    match protocol {
        "amqp" => "amqp091",
        "amqp/ssl" => "amqp091/ssl",
        other => other,
    }
}

/// protocol-listener/{protocols}
pub(crate) fn protocol_listener(cx: &Context<'_>) -> Result<Response, Failure> {
    let active: Vec<&str> = cx.broker().facts().listeners.iter().map(|it| check_name(it.protocol)).collect();
    let wanted = cx.name("protocols").split(',').map(|it| if it == "amqp" { "amqp091" } else { it });
    let missing: Vec<&str> = wanted.filter(|it| !active.contains(it)).collect();
    match missing.is_empty() {
        true => Ok(Response::json(Status::Ok, &json!({"status": "ok", "protocols": active}))),
        false => failed("No active listener", json!({"missing": missing.join(","), "protocols": active})),
    }
}

/// aliveness-test/{vhost}: old load balancers ask for it.
pub(crate) fn aliveness(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.host()?;
    ok()
}

/// healthchecks/node/{node}
pub(crate) fn node(cx: &Context<'_>) -> Result<Response, Failure> {
    let name = cx.name("node");
    if name.is_empty() || name == cx.broker().facts().node { ok() } else { Err(Failure::NotFound) }
}

/// certificate-expiration/{within}/{unit}
pub(crate) fn certificates(cx: &Context<'_>) -> Result<Response, Failure> {
    let units = ["days", "weeks", "months", "years"];
    if cx.name("within").parse::<u32>().is_err() || !units.contains(&cx.name("unit")) {
        return Err(Failure::BadRequest("Invalid expiration unit or number".into()));
    }
    ok()
}
