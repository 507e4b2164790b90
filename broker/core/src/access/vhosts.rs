//! The owner's checks for virtual hosts and their limits.

use std::sync::Arc;

use super::command::{limit_value, unrecognised};
use super::limit::{Limits, VhostLimit};
use super::permission::Permission;
use super::users::check_name;
use super::{Access, AccessChange, Decision, Refused, VhostPolicy, VhostSettings, VhostUpdate};
use crate::ids::Name;
use crate::value::{Arguments, Value};

/// Values of a virtual host's default queue type.
const QUEUE_TYPES: [&str; 3] = ["classic", "quorum", "stream"];

impl Access {
    pub(super) fn put_vhost(
        &self,
        name: &Name,
        update: &VhostUpdate,
        creator: Option<&Name>,
    ) -> Result<Decision, Refused> {
        check_name("virtual host", name)?;
        let before = self.vhost(name);
        let settings = updated(before.map(|vhost| vhost.settings.clone()).unwrap_or_default(), update)?;
        let mut changes = vec![AccessChange::VhostSet { name: name.clone(), settings }];
        if let Some(creator) = creator
            && before.is_none()
            && self.user(creator).is_some()
        {
            let permission = Arc::new(Permission::new(".*", ".*", ".*")?);
            let (user, vhost) = (creator.clone(), name.clone());
            changes.push(AccessChange::PermissionSet { user, vhost, permission });
        }
        Ok(Decision::put(before.is_some(), changes))
    }

    pub(super) fn delete_vhost(&self, name: &Name) -> Result<Decision, Refused> {
        let vhost = self.vhost(name);
        if vhost.is_some_and(|vhost| vhost.settings.protected) {
            return Err(Refused::ProtectedVhost(name.clone()));
        }
        Ok(Decision::delete(vhost.is_some(), vec![AccessChange::VhostRemoved { name: name.clone() }]))
    }

    pub(super) fn limit_vhost(&self, name: &Name, limit: &str, value: Option<&Value>) -> Result<Decision, Refused> {
        let vhost = self.existing_vhost(name)?;
        let unknown = || unrecognised(limit, value.unwrap_or(&Value::Void), "limits");
        let kind = VhostLimit::parse(limit).ok_or_else(unknown)?;
        let value = value.map(|value| limit_value(limit, value)).transpose()?;
        let existed = vhost.limits.iter().any(|(other, _)| other == kind);
        let mut limits = vhost.limits.clone();
        limits.set(kind, value);
        let changes = vec![AccessChange::VhostLimited { name: name.clone(), limits }];
        Ok(if value.is_some() { Decision::put(existed, changes) } else { Decision::delete(existed, changes) })
    }

    /// All limits at once, as the parameter `vhost-limits`.
    pub(super) fn limit_vhost_by_table(&self, name: &Name, table: &Arguments) -> Result<Decision, Refused> {
        let vhost = self.existing_vhost(name)?;
        let parse = |(name, value): (&str, &Value)| {
            let kind = VhostLimit::parse(name).ok_or_else(|| unrecognised(name, value, "limits"))?;
            Ok((kind, limit_value(name, value)?))
        };
        let limits = table.iter().map(parse).collect::<Result<Limits<_>, Refused>>()?;
        let change = AccessChange::VhostLimited { name: name.clone(), limits };
        Ok(Decision::put(!vhost.limits.is_empty(), vec![change]))
    }

    pub(super) fn existing_vhost(&self, name: &Name) -> Result<&VhostPolicy, Refused> {
        self.vhost(name).map(|vhost| &**vhost).ok_or_else(|| Refused::NoSuchVhost(name.clone()))
    }
}

fn updated(mut settings: VhostSettings, update: &VhostUpdate) -> Result<VhostSettings, Refused> {
    if let Some(description) = &update.description {
        settings.description = description.clone();
    }
    if let Some(tags) = &update.tags {
        settings.tags.clone_from(tags);
    }
    if let Some(kind) = &update.default_queue_type {
        settings.default_queue_type = match &**kind {
            "" | "undefined" => None,
            known if QUEUE_TYPES.contains(&known) => Some(kind.clone()),
            unknown => return Err(Refused::UnknownQueueType(unknown.into())),
        };
    }
    settings.tracing = update.tracing.unwrap_or(settings.tracing);
    settings.protected = update.protected.unwrap_or(settings.protected);
    Ok(settings)
}
