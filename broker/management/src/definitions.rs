//! RabbitMQ's `definitions.json`, out and in: the one place that knows its shapes.
//!
//! An import merges. What cannot change stays as it is, what can is overwritten, nothing is deleted; a file of any RabbitMQ
//! since 3.6 is taken. The order is RabbitMQ's: users, virtual hosts, permissions, parameters, policies, then exchanges, queues and
//! bindings.

use leveret_core::access::policy::Scope;
use leveret_core::access::{Access, Command as Administration, VhostUpdate};
use leveret_core::topology::{BindingEnd, Topology, Vhost};
use leveret_core::{Name, VhostId};
use serde_json::{Map, Value, json};

use crate::api::access::{show_permission, show_topic};
use crate::api::bodies::Fields;
use crate::api::policies::{parameters_of, show_policy};
use crate::api::users;
use crate::failure::Failure;
use crate::json::{from_arguments, from_field, to_field};
use crate::port::{Actor, Broker, Command, Facts};

/// Objects of one import.
const OBJECTS_MAX: usize = 1_000_000;
/// Names that the broker declares by itself begin with this.
const RESERVED: &str = "amq.";

/// The global parameter with the digest of the files that were imported at a start; it is about this broker alone and does not leave it.
pub const IMPORTED_DEFINITIONS: &str = "imported_definition_hash_value";

// ---- out

/// Everything that survives a restart. Exclusive and transient queues and exchanges do not.
pub(crate) fn export(topology: &Topology, access: &Access, facts: &Facts) -> Value {
    let mut document = head(facts, "cluster");
    document.insert("original_cluster_name".into(), json!(facts.cluster_name));
    document.insert("users".into(), access.users().map(|(name, user)| users::show_one(name, user)).collect());
    document.insert("vhosts".into(), vhosts(topology, access));
    document.insert("permissions".into(), permissions(access));
    document.insert("topic_permissions".into(), topic_permissions(access));
    let globals = access.global_parameters().filter(|(name, _)| &***name != IMPORTED_DEFINITIONS);
    let globals = globals.map(|(name, value)| json!({"name": **name, "value": from_field(value)}));
    document.insert("global_parameters".into(), globals.collect());
    let names: Vec<Name> = sorted_vhosts(topology).into_iter().map(|(_, vhost)| vhost.name().clone()).collect();
    let of_all = |of: &dyn Fn(&str) -> Vec<Value>| names.iter().flat_map(|name| of(name)).collect::<Value>();
    document.insert("parameters".into(), of_all(&|vhost| parameters(access, vhost)));
    document.insert("policies".into(), of_all(&|vhost| policies(access, vhost)));
    let of_each = |of: fn(&Vhost) -> Vec<Value>| {
        sorted_vhosts(topology).into_iter().flat_map(|(_, vhost)| of(vhost)).collect::<Value>()
    };
    document.insert("queues".into(), of_each(queues));
    document.insert("exchanges".into(), of_each(exchanges));
    document.insert("bindings".into(), of_each(bindings));
    Value::Object(document)
}

/// One virtual host's part, without users, and without its name in every item.
pub(crate) fn export_vhost(topology: &Topology, access: &Access, facts: &Facts, name: &str) -> Value {
    let mut document = head(facts, "single_virtual_host");
    let found = sorted_vhosts(topology).into_iter().find(|(_, vhost)| &**vhost.name() == name);
    let without_vhost = |values: Vec<Value>| {
        values.into_iter().map(|mut value| {
            if let Value::Object(object) = &mut value {
                object.remove("vhost");
            }
            value
        })
    };
    let settings = access.vhost(name).map(|it| it.settings.clone()).unwrap_or_default();
    document.insert("original_vhost_name".into(), json!(name));
    document.insert("description".into(), json!(*settings.description));
    document.insert("metadata".into(), json!({"description": *settings.description, "tags": tags(&settings.tags)}));
    document.insert("default_queue_type".into(), json!(settings.default_queue_type.as_deref().unwrap_or("classic")));
    let limits = access.vhost(name).map(|it| limits_of(it.limits.iter().map(|(limit, value)| (limit.as_str(), value))));
    document.insert("limits".into(), limits.unwrap_or_else(|| json!({})));
    document.insert("parameters".into(), parameters(access, name).into());
    document.insert("policies".into(), policies(access, name).into());
    if let Some((_, vhost)) = found {
        document.insert("queues".into(), without_vhost(queues(vhost)).collect());
        document.insert("exchanges".into(), without_vhost(exchanges(vhost)).collect());
        document.insert("bindings".into(), without_vhost(bindings(vhost)).collect());
    }
    Value::Object(document)
}

fn head(facts: &Facts, format: &str) -> Map<String, Value> {
    let version = facts.compatible_version.as_str();
    let head = json!({
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
        "rabbitmq_definition_format": format,
        "explanation": "Definitions of a Leveret broker; RabbitMQ can import them.",
    });
    head.as_object().cloned().unwrap_or_default()
}

fn sorted_vhosts(topology: &Topology) -> Vec<(VhostId, &Vhost)> {
    let mut vhosts: Vec<_> = topology.vhosts().collect();
    vhosts.sort_by(|(_, a), (_, b)| a.name().cmp(b.name()));
    vhosts
}

fn tags(tags: &[Name]) -> Vec<&str> {
    tags.iter().map(|tag| &**tag).collect()
}

fn limits_of<'a>(limits: impl Iterator<Item = (&'a str, i64)>) -> Value {
    Value::Object(limits.map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

fn vhosts(topology: &Topology, access: &Access) -> Value {
    let shown = sorted_vhosts(topology).into_iter().map(|(_, vhost)| {
        let record = access.vhost(vhost.name()).map(|it| (**it).clone()).unwrap_or_default();
        let it = &record.settings;
        let kind = it.default_queue_type.as_deref().unwrap_or("classic");
        json!({
            "name": **vhost.name(),
            "description": *it.description,
            "tags": tags(&it.tags),
            "default_queue_type": kind,
            "metadata": {"description": *it.description, "tags": tags(&it.tags), "default_queue_type": kind},
            "limits": limits_of(record.limits.iter().map(|(limit, value)| (limit.as_str(), value))),
        })
    });
    shown.collect()
}

fn permissions(access: &Access) -> Value {
    let all = access.users().flat_map(|(user, it)| it.permissions.iter().map(move |(vhost, it)| (user, vhost, it)));
    all.map(|(user, vhost, it)| show_permission(user, vhost, it)).collect()
}

fn topic_permissions(access: &Access) -> Value {
    let all =
        access.users().flat_map(|(user, it)| it.topic_permissions.iter().map(move |(vhost, it)| (user, vhost, it)));
    all.flat_map(|(user, vhost, it)| it.iter().map(move |(exchange, it)| show_topic(user, vhost, exchange, it)))
        .collect()
}

fn parameters(access: &Access, vhost: &str) -> Vec<Value> {
    access.vhost(vhost).map_or_else(Vec::new, |it| parameters_of(vhost, it))
}

fn policies(access: &Access, vhost: &str) -> Vec<Value> {
    let it = access.vhost(vhost);
    it.into_iter().flat_map(|it| it.policies.values()).map(|policy| show_policy(vhost, policy)).collect()
}

fn queues(vhost: &Vhost) -> Vec<Value> {
    let mut records: Vec<_> = vhost.queues().filter(|it| it.durable && it.exclusive_owner.is_none()).collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    let shown = records.into_iter().map(|it| {
        json!({
            "name": *it.name, "vhost": **vhost.name(), "type": it.kind().as_str(), "durable": it.durable,
            "auto_delete": it.auto_delete, "arguments": from_arguments(&it.arguments),
        })
    });
    shown.collect()
}

fn is_own(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(RESERVED)
}

fn exchanges(vhost: &Vhost) -> Vec<Value> {
    let mut records: Vec<_> = vhost.exchanges().filter(|it| it.durable && is_own(&it.name)).collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    let shown = records.into_iter().map(|it| {
        json!({
            "name": *it.name, "vhost": **vhost.name(), "type": it.kind.as_str(), "durable": it.durable,
            "auto_delete": it.auto_delete, "internal": it.internal, "arguments": from_arguments(&it.arguments),
        })
    });
    shown.collect()
}

fn bindings(vhost: &Vhost) -> Vec<Value> {
    let shown = vhost.bindings().filter(|it| vhost.is_durable(it)).map(|it| {
        let (kind, destination) = match &it.destination {
            BindingEnd::Queue(name) => ("queue", name),
            BindingEnd::Exchange(name) => ("exchange", name),
        };
        json!({
            "source": *it.source, "vhost": **vhost.name(), "destination": **destination, "destination_type": kind,
            "routing_key": *it.key, "arguments": from_arguments(&it.arguments),
        })
    });
    shown.collect()
}

// ---- in

/// An import into a broker.
pub struct Import<'a> {
    /// Into which.
    pub broker: &'a dyn Broker,
    /// In whose name; permissions do not matter, since only administrators import.
    pub user: &'a Name,
    /// The virtual host of items that name none: those of a single-vhost export.
    pub vhost: Option<&'a str>,
}

impl Import<'_> {
    /// Imports a document.
    ///
    /// # Errors
    /// A text that names the first object that is refused and why. What came before it stays imported.
    pub fn run(&self, document: &[u8]) -> Result<(), String> {
        let document = Fields::parse(document).map_err(|failure| failure.reason())?;
        self.import(&document)
    }

    fn import(&self, document: &Fields) -> Result<(), String> {
        type Step<'a> = fn(&Import<'a>, &Fields) -> Result<(), Failure>;
        let lists: [(&str, Step<'_>); 10] = [
            ("users", Self::user),
            ("vhosts", Self::vhost),
            ("permissions", Self::permission),
            ("topic_permissions", Self::topic_permission),
            ("parameters", Self::parameter),
            ("global_parameters", Self::global_parameter),
            ("policies", Self::policy),
            ("exchanges", Self::exchange),
            ("queues", Self::queue),
            ("bindings", Self::binding),
        ];
        let mut count = 0;
        for (name, import) in lists {
            if self.vhost.is_some()
                && matches!(name, "users" | "vhosts" | "permissions" | "topic_permissions" | "global_parameters")
            {
                continue;
            }
            for item in document.list(name).map_err(|failure| failure.reason())? {
                count += 1;
                if count > OBJECTS_MAX {
                    return Err(format!("definitions have at most {OBJECTS_MAX} objects"));
                }
                let object = item.as_object().ok_or_else(|| format!("{name}: an item is not an object"))?;
                let fields = Fields::of(object);
                import(self, &fields).map_err(|failure| format!("{name}: {}: {}", label(&fields), failure.reason()))?;
            }
        }
        Ok(())
    }

    fn administer(&self, command: Administration) -> Result<(), Failure> {
        self.broker.administer(command)?;
        Ok(())
    }

    /// The name of an item's virtual host.
    fn vhost_of(&self, item: &Fields) -> Result<Name, Failure> {
        match (item.name("vhost")?, self.vhost) {
            (_, Some(vhost)) => Ok(vhost.into()),
            (Some(vhost), None) => Ok(vhost),
            (None, None) => Err(Failure::BadRequest("key_missing: vhost".into())),
        }
    }

    fn actor(&self, item: &Fields) -> Result<Actor, Failure> {
        let name = self.vhost_of(item)?;
        let mut vhost = None;
        self.broker.read_topology(&mut |topology| vhost = topology.vhost_id(&name));
        let vhost = vhost.ok_or_else(|| Failure::BadRequest(format!("virtual host '{name}' does not exist")))?;
        Ok(Actor { user: self.user.clone(), vhost })
    }

    fn user(&self, item: &Fields) -> Result<(), Failure> {
        let command = users::command(self.broker, item.require_text("name")?.into(), item)?;
        self.administer(command)
    }

    fn vhost(&self, item: &Fields) -> Result<(), Failure> {
        let name: Name = item.require_text("name")?.into();
        let metadata = item.object("metadata")?;
        let update = VhostUpdate {
            description: item.name("description")?.or(metadata.name("description")?),
            tags: item.words("tags")?.or(metadata.words("tags")?),
            default_queue_type: item.name("default_queue_type")?.or(metadata.name("default_queue_type")?),
            tracing: item.flag("tracing")?,
            protected: item.flag("protected_from_deletion")?,
        };
        self.administer(Administration::PutVhost { name: name.clone(), update, creator: Some(self.user.clone()) })?;
        // Older exports have a list of limits elsewhere, and an empty list here.
        for (limit, value) in item.object("limits")?.iter() {
            let (vhost, limit) = (name.clone(), Name::from(limit.as_str()));
            self.administer(Administration::SetVhostLimit { vhost, limit, value: to_field(value) })?;
        }
        Ok(())
    }

    fn permission(&self, item: &Fields) -> Result<(), Failure> {
        self.administer(Administration::SetPermission {
            user: item.require_text("user")?.into(),
            vhost: self.vhost_of(item)?,
            configure: item.require_text("configure")?.into(),
            write: item.require_text("write")?.into(),
            read: item.require_text("read")?.into(),
        })
    }

    fn topic_permission(&self, item: &Fields) -> Result<(), Failure> {
        self.administer(Administration::SetTopicPermission {
            user: item.require_text("user")?.into(),
            vhost: self.vhost_of(item)?,
            exchange: item.require_text("exchange")?.into(),
            write: item.require_text("write")?.into(),
            read: item.require_text("read")?.into(),
        })
    }

    fn parameter(&self, item: &Fields) -> Result<(), Failure> {
        self.administer(Administration::PutParameter {
            vhost: self.vhost_of(item)?,
            component: item.require_text("component")?.into(),
            name: item.require_text("name")?.into(),
            value: item.field("value")?,
        })
    }

    fn global_parameter(&self, item: &Fields) -> Result<(), Failure> {
        let name: Name = item.require_text("name")?.into();
        self.administer(Administration::PutGlobalParameter { name, value: item.field("value")? })
    }

    fn policy(&self, item: &Fields) -> Result<(), Failure> {
        self.administer(Administration::PutPolicy {
            vhost: self.vhost_of(item)?,
            scope: Scope::User,
            name: item.require_text("name")?.into(),
            pattern: item.require_text("pattern")?.into(),
            apply_to: item.text("apply-to")?.unwrap_or("all").into(),
            priority: leveret_core::value::Value::long(item.number("priority")?.unwrap_or(0)),
            definition: item.field("definition")?,
        })
    }

    fn exchange(&self, item: &Fields) -> Result<(), Failure> {
        let (actor, name) = (self.actor(item)?, item.require_text("name")?);
        if !is_own(name) || self.exists(&actor, |vhost| vhost.exchange(name).is_some()) {
            return Ok(());
        }
        self.execute(
            &actor,
            Command::DeclareExchange {
                name: name.into(),
                kind: item.require_text("type")?.into(),
                durable: item.flag("durable")?.unwrap_or(true),
                auto_delete: item.flag("auto_delete")?.unwrap_or(false),
                internal: item.flag("internal")?.unwrap_or(false),
                arguments: item.arguments("arguments")?,
            },
        )
    }

    fn queue(&self, item: &Fields) -> Result<(), Failure> {
        let (actor, name) = (self.actor(item)?, item.require_text("name")?);
        if self.exists(&actor, |vhost| vhost.queue(name).is_some()) {
            return Ok(());
        }
        let mut arguments = item.arguments("arguments")?;
        if let Some(kind) =
            item.text("type")?.filter(|kind| *kind != "classic" && arguments.get("x-queue-type").is_none())
        {
            arguments.push("x-queue-type", leveret_core::value::Value::str(kind));
        }
        self.execute(
            &actor,
            Command::DeclareQueue {
                name: name.into(),
                durable: item.flag("durable")?.unwrap_or(true),
                auto_delete: item.flag("auto_delete")?.unwrap_or(false),
                arguments,
            },
        )
    }

    fn binding(&self, item: &Fields) -> Result<(), Failure> {
        let (actor, source) = (self.actor(item)?, item.require_text("source")?);
        if source.is_empty() {
            return Ok(()); // every queue has that one
        }
        let destination: Name = item.require_text("destination")?.into();
        let destination = match item.require_text("destination_type")? {
            "queue" => BindingEnd::Queue(destination),
            "exchange" => BindingEnd::Exchange(destination),
            other => return Err(Failure::BadRequest(format!("unknown destination_type '{other}'"))),
        };
        let key = item.name("routing_key")?.unwrap_or_else(|| "".into());
        let arguments = item.arguments("arguments")?;
        self.execute(&actor, Command::Bind { source: source.into(), destination, key, arguments })
    }

    fn exists(&self, actor: &Actor, is_there: impl Fn(&Vhost) -> bool) -> bool {
        let mut found = false;
        self.broker.read_topology(&mut |topology| found = topology.vhost(actor.vhost).is_ok_and(&is_there));
        found
    }

    fn execute(&self, actor: &Actor, command: Command) -> Result<(), Failure> {
        self.broker.execute(actor, command)?;
        Ok(())
    }
}

/// What an error calls an item.
fn label(item: &Fields) -> String {
    let text = |key| item.text(key).ok().flatten();
    match (text("name"), text("source"), text("user")) {
        (Some(name), ..) => format!("'{name}'"),
        (_, Some(source), _) => format!("'{source}' to '{}'", text("destination").unwrap_or_default()),
        (.., Some(user)) => format!("'{user}' in '{}'", text("vhost").unwrap_or_default()),
        _ => "an item".into(),
    }
}
