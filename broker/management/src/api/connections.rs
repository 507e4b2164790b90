//! Connections: lists, one of them, closing.

use serde_json::{Value, json};

use super::context::Context;
use super::queues::garbage_collection;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{Columns, Object, from_arguments};
use crate::listing::Row;
use crate::port::ConnectionState;
use crate::stats::messages::{RECEIVED_BYTES, SENT_BYTES};
use crate::stats::{Range, details};

/// What a closed client reads if nobody gave a reason.
const CLOSE_REASON: &str = "Closed via management plugin";

/// A connection in a list.
struct ConnectionRow<'a> {
    cx: &'a Context<'a>,
    state: ConnectionState,
    name: String,
}

impl Row for ConnectionRow<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn render(&self, columns: &Columns) -> Value {
        let mut object = Object::new(columns);
        self.identity(&mut object);
        self.transport(&mut object);
        object.finish()
    }
}

impl ConnectionRow<'_> {
    fn identity(&self, object: &mut Object<'_>) {
        let it = &self.state;
        object
            .put("name", self.name.as_str())
            .put_with("node", || json!(self.cx.broker().facts().node))
            .put("type", "network")
            .put("protocol", "AMQP 0-9-1")
            .put("state", state(it))
            .put("channels", it.channels)
            .put("channel_max", it.channel_max)
            .put("frame_max", it.frame_max)
            .put("timeout", it.heartbeat)
            .put("host", it.host.ip().to_string())
            .put("port", it.host.port())
            .put("peer_host", it.peer.ip().to_string())
            .put("peer_port", it.peer.port())
            .put("auth_mechanism", &*it.mechanism)
            .put("connected_at", it.connected_at_ms)
            .put_with("client_properties", || from_arguments(&it.client_properties));
        object.put_some("user", it.user.as_deref()).put_some("user_who_performed_action", it.user.as_deref());
        object.put_some("vhost", it.vhost.as_deref());
        let given = it.client_properties.get("connection_name").and_then(|name| name.as_str());
        object.put_some("user_provided_name", given);
    }

    fn transport(&self, object: &mut Object<'_>) {
        let it = &self.state;
        let range = Range::parse(&self.cx.request.query, "data_rates");
        let history = self.cx.history();
        let ring = history.connections.get(&it.id);
        let tls = it.tls.as_deref();
        let peer = tls.and_then(|tls| tls.peer.as_ref());
        object
            .put("ssl", tls.is_some())
            .put("ssl_protocol", tls.map(|tls| tls.protocol))
            .put("ssl_cipher", tls.map(|tls| tls.cipher.as_str()))
            .put("ssl_hash", tls.map(|tls| tls.hash.as_str()))
            .put("ssl_key_exchange", tls.map(|tls| tls.key_exchange.as_str()))
            .put("peer_cert_subject", peer.map(|peer| peer.subject.as_str()))
            .put("peer_cert_issuer", peer.map(|peer| peer.issuer.as_str()))
            .put("peer_cert_validity", peer.map(|peer| peer.validity.as_str()))
            .put("recv_oct", it.received_bytes)
            .put_with("recv_oct_details", || details(ring, RECEIVED_BYTES, range))
            .put("recv_cnt", it.received_count)
            .put("send_oct", it.sent_bytes)
            .put_with("send_oct_details", || details(ring, SENT_BYTES, range))
            .put("send_cnt", it.sent_count)
            .put("send_pend", it.pending_bytes)
            .put("reductions", 0)
            .put("reductions_details", json!({"rate": 0.0}))
            .put_with("garbage_collection", garbage_collection);
    }
}

fn state(it: &ConnectionState) -> &'static str {
    match it {
        _ if it.is_closing => "closing",
        _ if it.is_blocked => "blocked",
        _ if it.is_running => "running",
        _ if it.user.is_some() => "opening",
        _ => "starting",
    }
}

fn rows<'a>(cx: &'a Context<'a>) -> Vec<ConnectionRow<'a>> {
    let mut rows: Vec<_> = cx.broker().connections().into_iter().map(|state| row(cx, state)).collect();
    rows.retain(|row| is_visible(cx, &row.state));
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

fn row<'a>(cx: &'a Context<'a>, state: ConnectionState) -> ConnectionRow<'a> {
    let name = state.name();
    ConnectionRow { cx, state, name }
}

fn is_visible(cx: &Context<'_>, state: &ConnectionState) -> bool {
    cx.login.is_monitoring() || state.user.as_ref() == Some(&cx.login.user)
}

/// GET /connections
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    cx.list(rows(cx))
}

/// GET /vhosts/{vhost}/connections
pub(crate) fn list_of_vhost(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    cx.list(rows(cx).into_iter().filter(|row| row.state.vhost.as_ref() == Some(&host.name)).collect())
}

/// GET /connections/username/{user}
pub(crate) fn list_of_user(cx: &Context<'_>) -> Result<Response, Failure> {
    let user = cx.name("user");
    cx.list(rows(cx).into_iter().filter(|row| row.state.user.as_deref() == Some(user)).collect())
}

/// The connection of the path.
pub(crate) fn find(cx: &Context<'_>) -> Result<ConnectionState, Failure> {
    let name = cx.name("name");
    let found = cx.broker().connections().into_iter().find(|it| it.name() == name);
    found.filter(|it| is_visible(cx, it)).ok_or(Failure::NotFound)
}

/// GET /connections/{name}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let row = row(cx, find(cx)?);
    Ok(Response::json(Status::Ok, &row.render(&Columns::parse(cx.query("columns")))))
}

fn reason<'a>(cx: &'a Context<'_>) -> &'a str {
    cx.request.header("x-reason").unwrap_or(CLOSE_REASON)
}

/// DELETE /connections/{name}
pub(crate) fn close(cx: &Context<'_>) -> Result<Response, Failure> {
    let connection = find(cx)?;
    match cx.broker().close_connection(connection.id, reason(cx)) {
        true => Ok(Response::empty(Status::NoContent)),
        false => Err(Failure::NotFound),
    }
}

/// DELETE /connections/username/{user}
pub(crate) fn close_of_user(cx: &Context<'_>) -> Result<Response, Failure> {
    let user = cx.name("user");
    let all = cx.broker().connections().into_iter();
    for connection in all.filter(|it| it.user.as_deref() == Some(user) && is_visible(cx, it)) {
        cx.broker().close_connection(connection.id, reason(cx));
    }
    Ok(Response::empty(Status::NoContent))
}
