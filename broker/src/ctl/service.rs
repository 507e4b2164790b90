//! Serving clients or not, and the commands that are about other nodes, of which there are none.

use serde_json::{Value, json};

use super::api::{Failure, exit, segment};
use super::format::Table;
use super::options::Command;
use super::session::{Done, Session};

/// The cipher suites that are offered, by OpenSSL's names; the strongest first.
pub(super) const CIPHER_SUITES: [&str; 9] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// Commands that cannot be carried out anywhere, and why.
pub(super) fn refusal(command: &Command) -> Option<Failure> {
    let unavailable = |text: &str| Some(Failure::new(exit::UNAVAILABLE, format!("Error:\n{text}")));
    match command {
        Command::JoinCluster { .. }
        | Command::ForgetClusterNode { .. }
        | Command::RenameClusterNode { .. }
        | Command::Grow { .. }
        | Command::Shrink { .. }
        | Command::AddMember { .. }
        | Command::DeleteMember { .. } => unavailable("this broker is one node: there are no clusters"),
        Command::Encode { .. } | Command::Decode { .. } | Command::ListCiphers | Command::ListHashes => {
            unavailable("values in the configuration are not encrypted here: keep the file readable for its owner only")
        }
        Command::RotateLogs => unavailable("The log goes to standard error: rotate it where it is kept"),
        Command::LogTail { .. } => {
            unavailable("The log goes to standard error: read it where it is kept, as with 'journalctl -u leveret'")
        }
        Command::ConsumeEventStream { .. } => {
            unavailable("bind a queue to the exchange amq.rabbitmq.event and consume from it")
        }
        Command::Eval { .. } | Command::EvalFile { .. } | Command::Exec { .. } => {
            let text = "Error: this broker is not written in Erlang: there is nothing to evaluate";
            Some(Failure::new(exit::USAGE, text))
        }
        _ => None,
    }
}

impl Session<'_> {
    /// Whether the node is up for clients: an operator may have stopped it.
    pub(super) fn is_running_app(&mut self) -> Result<bool, Failure> {
        let name = self.node_name()?;
        let node = self.get(format!("/api/nodes/{}?columns=running", segment(&name)))?;
        Ok(node["running"] != json!(false))
    }

    pub(super) fn stop_app(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Stopping rabbit application on node {name} ..."))?;
        self.post("/api/local/stop-app".into(), json!({})).map(drop)
    }

    pub(super) fn start_app(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Starting node {name} ..."))?;
        self.post("/api/local/start-app".into(), json!({})).map(drop)
    }

    pub(super) fn reset(&mut self, is_forced: bool) -> Done {
        if self.is_running_app()? {
            let text = "Error: this command requires the 'rabbit' app to be stopped on the target node. \
                        Stop it with 'rabbitmqctl stop_app'.";
            return Err(Failure::new(exit::USAGE, text));
        }
        let (name, word) = (self.node_name()?, if is_forced { "Forcefully resetting" } else { "Resetting" });
        self.say(&format!("{word} node {name} ..."))?;
        self.post("/api/local/reset".into(), json!({})).map(drop)
    }

    pub(super) fn drain(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!(
            "Will put node {name} into maintenance mode. The node will no longer serve any client traffic!"
        ))?;
        self.post("/api/local/drain".into(), json!({})).map(drop)
    }

    pub(super) fn revive(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!(
            "Will put node {name} back into regular operating mode. \
             The node will again serve client traffic and host primary queue replicas."
        ))?;
        self.post("/api/local/revive".into(), json!({})).map(drop)
    }

    // ---- limits

    pub(super) fn set_memory_limit(&mut self, words: &[String]) -> Done {
        let name = self.node_name()?;
        let (key, value) = match words {
            [share] => ("vm_memory_high_watermark.relative", share),
            [word, size] if word == "absolute" => ("vm_memory_high_watermark.absolute", size),
            _ => return Err(usage("a share of the memory, such as 0.5, or 'absolute' and a size, such as 2GB")),
        };
        self.say(&format!("Setting memory threshold on {name} to {value} ..."))?;
        self.put("/api/local/alarm".into(), json!({"key": key, "value": value}))
    }

    pub(super) fn set_disk_limit(&mut self, words: &[String]) -> Done {
        let name = self.node_name()?;
        let (key, value, unit) = match words {
            [size] => ("disk_free_limit.absolute", size, "bytes"),
            [word, share] if word == "mem_relative" => ("disk_free_limit.relative", share, "times the total RAM"),
            _ => return Err(usage("a size, such as 2GB, or 'mem_relative' and a share of the memory, such as 1.0")),
        };
        self.say(&format!("Setting disk free limit on {name} to {value} {unit} ..."))?;
        self.put("/api/local/alarm".into(), json!({"key": key, "value": value}))
    }

    // ---- queues with replicas, on the only node

    pub(super) fn peek(&mut self, queue: &str, position: usize) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Peeking at queue {queue} at position {position} on node {name} ..."))?;
        let path = format!("/api/queues/{}/{}/peek", self.vhost(), segment(queue));
        let answer = self.call("POST", path, Some(json!({"count": position, "encoding": "auto"})))?;
        let missing = Failure::new(exit::DATA, format!("Error:\nno queue '{queue}' in vhost '{}'", self.options.vhost));
        let messages = super::session::accept_or(answer, missing)?;
        let message = position.checked_sub(1).and_then(|at| messages.get(at));
        let message = message.ok_or_else(|| Failure::new(exit::UNAVAILABLE, "Error:\nNo message at that position"))?;
        let rows = message.as_object().into_iter().flatten().map(|(key, value)| vec![json!(key), value.clone()]);
        self.show(&Table { columns: vec!["keys".into(), "values".into()], rows: rows.collect() })
    }

    /// The state of the only replica of a queue of that type.
    pub(super) fn replica_status(&mut self, queue: &str, kind: &str) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Status of {kind} queue {queue} on node {name} ..."))?;
        let path = format!("/api/queues/{}/{}?columns=type,messages", self.vhost(), segment(queue));
        let missing = Failure::new(exit::DATA, format!("Error:\nno queue '{queue}' in vhost '{}'", self.options.vhost));
        let found = super::session::accept_or(self.call("GET", path, None)?, missing)?;
        let actual = found["type"].as_str().unwrap_or_default().to_owned();
        if actual != kind {
            let text = format!("Error:\nCannot get {kind} status of a {actual} queue");
            return Err(Failure::new(exit::UNAVAILABLE, text));
        }
        let columns = ["Node Name", "Raft State", "Messages"].map(String::from).to_vec();
        self.show(&Table { columns, rows: vec![vec![json!(name), json!("leader"), found["messages"].clone()]] })
    }

    pub(super) fn rebalance(&mut self, kind: &str) -> Done {
        self.say(&format!("Re-balancing leaders of {kind} queues..."))?;
        let name = self.node_name()?;
        let queues = self.get("/api/queues?columns=type".into())?;
        let queues = queues.as_array().map(Vec::as_slice).unwrap_or_default();
        let quorum = queues.iter().filter(|queue| queue["type"] == "quorum").count();
        let columns = ["Node name", "Number of quorum queues", "Number of replicated classic queues"];
        let row = vec![json!(name), json!(quorum), json!(0)];
        self.show(&Table { columns: columns.map(String::from).to_vec(), rows: vec![row] })
    }

    pub(super) fn await_quorum(&mut self) -> Done {
        self.print("Target node seems to be the only one in a single node cluster, the command does not apply")
    }

    pub(super) fn post_upgrade(&mut self) -> Done {
        self.say("Executing post upgrade tasks...")?;
        self.rebalance("all")
    }

    // ---- figures

    pub(super) fn node_health_check(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Checking health of node {name} ..."))?;
        self.check_running_quietly(&name)?;
        self.check_alarms_quietly(&name)?;
        self.print("Health check passed")
    }

    pub(super) fn message_size_stats(&mut self) -> Done {
        self.say("Gathering message size statistics ...")?;
        let sizes = self.get("/api/overview?columns=message_sizes".into())?;
        let sizes = sizes["message_sizes"].as_array().cloned().unwrap_or_default();
        let total: u64 = sizes.iter().filter_map(|size| size["messages"].as_u64()).sum();
        let mut from = 0;
        let rows = sizes.iter().map(|size| {
            let (up_to, count) = (size["up_to"].as_u64(), size["messages"].as_u64().unwrap_or(0));
            let range = up_to.map_or(format!("above {from} B"), |up_to| format!("{from} B to {up_to} B"));
            from = up_to.unwrap_or(from);
            let share = if total == 0 { 0.0 } else { count as f64 * 100.0 / total as f64 };
            vec![json!(range), json!(count), json!(format!("{share:.2}"))]
        });
        let rows: Vec<Vec<Value>> = rows.collect();
        let columns = ["Message Size", "Number of Messages", "Percentage"].map(String::from).to_vec();
        self.show(&Table { columns, rows })
    }
}

fn usage(expected: &str) -> Failure {
    Failure::new(exit::USAGE, format!("Error (argument validation): expected {expected}"))
}
