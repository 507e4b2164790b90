//! Who may do what where.

use serde_json::json;

use super::api::{Failure, exit, segment};
use super::session::{Done, Session};

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl Session<'_> {
    fn require_user(&mut self, user: &str) -> Done {
        let answer = self.call("GET", format!("/api/users/{}", segment(user)), None)?;
        let missing = Failure::new(exit::NO_USER, format!("Error:\nUser \"{user}\" does not exist"));
        super::session::accept_or(answer, missing).map(drop)
    }

    pub(super) fn set_permissions(&mut self, user: &str, [configure, write, read]: [&str; 3]) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Setting permissions for user \"{user}\" in vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        self.require_user(user)?;
        let body = json!({"configure": configure, "write": write, "read": read});
        self.put(format!("/api/permissions/{}/{}", segment(&vhost), segment(user)), body)
    }

    pub(super) fn set_permissions_globally(&mut self, user: &str, [configure, write, read]: [&str; 3]) -> Done {
        self.say(&format!("Setting permissions for user \"{user}\" in all virtual hosts ..."))?;
        self.require_user(user)?;
        let vhosts = self.get("/api/vhosts".into())?;
        for vhost in vhosts.as_array().into_iter().flatten() {
            let name = vhost["name"].as_str().unwrap_or_default();
            let body = json!({"configure": configure, "write": write, "read": read});
            self.put(format!("/api/permissions/{}/{}", segment(name), segment(user)), body)?;
        }
        Ok(())
    }

    pub(super) fn clear_permissions(&mut self, user: &str) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Clearing permissions for user \"{user}\" in vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        self.require_user(user)?;
        let answer = self.call("DELETE", format!("/api/permissions/{}/{}", segment(&vhost), segment(user)), None)?;
        if answer.status == 404 { Ok(()) } else { super::session::accept(answer).map(drop) }
    }

    pub(super) fn list_permissions(&mut self) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Listing permissions for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        let permissions = self.get(format!("/api/vhosts/{}/permissions", segment(&vhost)))?;
        let columns = columns(&["user", "configure", "write", "read"]);
        self.show_objects(&permissions, &columns, |permission, column| permission[column].clone())
    }

    pub(super) fn list_user_permissions(&mut self, user: &str) -> Done {
        self.say(&format!("Listing permissions for user \"{user}\" ..."))?;
        self.require_user(user)?;
        let permissions = self.get(format!("/api/users/{}/permissions", segment(user)))?;
        let columns = columns(&["vhost", "configure", "write", "read"]);
        self.show_objects(&permissions, &columns, |permission, column| permission[column].clone())
    }

    pub(super) fn set_topic_permissions(&mut self, user: &str, exchange: &str, [write, read]: [&str; 2]) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Setting topic permissions on \"{exchange}\" for user \"{user}\" in vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        self.require_user(user)?;
        let body = json!({"exchange": exchange, "write": write, "read": read});
        self.put(format!("/api/topic-permissions/{}/{}", segment(&vhost), segment(user)), body)
    }

    pub(super) fn clear_topic_permissions(&mut self, user: &str, exchange: Option<&str>) -> Done {
        let vhost = self.options.vhost.clone();
        let on = exchange.map_or(String::new(), |exchange| format!(" on \"{exchange}\""));
        self.say(&format!("Clearing topic permissions{on} for user \"{user}\" in vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        self.require_user(user)?;
        let exchange = exchange.map_or(String::new(), |exchange| format!("/{}", segment(exchange)));
        let path = format!("/api/topic-permissions/{}/{}{exchange}", segment(&vhost), segment(user));
        let answer = self.call("DELETE", path, None)?;
        if answer.status == 404 { Ok(()) } else { super::session::accept(answer).map(drop) }
    }

    pub(super) fn list_topic_permissions(&mut self) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Listing topic permissions for vhost \"{vhost}\" ..."))?;
        self.require_vhost()?;
        let permissions = self.get(format!("/api/vhosts/{}/topic-permissions", segment(&vhost)))?;
        let columns = columns(&["user", "exchange", "write", "read"]);
        self.show_objects(&permissions, &columns, |permission, column| permission[column].clone())
    }

    pub(super) fn list_user_topic_permissions(&mut self, user: &str) -> Done {
        self.say(&format!("Listing topic permissions for user \"{user}\" ..."))?;
        self.require_user(user)?;
        let permissions = self.get(format!("/api/users/{}/topic-permissions", segment(user)))?;
        let columns = columns(&["vhost", "exchange", "write", "read"]);
        self.show_objects(&permissions, &columns, |permission, column| permission[column].clone())
    }
}
