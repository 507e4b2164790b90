//! Checks on publish, returns, confirms, and what does not go together with confirms.

crate::transcripts! {
    immediate: "
        a1> basic.publish exchange=amq.direct routing-key=k immediate
        a! 540 basic.publish immediate=true
    ";
    no_such_exchange: "
        a1> basic.publish exchange=$x routing-key=k body=b
        a1! 404 basic.publish no exchange '$x' in vhost '/'
    ";
    an_internal_exchange: "
        a1> exchange.declare exchange=$x type=fanout internal
        a1< exchange.declare-ok
        a1> basic.publish exchange=$x
        a1! 403 basic.publish cannot publish to internal exchange '$x' in vhost '/'
    ";
    bad_expirations: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q expiration=soon
        a1! 406 basic.publish invalid expiration 'soon': no_integer
        a1> basic.publish routing-key=$q expiration=10000foobar
        a1! 406 basic.publish invalid expiration '10000foobar': {leftover_string,"foobar"}
        a1> basic.publish routing-key=$q expiration=-10
        a1! 406 basic.publish invalid expiration '-10': {value_negative,-10}
        a1> basic.publish routing-key=$q expiration=315360000001
        a1! 406 basic.publish invalid expiration '315360000001': {value_too_large,315360000001}
        a1> basic.publish routing-key=$q expiration=""
        a1! 406 basic.publish invalid expiration '': no_integer
        a1> basic.publish routing-key=$q expiration=315360000000 body=fine
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=fine expiration=315360000000
    "#;
    bad_copies: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q headers={CC=I:1}
        a1! 406 basic.publish invalid message: {unacceptable_type_in_header,"CC",signedint}
        a1> basic.publish routing-key=$q headers={BCC=S:one}
        a1! 406 basic.publish invalid message: {unacceptable_type_in_header,"BCC",longstr}
    "#;
    the_user_id_of_somebody_else: "
        a1> basic.publish exchange=amq.direct routing-key=k user-id=somebody
        a1! 406 basic.publish user_id property set to 'somebody' but authenticated user was 'guest'
    ";
    refused_publishes_are_neither_returned_nor_confirmed: "
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.publish exchange=$x routing-key=k mandatory
        a1> basic.publish exchange=amq.direct routing-key=k mandatory
        a1! 404 basic.publish no exchange '$x' in vhost '/'
    ";
    unroutable_and_not_mandatory: "
        a1> basic.publish exchange=amq.direct routing-key=$nowhere body=lost
        a1> basic.qos
        a1< basic.qos-ok
    ";
    unroutable_and_mandatory: "
        a1> basic.publish exchange=amq.direct routing-key=$nowhere body=back mandatory message-id=m headers={a=I:1}
        a1< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=$nowhere body=back message-id=m headers={a=I:1}
    ";
    a_large_message_is_returned_whole: "
        a1> basic.publish routing-key=$nowhere body=@300000 mandatory
        a1< basic.return reply-code=312 routing-key=$nowhere body=@300000 frames=3
    ";
    mandatory_and_routed: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=b mandatory
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok body=b
    ";
    publishes_are_confirmed: "
        a1> queue.declare queue=$q
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1< basic.ack delivery-tag=1
        a1> basic.publish routing-key=$q body=2 delivery-mode=2
        a1< basic.ack delivery-tag=2
        a1> basic.publish routing-key=$nowhere body=3
        a1< basic.ack delivery-tag=3
    ";
    confirms_count_from_the_select: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=0
        a1> confirm.select
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1< confirm.select-ok
        a1< basic.ack delivery-tag=1
    ";
    confirm_select_without_wait: "
        a1> confirm.select nowait
        a1> basic.publish exchange=amq.direct routing-key=$nowhere
        a1< basic.ack delivery-tag=1
    ";
    each_channel_counts_for_itself: "
        a1> confirm.select
        a2> confirm.select
        a1> basic.publish exchange=amq.direct routing-key=$nowhere
        a2> basic.publish exchange=amq.direct routing-key=$nowhere
        a1< confirm.select-ok
        a2< confirm.select-ok
        a1< basic.ack delivery-tag=1
        a2< basic.ack delivery-tag=1
    ";
    the_return_comes_before_the_confirm: "
        a1> confirm.select
        a1< confirm.select-ok
        a1> basic.publish exchange=amq.direct routing-key=$nowhere mandatory body=1
        a1< basic.return reply-code=312 body=1
        a1< basic.ack delivery-tag=1
    ";
    many_publishes_each_confirmed_once: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p durable
        a1> queue.bind queue=$q exchange=amq.fanout
        a1> queue.unbind queue=$q exchange=amq.fanout
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$p body=2 delivery-mode=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.publish routing-key=$nowhere body=4
        a1> basic.publish routing-key=$p body=5 delivery-mode=2
        a1> basic.publish routing-key=$p body=6
        a1> basic.publish routing-key=$q body=7
        a1> basic.publish routing-key=$q body=8
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p
        a1< queue.bind-ok
        a1< queue.unbind-ok
        a1< confirm.select-ok
        a1: confirmed 8
        b1> queue.delete queue=$q
        b1> queue.delete queue=$p
        b1< queue.delete-ok message-count=4
        b1< queue.delete-ok message-count=3
    ";
    a_confirmed_message_is_there_for_everybody: "
        a1> queue.declare queue=$q
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1: confirmed 1
        b1> basic.get queue=$q no-ack
        b1< basic.get-ok body=1
    ";
    confirms_and_transactions_exclude_each_other: "
        a1> confirm.select
        a1< confirm.select-ok
        a1> tx.select
        a1! 406 tx.select cannot switch from confirm to tx mode
        a1> tx.select
        a1< tx.select-ok
        a1> confirm.select
        a1! 406 confirm.select cannot switch from tx to confirm mode
    ";
    committing_what_was_not_begun: "
        a1> tx.commit
        a1! 406 tx.commit channel is not transactional
        a1> tx.rollback
        a1! 406 tx.rollback channel is not transactional
    ";
    order_is_kept: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2 delivery-mode=2
        a1> basic.publish routing-key=$q body=3
        a1> basic.publish routing-key=$q body=4 delivery-mode=2
        a1> basic.publish routing-key=$q body=5
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver delivery-tag=1 body=1
        a1< basic.deliver delivery-tag=2 body=2
        a1< basic.deliver delivery-tag=3 body=3
        a1< basic.deliver delivery-tag=4 body=4
        a1< basic.deliver delivery-tag=5 body=5
    ";
    // 16 MiB since RabbitMQ 4; RabbitMQ 3 allows more.
    a_message_of_the_largest_size: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=@16777216
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=@16777216 frames=129
    ";
    a_message_that_is_too_large: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        [4] a1> basic.publish routing-key=$q body=@16777217
        [4] a1! 406 basic.publish message size 16777217 is larger than configured max size 16777216
        a1> basic.publish routing-key=$q body=fine
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=fine
    ";
    a_thousand_publishes_each_confirmed_once: &super::thousand_confirms();
}

/// To a transient and a durable queue in turn, some of them persistent.
fn thousand_confirms() -> String {
    let publish = |number: usize| {
        let queue = if number.is_multiple_of(2) { "q" } else { "p" };
        let mode = 1 + number % 3 / 2;
        format!("a1> basic.publish routing-key=${queue} delivery-mode={mode} body={number}\n")
    };
    let publishes: String = (1..=1000).map(publish).collect();
    format!(
        "a1> queue.declare queue=$q
        a1> queue.declare queue=$p durable
        a1> confirm.select
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1< confirm.select-ok
        {publishes}
        a1: confirmed 1000
        b1> queue.delete queue=$q
        b1> queue.delete queue=$p
        b1< queue.delete-ok message-count=500
        b1< queue.delete-ok message-count=500"
    )
}
