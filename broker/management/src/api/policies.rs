//! Policies, operator policies, parameters and global parameters.

use leveret_core::access::Command;
use leveret_core::access::policy::{Policy, Scope};
use leveret_core::value::Value as Field;
use serde_json::{Value, json};

use super::context::Context;
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
        let wanted = vhost.parameters.iter().filter(|((of, _), _)| component.is_empty() || &**of == component);
        rows.extend(wanted.map(|((of, name), value)| show_parameter(&host.name, of, name, value)));
    }
    cx.list(rows)
}

/// GET /parameters/{component}/{vhost}/{name}
pub(crate) fn show_one_parameter(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let vhost = cx.access.vhost(&host.name).ok_or(Failure::NotFound)?;
    let (component, name) = (cx.name("component"), cx.name("name"));
    let value = vhost.parameters.get(&(component.into(), name.into())).ok_or(Failure::NotFound)?;
    Ok(Response::json(Status::Ok, &show_parameter(&host.name, component, name, value)))
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
