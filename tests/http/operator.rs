//! The command line against a running broker, as a program of its own.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Broker, leveret, patience, target_dir, unique};

use crate::client::{GUEST, request};

/// Runs a command on the broker of a data directory; gives its exit code and what it printed.
pub(crate) fn ctl(broker: &Broker, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(leveret());
    command.arg("ctl").args(words).arg("--data-dir").arg(broker.data_dir()).stdin(Stdio::null());
    let output = command.output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

fn check(broker: &Broker, words: &str, code: i32, text: &str) {
    let (found, printed) = ctl(broker, &words.split(' ').collect::<Vec<_>>());
    assert_eq!(found, code, "{words}: {printed}");
    assert!(printed.contains(text), "{words}: no {text:?} in {printed}");
}

fn status(broker: &Broker, path: &str) -> u16 {
    request(broker.http(), GUEST, &format!("GET {path}")).status
}

#[test]
fn the_broker_is_stopped_reset_and_started() {
    let broker = Broker::start_ours(2);
    let made = request(broker.http(), GUEST, "PUT /api/queues/%2F/q {\"durable\":true}");
    assert_eq!(made.status, 201);
    check(&broker, "add_user u p", 0, "Adding user \"u\"");
    check(&broker, "add_vhost v", 0, "Adding vhost \"v\"");
    check(&broker, "enable_vhost_deletion_protection v", 0, "");
    check(&broker, "reset", 64, "stop_app");
    check(&broker, "check_running", 0, "fully booted and running");
    let listens = format!("/api/health/checks/port-listener/{}", broker.address().port());
    assert_eq!(status(&broker, &listens), 200);

    check(&broker, "stop_app", 0, "Stopping rabbit application on node");
    assert!(TcpStream::connect(broker.address()).is_err(), "nobody listens for AMQP");
    assert_eq!((status(&broker, &listens), status(&broker, "/api/health/checks/is-in-service")), (503, 503));
    check(&broker, "check_running", 69, "is not running");
    check(&broker, "is_running", 0, "is not running");
    check(&broker, "list_queues -q", 0, "q");
    check(&broker, "reset", 0, "Resetting node");
    check(&broker, "start_app", 0, "Starting node");
    assert!(TcpStream::connect(broker.address()).is_ok(), "it listens again");
    assert_eq!(status(&broker, "/api/health/checks/is-in-service"), 200);
    check(&broker, "list_queues -s", 0, "");
    assert_eq!(status(&broker, "/api/queues/%2F/q"), 404);
    assert_eq!((status(&broker, "/api/users/u"), status(&broker, "/api/vhosts/v")), (404, 404));

    check(&broker, "drain", 0, "maintenance mode");
    assert!(TcpStream::connect(broker.address()).is_err());
    assert!(request(broker.http(), GUEST, "GET /api/nodes").body.contains("\"being_drained\":true"));
    check(&broker, "revive", 0, "regular operating mode");
    assert!(TcpStream::connect(broker.address()).is_ok());

    // All of that lasts.
    let broker = {
        let mut broker = broker;
        broker.kill();
        broker.restarted(2)
    };
    assert_eq!((status(&broker, "/api/queues/%2F/q"), status(&broker, "/api/whoami")), (404, 200));
}

#[test]
fn limits_of_alarms_act_at_once() {
    let broker = Broker::start_ours(1);
    check(&broker, "set_vm_memory_high_watermark 0.5", 0, "Setting memory threshold");
    check(&broker, "set_vm_memory_high_watermark absolute 4GB", 0, "to 4GB");
    check(&broker, "set_vm_memory_high_watermark much", 69, "much");
    check(&broker, "set_vm_memory_high_watermark", 64, "a share of the memory");
    check(&broker, "set_disk_free_limit 900TB", 0, "Setting disk free limit");
    let until = Instant::now() + patience();
    while status(&broker, "/api/health/checks/local-alarms") != 503 {
        assert!(Instant::now() < until, "the disk has less than 900 TB free");
        std::thread::yield_now();
    }
    check(&broker, "check_local_alarms", 69, "alarms");
    check(&broker, "node_health_check", 69, "alarms");
    check(&broker, "set_disk_free_limit 1MB", 0, "");
}

#[test]
fn every_command_answers() {
    let broker = Broker::start_ours(1);
    for kind in ["classic", "quorum", "stream"] {
        let body = format!("{{\"durable\":true,\"arguments\":{{\"x-queue-type\":\"{kind}\"}}}}");
        assert_eq!(request(broker.http(), GUEST, &format!("PUT /api/queues/%2F/{kind} {body}")).status, 201);
    }
    let publish = "POST /api/exchanges/%2F/amq.default/publish {\"properties\":{},\"routing_key\":\"classic\",\
                   \"payload\":\"hello\",\"payload_encoding\":\"string\"}";
    assert_eq!(request(broker.http(), GUEST, publish).status, 200);
    let commands = [
        ("status", 0, "Listeners"),
        ("ping", 0, "Ping succeeded"),
        ("await_startup", 0, ""),
        ("wait", 0, ""),
        ("version", 0, ""),
        ("environment", 0, "(hidden)"),
        ("cluster_status", 0, "Running Nodes"),
        ("report", 0, "Reporting server status"),
        ("list_users", 0, "guest\t[administrator]"),
        ("list_vhosts name tracing", 0, "/\tfalse"),
        ("list_permissions", 0, "guest\t.*\t.*\t.*"),
        ("list_queues name messages type", 0, "classic\t1\tclassic"),
        ("list_exchanges", 0, "amq.topic\ttopic"),
        ("list_bindings", 0, "exchange\tclassic\tqueue\tclassic"),
        ("list_consumers", 0, ""),
        ("list_global_parameters", 0, "internal_cluster_id"),
        ("set_cluster_name c", 0, ""),
        ("enable_feature_flag all", 0, ""),
        ("list_feature_flags", 0, "enabled"),
        ("list_deprecated_features", 0, ""),
        ("check_alarms", 0, "no alarms"),
        ("check_virtual_hosts", 0, "as running"),
        ("check_certificate_expiration --within 1 --unit months", 0, "No certificates"),
        ("check_certificate_expiration --within 1 --unit fortnights", 69, "Time unit not recognised"),
        ("check_if_node_is_quorum_critical", 0, "no quorum queues"),
        ("check_if_node_is_mirror_sync_critical", 0, "no classic mirrored queues"),
        ("check_port_connectivity", 0, "Successfully connected"),
        ("node_health_check", 0, "Health check passed"),
        ("memory_breakdown", 0, "queue_procs"),
        ("message_size_stats", 0, "0 B to 100 B"),
        ("listeners", 0, "amqp"),
        ("cipher_suites", 0, "TLS_AES_256_GCM_SHA384"),
        ("tls_versions", 0, "tlsv1.3"),
        ("log_location", 0, "<stderr>"),
        ("log_tail", 69, "standard error"),
        ("rotate_logs", 69, "standard error"),
        ("peek classic 1", 0, "payload\thello"),
        ("peek classic 2", 69, "No message"),
        ("peek none 1", 65, "no queue 'none'"),
        ("quorum_status quorum", 0, "leader"),
        ("quorum_status classic", 69, "Cannot get quorum status of a classic queue"),
        ("stream_status stream", 0, "leader"),
        ("rebalance all", 0, "Number of quorum queues"),
        ("await_online_quorum_plus_one", 0, "does not apply"),
        ("post_upgrade", 0, "Executing"),
        ("force_boot", 0, ""),
        ("join_cluster rabbit@other", 69, "one node"),
        ("forget_cluster_node rabbit@other", 69, "one node"),
        ("grow rabbit@other all", 69, "one node"),
        ("encode x y", 69, "not encrypted"),
        ("list_hashes", 69, "not encrypted"),
        ("eval 1.", 64, "not written in Erlang"),
        ("consume_event_stream", 69, "amq.rabbitmq.event"),
        ("trace_on", 0, "enabled"),
        ("trace_off", 0, "disabled"),
        ("no_such_command", 2, ""),
    ];
    for (words, code, text) in commands {
        check(&broker, words, code, text);
    }
}

#[test]
fn a_command_is_quick() {
    let broker = Broker::start_ours(1);
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let started = Instant::now();
        check(&broker, "list_queues", 0, "");
        quickest = quickest.min(started.elapsed());
    }
    // 30 ms of a release build on a quiet machine; this one is neither.
    assert!(quickest < Duration::from_millis(300), "{quickest:?}");
}

#[test]
fn a_link_makes_it_the_program_of_that_name() {
    let broker = Broker::shared(1);
    let directory = target_dir().join("tmp").join(unique("links"));
    fs::create_dir_all(&directory).expect("a directory");
    for name in ["rabbitmqctl", "leveretctl", "lavinmqctl", "rabbitmq-diagnostics", "rabbitmq-queues"] {
        let link = directory.join(name);
        symlink(leveret(), &link).expect("a link");
        let output = Command::new(&link).args(["list_users", "--data-dir"]).arg(broker.data_dir()).output();
        let output = output.expect("the link runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && printed.contains("guest\t[administrator]"), "{name}: {printed}");
    }
    fs::remove_dir_all(directory).expect("it is there");
}
