//! What happens in the broker, told to whoever listens: messages without body for the exchange `amq.rabbitmq.event`.
//!
//! Names, keys and headers are those of RabbitMQ's event exchange plugin. The exchange is there if the configuration says in which
//! virtual host (`event_exchange.vhost`); as long as nothing is bound to it an event costs a look. Changes of what exists and of
//! who may do what are told by the owner of the topology once they are in force there; connections, channels, consumers and logins
//! by their own shard. Passwords and the values of parameters, in which there may be some, are never part of an event.

use std::rc::Rc;
use std::sync::Arc;

use leveret_core::access::policy::{Policy, Scope};
use leveret_core::access::{Access, AccessChange};
use leveret_core::exchange::{ExchangeKind, ExchangeRecord};
use leveret_core::topology::{Binding, BindingEnd, Topology, TopologyChange};
use leveret_core::value::{Arguments, Value};
use leveret_core::{Name, VhostId};

use super::Shard;
use super::replication::Change;

/// The exchange's name.
pub const EXCHANGE: &str = "amq.rabbitmq.event";

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The routing key, such as `queue.created`.
    pub key: &'static str,
    /// What else there is to say.
    pub fields: Arguments,
}

impl Event {
    /// An event about nothing yet.
    pub fn new(key: &'static str) -> Event {
        Event { key, fields: Arguments::new() }
    }

    /// With a text.
    #[must_use]
    pub fn text(self, name: &'static str, text: &str) -> Event {
        self.with(name, Value::str(text))
    }

    /// With a number.
    #[must_use]
    pub fn number(self, name: &'static str, number: u64) -> Event {
        self.with(name, Value::long(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    /// With yes or no.
    #[must_use]
    pub fn flag(self, name: &'static str, flag: bool) -> Event {
        self.with(name, Value::Bool(flag))
    }

    /// With a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Event {
        self.fields.push(name, value);
        self
    }
}

impl Shard {
    /// Makes the exchange, if it is not there. On the owner's shard.
    ///
    /// # Errors
    /// There is no virtual host of that name.
    pub fn declare_event_exchange(self: &Rc<Self>, vhost: &str) -> Result<(), super::administration::NotDone> {
        let found = self.topology.borrow().vhost_id(vhost);
        let vhost = found.ok_or(super::administration::NotDone::NoVhost)?;
        let is_there = self.topology.borrow().vhost(vhost).is_ok_and(|vhost| vhost.exchange(EXCHANGE).is_some());
        if !is_there {
            let record = ExchangeRecord {
                name: EXCHANGE.into(),
                kind: ExchangeKind::Topic,
                durable: true,
                auto_delete: false,
                internal: true,
                arguments: Arguments::new(),
                alternate: None,
            };
            let change = TopologyChange::ExchangeDeclared { vhost, record: Arc::new(record) };
            self.publish_and_wait(vec![Change::Topology(change)], true);
        }
        Ok(())
    }

    /// Where events go: the virtual host, if somebody listens.
    fn event_vhost(&self) -> Option<VhostId> {
        let name = self.config.event_vhost.as_deref()?;
        let topology = self.topology.borrow();
        let id = topology.vhost_id(name)?;
        let vhost = topology.vhost(id).ok()?;
        vhost.bindings_from(EXCHANGE).next().map(|_| id)
    }

    /// Tells who listens; `event` is asked only if somebody does.
    pub fn tell(self: &Rc<Self>, event: impl FnOnce() -> Event) {
        if let Some(vhost) = self.event_vhost() {
            self.publish_event(vhost, event());
        }
    }

    fn publish_event(self: &Rc<Self>, vhost: VhostId, event: Event) {
        let message = (self.editor.event)(EXCHANGE, &event, self.now());
        self.republish(vhost, EXCHANGE, &message);
    }

    /// The events that changes will be, while what they change is still as before. Nothing if nobody listens.
    pub(super) fn events_of(&self, changes: &[Change]) -> Vec<Event> {
        if self.event_vhost().is_none() {
            return Vec::new();
        }
        let (topology, access) = (self.topology.borrow(), self.access.borrow());
        let of_change = |change: &Change| match change {
            Change::Topology(change) => of_topology(&topology, change).into_iter().collect(),
            Change::Access(change) => of_access(&access, change),
        };
        changes.iter().flat_map(of_change).collect()
    }

    /// Tells who listens about changes that have been made.
    pub(super) fn tell_all(self: &Rc<Self>, events: Vec<Event>) {
        let Some(vhost) = self.event_vhost().filter(|_| !events.is_empty()) else { return };
        events.into_iter().for_each(|event| self.publish_event(vhost, event));
    }
}

fn of_topology(topology: &Topology, change: &TopologyChange) -> Option<Event> {
    let host = |id: &VhostId| topology.vhost(*id).map(|vhost| vhost.name().to_string()).unwrap_or_default();
    Some(match change {
        TopologyChange::ExchangeDeclared { vhost, record } => Event::new("exchange.created")
            .text("name", &record.name)
            .text("vhost", &host(vhost))
            .text("type", record.kind.as_str())
            .flag("durable", record.durable)
            .flag("auto_delete", record.auto_delete)
            .flag("internal", record.internal)
            .with("arguments", Value::Table(record.arguments.clone())),
        TopologyChange::ExchangeDeleted { vhost, name } => {
            Event::new("exchange.deleted").text("name", name).text("vhost", &host(vhost))
        }
        TopologyChange::QueueDeclared { vhost, record } => Event::new("queue.created")
            .text("name", &record.name)
            .text("vhost", &host(vhost))
            .text("type", record.kind().as_str())
            .flag("durable", record.durable)
            .flag("auto_delete", record.auto_delete)
            .flag("exclusive", record.exclusive_owner.is_some())
            .with("arguments", Value::Table(record.arguments.clone())),
        TopologyChange::QueueDeleted { vhost, name } => {
            Event::new("queue.deleted").text("name", name).text("vhost", &host(vhost))
        }
        TopologyChange::Bound { vhost, binding } => of_binding("binding.created", binding, &host(vhost)),
        TopologyChange::Unbound { vhost, binding } => of_binding("binding.deleted", binding, &host(vhost)),
        TopologyChange::VhostAdded { .. }
        | TopologyChange::VhostRemoved { .. }
        | TopologyChange::VhostLimited { .. } => return None, // told as changes of access
    })
}

fn of_binding(key: &'static str, binding: &Binding, vhost: &str) -> Event {
    let (kind, name) = match &binding.destination {
        BindingEnd::Queue(name) => ("queue", name),
        BindingEnd::Exchange(name) => ("exchange", name),
    };
    Event::new(key)
        .text("source_name", &binding.source)
        .text("source_kind", "exchange")
        .text("destination_name", name)
        .text("destination_kind", kind)
        .text("routing_key", &binding.key)
        .with("arguments", Value::Table(binding.arguments.clone()))
        .text("vhost", vhost)
}

fn of_access(access: &Access, change: &AccessChange) -> Vec<Event> {
    let of_permission = |key, user: &Name, vhost: &Name| Event::new(key).text("user", user).text("vhost", vhost);
    let of_parameter =
        |key, component: &str, name: &Name| Event::new(key).text("component", component).text("name", name);
    let event = match change {
        AccessChange::UserSet { name, password, tags } => {
            let before = access.user(name);
            let what = match before {
                None => Some("user.created"),
                Some(user) if user.password == *password => None,
                Some(_) if password.is_none() => Some("user.password.cleared"),
                Some(_) => Some("user.password.changed"),
            };
            let words = tags.iter().map(|tag| Value::str(tag.as_str())).collect();
            let tagged = Event::new("user.tags.set").text("name", name).with("tags", Value::Array(words));
            return what.map(|key| Event::new(key).text("name", name)).into_iter().chain([tagged]).collect();
        }
        AccessChange::UserRemoved { name } => Event::new("user.deleted").text("name", name),
        AccessChange::UserLimited { name, limits } => {
            let key = if limits.is_empty() { "user.limits.cleared" } else { "user.limits.set" };
            let event = Event::new(key).text("name", "limits").text("username", name);
            limits.iter().fold(event, |event, (limit, value)| event.with(limit.as_str(), Value::long(value)))
        }
        AccessChange::PermissionSet { user, vhost, permission } => of_permission("permission.created", user, vhost)
            .text("configure", permission.configure.as_str())
            .text("write", permission.write.as_str())
            .text("read", permission.read.as_str()),
        AccessChange::PermissionRemoved { user, vhost } => of_permission("permission.deleted", user, vhost),
        AccessChange::TopicPermissionSet { user, vhost, exchange, permission } => {
            of_permission("topic.permission.created", user, vhost)
                .text("exchange", exchange)
                .text("write", permission.write.as_str())
                .text("read", permission.read.as_str())
        }
        AccessChange::TopicPermissionRemoved { user, vhost, exchange } => {
            of_permission("topic.permission.deleted", user, vhost).text("exchange", exchange)
        }
        AccessChange::VhostSet { name, settings } => {
            let key = if access.vhost(name).is_some() { "vhost.updated" } else { "vhost.created" };
            Event::new(key)
                .text("name", name)
                .text("description", &settings.description)
                .with("tags", Value::Array(settings.tags.iter().map(|tag| Value::str(tag)).collect()))
                .flag("tracing", settings.tracing)
        }
        AccessChange::VhostRemoved { name } => Event::new("vhost.deleted").text("name", name),
        AccessChange::VhostLimited { name, limits } => {
            let key = if limits.is_empty() { "vhost.limits.cleared" } else { "vhost.limits.set" };
            let event = Event::new(key).text("name", "limits").text("vhost", name);
            limits.iter().fold(event, |event, (limit, value)| event.with(limit.as_str(), Value::long(value)))
        }
        AccessChange::PolicySet { vhost, scope: Scope::User, policy } => of_policy(vhost, policy),
        AccessChange::PolicySet { vhost, policy, .. } => {
            of_parameter("parameter.set", "operator_policy", &policy.name).text("vhost", vhost)
        }
        AccessChange::PolicyRemoved { vhost, scope: Scope::User, name } => {
            Event::new("policy.cleared").text("name", name).text("vhost", vhost)
        }
        AccessChange::PolicyRemoved { vhost, name, .. } => {
            of_parameter("parameter.cleared", "operator_policy", name).text("vhost", vhost)
        }
        AccessChange::ParameterSet { vhost, component, name, .. } => {
            of_parameter("parameter.set", component, name).text("vhost", vhost)
        }
        AccessChange::ParameterRemoved { vhost, component, name } => {
            of_parameter("parameter.cleared", component, name).text("vhost", vhost)
        }
        AccessChange::GlobalParameterSet { name, .. } => of_parameter("parameter.set", "global", name),
        AccessChange::GlobalParameterRemoved { name } => of_parameter("parameter.cleared", "global", name),
    };
    vec![event]
}

fn of_policy(vhost: &Name, policy: &Policy) -> Event {
    Event::new("policy.set")
        .text("name", &policy.name)
        .text("vhost", vhost)
        .text("pattern", policy.pattern.as_str())
        .text("apply-to", policy.apply_to.as_str())
        .with("definition", Value::Table(policy.definition.clone()))
        .with("priority", Value::long(policy.priority))
}

#[cfg(test)]
mod tests {
    use leveret_core::access::password::{Algorithm, PasswordHash};

    use super::*;

    fn keys(access: &Access, change: &AccessChange) -> Vec<&'static str> {
        of_access(access, change).iter().map(|event| event.key).collect()
    }

    #[test]
    fn users_are_created_changed_and_tagged_and_no_digest_is_told() {
        let mut access = Access::default();
        let set = |password: Option<&[u8]>| AccessChange::UserSet {
            name: "u".into(),
            password: password.map(|it| PasswordHash::create(Algorithm::Sha256, it, [1; 16])),
            tags: vec![],
        };
        let check = |access: &mut Access, change: AccessChange, expected: &[&str]| {
            assert_eq!(keys(access, &change), expected);
            let told = format!("{:?}", of_access(access, &change));
            assert!(!told.contains("AQEBA"), "the salt of a digest is in {told}");
            access.apply(&change);
        };
        check(&mut access, set(Some(b"a")), &["user.created", "user.tags.set"]);
        check(&mut access, set(Some(b"a")), &["user.tags.set"]);
        check(&mut access, set(Some(b"b")), &["user.password.changed", "user.tags.set"]);
        check(&mut access, set(None), &["user.password.cleared", "user.tags.set"]);
        check(&mut access, AccessChange::UserRemoved { name: "u".into() }, &["user.deleted"]);
    }

    #[test]
    fn values_of_parameters_are_not_told() {
        let value = Arc::new(Value::str("amqp://user:canary@host"));
        let set = AccessChange::GlobalParameterSet { name: "p".into(), value };
        assert!(!format!("{:?}", of_access(&Access::default(), &set)).contains("canary"));
    }
}
