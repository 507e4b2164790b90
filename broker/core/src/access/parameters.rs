//! The owner's checks for policies and for runtime parameters, of which policies are RabbitMQ's best-known kind.

use std::sync::Arc;

use super::erlang::{Pairs, Term};
use super::pattern::Pattern;
use super::policy::{ApplyTo, Policy, Scope};
use super::users::check_name;
use super::{Access, AccessChange, Decision, Refused, definition};
use crate::ids::Name;
use crate::value::{Arguments, Value};

/// Components of parameters that are kept as they are, for whoever reads them.
const COMPONENTS: [&str; 4] = ["federation", "federation-upstream", "federation-upstream-set", "shovel"];
/// The component under which RabbitMQ keeps a virtual host's limits, in the one parameter [`LIMITS`].
const VHOST_LIMITS: &str = "vhost-limits";
const LIMITS: &str = "limits";

impl Scope {
    /// The component of parameters that these policies are.
    pub fn component(self) -> &'static str {
        match self {
            Self::User => "policy",
            Self::Operator => "operator_policy",
        }
    }

    fn of_component(component: &str) -> Option<Self> {
        [Self::User, Self::Operator].into_iter().find(|scope| scope.component() == component)
    }
}

impl Access {
    pub(super) fn put_policy(
        &self,
        vhost: &Name,
        scope: Scope,
        name: &Name,
        [pattern, apply_to]: [&str; 2],
        priority: &Value,
        definition: &Value,
    ) -> Result<Decision, Refused> {
        let record = self.existing_vhost(vhost)?;
        check_name("policy", name)?;
        let existed = record.policies(scope).contains_key(name);
        let policy = policy(scope, name, [pattern, apply_to], priority, definition).map_err(Refused::Validation)?;
        let change = AccessChange::PolicySet { vhost: vhost.clone(), scope, policy: Arc::new(policy) };
        Ok(Decision::put(existed, vec![change]))
    }

    pub(super) fn delete_policy(&self, vhost: &Name, scope: Scope, name: &Name) -> Result<Decision, Refused> {
        let existed = self.existing_vhost(vhost)?.policies(scope).contains_key(name);
        let change = AccessChange::PolicyRemoved { vhost: vhost.clone(), scope, name: name.clone() };
        Ok(Decision::delete(existed, vec![change]))
    }

    pub(super) fn put_parameter(
        &self,
        vhost: &Name,
        component: &Name,
        name: &Name,
        value: &Value,
    ) -> Result<Decision, Refused> {
        let record = self.existing_vhost(vhost)?;
        if let Some(scope) = Scope::of_component(component) {
            let [pattern, apply_to, priority, definition] = policy_fields(name, value).map_err(Refused::Validation)?;
            let text = |value: &'_ Value| value.as_str().map(str::to_owned);
            let (Some(pattern), Some(apply_to)) = (text(&pattern), text(&apply_to)) else {
                let text = format!("pattern should be a binary but was {}", Term(&pattern));
                return Err(Refused::Validation(text.into()));
            };
            return self.put_policy(vhost, scope, name, [&pattern, &apply_to], &priority, &definition);
        }
        if &**component == VHOST_LIMITS && &**name == LIMITS {
            let empty = Arguments::new();
            return self.limit_vhost_by_table(vhost, if let Value::Table(table) = value { table } else { &empty });
        }
        if !COMPONENTS.contains(&&**component) {
            return Err(Refused::Validation(format!("component {component} not found").into()));
        }
        check_name("parameter", name)?;
        let existed = record.parameters.contains_key(&(component.clone(), name.clone()));
        let (vhost, component, name) = (vhost.clone(), component.clone(), name.clone());
        let change = AccessChange::ParameterSet { vhost, component, name, value: Arc::new(value.clone()) };
        Ok(Decision::put(existed, vec![change]))
    }

    pub(super) fn delete_parameter(&self, vhost: &Name, component: &Name, name: &Name) -> Result<Decision, Refused> {
        if let Some(scope) = Scope::of_component(component) {
            return self.delete_policy(vhost, scope, name);
        }
        let record = self.existing_vhost(vhost)?;
        if &**component == VHOST_LIMITS && &**name == LIMITS {
            let change = AccessChange::VhostLimited { name: vhost.clone(), limits: Default::default() };
            return Ok(Decision::delete(!record.limits.is_empty(), vec![change]));
        }
        let existed = record.parameters.contains_key(&(component.clone(), name.clone()));
        let (vhost, component, name) = (vhost.clone(), component.clone(), name.clone());
        Ok(Decision::delete(existed, vec![AccessChange::ParameterRemoved { vhost, component, name }]))
    }

    pub(super) fn put_global_parameter(&self, name: &Name, value: &Value) -> Decision {
        let existed = self.global_parameters.contains_key(name);
        let change = AccessChange::GlobalParameterSet { name: name.clone(), value: Arc::new(value.clone()) };
        Decision::put(existed, vec![change])
    }

    pub(super) fn delete_global_parameter(&self, name: &Name) -> Decision {
        let existed = self.global_parameters.contains_key(name);
        Decision::delete(existed, vec![AccessChange::GlobalParameterRemoved { name: name.clone() }])
    }
}

fn policy(
    scope: Scope,
    name: &Name,
    [pattern, apply_to]: [&str; 2],
    priority: &Value,
    definition: &Value,
) -> Result<Policy, Box<str>> {
    let priority = priority
        .as_int()
        .ok_or_else(|| Box::from(format!("priority should be a number, actually was {}", Term(priority))))?;
    let compiled = Pattern::new(pattern)
        .map_err(|error| format!("pattern should be regular expression but is invalid: {:?}", error.reason))?;
    let apply_to = ApplyTo::parse(apply_to).ok_or_else(|| {
        Box::from(format!(
            "apply-to '{apply_to}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', \
             'streams', 'exchanges', or 'all'"
        ))
    })?;
    let definition = definition::check(scope, definition)?;
    Ok(Policy { name: name.clone(), pattern: compiled, apply_to, priority, definition })
}

/// The fields of a policy that is written as a parameter: pattern, apply-to, priority, definition.
fn policy_fields(name: &Name, value: &Value) -> Result<[Value; 4], Box<str>> {
    let Value::Table(table) = value else {
        return Err(format!("{name} should be a proplist, actually was {}", Term(value)).into());
    };
    let mandatory = |key: &str| {
        let missing = || Box::<str>::from(format!("Key \"{key}\" not found in {name}"));
        table.get(key).cloned().ok_or_else(missing)
    };
    let optional = |key: &str, otherwise: Value| table.get(key).cloned().unwrap_or(otherwise);
    let known = ["pattern", "apply-to", "priority", "definition"];
    let unknown = table.iter().filter(|(key, _)| !known.contains(key));
    let unknown: Arguments = unknown.map(|(key, value)| (key, value.clone())).collect();
    if !unknown.is_empty() {
        return Err(format!("Unrecognised terms {} in {name}", Pairs(&unknown)).into());
    }
    Ok([
        mandatory("pattern")?,
        optional("apply-to", Value::str("all")),
        optional("priority", Value::long(0)),
        mandatory("definition")?,
    ])
}
