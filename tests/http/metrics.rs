//! The lines that dashboards need.

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
