//! Which queue gets what, as far as the foreign clients do not show it already.

crate::transcripts! {
    one_copy_however_many_bindings_match: "
        a1> queue.declare queue=$q
        a1> exchange.declare exchange=$x type=topic
        a1> queue.bind queue=$q exchange=$x routing-key=a.*
        a1> queue.bind queue=$q exchange=$x routing-key=#
        a1> queue.bind queue=$q exchange=$x routing-key=a.b
        a1> basic.publish exchange=$x routing-key=a.b body=once
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< basic.get-ok message-count=0 body=once
        a1< basic.get-empty
    ";
    equal_bindings_are_one: "
        a1> queue.declare queue=$q
        a1> exchange.declare exchange=$x type=direct
        a1> queue.bind queue=$q exchange=$x routing-key=k
        a1> queue.bind queue=$q exchange=$x routing-key=k
        a1> queue.unbind queue=$q exchange=$x routing-key=k
        a1> basic.publish exchange=$x routing-key=k body=lost
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< queue.unbind-ok
        a1< basic.get-empty
    ";
    bindings_with_other_arguments_are_others: "
        a1> queue.declare queue=$q
        a1> exchange.declare exchange=$x type=direct
        a1> queue.bind queue=$q exchange=$x routing-key=k
        a1> queue.bind queue=$q exchange=$x routing-key=k arguments={a=I:1}
        a1> queue.unbind queue=$q exchange=$x routing-key=k
        a1> basic.publish exchange=$x routing-key=k body=found
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< queue.unbind-ok
        a1< basic.get-ok message-count=0 body=found
    ";
    through_exchanges: "
        a1> exchange.declare exchange=$x type=topic
        a1> exchange.declare exchange=$y type=direct
        a1> exchange.declare exchange=$z type=fanout internal
        a1> exchange.bind source=$x destination=$y routing-key=a.#
        a1> exchange.bind source=$y destination=$z routing-key=a.b
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=$z
        a1> basic.publish exchange=$x routing-key=a.c body=lost
        a1> basic.publish exchange=$x routing-key=a.b body=found
        a1> basic.get queue=$q no-ack
        a1> exchange.unbind source=$x destination=$y routing-key=a.#
        a1> basic.publish exchange=$x routing-key=a.b body=lost
        a1> basic.get queue=$q no-ack
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.bind-ok
        a1< exchange.bind-ok
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1< basic.get-ok exchange=$x routing-key=a.b message-count=0 body=found
        a1< exchange.unbind-ok
        a1< basic.get-empty
    ";
    exchanges_in_a_circle: "
        a1> exchange.declare exchange=$x type=fanout
        a1> exchange.declare exchange=$y type=fanout
        a1> exchange.bind source=$x destination=$y
        a1> exchange.bind source=$y destination=$x
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=$x
        a1> queue.bind queue=$q exchange=$y
        a1> basic.publish exchange=$y body=once
        a1> basic.get queue=$q no-ack
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.bind-ok
        a1< exchange.bind-ok
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< basic.get-ok message-count=0 body=once
    ";
    the_alternate_exchange_gets_what_nobody_else_does: "
        a1> exchange.declare exchange=$last type=fanout
        a1> exchange.declare exchange=$second type=direct arguments={alternate-exchange=S:$last}
        a1> exchange.declare exchange=$first type=direct arguments={alternate-exchange=S:$second}
        a1> queue.declare queue=$q
        a1> queue.declare queue=$rest
        a1> queue.bind queue=$q exchange=$first routing-key=k
        a1> queue.bind queue=$rest exchange=$last
        a1> basic.publish exchange=$first routing-key=k body=direct mandatory
        a1> basic.publish exchange=$first routing-key=other body=rest mandatory
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$rest no-ack
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$rest
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< basic.get-ok message-count=0 exchange=$first routing-key=k body=direct
        a1< basic.get-ok message-count=0 exchange=$first routing-key=other body=rest
        a1> queue.delete queue=$rest
        a1> basic.publish exchange=$first routing-key=other body=back mandatory
        a1< queue.delete-ok
        a1< basic.return reply-code=312 exchange=$first routing-key=other body=back
    ";
    an_alternate_exchange_that_does_not_exist: "
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=S:$gone}
        a1> basic.publish exchange=$x routing-key=k body=back mandatory
        a1< exchange.declare-ok
        a1< basic.return reply-code=312 exchange=$x routing-key=k body=back
    ";
    copies: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> queue.declare queue=$r
        a1> basic.publish routing-key=$q headers={CC=A:[S:$p I:4] BCC=A:[S:$r] other=S:kept} body=b
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$p no-ack
        a1> basic.get queue=$r no-ack
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1< basic.get-ok routing-key=$q headers~CC=A: headers~other=S:kept body=b
        a1< basic.get-ok routing-key=$q headers~CC=A: headers~other=S:kept body=b
        a1< basic.get-ok routing-key=$q headers~CC=A: headers~other=S:kept body=b
    ";
    blind_copies_are_not_told: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$r
        a1> basic.publish routing-key=$q headers={BCC=A:[S:$r]} body=b
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$r no-ack
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1< basic.get-ok headers={} body=b
        a1< basic.get-ok headers={} body=b
    ";
    copies_make_a_message_routable: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$nowhere headers={CC=A:[S:$q]} body=b mandatory
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok
        a1< basic.get-ok routing-key=$nowhere body=b
    ";
    fanout_ignores_keys: "
        a1> queue.declare queue=$q
        a1> exchange.declare exchange=$x type=fanout
        a1> queue.bind queue=$q exchange=$x routing-key=ignored
        a1> basic.publish exchange=$x routing-key=other body=b
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< basic.get-ok routing-key=other body=b
    ";
    a_headers_binding_without_conditions: "
        a1> queue.declare queue=$q
        a1> exchange.declare exchange=$x type=headers
        a1> queue.bind queue=$q exchange=$x arguments={x-match=S:any}
        a1> basic.publish exchange=$x headers={a=I:1} body=lost
        a1> basic.get queue=$q no-ack
        a1> queue.bind queue=$q exchange=$x arguments={x-match=S:all}
        a1> basic.publish exchange=$x body=found
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< basic.get-empty
        a1< queue.bind-ok
        a1< basic.get-ok body=found !headers
    ";
    headers_compare_by_value_not_by_width: "
        a1> queue.declare queue=$q
        a1> exchange.declare exchange=$x type=headers
        a1> queue.bind queue=$q exchange=$x arguments={x-match=S:all a=I:1 b=t:true}
        a1> basic.publish exchange=$x headers={a=l:1 b=t:true} body=1
        a1> basic.publish exchange=$x headers={a=S:1 b=t:true} body=2
        a1> basic.publish exchange=$x headers={a=I:1 b=t:false} body=3
        a1> basic.publish exchange=$x headers={a=b:1 b=t:true} body=4
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1< queue.declare-ok queue=$q
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< basic.get-ok body=1
        a1< basic.get-ok body=4
        a1< basic.get-empty
    ";
    deleted_queues_are_not_routed_to: "
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=amq.direct routing-key=$q
        a1> queue.delete queue=$q
        a1> basic.publish exchange=amq.direct routing-key=$q mandatory body=one
        a1> basic.publish routing-key=$q mandatory body=two
        a1> queue.declare queue=$q
        a1> basic.publish exchange=amq.direct routing-key=$q mandatory body=three
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1< queue.delete-ok
        a1< basic.return reply-code=312 exchange=amq.direct body=one
        a1< basic.return reply-code=312 body=two
        a1< queue.declare-ok queue=$q message-count=0
        a1< basic.return reply-code=312 exchange=amq.direct body=three
    ";
}
