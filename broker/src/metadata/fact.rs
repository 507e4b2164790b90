//! From changes to what is stored of them: keys and values of the entries.

use leveret_core::Name;
use leveret_core::access::limit::Limits;
use leveret_core::access::policy::{Policy, Scope};
use leveret_core::access::{Access, AccessChange, Tag, VhostSettings};
use leveret_core::exchange::ExchangeRecord;
use leveret_core::topology::{Applied, Binding, BindingEnd, QueueRecord, Topology, TopologyChange, Vhost};

use super::codec::Writer;

/// The first byte of a key. Entries are read in this order, so what refers to something comes after it.
pub(super) mod kind {
    pub(in crate::metadata) const VHOST: u8 = 1;
    pub(in crate::metadata) const VHOST_LIMITS: u8 = 2;
    pub(in crate::metadata) const USER: u8 = 3;
    pub(in crate::metadata) const USER_LIMITS: u8 = 4;
    pub(in crate::metadata) const PERMISSION: u8 = 5;
    pub(in crate::metadata) const TOPIC_PERMISSION: u8 = 6;
    pub(in crate::metadata) const POLICY: u8 = 7;
    pub(in crate::metadata) const PARAMETER: u8 = 8;
    pub(in crate::metadata) const GLOBAL_PARAMETER: u8 = 9;
    pub(in crate::metadata) const EXCHANGE: u8 = 10;
    pub(in crate::metadata) const QUEUE: u8 = 11;
    pub(in crate::metadata) const BINDING: u8 = 12;
}

/// Kinds whose keys go on with the name of a virtual host.
const IN_VHOST: [u8; 6] =
    [kind::VHOST_LIMITS, kind::POLICY, kind::PARAMETER, kind::EXCHANGE, kind::QUEUE, kind::BINDING];
/// Kinds whose keys go on with the name of a user.
const OF_USER: [u8; 3] = [kind::USER_LIMITS, kind::PERMISSION, kind::TOPIC_PERMISSION];

/// One step of a transaction.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Op {
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Remove {
        key: Vec<u8>,
    },
    RemoveUnder {
        prefix: Vec<u8>,
    },
    /// Queues' numbers below this have been given.
    NextQueue(u64),
    /// The store that has the queues' messages.
    Store(u64),
}

/// Values hold digests of passwords, so only keys show.
impl std::fmt::Debug for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put { key, .. } => write!(f, "Put({})", key.escape_ascii()),
            Self::Remove { key } => write!(f, "Remove({})", key.escape_ascii()),
            Self::RemoveUnder { prefix } => write!(f, "RemoveUnder({})", prefix.escape_ascii()),
            Self::NextQueue(next) => write!(f, "NextQueue({next})"),
            Self::Store(number) => write!(f, "Store({number:016x})"),
        }
    }
}

fn put(kind: u8, names: &[&str], value: impl FnOnce(&mut Writer)) -> Op {
    let mut writer = Writer::default();
    value(&mut writer);
    Op::Put { key: Writer::key(kind, names), value: writer.0 }
}

fn remove(kind: u8, names: &[&str]) -> Op {
    Op::Remove { key: Writer::key(kind, names) }
}

// ---- access

/// What to store of a change; `access` is the state before it.
pub fn access_ops(access: &Access, change: &AccessChange) -> Vec<Op> {
    let one = match change {
        AccessChange::UserSet { name, password, tags } => put(kind::USER, &[name], |out| {
            out.optional(password.as_ref().map(|hash| hash.algorithm().as_str()));
            out.optional(password.as_ref().map(|hash| hash.as_str()));
            out.count(tags.len());
            tags.iter().map(Tag::as_str).for_each(|tag| out.text(tag));
        }),
        AccessChange::UserRemoved { name } => return user_removed(name),
        AccessChange::UserLimited { name, limits } => limits_op(kind::USER_LIMITS, name, limits, |kind| kind.as_str()),
        AccessChange::PermissionSet { user, vhost, permission } => put(kind::PERMISSION, &[user, vhost], |out| {
            let patterns = [&permission.configure, &permission.write, &permission.read];
            patterns.into_iter().for_each(|pattern| out.text(pattern.as_str()));
        }),
        AccessChange::PermissionRemoved { user, vhost } => remove(kind::PERMISSION, &[user, vhost]),
        AccessChange::TopicPermissionSet { user, vhost, exchange, permission } => {
            put(kind::TOPIC_PERMISSION, &[user, vhost, exchange], |out| {
                [&permission.write, &permission.read].into_iter().for_each(|pattern| out.text(pattern.as_str()));
            })
        }
        AccessChange::TopicPermissionRemoved { user, vhost, exchange } => {
            remove(kind::TOPIC_PERMISSION, &[user, vhost, exchange])
        }
        AccessChange::VhostSet { name, settings } => put(kind::VHOST, &[name], |out| vhost_settings(out, settings)),
        AccessChange::VhostRemoved { name } => return vhost_removed(access, name),
        AccessChange::VhostLimited { name, limits } => {
            limits_op(kind::VHOST_LIMITS, name, limits, |kind| kind.as_str())
        }
        AccessChange::PolicySet { vhost, scope, policy } => {
            put(kind::POLICY, &[vhost, scope_name(*scope), &policy.name], |out| policy_value(out, policy))
        }
        AccessChange::PolicyRemoved { vhost, scope, name } => remove(kind::POLICY, &[vhost, scope_name(*scope), name]),
        AccessChange::ParameterSet { vhost, component, name, value } => {
            put(kind::PARAMETER, &[vhost, component, name], |out| out.value(value))
        }
        AccessChange::ParameterRemoved { vhost, component, name } => remove(kind::PARAMETER, &[vhost, component, name]),
        AccessChange::GlobalParameterSet { name, value } => {
            put(kind::GLOBAL_PARAMETER, &[name], |out| out.value(value))
        }
        AccessChange::GlobalParameterRemoved { name } => remove(kind::GLOBAL_PARAMETER, &[name]),
    };
    vec![one]
}

fn scope_name(scope: Scope) -> &'static str {
    scope.component()
}

fn user_removed(name: &Name) -> Vec<Op> {
    let under = OF_USER.into_iter().map(|kind| Op::RemoveUnder { prefix: Writer::key(kind, &[name]) });
    under.chain([remove(kind::USER, &[name])]).collect()
}

fn vhost_removed(access: &Access, name: &Name) -> Vec<Op> {
    let mut ops = vec![remove(kind::VHOST, &[name])];
    ops.extend(IN_VHOST.into_iter().map(|kind| Op::RemoveUnder { prefix: Writer::key(kind, &[name]) }));
    for (user, record) in access.users() {
        if record.permissions.contains_key(name) {
            ops.push(remove(kind::PERMISSION, &[user, name]));
        }
        if record.topic_permissions.contains_key(name) {
            ops.push(Op::RemoveUnder { prefix: Writer::key(kind::TOPIC_PERMISSION, &[user, name]) });
        }
    }
    ops
}

fn limits_op<K: Copy + Ord>(kind: u8, name: &str, limits: &Limits<K>, word: impl Fn(K) -> &'static str) -> Op {
    if limits.is_empty() {
        return remove(kind, &[name]);
    }
    put(kind, &[name], |out| {
        out.count(limits.iter().len());
        for (kind, value) in limits.iter() {
            out.text(word(kind));
            out.i64(value);
        }
    })
}

fn vhost_settings(out: &mut Writer, settings: &VhostSettings) {
    out.text(&settings.description);
    out.count(settings.tags.len());
    settings.tags.iter().for_each(|tag| out.text(tag));
    out.optional(settings.default_queue_type.as_deref());
    out.bool(settings.tracing);
    out.bool(settings.protected);
}

fn policy_value(out: &mut Writer, policy: &Policy) {
    out.text(policy.pattern.as_str());
    out.text(policy.apply_to.as_str());
    out.i64(policy.priority);
    out.arguments(&policy.definition);
}

// ---- topology

/// What a change of the topology does to what is stored. Some of it only the state before the change tells (was it durable?), some
/// only its application (what went along with it?).
#[derive(Clone, Debug)]
pub struct TopologyOps {
    vhost: Name,
    ops: Vec<Op>,
}

impl TopologyOps {
    /// To be asked before the change is applied. Virtual hosts themselves are stored as changes of access.
    pub fn before(topology: &Topology, change: &TopologyChange) -> TopologyOps {
        let nothing = TopologyOps { vhost: Name::default(), ops: Vec::new() };
        let (TopologyChange::ExchangeDeclared { vhost, .. }
        | TopologyChange::ExchangeDeleted { vhost, .. }
        | TopologyChange::QueueDeclared { vhost, .. }
        | TopologyChange::QueueDeleted { vhost, .. }
        | TopologyChange::Bound { vhost, .. }
        | TopologyChange::Unbound { vhost, .. }) = change
        else {
            return nothing;
        };
        let Ok(vhost) = topology.vhost(*vhost) else { return nothing };
        TopologyOps { vhost: vhost.name().clone(), ops: ops_in(vhost, change) }
    }

    /// All of it, once the change is applied.
    pub fn after(self, applied: &Applied) -> Vec<Op> {
        let TopologyOps { vhost, mut ops } = self;
        let durable = applied.exchanges_removed.iter().filter(|record| record.durable);
        ops.extend(durable.map(|record| remove(kind::EXCHANGE, &[&vhost, &record.name])));
        if !ops.is_empty() {
            ops.extend(applied.bindings_removed.iter().map(|binding| Op::Remove { key: binding_key(&vhost, binding) }));
        }
        ops
    }
}

fn ops_in(vhost: &Vhost, change: &TopologyChange) -> Vec<Op> {
    let host: &str = vhost.name();
    match change {
        TopologyChange::ExchangeDeclared { record, .. } if record.durable => {
            vec![put(kind::EXCHANGE, &[host, &record.name], |out| exchange_value(out, record))]
        }
        TopologyChange::ExchangeDeleted { name, .. } if vhost.exchange(name).is_some_and(|record| record.durable) => {
            vec![remove(kind::EXCHANGE, &[host, name])]
        }
        TopologyChange::QueueDeclared { record, .. } if record.durable => vec![
            put(kind::QUEUE, &[host, &record.name], |out| queue_value(out, record)),
            Op::NextQueue(record.id.0 + 1),
        ],
        TopologyChange::QueueDeleted { name, .. } if vhost.queue(name).is_some_and(|record| record.durable) => {
            vec![remove(kind::QUEUE, &[host, name])]
        }
        TopologyChange::Bound { binding, .. } if vhost.is_durable(binding) => {
            vec![Op::Put { key: binding_key(host, binding), value: Vec::new() }]
        }
        TopologyChange::Unbound { binding, .. } if vhost.is_durable(binding) => {
            vec![Op::Remove { key: binding_key(host, binding) }]
        }
        _ => Vec::new(),
    }
}

fn exchange_value(out: &mut Writer, record: &ExchangeRecord) {
    out.text(record.kind.as_str());
    out.bool(record.auto_delete);
    out.bool(record.internal);
    out.arguments(&record.arguments);
}

fn queue_value(out: &mut Writer, record: &QueueRecord) {
    out.u64(record.id.0);
    out.u16(record.shard.0);
    out.bool(record.auto_delete);
    out.arguments(&record.arguments);
}

/// All of a binding is in its key.
fn binding_key(vhost: &str, binding: &Binding) -> Vec<u8> {
    let (end, destination) = match &binding.destination {
        BindingEnd::Queue(name) => ("queue", name),
        BindingEnd::Exchange(name) => ("exchange", name),
    };
    let mut writer = Writer(Writer::key(kind::BINDING, &[vhost, &binding.source, end, destination, &binding.key]));
    writer.arguments(&binding.arguments);
    writer.0
}
