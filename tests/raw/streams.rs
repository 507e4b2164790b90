//! Streams: queues whose messages stay, read from any place by any number of consumers.
//!
//! Filters need RabbitMQ 3.13, and in 3.10 it refused to have streams' messages rejected; offsets are exact here, where RabbitMQ begins with a chunk.

crate::transcripts! {
    declaring: r#"
        a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream x-max-age=S:1h x-max-length-bytes=l:1000000 x-stream-max-segment-size-bytes=l:100000}
        a1< queue.declare-ok queue=$s
        a1> queue.declare queue=$t arguments={x-queue-type=S:stream}
        a1! 406 queue.declare invalid property 'non-durable' for queue '$t' in vhost '/'
        a1> queue.declare queue=$t durable auto-delete arguments={x-queue-type=S:stream}
        a1! 406 queue.declare invalid property 'auto-delete' for queue '$t' in vhost '/'
        a1> queue.declare queue=$t durable exclusive arguments={x-queue-type=S:stream}
        a1! 406 queue.declare invalid property 'exclusive-owner' for queue '$t' in vhost '/'
        [4] a1> queue.declare queue=$t durable arguments={x-queue-type=S:stream x-max-age=S:soon}
        [4] a1! 406 queue.declare invalid arg 'x-max-age' for queue '$t' in vhost '/': invalid_max_age
        a1> queue.declare queue=$t durable arguments={x-queue-type=S:stream x-message-ttl=I:5}
        a1! 406 queue.declare invalid arg 'x-message-ttl' for queue '$t' in vhost '/' of queue type rabbit_stream_queue
        a1> queue.declare queue=$t durable arguments={x-queue-type=S:stream x-stream-max-segment-size-bytes=l:4000000000}
        a1! 406 queue.declare Exceeded max value for x-stream-max-segment-size-bytes
    "#;
    what_streams_do_not_do: r#"
        a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream}
        a1< queue.declare-ok queue=$s
        a1> basic.consume queue=$s
        [4] a1! 406 basic.consume consumer prefetch count is not set for stream queue '$s' in vhost '/'
        [3] a1! 406 basic.consume consumer prefetch count is not set for 'queue '$s' in vhost '/''
        a1> basic.qos prefetch-count=10
        a1< basic.qos-ok
        a1> basic.consume queue=$s no-ack
        [4] a! 540 basic.consume automatic acknowledgement not supported by stream queue '$s' in vhost '/'
        [3] a! 540 basic.consume automatic acknowledgement not supported by stream queues queue '$s' in vhost '/'
        b1> basic.get queue=$s
        b! 540 basic.get basic.get not supported by stream queues queue '$s' in vhost '/'
        c1> queue.purge queue=$s
        c! 540 queue.purge queue.purge not supported by stream queues queue '$s' in vhost '/'
    "#;
    everybody_reads_everything: r#"
        a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream}
        a1> confirm.select
        a1> basic.publish routing-key=$s body=0 message-id=m headers={h=S:v}
        a1> basic.publish routing-key=$s body=1
        a1< queue.declare-ok queue=$s
        a1< confirm.select-ok
        a1: confirmed 2
        b1> basic.qos prefetch-count=10
        b1> basic.consume queue=$s consumer-tag=b arguments={x-stream-offset=S:first}
        b1< basic.qos-ok
        b1< basic.consume-ok consumer-tag=b
        b1< basic.deliver consumer-tag=b delivery-tag=1 routing-key=$s body=0 message-id=m headers~"x-stream-offset=l:0" headers~"h=S:v"
        b1< basic.deliver consumer-tag=b delivery-tag=2 body=1 headers={x-stream-offset=l:1}
        b1> basic.ack delivery-tag=2 multiple
        c1> basic.qos prefetch-count=10
        c1> basic.consume queue=$s consumer-tag=c arguments={x-stream-offset=l:1}
        c1< basic.qos-ok
        c1< basic.consume-ok consumer-tag=c
        c1< basic.deliver consumer-tag=c delivery-tag=1 body=1 headers={x-stream-offset=l:1}
        d1> basic.qos prefetch-count=10
        d1> basic.consume queue=$s consumer-tag=d
        d1< basic.qos-ok
        d1< basic.consume-ok consumer-tag=d
        a1> basic.publish routing-key=$s body=2
        a1< basic.ack delivery-tag=3
        b1< basic.deliver consumer-tag=b delivery-tag=3 body=2 headers={x-stream-offset=l:2}
        c1< basic.deliver consumer-tag=c delivery-tag=2 body=2 headers={x-stream-offset=l:2}
        d1< basic.deliver consumer-tag=d delivery-tag=1 body=2 headers={x-stream-offset=l:2}
        a1~ queue.declare queue=$s passive => queue.declare-ok message-count=3
    "#;
    acknowledging_gives_credit_and_rejecting_does_too: r#"
        [4] a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream}
        [4] a1> confirm.select
        [4] a1> basic.publish routing-key=$s body=0
        [4] a1> basic.publish routing-key=$s body=1
        [4] a1> basic.publish routing-key=$s body=2
        [4] a1> basic.publish routing-key=$s body=3
        [4] a1< queue.declare-ok queue=$s
        [4] a1< confirm.select-ok
        [4] a1: confirmed 4
        [4] b1> basic.qos prefetch-count=1
        [4] b1> basic.consume queue=$s consumer-tag=b arguments={x-stream-offset=S:first}
        [4] b1< basic.qos-ok
        [4] b1< basic.consume-ok
        [4] b1< basic.deliver delivery-tag=1 body=0
        [4] b1> basic.ack delivery-tag=1
        [4] b1< basic.deliver delivery-tag=2 body=1
        [4] b1> basic.nack delivery-tag=2 requeue
        [4] b1< basic.deliver delivery-tag=3 body=2
        [4] b1> basic.reject delivery-tag=3
        [4] b1< basic.deliver delivery-tag=4 body=3
        [4] b1> basic.cancel consumer-tag=b
        [4] b1< basic.cancel-ok consumer-tag=b
        [4] b1> basic.ack delivery-tag=4
        [4] b1> basic.consume queue=$s consumer-tag=again arguments={x-stream-offset=l:2}
        [4] b1< basic.consume-ok consumer-tag=again
        [4] b1< basic.deliver consumer-tag=again delivery-tag=5 body=2
    "#;
    from_the_last_from_a_time_and_from_an_age: r#"
        a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream}
        a1> confirm.select
        a1> basic.publish routing-key=$s body=0
        a1< queue.declare-ok queue=$s
        a1< confirm.select-ok
        a1< basic.ack delivery-tag=1
        a1> basic.publish routing-key=$s body=1
        a1< basic.ack delivery-tag=2
        b1> basic.qos prefetch-count=10
        b1> basic.consume queue=$s consumer-tag=last arguments={x-stream-offset=S:last}
        b1< basic.qos-ok
        b1< basic.consume-ok
        b1< basic.deliver consumer-tag=last body=1 headers={x-stream-offset=l:1}
        b2> basic.qos prefetch-count=10
        b2> basic.consume queue=$s consumer-tag=past arguments={x-stream-offset=T:1}
        b2< basic.qos-ok
        b2< basic.consume-ok
        b2< basic.deliver consumer-tag=past delivery-tag=1 body=0
        b2< basic.deliver consumer-tag=past delivery-tag=2 body=1
        b3> basic.qos prefetch-count=10
        b3> basic.consume queue=$s consumer-tag=hour arguments={x-stream-offset=S:1h}
        b3< basic.qos-ok
        b3< basic.consume-ok
        b3< basic.deliver consumer-tag=hour delivery-tag=1 body=0
        b3< basic.deliver consumer-tag=hour delivery-tag=2 body=1
    "#;
    a_filter: r#"
        [4] a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream}
        [4] a1> confirm.select
        [4] a1> basic.publish routing-key=$s body=0 headers={x-stream-filter-value=S:red}
        [4] a1> basic.publish routing-key=$s body=1 headers={x-stream-filter-value=S:blue}
        [4] a1> basic.publish routing-key=$s body=2
        [4] a1> basic.publish routing-key=$s body=3 headers={x-stream-filter-value=S:green}
        [4] a1> basic.publish routing-key=$s body=4 headers={x-stream-filter-value=S:red}
        [4] a1< queue.declare-ok queue=$s
        [4] a1< confirm.select-ok
        [4] a1: confirmed 5
        [4] b1> basic.qos prefetch-count=10
        [4] b1> basic.consume queue=$s consumer-tag=one arguments={x-stream-offset=S:first x-stream-filter=S:red}
        [4] b1< basic.qos-ok
        [4] b1< basic.consume-ok
        [4] b1< basic.deliver consumer-tag=one body=0
        [4] b1< basic.deliver consumer-tag=one body=4 headers~"x-stream-offset=l:4"
        [4] b2> basic.qos prefetch-count=10
        [4] b2> basic.consume queue=$s consumer-tag=two arguments={x-stream-offset=S:first x-stream-filter=A:[S:blue S:green] x-stream-match-unfiltered=t:true}
        [4] b2< basic.qos-ok
        [4] b2< basic.consume-ok
        [4] b2< basic.deliver consumer-tag=two body=1
        [4] b2< basic.deliver consumer-tag=two body=2
        [4] b2< basic.deliver consumer-tag=two body=3
    "#;
    old_segments_go: "
        [4] a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream x-max-length-bytes=I:4000}
        [4] a1> confirm.select
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1> basic.publish routing-key=$s body=@500
        [4] a1< queue.declare-ok queue=$s
        [4] a1< confirm.select-ok
        [4] a1: confirmed 10
        [4] a1> queue.declare queue=$s passive
        [4] a1< queue.declare-ok message-count=8
        [4] b1> basic.qos prefetch-count=1
        [4] b1> basic.consume queue=$s arguments={x-stream-offset=S:first}
        [4] b1< basic.qos-ok
        [4] b1< basic.consume-ok
        [4] b1< basic.deliver headers={x-stream-offset=l:2}
    ";
    a_deleted_stream_cancels_its_consumers: r#"
        a1> queue.declare queue=$s durable arguments={x-queue-type=S:stream}
        a1< queue.declare-ok queue=$s
        b1> basic.qos prefetch-count=1
        b1> basic.consume queue=$s consumer-tag=t
        b1< basic.qos-ok
        b1< basic.consume-ok
        a1> queue.delete queue=$s
        a1< queue.delete-ok
        b1< basic.cancel consumer-tag=t nowait
    "#;
}

#[test]
fn a_stream_is_there_after_a_crash() {
    let broker = harness::Broker::start_ours(2);
    harness::wire::play(
        &broker,
        "
        a1> queue.declare queue=kept durable arguments={x-queue-type=S:stream}
        a1> confirm.select
        a1> basic.publish routing-key=kept body=0
        a1> basic.publish routing-key=kept body=1 delivery-mode=2 headers={x-stream-filter-value=S:red}
        a1< queue.declare-ok queue=kept
        a1< confirm.select-ok
        a1: confirmed 2
        ",
    );
    let mut broker = broker;
    broker.kill();
    let broker = broker.restarted(5);
    let _log = broker.log_on_failure();
    harness::wire::play(
        &broker,
        "
        a1> basic.qos prefetch-count=10
        a1> basic.consume queue=kept consumer-tag=all arguments={x-stream-offset=S:first}
        a1< basic.qos-ok
        a1< basic.consume-ok consumer-tag=all
        a1< basic.deliver consumer-tag=all body=0 headers={x-stream-offset=l:0}
        a1< basic.deliver consumer-tag=all body=1 headers~\"x-stream-offset=l:1\"
        a1> basic.consume queue=kept consumer-tag=red arguments={x-stream-offset=S:first x-stream-filter=S:red}
        a1< basic.consume-ok consumer-tag=red
        a1< basic.deliver consumer-tag=red body=1
        b1> basic.publish routing-key=kept body=2
        a1< basic.deliver consumer-tag=all body=2 headers={x-stream-offset=l:2}
        ",
    );
}
