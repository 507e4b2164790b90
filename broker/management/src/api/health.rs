//! Health checks: `{"status":"ok"}`, or 503 with what is wrong.

use serde_json::{Value, json};

use super::context::Context;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::port::{Listener, Service};

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

/// is-in-service, ready-to-serve-clients
pub(crate) fn service(cx: &Context<'_>) -> Result<Response, Failure> {
    match cx.broker().service() {
        Service::Running => ok(),
        Service::Stopped => failed("the node does not serve clients: start it with 'start_app'", json!({})),
        Service::Drained => failed("the node is in maintenance mode: end that with 'revive'", json!({})),
    }
}

/// Who listens at the moment.
fn listeners(cx: &Context<'_>) -> Vec<Listener> {
    let is_open = cx.broker().service() == Service::Running;
    let all = cx.broker().facts().listeners.iter();
    all.filter(|it| is_open || !it.protocol.starts_with("amqp")).cloned().collect()
}

/// port-listener/{port}
pub(crate) fn port_listener(cx: &Context<'_>) -> Result<Response, Failure> {
    let text = cx.name("port");
    let Ok(port) = text.parse::<u16>() else {
        return Err(Failure::BadRequest(format!("port should be a number, actually was '{text}'")));
    };
    let ports: Vec<u16> = listeners(cx).iter().map(|it| it.addr.port()).collect();
    match ports.contains(&port) {
        true => Ok(Response::json(Status::Ok, &json!({"status": "ok", "port": port}))),
        false => failed("No active listener", json!({"missing": port, "ports": ports})),
    }
}

/// A listener's protocol in the word of the checks.
fn check_name(protocol: &'static str) -> &'static str {
    match protocol {
        "amqp" => "amqp091",
        "amqp/ssl" => "amqp091/ssl",
        other => other,
    }
}

/// protocol-listener/{protocols}
pub(crate) fn protocol_listener(cx: &Context<'_>) -> Result<Response, Failure> {
    let active: Vec<&str> = listeners(cx).iter().map(|it| check_name(it.protocol)).collect();
    let wanted = cx.name("protocols").split(',').map(|it| if it == "amqp" { "amqp091" } else { it });
    let missing: Vec<&str> = wanted.filter(|it| !active.contains(it)).collect();
    match missing.is_empty() {
        true => Ok(Response::json(
            Status::Ok,
            &json!({"status": "ok", "protocol": cx.name("protocols"), "protocols": active}),
        )),
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

const DAY_S: i64 = 86_400;

/// A span such as "4 weeks" in seconds; the reason why it is none.
fn span(within: &str, unit: &str) -> Result<i64, &'static str> {
    let days = match unit {
        "days" => 1,
        "weeks" => 7,
        "months" => 30,
        "years" => 365,
        _ => return Err("Time unit not recognised. Supported units: days, weeks, months, years."),
    };
    let count = within.parse::<u32>().map_err(|_| "Invalid expiration value.")?;
    Ok(i64::from(count) * days * DAY_S)
}

/// certificate-expiration/{within}/{unit}
pub(crate) fn certificates(cx: &Context<'_>) -> Result<Response, Failure> {
    let span = span(cx.name("within"), cx.name("unit"));
    let span = span.map_err(|reason| Failure::BadRequest(reason.into()))?;
    let Some(found) = cx.broker().certificates() else { return ok() };
    let limit = i64::try_from(cx.broker().now_ms() / 1000).unwrap_or(i64::MAX).saturating_add(span);
    if found.ends.iter().chain(&found.authorities_end).all(|end| *end > limit) {
        return ok();
    }
    let facts = cx.broker().facts();
    let is_secure = |it: &&Listener| it.protocol.ends_with("/ssl") || it.protocol == "https";
    let expiring = facts.listeners.iter().filter(is_secure).map(|it| {
        json!({
            "node": facts.node, "protocol": it.protocol, "interface": it.addr.ip().to_string(), "port": it.addr.port(),
            "certfile": found.file, "certfile_expires_on": dates(&found.ends),
            "cacertfile": found.authorities_file, "cacertfile_expires_on": dates(&found.authorities_end),
        })
    });
    let expiring: Vec<Value> = expiring.collect();
    failed("Certificates expiring", json!({"expired": expiring}))
}

fn dates(ends: &[i64]) -> Vec<String> {
    ends.iter().map(|end| crate::clock::utc(*end)).collect()
}

/// below-node-connection-limit
pub(crate) fn connection_limit(cx: &Context<'_>) -> Result<Response, Failure> {
    let (current, limit) = (cx.broker().connections().len() as u64, cx.broker().facts().connection_max);
    let more = json!({"current": current, "limit": limit.map_or(json!("infinity"), |limit| json!(limit))});
    match limit {
        Some(limit) if current >= limit => failed("node connection limit is reached", more),
        _ => ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check =
            |within, unit, days: Option<i64>| assert_eq!(span(within, unit).ok(), days.map(|days| days * DAY_S));
        check("1", "days", Some(1));
        check("4", "weeks", Some(28));
        check("2", "months", Some(60));
        check("4294967295", "years", Some(4_294_967_295 * 365));
        check("0", "days", Some(0));
        check("-1", "days", None);
        check("1", "hours", None);
        check("99999999999", "days", None);
    }
}
