//! Consumers and basic.get: what arrives, with which tags, in whose turn.
//!
//! RabbitMQ lets its queues answer basic.consume and basic.cancel, so replies to what is said behind those may overtake
//! consume-ok and cancel-ok. The transcripts wait for these before they go on, and do not care who is first.

crate::transcripts! {
    deliveries_are_numbered_on_their_channel: r#"
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> basic.consume queue=$q consumer-tag=one
        a1> basic.consume queue=$p consumer-tag=two no-ack
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p
        a1< basic.consume-ok consumer-tag=one
        a1< basic.consume-ok consumer-tag=two
        a2> basic.consume queue=$p consumer-tag=two
        a2< basic.consume-ok consumer-tag=two
        b1> basic.publish routing-key=$q body=1
        a1< basic.deliver consumer-tag=one delivery-tag=1 exchange="" routing-key=$q body=1
        b1> basic.publish routing-key=$p body=2
        a1< basic.deliver consumer-tag=two delivery-tag=2 exchange="" routing-key=$p body=2
        b1> basic.publish routing-key=$p body=3
        a2< basic.deliver consumer-tag=two delivery-tag=1 exchange="" routing-key=$p body=3
        b1> basic.publish routing-key=$q body=4
        a1< basic.deliver consumer-tag=one delivery-tag=3 exchange="" routing-key=$q body=4
    "#;
    get_takes_numbers_too: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 message-count=2 body=1
        a1< basic.get-ok delivery-tag=2 message-count=1 body=2
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=3 routing-key=$q body=3
        a1> basic.get queue=$q
        a1< basic.get-empty
    ";
    exchange_and_key_of_the_publish_are_told: "
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=amq.topic routing-key=wire.#
        a1> basic.publish exchange=amq.topic routing-key=wire.told body=x
        a1> basic.get queue=$q no-ack
        a1> queue.delete queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1< basic.get-ok delivery-tag=1 exchange=amq.topic routing-key=wire.told message-count=0 body=x
        a1< queue.delete-ok
    ";
    consuming_what_waits_already: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 routing-key=$q body=1
        a1< basic.deliver consumer-tag=t delivery-tag=2 routing-key=$q body=2
    ";
    an_empty_queue: r#"
        a1> queue.declare queue=$q
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-empty cluster-id=""
    "#;
    tags_of_the_broker: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q
        a1> basic.consume queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag~amq.ctag-
        a1< basic.consume-ok consumer-tag=$second
        a1> basic.cancel consumer-tag=$second
        a1< basic.cancel-ok consumer-tag=$second
        a1> queue.declare queue=$q passive
        a1< queue.declare-ok consumer-count=1
    ";
    consume_without_wait: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t nowait no-ack
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< basic.deliver consumer-tag=t delivery-tag=1 routing-key=$q body=1
        a1> basic.cancel consumer-tag=t nowait
        a1~ queue.declare queue=$q passive => queue.declare-ok consumer-count=0
    ";
    a_tag_is_used_once: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p
        a1< basic.consume-ok consumer-tag=t
        a1> basic.consume queue=$p consumer-tag=t
        a! 530 basic.consume attempt to reuse consumer tag 't'
    ";
    a_tag_is_free_after_cancelling: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1> basic.cancel consumer-tag=t
        a1< basic.cancel-ok consumer-tag=t
        a1> basic.consume queue=$q consumer-tag=t
        a1< basic.consume-ok consumer-tag=t
    ";
    cancelling_what_is_unknown: "
        a1> basic.cancel consumer-tag=unheard-of
        a1< basic.cancel-ok consumer-tag=unheard-of
    ";
    nothing_comes_after_cancel_ok: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1> basic.cancel consumer-tag=t
        a1< basic.cancel-ok consumer-tag=t
        a1> basic.publish routing-key=$q body=kept
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok delivery-tag=1 body=kept
    ";
    exclusive_consumers_tolerate_no_others: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t exclusive
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b1> basic.consume queue=$q consumer-tag=u
        b1! 403 basic.consume queue '$q' in vhost '/' in exclusive use
        b1> basic.consume queue=$q consumer-tag=u exclusive
        b1! 403 basic.consume queue '$q' in vhost '/' in exclusive use
        a2> basic.consume queue=$q consumer-tag=u
        a2! 403 basic.consume queue '$q' in vhost '/' in exclusive use
        a1> basic.cancel consumer-tag=t
        a1< basic.cancel-ok consumer-tag=t
        b1> basic.consume queue=$q consumer-tag=u exclusive
        b1< basic.consume-ok consumer-tag=u
    ";
    others_tolerate_no_exclusive_consumer: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a2> basic.consume queue=$q consumer-tag=u exclusive
        a2! 403 basic.consume queue '$q' in vhost '/' in exclusive use
    ";
    bad_priority: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.consume queue=$q arguments={x-priority=S:high}
        a1! 406 basic.consume invalid arg 'x-priority' for queue '$q' in vhost '/': "expected integer, got longstr"
        a1> basic.consume queue=$q arguments={x-priority=V:}
        a1! 406 basic.consume invalid arg 'x-priority' for queue '$q' in vhost '/': "expected integer, got void"
    "#;
    in_turn: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=one no-ack
        a1> basic.consume queue=$q consumer-tag=two no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        a1< basic.consume-ok consumer-tag=two
        b1> basic.publish routing-key=$q body=1
        b1> basic.publish routing-key=$q body=2
        b1> basic.publish routing-key=$q body=3
        b1> basic.publish routing-key=$q body=4
        a1< basic.deliver consumer-tag=one delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=two delivery-tag=2 body=2
        a1< basic.deliver consumer-tag=one delivery-tag=3 body=3
        a1< basic.deliver consumer-tag=two delivery-tag=4 body=4
    ";
    in_turn_across_connections: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=one no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        b1> basic.consume queue=$q consumer-tag=two no-ack
        b1< basic.consume-ok consumer-tag=two
        c1> basic.consume queue=$q consumer-tag=three no-ack
        c1< basic.consume-ok consumer-tag=three
        d1> basic.publish routing-key=$q body=1
        d1> basic.publish routing-key=$q body=2
        d1> basic.publish routing-key=$q body=3
        d1> basic.publish routing-key=$q body=4
        d1> basic.publish routing-key=$q body=5
        d1> basic.publish routing-key=$q body=6
        a1< basic.deliver consumer-tag=one delivery-tag=1 body=1
        b1< basic.deliver consumer-tag=two delivery-tag=1 body=2
        c1< basic.deliver consumer-tag=three delivery-tag=1 body=3
        a1< basic.deliver consumer-tag=one delivery-tag=2 body=4
        b1< basic.deliver consumer-tag=two delivery-tag=2 body=5
        c1< basic.deliver consumer-tag=three delivery-tag=2 body=6
    ";
    higher_priorities_first: "
        a1> queue.declare queue=$q
        a1> basic.qos prefetch-count=1
        a1> basic.consume queue=$q consumer-tag=low
        a1> basic.consume queue=$q consumer-tag=high arguments={x-priority=I:5}
        a1> basic.consume queue=$q consumer-tag=lowest arguments={x-priority=I:-1}
        a1< queue.declare-ok queue=$q
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=low
        a1< basic.consume-ok consumer-tag=high
        a1< basic.consume-ok consumer-tag=lowest
        b1> basic.publish routing-key=$q body=1
        b1> basic.publish routing-key=$q body=2
        b1> basic.publish routing-key=$q body=3
        a1< basic.deliver consumer-tag=high delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=low delivery-tag=2 body=2
        a1< basic.deliver consumer-tag=lowest delivery-tag=3 body=3
    ";
    direct_reply_to: r#"
        a1> basic.consume queue=amq.rabbitmq.reply-to no-ack consumer-tag=replies
        a1< basic.consume-ok consumer-tag=replies
        b1> queue.declare queue=$server
        b1> basic.consume queue=$server no-ack consumer-tag=requests
        b1< queue.declare-ok queue=$server
        b1< basic.consume-ok consumer-tag=requests
        a1> basic.publish routing-key=$server reply-to=amq.rabbitmq.reply-to correlation-id=7 body=question
        b1< basic.deliver consumer-tag=requests correlation-id=7 reply-to~amq.rabbitmq.reply-to. reply-to=$reply body=question
        b1> queue.declare queue=$reply passive
        b1< queue.declare-ok queue=$reply message-count=0 consumer-count=1
        b1> basic.publish routing-key=$reply correlation-id=7 body=answer
        a1< basic.deliver consumer-tag=replies delivery-tag=1 exchange="" routing-key=$reply correlation-id=7 body=answer
    "#;
    direct_reply_to_is_without_acknowledgement_and_once: "
        a1> basic.consume queue=amq.rabbitmq.reply-to
        a1! 406 basic.consume reply consumer cannot acknowledge
        a1> basic.consume queue=amq.rabbitmq.reply-to no-ack consumer-tag=t
        a1< basic.consume-ok consumer-tag=t
        a1> basic.consume queue=amq.rabbitmq.reply-to no-ack
        a1! 406 basic.consume reply consumer already set
        a1> basic.publish routing-key=anybody reply-to=amq.rabbitmq.reply-to
        a1! 406 basic.publish fast reply consumer does not exist
    ";
    get_beside_an_exclusive_consumer: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t exclusive
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b1> basic.get queue=$q
        b1< basic.get-empty
    ";
    one_active_consumer: "
        a1> queue.declare queue=$q arguments={x-single-active-consumer=t:true}
        a1> basic.consume queue=$q consumer-tag=first
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=first
        b1> basic.consume queue=$q consumer-tag=second
        b1< basic.consume-ok consumer-tag=second
        c1> basic.publish routing-key=$q body=1
        c1> basic.publish routing-key=$q body=2
        a1< basic.deliver consumer-tag=first delivery-tag=1 body=1
        a1< basic.deliver consumer-tag=first delivery-tag=2 body=2
        a1> basic.ack delivery-tag=1
        a1> basic.qos
        a1< basic.qos-ok
        a: drop
        b1< basic.deliver consumer-tag=second delivery-tag=1 redelivered body=2
        c1> basic.publish routing-key=$q body=3
        b1< basic.deliver consumer-tag=second delivery-tag=2 body=3
    ";
    the_next_becomes_active_when_the_first_is_cancelled: "
        a1> queue.declare queue=$q arguments={x-single-active-consumer=t:true}
        a1> basic.consume queue=$q consumer-tag=first
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=first
        a1> basic.consume queue=$q consumer-tag=second
        a1< basic.consume-ok consumer-tag=second
        c1> basic.publish routing-key=$q body=1
        a1< basic.deliver consumer-tag=first delivery-tag=1 body=1
        a1> basic.cancel consumer-tag=first
        a1< basic.cancel-ok consumer-tag=first
        c1> basic.publish routing-key=$q body=2
        a1< basic.deliver consumer-tag=second delivery-tag=2 body=2
    ";
    exclusive_beside_single_active: "
        a1> queue.declare queue=$q arguments={x-single-active-consumer=t:true}
        a1< queue.declare-ok queue=$q
        a1> basic.consume queue=$q exclusive
        a1! 403 basic.consume queue '$q' in vhost '/' in exclusive use
    ";
}

#[test]
fn as_many_consumers_as_a_channel_may_have() {
    if std::env::var_os("LEVERET_AMQP").is_some() {
        return; // the limit is a setting of ours here
    }
    let broker = harness::Broker::start_ours_with(2, &["consumer_max_per_channel=2"]);
    harness::wire::play(
        &broker,
        "
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1> basic.consume queue=$q consumer-tag=one
        a1< basic.consume-ok consumer-tag=one
        a1> basic.consume queue=$q consumer-tag=two
        a1< basic.consume-ok consumer-tag=two
        a1> basic.cancel consumer-tag=one
        a1< basic.cancel-ok consumer-tag=one
        a1> basic.consume queue=$q consumer-tag=three
        a1< basic.consume-ok consumer-tag=three
        a2> basic.consume queue=$q consumer-tag=one
        a2< basic.consume-ok consumer-tag=one
        a1> basic.consume queue=missing consumer-tag=four
        a! 530 basic.consume reached maximum (2) of consumers per channel
        ",
    );
}
