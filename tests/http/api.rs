//! Requests and their answers, one after the other.

use harness::wire::Transcript;
use harness::{Broker, unique};

use crate::client::{GUEST, request};
use crate::security::base64;

/// Plays lines `METHOD PATH [BODY] => STATUS [TEXT]`: the answer has that status and contains that text. `$` makes names unique.
fn play(broker: &Broker, script: &str) {
    let mark = unique("http");
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = line.replace('$', &mark);
        let (said, expected) = line.split_once(" => ").unwrap_or_else(|| panic!("no expectation: {line}"));
        let (status, text) = expected.split_once(' ').unwrap_or((expected, ""));
        let answer = request(broker.http(), GUEST, said);
        assert_eq!(answer.status.to_string(), status, "{line}\n{}\n{}", answer.head, answer.body);
        let whole = format!("{}\n{}", answer.head, answer.body);
        assert!(whole.contains(text), "{line}\n{whole}");
    }
}

fn check(script: &str) {
    for shards in [1, 2] {
        play(Broker::shared(shards), script);
    }
}

#[test]
fn queues_are_declared_once_and_deleted_once() {
    check(
        r#"
        PUT /api/queues/%2F/$q {"durable":true,"arguments":{"x-max-length":5}} => 201
        PUT /api/queues/%2F/$q {"durable":true,"arguments":{"x-max-length":5}} => 204
        PUT /api/queues/%2F/$q {"durable":false} => 400 inequivalent arg 'durable' for queue '$q' in vhost '/'
        GET /api/queues/%2F/$q => 200 "messages":0
        GET /api/queues?name=$q&page=1 => 200 "filtered_count":1
        GET /api/queues?name=$q&page=1&columns=name => 200 "items":[{"name":"$q"}]
        GET /api/queues?page=9999 => 400 page_out_of_range
        DELETE /api/queues/%2F/$q => 204
        DELETE /api/queues/%2F/$q => 404 Not Found
        GET /api/queues/%2F/$q => 404 Object Not Found
        GET /api/queues/nowhere => 404
        PUT /api/queues/%2F/amq.mine {} => 401 reserved prefix
        PUT /api/queues/%2F/$q [] => 400 JSON object
        PATCH /api/queues/%2F/$q => 405 allow: HEAD, GET, PUT, DELETE, OPTIONS
        OPTIONS /api/queues => 204 allow: HEAD, GET, OPTIONS
        "#,
    );
}

#[test]
fn exchanges_and_bindings() {
    check(
        r#"
        PUT /api/exchanges/%2F/$x {} => 400 key_missing: type
        PUT /api/exchanges/%2F/$x {"type":"topic"} => 201
        PUT /api/queues/%2F/$q {} => 201
        POST /api/bindings/%2F/e/$x/q/$q {"routing_key":"a.#","arguments":{}} => 201 location: /api/bindings/%2F/e/$x/q/$q/a.%2523
        GET /api/bindings/%2F/e/$x/q/$q => 200 "properties_key":"a.%23"
        GET /api/exchanges/%2F/$x/bindings/source => 200 "routing_key":"a.#"
        GET /api/queues/%2F/$q/bindings => 200 "source":""
        POST /api/explain/%2F/$x {"routing_key":"a.b"} => 200 the pattern 'a.#' matches the routing key 'a.b'
        POST /api/explain/%2F/$x {"routing_key":"b"} => 200 "routed":false
        DELETE /api/bindings/%2F/e/$x/q/$q/a.%2523 => 204
        DELETE /api/bindings/%2F/e/$x/q/$q/a.%2523 => 404
        DELETE /api/exchanges/%2F/$x => 204
        DELETE /api/queues/%2F/$q => 204
        DELETE /api/exchanges/%2F/amq.topic => 401
        "#,
    );
}

#[test]
fn messages_are_published_looked_at_and_got() {
    check(
        r#"
        PUT /api/queues/%2F/$q {} => 201
        POST /api/exchanges/%2F/amq.default/publish {"properties":{"headers":{"n":1}},"routing_key":"$q","payload":"one","payload_encoding":"string"} => 200 {"routed":true}
        POST /api/exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"$none","payload":"x","payload_encoding":"string"} => 200 {"routed":false}
        POST /api/exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"$q","payload":"!","payload_encoding":"base64"} => 400 not base64
        POST /api/exchanges/%2F/amq.default/publish {"properties":{"expiration":"x"},"routing_key":"$q","payload":"","payload_encoding":"string"} => 400 406 PRECONDITION_FAILED - invalid expiration
        POST /api/queues/%2F/$q/peek {"count":5} => 200 "redelivered":false
        GET /api/doctor/%2F/$q => 200 1 message waits and nobody consumes from the queue.
        POST /api/queues/%2F/$q/get {"count":1,"ackmode":"ack_requeue_true"} => 200 "payload":"one"
        POST /api/queues/%2F/$q/get {"count":1,"ackmode":"ack_requeue_false"} => 200 "redelivered":true
        POST /api/queues/%2F/$q/get {"count":1,"ackmode":"ack_requeue_false"} => 200 []
        DELETE /api/queues/%2F/$q/contents => 204
        DELETE /api/queues/%2F/$q => 204
        "#,
    );
}

#[test]
fn messages_are_moved() {
    check(
        r#"
        PUT /api/queues/%2F/$q {} => 201
        PUT /api/queues/%2F/$q.to {"arguments":{"x-max-length":3,"x-overflow":"reject-publish"}} => 201
        POST /api/exchanges/%2F/amq.default/publish {"properties":{"headers":{"n":1}},"routing_key":"$q","payload":"one","payload_encoding":"string"} => 200
        POST /api/exchanges/%2F/amq.default/publish {"properties":{},"routing_key":"$q","payload":"two","payload_encoding":"string"} => 200
        POST /api/queues/%2F/$q/move {"to":"$q.to"} => 400 key_missing: count
        POST /api/queues/%2F/$q/move {"to":"$q","count":1} => 400 to itself
        POST /api/queues/%2F/$q/move {"to":"$q.gone","count":1} => 404
        POST /api/queues/%2F/$q/move {"to":"$q.to","count":-1} => 400 count should be
        POST /api/queues/%2F/$q/move {"to":"$q.to","count":1} => 200 {"moved":1,"refused":false}
        POST /api/queues/%2F/$q/move {"to":"$q.to","count":100} => 200 {"moved":1,"refused":false}
        POST /api/queues/%2F/$q/move {"to":"$q.to","count":100} => 200 {"moved":0,"refused":false}
        POST /api/queues/%2F/$q.to/peek {"count":1} => 200 "headers":{"n":1}
        POST /api/queues/%2F/$q.to/move {"to":"$q","count":2} => 200 {"moved":2,"refused":false}
        POST /api/queues/%2F/$q/get {"count":1,"ackmode":"ack_requeue_false"} => 200 "payload":"one"
        DELETE /api/queues/%2F/$q => 204
        DELETE /api/queues/%2F/$q.to => 204
        "#,
    );
}

#[test]
fn vhosts_users_permissions_and_policies() {
    check(
        r#"
        PUT /api/vhosts/$v {"description":"d","tags":"a,b"} => 201
        GET /api/vhosts/$v => 200 "tags":["a","b"]
        PUT /api/users/$u {"password":"p","tags":"management"} => 201
        PUT /api/users/$u {"tags":""} => 204
        PUT /api/users/$u {"password":"p"} => 400 key_missing: tags
        PUT /api/permissions/$v/$u {"configure":".*","write":".*"} => 400 key_missing: read
        PUT /api/permissions/$v/$u {"configure":".*","write":".*","read":"("} => 400 regular expression
        PUT /api/permissions/$v/$u {"configure":".*","write":".*","read":".*"} => 201
        GET /api/users/$u/permissions => 200 "vhost":"$v"
        PUT /api/policies/$v/p {"pattern":"^q","definition":{"max-length":3},"apply-to":"queues"} => 201
        PUT /api/queues/$v/q {} => 201
        GET /api/queues/$v/q => 200 "policy":"p"
        PUT /api/policies/$v/p {"pattern":"^q","definition":{"max-length":"x"}} => 400 Validation failed
        PUT /api/vhost-limits/$v/max-queues {"value":1} => 204
        PUT /api/queues/$v/q2 {} => 400 queue limit
        GET /api/definitions/$v => 200 "rabbitmq_definition_format":"single_virtual_host"
        POST /api/vhosts/$v/deletion/protection => 204
        DELETE /api/vhosts/$v => 412 precondition_failed
        DELETE /api/vhosts/$v/deletion/protection => 204
        DELETE /api/vhosts/$v => 204
        DELETE /api/users/$u => 204
        DELETE /api/users/$u => 404
        "#,
    );
}

#[test]
fn passwords_are_kept_as_configured() {
    play(
        Broker::shared(1),
        r#"
        PUT /api/users/$u {"password":"p","tags":""} => 201
        GET /api/users/$u => 200 "hashing_algorithm":"rabbit_password_hashing_sha256"
        GET /api/users/guest => 200 "hashing_algorithm":"rabbit_password_hashing_sha256"
        "#,
    );
    let broker = Broker::start_ours_with(1, &["default_pass=not the known one"]);
    let login = format!("Basic {}", base64("guest:not the known one"));
    let answer = request(broker.http(), &login, "GET /api/users/guest");
    assert!(answer.body.contains("leveret_password_hashing_argon2id"), "{}", answer.body);
    let broker = Broker::start_ours_with(1, &["password_hashing_module=leveret_password_hashing_argon2id"]);
    play(
        &broker,
        r#"
        PUT /api/users/$u {"password":"p","tags":""} => 201
        GET /api/users/$u => 200 "hashing_algorithm":"leveret_password_hashing_argon2id"
        PUT /api/users/$u {"password":"p","tags":"","hashing_algorithm":"rabbit_password_hashing_sha512"} => 204
        GET /api/users/$u => 200 "hashing_algorithm":"rabbit_password_hashing_sha512"
        "#,
    );
}

#[test]
fn queues_without_a_type_get_the_configured_one() {
    let broker = Broker::start_ours_with(2, &["default_queue_type=quorum"]);
    play(
        &broker,
        r#"
        GET /api/overview?columns=default_queue_type => 200 "quorum"
        PUT /api/queues/%2F/a {"durable":true} => 201
        GET /api/queues/%2F/a => 200 "type":"quorum"
        PUT /api/queues/%2F/b {"durable":true,"arguments":{"x-queue-type":"classic"}} => 201
        GET /api/queues/%2F/b => 200 "type":"classic"
        PUT /api/queues/%2F/c {"durable":false} => 201
        GET /api/queues/%2F/c => 200 "type":"classic"
        PUT /api/vhosts/v {"default_queue_type":"stream"} => 201
        PUT /api/queues/v/d {"durable":true} => 201
        GET /api/queues/v/d => 200 "type":"stream"
        "#,
    );
}

#[test]
fn definitions_come_back() {
    let broker = Broker::shared(2);
    play(broker, "PUT /api/queues/%2F/$kept {\"durable\":true} => 201");
    let exported = request(broker.http(), GUEST, "GET /api/definitions");
    assert_eq!(exported.status, 200);
    let imported = request(broker.http(), GUEST, &format!("POST /api/definitions {}", exported.body));
    assert_eq!(imported.status, 204, "{}", imported.body);
    play(
        broker,
        r#"
        POST /api/definitions {"users":[{"name":"x"}]} => 400 users: 'x': key_missing: tags
        POST /api/definitions {"queues":[{"name":"x","vhost":"none"}]} => 400 virtual host 'none' does not exist
        POST /api/definitions {"queues":1} => 400 queues should be a list
        POST /api/definitions { => 400 not JSON
        "#,
    );
}

#[test]
fn the_rest_of_the_paths_answer() {
    check(
        r#"
        GET /api/overview => 200 "rabbitmq_version"
        GET /api/overview?columns=node => 200 {"node":"
        GET /api/whoami => 200 "administrator"
        GET /api/nodes => 200 "mem_used"
        GET /api/health/checks/alarms => 200 {"status":"ok"}
        GET /api/health/checks/port-listener/1 => 503 "missing":1
        GET /api/health/checks/protocol-listener/amqp091,http => 200 ok
        GET /api/health/checks/protocol-listener/mqtt => 503 mqtt
        GET /api/aliveness-test/%2F => 200 ok
        GET /api/feature-flags => 200 enabled
        GET /api/nothing => 404
        GET /api/index.html => 200 HTTP API
        GET / => 200 <script type="module" src="js/app.js">
        GET /js/app.js => 200 text/javascript
        GET /../Cargo.toml => 404
        GET /%2e%2e/Cargo.toml => 404
        HEAD /api/overview => 200 content-length
        "#,
    );
}

/// A virtual host has what its own clients published, also on channels that are closed.
#[test]
fn what_clients_did_is_counted_by_virtual_host() {
    let broker = Broker::start_ours(2);
    play(&broker, "PUT /api/vhosts/other => 201");
    let stats = |vhost: &str| {
        let shown = request(broker.http(), GUEST, &format!("GET /api/vhosts/{vhost}")).body;
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        let counts = ["publish", "confirm", "return_unroutable", "drop_unroutable"];
        counts.map(|name| shown["message_stats"][name].as_u64().unwrap_or(0))
    };
    let mut clients = Transcript::new(&broker);
    clients.play(
        "
        a: open heartbeat=0
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.publish exchange=amq.fanout body=dropped
        a1< basic.ack
        a1> basic.publish exchange=amq.fanout mandatory body=returned
        a1< basic.return reply-code=312 body=returned
        a1< basic.ack
        ",
    );
    assert_eq!((stats("%2F"), stats("other")), ([2, 2, 1, 1], [0; 4]));
    clients.play(
        "
        a1> channel.close
        a1< channel.close-ok
        ",
    );
    assert_eq!((stats("%2F"), stats("other")), ([2, 2, 1, 1], [0; 4]));
}
