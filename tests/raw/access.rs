//! Who may do what: the walk over the table operation x resource x right, with users who have every right but the one that is needed;
//! topic permissions, virtual hosts, limits, policies; and that all of it survives a restart.
//!
//! Users come by a definitions file at start, in RabbitMQ's format. These are tests of our program only, whatever `LEVERET_AMQP` says: other
//! brokers have no such users.

use std::fs;
use std::path::PathBuf;

use harness::{Broker, SHARD_COUNTS, target_dir, unique};

/// Users with one right missing each and one without any (password `secret`, digested as RabbitMQ does); what they need to be refused by; a
/// user with restricted keys, one with limits, one without a permission, one whose patterns are the two usual ones; a limited virtual
/// host; policies.
const DEFINITIONS: &str = r#"{
  "rabbit_version": "3.13.7",
  "users": [
    {"name": "guest", "password": "guest", "tags": ["administrator"]},
    {"name": "no-configure", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []},
    {"name": "no-write", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""},
    {"name": "no-read", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []},
    {"name": "no-right", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []},
    {"name": "nowhere", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []},
    {"name": "topical", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["impersonator"]},
    {"name": "patterned", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []},
    {"name": "limited", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [],
     "limits": {"max-connections": 2, "max-channels": 3}},
    {"name": "shut-out", "password_hash": "DIGEST", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [],
     "limits": {"max-connections": 0}},
    {"name": "mute", "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": []}
  ],
  "vhosts": [
    {"name": "/", "limits": []},
    {"name": "small", "limits": {"max-connections": 1, "max-queues": 1}},
    {"name": "modern", "metadata": {"default_queue_type": "quorum"}}
  ],
  "permissions": [
    {"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "guest", "vhost": "small", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "guest", "vhost": "modern", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "no-configure", "vhost": "/", "configure": "", "write": ".*", "read": ".*"},
    {"user": "no-write", "vhost": "/", "configure": ".*", "write": "^$", "read": ".*"},
    {"user": "no-read", "vhost": "/", "configure": ".*", "write": ".*", "read": ""},
    {"user": "no-right", "vhost": "/", "configure": "", "write": "", "read": ""},
    {"user": "topical", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "patterned", "vhost": "/", "configure": "^mine", "write": "^(?!theirs).*", "read": "mine$"},
    {"user": "limited", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "shut-out", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "mute", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
  ],
  "topic_permissions": [
    {"user": "topical", "vhost": "/", "exchange": "topic", "write": "^{username}\\.", "read": "^news\\."},
    {"user": "topical", "vhost": "/", "exchange": "fanout", "write": "", "read": ""}
  ],
  "parameters": [
    {"vhost": "/", "component": "operator_policy", "name": "bound",
     "value": {"pattern": "^bounded", "definition": {"max-length": 2}, "priority": 0, "apply-to": "queues"}}
  ],
  "policies": [
    {"vhost": "/", "name": "one", "pattern": "^(bounded|short)", "apply-to": "queues", "priority": 1,
     "definition": {"max-length": 1, "ha-mode": "all"}},
    {"vhost": "/", "name": "many", "pattern": "^bounded", "apply-to": "all", "priority": 2, "definition": {"max-length": 9}},
    {"vhost": "/", "name": "fallback", "pattern": "^strict", "apply-to": "exchanges", "definition": {"alternate-exchange": "fanout"}}
  ],
  "exchanges": [
    {"vhost": "/", "name": "direct", "type": "direct", "durable": true, "auto_delete": false, "arguments": {}},
    {"vhost": "/", "name": "fanout", "type": "fanout", "durable": true, "auto_delete": false, "arguments": {}},
    {"vhost": "/", "name": "topic", "type": "topic", "durable": true, "auto_delete": false, "arguments": {}}
  ],
  "queues": [
    {"vhost": "/", "name": "queue", "durable": true, "auto_delete": false, "arguments": {}},
    {"vhost": "/", "name": "sink", "durable": true, "auto_delete": false, "arguments": {}}
  ],
  "bindings": [
    {"vhost": "/", "source": "fanout", "destination": "sink", "destination_type": "queue", "routing_key": "", "arguments": {}}
  ]
}"#;

/// Salt 01020304 and the SHA-256 of it and `secret`.
const DIGEST: &str = "AQIDBDB9kM21iEUzN1lZ+6VReCsdNqS0sERdAQTcY6Xs3PMz";

/// A definitions file that is removed at the end.
struct Definitions(PathBuf);

impl Definitions {
    fn write() -> Definitions {
        let path = target_dir().join("tmp").join(format!("{}.json", unique("definitions")));
        let folder = path.parent().expect("it is in a folder");
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
        fs::write(&path, DEFINITIONS.replace("DIGEST", DIGEST))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        Definitions(path)
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Plays the scripts against a broker of each shard count, that has all of [`DEFINITIONS`].
fn check(scripts: &[&str]) {
    let definitions = Definitions::write();
    for shards in SHARD_COUNTS {
        let setting = format!("load_definitions={}", definitions.0.display());
        let broker = Broker::start_ours_with(shards, &[&setting]);
        let _log = broker.log_on_failure();
        scripts.iter().for_each(|script| harness::wire::play(&broker, script));
    }
}

#[test]
fn without_configure_nothing_is_made_or_deleted() {
    check(&["
        a: open user=no-configure password=secret
        a1> exchange.declare exchange=new type=direct
        a1! 403 exchange.declare configure access to exchange 'new' in vhost '/' refused for user 'no-configure'
        a1> exchange.declare exchange=direct type=direct durable
        a1! 403 exchange.declare configure access to exchange 'direct' in vhost '/' refused for user 'no-configure'
        a1> exchange.delete exchange=direct
        a1! 403 exchange.delete configure access to exchange 'direct' in vhost '/' refused for user 'no-configure'
        a1> exchange.delete exchange=not-there
        a1! 403 exchange.delete configure access to exchange 'not-there' in vhost '/' refused for user 'no-configure'
        a1> queue.declare queue=new
        a1! 403 queue.declare configure access to queue 'new' in vhost '/' refused for user 'no-configure'
        a1> queue.declare queue=queue durable
        a1! 403 queue.declare configure access to queue 'queue' in vhost '/' refused for user 'no-configure'
        a1> queue.delete queue=queue
        a1! 403 queue.delete configure access to queue 'queue' in vhost '/' refused for user 'no-configure'
        a1> queue.delete queue=not-there
        a1! 403 queue.delete configure access to queue 'not-there' in vhost '/' refused for user 'no-configure'
        -- everything else is allowed
        a1> exchange.declare exchange=direct passive
        a1< exchange.declare-ok
        a1> queue.declare queue=queue passive
        a1< queue.declare-ok queue=queue
        a1> exchange.bind source=direct destination=topic routing-key=k
        a1< exchange.bind-ok
        a1> exchange.unbind source=direct destination=topic routing-key=k
        a1< exchange.unbind-ok
        a1> queue.bind queue=queue exchange=direct routing-key=k
        a1< queue.bind-ok
        a1> basic.publish exchange=direct routing-key=k body=x
        a1> basic.publish exchange=\"\" routing-key=queue body=y
        a1~ basic.get queue=queue no-ack => basic.get-ok body=x
        a1> basic.consume queue=queue no-ack consumer-tag=c
        a1< basic.consume-ok
        a1< basic.deliver body=y
        a1> basic.cancel consumer-tag=c
        a1< basic.cancel-ok
        a1> queue.purge queue=queue
        a1< queue.purge-ok
        a1> queue.unbind queue=queue exchange=direct routing-key=k
        a1< queue.unbind-ok
        -- what makes no sense is refused for that
        a1> exchange.declare exchange=new type=nonsense
        a1! 406 exchange.declare unknown exchange type 'nonsense'
        a1> queue.declare queue=amq.new
        a1! 403 queue.declare queue name 'amq.new' contains reserved prefix 'amq.*'
    "]);
}

#[test]
fn without_write_nothing_is_put_in() {
    check(&["
        a: open user=no-write password=secret
        a1> basic.publish exchange=direct routing-key=k body=x
        a1! 403 basic.publish write access to exchange 'direct' in vhost '/' refused for user 'no-write'
        a1> basic.publish exchange=\"\" routing-key=queue body=x
        a1! 403 basic.publish write access to exchange 'amq.default' in vhost '/' refused for user 'no-write'
        a1> basic.publish exchange=not-there routing-key=k body=x
        a1! 403 basic.publish write access to exchange 'not-there' in vhost '/' refused for user 'no-write'
        a1> exchange.bind source=direct destination=topic
        a1! 403 exchange.bind write access to exchange 'topic' in vhost '/' refused for user 'no-write'
        a1> exchange.unbind source=direct destination=topic
        a1! 403 exchange.unbind write access to exchange 'topic' in vhost '/' refused for user 'no-write'
        a1> queue.bind queue=queue exchange=direct
        a1! 403 queue.bind write access to queue 'queue' in vhost '/' refused for user 'no-write'
        a1> queue.unbind queue=queue exchange=direct
        a1! 403 queue.unbind write access to queue 'queue' in vhost '/' refused for user 'no-write'
        a1> exchange.declare exchange=with-alternate type=direct arguments={alternate-exchange=S:fanout}
        a1! 403 exchange.declare write access to exchange 'fanout' in vhost '/' refused for user 'no-write'
        a1> queue.declare queue=with-target arguments={x-dead-letter-exchange=S:direct}
        a1! 403 queue.declare write access to exchange 'direct' in vhost '/' refused for user 'no-write'
        a1> queue.declare queue=with-target arguments={x-dead-letter-exchange=S:}
        a1! 403 queue.declare write access to exchange 'amq.default' in vhost '/' refused for user 'no-write'
        -- a transaction is checked when it is published to, not when it is committed
        a1> tx.select
        a1< tx.select-ok
        a1> basic.publish exchange=direct routing-key=k body=x
        a1! 403 basic.publish write access to exchange 'direct' in vhost '/' refused for user 'no-write'
        -- everything else is allowed
        a1> exchange.declare exchange=$x type=direct auto-delete
        a1< exchange.declare-ok
        a1> exchange.delete exchange=$x
        a1< exchange.delete-ok
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a1> queue.declare exclusive
        a1< queue.declare-ok queue~amq.gen-
        a1> basic.get queue=$q
        a1< basic.get-empty
        a1> queue.purge queue=$q
        a1< queue.purge-ok
        a1> queue.delete queue=$q
        a1< queue.delete-ok
    "]);
}

#[test]
fn without_read_nothing_is_taken_out() {
    check(&["
        a: open user=no-read password=secret
        a1> basic.get queue=queue
        a1! 403 basic.get read access to queue 'queue' in vhost '/' refused for user 'no-read'
        a1> basic.get queue=not-there
        a1! 403 basic.get read access to queue 'not-there' in vhost '/' refused for user 'no-read'
        a1> basic.consume queue=queue
        a1! 403 basic.consume read access to queue 'queue' in vhost '/' refused for user 'no-read'
        a1> queue.purge queue=queue
        a1! 403 queue.purge read access to queue 'queue' in vhost '/' refused for user 'no-read'
        a1> exchange.bind source=direct destination=topic
        a1! 403 exchange.bind read access to exchange 'direct' in vhost '/' refused for user 'no-read'
        a1> exchange.unbind source=direct destination=topic
        a1! 403 exchange.unbind read access to exchange 'direct' in vhost '/' refused for user 'no-read'
        a1> queue.bind queue=queue exchange=direct
        a1! 403 queue.bind read access to exchange 'direct' in vhost '/' refused for user 'no-read'
        a1> queue.unbind queue=queue exchange=direct
        a1! 403 queue.unbind read access to exchange 'direct' in vhost '/' refused for user 'no-read'
        a1> exchange.declare exchange=with-alternate type=direct arguments={alternate-exchange=S:fanout}
        a1! 403 exchange.declare read access to exchange 'with-alternate' in vhost '/' refused for user 'no-read'
        a1> queue.declare queue=with-target arguments={x-dead-letter-exchange=S:direct}
        a1! 403 queue.declare read access to queue 'with-target' in vhost '/' refused for user 'no-read'
        -- everything else is allowed
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.publish exchange=\"\" routing-key=$q body=x
        a1: confirmed 1
        a1> queue.delete queue=$q
        a1< queue.delete-ok message-count=1
    "]);
}

#[test]
fn passive_declares_need_any_right_and_some_things_none() {
    check(&["
        a: open user=no-right password=secret
        a1> queue.declare queue=queue passive
        a1! 403 queue.declare configure access to queue 'queue' in vhost '/' refused for user 'no-right'
        a1> exchange.declare exchange=direct passive
        a1! 403 exchange.declare configure access to exchange 'direct' in vhost '/' refused for user 'no-right'
        a1> basic.qos prefetch-count=1
        a1< basic.qos-ok
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.cancel consumer-tag=none
        a1< basic.cancel-ok consumer-tag=none
        a1> basic.recover requeue
        a1< basic.recover-ok
        b: open user=no-write password=secret
        b1> queue.declare queue=queue passive
        b1< queue.declare-ok queue=queue
        c: open user=no-read password=secret
        c1> exchange.declare exchange=direct passive
        c1< exchange.declare-ok
    "]);
}

#[test]
fn patterns_are_regular_expressions_on_names() {
    check(&[
        "
        a: open user=patterned password=secret
        a1> queue.declare queue=mine-mine exclusive
        a1< queue.declare-ok queue=mine-mine
        a1> queue.declare queue=not-mine exclusive
        a1! 403 queue.declare configure access to queue 'not-mine' in vhost '/' refused for user 'patterned'
        a1> queue.declare exclusive
        a1< channel.close reply-code=403 reply-text~\"ACCESS_REFUSED - configure access to queue 'amq.gen-\"
        a1>> channel.close-ok
    ",
        "
        a: open user=patterned password=secret
        a1> basic.publish exchange=theirs routing-key=k body=x
        a1! 403 basic.publish write access to exchange 'theirs' in vhost '/' refused for user 'patterned'
        a1> basic.publish exchange=direct routing-key=k body=x
        a1> basic.get queue=queue
        a1! 403 basic.get read access to queue 'queue' in vhost '/' refused for user 'patterned'
    ",
    ]);
}

#[test]
fn topic_permissions_hold_for_keys_of_topic_exchanges() {
    check(&["
        a: open user=topical password=secret
        a1> basic.publish exchange=topic routing-key=topical.x body=x
        a1> basic.publish exchange=topic routing-key=other.x body=x
        a1! 403 basic.publish write access to topic 'other.x' in exchange 'topic' in vhost '/' refused for user 'topical'
        a1> basic.publish exchange=topic routing-key=topical.x headers={CC=A:[S:other.y]} body=x
        a1! 403 basic.publish write access to topic 'other.y' in exchange 'topic' in vhost '/' refused for user 'topical'
        a1> queue.bind queue=queue exchange=topic routing-key=news.today
        a1< queue.bind-ok
        a1> queue.unbind queue=queue exchange=topic routing-key=news.today
        a1< queue.unbind-ok
        a1> queue.bind queue=queue exchange=topic routing-key=#
        a1! 403 queue.bind read access to topic '#' in exchange 'topic' in vhost '/' refused for user 'topical'
        a1> exchange.bind source=topic destination=direct routing-key=old.news
        a1! 403 exchange.bind read access to topic 'old.news' in exchange 'topic' in vhost '/' refused for user 'topical'
        -- not a topic exchange: no restriction
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.publish exchange=fanout routing-key=anything user-id=somebody body=x
        a1: confirmed 1
        a1> queue.purge queue=sink
        a1< queue.purge-ok
    "]);
}

#[test]
fn virtual_hosts_want_a_permission_and_logins_a_password() {
    let open = |user: &str, password: &str, vhost: &str, answer: &str| {
        format!(
            "a: raw
             a: bytes \"AMQP\" 0000 0901
             a0< connection.start
             a0> connection.start-ok client-properties={{capabilities=F:{{authentication_failure_close=t:true}}}} mechanism=PLAIN response=\"\\0{user}\\0{password}\" locale=en_US
             {}
             {answer}",
            match vhost {
                "" => String::new(),
                vhost => format!(
                    "a0< connection.tune
                     a0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
                     a0> connection.open virtual-host={vhost}"
                ),
            }
        )
    };
    let refused =
        "a! 403 - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    check(&[
        &open("nowhere", "secret", "/", "a! 530 connection.open access to vhost '/' refused for user 'nowhere'"),
        &open(
            "no-read",
            "secret",
            "small",
            "a! 530 connection.open access to vhost 'small' refused for user 'no-read'",
        ),
        &open("no-read", "secret", "none", "a! 530 connection.open vhost none not found"),
        &open("no-read", "wrong", "", refused),
        &open("nobody", "secret", "", refused),
        &open("mute", "secret", "", refused),
        &open("guest", "guest", "/", "a0< connection.open-ok"),
    ]);
}

#[test]
fn limits_of_users_and_virtual_hosts_hold_over_all_shards() {
    let third = "
             c: raw
             c: bytes \"AMQP\" 0000 0901
             c0< connection.start
             c0> connection.start-ok mechanism=PLAIN response=\"\\0limited\\0secret\" locale=en_US
             c0< connection.tune
             c0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
             c0> connection.open virtual-host=/
             c! 530 connection.open connection refused for user 'limited': user connection limit (2) is reached";
    check(&[
        &format!(
            "a: open user=limited password=secret
             b: open user=limited password=secret
             {third}
             a: close
             d: open user=limited password=secret
             d1> basic.qos
             d1< basic.qos-ok
             d2> basic.qos
             d2< basic.qos-ok
             b1> basic.qos
             b1< basic.qos-ok
             d1> channel.close
             d1< channel.close-ok
             d3> basic.qos
             d3< basic.qos-ok
             b2>> channel.open
             b! 530 channel.open number of channels opened for user 'limited' has reached the maximum allowed user limit of (3)
             e: open user=limited password=secret
             e1> basic.qos
             e1< basic.qos-ok"
        ),
        "a: raw
         a: bytes \"AMQP\" 0000 0901
         a0< connection.start
         a0> connection.start-ok mechanism=PLAIN response=\"\\0shut-out\\0secret\" locale=en_US
         a0< connection.tune
         a0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
         a0> connection.open virtual-host=/
         a! 530 connection.open connection refused for user 'shut-out': user connection limit (0) is reached",
        "a: open vhost=small
         b: raw
         b: bytes \"AMQP\" 0000 0901
         b0< connection.start
         b0> connection.start-ok mechanism=PLAIN response=\"\\0guest\\0guest\" locale=en_US
         b0< connection.tune
         b0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
         b0> connection.open virtual-host=small
         b! 530 connection.open access to vhost 'small' refused for user 'guest': connection limit (1) is reached
         a1> queue.declare queue=first exclusive
         a1< queue.declare-ok queue=first
         a1> queue.declare queue=second exclusive
         a1! 406 queue.declare cannot declare queue 'second': queue limit in vhost 'small' (1) is reached",
    ]);
}

#[test]
fn policies_hold_for_what_matches() {
    check(&["
        a1> queue.declare queue=short exclusive
        a1< queue.declare-ok queue=short
        a1> queue.declare queue=bounded exclusive
        a1< queue.declare-ok queue=bounded
        a1> queue.declare queue=bounded-less exclusive arguments={x-max-length=I:1}
        a1< queue.declare-ok queue=bounded-less
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.publish routing-key=short body=1
        a1> basic.publish routing-key=short body=2
        a1> basic.publish routing-key=bounded body=1
        a1> basic.publish routing-key=bounded body=2
        a1> basic.publish routing-key=bounded body=3
        a1> basic.publish routing-key=bounded-less body=1
        a1> basic.publish routing-key=bounded-less body=2
        a1: confirmed 7
        a1> queue.declare queue=short passive
        a1< queue.declare-ok queue=short message-count=1
        a1> queue.declare queue=bounded passive
        a1< queue.declare-ok queue=bounded message-count=2
        a1> queue.declare queue=bounded-less passive
        a1< queue.declare-ok queue=bounded-less message-count=1
        -- an alternate exchange by policy
        a1> exchange.declare exchange=strict type=direct auto-delete
        a1< exchange.declare-ok
        a2> confirm.select
        a2< confirm.select-ok
        a2> basic.publish exchange=strict routing-key=nobody mandatory body=x
        a2: confirmed 1
        a2> basic.get queue=sink no-ack
        a2< basic.get-ok body=x
        a2> exchange.delete exchange=strict
        a2< exchange.delete-ok
    ", "
        a: open vhost=modern
        a1> queue.declare queue=q durable
        a1< queue.declare-ok queue=q
        a1> queue.declare queue=q durable arguments={x-queue-type=S:quorum}
        a1< queue.declare-ok queue=q
        a1> queue.declare queue=mine exclusive
        a1< queue.declare-ok queue=mine
        a1> queue.declare queue=q durable arguments={x-queue-type=S:classic}
        a1! 406 queue.declare inequivalent arg 'x-queue-type' for queue 'q' in vhost 'modern': received 'classic' but current is 'quorum'
    "]);
}

#[test]
fn what_is_durable_survives_kills_restarts_and_other_numbers_of_shards() {
    let definitions = Definitions::write();
    let setting = format!("load_definitions={}", definitions.0.display());
    let mut broker = Broker::start_ours_with(2, &[&setting]);
    harness::wire::play(
        &broker,
        "
        a1> exchange.declare exchange=x type=topic durable arguments={alternate-exchange=S:fanout}
        a1< exchange.declare-ok
        a1> exchange.declare exchange=passing type=fanout
        a1< exchange.declare-ok
        a1> queue.declare queue=kept durable arguments={x-max-priority=B:5}
        a1< queue.declare-ok queue=kept
        b1> queue.declare queue=kept-too durable auto-delete
        b1< queue.declare-ok queue=kept-too
        a1> queue.declare queue=gone
        a1< queue.declare-ok queue=gone
        a1> queue.declare queue=deleted durable
        a1< queue.declare-ok queue=deleted
        a1> queue.bind queue=kept exchange=x routing-key=a.*
        a1< queue.bind-ok
        a1> queue.bind queue=kept-too exchange=x routing-key=b.#
        a1< queue.bind-ok
        a1> queue.bind queue=deleted exchange=x routing-key=a.*
        a1< queue.bind-ok
        a1> queue.bind queue=kept exchange=x routing-key=c
        a1< queue.bind-ok
        a1> queue.unbind queue=kept exchange=x routing-key=c
        a1< queue.unbind-ok
        a1> exchange.bind source=amq.direct destination=x routing-key=k
        a1< exchange.bind-ok
        a1> queue.delete queue=deleted
        a1< queue.delete-ok
        ",
    );
    for shards in [5, 1, 2] {
        if shards == 1 {
            broker.terminate();
            assert!(broker.await_end().success());
        } else {
            broker.kill();
        }
        broker = broker.restarted(shards);
        let _log = broker.log_on_failure();
        harness::wire::play(
            &broker,
            "
            a1> exchange.declare exchange=x type=topic durable arguments={alternate-exchange=S:fanout}
            a1< exchange.declare-ok
            a1> queue.declare queue=kept durable arguments={x-max-priority=I:5}
            a1< queue.declare-ok queue=kept message-count=0
            a1> queue.declare queue=kept-too durable auto-delete
            a1< queue.declare-ok queue=kept-too message-count=0
            a1> exchange.declare exchange=passing passive
            a1! 404 exchange.declare no exchange 'passing' in vhost '/'
            a1> queue.declare queue=gone passive
            a1! 404 queue.declare no queue 'gone' in vhost '/'
            a1> queue.declare queue=deleted passive
            a1! 404 queue.declare no queue 'deleted' in vhost '/'
            a1> confirm.select
            a1< confirm.select-ok
            a1> basic.publish exchange=x routing-key=a.b mandatory body=1
            a1> basic.publish exchange=x routing-key=b mandatory body=2
            a1> basic.publish exchange=x routing-key=c mandatory body=3
            a1: confirmed 3
            a1> basic.get queue=kept no-ack
            a1< basic.get-ok body=1 message-count=0
            a1> basic.get queue=kept-too no-ack
            a1< basic.get-ok body=2 message-count=0
            a1> basic.get queue=sink no-ack
            a1< basic.get-ok body=3 message-count=0
            b: open user=no-write password=secret
            b1> basic.publish exchange=x routing-key=k body=x
            b1! 403 basic.publish write access to exchange 'x' in vhost '/' refused for user 'no-write'
            ",
        );
    }
}

#[test]
fn the_first_start_makes_what_the_configuration_names_and_only_the_first() {
    let settings = ["default_user=root", "default_pass=canary-secret", "default_vhost=main", "loopback_users=none"];
    let mut broker = Broker::start_ours_with(1, &settings);
    for _ in 0..2 {
        let log = broker.log_on_failure();
        harness::wire::play(
            &broker,
            "
            a: open user=root password=canary-secret vhost=main
            a1> queue.declare queue=$q exclusive
            a1< queue.declare-ok queue=$q
            ",
        );
        drop(log);
        assert!(!broker.log_tail().contains("canary-secret"), "secrets are not logged");
        broker.kill();
        broker = broker.restarted(2);
    }
}

#[test]
fn a_data_directory_has_one_broker_and_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let broker = Broker::start_ours(1);
    let mut second = std::process::Command::new(harness::leveret());
    second.args(["serve", "--amqp", "127.0.0.1:0", "--http", "off", "--prometheus", "off", "--data-dir"]);
    second.arg(broker.data_dir());
    let output = second.output().unwrap_or_else(|error| panic!("cannot run leveret: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("is in use by another broker") && text.contains("--data-dir"), "{text}");
    let file = broker.data_dir().join("meta.redb");
    let mode = fs::metadata(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Asks the HTTP API as guest; answers the status.
fn http(broker: &Broker, method: &str, path: &str, body: &str) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(broker.http()).unwrap_or_else(|error| panic!("no HTTP: {error}"));
    let head = "Host: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("{method} /api/{path} HTTP/1.1\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{method} {path}: {answer}"))
}

/// What operators change holds for open connections too. A transcript has its connections for itself, so what is open meanwhile is
/// a client whose fate is told at the end of its own.
#[test]
fn changes_act_at_once_on_open_connections() {
    let definitions = Definitions::write();
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours_with(shards, &[&format!("load_definitions={}", definitions.0.display())]);
        let _log = broker.log_on_failure();
        let change = |method: &str, path: &str, body: &str| {
            let status = http(&broker, method, path, body);
            assert!((200..300).contains(&status), "{method} {path}: {status}");
        };
        let mut transcript = harness::wire::Transcript::new(&broker);
        transcript.play(
            "
            a: open user=no-configure password=secret
            a1> exchange.declare exchange=direct passive
            a1< exchange.declare-ok
            a2> basic.consume queue=queue consumer-tag=c no-ack
            a2< basic.consume-ok consumer-tag=c
            b: open user=topical password=secret
            b1> queue.declare queue=held exclusive
            b1< queue.declare-ok queue=held
            c: open vhost=modern
            c1> basic.qos
            c1< basic.qos-ok
            d1> queue.declare queue=live exclusive
            d1< queue.declare-ok queue=live
            d1> basic.publish routing-key=live body=1
            d1> basic.publish routing-key=live body=2
            d1~ queue.declare queue=live passive => queue.declare-ok message-count=2
            e: open user=limited password=secret
            e1> basic.qos
            e1< basic.qos-ok
            ",
        );
        change("PUT", "permissions/%2F/no-configure", r#"{"configure": ".*", "write": "", "read": ""}"#);
        change("PUT", "policies/%2F/live", r#"{"pattern": "^live$", "definition": {"max-length": 1}}"#);
        change("PUT", "user-limits/limited/max-channels", r#"{"value": 1}"#);
        transcript.play(
            "
            a1> exchange.declare exchange=$x type=direct auto-delete
            a1< exchange.declare-ok
            a1> basic.publish exchange=direct routing-key=k body=x
            a1! 403 basic.publish write access to exchange 'direct' in vhost '/' refused for user 'no-configure'
            -- a consumer lives on until the client is looked at anew
            a0> connection.update-secret new-secret=secret reason=rotation
            a2< basic.cancel consumer-tag=c nowait
            a0< connection.update-secret-ok
            d1> basic.get queue=live no-ack
            d1< basic.get-ok body=2 message-count=0
            e2>> channel.open
            e! 530 channel.open number of channels opened for user 'limited' has reached the maximum allowed user limit of (1)
            ",
        );
        change("DELETE", "permissions/%2F/no-configure", "");
        change("DELETE", "policies/%2F/live", "");
        change("DELETE", "users/topical", "");
        change("DELETE", "vhosts/modern", "");
        transcript.play(
            "
            a1> exchange.declare exchange=$y type=direct auto-delete
            a1! 403 exchange.declare configure access to exchange '$y' in vhost '/' refused for user 'no-configure'
            a0> connection.update-secret new-secret=wrong reason=rotation
            a! 530 connection.update-secret New secret was refused by one of the backends
            b! 320 - user 'topical' was deleted
            c! 320 - vhost 'modern' was deleted
            d1~ queue.declare queue=held passive => ! 404
            d1> basic.publish routing-key=live body=1
            d1> basic.publish routing-key=live body=2
            d1~ queue.declare queue=live passive => queue.declare-ok message-count=2
            ",
        );
        transcript.finish();
    }
}

#[test]
fn limits_of_the_whole_broker_hold_over_all_shards() {
    let settings = ["connection_max=2", "channel_max_per_node=2", "cluster_queue_limit=1", "cluster_exchange_limit=1"];
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours_with(shards, &settings);
        let _log = broker.log_on_failure();
        harness::wire::play(
            &broker,
            "
            a1> queue.declare queue=one exclusive
            a1< queue.declare-ok queue=one
            a1> queue.declare queue=two exclusive
            a1! 406 queue.declare cannot declare queue 'two': queue limit in cluster (1) is reached
            a1> queue.declare queue=one exclusive
            a1< queue.declare-ok queue=one
            a1> exchange.declare exchange=one type=direct auto-delete
            a1< exchange.declare-ok
            a1> exchange.declare exchange=two type=direct auto-delete
            a1! 406 exchange.declare cannot declare exchange 'two' in vhost '/': exchange limit of 1 is reached
            a1> basic.qos
            a1< basic.qos-ok
            b1> basic.qos
            b1< basic.qos-ok
            c: raw
            c: bytes \"AMQP\" 0000 0901
            c0< connection.start
            c0> connection.start-ok mechanism=PLAIN response=\"\\0guest\\0guest\" locale=en_US
            c0< connection.tune
            c0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
            c0> connection.open virtual-host=/
            c! 530 connection.open connection refused: node connection limit (2) is reached
            a: close
            b2> basic.qos
            b2< basic.qos-ok
            d: open
            ",
        );
    }
}
