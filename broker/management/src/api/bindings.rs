//! Bindings: lists of all kinds, one of them, binding, unbinding.

use std::hash::{BuildHasher, BuildHasherDefault};

use leveret_core::access::permission::Operation;
use leveret_core::topology::{Binding, BindingEnd, Vhost};
use leveret_core::value::Arguments;
use leveret_core::{FoldHasher, Name};
use serde_json::Value;

use super::context::{Context, Host};
use super::{exchanges, queues};
use crate::failure::Failure;
use crate::http::request::encode;
use crate::http::{Response, Status};
use crate::json::{Columns, Object, from_arguments};
use crate::listing::Row;
use crate::port::Command;

/// A binding in a list.
pub(crate) struct BindingRow {
    vhost: Name,
    binding: Binding,
}

impl Row for BindingRow {
    fn name(&self) -> &str {
        &self.binding.source
    }

    fn render(&self, columns: &Columns) -> Value {
        let it = &self.binding;
        let (kind, destination) = end(&it.destination);
        let mut object = Object::new(columns);
        object
            .put("source", &*it.source)
            .put("vhost", &*self.vhost)
            .put("destination", &**destination)
            .put("destination_type", kind)
            .put("routing_key", &*it.key)
            .put_with("arguments", || from_arguments(&it.arguments))
            .put_with("properties_key", || Value::from(properties_key(&it.key, &it.arguments)));
        object.finish()
    }
}

fn end(end: &BindingEnd) -> (&'static str, &Name) {
    match end {
        BindingEnd::Queue(name) => ("queue", name),
        BindingEnd::Exchange(name) => ("exchange", name),
    }
}

/// What names a binding among those between two ends. Clients only hand it back.
pub(crate) fn properties_key(key: &str, arguments: &Arguments) -> String {
    match (key.is_empty(), arguments.is_empty()) {
        (true, true) => "~".into(),
        (_, true) => encode(key, true),
        _ => {
            let hash = BuildHasherDefault::<FoldHasher>::default().hash_one(arguments);
            format!("{}~{hash:016x}", encode(key, true))
        }
    }
}

/// Every queue is bound to the default exchange by its name.
fn implicit(queue: &Name) -> Binding {
    let destination = BindingEnd::Queue(queue.clone());
    Binding { source: "".into(), destination, key: queue.clone(), arguments: Arguments::new() }
}

fn collect(cx: &Context<'_>, hosts: &[Host], of: impl Fn(&Vhost) -> Vec<Binding>) -> Vec<BindingRow> {
    let mut rows = Vec::new();
    cx.read(|topology| {
        for host in hosts {
            let Ok(vhost) = topology.vhost(host.id) else { continue };
            rows.extend(of(vhost).into_iter().map(|binding| BindingRow { vhost: host.name.clone(), binding }));
        }
    });
    rows
}

/// GET /bindings, /bindings/{vhost}
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    let rows = collect(cx, &cx.hosts()?, |vhost| {
        let mut names: Vec<_> = vhost.queues().map(|record| record.name.clone()).collect();
        names.sort_unstable();
        names.iter().map(implicit).chain(vhost.bindings()).collect()
    });
    cx.list(rows)
}

/// GET /queues/{vhost}/{name}/bindings
pub(crate) fn list_of_queue(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = match queues::record(cx, &host) {
        Err(Failure::NotFound) => return cx.list(Vec::<BindingRow>::new()), // as from RabbitMQ
        found => found?,
    };
    let to = BindingEnd::Queue(record.name.clone());
    cx.list(collect(cx, &[host], |vhost| {
        let mut all = vec![implicit(&record.name)];
        all.extend(vhost.bindings_to(&to));
        all
    }))
}

/// GET /exchanges/{vhost}/{name}/bindings/source
pub(crate) fn list_from_exchange(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = exchanges::record(cx, &host, cx.exchange_name("name"))?;
    cx.list(collect(cx, &[host], |vhost| match record.name.is_empty() {
        true => vhost.queues().map(|record| implicit(&record.name)).collect(),
        false => vhost.bindings_from(&record.name).collect(),
    }))
}

/// GET /exchanges/{vhost}/{name}/bindings/destination
pub(crate) fn list_to_exchange(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = exchanges::record(cx, &host, cx.exchange_name("name"))?;
    let to = BindingEnd::Exchange(record.name.clone());
    cx.list(collect(cx, &[host], |vhost| vhost.bindings_to(&to)))
}

/// The two ends of the path: `/bindings/{vhost}/e/{source}/q/{queue}` or `.../e/{exchange}`.
struct Ends {
    host: Host,
    source: Name,
    destination: BindingEnd,
}

fn ends(cx: &Context<'_>) -> Result<Ends, Failure> {
    let host = cx.host()?;
    let source = exchanges::record(cx, &host, cx.exchange_name("source"))?.name.clone();
    let destination = match cx.names.iter().any(|(what, _)| *what == "exchange") {
        true => BindingEnd::Exchange(exchanges::record(cx, &host, cx.exchange_name("exchange"))?.name.clone()),
        false => BindingEnd::Queue(queues::record(cx, &host)?.name.clone()),
    };
    Ok(Ends { host, source, destination })
}

fn between(cx: &Context<'_>, ends: &Ends) -> Vec<BindingRow> {
    collect(cx, std::slice::from_ref(&ends.host), |vhost| {
        let explicit = vhost.bindings_to(&ends.destination).into_iter().filter(|it| it.source == ends.source);
        match &ends.destination {
            BindingEnd::Queue(queue) if ends.source.is_empty() => vec![implicit(queue)],
            _ => explicit.collect(),
        }
    })
}

/// GET .../e/{source}/q/{name}; between ends that are not there is nothing.
pub(crate) fn list_between(cx: &Context<'_>) -> Result<Response, Failure> {
    match ends(cx) {
        Ok(ends) => cx.list(between(cx, &ends)),
        Err(Failure::NotFound) if cx.host().is_ok() => cx.list(Vec::<BindingRow>::new()),
        Err(failure) => Err(failure),
    }
}

fn operation(ends: &Ends) -> Operation<'_> {
    match &ends.destination {
        BindingEnd::Queue(queue) => Operation::BindQueue { queue, exchange: &ends.source },
        BindingEnd::Exchange(destination) => Operation::BindExchange { source: &ends.source, destination },
    }
}

/// POST .../e/{source}/q/{name}: "201 with a Location header" (RabbitMQ).
pub(crate) fn bind(cx: &Context<'_>) -> Result<Response, Failure> {
    let (ends, fields) = (ends(cx)?, cx.fields()?);
    let key = fields.name("routing_key")?.unwrap_or_else(|| "".into());
    let mut arguments = fields.arguments("arguments")?;
    let command = Command::Bind {
        source: ends.source.clone(),
        destination: ends.destination.clone(),
        key: key.clone(),
        arguments: arguments.clone(),
    };
    cx.execute(&ends.host, operation(&ends), command)?;
    arguments.sort();
    let (kind, name) = end(&ends.destination);
    let (kind, source) = (&kind[..1], if ends.source.is_empty() { "amq.default" } else { &ends.source });
    let properties = properties_key(&key, &arguments);
    let location = format!(
        "{}/api/bindings/{}/e/{}/{kind}/{}/{}",
        cx.api.settings.path_prefix,
        encode(&ends.host.name, false),
        encode(source, false),
        encode(name, false),
        encode(&properties, false)
    );
    Ok(Response::empty(Status::Created).header("location", location))
}

/// The binding that the last part of the path names.
fn named(cx: &Context<'_>, ends: &Ends) -> Result<BindingRow, Failure> {
    let wanted = cx.name("properties");
    // Clients hand the key back as they got it, or encode it once more, or not at all.
    let is_wanted = |row: &BindingRow| {
        let key = properties_key(&row.binding.key, &row.binding.arguments);
        key == wanted || crate::http::request::decode(&key, false).is_some_and(|key| key == wanted)
    };
    between(cx, ends).into_iter().find(is_wanted).ok_or(Failure::NotFound)
}

/// GET .../{properties}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let ends = ends(cx)?;
    Ok(Response::json(Status::Ok, &named(cx, &ends)?.render(&Columns::parse(cx.query("columns")))))
}

/// DELETE .../{properties}
pub(crate) fn unbind(cx: &Context<'_>) -> Result<Response, Failure> {
    let ends = ends(cx)?;
    let Binding { source, destination, key, arguments } = named(cx, &ends)?.binding;
    cx.execute(&ends.host, operation(&ends), Command::Unbind { source, destination, key, arguments })?;
    Ok(Response::empty(Status::NoContent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_core::value::Value as Field;

    #[test]
    fn bindings_have_keys() {
        let none = Arguments::new();
        let check = |key: &str, expected: &str| assert_eq!(properties_key(key, &none), expected);
        check("", "~");
        check("a.#", "a.%23");
        check("~", "%7E");
        let some: Arguments = [("x-match", Field::str("all"))].into_iter().collect();
        let other: Arguments = [("x-match", Field::str("any"))].into_iter().collect();
        assert!(properties_key("k", &some).starts_with("k~"));
        assert_ne!(properties_key("", &some), properties_key("", &other));
        assert_eq!(properties_key("", &some).len(), 17);
    }
}
