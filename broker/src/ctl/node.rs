//! The node: its state, its end, its settings.

use serde_json::{Value, json};

use super::api::{Failure, segment};
use super::format::Format;
use super::session::{Done, Session};

/// Bytes in a gigabyte as rabbitmqctl writes them.
const GIGABYTE: f64 = 1e9;

/// What the sections of `status` are made of.
struct Facts {
    overview: Value,
    node: Value,
    vhosts: usize,
}

impl Session<'_> {
    fn facts(&mut self) -> Result<Facts, Failure> {
        let overview = self.get("/api/overview".into())?;
        let name = overview["node"].as_str().unwrap_or_default().to_owned();
        let node = self.get(format!("/api/nodes/{}", segment(&name)))?;
        let vhosts = self.get("/api/vhosts".into())?.as_array().map_or(0, Vec::len);
        Ok(Facts { overview, node, vhosts })
    }

    /// The node's name, for messages.
    pub(super) fn node_name(&mut self) -> Result<String, Failure> {
        let overview = self.get("/api/overview?columns=node".into())?;
        Ok(overview["node"].as_str().unwrap_or_default().to_owned())
    }

    // ---- status

    pub(super) fn status(&mut self) -> Done {
        let facts = self.facts()?;
        if matches!(self.options.formatter, Format::Json | Format::JsonStream) {
            return self.print(&facts.as_json().to_string());
        }
        let name = facts.name();
        self.say(&format!("Status of node {name} ..."))?;
        for (title, lines) in facts.sections() {
            self.section(title, &lines)?;
        }
        Ok(())
    }

    fn section(&mut self, title: &str, lines: &[String]) -> Done {
        self.print(&format!("{title}\n"))?;
        match lines {
            [] => self.print("(none)\n"),
            lines => self.print(&format!("{}\n", lines.join("\n"))),
        }
    }

    pub(super) fn cluster_status(&mut self) -> Done {
        let facts = self.facts()?;
        let name = facts.name();
        if matches!(self.options.formatter, Format::Json | Format::JsonStream) {
            let status = json!({
                "cluster_name": facts.overview["cluster_name"],
                "disk_nodes": [name], "ram_nodes": [], "running_nodes": [name], "partitions": {},
                "alarms": facts.alarms(), "listeners": {&name: facts.listeners_as_json()},
                "versions": {&name: {"rabbitmq_version": facts.overview["rabbitmq_version"]}},
                "maintenance_status": {&name: "not under maintenance"},
            });
            return self.print(&status.to_string());
        }
        self.say(&format!("Cluster status of node {name} ..."))?;
        let cluster = facts.text(&facts.overview["cluster_name"]);
        self.section("Basics", &[format!("Cluster name: {cluster}")])?;
        self.section("Disk Nodes", std::slice::from_ref(&name))?;
        self.section("Running Nodes", std::slice::from_ref(&name))?;
        let version = facts.text(&facts.overview["rabbitmq_version"]);
        self.section("Versions", &[format!("{name}: RabbitMQ {version}")])?;
        self.section("Maintenance status", &[format!("Node: {name}, status: not under maintenance")])?;
        self.section("Alarms", &facts.alarms())?;
        self.section("Network Partitions", &[])?;
        let listeners =
            facts.listeners().into_iter().map(|line| format!("Node: {name}, {}", line.replacen('I', "i", 1)));
        self.section("Listeners", &listeners.collect::<Vec<_>>())
    }

    pub(super) fn report(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Reporting server status of node {name} ...\n"))?;
        self.status()?;
        self.cluster_status()?;
        self.environment()?;
        for listing in [super::listings::Listing::Connections, super::listings::Listing::Channels] {
            self.list(listing, &[])?;
        }
        self.list_vhosts(&[])?;
        self.list_users(&[])?;
        let vhosts = self.get("/api/vhosts".into())?;
        for vhost in vhosts.as_array().into_iter().flatten() {
            let queues = self.get(format!("/api/queues/{}", segment(vhost["name"].as_str().unwrap_or_default())))?;
            let columns = ["vhost", "name", "messages", "consumers", "policy"].map(String::from);
            self.show_objects(&queues, &columns, |queue, column| queue[column].clone())?;
        }
        Ok(())
    }

    pub(super) fn environment(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Application environment of node {name} ..."))?;
        let settings = self.get("/api/local/environment".into())?;
        if matches!(self.options.formatter, Format::Json | Format::JsonStream) {
            return self.print(&settings.to_string());
        }
        for (key, value) in settings.as_object().into_iter().flatten() {
            self.print(&format!("{key} = {}", super::format::plain(value)))?;
        }
        Ok(())
    }

    // ---- begin and end

    pub(super) fn ping(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Will ping {name}. This checks that the broker answers."))?;
        self.print("Ping succeeded")
    }

    pub(super) fn await_startup(&mut self) -> Done {
        self.node_name().map(drop) // the broker listens here only once it has started
    }

    pub(super) fn stop(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Stopping and halting node {name} ..."))?;
        self.post("/api/local/stop".into(), json!({}))?;
        if !self.options.dry_run {
            self.api.wait_closed();
        }
        Ok(())
    }

    // ---- settings

    pub(super) fn set_cluster_name(&mut self, name: &str) -> Done {
        self.say(&format!("Setting cluster name to {name} ..."))?;
        self.put("/api/cluster-name".into(), json!({"name": name}))
    }

    pub(super) fn set_log_level(&mut self, level: &str) -> Done {
        self.say(&format!("Setting log level to \"{level}\" ..."))?;
        self.put("/api/local/log-level".into(), json!({"level": level}))
    }

    // ---- parts of status as commands of their own

    pub(super) fn listeners(&mut self) -> Done {
        let facts = self.facts()?;
        self.say(&format!("Asking node {} to report its protocol listeners ...", facts.name()))?;
        if matches!(self.options.formatter, Format::Json | Format::JsonStream) {
            let listeners = json!({"node": facts.name(), "listeners": facts.listeners_as_json()});
            return self.print(&listeners.to_string());
        }
        facts.listeners().iter().try_for_each(|line| self.print(line))
    }

    pub(super) fn alarms(&mut self) -> Done {
        let facts = self.facts()?;
        let name = facts.name();
        self.say(&format!("Asking node {name} to report any known resource alarms ..."))?;
        match facts.alarms().as_slice() {
            [] => self.print(&format!("Node {name} reported no alarms, local or clusterwide")),
            alarms => alarms.iter().try_for_each(|alarm| self.print(alarm)),
        }
    }

    pub(super) fn memory_breakdown(&mut self) -> Done {
        let facts = self.facts()?;
        self.say(&format!("Reporting memory breakdown on node {}...", facts.name()))?;
        let memory = self.get(format!("/api/nodes/{}/memory", segment(&facts.name())))?;
        let memory = &memory["memory"];
        let total = memory["total"]["rss"].as_f64().unwrap_or(0.0).max(1.0);
        let parts = memory.as_object().into_iter().flatten();
        let mut parts: Vec<(&String, f64)> = parts.filter_map(|(name, bytes)| Some((name, bytes.as_f64()?))).collect();
        parts.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
        if matches!(self.options.formatter, Format::Json | Format::JsonStream) {
            let part = |(name, bytes): &(&String, f64)| {
                ((*name).clone(), json!({"bytes": bytes, "percentage": (bytes * 1000.0 / total).round() / 10.0}))
            };
            let parts: serde_json::Map<String, Value> = parts.iter().map(part).collect();
            return self.print(&Value::Object(parts).to_string());
        }
        parts.iter().try_for_each(|(name, bytes)| {
            self.print(&format!("{name}: {:.4} gb ({:.2}%)", bytes / GIGABYTE, bytes * 100.0 / total))
        })
    }

    pub(super) fn server_version(&mut self) -> Done {
        let facts = self.facts()?;
        self.say(&format!("Asking node {} for its RabbitMQ version...", facts.name()))?;
        let version = facts.text(&facts.overview["rabbitmq_version"]);
        self.print(&version)
    }

    pub(super) fn erlang_version(&mut self) -> Done {
        let facts = self.facts()?;
        self.say(&format!("Asking node {} for its Erlang/OTP version...", facts.name()))?;
        let version = facts.text(&facts.overview["erlang_version"]);
        self.print(&version)
    }

    pub(super) fn log_location(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Log file location(s) on node {name} ..."))?;
        self.print("<stderr>")
    }

    pub(super) fn list_feature_flags(&mut self) -> Done {
        self.say("Listing feature flags ...")?;
        let flags = self.get("/api/feature-flags".into())?;
        let columns = ["name", "state"].map(String::from);
        self.show_objects(&flags, &columns, |flag, column| flag[column].clone())
    }

    pub(super) fn list_deprecated_features(&mut self) -> Done {
        self.say("Listing deprecated features ...")?;
        let features = self.get("/api/deprecated-features".into())?;
        let columns = ["name", "deprecation_phase", "state", "desc"].map(String::from);
        self.show_objects(&features, &columns, |feature, column| feature[column].clone())
    }
}

impl Facts {
    fn name(&self) -> String {
        self.text(&self.overview["node"])
    }

    fn text(&self, value: &Value) -> String {
        super::format::plain(value)
    }

    fn gigabytes(&self, field: &str) -> String {
        format!("{:.4} gb", self.node[field].as_f64().unwrap_or(0.0) / GIGABYTE)
    }

    fn alarms(&self) -> Vec<String> {
        let alarm = |field: &str, what: &str| {
            (self.node[field] == json!(true)).then(|| format!("{what} alarm on node {}", self.name()))
        };
        [alarm("mem_alarm", "Memory"), alarm("disk_free_alarm", "Free disk space")].into_iter().flatten().collect()
    }

    fn listeners_as_json(&self) -> Vec<Value> {
        let listeners = self.overview["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
        let listener = |listener: &Value| {
            let protocol = listener["protocol"].as_str().unwrap_or_default();
            json!({
                "interface": listener["ip_address"], "node": listener["node"], "port": listener["port"],
                "protocol": protocol, "purpose": purpose(protocol),
            })
        };
        listeners.iter().map(listener).collect()
    }

    fn listeners(&self) -> Vec<String> {
        let line = |listener: &Value| {
            let interface = self.text(&listener["interface"]);
            let interface = if interface.contains(':') { format!("[{interface}]") } else { interface };
            let (port, protocol) = (&listener["port"], self.text(&listener["protocol"]));
            format!("Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {}", purpose(&protocol))
        };
        self.listeners_as_json().iter().map(line).collect()
    }

    fn sections(&self) -> Vec<(&'static str, Vec<String>)> {
        let (node, overview) = (&self.node, &self.overview);
        let uptime = node["uptime"].as_u64().unwrap_or(0) / 1000;
        let total = |name: &str| overview["object_totals"][name].as_u64().unwrap_or(0);
        let plugins = node["enabled_plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bullet = |value: &Value| format!(" * {}", self.text(value));
        let files = |field: &str| {
            let files = node[field].as_array().map(Vec::as_slice).unwrap_or_default();
            files.iter().map(bullet).collect::<Vec<_>>()
        };
        vec![
            (
                "Runtime",
                vec![
                    format!("OS PID: {}", self.text(&node["os_pid"])),
                    format!("OS: {}", std::env::consts::OS),
                    format!("Uptime (seconds): {uptime}"),
                    "Is under maintenance?: false".into(),
                    format!("RabbitMQ version: {}", self.text(&overview["rabbitmq_version"])),
                    format!("Leveret version: {}", env!("CARGO_PKG_VERSION")),
                    format!("Node name: {}", self.name()),
                    format!("Erlang configuration: {}", self.text(&overview["erlang_full_version"])),
                    format!("Processors: {}", self.text(&node["processors"])),
                ],
            ),
            ("Plugins", std::iter::once("Enabled plugins:\n".into()).chain(plugins.iter().map(bullet)).collect()),
            (
                "Data directory",
                vec![
                    format!("Node data directory: {}", self.text(&node["db_dir"])),
                    format!("Messages lost to damaged files: {}", self.text(&node["messages_lost"])),
                ],
            ),
            ("Config files", files("config_files")),
            ("Log file(s)", files("log_files")),
            ("Alarms", self.alarms()),
            ("Tags", Vec::new()),
            (
                "Memory",
                vec![
                    format!("Total memory used: {}", self.gigabytes("mem_used")),
                    "Calculation strategy: rss".into(),
                    format!("Memory high watermark: {}", self.gigabytes("mem_limit")),
                ],
            ),
            (
                "File Descriptors",
                vec![
                    format!("Total: {}, limit: {}", self.text(&node["fd_used"]), self.text(&node["fd_total"])),
                    format!(
                        "Sockets: {}, limit: {}",
                        self.text(&node["sockets_used"]),
                        self.text(&node["sockets_total"])
                    ),
                ],
            ),
            (
                "Free Disk Space",
                vec![
                    format!("Low free disk space watermark: {}", self.gigabytes("disk_free_limit")),
                    format!("Free disk space: {}", self.gigabytes("disk_free")),
                ],
            ),
            (
                "Totals",
                vec![
                    format!("Connection count: {}", total("connections")),
                    format!("Queue count: {}", total("queues")),
                    format!("Virtual host count: {}", self.vhosts),
                ],
            ),
            ("Listeners", self.listeners()),
        ]
    }

    fn as_json(&self) -> Value {
        let (node, overview) = (&self.node, &self.overview);
        let total = |name: &str| overview["object_totals"][name].as_u64().unwrap_or(0);
        let pid: u64 = self.text(&node["os_pid"]).parse().unwrap_or(0);
        json!({
            "os": std::env::consts::OS, "pid": pid, "rabbitmq_version": overview["rabbitmq_version"],
            "product_name": overview["product_name"], "product_version": overview["product_version"],
            "leveret_version": env!("CARGO_PKG_VERSION"),
            "erlang_version": overview["erlang_full_version"], "uptime": node["uptime"].as_u64().unwrap_or(0) / 1000,
            "is_under_maintenance": false, "processes": {"limit": node["proc_total"], "used": node["proc_used"]},
            "run_queue": node["run_queue"], "vm_memory_high_watermark_limit": node["mem_limit"],
            "vm_memory_high_watermark_setting": {"absolute": node["mem_limit"]},
            "disk_free_limit": node["disk_free_limit"], "disk_free": node["disk_free"], "alarms": self.alarms(), "tags": {},
            "listeners": self.listeners_as_json(),
            "memory": {"strategy": "rss", "total": {"rss": node["mem_used"]}},
            "file_descriptors": {
                "total_limit": node["fd_total"], "total_used": node["fd_used"],
                "sockets_limit": node["sockets_total"], "sockets_used": node["sockets_used"],
            },
            "data_directory": node["db_dir"], "messages_lost": node["messages_lost"], "config_files": node["config_files"], "log_files": node["log_files"],
            "active_plugins": node["enabled_plugins"], "enabled_plugin_file": "",
            "totals": {
                "connection_count": total("connections"), "queue_count": total("queues"),
                "virtual_host_count": self.vhosts,
            },
        })
    }
}

/// What a listener is for, as RabbitMQ describes it.
fn purpose(protocol: &str) -> &'static str {
    match protocol {
        "amqp" => "AMQP 0-9-1",
        "amqp/ssl" => "AMQP 0-9-1 over TLS",
        "http" => "HTTP API",
        "https" => "HTTP API over TLS (HTTPS)",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        _ => "other",
    }
}
