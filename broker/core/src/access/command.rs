//! What an operator asks, as the HTTP API, `ctl` and imported definitions say it; checked in one place.

use super::limit::UserLimit;
use super::password::PasswordHash;
use super::policy::Scope;
use super::{Access, AccessChange, Refused, Tag};
use crate::ids::Name;
use crate::value::Value;

/// One command. Values of parameters, definitions and limits are as they came, not checked yet; a JSON document becomes
/// strings, 64-bit integers, doubles, booleans, arrays, tables and `Void` for null.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the HTTP API")]
pub enum Command {
    /// Adds or changes a user. `limits` replaces all of them.
    PutUser {
        name: Name,
        password: PasswordUpdate,
        tags: Vec<Tag>,
        limits: Option<Vec<(Name, Value)>>,
    },
    DeleteUser {
        name: Name,
    },
    SetUserLimit {
        user: Name,
        limit: Name,
        value: Value,
    },
    ClearUserLimit {
        user: Name,
        limit: Name,
    },
    SetPermission {
        user: Name,
        vhost: Name,
        configure: Name,
        write: Name,
        read: Name,
    },
    ClearPermission {
        user: Name,
        vhost: Name,
    },
    SetTopicPermission {
        user: Name,
        vhost: Name,
        exchange: Name,
        write: Name,
        read: Name,
    },
    /// For one exchange or all.
    ClearTopicPermission {
        user: Name,
        vhost: Name,
        exchange: Option<Name>,
    },
    /// Adds or changes a virtual host. Who adds one (`creator`, if it is a user) has all rights in it.
    PutVhost {
        name: Name,
        update: VhostUpdate,
        creator: Option<Name>,
    },
    DeleteVhost {
        name: Name,
    },
    SetVhostLimit {
        vhost: Name,
        limit: Name,
        value: Value,
    },
    ClearVhostLimit {
        vhost: Name,
        limit: Name,
    },
    PutPolicy {
        vhost: Name,
        scope: Scope,
        name: Name,
        pattern: Name,
        /// `all` where nothing was said.
        apply_to: Name,
        /// 0 where nothing was said.
        priority: Value,
        definition: Value,
    },
    DeletePolicy {
        vhost: Name,
        scope: Scope,
        name: Name,
    },
    /// Components `policy`, `operator_policy` and `vhost-limits` are those things by their other name.
    PutParameter {
        vhost: Name,
        component: Name,
        name: Name,
        value: Value,
    },
    DeleteParameter {
        vhost: Name,
        component: Name,
        name: Name,
    },
    PutGlobalParameter {
        name: Name,
        value: Value,
    },
    DeleteGlobalParameter {
        name: Name,
    },
}

/// What becomes of a user's password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PasswordUpdate {
    /// It stays; a new user has none.
    #[default]
    Keep,
    /// No login by password from now on.
    Clear,
    /// Digested off the shard, or imported.
    Set(PasswordHash),
}

/// What a virtual host's settings become; `None` leaves a setting as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the settings")]
pub struct VhostUpdate {
    pub description: Option<Name>,
    pub tags: Option<Vec<Name>>,
    /// The empty word clears it, and so does `undefined`.
    pub default_queue_type: Option<Name>,
    pub tracing: Option<bool>,
    pub protected: Option<bool>,
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object is new: 201.
    Created,
    /// The object was there: 204.
    Updated,
    /// It was there and is gone: 204.
    Deleted,
    /// There was nothing to delete: 404.
    Missing,
}

/// The facts that a command makes, in order, and what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Facts to store and apply; none if nothing changes.
    pub changes: Vec<AccessChange>,
    /// What to answer.
    pub outcome: Outcome,
}

impl Decision {
    pub(super) fn put(existed: bool, changes: Vec<AccessChange>) -> Self {
        Self { changes, outcome: if existed { Outcome::Updated } else { Outcome::Created } }
    }

    pub(super) fn delete(existed: bool, changes: Vec<AccessChange>) -> Self {
        match existed {
            true => Self { changes, outcome: Outcome::Deleted },
            false => Self { changes: Vec::new(), outcome: Outcome::Missing },
        }
    }
}

impl Access {
    /// Checks a command; nothing changes until the decision's facts are applied.
    pub fn check(&self, command: &Command) -> Result<Decision, Refused> {
        match command {
            Command::PutUser { name, password, tags, limits } => self.put_user(name, password, tags, limits.as_deref()),
            Command::DeleteUser { name } => self.delete_user(name),
            Command::SetUserLimit { user, limit, value } => self.limit_user(user, limit, Some(value)),
            Command::ClearUserLimit { user, limit } => self.limit_user(user, limit, None),
            Command::SetPermission { user, vhost, configure, write, read } => {
                self.set_permission(user, vhost, [configure, write, read])
            }
            Command::ClearPermission { user, vhost } => Ok(self.clear_permission(user, vhost)),
            Command::SetTopicPermission { user, vhost, exchange, write, read } => {
                self.set_topic_permission(user, vhost, exchange, [write, read])
            }
            Command::ClearTopicPermission { user, vhost, exchange } => {
                Ok(self.clear_topic_permission(user, vhost, exchange.as_ref()))
            }
            Command::PutVhost { name, update, creator } => self.put_vhost(name, update, creator.as_ref()),
            Command::DeleteVhost { name } => self.delete_vhost(name),
            Command::SetVhostLimit { vhost, limit, value } => self.limit_vhost(vhost, limit, Some(value)),
            Command::ClearVhostLimit { vhost, limit } => self.limit_vhost(vhost, limit, None),
            Command::PutPolicy { vhost, scope, name, pattern, apply_to, priority, definition } => {
                self.put_policy(vhost, *scope, name, [pattern, apply_to], priority, definition)
            }
            Command::DeletePolicy { vhost, scope, name } => self.delete_policy(vhost, *scope, name),
            Command::PutParameter { vhost, component, name, value } => {
                self.put_parameter(vhost, component, name, value)
            }
            Command::DeleteParameter { vhost, component, name } => self.delete_parameter(vhost, component, name),
            Command::PutGlobalParameter { name, value } => Ok(self.put_global_parameter(name, value)),
            Command::DeleteGlobalParameter { name } => Ok(self.delete_global_parameter(name)),
        }
    }
}

/// A limit's value: "a number, actually was".
pub(super) fn limit_value(name: &str, value: &Value) -> Result<i64, Refused> {
    value.as_int().ok_or_else(|| {
        let text = format!("{name} should be a number, actually was {}", super::erlang::Term(value));
        Refused::Validation(text.into())
    })
}

/// A limit of a name that there is not, in the words of RabbitMQ's parameter validation.
pub(super) fn unrecognised(name: &str, value: &Value, of: &str) -> Refused {
    let term = [(name, value.clone())].into_iter().collect();
    Refused::Validation(format!("Unrecognised terms {} in {of}", super::erlang::Pairs(&term)).into())
}

/// All of a user's limits.
pub(super) fn user_limits(limits: &[(Name, Value)]) -> Result<super::limit::Limits<UserLimit>, Refused> {
    let parse = |(name, value): &(Name, Value)| {
        let kind = UserLimit::parse(name).ok_or_else(|| unrecognised(name, value, "user-limits"))?;
        Ok((kind, limit_value(name, value)?))
    };
    limits.iter().map(parse).collect()
}
