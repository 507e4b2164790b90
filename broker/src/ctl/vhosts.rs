//! Virtual hosts, their limits and tracing.

use serde_json::{Map, Value, json};

use super::api::{Failure, exit, segment};
use super::listings::columns_or;
use super::session::{Done, Session};

/// What can be said of a virtual host besides its name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Metadata<'a> {
    pub(super) description: Option<&'a str>,
    pub(super) tags: Option<&'a str>,
    pub(super) default_queue_type: Option<&'a str>,
}

impl Metadata<'_> {
    fn body(self) -> Value {
        let fields =
            [("description", self.description), ("tags", self.tags), ("default_queue_type", self.default_queue_type)];
        let said = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
        Value::Object(said.collect::<Map<_, _>>())
    }
}

fn no_vhost(name: &str) -> Failure {
    Failure::new(exit::DATA, format!("Virtual host '{name}' does not exist"))
}

impl Session<'_> {
    /// Fails unless the virtual host of `-p` is there.
    pub(super) fn require_vhost(&mut self) -> Done {
        let name = self.options.vhost.clone();
        let answer = self.call("GET", format!("/api/vhosts/{}", segment(&name)), None)?;
        let missing = Failure::new(exit::UNAVAILABLE, format!("Error:\nVirtual host {name} does not exist"));
        super::session::accept_or(answer, missing).map(drop)
    }

    pub(super) fn add_vhost(&mut self, name: &str, metadata: Metadata<'_>) -> Done {
        self.say(&format!("Adding vhost \"{name}\" ..."))?;
        if self.call("GET", format!("/api/vhosts/{}", segment(name)), None)?.status == 200 {
            return Ok(());
        }
        self.put(format!("/api/vhosts/{}", segment(name)), metadata.body())
    }

    pub(super) fn delete_vhost(&mut self, name: &str) -> Done {
        self.say(&format!("Deleting vhost \"{name}\" ..."))?;
        self.delete(format!("/api/vhosts/{}", segment(name)), no_vhost(name))
    }

    pub(super) fn update_vhost(&mut self, name: &str, metadata: Metadata<'_>) -> Done {
        self.say(&format!("Updating metadata of vhost \"{name}\" ..."))?;
        let path = format!("/api/vhosts/{}", segment(name));
        let answer = self.call("GET", path.clone(), None)?;
        let vhost = super::session::accept_or(answer, no_vhost(name))?;
        let mut body = metadata.body();
        for field in ["description", "tags", "default_queue_type"] {
            if body.get(field).is_none() && !vhost[field].is_null() {
                body[field] = vhost[field].clone();
            }
        }
        self.put(path, body)
    }

    pub(super) fn list_vhosts(&mut self, columns: &[String]) -> Done {
        self.say("Listing vhosts ...")?;
        let vhosts = self.get("/api/vhosts".into())?;
        self.show_objects(&vhosts, &columns_or(columns, &["name"]), |vhost, column| vhost[column].clone())
    }

    pub(super) fn protect_vhost(&mut self, name: &str, is_protected: bool) -> Done {
        let word = if is_protected { "Enabling" } else { "Disabling" };
        self.say(&format!("{word} deletion protection of vhost \"{name}\" ..."))?;
        let path = format!("/api/vhosts/{}/deletion/protection", segment(name));
        let method = if is_protected { "POST" } else { "DELETE" };
        super::session::accept_or(self.call(method, path, None)?, no_vhost(name)).map(drop)
    }

    pub(super) fn trace(&mut self, is_on: bool) -> Done {
        let vhost = self.options.vhost.clone();
        let (doing, done) = if is_on { ("Starting", "enabled") } else { ("Stopping", "disabled") };
        self.say(&format!("{doing} tracing for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        self.put(format!("/api/vhosts/{}", segment(&vhost)), json!({"tracing": is_on}))?;
        self.say(&format!("Trace {done} for vhost {vhost}"))
    }

    // ---- limits

    pub(super) fn set_vhost_limits(&mut self, limits: &str) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Setting vhost limits to \"{limits}\" for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        let limits = super::session::json(limits)?;
        for (limit, value) in limits.as_object().into_iter().flatten() {
            let path = format!("/api/vhost-limits/{}/{}", segment(&vhost), segment(limit));
            self.put(path, json!({"value": value}))?;
        }
        Ok(())
    }

    pub(super) fn clear_vhost_limits(&mut self) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Clearing vhost \"{vhost}\" limits ..."))?;
        self.require_vhost()?;
        for limit in ["max-connections", "max-queues"] {
            let answer = self.call("DELETE", format!("/api/vhost-limits/{}/{limit}", segment(&vhost)), None)?;
            if answer.status != 404 {
                super::session::accept(answer)?;
            }
        }
        Ok(())
    }

    pub(super) fn list_vhost_limits(&mut self, global: bool) -> Done {
        if global {
            self.say("Listing limits for all vhosts ...")?;
            let limits = self.get("/api/vhost-limits".into())?;
            let columns = ["vhost", "limits"].map(String::from);
            return self.show_objects(&limits, &columns, |entry, column| match column {
                "vhost" => entry["vhost"].clone(),
                _ => Value::String(entry["value"].to_string()),
            });
        }
        let vhost = self.options.vhost.clone();
        self.say(&format!("Listing limits for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        let limits = self.get(format!("/api/vhost-limits/{}", segment(&vhost)))?;
        let value = limits.get(0).map_or_else(|| json!({}), |entry| entry["value"].clone());
        self.print(&value.to_string())
    }
}
