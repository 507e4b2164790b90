//! What the HTTP API shows of the same things: every field that a real RabbitMQ has, ours has, or the reason stands here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use harness::wire::Transcript;
use harness::{Broker, Rabbit, patience};
use serde_json::Value;

use crate::client::{GUEST, request};

/// What is declared over HTTP on both.
const TOPOLOGY: [&str; 10] = [
    "PUT /api/vhosts/fields {\"description\":\"d\",\"tags\":\"a,b\"}",
    "PUT /api/permissions/fields/guest {\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}",
    "PUT /api/topic-permissions/fields/guest {\"exchange\":\"amq.topic\",\"write\":\".*\",\"read\":\".*\"}",
    "PUT /api/policies/%2F/p {\"pattern\":\"^fields\",\"definition\":{\"max-length\":1000},\"priority\":1}",
    "PUT /api/operator-policies/%2F/o {\"pattern\":\"^fields\",\"definition\":{\"max-length\":900}}",
    "PUT /api/global-parameters/g {\"value\":1}",
    "PUT /api/vhost-limits/fields/max-queues {\"value\":10}",
    "PUT /api/user-limits/guest/max-channels {\"value\":100}",
    "PUT /api/exchanges/%2F/fields.x {\"type\":\"fanout\",\"durable\":true}",
    "PUT /api/queues/%2F/fields.q {\"durable\":true}",
];

/// What clients do on both, and go on doing.
const SCRIPT: &str = "
    a: open heartbeat=0
    a1> queue.bind queue=fields.q exchange=fields.x
    a1< queue.bind-ok
    a1> confirm.select
    a1< confirm.select-ok
    a1> basic.publish exchange=fields.x body=one
    a1< basic.ack
    a1> basic.publish exchange=fields.x body=two
    a1< basic.ack
    a1> basic.publish exchange=fields.x body=three
    a1< basic.ack
    a1> basic.get queue=fields.q
    a1< basic.get-ok
    a1> basic.nack delivery-tag=1 requeue
    a1> basic.qos prefetch-count=1
    a1< basic.qos-ok
    a1> basic.consume queue=fields.q consumer-tag=c
    a1< basic.consume-ok
    a1< basic.deliver redelivered
    a1> basic.ack delivery-tag=2
    a1< basic.deliver
";

/// `NODE`, `CONNECTION` and `CHANNEL` stand for names that differ.
const PATHS: [&str; 44] = [
    "overview",
    "cluster-name",
    "nodes",
    "nodes/NODE",
    "nodes/NODE?memory=true",
    "nodes/NODE/memory",
    "extensions",
    "connections",
    "connections/CONNECTION",
    "connections/CONNECTION/channels",
    "vhosts/%2F/connections",
    "vhosts/%2F/channels",
    "channels",
    "channels/CHANNEL",
    "consumers",
    "consumers/%2F",
    "exchanges/%2F",
    "exchanges/%2F/fields.x",
    "exchanges/%2F/fields.x/bindings/source",
    "queues",
    "queues/%2F/fields.q",
    "queues/%2F/fields.q?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5",
    "queues/%2F/fields.q/bindings",
    "queues?page=1&page_size=10",
    "bindings",
    "bindings/%2F/e/fields.x/q/fields.q",
    "vhosts",
    "vhosts/%2F",
    "vhosts/fields",
    "vhosts/fields/permissions",
    "vhosts/fields/topic-permissions",
    "users",
    "users/guest",
    "users/guest/permissions",
    "whoami",
    "permissions",
    "topic-permissions",
    "policies",
    "operator-policies",
    "parameters",
    "global-parameters/g",
    "vhost-limits",
    "user-limits",
    "feature-flags",
];

/// Fields of RabbitMQ's that we lack, by a part of path and field, and why.
const LACKS: &[(&str, &str)] = &[
    ("socket_opts", "options of Erlang's sockets"),
    (".contexts[].ip", "shown where an address is configured; the listeners have it"),
];

/// Fields that come and go with the time at which one looks, and with what a broker was started with. RabbitMQ fills the lists of pairs (a
/// queue and a channel, an exchange and a queue) late; ours does not count pairs, and they stay empty.
const SOMETIMES: [&str; 6] =
    ["idle_since", "config_files", ".deliveries[]", ".incoming[]", ".outgoing[]", ".publishes[]"];

/// Ends the way to a list with nothing in it.
const EMPTY: &str = "=[]";

struct Side<'a> {
    http: SocketAddr,
    _clients: Transcript,
    names: [(&'a str, String); 3],
}

fn get(http: SocketAddr, path: &str) -> Value {
    let answer = request(http, GUEST, &format!("GET /api/{path}"));
    assert_eq!(answer.status, 200, "{http} {path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.body))
}

impl Side<'_> {
    fn prepare(broker: &Broker, http: SocketAddr) -> Side<'static> {
        for line in TOPOLOGY {
            let answer = request(http, GUEST, line);
            assert!(matches!(answer.status, 200..300), "{line}: {} {}", answer.status, answer.body);
        }
        let mut clients = Transcript::new(broker);
        clients.play(SCRIPT);
        let limit = Instant::now() + patience();
        let is_counted = || {
            let queue = get(http, "queues/%2F/fields.q");
            let has = |of: &Value| of["message_stats"]["deliver_get"].as_u64() >= Some(3);
            let connections = get(http, "connections");
            has(&queue) && connections[0]["channels"] == 1 && has(&get(http, "channels")[0])
        };
        while !is_counted() {
            assert!(Instant::now() < limit, "{http}: nothing is counted: {}", get(http, "queues/%2F/fields.q"));
            std::thread::yield_now();
        }
        let name = |path: &str| get(http, path)[0]["name"].as_str().unwrap_or_default().to_owned();
        let names = [("NODE", name("nodes")), ("CONNECTION", name("connections")), ("CHANNEL", name("channels"))];
        Side { http, _clients: clients, names }
    }

    fn fields(&self, path: &str) -> BTreeSet<String> {
        let encoded = |name: &str| name.replace(' ', "%20").replace('>', "%3E");
        let path = self.names.iter().fold(path.to_owned(), |path, (what, name)| path.replace(what, &encoded(name)));
        let mut fields = BTreeSet::new();
        self.collect(&get(self.http, &path), "", &mut fields);
        fields
    }

    /// The ways to all values; items of lists count as one.
    fn collect(&self, value: &Value, at: &str, fields: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                let key = if *key == self.names[0].1 { "NODE" } else { key };
                self.collect(value, &format!("{at}.{key}"), fields);
            }),
            Value::Array(items) if items.is_empty() => _ = fields.insert(format!("{at}{EMPTY}")),
            Value::Array(items) => {
                items.iter().for_each(|item| self.collect(item, &format!("{at}[]"), fields));
            }
            _ => _ = fields.insert(at.to_owned()),
        }
    }
}

#[test]
fn every_field_of_rabbitmq_is_there_or_has_a_reason() {
    // One of its own, with nothing but this test's topology.
    let found = Rabbit::find().and_then(|rabbit| rabbit.http().map(|http| (rabbit, http)));
    let Some((rabbit, theirs)) = found else {
        println!("no RabbitMQ with an HTTP API is installed here: nothing to compare with");
        return;
    };
    let broker = Broker::start_ours_with(1, &["collect_statistics_interval=1000"]);
    let ours = Side::prepare(&broker, broker.http());
    let theirs = Side::prepare(&Broker::foreign(rabbit.address()), theirs);
    let (mut lacking, mut known) = (Vec::new(), BTreeSet::new());
    for path in PATHS {
        let has = ours.fields(path);
        // A value that is null in one may be an object in the other.
        let is_there = |field: &str| {
            let base = field.trim_end_matches(EMPTY);
            has.iter().any(|it| it.starts_with(base) || field.starts_with(it.as_str()))
        };
        for field in theirs.fields(path).into_iter().filter(|field| !is_there(field)) {
            match LACKS.iter().find(|(part, _)| field.contains(part)) {
                Some((part, _)) => _ = known.insert(*part),
                None if SOMETIMES.iter().any(|part| field.contains(part)) => {}
                None => lacking.push(format!("{path}: {field}")),
            }
        }
    }
    assert!(lacking.is_empty(), "{} fields are missing:\n{}", lacking.len(), lacking.join("\n"));
    let stale: Vec<_> = LACKS.iter().filter(|(part, _)| !known.contains(part)).collect();
    assert!(stale.is_empty(), "these are there now: {stale:?}");
}
