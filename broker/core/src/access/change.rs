//! The facts by which [`Access`] changes, and their application.

use std::sync::Arc;

use super::limit::{Limits, UserLimit, VhostLimit};
use super::password::PasswordHash;
use super::permission::{Permission, TopicPermission};
use super::policy::{Policy, Scope};
use super::{Access, Tag, User, VhostPolicy, VhostSettings};
use crate::ids::Name;
use crate::value::Value;

/// One fact to store, apply, and send to the replicas. Each says how something is from now on, so that applying one twice
/// changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants' names say what their fields are")]
pub enum AccessChange {
    /// A user's login and tags; permissions and limits stay.
    UserSet {
        name: Name,
        password: Option<PasswordHash>,
        tags: Vec<Tag>,
    },
    UserRemoved {
        name: Name,
    },
    UserLimited {
        name: Name,
        limits: Limits<UserLimit>,
    },
    PermissionSet {
        user: Name,
        vhost: Name,
        permission: Arc<Permission>,
    },
    PermissionRemoved {
        user: Name,
        vhost: Name,
    },
    TopicPermissionSet {
        user: Name,
        vhost: Name,
        exchange: Name,
        permission: Arc<TopicPermission>,
    },
    TopicPermissionRemoved {
        user: Name,
        vhost: Name,
        exchange: Name,
    },
    VhostSet {
        name: Name,
        settings: VhostSettings,
    },
    /// With all policies, parameters and permissions in it.
    VhostRemoved {
        name: Name,
    },
    VhostLimited {
        name: Name,
        limits: Limits<VhostLimit>,
    },
    PolicySet {
        vhost: Name,
        scope: Scope,
        policy: Arc<Policy>,
    },
    PolicyRemoved {
        vhost: Name,
        scope: Scope,
        name: Name,
    },
    ParameterSet {
        vhost: Name,
        component: Name,
        name: Name,
        value: Arc<Value>,
    },
    ParameterRemoved {
        vhost: Name,
        component: Name,
        name: Name,
    },
    GlobalParameterSet {
        name: Name,
        value: Arc<Value>,
    },
    GlobalParameterRemoved {
        name: Name,
    },
}

impl Access {
    /// Makes a change. One that refers to something that is not there (any more) does nothing.
    pub fn apply(&mut self, change: &AccessChange) {
        self.epoch += 1;
        match change {
            AccessChange::UserSet { name, password, tags } => {
                let user = Arc::make_mut(self.users.entry(name.clone()).or_default());
                user.password.clone_from(password);
                user.tags.clone_from(tags);
            }
            AccessChange::UserRemoved { name } => drop(self.users.remove(name)),
            AccessChange::UserLimited { name, limits } => {
                self.with_user(name, |user| user.limits.clone_from(limits));
            }
            AccessChange::PermissionSet { .. }
            | AccessChange::PermissionRemoved { .. }
            | AccessChange::TopicPermissionSet { .. }
            | AccessChange::TopicPermissionRemoved { .. } => self.apply_permission(change),
            AccessChange::VhostSet { name, settings } => {
                Arc::make_mut(self.vhosts.entry(name.clone()).or_default()).settings.clone_from(settings);
            }
            AccessChange::VhostRemoved { name } => self.remove_vhost(name),
            AccessChange::VhostLimited { name, limits } => {
                self.with_vhost(name, |vhost| vhost.limits.clone_from(limits));
            }
            AccessChange::PolicySet { vhost, scope, policy } => self.with_vhost(vhost, |vhost| {
                vhost.policies_mut(*scope).insert(policy.name.clone(), policy.clone());
            }),
            AccessChange::PolicyRemoved { vhost, scope, name } => self.with_vhost(vhost, |vhost| {
                vhost.policies_mut(*scope).remove(name);
            }),
            AccessChange::ParameterSet { vhost, component, name, value } => self.with_vhost(vhost, |vhost| {
                vhost.parameters.insert((component.clone(), name.clone()), value.clone());
            }),
            AccessChange::ParameterRemoved { vhost, component, name } => self.with_vhost(vhost, |vhost| {
                vhost.parameters.remove(&(component.clone(), name.clone()));
            }),
            AccessChange::GlobalParameterSet { name, value } => {
                self.global_parameters.insert(name.clone(), value.clone());
            }
            AccessChange::GlobalParameterRemoved { name } => drop(self.global_parameters.remove(name)),
        }
    }

    fn apply_permission(&mut self, change: &AccessChange) {
        match change {
            AccessChange::PermissionSet { user, vhost, permission } => self.with_user(user, |user| {
                user.permissions.insert(vhost.clone(), permission.clone());
            }),
            AccessChange::PermissionRemoved { user, vhost } => self.with_user(user, |user| {
                user.permissions.remove(vhost);
            }),
            AccessChange::TopicPermissionSet { user, vhost, exchange, permission } => self.with_user(user, |user| {
                let topics = Arc::make_mut(user.topic_permissions.entry(vhost.clone()).or_default());
                topics.insert(exchange.clone(), (**permission).clone());
            }),
            AccessChange::TopicPermissionRemoved { user, vhost, exchange } => self.with_user(user, |user| {
                let Some(topics) = user.topic_permissions.get_mut(vhost) else { return };
                Arc::make_mut(topics).remove(exchange);
                if topics.is_empty() {
                    user.topic_permissions.remove(vhost);
                }
            }),
            _ => {}
        }
    }

    fn remove_vhost(&mut self, name: &Name) {
        if self.vhosts.remove(name).is_none() {
            return;
        }
        for user in self.users.values_mut() {
            if user.permissions.contains_key(name) || user.topic_permissions.contains_key(name) {
                let user = Arc::make_mut(user);
                user.permissions.remove(name);
                user.topic_permissions.remove(name);
            }
        }
    }

    fn with_user(&mut self, name: &str, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.get_mut(name) {
            change(Arc::make_mut(user));
        }
    }

    fn with_vhost(&mut self, name: &str, change: impl FnOnce(&mut VhostPolicy)) {
        if let Some(vhost) = self.vhosts.get_mut(name) {
            change(Arc::make_mut(vhost));
        }
    }
}

impl VhostPolicy {
    fn policies_mut(&mut self, scope: Scope) -> &mut std::collections::BTreeMap<Name, Arc<Policy>> {
        match scope {
            Scope::User => &mut self.policies,
            Scope::Operator => &mut self.operator_policies,
        }
    }
}

/// See [`Access::facts`].
pub(super) fn facts_of(access: &Access) -> Vec<AccessChange> {
    let mut facts = Vec::new();
    for (name, vhost) in access.vhosts() {
        vhost_facts(name, vhost, &mut facts);
    }
    for (name, user) in access.users() {
        user_facts(name, user, &mut facts);
    }
    let globals = access.global_parameters();
    facts.extend(
        globals.map(|(name, value)| AccessChange::GlobalParameterSet { name: name.clone(), value: value.clone() }),
    );
    facts
}

fn vhost_facts(name: &Name, vhost: &VhostPolicy, facts: &mut Vec<AccessChange>) {
    facts.push(AccessChange::VhostSet { name: name.clone(), settings: vhost.settings.clone() });
    if !vhost.limits.is_empty() {
        facts.push(AccessChange::VhostLimited { name: name.clone(), limits: vhost.limits.clone() });
    }
    for scope in [Scope::User, Scope::Operator] {
        let policies = vhost.policies(scope).values();
        facts.extend(policies.map(|policy| AccessChange::PolicySet {
            vhost: name.clone(),
            scope,
            policy: policy.clone(),
        }));
    }
    facts.extend(vhost.parameters.iter().map(|((component, parameter), value)| AccessChange::ParameterSet {
        vhost: name.clone(),
        component: component.clone(),
        name: parameter.clone(),
        value: value.clone(),
    }));
}

fn user_facts(name: &Name, user: &User, facts: &mut Vec<AccessChange>) {
    let (password, tags) = (user.password.clone(), user.tags.clone());
    facts.push(AccessChange::UserSet { name: name.clone(), password, tags });
    if !user.limits.is_empty() {
        facts.push(AccessChange::UserLimited { name: name.clone(), limits: user.limits.clone() });
    }
    facts.extend(user.permissions.iter().map(|(vhost, permission)| AccessChange::PermissionSet {
        user: name.clone(),
        vhost: vhost.clone(),
        permission: permission.clone(),
    }));
    for (vhost, topics) in &user.topic_permissions {
        facts.extend(topics.iter().map(|(exchange, permission)| AccessChange::TopicPermissionSet {
            user: name.clone(),
            vhost: vhost.clone(),
            exchange: exchange.clone(),
            permission: Arc::new(permission.clone()),
        }));
    }
}
