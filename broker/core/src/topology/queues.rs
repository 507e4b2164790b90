//! The owner's checks for queues: declare, delete, and use by a connection.

use std::sync::Arc;

use crate::error::{Error, Inequivalent, Resource};
use crate::exchange::Destination;
use crate::ids::{ConnectionId, Name, QueueId, QueueKey, ShardId, VhostId};
use crate::queue::settings::{QueueKind, QueueSettings, kind as queue_kind};
use crate::value::{Arguments, Value};

use super::{Declared, RESERVED_PREFIX, Topology, TopologyChange, Vhost, clean_name};

/// The longest x-name-prefix, in bytes.
pub const NAME_PREFIX_MAX: usize = 64;

/// A queue as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecord {
    /// Its number.
    pub id: QueueId,
    /// Its name; unique among the queues of its virtual host.
    pub name: Name,
    /// The shard that owns its messages.
    pub shard: ShardId,
    /// Survives a restart. Never together with an owner: "a durable+exclusive declare is treated as exclusive, not
    /// durable" (RabbitMQ).
    pub durable: bool,
    /// The one connection that may use it, and with which it goes.
    pub exclusive_owner: Option<ConnectionId>,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// As sent, without x-name-prefix.
    pub arguments: Arguments,
    /// What the arguments mean.
    pub settings: QueueSettings,
}

impl QueueRecord {
    /// What routing yields for it.
    pub fn destination(&self) -> Destination {
        Destination { queue: self.id, shard: self.shard }
    }

    /// What the store knows it by, if it survives a restart.
    pub fn key(&self) -> Option<QueueKey> {
        self.durable.then_some(QueueKey(self.id.0))
    }

    /// Its type.
    pub fn kind(&self) -> QueueKind {
        self.settings.kind
    }
}

/// queue.declare
#[derive(Clone, Debug)]
pub struct QueueDeclare<'a> {
    /// Where.
    pub vhost: VhostId,
    /// The name as sent; empty for a name of the server's making.
    pub name: &'a str,
    /// Only ask whether it is there; of the rest only `connection` is looked at.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Only for this connection.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// As sent.
    pub arguments: Arguments,
    /// Who declares.
    pub connection: ConnectionId,
    /// Where to put it, if it is new.
    pub shard: ShardId,
    /// Fresh and unguessable, for a server-made name.
    pub random: [u8; 16],
}

impl Topology {
    /// Checks queue.declare. A server-made name that happens to be taken is `ReservedName` like any other; its odds are
    /// 1 in 2^128.
    pub fn declare_queue(&self, declare: &QueueDeclare<'_>) -> Result<Declared<Arc<QueueRecord>>, Error> {
        let vhost = self.vhost(declare.vhost)?;
        let name = clean_name(declare.name);
        if declare.passive {
            return self.queue(declare.vhost, &name, declare.connection).cloned().map(Declared::Existing);
        }
        let mut arguments = declare.arguments.clone();
        let prefix = arguments.remove("x-name-prefix");
        if !name.is_empty() {
            return self.declare_named(vhost, declare, &name, arguments);
        }
        let name = server_made_name(prefix.as_ref().and_then(Value::as_str), &declare.random)?;
        let resource = Resource::queue(vhost.name(), &name);
        let settings = QueueSettings::parse(&resource, &arguments)?;
        if settings.kind != QueueKind::Classic {
            return Err(Error::ServerNamedUnsupported(settings.kind));
        }
        if vhost.queue(&name).is_some() {
            return Err(Error::ReservedName(resource));
        }
        check_limit(vhost, resource)?;
        Ok(self.new_queue(declare, name, arguments, settings))
    }

    fn declare_named(
        &self,
        vhost: &Vhost,
        declare: &QueueDeclare<'_>,
        name: &str,
        arguments: Arguments,
    ) -> Result<Declared<Arc<QueueRecord>>, Error> {
        let resource = Resource::queue(vhost.name(), name);
        if name.starts_with(RESERVED_PREFIX) {
            return Err(Error::ReservedName(resource));
        }
        if let Some(current) = vhost.queue(name) {
            // Whether the arguments are good ones was asked when it was made.
            let kind = queue_kind(&resource, &arguments).ok();
            check_equivalence(resource, declare, &arguments, kind, current)?;
            return Ok(Declared::Existing(current.clone()));
        }
        let settings = QueueSettings::parse(&resource, &arguments)?;
        check_properties(&resource, declare, settings.kind)?;
        check_limit(vhost, resource)?;
        Ok(self.new_queue(declare, name.into(), arguments, settings))
    }

    fn new_queue(
        &self,
        declare: &QueueDeclare<'_>,
        name: Name,
        arguments: Arguments,
        settings: QueueSettings,
    ) -> Declared<Arc<QueueRecord>> {
        let record = Arc::new(QueueRecord {
            id: QueueId(self.next_queue),
            name,
            shard: declare.shard,
            durable: declare.durable && !declare.exclusive,
            exclusive_owner: declare.exclusive.then_some(declare.connection),
            auto_delete: declare.auto_delete,
            arguments,
            settings,
        });
        let change = TopologyChange::QueueDeclared { vhost: declare.vhost, record: record.clone() };
        Declared::New(record, change)
    }

    /// The queue of that name for use by a connection: consume, get, purge, bind, delete, passive declare.
    pub fn queue(&self, vhost: VhostId, name: &str, connection: ConnectionId) -> Result<&Arc<QueueRecord>, Error> {
        let vhost = self.vhost(vhost)?;
        let record = vhost.queue(name).ok_or_else(|| Error::NotFound(Resource::queue(vhost.name(), name)))?;
        match record.exclusive_owner {
            Some(owner) if owner != connection => Err(Error::ResourceLocked(Resource::queue(vhost.name(), name))),
            _ => Ok(record),
        }
    }

    /// Checks queue.delete as far as the directory is concerned; whether the queue is unused or empty only its shard
    /// knows. `None` if there is nothing to delete, which is fine.
    pub fn delete_queue(
        &self,
        vhost: VhostId,
        name: &str,
        connection: ConnectionId,
    ) -> Result<Option<TopologyChange>, Error> {
        match self.queue(vhost, &clean_name(name), connection) {
            Ok(record) => Ok(Some(TopologyChange::QueueDeleted { vhost, name: record.name.clone() })),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The change that removes a queue which ended by itself (auto-delete, expiry, its owner's end); `None` if it is
    /// gone already, also when its name means another queue by now.
    pub fn queue_ended(&self, vhost: VhostId, id: QueueId) -> Option<TopologyChange> {
        let record = self.vhost(vhost).ok()?.queue_by_id(id)?;
        Some(TopologyChange::QueueDeleted { vhost, name: record.name.clone() })
    }
}

fn check_limit(vhost: &Vhost, queue: Resource) -> Result<(), Error> {
    match vhost.queues_max() {
        Some(limit) if vhost.queues().len() as u64 >= limit => Err(Error::QueueLimit { queue, limit }),
        _ => Ok(()),
    }
}

/// Properties that quorum queues and streams refuse, in RabbitMQ's order.
fn check_properties(queue: &Resource, declare: &QueueDeclare<'_>, kind: QueueKind) -> Result<(), Error> {
    let refused = [
        ("auto-delete", declare.auto_delete),
        ("exclusive-owner", declare.exclusive),
        ("non-durable", !declare.durable),
    ];
    match refused.into_iter().find(|(_, is_set)| *is_set) {
        Some((property, _)) if kind != QueueKind::Classic => {
            Err(Error::InvalidProperty { property, queue: queue.clone() })
        }
        _ => Ok(()),
    }
}

/// "Order: exclusivity first (405), then durable, auto_delete, then the type's x- arguments."
fn check_equivalence(
    subject: Resource,
    declare: &QueueDeclare<'_>,
    arguments: &Arguments,
    kind: Option<QueueKind>,
    current: &QueueRecord,
) -> Result<(), Error> {
    if current.exclusive_owner != declare.exclusive.then_some(declare.connection) {
        return Err(Error::ResourceLocked(subject));
    }
    let durable = declare.durable && !declare.exclusive;
    let flags = [("durable", durable, current.durable), ("auto_delete", declare.auto_delete, current.auto_delete)];
    let flag = flags
        .into_iter()
        .find(|(_, received, current)| received != current)
        .map(|(name, received, current)| (name, Some(Value::Bool(received)), Some(Value::Bool(current))));
    let different = flag.or_else(|| first_different(arguments, kind, current));
    match different {
        None => Ok(()),
        Some((argument, received, current)) => {
            Err(Error::Inequivalent(Box::new(Inequivalent { argument: argument.into(), subject, received, current })))
        }
    }
}

/// Arguments that RabbitMQ compares on redeclare, in the order of its check. Others are stored and ignored.
const COMPARED: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-type",
    "x-queue-mode",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
];

type Different = (&'static str, Option<Value>, Option<Value>);

fn first_different(arguments: &Arguments, kind: Option<QueueKind>, current: &QueueRecord) -> Option<Different> {
    let kinds_agree = kind == Some(current.settings.kind);
    let compared = COMPARED.iter().filter(|name| **name != "x-queue-type" || !kinds_agree);
    // "The type's arguments": what means nothing to the queue that is there is not looked at.
    compared
        .filter(|name| !kinds_agree || !current.settings.kind.is_foreign(name))
        .map(|name| (*name, arguments.get(name).cloned(), current.arguments.get(name).cloned()))
        .find(|(_, received, current)| received != current)
}

/// `amq.gen-` (or another prefix and a dash) and 22 characters of url-safe base64. The same bytes make the same name, so that
/// permissions can be checked on it before it is declared.
pub fn server_made_name(prefix: Option<&str>, random: &[u8; 16]) -> Result<Name, Error> {
    let prefix = prefix.unwrap_or("amq.gen");
    if prefix.len() > NAME_PREFIX_MAX {
        return Err(Error::NamePrefixTooLong(prefix.into()));
    }
    Ok(format!("{prefix}-{}", base64_url(random)).into())
}

/// 128 bits as 21 characters of six bits and one of two, without padding.
fn base64_url(bytes: &[u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(*bytes);
    let digit = |index: u32| {
        let bits = if index < 21 { number >> (122 - 6 * index) } else { number << 4 };
        char::from(ALPHABET[(bits & 63) as usize])
    };
    (0..22).map(digit).collect()
}
