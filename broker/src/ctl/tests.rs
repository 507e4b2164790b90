//! Commands against a broker that is a table of answers. The texts were recorded from rabbitmqctl 3.10.

use std::io;

use clap::Parser;
use serde_json::{Value, json};

use super::api::{Answer, Api, Request};
use super::options::Program;
use super::session::Session;

/// Answers by method and path; everything else is not there. Keeps what was changed.
struct Broker {
    answers: Vec<(&'static str, &'static str, u16, Value)>,
    changes: Vec<String>,
}

impl Api for Broker {
    fn call(&mut self, request: &Request) -> io::Result<Answer> {
        if request.method != "GET" {
            let body = request.body.as_ref().map(|body| format!(" {body}")).unwrap_or_default();
            self.changes.push(format!("{} {}{body}", request.method, request.path));
        }
        let known = self.answers.iter().find(|(method, path, ..)| *method == request.method && *path == request.path);
        Ok(match known {
            Some((_, _, status, body)) => Answer { status: *status, body: body.clone() },
            None if request.method == "PUT" => Answer { status: 204, body: Value::Null },
            None => Answer { status: 404, body: json!({"error": "Object Not Found", "reason": "Not Found"}) },
        })
    }

    fn wait_closed(&mut self) {}
}

struct Ran {
    out: String,
    error: String,
    code: u8,
    changes: Vec<String>,
}

fn run(words: &[&str]) -> Ran {
    let mut broker = Broker { answers: answers(), changes: Vec::new() };
    let program = Program::try_parse_from(std::iter::once("rabbitmqctl").chain(words.iter().copied()));
    let ctl = program.unwrap_or_else(|error| panic!("{words:?}: {error}")).ctl;
    let mut out = Vec::new();
    let mut input = &b"from input\n"[..];
    let mut session = Session { api: &mut broker, options: &ctl.global, out: &mut out, input: &mut input };
    let (code, error) = match session.run(&ctl.command) {
        Ok(()) => (0, String::new()),
        Err(failure) => (failure.code, failure.text),
    };
    Ran { out: String::from_utf8(out).expect("text"), error, code, changes: broker.changes }
}

fn answers() -> Vec<(&'static str, &'static str, u16, Value)> {
    let lwq = json!({"name": "lwq", "tags": ["administrator"], "password_hash": "h", "hashing_algorithm": "a"});
    let guest = json!({"name": "guest", "tags": ["administrator"]});
    let queue = json!({"name": "q", "vhost": "/", "messages": 3, "durable": true, "node": "n@h", "arguments": {}});
    let binding = json!({
        "source": "", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": "q", "arguments": {},
    });
    vec![
        ("GET", "/api/users", 200, json!([lwq, guest])),
        ("GET", "/api/users/lwq", 200, lwq),
        (
            "GET",
            "/api/users/lwq/permissions",
            200,
            json!([{"vhost": "v1", "configure": ".*", "write": ".*", "read": "^a"}]),
        ),
        ("DELETE", "/api/users/lwq", 204, Value::Null),
        ("GET", "/api/vhosts", 200, json!([{"name": "/", "tracing": false}, {"name": "v1", "tracing": false}])),
        ("GET", "/api/vhosts/%2F", 200, json!({"name": "/"})),
        ("GET", "/api/vhosts/v1", 200, json!({"name": "v1"})),
        ("GET", "/api/queues/%2F", 200, json!([queue])),
        ("GET", "/api/bindings/%2F", 200, json!([binding])),
        ("GET", "/api/overview?columns=node", 200, json!({"node": "n@h"})),
        ("GET", "/api/health/checks/port-listener/5672", 200, json!({"status": "ok"})),
        ("GET", "/api/health/checks/port-listener/1", 503, json!({"missing": 1, "ports": [5672, 15672]})),
        ("GET", "/api/health/checks/local-alarms", 503, json!({"alarms": [{"resource": "memory"}]})),
        (
            "GET",
            "/api/policies/%2F",
            200,
            json!([{"vhost": "/", "name": "ha", "pattern": "^x", "apply-to": "queues", "definition": {"max-length": 5}, "priority": 3}]),
        ),
        ("PUT", "/api/policies/%2F/bad", 400, json!({"error": "bad_request", "reason": "Validation failed\n\noops\n"})),
        ("POST", "/api/local/stop", 204, Value::Null),
        (
            "GET",
            "/api/connections",
            200,
            json!([{"name": "a -> b", "user": "lwq", "vhost": "/"}, {"name": "c -> d", "user": "x", "vhost": "v1"}]),
        ),
        ("DELETE", "/api/connections/a%20-%3E%20b", 204, Value::Null),
    ]
}

#[track_caller]
fn check(words: &[&str], code: u8, out: &str, error: &str) {
    let ran = run(words);
    assert_eq!((ran.code, ran.out.as_str(), ran.error.as_str()), (code, out, error), "{words:?}");
}

#[track_caller]
fn changes(words: &[&str], expected: &[&str]) {
    let ran = run(words);
    assert_eq!(ran.code, 0, "{words:?}: {}", ran.error);
    assert_eq!(ran.changes, expected, "{words:?}");
}

#[test]
fn users() {
    check(&["list_users"], 0, "Listing users ...\nuser\ttags\nlwq\t[administrator]\nguest\t[administrator]\n", "");
    check(&["list_users", "-q"], 0, "user\ttags\nlwq\t[administrator]\nguest\t[administrator]\n", "");
    check(&["-s", "list_users"], 0, "lwq\t[administrator]\nguest\t[administrator]\n", "");
    check(
        &["list_users", "--formatter", "json"],
        0,
        "[\n{\"tags\":[\"administrator\"],\"user\":\"lwq\"}\n,{\"tags\":[\"administrator\"],\"user\":\"guest\"}\n]\n",
        "",
    );
    check(&["add_user", "lwq", "111111"], 70, "Adding user \"lwq\" ...\n", "Error:\nUser \"lwq\" already exists");
    check(&["delete_user", "nobody"], 67, "Deleting user \"nobody\" ...\n", "Error:\nUser \"nobody\" does not exist");
    changes(&["add_user", "alex", "alex3714"], &["PUT /api/users/alex {\"password\":\"alex3714\",\"tags\":\"\"}"]);
    changes(&["add_user", "alex"], &["PUT /api/users/alex {\"password\":\"from input\",\"tags\":\"\"}"]);
    changes(&["add_user", "--dry-run", "alex", "x"], &[]);
    changes(
        &["set_user_tags", "lwq", "monitoring", "management"],
        &[
            "PUT /api/users/lwq {\"hashing_algorithm\":\"a\",\"password_hash\":\"h\",\"tags\":[\"monitoring\",\"management\"]}",
        ],
    );
    changes(&["delete_user", "lwq"], &["DELETE /api/users/lwq"]);
}

#[test]
fn permissions() {
    check(
        &["list_user_permissions", "lwq"],
        0,
        "Listing permissions for user \"lwq\" ...\nvhost\tconfigure\twrite\tread\nv1\t.*\t.*\t^a\n",
        "",
    );
    check(
        &["set_permissions", "-p", "nov", "lwq", "a", "b", "c"],
        69,
        "Setting permissions for user \"lwq\" in vhost \"nov\" ...\n",
        "Error:\nVirtual host nov does not exist",
    );
    changes(
        &["set_permissions", "-p", "v1", "lwq", ".*", ".*", "^a"],
        &["PUT /api/permissions/v1/lwq {\"configure\":\".*\",\"read\":\"^a\",\"write\":\".*\"}"],
    );
}

#[test]
fn vhosts() {
    check(&["list_vhosts", "name", "tracing"], 0, "Listing vhosts ...\nname\ttracing\n/\tfalse\nv1\tfalse\n", "");
    check(&["delete_vhost", "v2"], 65, "Deleting vhost \"v2\" ...\n", "Virtual host 'v2' does not exist");
    changes(&["add_vhost", "v2", "--description", "d"], &["PUT /api/vhosts/v2 {\"description\":\"d\"}"]);
    changes(
        &["set_vhost_limits", "-p", "/", "{\"max-queues\":10}"],
        &["PUT /api/vhost-limits/%2F/max-queues {\"value\":10}"],
    );
    check(
        &["set_vhost_limits", "{max"],
        65,
        "Setting vhost limits to \"{max\" for vhost \"/\" ...\n",
        "Error:\n{max is not valid JSON: key must be a string at line 1 column 2",
    );
}

#[test]
fn listings() {
    check(&["list_queues"], 0, "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\nq\t3\n", "");
    check(&["-q", "list_queues", "name,durable", "leader"], 0, "name\tdurable\tleader\nq\ttrue\tn@h\n", "");
    check(
        &["list_bindings"],
        0,
        "Listing bindings for vhost /...\n\
         source_name\tsource_kind\tdestination_name\tdestination_kind\trouting_key\targuments\n\
         \texchange\tq\tqueue\tq\t[]\n",
        "",
    );
    let ran = run(&["list_queues", "colour"]);
    assert_eq!(ran.code, 64);
    assert!(ran.error.starts_with("Error (argument validation): colour is not a column; expected some of name, "));
    check(&["purge_queue", "nope"], 69, "Purging queue 'nope' in vhost '/' ...\n", "Error:\nnot_found");
    check(&["delete_queue", "nope"], 64, "Deleting queue 'nope' on vhost '/' ...\n", "Error:\nQueue not found");
}

#[test]
fn policies() {
    check(
        &["list_policies"],
        0,
        "Listing policies for vhost \"/\" ...\nvhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
         /\tha\t^x\tqueues\t{\"max-length\":5}\t3\n",
        "",
    );
    changes(
        &["set_policy", "ha", "^x", "{\"max-length\":5}", "--priority", "3", "--apply-to", "queues"],
        &[
            "PUT /api/policies/%2F/ha {\"apply-to\":\"queues\",\"definition\":{\"max-length\":5},\"pattern\":\"^x\",\"priority\":3}",
        ],
    );
    let ran = run(&["set_policy", "bad", "(", "{}"]);
    assert_eq!((ran.code, ran.error.as_str()), (69, "Error:\nValidation failed\n\noops\n"));
    check(
        &["clear_policy", "none"],
        69,
        "Clearing policy \"none\" on vhost \"/\" ...\n",
        "Error:\nParameter does not exist",
    );
}

#[test]
fn checks() {
    check(
        &["check_port_listener", "5672"],
        0,
        "Asking node n@h if there's an active listener on port 5672 ...\nA listener for port 5672 is running on node n@h.\n",
        "",
    );
    check(
        &["-q", "check_port_listener", "1"],
        69,
        "",
        "Error:\nNo listener for port 1 is active on node n@h. Found listeners that use the following ports: 5672, 15672",
    );
    assert_eq!(run(&["check_local_alarms"]).code, 69);
    check(&["-q", "ping"], 0, "Ping succeeded\n", "");
}

#[test]
fn connections() {
    changes(&["close_all_connections", "bye"], &["DELETE /api/connections/a%20-%3E%20b"]);
    changes(&["close_all_user_connections", "lwq", "bye"], &["DELETE /api/connections/a%20-%3E%20b"]);
    assert_eq!(run(&["close_connection", "nobody", "bye"]).code, 69);
}

#[test]
fn stopping() {
    changes(&["stop"], &["POST /api/local/stop {}"]);
    check(&["stop"], 0, "Stopping and halting node n@h ...\n", "");
}

#[test]
fn the_definition_is_consistent() {
    use clap::CommandFactory;
    Program::command().debug_assert();
    super::options::Plugins::command().debug_assert();
}
