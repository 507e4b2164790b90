//! The owner's checks for exchanges: declare and delete.

use std::sync::Arc;

use crate::error::{Error, Inequivalent, Resource};
use crate::exchange::{ExchangeKind, ExchangeRecord, Rule};
use crate::ids::{Name, VhostId};
use crate::value::{Arguments, Value};

use super::{Declared, RESERVED_PREFIX, Topology, TopologyChange, clean_name};

/// exchange.declare
#[derive(Clone, Debug)]
pub struct ExchangeDeclare<'a> {
    /// Where.
    pub vhost: VhostId,
    /// The name as sent.
    pub name: &'a str,
    /// The type's name as sent.
    pub kind: &'a str,
    /// Only ask whether it is there; nothing else is looked at.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding as source.
    pub auto_delete: bool,
    /// Takes no publishes from clients.
    pub internal: bool,
    /// As sent.
    pub arguments: Arguments,
}

impl Topology {
    /// Checks exchange.declare, in RabbitMQ's order.
    pub fn declare_exchange(&self, declare: &ExchangeDeclare<'_>) -> Result<Declared<Arc<ExchangeRecord>>, Error> {
        let vhost = self.vhost(declare.vhost)?;
        let name = clean_name(declare.name);
        let resource = Resource::exchange(vhost.name(), &name);
        let current = vhost.exchange(&name);
        if declare.passive {
            refuse_default(&name)?;
            return current.cloned().map(Declared::Existing).ok_or(Error::NotFound(resource));
        }
        let kind = ExchangeKind::parse(declare.kind).ok_or_else(|| Error::UnknownExchangeType(declare.kind.into()))?;
        refuse_default(&name)?;
        if let Some(current) = current {
            check_equivalence(resource, declare, kind, current)?;
            return Ok(Declared::Existing(current.clone()));
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(Error::ReservedName(resource));
        }
        Rule::parse(kind, &declare.arguments)?;
        let alternate = alternate(&resource, &declare.arguments)?;
        self.check_exchange_limit(&resource)?;
        let record = Arc::new(ExchangeRecord {
            name: (*name).into(),
            kind,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            arguments: declare.arguments.clone(),
            alternate,
        });
        let change = TopologyChange::ExchangeDeclared { vhost: declare.vhost, record: record.clone() };
        Ok(Declared::New(record, change))
    }

    fn check_exchange_limit(&self, exchange: &Resource) -> Result<(), Error> {
        let Some(limit) = self.exchanges_max else { return Ok(()) };
        let count: usize = self.vhosts().map(|(_, vhost)| vhost.declared_exchange_count()).sum();
        if (count as u64) < limit { Ok(()) } else { Err(Error::ExchangeLimit { exchange: exchange.clone(), limit }) }
    }

    /// Checks exchange.delete; `None` if there is nothing to delete, which is fine.
    pub fn delete_exchange(
        &self,
        vhost_id: VhostId,
        name: &str,
        if_unused: bool,
    ) -> Result<Option<TopologyChange>, Error> {
        let vhost = self.vhost(vhost_id)?;
        let name = clean_name(name);
        refuse_default(&name)?;
        if name.starts_with(RESERVED_PREFIX) {
            return Err(Error::SystemExchange(Resource::exchange(vhost.name(), &name)));
        }
        let Some(node) = vhost.exchange_named(&name) else { return Ok(None) };
        if if_unused && node.exchange.edge_count() > 0 {
            return Err(Error::InUse(Resource::exchange(vhost.name(), &name)));
        }
        let name = node.exchange.record.name.clone();
        Ok(Some(TopologyChange::ExchangeDeleted { vhost: vhost_id, name }))
    }
}

/// "It cannot be bound, unbound, declared (even passively) or deleted."
pub(super) fn refuse_default(name: &str) -> Result<(), Error> {
    if name.is_empty() { Err(Error::DefaultExchange) } else { Ok(()) }
}

fn alternate(exchange: &Resource, arguments: &Arguments) -> Result<Option<Name>, Error> {
    match arguments.get("alternate-exchange") {
        None => Ok(None),
        Some(Value::Str(bytes)) => Ok(Some(clean_name(&String::from_utf8_lossy(bytes)).into())),
        Some(other) => {
            Err(Error::InvalidAlternateExchange { exchange: exchange.clone(), type_name: other.type_name() })
        }
    }
}

fn check_equivalence(
    subject: Resource,
    declare: &ExchangeDeclare<'_>,
    kind: ExchangeKind,
    current: &ExchangeRecord,
) -> Result<(), Error> {
    let (key, delayed) = ("alternate-exchange", "x-delayed-type");
    let pairs = [
        ("type", Some(Value::str(kind.as_str())), Some(Value::str(current.kind.as_str()))),
        ("durable", Some(Value::Bool(declare.durable)), Some(Value::Bool(current.durable))),
        ("auto_delete", Some(Value::Bool(declare.auto_delete)), Some(Value::Bool(current.auto_delete))),
        ("internal", Some(Value::Bool(declare.internal)), Some(Value::Bool(current.internal))),
        (key, declare.arguments.get(key).cloned(), current.arguments.get(key).cloned()),
        (delayed, declare.arguments.get(delayed).cloned(), current.arguments.get(delayed).cloned()),
    ];
    match pairs.into_iter().find(|(_, received, current)| received != current) {
        None => Ok(()),
        Some((argument, received, current)) => {
            Err(Error::Inequivalent(Box::new(Inequivalent { argument: argument.into(), subject, received, current })))
        }
    }
}
