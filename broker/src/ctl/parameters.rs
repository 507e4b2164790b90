//! Policies, operator policies, and runtime parameters.

use serde_json::{Value, json};

use super::api::{Failure, exit, segment};
use super::options::Policy;
use super::session::{Done, Session};

/// Policies, or those of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Users,
    Operators,
}

impl Whose {
    fn path(self) -> &'static str {
        match self {
            Whose::Users => "policies",
            Whose::Operators => "operator-policies",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Whose::Users => "policy",
            Whose::Operators => "operator policy override",
        }
    }
}

fn no_parameter() -> Failure {
    Failure::new(exit::UNAVAILABLE, "Error:\nParameter does not exist")
}

/// A parameter's value as JSON text, as rabbitmqctl shows it.
fn value_as_text(entry: &Value, column: &str) -> Value {
    match column {
        "value" | "definition" => Value::String(entry[column].to_string()),
        _ => entry[column].clone(),
    }
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl Session<'_> {
    pub(super) fn set_policy(&mut self, whose: Whose, policy: &Policy) -> Done {
        let vhost = self.options.vhost.clone();
        let Policy { name, pattern, definition, priority, apply_to } = policy;
        self.say(&format!(
            "Setting {} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \"{priority}\" \
             for vhost \"{vhost}\" ...",
            whose.words()
        ))?;
        self.require_vhost()?;
        let definition = super::session::json(definition)?;
        let body = json!({"pattern": pattern, "definition": definition, "priority": priority, "apply-to": apply_to});
        self.put(format!("/api/{}/{}/{}", whose.path(), segment(&vhost), segment(name)), body)
    }

    pub(super) fn clear_policy(&mut self, whose: Whose, name: &str) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Clearing {} \"{name}\" on vhost \"{vhost}\" ...", whose.words()))?;
        self.require_vhost()?;
        self.delete(format!("/api/{}/{}/{}", whose.path(), segment(&vhost), segment(name)), no_parameter())
    }

    pub(super) fn list_policies(&mut self, whose: Whose) -> Done {
        let vhost = self.options.vhost.clone();
        let words = match whose {
            Whose::Users => "policies",
            Whose::Operators => "operator policy overrides",
        };
        self.say(&format!("Listing {words} for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        let policies = self.get(format!("/api/{}/{}", whose.path(), segment(&vhost)))?;
        let columns = columns(&["vhost", "name", "pattern", "apply-to", "definition", "priority"]);
        self.show_objects(&policies, &columns, value_as_text)
    }

    pub(super) fn set_parameter(&mut self, component: &str, name: &str, value: &str) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!(
            "Setting runtime parameter \"{name}\" for component \"{component}\" to \"{value}\" in vhost \"{vhost}\" ..."
        ))?;
        self.require_vhost()?;
        let path = format!("/api/parameters/{}/{}/{}", segment(component), segment(&vhost), segment(name));
        let value = super::session::json(value)?;
        self.put(path, json!({"component": component, "vhost": vhost, "name": name, "value": value}))
    }

    pub(super) fn clear_parameter(&mut self, component: &str, name: &str) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!(
            "Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{vhost}\" ..."
        ))?;
        self.require_vhost()?;
        let path = format!("/api/parameters/{}/{}/{}", segment(component), segment(&vhost), segment(name));
        self.delete(path, no_parameter())
    }

    pub(super) fn list_parameters(&mut self) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Listing runtime parameters for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        let mut parameters = self.get("/api/parameters".into())?;
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.retain(|parameter| parameter["vhost"] == json!(vhost));
        }
        self.show_objects(&parameters, &columns(&["component", "name", "value"]), value_as_text)
    }

    pub(super) fn set_global_parameter(&mut self, name: &str, value: &str) -> Done {
        self.say(&format!("Setting global runtime parameter \"{name}\" to \"{value}\" ..."))?;
        let value = super::session::json(value)?;
        self.put(format!("/api/global-parameters/{}", segment(name)), json!({"name": name, "value": value}))
    }

    pub(super) fn clear_global_parameter(&mut self, name: &str) -> Done {
        self.say(&format!("Clearing global runtime parameter \"{name}\" ..."))?;
        self.delete(format!("/api/global-parameters/{}", segment(name)), no_parameter())
    }

    pub(super) fn list_global_parameters(&mut self) -> Done {
        self.say("Listing global runtime parameters ...")?;
        let parameters = self.get("/api/global-parameters".into())?;
        self.show_objects(&parameters, &columns(&["name", "value"]), value_as_text)
    }
}
