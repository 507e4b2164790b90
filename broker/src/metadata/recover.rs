//! From stored entries to the changes that make the state again.
//!
//! Entries come in the order of their keys, so that a virtual host comes before what is in it and both ends of a binding
//! before the binding. What a binding or a permission refers to may be gone all the same (it was not durable when it was
//! stored by hand, say): then it is left out, as it would be when it is applied.

use std::io;
use std::sync::Arc;

use leveret_core::access::limit::{Limits, UserLimit, VhostLimit};
use leveret_core::access::password::{Algorithm, PasswordHash};
use leveret_core::access::pattern::Pattern;
use leveret_core::access::permission::{Permission, TopicPermission, Who};
use leveret_core::access::policy::{ApplyTo, Policy, Scope};
use leveret_core::access::{AccessChange, Tag, VhostSettings};
use leveret_core::error::{Resource, ResourceKind};
use leveret_core::queue::settings::QueueSettings;
use leveret_core::topology::{Binding, BindingEnd, Declared, ExchangeDeclare, QueueRecord, Topology, TopologyChange};
use leveret_core::{Name, QueueId, ShardId};

use super::codec::{Corrupt, Reader};
use super::fact::kind;
use super::{Entry, FILE_NAME};

/// The changes that make the stored state, for every replica alike.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// In order.
    pub access: Vec<AccessChange>,
    /// In order, to be applied after those.
    pub topology: Vec<TopologyChange>,
    /// No queue gets a number below this.
    pub next_queue: u64,
}

impl Recovered {
    /// Makes sense of all entries; queues are placed on shards below `shards`.
    ///
    /// # Errors
    /// An entry that this program did not write.
    pub fn from_entries(entries: &[Entry], shards: usize) -> io::Result<Recovered> {
        let mut rebuild = Rebuild { shards, ..Rebuild::default() };
        for (key, value) in entries {
            rebuild.entry(key, value).map_err(|Corrupt| {
                let text = format!(
                    "{FILE_NAME}: the entry with the key {} makes no sense: restore the file from a backup, or start with an \
                     empty directory and import your definitions",
                    key.escape_ascii()
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
        }
        Ok(rebuild.recovered)
    }
}

#[cfg(test)]
impl Recovered {
    /// The virtual host `/` and nothing else.
    pub(crate) fn one_vhost() -> Recovered {
        let settings = VhostSettings::default();
        Recovered { access: vec![AccessChange::VhostSet { name: "/".into(), settings }], ..Recovered::default() }
    }
}

/// State as far as the entries have made it, in which the next ones are checked.
#[derive(Default)]
struct Rebuild {
    shards: usize,
    topology: Topology,
    recovered: Recovered,
}

impl Rebuild {
    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        let mut key = Reader(key);
        let mut value = Reader(value);
        if key.0.is_empty() {
            self.recovered.next_queue = value.u64()?;
            return value.end();
        }
        match key.u8()? {
            kind::EXCHANGE => self.exchange(&mut key, &mut value)?,
            kind::QUEUE => self.queue(&mut key, &mut value)?,
            kind::BINDING => self.binding(&mut key)?,
            kind => {
                let change = access_change(kind, &mut key, &mut value)?;
                if let AccessChange::VhostSet { name, .. } = &change {
                    // Only for the checks here: applying the fact does the same on every shard.
                    let added = self.topology.add_vhost(name);
                    added.iter().for_each(|change| drop(self.topology.apply(change)));
                }
                self.recovered.access.push(change);
            }
        }
        key.end()?;
        value.end()
    }

    fn change(&mut self, change: Option<TopologyChange>) {
        if let Some(change) = change {
            self.topology.apply(&change);
            self.recovered.topology.push(change);
        }
    }

    fn exchange(&mut self, key: &mut Reader<'_>, value: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (vhost, name) = (key.name()?, key.name()?);
        let (type_name, auto_delete, internal) = (value.text()?, value.bool()?, value.bool()?);
        let arguments = value.arguments()?;
        let Some(vhost) = self.topology.vhost_id(&vhost) else { return Ok(()) };
        let declare = ExchangeDeclare {
            vhost,
            name: &name,
            kind: &type_name,
            passive: false,
            durable: true,
            auto_delete,
            internal,
            arguments,
        };
        match self.topology.declare_exchange(&declare).map_err(|_| Corrupt)? {
            Declared::New(_, change) => self.change(Some(change)),
            Declared::Existing(_) => {}
        }
        Ok(())
    }

    fn queue(&mut self, key: &mut Reader<'_>, value: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (host, name) = (key.name()?, key.name()?);
        let (id, shard, auto_delete) = (QueueId(value.u64()?), ShardId(value.u16()?), value.bool()?);
        let arguments = value.arguments()?;
        let Some(vhost) = self.topology.vhost_id(&host) else { return Ok(()) };
        let resource = Resource { kind: ResourceKind::Queue, vhost: host, name: name.clone() };
        let settings = QueueSettings::parse(&resource, &arguments).map_err(|_| Corrupt)?;
        let record = Arc::new(QueueRecord {
            id,
            shard: self.placed(shard, &name),
            name,
            durable: true,
            exclusive_owner: None,
            auto_delete,
            arguments,
            settings,
        });
        self.change(Some(TopologyChange::QueueDeclared { vhost, record }));
        Ok(())
    }

    /// Where it was, or, if the broker has fewer shards now, by its name.
    fn placed(&self, shard: ShardId, name: &str) -> ShardId {
        if usize::from(shard.0) < self.shards {
            return shard;
        }
        // FNV-1a: the same in every version of the program.
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, mix);
        ShardId(u16::try_from(hash % self.shards.max(1) as u64).unwrap_or(0))
    }

    fn binding(&mut self, key: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (vhost, source) = (key.name()?, key.name()?);
        let end: fn(Name) -> BindingEnd = match &*key.name()? {
            "queue" => BindingEnd::Queue,
            "exchange" => BindingEnd::Exchange,
            _ => return Err(Corrupt),
        };
        let binding = Binding { source, destination: end(key.name()?), key: key.name()?, arguments: key.arguments()? };
        let vhost = self.topology.vhost_id(&vhost);
        let is_whole = |vhost| self.topology.vhost(vhost).is_ok_and(|vhost| vhost.is_durable(&binding));
        let bound = vhost.filter(|vhost| is_whole(*vhost)).map(|vhost| TopologyChange::Bound { vhost, binding });
        self.change(bound);
        Ok(())
    }
}

fn access_change(kind: u8, key: &mut Reader<'_>, value: &mut Reader<'_>) -> Result<AccessChange, Corrupt> {
    let name = key.name()?;
    Ok(match kind {
        kind::VHOST => AccessChange::VhostSet { name, settings: vhost_settings(value)? },
        kind::VHOST_LIMITS => AccessChange::VhostLimited { name, limits: limits(value, VhostLimit::parse)? },
        kind::USER => {
            let password = password(value)?;
            let tags = value.list(|reader| reader.text().map(|word| Tag::parse(&word)))?;
            AccessChange::UserSet { name, password, tags }
        }
        kind::USER_LIMITS => AccessChange::UserLimited { name, limits: limits(value, UserLimit::parse)? },
        kind::PERMISSION => {
            let vhost = key.name()?;
            let permission = Permission::new(&value.text()?, &value.text()?, &value.text()?).map_err(|_| Corrupt)?;
            AccessChange::PermissionSet { user: name, vhost, permission: Arc::new(permission) }
        }
        kind::TOPIC_PERMISSION => {
            let (vhost, exchange) = (key.name()?, key.name()?);
            let who = Who { user: &name, vhost: &vhost };
            let permission = TopicPermission::new(who, &value.text()?, &value.text()?).map_err(|_| Corrupt)?;
            AccessChange::TopicPermissionSet { user: name, vhost, exchange, permission: Arc::new(permission) }
        }
        kind::POLICY => {
            let scope = key.name()?;
            let scope = [Scope::User, Scope::Operator].into_iter().find(|it| it.component() == &*scope);
            let policy = policy(key.name()?, value)?;
            AccessChange::PolicySet { vhost: name, scope: scope.ok_or(Corrupt)?, policy: Arc::new(policy) }
        }
        kind::PARAMETER => {
            let (component, parameter) = (key.name()?, key.name()?);
            let value = Arc::new(value.value()?);
            AccessChange::ParameterSet { vhost: name, component, name: parameter, value }
        }
        kind::GLOBAL_PARAMETER => AccessChange::GlobalParameterSet { name, value: Arc::new(value.value()?) },
        _ => return Err(Corrupt),
    })
}

fn password(value: &mut Reader<'_>) -> Result<Option<PasswordHash>, Corrupt> {
    let (algorithm, text) = (value.optional()?, value.optional()?);
    let Some((algorithm, text)) = algorithm.zip(text) else { return Ok(None) };
    let algorithm = Algorithm::parse(&algorithm).ok_or(Corrupt)?;
    PasswordHash::parse(algorithm, &text).map(Some).map_err(|_| Corrupt)
}

fn limits<K: Copy + Ord>(value: &mut Reader<'_>, parse: impl Fn(&str) -> Option<K>) -> Result<Limits<K>, Corrupt> {
    let entries = value.list(|reader| Ok((parse(&reader.text()?).ok_or(Corrupt)?, reader.i64()?)))?;
    Ok(entries.into_iter().collect())
}

fn vhost_settings(value: &mut Reader<'_>) -> Result<VhostSettings, Corrupt> {
    Ok(VhostSettings {
        description: value.text()?,
        tags: value.list(Reader::text)?,
        default_queue_type: value.optional()?,
        tracing: value.bool()?,
        protected: value.bool()?,
    })
}

fn policy(name: Name, value: &mut Reader<'_>) -> Result<Policy, Corrupt> {
    let pattern = Pattern::new(&value.text()?).map_err(|_| Corrupt)?;
    let apply_to = ApplyTo::parse(&value.text()?).ok_or(Corrupt)?;
    Ok(Policy { name, pattern, apply_to, priority: value.i64()?, definition: value.arguments()? })
}
