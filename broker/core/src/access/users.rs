//! The owner's checks for users, their permissions and limits.

use std::sync::Arc;

use super::command::{limit_value, unrecognised, user_limits};
use super::limit::UserLimit;
use super::permission::{Permission, TopicPermission, Who};
use super::{Access, AccessChange, Decision, NAME_SIZE_MAX, PasswordUpdate, Refused, Tag, User};
use crate::ids::Name;
use crate::value::Value;

impl Access {
    pub(super) fn put_user(
        &self,
        name: &Name,
        password: &PasswordUpdate,
        tags: &[Tag],
        limits: Option<&[(Name, Value)]>,
    ) -> Result<Decision, Refused> {
        check_name("user", name)?;
        let before = self.user(name);
        let password = match password {
            PasswordUpdate::Keep => before.and_then(|user| user.password.clone()),
            PasswordUpdate::Clear => None,
            PasswordUpdate::Set(hash) => Some(hash.clone()),
        };
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        tags.dedup();
        let mut changes = vec![AccessChange::UserSet { name: name.clone(), password, tags }];
        if let Some(limits) = limits {
            changes.push(AccessChange::UserLimited { name: name.clone(), limits: user_limits(limits)? });
        }
        Ok(Decision::put(before.is_some(), changes))
    }

    pub(super) fn delete_user(&self, name: &Name) -> Result<Decision, Refused> {
        let user = self.user(name);
        if user.is_some_and(|user| user.has_tag(&Tag::Protected)) {
            return Err(Refused::ProtectedUser(name.clone()));
        }
        Ok(Decision::delete(user.is_some(), vec![AccessChange::UserRemoved { name: name.clone() }]))
    }

    pub(super) fn limit_user(&self, name: &Name, limit: &str, value: Option<&Value>) -> Result<Decision, Refused> {
        let user = self.user(name).ok_or_else(|| Refused::NoSuchUser(name.clone()))?;
        let unknown = || unrecognised(limit, value.unwrap_or(&Value::Void), "user-limits");
        let kind = UserLimit::parse(limit).ok_or_else(unknown)?;
        let value = value.map(|value| limit_value(limit, value)).transpose()?;
        let existed = user.limits.iter().any(|(other, _)| other == kind);
        let mut limits = user.limits.clone();
        limits.set(kind, value);
        let changes = vec![AccessChange::UserLimited { name: name.clone(), limits }];
        Ok(if value.is_some() { Decision::put(existed, changes) } else { Decision::delete(existed, changes) })
    }

    pub(super) fn set_permission(&self, user: &Name, vhost: &Name, patterns: [&str; 3]) -> Result<Decision, Refused> {
        let record = self.user_of_vhost(user, vhost)?;
        let [configure, write, read] = patterns;
        let permission = Arc::new(Permission::new(configure, write, read)?);
        let change = AccessChange::PermissionSet { user: user.clone(), vhost: vhost.clone(), permission };
        Ok(Decision::put(record.permissions.contains_key(vhost), vec![change]))
    }

    pub(super) fn clear_permission(&self, user: &Name, vhost: &Name) -> Decision {
        let existed = self.user(user).is_some_and(|record| record.permissions.contains_key(vhost));
        let change = AccessChange::PermissionRemoved { user: user.clone(), vhost: vhost.clone() };
        Decision::delete(existed, vec![change])
    }

    pub(super) fn set_topic_permission(
        &self,
        user: &Name,
        vhost: &Name,
        exchange: &Name,
        patterns: [&str; 2],
    ) -> Result<Decision, Refused> {
        let record = self.user_of_vhost(user, vhost)?;
        let [write, read] = patterns;
        let permission = Arc::new(TopicPermission::new(Who { user, vhost }, write, read)?);
        let existed = record.topic_permissions.get(vhost).is_some_and(|topics| topics.contains_key(exchange));
        let (user, vhost, exchange) = (user.clone(), vhost.clone(), exchange.clone());
        Ok(Decision::put(existed, vec![AccessChange::TopicPermissionSet { user, vhost, exchange, permission }]))
    }

    pub(super) fn clear_topic_permission(&self, user: &Name, vhost: &Name, exchange: Option<&Name>) -> Decision {
        let topics = self.user(user).and_then(|record| record.topic_permissions.get(vhost));
        let names = topics.into_iter().flat_map(|topics| topics.keys());
        let concerned = names.filter(|name| exchange.is_none_or(|exchange| exchange == *name));
        let removed = |exchange: &Name| AccessChange::TopicPermissionRemoved {
            user: user.clone(),
            vhost: vhost.clone(),
            exchange: exchange.clone(),
        };
        let changes: Vec<_> = concerned.map(removed).collect();
        Decision::delete(!changes.is_empty(), changes)
    }

    fn user_of_vhost(&self, user: &Name, vhost: &Name) -> Result<&User, Refused> {
        match (self.user(user), self.vhost(vhost)) {
            (Some(user), Some(_)) => Ok(user),
            _ => Err(Refused::VhostOrUserNotFound),
        }
    }
}

/// A name has 1 to 255 bytes.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), Refused> {
    if (1..=NAME_SIZE_MAX).contains(&name.len()) { Ok(()) } else { Err(Refused::InvalidName(what)) }
}
