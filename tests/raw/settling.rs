//! Ack, nack, reject, recover; where requeued messages go; how many may be outstanding.

crate::transcripts! {
    acknowledged_messages_are_gone: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.get queue=$q
        a1> basic.ack delivery-tag=1
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1> basic.get queue=$q
        a1< basic.get-empty
    ";
    acknowledging_twice: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1> basic.ack delivery-tag=1
        a1> basic.ack delivery-tag=1
        a1! 406 basic.ack unknown delivery tag 1
    ";
    unknown_tags: "
        a1> basic.ack delivery-tag=1
        a1! 406 basic.ack unknown delivery tag 1
        a1> basic.nack delivery-tag=9 requeue
        a1! 406 basic.nack unknown delivery tag 9
        a1> basic.reject delivery-tag=2
        a1! 406 basic.reject unknown delivery tag 2
        a1> basic.ack delivery-tag=3 multiple
        a1! 406 basic.ack unknown delivery tag 3
        a1> basic.nack delivery-tag=4 multiple
        a1! 406 basic.nack unknown delivery tag 4
        a1> basic.ack delivery-tag=0
        a1! 406 basic.ack unknown delivery tag 0
        a1> basic.ack delivery-tag=18446744073709551615
        a1! 406 basic.ack unknown delivery tag 18446744073709551615
    ";
    nothing_outstanding_is_all_settled: "
        a1> basic.ack delivery-tag=0 multiple
        a1> basic.nack delivery-tag=0 multiple requeue
        a1> basic.qos
        a1< basic.qos-ok
    ";
    no_ack_deliveries_are_settled: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q no-ack consumer-tag=t
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1> basic.ack delivery-tag=1
        a1! 406 basic.ack unknown delivery tag 1
    ";
    tags_belong_to_their_channel: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a2> basic.ack delivery-tag=1
        a2! 406 basic.ack unknown delivery tag 1
        a1> basic.ack delivery-tag=1
        a1> basic.qos
        a1< basic.qos-ok
    ";
    multiple_settles_all_up_to_the_tag: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$p body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.publish routing-key=$q body=4
        a1> basic.get queue=$q
        a1> basic.get queue=$p
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1< basic.get-ok delivery-tag=3 body=3
        a1< basic.get-ok delivery-tag=4 body=4
        a1> basic.ack delivery-tag=3 multiple
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1> basic.get queue=$p
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1< basic.get-empty
        a1< basic.get-ok delivery-tag=1 redelivered body=4
        a1< basic.get-empty
    ";
    multiple_with_zero_settles_all: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.ack delivery-tag=0 multiple
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1> basic.recover requeue
        a1< basic.recover-ok
        a1> basic.get queue=$q
        a1< basic.get-empty
    ";
    rejected_messages_are_gone_or_back: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.reject delivery-tag=1
        a1> basic.reject delivery-tag=2 requeue
        a1> basic.get queue=$q
        a1> basic.nack delivery-tag=3
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 message-count=1 body=1
        a1< basic.get-ok delivery-tag=2 message-count=0 body=2
        a1< basic.get-ok delivery-tag=3 redelivered message-count=0 body=2
        a1< basic.get-empty
    ";
    requeued_messages_go_back_to_their_place: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.publish routing-key=$q body=4
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1< basic.get-ok delivery-tag=3 body=3
        a1> basic.nack delivery-tag=3 requeue
        a1> basic.nack delivery-tag=1 requeue
        a1> basic.get queue=$q no-ack
        a1> basic.nack delivery-tag=2 requeue
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok delivery-tag=4 redelivered message-count=2 body=1
        a1< basic.get-ok delivery-tag=5 redelivered message-count=2 body=2
        a1< basic.get-ok delivery-tag=6 redelivered message-count=1 body=3
        a1< basic.get-ok delivery-tag=7 message-count=0 body=4
    ";
    several_keep_their_order: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.nack delivery-tag=3 multiple requeue
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1< basic.get-ok delivery-tag=3 body=3
        a1< basic.get-ok delivery-tag=4 redelivered body=1
        a1< basic.get-ok delivery-tag=5 redelivered body=2
        a1< basic.get-ok delivery-tag=6 redelivered body=3
    ";
    closing_the_channel_requeues: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=t delivery-tag=2 body=2
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1> basic.consume queue=$q consumer-tag=t
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 redelivered body=1
        a1< basic.deliver consumer-tag=t delivery-tag=2 redelivered body=2
    ";
    refusing_the_channel_requeues: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1> basic.ack delivery-tag=7
        a1! 406 basic.ack unknown delivery tag 7
        b1~ basic.get queue=$q => basic.get-ok redelivered body=1
    ";
    a_vanished_consumer_loses_nothing: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b1> basic.publish routing-key=$q body=1
        b1> basic.publish routing-key=$q body=2
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=t delivery-tag=2 body=2
        b1> basic.consume queue=$q consumer-tag=t
        b1< basic.consume-ok consumer-tag=t
        a1> basic.ack delivery-tag=1
        a1> basic.qos
        a1< basic.qos-ok
        a: drop
        b1< basic.deliver consumer-tag=t delivery-tag=1 redelivered body=2
        b1> basic.publish routing-key=$q body=3
        b1< basic.deliver consumer-tag=t delivery-tag=2 body=3
    ";
    cancelling_leaves_what_was_delivered: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1> basic.cancel consumer-tag=t
        a1< basic.cancel-ok consumer-tag=t
        a1> basic.get queue=$q
        a1< basic.get-empty
        a1> basic.ack delivery-tag=1
        a1> basic.qos
        a1< basic.qos-ok
    ";
    recover_requeues_everything: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.recover requeue
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.recover-async requeue
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1< basic.recover-ok
        a1< basic.get-ok delivery-tag=3 redelivered body=1
        a1< basic.get-ok delivery-tag=4 redelivered body=2
        a1< basic.get-ok delivery-tag=5 redelivered message-count=1 body=1
    ";
    recover_redelivers_to_a_consumer: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1> basic.recover requeue
        a1< basic.recover-ok
        a1< basic.deliver consumer-tag=t delivery-tag=2 redelivered body=1
        a1> basic.ack delivery-tag=1
        a1! 406 basic.ack unknown delivery tag 1
    ";
    recover_without_requeue: "
        a1> basic.recover
        a! 540 basic.recover requeue=false
    ";
    recover_async_without_requeue: "
        a1> basic.recover-async
        a! 540 basic.recover-async requeue=false
    ";
    prefetch_size: "
        a1> basic.qos prefetch-size=1000
        a! 540 basic.qos prefetch_size!=0 (1000)
    ";
    prefetch_of_each_consumer: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.publish routing-key=$q body=4
        a1> basic.publish routing-key=$q body=5
        a1> basic.qos prefetch-count=2
        a1> basic.consume queue=$q consumer-tag=two
        a1< queue.declare-ok queue=$q
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=two
        a1< basic.deliver consumer-tag=two delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=two delivery-tag=2 body=2
        a1> basic.qos prefetch-count=1
        a1> basic.consume queue=$q consumer-tag=one
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=one
        a1< basic.deliver consumer-tag=one delivery-tag=3 body=3
        a1> basic.qos
        a1< basic.qos-ok
        a1> basic.ack delivery-tag=1
        a1< basic.deliver consumer-tag=two delivery-tag=4 body=4
        a1> basic.ack delivery-tag=3
        a1< basic.deliver consumer-tag=one delivery-tag=5 body=5
    ";
    prefetch_of_the_channel: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.qos prefetch-count=2 global
        a1> basic.consume queue=$q consumer-tag=one
        a1< queue.declare-ok queue=$q
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=one
        a1< basic.deliver consumer-tag=one delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=one delivery-tag=2 body=2
        a1> basic.consume queue=$q consumer-tag=two
        a1< basic.consume-ok consumer-tag=two
        a1> basic.qos
        a1< basic.qos-ok
        a1> basic.ack delivery-tag=1
        a1< basic.deliver delivery-tag=3 body=3
    ";
    get_is_not_counted: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.qos prefetch-count=1
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.qos-ok
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=3 body=3
    ";
    no_ack_consumers_have_no_limit: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.qos prefetch-count=1
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=t delivery-tag=2 body=2
    ";
    rejecting_makes_room: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.qos prefetch-count=1
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a1> basic.reject delivery-tag=1 requeue
        a1< basic.deliver consumer-tag=t delivery-tag=2 redelivered body=1
        a1> basic.reject delivery-tag=2
        a1< basic.deliver consumer-tag=t delivery-tag=3 body=2
    ";
    a_vanished_consumer_with_a_thousand_messages: &super::thousand_requeued();
}

/// All of them come back, in their order and marked as redelivered; every tenth had been acknowledged.
fn thousand_requeued() -> String {
    let lines = |line: &dyn Fn(usize) -> String| (1..=1000).map(line).collect::<String>();
    let publishes = lines(&|number| format!("b1> basic.publish routing-key=$q body={number}\n"));
    let deliveries = lines(&|number| format!("a1< basic.deliver delivery-tag={number} body={number}\n"));
    let acks: String = (10..=1000).step_by(10).map(|number| format!("a1> basic.ack delivery-tag={number}\n")).collect();
    let left = (1..=1000).filter(|number| number % 10 != 0);
    let line = |(tag, number)| format!("c1< basic.deliver delivery-tag={tag} redelivered body={number}\n");
    let redeliveries: String = (1..).zip(left).map(line).collect();
    format!(
        "a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok
        a1< basic.consume-ok
        {publishes}{deliveries}{acks}
        a1> basic.qos
        a1< basic.qos-ok
        a: drop
        c1> basic.consume queue=$q consumer-tag=t
        c1< basic.consume-ok
        {redeliveries}"
    )
}
