//! Exchanges: lists, one of them, declaring, deleting.

use std::sync::Arc;

use leveret_core::access::permission::Operation;
use leveret_core::access::policy::Subject;
use leveret_core::exchange::ExchangeRecord;
use leveret_core::{Name, VhostId};
use serde_json::{Value, json};

use super::context::{Context, Host, put_answer};
use super::queues::put_policies;
use crate::failure::Failure;
use crate::http::{Response, Status};
use crate::json::{Columns, Object, from_arguments};
use crate::listing::Row;
use crate::port::{Command, ExchangeCounts};
use crate::stats::Range;
use crate::stats::messages::{Whose, message_stats, of_exchange};

/// An exchange in a list.
struct ExchangeRow<'a> {
    cx: &'a Context<'a>,
    vhost: Name,
    vhost_id: VhostId,
    record: Arc<ExchangeRecord>,
    counts: ExchangeCounts,
}

impl Row for ExchangeRow<'_> {
    fn name(&self) -> &str {
        &self.record.name
    }

    fn render(&self, columns: &Columns) -> Value {
        let mut object = Object::new(columns);
        let it = &self.record;
        object
            .put("name", &*it.name)
            .put("vhost", &*self.vhost)
            .put("type", it.kind.as_str())
            .put("durable", it.durable)
            .put("auto_delete", it.auto_delete)
            .put("internal", it.internal)
            .put_with("arguments", || from_arguments(&it.arguments))
            .put("user_who_performed_action", "rmq-internal");
        let effective = self.cx.access.effective(&self.vhost, Subject::Exchange { name: &it.name });
        if !effective.is_empty() {
            put_policies(&mut object, &effective);
        }
        let history = self.cx.history();
        let ring = history.exchanges.get(&(self.vhost_id, it.name.clone()));
        let range = Range::parse(&self.cx.request.query, "msg_rates");
        object.put_some("message_stats", message_stats(Whose::Exchange, &of_exchange(&self.counts), ring, range));
        object.finish()
    }
}

/// GET /exchanges, /exchanges/{vhost}
pub(crate) fn list(cx: &Context<'_>) -> Result<Response, Failure> {
    let hosts = cx.hosts()?;
    let mut counts = cx.broker().exchanges();
    let mut rows = Vec::new();
    cx.read(|topology| {
        for host in &hosts {
            let Ok(vhost) = topology.vhost(host.id) else { continue };
            let mut records: Vec<_> = vhost.exchanges().cloned().collect();
            records.sort_by(|a, b| a.name.cmp(&b.name));
            rows.extend(records.into_iter().map(|record| ExchangeRow {
                cx,
                vhost: host.name.clone(),
                vhost_id: host.id,
                counts: counts.remove(&(host.id, record.name.clone())).unwrap_or_default(),
                record,
            }));
        }
    });
    cx.list(rows)
}

/// The exchange that a part of the path names.
pub(crate) fn record(cx: &Context<'_>, host: &Host, name: &str) -> Result<Arc<ExchangeRecord>, Failure> {
    let mut found = None;
    cx.read(|topology| found = topology.vhost(host.id).ok().and_then(|vhost| vhost.exchange(name)).cloned());
    found.ok_or(Failure::NotFound)
}

/// GET /exchanges/{vhost}/{name}
pub(crate) fn show(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = record(cx, &host, cx.exchange_name("name"))?;
    let counts = cx.broker().exchanges().remove(&(host.id, record.name.clone())).unwrap_or_default();
    let row = ExchangeRow { cx, vhost: host.name, vhost_id: host.id, record, counts };
    let mut shown = row.render(&Columns::ALL);
    shown["incoming"] = json!([]);
    shown["outgoing"] = json!([]);
    Ok(Response::json(Status::Ok, &shown.render(&Columns::parse(cx.query("columns")))))
}

/// PUT /exchanges/{vhost}/{name}
pub(crate) fn put(cx: &Context<'_>) -> Result<Response, Failure> {
    let (host, fields) = (cx.host()?, cx.fields()?);
    let name = cx.exchange_name("name");
    let kind = fields.require_text("type")?;
    let arguments = fields.arguments("arguments")?;
    let alternate = arguments.get("alternate-exchange").and_then(|value| value.as_str()).map(str::to_owned);
    let operation = Operation::DeclareExchange { exchange: name, alternate: alternate.as_deref() };
    let command = Command::DeclareExchange {
        name: name.into(),
        kind: kind.into(),
        durable: fields.flag("durable")?.unwrap_or(true),
        auto_delete: fields.flag("auto_delete")?.unwrap_or(false),
        internal: fields.flag("internal")?.unwrap_or(false),
        arguments,
    };
    cx.execute(&host, operation, command).map(|outcome| put_answer(&outcome))
}

/// DELETE /exchanges/{vhost}/{name}
pub(crate) fn delete(cx: &Context<'_>) -> Result<Response, Failure> {
    let host = cx.host()?;
    let record = record(cx, &host, cx.exchange_name("name"))?;
    let if_unused = cx.request.query.is_true("if-unused");
    let operation = Operation::DeleteExchange { exchange: &record.name };
    cx.execute(&host, operation, Command::DeleteExchange { name: record.name.clone(), if_unused })?;
    Ok(Response::empty(Status::NoContent))
}
