//! What the arguments of a queue do: expiry, limits, dead letters, priorities.

crate::transcripts! {
    messages_expire: "
        a1> queue.declare queue=$q arguments={x-message-ttl=I:50}
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1< basic.ack delivery-tag=1
        a1~ queue.declare queue=$q passive => queue.declare-ok message-count=0
    ";
    messages_expire_by_their_own_property: "
        a1> queue.declare queue=$q
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1 expiration=50
        a1> basic.publish routing-key=$q body=2
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1: confirmed 2
        a1~ queue.declare queue=$q passive => queue.declare-ok message-count=1
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=2
    ";
    no_time_to_wait: "
        a1> queue.declare queue=$q arguments={x-message-ttl=I:0}
        a1> basic.publish routing-key=$q body=lost
        a1> basic.get queue=$q
        a1< queue.declare-ok
        a1< basic.get-empty
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< basic.consume-ok consumer-tag=t
        a1> basic.publish routing-key=$q body=caught
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=caught
    ";
    // The heartbeats of a second are the clock. A bind does not count as use, so it can ask whether the queue is still there.
    a_queue_expires_when_nobody_uses_it: "
        b: open heartbeat=1
        a1> queue.declare queue=$q arguments={x-expires=I:400}
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b: heartbeat
        b: heartbeat
        a1> basic.publish routing-key=$q body=1
        a1< basic.deliver delivery-tag=1 body=1
        a1> basic.cancel consumer-tag=t
        a1< basic.cancel-ok consumer-tag=t
        a1~ queue.bind queue=$q exchange=amq.direct routing-key=$q => ! 404
    ";
    the_oldest_are_dropped: "
        a1> queue.declare queue=$q arguments={x-max-length=I:2}
        a1> confirm.select
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.publish routing-key=$q body=3
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1: confirmed 3
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok message-count=1 body=2
        a1< basic.get-ok message-count=0 body=3
        a1< basic.get-empty
    ";
    only_what_is_ready_counts: "
        a1> queue.declare queue=$q arguments={x-max-length=I:1}
        a1> basic.publish routing-key=$q body=1
        a1> basic.get queue=$q
        a1> basic.publish routing-key=$q body=2
        a1> basic.get queue=$q
        a1> basic.publish routing-key=$q body=3
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1< basic.get-ok delivery-tag=3 body=3
    ";
    bytes_count_without_properties: "
        a1> queue.declare queue=$q arguments={x-max-length-bytes=I:10}
        a1> basic.publish routing-key=$q body=12345 message-id=a-long-one
        a1> basic.publish routing-key=$q body=67890 message-id=another
        a1> basic.get queue=$q
        a1> basic.publish routing-key=$q body=abcdef
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok message-count=1 body=12345
        a1< basic.get-ok message-count=0 body=abcdef
    ";
    a_full_queue_rejects: "
        a1> queue.declare queue=$q arguments={x-max-length=I:1 x-overflow=S:reject-publish}
        a1> confirm.select
        a1< queue.declare-ok queue=$q
        a1< confirm.select-ok
        a1> basic.publish routing-key=$q body=1
        a1< basic.ack delivery-tag=1
        a1> basic.publish routing-key=$q body=2 mandatory
        a1< basic.nack delivery-tag=2 ?multiple ?requeue
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok message-count=0 body=1
        a1> basic.publish routing-key=$q body=3
        a1< basic.ack delivery-tag=3
    ";
    rejected_messages_go_to_the_dead: r#"
        a1> queue.declare queue=$dead
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=S:"" x-dead-letter-routing-key=S:$dead}
        a1> basic.publish routing-key=$q body=1 message-id=m expiration=60000
        a1> basic.get queue=$q
        a1> basic.reject delivery-tag=1
        a1< queue.declare-ok queue=$dead
        a1< queue.declare-ok queue=$q
        a1< basic.get-ok delivery-tag=1 body=1
        a1~ basic.get queue=$dead no-ack => basic.get-ok exchange="" routing-key=$dead body=1 message-id=m !expiration headers~"reason=S:rejected" headers~"count=l:1" headers~"queue=S:$q" headers~"original-expiration=S:60000" headers~"routing-keys=A:[S:$q]" headers~"x-first-death-reason=S:rejected" headers~"x-first-death-queue=S:$q"
    "#;
    dropped_and_expired_messages_go_to_the_dead: r#"
        a1> exchange.declare exchange=$x type=fanout
        a1> queue.declare queue=$dead
        a1> queue.bind queue=$dead exchange=$x
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=S:$x x-max-length=I:1}
        a1> queue.declare queue=$p arguments={x-dead-letter-exchange=S:$x x-message-ttl=I:20}
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1~ basic.get queue=$dead no-ack => basic.get-ok exchange=$x routing-key=$q body=1 headers~"reason=S:maxlen"
        a1> basic.publish routing-key=$p body=3
        a1~ basic.get queue=$dead no-ack => basic.get-ok exchange=$x routing-key=$p body=3 headers~"reason=S:expired"
    "#;
    the_history_counts: r#"
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=S:amq.direct x-dead-letter-routing-key=S:$q}
        a1> queue.bind queue=$q exchange=amq.direct routing-key=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1< basic.get-ok delivery-tag=1 body=1 !headers
        a1> basic.reject delivery-tag=1
        a1~ basic.get queue=$q => basic.get-ok delivery-tag=2 exchange=amq.direct headers~"count=l:1" headers~"reason=S:rejected"
        a1> basic.reject delivery-tag=2
        a1~ basic.get queue=$q => basic.get-ok delivery-tag=3 exchange=amq.direct headers~"count=l:2" headers~"reason=S:rejected"
    "#;
    priorities: "
        a1> queue.declare queue=$q arguments={x-max-priority=I:5}
        a1> basic.publish routing-key=$q body=none
        a1> basic.publish routing-key=$q body=two priority=2
        a1> basic.publish routing-key=$q body=nine priority=9
        a1> basic.publish routing-key=$q body=five priority=5
        a1> basic.publish routing-key=$q body=two-again priority=2
        a1> basic.publish routing-key=$q body=zero priority=0
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver delivery-tag=1 body=nine priority=9
        a1< basic.deliver delivery-tag=2 body=five priority=5
        a1< basic.deliver delivery-tag=3 body=two priority=2
        a1< basic.deliver delivery-tag=4 body=two-again priority=2
        a1< basic.deliver delivery-tag=5 body=none !priority
        a1< basic.deliver delivery-tag=6 body=zero priority=0
    ";
}
