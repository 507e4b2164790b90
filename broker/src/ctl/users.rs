//! Users, their passwords, tags and limits.

use serde_json::{Value, json};

use super::api::{Failure, exit, segment};
use super::listings::columns_or;
use super::session::{Done, Session};

const HASHING: &str = "rabbit_password_hashing_sha256";

fn no_user(name: &str) -> Failure {
    Failure::new(exit::NO_USER, format!("Error:\nUser \"{name}\" does not exist"))
}

impl Session<'_> {
    fn find_user(&mut self, name: &str) -> Result<Option<Value>, Failure> {
        let answer = self.call("GET", format!("/api/users/{}", segment(name)), None)?;
        match answer.status {
            404 => Ok(None),
            _ => super::session::accept(answer).map(Some),
        }
    }

    fn existing_user(&mut self, name: &str) -> Result<Value, Failure> {
        self.find_user(name)?.ok_or_else(|| no_user(name))
    }

    pub(super) fn add_user(&mut self, name: &str, password: Option<String>, is_hash: bool) -> Done {
        let password = self.given_or_read(password)?;
        self.say(&format!("Adding user \"{name}\" ..."))?;
        if self.find_user(name)?.is_some() {
            return Err(Failure::new(exit::SOFTWARE, format!("Error:\nUser \"{name}\" already exists")));
        }
        let body = match is_hash {
            true => json!({"password_hash": password, "hashing_algorithm": HASHING, "tags": ""}),
            false => json!({"password": password, "tags": ""}),
        };
        self.put(format!("/api/users/{}", segment(name)), body)?;
        self.say(
            "Done. Don't forget to grant the user permissions to some virtual hosts! \
             See 'rabbitmqctl help set_permissions' to learn more.",
        )
    }

    pub(super) fn delete_user(&mut self, name: &str) -> Done {
        self.say(&format!("Deleting user \"{name}\" ..."))?;
        self.delete(format!("/api/users/{}", segment(name)), no_user(name))
    }

    pub(super) fn change_password(&mut self, name: &str, password: Option<String>) -> Done {
        let password = self.given_or_read(password)?;
        self.say(&format!("Changing password for user \"{name}\" ..."))?;
        let user = self.existing_user(name)?;
        self.put(format!("/api/users/{}", segment(name)), json!({"password": password, "tags": user["tags"]}))
    }

    pub(super) fn clear_password(&mut self, name: &str) -> Done {
        self.say(&format!("Clearing password for user \"{name}\" ..."))?;
        let user = self.existing_user(name)?;
        self.put(format!("/api/users/{}", segment(name)), json!({"password_hash": "", "tags": user["tags"]}))
    }

    pub(super) fn authenticate_user(&mut self, name: &str, password: Option<String>) -> Done {
        let password = self.given_or_read(password)?;
        self.say(&format!("Authenticating user \"{name}\" ..."))?;
        let answer = self.post("/api/local/authenticate".into(), json!({"user": name, "password": password}))?;
        match answer["ok"] == json!(true) {
            true => self.print("Success"),
            false => Err(Failure::new(
                exit::DATA,
                format!("Error:\nError: failed to authenticate user \"{name}\"\nuser '{name}' - invalid credentials"),
            )),
        }
    }

    pub(super) fn set_user_tags(&mut self, name: &str, tags: &[String]) -> Done {
        self.say(&format!("Setting tags for user \"{name}\" to [{}] ...", tags.join(", ")))?;
        let user = self.existing_user(name)?;
        let body = json!({
            "password_hash": user["password_hash"],
            "hashing_algorithm": user["hashing_algorithm"],
            "tags": tags,
        });
        self.put(format!("/api/users/{}", segment(name)), body)
    }

    pub(super) fn list_users(&mut self, columns: &[String]) -> Done {
        self.say("Listing users ...")?;
        let users = self.get("/api/users".into())?;
        self.show_objects(&users, &columns_or(columns, &["user", "tags"]), |user, column| match column {
            "user" => user["name"].clone(),
            other => user[other].clone(),
        })
    }

    pub(super) fn hash_password(&mut self, password: Option<String>) -> Done {
        let password = self.given_or_read(password)?;
        self.say("Will hash password ...")?;
        let answer = self.get(format!("/api/auth/hash_password/{}", segment(&password)))?;
        let hash = super::format::plain(&answer["ok"]);
        self.print(&hash)
    }

    // ---- limits

    pub(super) fn set_user_limits(&mut self, name: &str, limits: &str) -> Done {
        self.say(&format!("Setting user limits to \"{limits}\" for user \"{name}\" ..."))?;
        self.existing_user(name)?;
        let limits = super::session::json(limits)?;
        for (limit, value) in limits.as_object().into_iter().flatten() {
            let path = format!("/api/user-limits/{}/{}", segment(name), segment(limit));
            self.put(path, json!({"value": value}))?;
        }
        Ok(())
    }

    pub(super) fn clear_user_limits(&mut self, name: &str, limit: &str) -> Done {
        let all = ["max-connections", "max-channels"];
        let limits: &[&str] = if limit == "all" { &all } else { &[limit] };
        let which = if limit == "all" { "all limits".into() } else { format!("limit \"{limit}\"") };
        self.say(&format!("Clearing {which} for user \"{name}\" ..."))?;
        self.existing_user(name)?;
        for limit in limits {
            let answer = self.call("DELETE", format!("/api/user-limits/{}/{}", segment(name), segment(limit)), None)?;
            if answer.status != 404 {
                super::session::accept(answer)?;
            }
        }
        Ok(())
    }

    pub(super) fn list_user_limits(&mut self, user: Option<&str>, global: bool) -> Done {
        if global {
            self.say("Listing limits for all users ...")?;
            let limits = self.get("/api/user-limits".into())?;
            let columns = ["user", "limits"].map(String::from);
            return self.show_objects(&limits, &columns, |entry, column| match column {
                "user" => entry["user"].clone(),
                _ => Value::String(entry["value"].to_string()),
            });
        }
        let user = user.unwrap_or("guest");
        self.say(&format!("Listing limits for user \"{user}\" ..."))?;
        self.existing_user(user)?;
        let limits = self.get(format!("/api/user-limits/{}", segment(user)))?;
        let value = limits.get(0).map_or_else(|| json!({}), |entry| entry["value"].clone());
        self.print(&value.to_string())
    }
}
