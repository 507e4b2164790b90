//! Deliveries that are not acknowledged in time: their channel is closed, and others get them.

use harness::wire::Transcript;
use harness::{Broker, SHARD_COUNTS};

#[test]
fn a_channel_that_holds_messages_for_too_long_is_closed() {
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours_with(shards, &["consumer_timeout=600"]);
        let _log = broker.log_on_failure();
        let mut transcript = Transcript::new(&broker);
        transcript.play(
            "
            a1> queue.declare queue=$q
            a1> basic.publish routing-key=$q body=1
            a1> basic.consume queue=$q consumer-tag=t
            a1< queue.declare-ok queue=$q
            a1< basic.consume-ok consumer-tag=t
            a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
            a2> basic.qos
            a2< basic.qos-ok
            a1! 406 - delivery acknowledgement on channel 1 timed out. Timeout value used: 600 ms. This timeout value can be configured, see consumers doc guide to learn more
            a2~ basic.get queue=$q => basic.get-ok redelivered body=1
            a2! 406 - delivery acknowledgement on channel 2 timed out. Timeout value used: 600 ms. This timeout value can be configured, see consumers doc guide to learn more
            ",
        );
        transcript.finish();
    }
}

#[test]
fn consumers_and_queues_may_have_timeouts_of_their_own() {
    let broker = Broker::start_ours_with(2, &["consumer_timeout=600"]);
    let _log = broker.log_on_failure();
    let mut transcript = Transcript::new(&broker);
    transcript.play(
        "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.consume queue=$q consumer-tag=t arguments={x-consumer-timeout=I:3600000}
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a1< basic.deliver consumer-tag=t delivery-tag=1 body=1
        a2> queue.declare queue=$p arguments={x-consumer-timeout=I:300}
        a2> basic.publish routing-key=$p body=2
        a2> basic.consume queue=$p consumer-tag=t
        a2< queue.declare-ok queue=$p
        a2< basic.consume-ok consumer-tag=t
        a2< basic.deliver consumer-tag=t delivery-tag=1 body=2
        a2! 406 - delivery acknowledgement on channel 2 timed out. Timeout value used: 300 ms. This timeout value can be configured, see consumers doc guide to learn more
        -- The clock: a get has the timeout of the configuration.
        a2> basic.get queue=$p
        a2< basic.get-ok redelivered body=2
        a2! 406 - delivery acknowledgement on channel 2 timed out. Timeout value used: 600 ms. This timeout value can be configured, see consumers doc guide to learn more
        a1> basic.ack delivery-tag=1
        a1> basic.qos
        a1< basic.qos-ok
        ",
    );
    transcript.finish();
}
