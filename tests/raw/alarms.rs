//! Alarms: whoever publishes is held up, and told so, while memory or disk are short; all others go on.

use harness::wire::Transcript;
use harness::{Broker, SHARD_COUNTS};

/// What RabbitMQ reads for "never enough".
const EVERY_DISK: &str = "disk_free_limit.absolute=8000PB";

#[test]
fn publishers_wait_while_the_disk_is_short() {
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours_with(shards, &[EVERY_DISK]);
        let _log = broker.log_on_failure();
        broker.logged("low on disk").expect("it looks at the disk");
        Transcript::new(&broker).play(
            "
            a1> queue.declare queue=$q
            a1< queue.declare-ok queue=$q
            b1> basic.consume queue=$q consumer-tag=t
            b1< basic.consume-ok consumer-tag=t
            c: open capabilities={}
            c1> basic.publish routing-key=$q body=untold
            a1> basic.publish routing-key=$q body=told
            a< connection.blocked reason=\"low on disk\"
            -- Who does not publish is not concerned.
            b1> basic.cancel consumer-tag=t
            b1< basic.cancel-ok consumer-tag=t
            b1> queue.declare queue=$q passive
            b1< queue.declare-ok message-count=0
            a: drop
            c: drop
            -- Who was waiting and went has not published.
            b1~ queue.declare queue=$q passive => queue.declare-ok message-count=0
            ",
        );
    }
}

/// Less than any broker takes; then what counts is whether messages take a quarter of it.
const LITTLE_MEMORY: &str = "vm_memory_high_watermark.absolute=8MB";

#[test]
fn publishers_go_on_when_memory_is_free_again() {
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours_with(shards, &[LITTLE_MEMORY]);
        let _log = broker.log_on_failure();
        let mut transcript = Transcript::new(&broker);
        transcript.play(
            "
            a1> queue.declare queue=$q
            a1< queue.declare-ok queue=$q
            a1> basic.publish routing-key=$q body=@1200000
            a1> basic.publish routing-key=$q body=@1200000
            a1~ queue.declare queue=$q passive => queue.declare-ok message-count=2
            ",
        );
        broker.logged("low on memory").expect("it looks at its memory");
        transcript.play(
            "
            a1> basic.publish routing-key=$q body=late
            a< connection.blocked reason=\"low on memory\"
            a1> basic.publish routing-key=$q body=later
            b1> queue.purge queue=$q
            b1< queue.purge-ok message-count=2
            a< connection.unblocked
            a1~ queue.declare queue=$q passive => queue.declare-ok message-count=2
            ",
        );
        transcript.finish();
    }
}
