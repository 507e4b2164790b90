//! What there is: queues, exchanges, bindings, connections, channels, consumers.

use serde_json::{Value, json};

use super::api::{Answer, Failure, Request, exit, segment};
use super::session::{Done, Session};

/// The columns that were asked for, separately or with commas, or the usual ones.
pub(super) fn columns_or(asked: &[String], usual: &[&str]) -> Vec<String> {
    let words: Vec<String> = asked.iter().flat_map(|word| word.split(',')).map(|word| word.trim().to_owned()).collect();
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() { usual.iter().map(ToString::to_string).collect() } else { words }
}

/// A kind of thing that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Queues,
    Exchanges,
    Bindings,
    Connections,
    Channels,
    Consumers,
}

impl Listing {
    fn path(self, vhost: &str) -> String {
        match self {
            Listing::Queues => format!("/api/queues/{vhost}"),
            Listing::Exchanges => format!("/api/exchanges/{vhost}"),
            Listing::Bindings => format!("/api/bindings/{vhost}"),
            Listing::Connections => "/api/connections".into(),
            Listing::Channels => "/api/channels".into(),
            Listing::Consumers => format!("/api/consumers/{vhost}"),
        }
    }

    /// As rabbitmqctl says it, with its spaces.
    fn banner(self, vhost: &str) -> String {
        match self {
            Listing::Queues => format!("Listing queues for vhost {vhost} ..."),
            Listing::Exchanges => format!("Listing exchanges for vhost {vhost} ..."),
            Listing::Bindings => format!("Listing bindings for vhost {vhost}..."),
            Listing::Connections => "Listing connections ...".into(),
            Listing::Channels => "Listing channels ...".into(),
            Listing::Consumers => format!("Listing consumers in vhost {vhost} ..."),
        }
    }

    fn usual_columns(self) -> &'static [&'static str] {
        match self {
            Listing::Queues => &["name", "messages"],
            Listing::Exchanges => &["name", "type"],
            Listing::Bindings => {
                &["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"]
            }
            Listing::Connections => &["user", "peer_host", "peer_port", "state"],
            Listing::Channels => &["pid", "user", "consumer_count", "messages_unacknowledged"],
            Listing::Consumers => {
                &["queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments"]
            }
        }
    }

    /// Columns that exist besides those that the API has under the same name.
    fn field(self, object: &Value, column: &str) -> Option<Value> {
        let value = match (self, column) {
            (Listing::Queues, "pid" | "leader") => &object["node"],
            (Listing::Queues, "owner_pid") => &object["owner_pid_details"]["name"],
            (Listing::Queues, "members" | "online") => return Some(json!([object["node"]])),
            (Listing::Bindings, "source_name") => &object["source"],
            (Listing::Bindings, "source_kind") => return Some(json!("exchange")),
            (Listing::Bindings, "destination_name") => &object["destination"],
            (Listing::Bindings, "destination_kind") => &object["destination_type"],
            (Listing::Connections | Listing::Channels, "pid") => &object["name"],
            (Listing::Channels, "connection") => &object["connection_details"]["name"],
            (Listing::Consumers, "queue_name") => &object["queue"]["name"],
            (Listing::Consumers, "channel_pid") => &object["channel_details"]["name"],
            (_, other) => return Some(object.get(other)?.clone()),
        };
        Some(value.clone())
    }

    /// Columns that rabbitmqctl knows; the API leaves a field out that has no value.
    fn known_columns(self) -> &'static [&'static str] {
        match self {
            Listing::Queues => &[
                "name",
                "durable",
                "auto_delete",
                "arguments",
                "policy",
                "operator_policy",
                "effective_policy_definition",
                "pid",
                "owner_pid",
                "exclusive",
                "exclusive_consumer_pid",
                "exclusive_consumer_tag",
                "messages_ready",
                "messages_unacknowledged",
                "messages",
                "messages_ready_ram",
                "messages_unacknowledged_ram",
                "messages_ram",
                "messages_persistent",
                "message_bytes",
                "message_bytes_ready",
                "message_bytes_unacknowledged",
                "message_bytes_ram",
                "message_bytes_persistent",
                "head_message_timestamp",
                "disk_reads",
                "disk_writes",
                "consumers",
                "consumer_utilisation",
                "consumer_capacity",
                "memory",
                "state",
                "type",
                "leader",
                "members",
                "online",
                "single_active_consumer_tag",
                "slave_pids",
                "synchronised_slave_pids",
                "vhost",
                "node",
            ],
            Listing::Exchanges => {
                &["name", "type", "durable", "auto_delete", "internal", "arguments", "policy", "vhost"]
            }
            Listing::Bindings => &[
                "source_name",
                "source_kind",
                "destination_name",
                "destination_kind",
                "routing_key",
                "arguments",
                "vhost",
            ],
            Listing::Connections => &[
                "pid",
                "name",
                "port",
                "host",
                "peer_port",
                "peer_host",
                "ssl",
                "ssl_protocol",
                "ssl_key_exchange",
                "ssl_cipher",
                "ssl_hash",
                "peer_cert_subject",
                "peer_cert_issuer",
                "peer_cert_validity",
                "state",
                "channels",
                "protocol",
                "auth_mechanism",
                "user",
                "vhost",
                "timeout",
                "frame_max",
                "channel_max",
                "client_properties",
                "recv_oct",
                "recv_cnt",
                "send_oct",
                "send_cnt",
                "send_pend",
                "connected_at",
                "node",
                "user_provided_name",
            ],
            Listing::Channels => &[
                "pid",
                "connection",
                "name",
                "number",
                "user",
                "vhost",
                "transactional",
                "confirm",
                "consumer_count",
                "messages_unacknowledged",
                "messages_uncommitted",
                "acks_uncommitted",
                "messages_unconfirmed",
                "prefetch_count",
                "global_prefetch_count",
                "state",
                "node",
                "interceptors",
            ],
            Listing::Consumers => &[
                "queue_name",
                "channel_pid",
                "consumer_tag",
                "ack_required",
                "prefetch_count",
                "active",
                "activity_status",
                "arguments",
                "exclusive",
            ],
        }
    }
}

impl Session<'_> {
    pub(super) fn list(&mut self, listing: Listing, columns: &[String]) -> Done {
        let columns = columns_or(columns, listing.usual_columns());
        if let Some(unknown) = columns.iter().find(|column| !listing.known_columns().contains(&column.as_str())) {
            let known = listing.known_columns().join(", ");
            let text = format!("Error (argument validation): {unknown} is not a column; expected some of {known}");
            return Err(Failure::new(exit::USAGE, text));
        }
        let vhost = self.options.vhost.clone();
        self.say(&listing.banner(&vhost))?;
        if !matches!(listing, Listing::Connections | Listing::Channels) {
            self.require_vhost()?;
        }
        let objects = self.get(listing.path(&segment(&vhost)))?;
        self.show_objects(&objects, &columns, |object, column| listing.field(object, column).unwrap_or(Value::Null))
    }

    // ---- queues

    pub(super) fn delete_queue(&mut self, name: &str, if_empty: bool, if_unused: bool) -> Done {
        let vhost = self.options.vhost.clone();
        let condition = match (if_empty, if_unused) {
            (true, true) => " if queue is empty and if queue is unused",
            (true, false) => " if queue is empty",
            (false, true) => " if queue is unused",
            (false, false) => "",
        };
        self.say(&format!("Deleting queue '{name}' on vhost '{vhost}'{condition} ..."))?;
        let path =
            format!("/api/queues/{}/{}?if-empty={if_empty}&if-unused={if_unused}", segment(&vhost), segment(name));
        let messages = self.call("GET", format!("/api/queues/{}/{}", segment(&vhost), segment(name)), None)?;
        self.delete(path, Failure::new(exit::USAGE, "Error:\nQueue not found"))?;
        let count = messages.body["messages"].as_u64().unwrap_or(0);
        self.say(&format!("Queue was successfully deleted with {count} messages"))
    }

    pub(super) fn purge_queue(&mut self, name: &str) -> Done {
        let vhost = self.options.vhost.clone();
        self.say(&format!("Purging queue '{name}' in vhost '{vhost}' ..."))?;
        let path = format!("/api/queues/{}/{}/contents", segment(&vhost), segment(name));
        self.delete(path, Failure::new(exit::UNAVAILABLE, "Error:\nnot_found"))
    }

    // ---- connections

    pub(super) fn close_connection(&mut self, name: &str, reason: &[String]) -> Done {
        let reason = reason.join(" ");
        self.say(&format!("Closing connection {name}, reason: {reason}..."))?;
        let answer = self.close(name, &reason)?;
        let missing = Failure::new(exit::UNAVAILABLE, format!("Error:\nconnection {name} does not exist"));
        super::session::accept_or(answer, missing).map(drop)
    }

    fn close(&mut self, name: &str, reason: &str) -> Result<Answer, Failure> {
        let path = format!("/api/connections/{}", segment(name));
        self.send(Request { method: "DELETE", path, body: None, reason: Some(reason.to_owned()) })
    }

    /// Closes the connections that `wanted` picks; those that end meanwhile are no failure.
    fn close_connections(&mut self, reason: &str, wanted: impl Fn(&Value) -> bool) -> Done {
        let connections = self.get("/api/connections".into())?;
        let wanted = connections.as_array().into_iter().flatten().filter(|connection| wanted(connection));
        let names: Vec<String> =
            wanted.filter_map(|connection| Some(connection["name"].as_str()?.to_owned())).collect();
        for name in &names {
            let answer = self.close(name, reason)?;
            if answer.status != 404 {
                super::session::accept(answer)?;
            }
        }
        self.say(&format!("Closed {} connections", names.len()))
    }

    pub(super) fn close_all_connections(&mut self, global: bool, reason: &[String]) -> Done {
        let (vhost, reason) = (self.options.vhost.clone(), reason.join(" "));
        match global {
            true => self.say("Closing all connections to node ...")?,
            false => self.say(&format!("Closing all connections in vhost '{vhost}' (reason: {reason}) ..."))?,
        }
        self.close_connections(&reason, |connection| global || connection["vhost"] == json!(vhost))
    }

    pub(super) fn close_all_user_connections(&mut self, user: &str, reason: &[String]) -> Done {
        let reason = reason.join(" ");
        self.say(&format!("Closing connections of user {user}, reason: {reason} ..."))?;
        self.close_connections(&reason, |connection| connection["user"] == json!(user))
    }
}
