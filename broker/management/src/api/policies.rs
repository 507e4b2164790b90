//! Policies, operator policies, parameters and global parameters.

use leveret_core::access::policy::{Policy, Scope};
use leveret_core::access::{Command, VhostPolicy};
use leveret_core::value::Value as Field;
use serde_json::{Value, json};

use super::context::Context;
use crate::clock::timestamp;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{from_arguments, from_field};

/// A policy as the API shows it; definitions have the same fields.
pub(crate) fn show_policy(vhost: &str, it: &Policy) -> Value {
    json!({
        "vhost": vhost,
        "name": *it.name,
        "pattern": it.pattern.as_str(),
        "apply-to": it.apply_to.as_str(),
        "definition": from_arguments(&it.definition),
        "priority": it.priority,
    })
}

fn list_scope(cx: &Context<'_>, scope: Scope) -> Result<Response, Failure> {
    let mut rows = Vec::new();
    for host in cx.hosts()? {
        let Some(vhost) = cx.access.vhost(&host.name) else { continue };
        rows.extend(vhost.policies(scope).values().map(|policy| show_policy(&host.name, policy)));
    }
    cx.list(rows)
}

fn show_scope(cx: &Context<'_>, scope: Scope) -> Result<Response, Failure> {
    let host = cx.host()?;
    let vhost = cx.access.vhost(&host.name).ok_or(Failure::NotFound)?;
    let policy = vhost.policies(scope).get(cx.name("name")).ok_or(Failure::NotFound)?;
    Ok(Response::json(Status::Ok, &show_policy(&host.name, policy)))
}

fn put_scope(cx: &Context<'_>, scope: Scope) -> Result<Response, Failure> {
    let (host, fields) = (cx.host()?, cx.fields()?);
    let priority = match fields.number("priority") {
        Ok(number) => Field::long(number.unwrap_or(0)),
        Err(_) => fields.field("priority")?,
    };
    cx.administer(Command::PutPolicy {
        vhost: host.name,
        scope,
        name: cx.name("name").into(),
        pattern: fields.require_text("pattern")?.into(),
        apply_to: fields.text("apply-to")?.unwrap_or("all").into(),
        priority,
        definition: fields.field("definition")?,
    })
}

fn delete_scope(cx: &Context<'_>, scope: Scope) -> Result<Response, Failure> {
    let vhost = cx.host()?.name;
    cx.administer(Command::DeletePolicy { vhost, scope, name: cx.name("name").into() })
}

/// GET /policies, /policies/{vhost}
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    list_scope(cx, Scope::User)
}

/// GET /policies/{vhost}/{name}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    show_scope(cx, Scope::User)
}

/// PUT /policies/{vhost}/{name}
pub(crate) fn put(cx: &Context<'_>) -> Result<Response, Failure> {
    put_scope(cx, Scope::User)
}

/// DELETE /policies/{vhost}/{name}
pub(crate) fn delete(cx: &Context<'_>) -> Result<Response, Failure> {
    delete_scope(cx, Scope::User)
}

/// GET /operator-policies, /operator-policies/{vhost}
pub(crate) fn list_operator(cx: &Context<'_>) -> Result<Response, Failure> {
    list_scope(cx, Scope::Operator)
}

/// GET /operator-policies/{vhost}/{name}
pub(crate) fn show_operator(cx: &Context<'_>) -> Result<Response, Failure> {
    show_scope(cx, Scope::Operator)
}

/// PUT /operator-policies/{vhost}/{name}
pub(crate) fn put_operator(cx: &Context<'_>) -> Result<Response, Failure> {
    put_scope(cx, Scope::Operator)
}

/// DELETE /operator-policies/{vhost}/{name}
pub(crate) fn delete_operator(cx: &Context<'_>) -> Result<Response, Failure> {
    delete_scope(cx, Scope::Operator)
}

// ---- parameters

pub(crate) fn show_parameter(vhost: &str, component: &str, name: &str, value: &Field) -> Value {
    json!({"vhost": vhost, "component": component, "name": name, "value": from_field(value)})
}

/// GET /parameters, /parameters/{component}, /parameters/{component}/{vhost}
pub(crate) fn list_parameters(cx: &Context<'_>) -> Result<Response, Failure> {
    let component = cx.name("component");
    let mut rows = Vec::new();
    for host in cx.hosts()? {
        let Some(vhost) = cx.access.vhost(&host.name) else { continue };
        rows.extend(parameters_of(&host.name, vhost));
    }
    rows.retain(|row: &Value| component.is_empty() || row["component"] == component);
    cx.list(rows)
}

/// All parameters of a virtual host: "operator policies are component operator_policy", and limits component vhost-limits.
pub(crate) fn parameters_of(vhost: &str, it: &VhostPolicy) -> Vec<Value> {
    let plain = it.parameters.iter().map(|((component, name), value)| show_parameter(vhost, component, name, value));
    let operator = it.operator_policies.values().map(|policy| {
        let value = json!({
            "pattern": policy.pattern.as_str(), "apply-to": policy.apply_to.as_str(),
            "definition": from_arguments(&policy.definition), "priority": policy.priority,
        });
        json!({"vhost": vhost, "component": "operator_policy", "name": *policy.name, "value": value})
    });
    let limits = (!it.limits.is_empty()).then(|| {
        let values = it.limits.iter().map(|(limit, value)| (limit.as_str().to_owned(), json!(value)));
        let value = Value::Object(values.collect());
        json!({"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": value})
    });
    plain.chain(operator).chain(limits).collect()
}

/// GET /parameters/{component}/{vhost}/{name}
pub(crate) fn show_one_parameter(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let vhost = cx.access.vhost(&host.name).ok_or(Failure::NotFound)?;
    let (component, name) = (cx.name("component"), cx.name("name"));
    let all = parameters_of(&host.name, vhost);
    let found = all.into_iter().find(|row| row["component"] == component && row["name"] == name);
    Ok(Response::json(Status::Ok, &found.ok_or(Failure::NotFound)?))
}

/// PUT /parameters/{component}/{vhost}/{name}
pub(crate) fn put_parameter(cx: &Context<'_>) -> Result<Response, Failure> {
    let value = cx.fields()?.field("value")?;
    let vhost = cx.host()?.name;
    cx.administer(Command::PutParameter {
        vhost,
        component: cx.name("component").into(),
        name: cx.name("name").into(),
        value,
    })
}

/// DELETE /parameters/{component}/{vhost}/{name}
pub(crate) fn delete_parameter(cx: &Context<'_>) -> Result<Response, Failure> {
    let vhost = cx.host()?.name;
    cx.administer(Command::DeleteParameter {
        vhost,
        component: cx.name("component").into(),
        name: cx.name("name").into(),
    })
}

/// GET /global-parameters
pub(crate) fn list_globals(cx: &Context<'_>) -> Result<Response, Failure> {
    let all = cx.access.global_parameters();
    cx.list(all.map(|(name, value)| json!({"name": **name, "value": from_field(value)})).collect::<Vec<Value>>())
}

/// GET /global-parameters/{name}
pub(crate) fn show_global(cx: &Context<'_>) -> Result<Response, Failure> {
    let found = cx.access.global_parameters().find(|(name, _)| &***name == cx.name("name"));
    let (name, value) = found.ok_or(Failure::NotFound)?;
    Ok(Response::json(Status::Ok, &json!({"name": **name, "value": from_field(value)})))
}

/// PUT /global-parameters/{name}
pub(crate) fn put_global(cx: &Context<'_>) -> Result<Response, Failure> {
    let value = cx.fields()?.field("value")?;
    cx.administer(Command::PutGlobalParameter { name: cx.name("name").into(), value })
}

/// DELETE /global-parameters/{name}
pub(crate) fn delete_global(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.administer(Command::DeleteGlobalParameter { name: cx.name("name").into() })
}

// ---- shovels

/// The component whose parameters declare shovels.
const SHOVEL: &str = "shovel";

/// GET /shovels, /shovels/{vhost}: those that are declared. None runs, and their state says so.
pub(crate) fn list_shovels(cx: &Context<'_>) -> Result<Response, Failure> {
    let mut rows = Vec::new();
    for host in cx.hosts()? {
        let Some(vhost) = cx.access.vhost(&host.name) else { continue };
        let declared = vhost.parameters.iter().filter(|((component, _), _)| &**component == SHOVEL);
        rows.extend(declared.map(|((_, name), value)| show_shovel(cx, &host.name, name, value)));
    }
    cx.list(rows)
}

fn show_shovel(cx: &Context<'_>, vhost: &str, name: &str, value: &Field) -> Value {
    let mut shown = json!({
        "node": cx.broker().facts().node, "timestamp": timestamp(cx.broker().now_ms()), "name": name, "vhost": vhost,
        "type": "dynamic", "state": "terminated", "reason": "this broker does not run shovels yet",
    });
    let value = from_field(value);
    for (from, to) in [
        ("src-queue", "src_queue"),
        ("src-exchange", "src_exchange"),
        ("src-protocol", "src_protocol"),
        ("dest-queue", "dest_queue"),
        ("dest-exchange", "dest_exchange"),
        ("dest-protocol", "dest_protocol"),
    ] {
        if let Some(found) = value.get(from) {
            shown[to] = found.clone();
        }
    }
    for (from, to) in [("src-uri", "src_uri"), ("dest-uri", "dest_uri")] {
        if let Some(uri) = value.get(from).and_then(Value::as_str) {
            shown[to] = json!(without_password(uri));
        }
    }
    shown
}

/// Passwords in addresses are not for everybody who may watch.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return String::new() };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{rest}")
}

/// DELETE /shovels/vhost/{vhost}/{name}
pub(crate) fn delete_shovel(cx: &Context<'_>) -> Result<Response, Failure> {
    let vhost = cx.host()?.name;
    cx.administer(Command::DeleteParameter { vhost, component: SHOVEL.into(), name: cx.name("name").into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_passwords() {
        let check = |uri: &str, expected: &str| assert_eq!(without_password(uri), expected);
        check("amqp://u:p@host:5672/%2F", "amqp://host:5672/%2F");
        check("amqp://u:p@ss@host", "amqp://host");
        check("amqp://host", "amqp://host");
        check("secret", "");
    }
}
