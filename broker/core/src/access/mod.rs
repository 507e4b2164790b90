//! Users, virtual hosts, permissions, policies, parameters and limits: what operators set and front-ends ask.
//!
//! It changes as the topology does: a [`Command`] is *checked* against the owner's copy, which yields a [`Refused`] or a
//! [`Decision`] with facts ([`AccessChange`]); the facts are stored, and *applied* to every replica in the same order.
//!
//! ```text
//!   owner:     check(command) -> Decision { changes, outcome } -> store -> apply -> send to all -> answer
//!   replicas:                                                              apply
//! ```
//!
//! Between a check and its `apply` no other change may come in.
//!
//! [`Access`] is cheap to clone (its parts are shared), so that a reader such as the HTTP API takes an `Arc` of the whole
//! as of one moment. All its lists are in the order of names. What it does not know: passwords (only digests), who is
//! connected, and what exists inside the virtual hosts, which is the [topology](crate::topology)'s.
//!
//! | module | subject |
//! | --- | --- |
//! | [`permission`] | the one table operation x resource x right, and checking it |
//! | [`pattern`] | regular expressions on names |
//! | [`password`] | digests |
//! | [`policy`] | which policy applies, and what it does to a queue |
//! | [`limit`] | limits of users and virtual hosts |
//! | [`throttle`] | slowing down who guesses passwords |

mod change;
mod command;
mod definition;
mod erlang;
pub mod limit;
mod parameters;
pub mod password;
pub mod pattern;
pub mod permission;
pub mod policy;
mod refusal;
mod tag;
#[cfg(test)]
mod tests;
pub mod throttle;
mod users;
mod vhosts;

pub use change::AccessChange;
pub use command::{Command, Decision, Outcome, PasswordUpdate, VhostUpdate};
pub use definition::without_effect;
pub use refusal::Refused;
pub use tag::Tag;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::Name;
use crate::value::Value;
use limit::{Limits, UserLimit, VhostLimit};
use password::PasswordHash;
use permission::{Permission, Rights, TopicPermissions};
use policy::{Effective, Policy, Scope, Subject};

/// The longest name of anything here, in bytes: what fits into AMQP's short string.
pub const NAME_SIZE_MAX: usize = 255;

/// The user that exists from the start, an administrator with all rights on [`DEFAULT_VHOST`].
pub const DEFAULT_USER: &str = "guest";
/// The virtual host that exists from the start.
pub const DEFAULT_VHOST: &str = "/";

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `None`: no login by password.
    pub password: Option<PasswordHash>,
    /// Sorted, each once.
    pub tags: Vec<Tag>,
    /// As set.
    pub limits: Limits<UserLimit>,
    /// By virtual host; none is no access to it.
    pub permissions: BTreeMap<Name, Arc<Permission>>,
    /// By virtual host.
    pub topic_permissions: BTreeMap<Name, Arc<TopicPermissions>>,
}

impl User {
    /// Whether it has a tag.
    pub fn has_tag(&self, tag: &Tag) -> bool {
        self.tags.contains(tag)
    }
}

/// What is set for a virtual host as such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostSettings {
    /// Words for people.
    pub description: Name,
    /// Words for people and tools.
    pub tags: Vec<Name>,
    /// The type of queues that are declared without one: `classic`, `quorum` or `stream`.
    pub default_queue_type: Option<Name>,
    /// Copies of all messages go to `amq.rabbitmq.trace`.
    pub tracing: bool,
    /// It cannot be deleted.
    pub protected: bool,
}

/// A virtual host, but for what is declared in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostPolicy {
    /// What is set for it as such.
    pub settings: VhostSettings,
    /// As set.
    pub limits: Limits<VhostLimit>,
    /// The users' policies by name.
    pub policies: BTreeMap<Name, Arc<Policy>>,
    /// The operator's policies by name.
    pub operator_policies: BTreeMap<Name, Arc<Policy>>,
    /// Runtime parameters by component and name.
    pub parameters: BTreeMap<(Name, Name), Arc<Value>>,
}

impl VhostPolicy {
    /// The policies of a scope by name.
    pub fn policies(&self, scope: Scope) -> &BTreeMap<Name, Arc<Policy>> {
        match scope {
            Scope::User => &self.policies,
            Scope::Operator => &self.operator_policies,
        }
    }
}

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    users: BTreeMap<Name, Arc<User>>,
    vhosts: BTreeMap<Name, Arc<VhostPolicy>>,
    global_parameters: BTreeMap<Name, Arc<Value>>,
    epoch: u64,
}

impl Access {
    /// Nobody and nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the changes applied. What was derived from an earlier state is stale.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All users.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (&Name, &Arc<User>)> {
        self.users.iter()
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All virtual hosts.
    pub fn vhosts(&self) -> impl ExactSizeIterator<Item = (&Name, &Arc<VhostPolicy>)> {
        self.vhosts.iter()
    }

    /// The virtual host of that name.
    pub fn vhost(&self, name: &str) -> Option<&Arc<VhostPolicy>> {
        self.vhosts.get(name)
    }

    /// All global parameters.
    pub fn global_parameters(&self) -> impl ExactSizeIterator<Item = (&Name, &Arc<Value>)> {
        self.global_parameters.iter()
    }

    /// What a user may do in a virtual host; `None` is no access to it.
    pub fn rights(&self, user: &str, vhost: &str) -> Option<Rights> {
        let (user, record) = self.users.get_key_value(user)?;
        let (vhost, permission) = record.permissions.get_key_value(vhost)?;
        let topics = record.topic_permissions.get(vhost).cloned().unwrap_or_default();
        Some(Rights { user: user.clone(), vhost: vhost.clone(), permission: permission.clone(), topics })
    }

    /// The policies in force for a queue or an exchange.
    pub fn effective(&self, vhost: &str, subject: Subject<'_>) -> Effective {
        let Some(vhost) = self.vhosts.get(vhost) else { return Effective::default() };
        let best = |scope| policy::best(vhost.policies(scope).values(), subject).cloned();
        Effective { policy: best(Scope::User), operator_policy: best(Scope::Operator) }
    }

    /// Everything as facts, in an order in which they can be applied to nothing: for the store and for exports.
    pub fn facts(&self) -> Vec<AccessChange> {
        change::facts_of(self)
    }
}
