//! Health checks, in the words of rabbitmq-diagnostics. Container probes call them.

use leveret_runtime::net::TcpStream;
use serde_json::{Value, json};

use super::api::{Failure, exit, segment};
use super::session::{Done, Session};

fn failed(text: String) -> Failure {
    Failure::new(exit::UNAVAILABLE, format!("Error:\n{text}"))
}

impl Session<'_> {
    /// The answer of one of the API's checks, whether it is good or not.
    fn check(&mut self, path: &str) -> Result<(bool, Value), Failure> {
        let answer = self.call("GET", format!("/api/health/checks/{path}"), None)?;
        match answer.status {
            200 => Ok((true, answer.body)),
            503 => Ok((false, answer.body)),
            _ => super::session::accept(answer).map(|body| (true, body)),
        }
    }

    pub(super) fn check_running(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Checking if RabbitMQ is running on node {name} ..."))?;
        self.check_running_quietly(&name)?;
        self.print(&format!("RabbitMQ on node {name} is fully booted and running"))
    }

    pub(super) fn check_running_quietly(&mut self, name: &str) -> Done {
        match self.is_running_app()? {
            true => Ok(()),
            false => Err(failed(not_running(name))),
        }
    }

    pub(super) fn check_alarms_quietly(&mut self, name: &str) -> Done {
        let (is_good, answer) = self.check("local-alarms")?;
        match is_good {
            true => Ok(()),
            false => Err(failed(format!("Node {name} reported alarms: {}", answer["alarms"]))),
        }
    }

    pub(super) fn check_mirrors(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Checking if node {name} is critical for data safety of any classic mirrored queues ..."))?;
        self.print(&format!("Node {name} reported no classic mirrored queues without online synchronised mirrors"))
    }

    pub(super) fn is_running(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Asking node {name} for its status ..."))?;
        if !self.is_running_app()? {
            return self.print(&not_running(&name));
        }
        self.print(&format!("RabbitMQ on node {name} is fully booted and running"))
    }

    pub(super) fn is_booting(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Asking node {name} for its boot status ..."))?;
        self.print(&format!(
            "RabbitMQ on node {name} is fully booted (check with is_running), stopped or has not started booting yet"
        ))
    }

    pub(super) fn check_alarms(&mut self, local: bool) -> Done {
        let name = self.node_name()?;
        let (asking, none) = match local {
            true => ("any local resource alarms", "local alarms"),
            false => ("any resource alarms", "alarms, local or clusterwide"),
        };
        self.say(&format!("Asking node {name} to report {asking} ..."))?;
        let (is_good, answer) = self.check(if local { "local-alarms" } else { "alarms" })?;
        match is_good {
            true => self.print(&format!("Node {name} reported no {none}")),
            false => Err(failed(format!("Node {name} reported alarms: {}", answer["alarms"]))),
        }
    }

    pub(super) fn check_port_listener(&mut self, port: u16) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Asking node {name} if there's an active listener on port {port} ..."))?;
        let (is_good, answer) = self.check(&format!("port-listener/{port}"))?;
        if is_good {
            return self.print(&format!("A listener for port {port} is running on node {name}."));
        }
        let ports: Vec<String> = answer["ports"].as_array().into_iter().flatten().map(ToString::to_string).collect();
        let text = format!(
            "No listener for port {port} is active on node {name}. Found listeners that use the following ports: {}",
            ports.join(", ")
        );
        Err(failed(text))
    }

    pub(super) fn check_protocol_listener(&mut self, protocol: &str) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Asking node {name} if there's an active listener for protocol {protocol} ..."))?;
        let (is_good, answer) = self.check(&format!("protocol-listener/{}", segment(protocol)))?;
        if is_good {
            return self.print(&format!("A listener for protocol {protocol} is running on node {name}."));
        }
        let protocols: Vec<String> =
            answer["protocols"].as_array().into_iter().flatten().map(super::format::plain).collect();
        let text = format!(
            "No listener for protocol {protocol} is active on node {name}. Found listeners for the following protocols: {}",
            protocols.join(", ")
        );
        Err(failed(text))
    }

    pub(super) fn check_port_connectivity(&mut self, address: Option<&str>) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Testing TCP connections to all active listeners on node {name} ..."))?;
        let overview = self.get("/api/overview".into())?;
        let mut ports = Vec::new();
        for listener in overview["listeners"].as_array().into_iter().flatten() {
            let port = listener["port"].as_u64().unwrap_or(0);
            let host = address.unwrap_or_else(|| local_address(listener["ip_address"].as_str().unwrap_or_default()));
            TcpStream::connect(format!("{host}:{port}"))
                .map_err(|error| failed(format!("Connection to port {port} on {host} failed: {error}")))?;
            ports.push(port.to_string());
        }
        self.print(&format!("Successfully connected to ports {} on node {name}.", ports.join(", ")))
    }

    pub(super) fn check_virtual_hosts(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Checking if all vhosts are running on node {name} ..."))?;
        let (is_good, answer) = self.check("virtual-hosts")?;
        match is_good {
            true => self.print(&format!("Node {name} reported all vhosts as running")),
            false => Err(failed(format!("Some virtual hosts do not run: {}", answer["virtual-hosts"]))),
        }
    }

    pub(super) fn check_certificate_expiration(&mut self, within: u32, unit: &str) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Checking certificate expiration on node {name} ..."))?;
        let (is_good, answer) = self.check(&format!("certificate-expiration/{within}/{}", segment(unit)))?;
        match is_good {
            true => self.print(&format!("No certificates are expiring within {within} {unit}.")),
            false => Err(failed(format!("Certificates expire within {within} {unit}: {}", answer["expired"]))),
        }
    }

    pub(super) fn check_quorum(&mut self) -> Done {
        let name = self.node_name()?;
        self.say(&format!("Checking if node {name} is critical for quorum of any quorum queues ..."))?;
        let (is_good, answer) = self.check("node-is-quorum-critical")?;
        match is_good {
            true => self.print(&format!("Node {name} reported no quorum queues with minimum online quorum")),
            false => Err(failed(super::session::reason(&answer))),
        }
    }

    // ---- what explains itself

    pub(super) fn explain_route(&mut self, exchange: &str, key: &str, headers: Option<&str>) -> Done {
        let headers = headers.map(super::session::json).transpose()?.unwrap_or_else(|| json!({}));
        let path = format!(
            "/api/explain/{}/{}",
            self.vhost(),
            segment(if exchange.is_empty() { "amq.default" } else { exchange })
        );
        let answer = self.post(path, json!({"routing_key": key, "properties": {"headers": headers}}))?;
        self.sentences(&answer)
    }

    pub(super) fn doctor(&mut self, queue: Option<&str>) -> Done {
        let queue = queue.map_or(String::new(), |queue| format!("/{}", segment(queue)));
        let path = format!("/api/doctor/{}{queue}", self.vhost());
        let answer = self.get(path)?;
        self.sentences(&answer)
    }

    /// An answer that explains has its text ready, line by line.
    fn sentences(&mut self, answer: &Value) -> Done {
        use super::format::Format::{Json, JsonStream};
        if matches!(self.options.formatter, Json | JsonStream) {
            return self.print(&answer.to_string());
        }
        let lines = answer["text"].as_array().map(Vec::as_slice).unwrap_or_default();
        lines.iter().try_for_each(|line| self.print(&super::format::plain(line)))
    }
}

fn not_running(name: &str) -> String {
    format!("RabbitMQ on node {name} is not running or has not fully booted yet (check with is_booting)")
}

/// An address of this machine at which a listener can be reached.
fn local_address(listens_on: &str) -> &str {
    match listens_on {
        "::" | "0.0.0.0" | "" => "127.0.0.1",
        other => other,
    }
}
