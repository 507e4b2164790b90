//! Definitions there and back: what we export a real RabbitMQ imports, and what it exports then is for us what we had.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use harness::{Broker, Rabbit};
use serde_json::{Map, Value, json};

use crate::client::{GUEST, request};

/// Everything that definitions have, with the odd things of each, as far as RabbitMQ 3 knows it.
fn everything() -> Value {
    let host = "odd host/\u{fc}";
    json!({
        "rabbit_version": "3.10.8",
        "users": [
            {"name": "sha256", "password_hash": "AAAAAOy5u+1Sx/iz9wIIKD+6XYKqEbLKbiX0Wl1wHnYlfV4P", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["management", "own-tag"], "limits": {"max-connections": 3, "max-channels": 5}},
            {"name": "sha512", "password_hash": "AAAAAPdWb+m/eQO2MCkIwgSVSkhfhfgHqGPpuZFLdVn7EMpZqVYAUk6SfYp+ZsJZ9cUkuUBgfw1z5hJ3MA8ERKAHxpE=", "hashing_algorithm": "rabbit_password_hashing_sha512", "tags": [], "limits": {}},
            {"name": "md5", "password_hash": "AAAAAAmPa80hzUWv2cPOsyiK6PI=", "hashing_algorithm": "rabbit_password_hashing_md5", "tags": ["monitoring"], "limits": {}},
            {"name": "no password", "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["administrator"], "limits": {}}
        ],
        "vhosts": [
            {"name": "/"},
            {"name": host, "description": "described", "tags": ["one", "two"], "limits": [], "metadata": {"description": "described", "tags": ["one", "two"]}}
        ],
        "permissions": [
            {"user": "sha256", "vhost": host, "configure": "^a\\.", "write": ".*", "read": ""},
            {"user": "md5", "vhost": "/", "configure": "", "write": "^(?!amq\\.).*", "read": ".*"}
        ],
        "topic_permissions": [
            {"user": "sha256", "vhost": host, "exchange": "amq.topic", "write": "^{username}\\.", "read": "^{vhost}"},
            {"user": "sha256", "vhost": host, "exchange": "", "write": ".*", "read": ".*"}
        ],
        "parameters": [
            {"vhost": host, "component": "vhost-limits", "name": "limits", "value": {"max-connections": 10, "max-queues": 1000}},
            {"vhost": host, "component": "operator_policy", "name": "guard", "value": {"pattern": ".*", "apply-to": "queues", "priority": 1, "definition": {"max-length": 5000, "expires": 3_600_000}}}
        ],
        "global_parameters": [
            {"name": "mine", "value": {"list": [1, -2, "x", true], "text": "", "deep": {"a": {"b": 1}}}}
        ],
        "policies": [
            {"vhost": host, "name": "ttl", "pattern": "^q", "apply-to": "queues", "priority": 0, "definition": {"message-ttl": 60000, "dead-letter-exchange": "x.fanout", "dead-letter-routing-key": ""}},
            {"vhost": host, "name": "alternate", "pattern": "", "apply-to": "exchanges", "priority": -5, "definition": {"alternate-exchange": "amq.fanout"}},
            {"vhost": "/", "name": "all", "pattern": "^all", "apply-to": "all", "priority": 100, "definition": {"max-length-bytes": 1_000_000, "overflow": "reject-publish"}}
        ],
        "exchanges": [
            {"name": "x.fanout", "vhost": host, "type": "fanout", "durable": true, "auto_delete": false, "internal": false, "arguments": {}},
            {"name": "x.headers", "vhost": host, "type": "headers", "durable": true, "auto_delete": true, "internal": false, "arguments": {"alternate-exchange": "x.fanout"}},
            {"name": "x.topic", "vhost": host, "type": "topic", "durable": true, "auto_delete": false, "internal": true, "arguments": {}},
            {"name": "x.hash", "vhost": host, "type": "x-consistent-hash", "durable": true, "auto_delete": false, "internal": false, "arguments": {"hash-header": "h"}}
        ],
        "queues": [
            {"name": "q \u{1f407}", "vhost": host, "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "classic", "x-max-length": 10, "x-max-priority": 5, "x-overflow": "drop-head"}},
            {"name": "q.plain", "vhost": host, "durable": true, "auto_delete": true, "arguments": {}},
            {"name": "q.quorum", "vhost": host, "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 4}},
            {"name": "s", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "stream", "x-max-age": "1h", "x-max-length-bytes": 100_000_000}}
        ],
        "bindings": [
            {"source": "x.fanout", "vhost": host, "destination": "q.plain", "destination_type": "queue", "routing_key": "", "arguments": {}},
            {"source": "x.fanout", "vhost": host, "destination": "x.topic", "destination_type": "exchange", "routing_key": "k", "arguments": {}},
            {"source": "x.topic", "vhost": host, "destination": "q \u{1f407}", "destination_type": "queue", "routing_key": "a.*.#", "arguments": {"empty": ""}},
            {"source": "x.headers", "vhost": host, "destination": "q.plain", "destination_type": "queue", "routing_key": "ignored", "arguments": {"x-match": "any", "n": -1, "big": 1_234_567_890_123_i64, "yes": true, "no": false, "text": "t\u{fc}"}},
            {"source": "x.headers", "vhost": host, "destination": "q.plain", "destination_type": "queue", "routing_key": "", "arguments": {"x-match": "all", "half": 1.5, "list": [1, "two", [3]], "table": {"a": {"b": 0}}, "nothing": {}, "empty": []}},
            {"source": "x.hash", "vhost": host, "destination": "q.quorum", "destination_type": "queue", "routing_key": "2", "arguments": {}},
            {"source": "amq.topic", "vhost": "/", "destination": "s", "destination_type": "queue", "routing_key": "#", "arguments": {}}
        ]
    })
}

const LISTS: [&str; 10] = [
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
];

fn import(to: SocketAddr, document: &Value) {
    let answer = request(to, GUEST, &format!("POST /api/definitions {document}"));
    assert!(matches!(answer.status, 200 | 201 | 204), "{to}: {} {}", answer.status, answer.body);
}

fn export(from: SocketAddr) -> Value {
    let answer = request(from, GUEST, "GET /api/definitions");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("an export is JSON")
}

/// What must be the same, by list and in an order of its own.
fn facts(document: &Value) -> BTreeMap<&'static str, Vec<String>> {
    let of = |list: &'static str| {
        let items = document[list].as_array().unwrap_or_else(|| panic!("there is no list '{list}'"));
        let mut facts: Vec<String> = items.iter().filter_map(|item| fact(list, item)).collect();
        facts.sort();
        (list, facts)
    };
    LISTS.into_iter().map(of).collect()
}

/// An item without what only one of the two brokers writes; `None` for what every broker has of its own.
fn fact(list: &str, item: &Value) -> Option<String> {
    let mut item: Map<String, Value> = item.as_object().expect("an item is an object").clone();
    let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    match list {
        // Each has an identity of its own, and users that were there before.
        "global_parameters" if name != "mine" => return None,
        "users" if name == "guest" => return None,
        "permissions" if item["user"] == "guest" => return None,
        // RabbitMQ 3 exports nothing else of them; limits are parameters there.
        "vhosts" => return Some(name),
        // Part of the arguments in RabbitMQ 3.
        "queues" => _ = item.remove("type"),
        _ => {}
    }
    Some(Value::Object(item).to_string())
}

#[test]
fn definitions_come_back_from_rabbitmq_as_they_went() {
    // One of its own: what is imported there would show in other tests.
    let Some(rabbit) = Rabbit::find() else {
        println!("no RabbitMQ is installed here: nothing to compare with");
        return;
    };
    let Some(theirs) = rabbit.http() else {
        println!("LEVERET_RABBITMQ names a broker whose HTTP API is not known: nothing to compare with");
        return;
    };
    let (first, second) = (Broker::start_ours(2), Broker::start_ours(1));
    import(first.http(), &everything());
    let went = export(first.http());
    import(theirs, &went);
    let there = export(theirs);
    import(second.http(), &there);
    let back = export(second.http());
    for list in LISTS {
        let (wanted, of_all) = (&everything()[list], facts(&went));
        assert!(of_all[list].len() >= wanted.as_array().map_or(0, Vec::len), "{list}: all of it was imported");
        assert_eq!(facts(&there)[list], of_all[list], "{list}: as RabbitMQ exports them");
        assert_eq!(facts(&back)[list], of_all[list], "{list}: as they came back");
    }
    // What came back is the same in every detail that is ours, too.
    for list in ["users", "permissions", "topic_permissions", "policies", "exchanges", "queues", "bindings"] {
        let of = |document: &Value| {
            let mut items: Vec<String> =
                document[list].as_array().into_iter().flatten().map(Value::to_string).collect();
            items.retain(|item| !item.contains("\"guest\""));
            items.sort();
            items
        };
        assert_eq!(of(&back), of(&went), "{list}");
    }
    // Once more changes nothing, on either side.
    import(second.http(), &there);
    assert_eq!(facts(&export(second.http())), facts(&back));
    import(theirs, &back);
    assert_eq!(facts(&export(theirs)), facts(&there));
}

/// RabbitMQ 3 exports nulls in arguments and refuses to import them ("null_not_allowed"), so these go between brokers of ours alone, as a
/// RabbitMQ 4 writes them.
#[test]
fn what_only_newer_ones_write_comes_back_too() {
    let newer = json!({
        "rabbit_version": "4.2.0", "rabbitmq_version": "4.2.0", "product_name": "RabbitMQ", "product_version": "4.2.0",
        "rabbitmq_definition_format": "cluster", "original_cluster_name": "rabbit@there", "explanation": "by hand",
        "users": [],
        "vhosts": [{"name": "h", "description": "d", "tags": ["t"], "metadata": {"description": "d", "tags": ["t"], "default_queue_type": "quorum"}, "limits": {"max-queues": 7}}],
        "queues": [
            {"name": "q", "vhost": "h", "type": "quorum", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
            {"name": "c", "vhost": "h", "type": "classic", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "classic"}}
        ],
        "exchanges": [],
        "bindings": [
            {"source": "amq.headers", "vhost": "h", "destination": "q", "destination_type": "queue", "routing_key": "", "arguments": {"x-match": "all", "none": null, "deep": {"none": [null]}}},
            {"source": "amq.headers", "vhost": "h", "destination": "q", "destination_type": "queue", "routing_key": "", "arguments": {"x-match": "any-with-x", "x-a": "", "f": -0.25}}
        ]
    });
    let (first, second) = (Broker::start_ours(1), Broker::start_ours(1));
    import(first.http(), &newer);
    let went = export(first.http());
    import(second.http(), &went);
    let back = export(second.http());
    for list in ["vhosts", "queues", "bindings"] {
        let of_host = |document: &Value| {
            let items = document[list].as_array().expect("a list").iter();
            let mut items: Vec<Value> =
                items.filter(|item| item["vhost"] == "h" || item["name"] == "h").cloned().collect();
            items.sort_by_key(Value::to_string);
            items
        };
        assert_eq!(of_host(&back), of_host(&went), "{list}");
        for wanted in newer[list].as_array().expect("a list") {
            let has = |item: &Value| wanted.as_object().into_iter().flatten().all(|(key, value)| item[key] == *value);
            assert!(of_host(&back).iter().any(has), "{list}: {wanted} is not among {back}");
        }
    }
}
