//! Declaring, purging and deleting queues, and every refusal.

crate::transcripts! {
    declare_again_and_delete_twice: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$q
        a1> queue.declare queue=$q passive
        a1> queue.delete queue=$q
        a1> queue.delete queue=$q
        a1< queue.declare-ok queue=$q message-count=0 consumer-count=0
        a1< queue.declare-ok queue=$q message-count=0 consumer-count=0
        a1< queue.declare-ok queue=$q message-count=0 consumer-count=0
        a1< queue.delete-ok message-count=0
        a1< queue.delete-ok message-count=0
        a1> queue.declare queue=$q passive
        a1! 404 queue.declare no queue '$q' in vhost '/'
    ";
    nowait_is_not_answered: "
        a1> queue.declare queue=$q nowait
        a1> queue.bind queue=$q exchange=amq.direct routing-key=$q nowait
        a1> queue.purge queue=$q nowait
        a1> queue.declare queue=$p nowait
        a1> queue.delete queue=$p nowait
        a1> queue.declare queue=$q passive
        a1< queue.declare-ok queue=$q message-count=0 consumer-count=0
        a1> queue.declare queue=$p passive
        a1! 404 queue.declare no queue '$p' in vhost '/'
    ";
    refusals_come_with_nowait_too: "
        a1> queue.declare queue=$q nowait
        a1> queue.declare queue=$q durable nowait
        a1! 406 queue.declare inequivalent arg 'durable' for queue '$q' in vhost '/': received 'true' but current is 'false'
    ";
    // Binds that come one behind the other are carried out together; each is answered in its turn.
    binds_in_a_row: "
        a1> exchange.declare exchange=$x type=topic
        a1< exchange.declare-ok
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1> queue.bind queue=$q exchange=$x routing-key=one
        a1> queue.bind queue=$q exchange=$x routing-key=two nowait
        a1> queue.bind queue=$q exchange=$x routing-key=one
        a1> exchange.bind source=$x destination=amq.fanout routing-key=three
        a1> basic.publish exchange=$x routing-key=two body=found
        a1> basic.get queue=$q no-ack
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< exchange.bind-ok
        a1< basic.get-ok body=found
        a1> exchange.delete exchange=$x
        a1< exchange.delete-ok
    ";
    the_first_of_several_binds_that_fails_ends_them: "
        a1> exchange.declare exchange=$x type=fanout
        a1< exchange.declare-ok
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1> queue.bind queue=$q exchange=$x routing-key=one
        a1> queue.bind queue=$q exchange=$none routing-key=two
        a1> queue.bind queue=$q exchange=amq.direct routing-key=$q
        a1< queue.bind-ok
        a1! 404 queue.bind no exchange '$none' in vhost '/'
        b1> confirm.select
        b1< confirm.select-ok
        b1> basic.publish exchange=amq.direct routing-key=$q mandatory body=nobody
        b1> basic.publish exchange=$x mandatory body=somebody
        b1< basic.return reply-code=312 body=nobody
        b1: confirmed 2
        b1> queue.delete queue=$q
        b1< queue.delete-ok message-count=1
        b1> exchange.delete exchange=$x
        b1< exchange.delete-ok
    ";
    counts: "
        a1> queue.declare queue=$q
        a1> confirm.select
        a1> basic.publish routing-key=$q body=one
        a1> basic.publish routing-key=$q body=two
        a1> basic.publish routing-key=$q body=three
        a1< queue.declare-ok queue=$q message-count=0 consumer-count=0
        a1< confirm.select-ok
        a1: confirmed 3
        a1> basic.get queue=$q
        a1< basic.get-ok delivery-tag=1 message-count=2 body=one
        b1> queue.declare queue=$q passive
        b1< queue.declare-ok queue=$q message-count=2 consumer-count=0
        b1> queue.purge queue=$q
        b1< queue.purge-ok message-count=2
        a1> basic.nack delivery-tag=1 requeue
        a1> basic.qos
        a1< basic.qos-ok
        b1~ queue.declare queue=$q passive => queue.declare-ok queue=$q message-count=1
        b1> queue.delete queue=$q
        b1< queue.delete-ok message-count=1
    ";
    named_by_the_broker: "
        a1> queue.declare exclusive
        a1< queue.declare-ok queue=$generated message-count=0 consumer-count=0
        a1> basic.publish routing-key=$generated body=found
        a1> basic.get queue=$generated no-ack
        a1< basic.get-ok body=found routing-key=$generated
    ";
    // In all of these, though not in a passive declare, the empty name means the queue declared last on the channel.
    the_last_declared_queue: r#"
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a1> queue.bind exchange=amq.direct routing-key=wire-last
        a1< queue.bind-ok
        a1> basic.publish exchange=amq.direct routing-key=wire-last body=one
        a1> basic.get no-ack
        a1< basic.get-ok body=one
        a1> queue.unbind exchange=amq.direct routing-key=wire-last
        a1< queue.unbind-ok
        a1> queue.bind exchange=amq.direct
        a1< queue.bind-ok
        a1> basic.publish exchange=amq.direct routing-key=$q body=two
        a1> queue.purge
        a1< queue.purge-ok message-count=1
        a1> basic.consume consumer-tag=t
        a1< basic.consume-ok consumer-tag=t
        a1> queue.delete
        a1< queue.delete-ok message-count=0
        a1< basic.cancel consumer-tag=t nowait
    "#;
    no_queue_was_declared: "
        a1> basic.get
        a1! 404 basic.get no previously declared queue
        a1> basic.consume
        a1! 404 basic.consume no previously declared queue
        a1> queue.bind exchange=amq.direct
        a1! 404 queue.bind no previously declared queue
        a1> queue.unbind exchange=amq.direct
        a1! 404 queue.unbind no previously declared queue
        a1> queue.purge
        a1! 404 queue.purge no previously declared queue
        a1> queue.delete
        a1! 404 queue.delete no previously declared queue
        a1> queue.declare passive
        a1! 404 queue.declare no queue '' in vhost '/'
    ";
    missing: "
        a1> queue.declare queue=$q passive
        a1! 404 queue.declare no queue '$q' in vhost '/'
        a1> queue.purge queue=$q
        a1! 404 queue.purge no queue '$q' in vhost '/'
        a1> basic.get queue=$q
        a1! 404 basic.get no queue '$q' in vhost '/'
        a1> basic.consume queue=$q
        a1! 404 basic.consume no queue '$q' in vhost '/'
        a1> queue.bind queue=$q exchange=amq.direct
        a1! 404 queue.bind no queue '$q' in vhost '/'
    ";
    reserved_name: "
        a1> queue.declare queue=amq.mine
        a1! 403 queue.declare queue name 'amq.mine' contains reserved prefix 'amq.*'
        a1> queue.declare queue=amq.mine passive
        a1! 404 queue.declare no queue 'amq.mine' in vhost '/'
    ";
    other_durability: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> queue.declare queue=$q durable
        a1! 406 queue.declare inequivalent arg 'durable' for queue '$q' in vhost '/': received 'true' but current is 'false'
    ";
    other_auto_delete: "
        a1> queue.declare queue=$q auto-delete
        a1< queue.declare-ok queue=$q
        a1> queue.declare queue=$q
        a1! 406 queue.declare inequivalent arg 'auto_delete' for queue '$q' in vhost '/': received 'false' but current is 'true'
    ";
    other_exclusiveness: "
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a1> queue.declare queue=$q
        a1! 405 queue.declare cannot obtain exclusive access to locked queue '$q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
        a1> queue.declare queue=$p
        a1< queue.declare-ok queue=$p
        a1> queue.declare queue=$p exclusive
        a1! 405 queue.declare cannot obtain exclusive access to locked queue '$p' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.
    ";
    other_argument: "
        a1> queue.declare queue=$q arguments={x-message-ttl=I:60000}
        a1< queue.declare-ok queue=$q
        a1> queue.declare queue=$q arguments={x-message-ttl=I:60001}
        a1! 406 queue.declare inequivalent arg 'x-message-ttl' for queue '$q' in vhost '/': received '60001' but current is '60000'
        a1> queue.declare queue=$q
        a1! 406 queue.declare inequivalent arg 'x-message-ttl' for queue '$q' in vhost '/': received none but current is the value '60000' of type 'signedint'
        a1> queue.declare queue=$p
        a1< queue.declare-ok queue=$p
        a1> queue.declare queue=$p arguments={x-max-length=l:5}
        a1! 406 queue.declare inequivalent arg 'x-max-length' for queue '$p' in vhost '/': received the value '5' of type 'long' but current is none
        a1> queue.declare queue=$r arguments={x-dead-letter-exchange=S:one}
        a1< queue.declare-ok queue=$r
        a1> queue.declare queue=$r arguments={x-dead-letter-exchange=S:two}
        a1! 406 queue.declare inequivalent arg 'x-dead-letter-exchange' for queue '$r' in vhost '/': received 'two' but current is 'one'
    ";
    the_width_of_an_integer_does_not_matter: "
        a1> queue.declare queue=$q arguments={x-message-ttl=I:60000}
        a1> queue.declare queue=$q arguments={x-message-ttl=l:60000}
        a1> queue.declare queue=$q arguments={x-message-ttl=i:60000}
        a1> queue.declare queue=$q arguments={x-message-ttl=u:60000}
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$q
    ";
    // What means nothing to the queue that is there is not looked at, not even whether its value is good.
    arguments_of_other_types_do_not_matter_any_more: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1> queue.declare queue=$q arguments={x-max-age=S:1D}
        a1< queue.declare-ok
        a1> queue.declare queue=$q arguments={x-quorum-initial-group-size=S:odd}
        a1< queue.declare-ok
        a1> queue.declare queue=$q arguments={x-max-length=S:many}
        a1! 406 queue.declare inequivalent arg 'x-max-length' for queue '$q' in vhost '/': received the value 'many' of type 'longstr' but current is none
    "#;
    unknown_arguments_do_not_matter: "
        a1> queue.declare queue=$q arguments={mine=I:1 x-mine=S:one}
        a1> queue.declare queue=$q arguments={mine=I:2}
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$q
    ";
    classic_is_the_usual_type: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$q arguments={x-queue-type=S:classic}
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$q
    ";
    bad_integers: r#"
        a1> queue.declare queue=$q arguments={x-message-ttl=S:soon}
        a1! 406 queue.declare invalid arg 'x-message-ttl' for queue '$q' in vhost '/': "expected integer, got longstr"
        a1> queue.declare queue=$q arguments={x-message-ttl=I:-1}
        a1! 406 queue.declare invalid arg 'x-message-ttl' for queue '$q' in vhost '/': {value_negative,-1}
        a1> queue.declare queue=$q arguments={x-message-ttl=l:315360000001}
        a1! 406 queue.declare invalid arg 'x-message-ttl' for queue '$q' in vhost '/': {value_too_large,315360000001}
        a1> queue.declare queue=$q arguments={x-expires=I:0}
        a1! 406 queue.declare invalid arg 'x-expires' for queue '$q' in vhost '/': {value_zero,0}
        a1> queue.declare queue=$q arguments={x-expires=I:-10}
        a1! 406 queue.declare invalid arg 'x-expires' for queue '$q' in vhost '/': {value_negative,-10}
        a1> queue.declare queue=$q arguments={x-max-length=I:-5}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': {value_negative,-5}
        a1> queue.declare queue=$q arguments={x-max-length-bytes=S:many}
        a1! 406 queue.declare invalid arg 'x-max-length-bytes' for queue '$q' in vhost '/': "expected integer, got longstr"
        a1> queue.declare queue=$q arguments={x-max-priority=I:256}
        a1! 406 queue.declare invalid arg 'x-max-priority' for queue '$q' in vhost '/': {max_value_exceeded,256}
        a1> queue.declare queue=$q arguments={x-max-priority=I:-1}
        a1! 406 queue.declare invalid arg 'x-max-priority' for queue '$q' in vhost '/': {value_negative,-1}
    "#;
    bad_words: r#"
        a1> queue.declare queue=$q arguments={x-overflow=S:spill}
        a1! 406 queue.declare invalid arg 'x-overflow' for queue '$q' in vhost '/': invalid_overflow
        a1> queue.declare queue=$q arguments={x-dead-letter-routing-key=S:k}
        a1! 406 queue.declare invalid arg 'x-dead-letter-routing-key' for queue '$q' in vhost '/': routing_key_but_no_dlx_defined
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=I:1}
        a1! 406 queue.declare invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '$q' in vhost '/'
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=S:x x-dead-letter-routing-key=I:1}
        a1! 406 queue.declare invalid arg 'x-dead-letter-routing-key' for queue '$q' in vhost '/': {unacceptable_type,signedint}
        a1> queue.declare queue=$q arguments={x-single-active-consumer=S:yes}
        a1! 406 queue.declare invalid arg 'x-single-active-consumer' for queue '$q' in vhost '/': {unacceptable_type,longstr}
    "#;
    unknown_type: r#"
        a1> queue.declare queue=$q arguments={x-queue-type=S:unheard-of}
        a1! 406 queue.declare invalid arg 'x-queue-type' for queue '$q' in vhost '/': "unsupported queue type 'unheard-of'"
    "#;
    deleting_if_unused: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b1> queue.delete queue=$q if-unused
        b1! 406 queue.delete queue '$q' in vhost '/' in use
        a1> basic.cancel consumer-tag=t
        a1< basic.cancel-ok consumer-tag=t
        b1> queue.delete queue=$q if-unused
        b1< queue.delete-ok message-count=0
    ";
    deleting_if_empty: "
        a1> queue.declare queue=$q
        a1> confirm.select
        a1> basic.publish routing-key=$q body=one
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1: confirmed 1
        b1> queue.delete queue=$q if-empty
        b1! 406 queue.delete queue '$q' in vhost '/' not empty
        a1> queue.purge queue=$q
        a1< queue.purge-ok message-count=1
        b1> queue.delete queue=$q if-empty
        b1< queue.delete-ok message-count=0
    ";
    line_ends_are_no_part_of_names: r#"
        a1> queue.declare queue="$q\r\n"
        a1< queue.declare-ok queue=$q
        a1> queue.declare queue="\n$q" passive
        a1< queue.declare-ok queue=$q
        a1> queue.delete queue="$q\n"
        a1< queue.delete-ok
        a1> queue.declare queue=$q passive
        a1! 404 queue.declare no queue '$q' in vhost '/'
    "#;
    visible_to_everybody_at_once: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        b1> queue.declare queue=$q passive
        b1< queue.declare-ok queue=$q
        c1> queue.bind queue=$q exchange=amq.direct routing-key=$q
        c1< queue.bind-ok
        b1> basic.publish exchange=amq.direct routing-key=$q mandatory body=one
        b1> basic.get queue=$q no-ack
        b1< basic.get-ok body=one
        a1> queue.delete queue=$q
        a1< queue.delete-ok
        c1> queue.declare queue=$q passive
        c1! 404 queue.declare no queue '$q' in vhost '/'
    ";
}
