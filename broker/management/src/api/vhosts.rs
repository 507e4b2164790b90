//! Virtual hosts and their limits.

use leveret_core::access::{Command, VhostPolicy, VhostUpdate};
use leveret_core::{FastMap, Name};
use serde_json::{Value, json};

use super::context::{Context, Host};
use super::queues;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::Columns;
use crate::listing::Row;
use crate::stats::messages::{Counts, Whose, message_stats, of_channel, of_queue, publish_by_clients, sum};

/// Lengths and counts of a virtual host's queues.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    ready: u64,
    unsettled: u64,
    counts: Counts,
    /// Bytes from and to the clients that are connected.
    received: u64,
    sent: u64,
}

fn contents(cx: &Context<'_>, hosts: &[Host]) -> FastMap<Name, Content> {
    let states = cx.broker().queues();
    let mut contents: FastMap<Name, Content> =
        hosts.iter().map(|host| (host.name.clone(), Content::default())).collect();
    for (vhost, record) in queues::records(cx, hosts) {
        let Some(state) = states.get(&record.id) else { continue };
        let content = contents.entry(vhost).or_default();
        content.ready += state.ready;
        content.unsettled += state.unsettled;
        sum(&mut content.counts, &of_queue(state));
    }
    let clients = cx.broker().clients();
    for host in hosts {
        let (Some(content), Some(counts)) = (contents.get_mut(&host.name), clients.get(&host.id)) else { continue };
        publish_by_clients(&mut content.counts, &of_channel(counts));
    }
    for connection in cx.broker().connections() {
        let Some(content) = connection.vhost.and_then(|vhost| contents.get_mut(&vhost)) else { continue };
        content.received += connection.received_bytes;
        content.sent += connection.sent_bytes;
    }
    contents
}

fn show_one(cx: &Context<'_>, name: &Name, content: Content, settings: &VhostPolicy) -> Value {
    let it = &settings.settings;
    let default_type = it.default_queue_type.as_deref().unwrap_or("classic");
    let tags: Vec<&str> = it.tags.iter().map(|tag| &**tag).collect();
    let zero = json!({"rate": 0.0});
    let mut node_state = serde_json::Map::new();
    node_state.insert(cx.broker().facts().node.clone(), json!("running"));
    let mut shown = json!({
        "name": **name,
        "description": *it.description,
        "tags": tags,
        "default_queue_type": default_type,
        "metadata": {"description": *it.description, "tags": tags, "default_queue_type": default_type},
        "tracing": it.tracing,
        "protected_from_deletion": it.protected,
        "cluster_state": node_state,
        "messages": content.ready + content.unsettled,
        "messages_ready": content.ready,
        "messages_unacknowledged": content.unsettled,
        "messages_details": zero,
        "messages_ready_details": zero,
        "messages_unacknowledged_details": zero,
        "recv_oct": content.received,
        "recv_oct_details": zero,
        "send_oct": content.sent,
        "send_oct_details": zero,
    });
    if let Some(stats) = message_stats(Whose::Client, &content.counts, None, None) {
        shown["message_stats"] = stats;
    }
    shown
}

/// GET /vhosts
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    let hosts = cx.hosts()?;
    let contents = contents(cx, &hosts);
    let none = VhostPolicy::default();
    let row = |host: &Host| {
        let content = contents.get(&host.name).copied().unwrap_or_default();
        let settings = cx.access.vhost(&host.name).map_or(&none, |it| it);
        show_one(cx, &host.name, content, settings)
    };
    cx.list(hosts.iter().map(row).collect::<Vec<Value>>())
}

/// GET /vhosts/{vhost}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let contents = contents(cx, std::slice::from_ref(&host));
    let none = VhostPolicy::default();
    let settings = cx.access.vhost(&host.name).map_or(&none, |it| it);
    let shown = show_one(cx, &host.name, contents.get(&host.name).copied().unwrap_or_default(), settings);
    Ok(Response::json(Status::Ok, &shown.render(&Columns::parse(cx.query("columns")))))
}

/// PUT /vhosts/{vhost}
pub(crate) fn put(cx: &Context<'_>) -> Result<Response, Failure> {
    let fields = cx.fields()?;
    let metadata = fields.object("metadata")?;
    let update = VhostUpdate {
        description: fields.name("description")?.or(metadata.name("description")?),
        tags: fields.words("tags")?.or(metadata.words("tags")?),
        default_queue_type: fields.name("default_queue_type")?.or(metadata.name("default_queue_type")?),
        tracing: fields.flag("tracing")?,
        protected: fields.flag("protected_from_deletion")?,
    };
    let creator = (!cx.login.is_operator).then(|| cx.login.user.clone());
    cx.administer(Command::PutVhost { name: cx.name("vhost").into(), update, creator })
}

/// DELETE /vhosts/{vhost}
pub(crate) fn delete(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.administer(Command::DeleteVhost { name: cx.name("vhost").into() })
}

fn protect(cx: &Context<'_>, protected: bool) -> Result<Response, Failure> {
    let host = cx.host()?;
    let update = VhostUpdate { protected: Some(protected), ..VhostUpdate::default() };
    cx.administer(Command::PutVhost { name: host.name, update, creator: None })
}

/// POST /vhosts/{vhost}/deletion/protection
pub(crate) fn enable_protection(cx: &Context<'_>) -> Result<Response, Failure> {
    protect(cx, true)
}

/// DELETE /vhosts/{vhost}/deletion/protection
pub(crate) fn disable_protection(cx: &Context<'_>) -> Result<Response, Failure> {
    protect(cx, false)
}

/// POST /vhosts/{vhost}/start/{node}: it runs.
pub(crate) fn start(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.host()?;
    Ok(Response::empty(Status::NoContent))
}

// ---- limits

/// GET /vhost-limits, /vhost-limits/{vhost}
pub(crate) fn list_limits(cx: &Context<'_>) -> Result<Response, Failure> {
    let mut rows = Vec::new();
    for host in cx.hosts()? {
        let Some(vhost) = cx.access.vhost(&host.name).filter(|vhost| !vhost.limits.is_empty()) else { continue };
        let values: serde_json::Map<String, Value> =
            vhost.limits.iter().map(|(limit, value)| (limit.as_str().to_owned(), json!(value))).collect();
        rows.push(json!({"vhost": *host.name, "value": values}));
    }
    cx.list(rows)
}

/// PUT /vhost-limits/{vhost}/{name}
pub(crate) fn put_limit(cx: &Context<'_>) -> Result<Response, Failure> {
    let value = limit_value(cx)?;
    let command = Command::SetVhostLimit { vhost: cx.name("vhost").into(), limit: cx.name("name").into(), value };
    cx.administer(command)?;
    Ok(Response::empty(Status::NoContent))
}

/// The body's value: a number, or one as a string.
pub(super) fn limit_value(cx: &Context<'_>) -> Result<leveret_core::value::Value, Failure> {
    let fields = cx.fields()?;
    match fields.number("value") {
        Ok(Some(number)) => Ok(leveret_core::value::Value::long(number)),
        _ => fields.field("value"),
    }
}

/// DELETE /vhost-limits/{vhost}/{name}; one that is not set is gone already.
pub(crate) fn delete_limit(cx: &Context<'_>) -> Result<Response, Failure> {
    let vhost = cx.name("vhost");
    match cx.administer(Command::ClearVhostLimit { vhost: vhost.into(), limit: cx.name("name").into() }) {
        Err(Failure::NotFound) if cx.access.vhost(vhost).is_some() => Ok(Response::empty(Status::NoContent)),
        answer => answer,
    }
}
