//! Permissions and topic permissions.

use leveret_core::access::Command;
use leveret_core::access::permission::{Permission, TopicPermission};
use serde_json::{Value, json};

use super::context::Context;
use crate::failure::Failure;
use crate::http::{Response, Status};

/// A permission as the API shows it; definitions have the same fields.
pub(crate) fn show_permission(user: &str, vhost: &str, it: &Permission) -> Value {
    json!({
        "user": user, "vhost": vhost,
        "configure": it.configure.as_str(), "write": it.write.as_str(), "read": it.read.as_str(),
    })
}

/// A topic permission as the API shows it; definitions have the same fields.
pub(crate) fn show_topic(user: &str, vhost: &str, exchange: &str, it: &TopicPermission) -> Value {
    json!({"user": user, "vhost": vhost, "exchange": exchange, "write": it.write.as_str(), "read": it.read.as_str()})
}

/// All permissions of that virtual host and user; an empty name is all.
fn permissions(cx: &Context<'_>, vhost: &str, user: &str) -> Vec<Value> {
    let users = cx.access.users().filter(|(name, _)| user.is_empty() || &***name == user);
    let all = users.flat_map(|(user, record)| record.permissions.iter().map(move |(vhost, it)| (user, vhost, it)));
    let wanted = all.filter(|(_, name, _)| vhost.is_empty() || &***name == vhost);
    wanted.map(|(user, vhost, it)| show_permission(user, vhost, it)).collect()
}

fn topics(cx: &Context<'_>, vhost: &str, user: &str) -> Vec<Value> {
    let users = cx.access.users().filter(|(name, _)| user.is_empty() || &***name == user);
    let all =
        users.flat_map(|(user, record)| record.topic_permissions.iter().map(move |(vhost, it)| (user, vhost, it)));
    let wanted = all.filter(|(_, name, _)| vhost.is_empty() || &***name == vhost);
    wanted.flat_map(|(user, vhost, it)| it.iter().map(|(exchange, it)| show_topic(user, vhost, exchange, it))).collect()
}

fn check_names(cx: &Context<'_>) -> Result<(), Failure> {
    let (vhost, user) = (cx.name("vhost"), cx.name("user"));
    let is_known =
        (vhost.is_empty() || cx.access.vhost(vhost).is_some()) && (user.is_empty() || cx.access.user(user).is_some());
    if is_known { Ok(()) } else { Err(Failure::NotFound) }
}

/// GET /permissions, /vhosts/{vhost}/permissions, /users/{user}/permissions
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    check_names(cx)?;
    cx.list(permissions(cx, cx.name("vhost"), cx.name("user")))
}

/// GET /topic-permissions, and of a virtual host or a user
pub(crate) fn list_topics(cx: &Context<'_>) -> Result<Response, Failure> {
    check_names(cx)?;
    cx.list(topics(cx, cx.name("vhost"), cx.name("user")))
}

/// GET /permissions/{vhost}/{user}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    check_names(cx)?;
    let found = permissions(cx, cx.name("vhost"), cx.name("user")).pop().ok_or(Failure::NotFound)?;
    Ok(Response::json(Status::Ok, &found))
}

/// GET /topic-permissions/{vhost}/{user}
pub(crate) fn show_topics(cx: &Context<'_>) -> Result<Response, Failure> {
    check_names(cx)?;
    let found = topics(cx, cx.name("vhost"), cx.name("user"));
    if found.is_empty() { Err(Failure::NotFound) } else { cx.list(found) }
}

/// PUT /permissions/{vhost}/{user}
pub(crate) fn put(cx: &Context<'_>) -> Result<Response, Failure> {
    let fields = cx.fields()?;
    cx.administer(Command::SetPermission {
        user: cx.name("user").into(),
        vhost: cx.name("vhost").into(),
        configure: fields.require_text("configure")?.into(),
        write: fields.require_text("write")?.into(),
        read: fields.require_text("read")?.into(),
    })
}

/// DELETE /permissions/{vhost}/{user}
pub(crate) fn delete(cx: &Context<'_>) -> Result<Response, Failure> {
    check_names(cx)?;
    cx.administer(Command::ClearPermission { user: cx.name("user").into(), vhost: cx.name("vhost").into() })
}

/// PUT /topic-permissions/{vhost}/{user}
pub(crate) fn put_topic(cx: &Context<'_>) -> Result<Response, Failure> {
    let fields = cx.fields()?;
    cx.administer(Command::SetTopicPermission {
        user: cx.name("user").into(),
        vhost: cx.name("vhost").into(),
        exchange: fields.require_text("exchange")?.into(),
        write: fields.require_text("write")?.into(),
        read: fields.require_text("read")?.into(),
    })
}

/// DELETE /topic-permissions/{vhost}/{user}, or of one exchange
pub(crate) fn delete_topics(cx: &Context<'_>) -> Result<Response, Failure> {
    check_names(cx)?;
    let exchange = Some(cx.name("exchange")).filter(|name| !name.is_empty()).map(Into::into);
    cx.administer(Command::ClearTopicPermission {
        user: cx.name("user").into(),
        vhost: cx.name("vhost").into(),
        exchange,
    })
}
