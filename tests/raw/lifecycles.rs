//! Queues that end with something else: their connection, their last consumer. And who is told.

crate::transcripts! {
    an_exclusive_queue_is_locked_for_others: "
        a1> queue.declare queue=$q exclusive
        a1> queue.bind queue=$q exchange=amq.direct routing-key=bound
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        b1> queue.declare queue=$q exclusive
        b1! 405 queue.declare cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> queue.declare queue=$q passive
        b1! 405 queue.declare cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> queue.bind queue=$q exchange=amq.direct
        b1! 405 queue.bind cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> queue.unbind queue=$q exchange=amq.direct routing-key=never-bound
        b1< queue.unbind-ok
        b1> queue.unbind queue=$q exchange=amq.direct routing-key=bound
        b1! 405 queue.unbind cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> queue.purge queue=$q
        b1! 405 queue.purge cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> queue.delete queue=$q
        b1! 405 queue.delete cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> basic.get queue=$q
        b1! 405 basic.get cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        b1> basic.consume queue=$q
        b1! 405 basic.consume cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
    ";
    others_may_publish_to_an_exclusive_queue: "
        a1> queue.declare queue=$q exclusive
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b1> basic.publish routing-key=$q body=hello
        a1< basic.deliver consumer-tag=t delivery-tag=1 routing-key=$q body=hello
    ";
    other_channels_of_the_owner_may_use_it: "
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a2> queue.declare queue=$q exclusive
        a2< queue.declare-ok queue=$q
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a2> queue.declare queue=$q passive
        a2< queue.declare-ok queue=$q
    ";
    gone_before_the_close_is_answered: "
        a1> queue.declare queue=$q exclusive
        a1> queue.declare queue=$p exclusive durable
        a1> queue.declare exclusive
        a1> exchange.declare exchange=$x type=fanout auto-delete
        a1> queue.bind queue=$q exchange=$x
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p
        a1< queue.declare-ok queue=$r
        a1< exchange.declare-ok
        a1< queue.bind-ok
        b1> basic.qos
        b1< basic.qos-ok
        a: close
        b1> queue.declare queue=$q passive
        b1! 404 queue.declare no queue '$q' in vhost '/'
        b1> queue.declare queue=$p passive
        b1! 404 queue.declare no queue '$p' in vhost '/'
        b1> queue.declare queue=$r passive
        b1! 404 queue.declare no queue '$r' in vhost '/'
        b1> exchange.declare exchange=$x passive
        b1! 404 exchange.declare no exchange '$x' in vhost '/'
    ";
    gone_after_the_client_vanished: "
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a: drop
        b1~ queue.declare queue=$q passive => ! 404
    ";
    gone_after_the_broker_closed_the_connection: "
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a1> channel.open
        a! 504 channel.open second 'channel.open' seen
        b1~ queue.declare queue=$q passive => ! 404
    ";
    auto_delete_with_the_last_consumer: "
        a1> queue.declare queue=$q auto-delete
        a1> basic.consume queue=$q consumer-tag=one
        a1> basic.consume queue=$q consumer-tag=two
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        a1< basic.consume-ok consumer-tag=two
        a1> basic.cancel consumer-tag=one
        a1< basic.cancel-ok consumer-tag=one
        a1> queue.declare queue=$q passive
        a1< queue.declare-ok queue=$q consumer-count=1
        a1> basic.cancel consumer-tag=two
        a1< basic.cancel-ok consumer-tag=two
        a1~ queue.declare queue=$q passive => ! 404
    ";
    auto_delete_needs_a_consumer_first: "
        a1> queue.declare queue=$q auto-delete
        a1> basic.publish routing-key=$q body=x
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok body=x
        a: close
        b1> queue.declare queue=$q auto-delete passive
        b1< queue.declare-ok queue=$q message-count=0
    ";
    auto_delete_with_the_channel: "
        a1> queue.declare queue=$q auto-delete
        a1> basic.consume queue=$q consumer-tag=one
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1~ queue.declare queue=$q passive => ! 404
    ";
    auto_delete_with_the_connection: "
        a1> queue.declare queue=$q auto-delete
        a1> basic.consume queue=$q consumer-tag=one
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        a: drop
        b1~ queue.declare queue=$q passive => ! 404
    ";
    auto_delete_waits_for_consumers_of_others: "
        a1> queue.declare queue=$q auto-delete
        a1> basic.consume queue=$q consumer-tag=one
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        b1> basic.consume queue=$q consumer-tag=one
        b1< basic.consume-ok consumer-tag=one
        a: close
        b1~ queue.declare queue=$q passive => queue.declare-ok consumer-count=1
        b1> basic.publish routing-key=$q body=x
        b1< basic.deliver consumer-tag=one delivery-tag=1 routing-key=$q body=x
    ";
    // RabbitMQ 3 does not understand an answer to the notice.
    consumers_are_told_that_their_queue_is_gone: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=one
        a1> basic.consume queue=$q consumer-tag=two
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        a1< basic.consume-ok consumer-tag=two
        b1> queue.delete queue=$q
        b1< queue.delete-ok message-count=0
        a1< basic.cancel consumer-tag=$first nowait
        a1< basic.cancel consumer-tag=$second nowait
        [4] a1> basic.cancel-ok consumer-tag=one
        a1> basic.qos
        a1< basic.qos-ok
    ";
    a_tag_is_free_after_its_queue_is_gone: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> basic.consume queue=$q consumer-tag=one
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p
        a1< basic.consume-ok consumer-tag=one
        a1> queue.delete queue=$q
        a1< queue.delete-ok message-count=0
        a1< basic.cancel consumer-tag=one nowait
        a1> basic.consume queue=$p consumer-tag=one
        a1< basic.consume-ok consumer-tag=one
    ";
    nobody_is_told_who_did_not_ask_for_it: "
        a: open capabilities={}
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=one
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=one
        a1> queue.delete queue=$q
        a1< queue.delete-ok message-count=0
        a1> basic.qos
        a1< basic.qos-ok
    ";
    what_was_delivered_from_a_queue_that_is_gone_may_be_settled: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=one
        a1> basic.publish routing-key=$q body=two
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=one
        a1< basic.get-ok delivery-tag=2 body=two
        a1> queue.delete queue=$q
        a1< queue.delete-ok message-count=0
        a1> basic.ack delivery-tag=1
        a1> basic.nack delivery-tag=2 requeue
        a1> basic.qos
        a1< basic.qos-ok
    ";
}
