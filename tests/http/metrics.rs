//! The lines that dashboards need.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use harness::{Broker, unique};

use crate::client::{GUEST, request};

fn scrape(broker: &Broker, path: &str) -> String {
    let answer = request(broker.prometheus(), "", &format!("GET {path}"));
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    answer.body
}

#[test]
fn the_overview_dashboard_has_its_lines() {
    let lines = scrape(Broker::shared(2), "/metrics");
    let wanted = [
        "rabbitmq_identity_info{rabbitmq_node=\"",
        "rabbitmq_build_info{",
        "rabbitmq_queue_messages_ready ",
        "rabbitmq_queue_messages_unacked ",
        "rabbitmq_queues ",
        "rabbitmq_connections ",
        "rabbitmq_channels ",
        "rabbitmq_consumers ",
        "rabbitmq_connections_opened_total ",
        "rabbitmq_channels_closed_total ",
        "rabbitmq_queues_created_total ",
        "rabbitmq_erlang_uptime_seconds ",
        "rabbitmq_process_resident_memory_bytes ",
        "rabbitmq_resident_memory_limit_bytes ",
        "rabbitmq_disk_space_available_bytes ",
        "rabbitmq_process_max_fds ",
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"1e+06\"}",
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"+Inf\"}",
        "rabbitmq_global_messages_received_total{protocol=\"amqp091\"}",
        "rabbitmq_global_messages_delivered_consume_auto_ack_total{protocol=\"amqp091\",queue_type=\"rabbit_classic_queue\"}",
        "rabbitmq_global_publishers{protocol=\"amqp091\"}",
        "rabbitmq_alarms_memory_used_watermark 0",
    ];
    for line in wanted {
        assert!(lines.contains(&format!("\n{line}")), "no {line} in\n{lines}");
    }
}

/// What RabbitMQ's dashboards for Grafana ask for: the path that is scraped, labels by which they select or group, and the names.
#[rustfmt::skip]
const DASHBOARDS: &[(&str, &[&str], &[&str])] = &[
    // Overview: every panel joins with this.
    ("/metrics", &["rabbitmq_node", "rabbitmq_cluster", "rabbitmq_cluster_permanent_id", "rabbitmq_endpoint"], &["rabbitmq_identity_info"]),
    ("/metrics", &["rabbitmq_version", "erlang_version", "prometheus_plugin_version", "prometheus_client_version", "product_name", "product_version"], &["rabbitmq_build_info"]),
    ("/metrics", &[], &[
        "rabbitmq_queue_messages_ready", "rabbitmq_queue_messages_unacked", "rabbitmq_queues", "rabbitmq_connections", "rabbitmq_channels",
        "rabbitmq_consumers", "rabbitmq_queues_declared_total", "rabbitmq_queues_created_total", "rabbitmq_queues_deleted_total",
        "rabbitmq_channels_opened_total", "rabbitmq_channels_closed_total", "rabbitmq_connections_opened_total",
        "rabbitmq_connections_closed_total", "rabbitmq_erlang_uptime_seconds", "rabbitmq_resident_memory_limit_bytes",
        "rabbitmq_process_resident_memory_bytes", "rabbitmq_disk_space_available_bytes", "rabbitmq_disk_space_available_limit_bytes",
        "rabbitmq_process_max_fds", "rabbitmq_process_open_fds", "rabbitmq_process_max_tcp_sockets", "rabbitmq_process_open_tcp_sockets",
    ]),
    ("/metrics", &["protocol", "le"], &["rabbitmq_message_size_bytes_bucket"]),
    ("/metrics", &["protocol"], &[
        "rabbitmq_message_size_bytes_sum", "rabbitmq_message_size_bytes_count", "rabbitmq_global_messages_received_total",
        "rabbitmq_global_messages_received_confirm_total", "rabbitmq_global_messages_routed_total",
        "rabbitmq_global_messages_unroutable_dropped_total", "rabbitmq_global_messages_unroutable_returned_total",
        "rabbitmq_global_messages_confirmed_total", "rabbitmq_global_publishers", "rabbitmq_global_consumers",
    ]),
    ("/metrics", &["protocol", "queue_type"], &[
        "rabbitmq_global_messages_delivered_total", "rabbitmq_global_messages_delivered_consume_manual_ack_total",
        "rabbitmq_global_messages_delivered_consume_auto_ack_total", "rabbitmq_global_messages_delivered_get_manual_ack_total",
        "rabbitmq_global_messages_delivered_get_auto_ack_total", "rabbitmq_global_messages_get_empty_total",
        "rabbitmq_global_messages_redelivered_total", "rabbitmq_global_messages_acknowledged_total",
    ]),
    ("/metrics", &["queue_type", "dead_letter_strategy"], &[
        "rabbitmq_global_messages_dead_lettered_maxlen_total", "rabbitmq_global_messages_dead_lettered_expired_total",
        "rabbitmq_global_messages_dead_lettered_rejected_total", "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
        "rabbitmq_global_messages_dead_lettered_confirmed_total",
    ]),
    // Overview, as it came with RabbitMQ 3.8.
    ("/metrics", &[], &[
        "rabbitmq_channel_consumers", "rabbitmq_channel_messages_redelivered_total", "rabbitmq_channel_messages_delivered_total",
        "rabbitmq_channel_messages_delivered_ack_total", "rabbitmq_channel_get_total", "rabbitmq_channel_get_ack_total",
        "rabbitmq_channel_get_empty_total", "rabbitmq_channel_messages_published_total", "rabbitmq_channel_messages_confirmed_total",
        "rabbitmq_channel_messages_unroutable_dropped_total", "rabbitmq_channel_messages_unroutable_returned_total",
        "rabbitmq_channel_messages_acked_total", "rabbitmq_queue_messages_published_total",
    ]),
    // Queues one by one.
    ("/metrics/per-object", &["vhost", "queue"], &[
        "rabbitmq_queue_messages_ready", "rabbitmq_queue_messages_unacked", "rabbitmq_queue_messages", "rabbitmq_queue_consumers",
        "rabbitmq_queue_messages_bytes", "rabbitmq_queue_process_memory_bytes", "rabbitmq_queue_consumer_utilisation",
    ]),
    ("/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count&family=queue_delivery_metrics", &["vhost", "queue"], &[
        "rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_messages_unacked", "rabbitmq_detailed_queue_messages",
        "rabbitmq_detailed_queue_consumers", "rabbitmq_detailed_queue_messages_acked_total",
        "rabbitmq_detailed_queue_messages_delivered_total", "rabbitmq_detailed_queue_messages_redelivered_total",
    ]),
    // Raft, by the names since RabbitMQ 4.2 and those before.
    ("/metrics", &[], &[
        "rabbitmq_raft_term", "rabbitmq_raft_commit_index", "rabbitmq_raft_last_written_index", "rabbitmq_raft_snapshot_index",
        "rabbitmq_raft_commit_latency_seconds", "rabbitmq_raft_term_total", "rabbitmq_raft_log_commit_index",
        "rabbitmq_raft_log_last_applied_index", "rabbitmq_raft_log_last_written_index", "rabbitmq_raft_log_snapshot_index",
        "rabbitmq_raft_entry_commit_latency_seconds",
    ]),
];

#[test]
fn dashboards_find_every_name_with_its_labels() {
    let broker = Broker::start_ours(2);
    assert_eq!(request(broker.http(), GUEST, "PUT /api/queues/%2F/drawn {}").status, 201);
    for (path, labels, names) in DASHBOARDS {
        let text = scrape(&broker, path);
        let samples: Vec<(&str, &str, &str)> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
        for name in *names {
            let mut found = samples.iter().filter(|(known, ..)| known == name).peekable();
            assert!(found.peek().is_some(), "{path}: no {name}");
            for (_, has, _) in found {
                let missing = labels.iter().find(|label| !has.contains(&format!("{label}=\"")));
                assert_eq!(missing, None, "{path}: {name} has {has}");
            }
        }
    }
}

#[test]
fn objects_have_lines_of_their_own_where_they_are_asked_for() {
    let broker = Broker::shared(2);
    let queue = unique("metrics");
    assert_eq!(request(broker.http(), GUEST, &format!("PUT /api/queues/%2F/{queue} {{}}")).status, 201);
    let of_queue = format!("rabbitmq_queue_messages_ready{{vhost=\"/\",queue=\"{queue}\"}} 0");
    assert!(scrape(broker, "/metrics/per-object").contains(&of_queue));
    assert!(!scrape(broker, "/metrics").contains(&queue));
    let detailed = scrape(broker, "/metrics/detailed?family=queue_consumer_count&vhost=/");
    assert!(detailed.contains(&format!("rabbitmq_detailed_queue_consumers{{vhost=\"/\",queue=\"{queue}\"}} 0")));
    assert!(!detailed.contains("queue_messages_ready"));
    assert_eq!(request(broker.prometheus(), "", "GET /metrics/detailed?queue=(").status, 400);
    assert_eq!(request(broker.prometheus(), "", "GET /api/overview").status, 404);
}

/// Objects with hostile names, and every answer that there is with all its families.
fn all_answers(broker: &Broker) -> Vec<(&'static str, String)> {
    for name in ["plain", "quo%22te", "back%5Cslash", "new%0Aline", "%7Bbrace%7D%3D%2C", "%E4%BD%A0"] {
        let answer = request(broker.http(), GUEST, &format!("PUT /api/queues/%2F/metrics-{name} {{\"durable\":true}}"));
        assert!(matches!(answer.status, 201 | 204), "{name}: {}", answer.body);
    }
    let detailed = "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count&family=queue_metrics\
        &family=queue_delivery_metrics&family=node_coarse_metrics&family=node_metrics&family=node_persister_metrics\
        &family=channel_metrics&family=connection_metrics&family=connection_coarse_metrics&family=exchange_metrics\
        &family=vhost_status&family=exchange_bindings&family=exchange_names&family=ra_metrics\
        &family=auth_attempt_metrics&family=connection_churn_metrics&family=alarms";
    let paths = ["/metrics", "/metrics/per-object", detailed, "/metrics/memory-breakdown"];
    paths.map(|path| (path, scrape(broker, path))).into()
}

/// A sample's name, labels and value.
fn sample(line: &str) -> (&str, &str, &str) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    (name, labels, value)
}

/// Every quote that is open is closed, and nothing else is escaped than what may be.
fn check_labels(labels: &str) {
    let (mut is_inside, mut letters) = (false, labels.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_inside = !is_inside,
            '\\' => assert!(is_inside && matches!(letters.next(), Some('"' | '\\' | 'n')), "{labels}"),
            '}' if !is_inside => assert_eq!(letters.next(), None, "{labels}"),
            _ => {}
        }
    }
    assert!(!is_inside, "{labels}");
}

#[test]
fn every_answer_is_in_the_exposition_format() {
    for (path, text) in all_answers(Broker::shared(1)) {
        let (mut families, mut series) = (HashSet::new(), HashSet::new());
        let (mut family, mut kind) = (String::new(), String::new());
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                // In RabbitMQ's order.
                ["#", "TYPE", name, of] => {
                    assert!(families.insert(name.to_owned()), "{path}: {name} comes twice");
                    assert!(["counter", "gauge", "histogram", "untyped"].contains(&of), "{path}: {line}");
                    (family, kind) = (name.to_owned(), of.to_owned());
                }
                ["#", "HELP", name, _] => assert_eq!(name, family, "{path}: {line}"),
                _ => {
                    let (name, labels, value) = sample(line);
                    let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                    let is_of_family = name == family || (kind == "histogram" && base == Some(&family));
                    assert!(is_of_family && !kind.is_empty(), "{path}: {line} after {family}");
                    assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{path}: {line}");
                    assert!(kind != "counter" || name.ends_with("_total"), "{path}: {line}");
                    check_labels(labels);
                    assert!(series.insert(format!("{name}{{{labels}")), "{path}: {line} comes twice");
                }
            }
        }
        assert!(series.len() > 20 || path.contains("memory"), "{path}: {}", series.len());
    }
}

/// Prometheus' own reader, where it is installed.
#[test]
fn promtool_has_nothing_to_say() {
    for (path, text) in all_answers(Broker::shared(1)) {
        let command =
            Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut promtool) = command else {
            println!("promtool is not installed here: nobody else reads the metrics");
            return;
        };
        let mut input = promtool.stdin.take().expect("it was asked for");
        input.write_all(text.as_bytes()).expect("promtool reads");
        drop(input);
        let output = promtool.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{path}: {said}");
    }
}
