//! Transactions: publishes and acknowledgements that happen together or not at all.

crate::transcripts! {
    publishes_wait_for_the_commit: "
        a1> queue.declare queue=$q
        a1> tx.select
        a1> tx.select
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< tx.select-ok
        a1< tx.select-ok
        a1< basic.get-empty
        a1> tx.commit
        a1< tx.commit-ok
        b1> basic.get queue=$q no-ack
        b1> basic.get queue=$q no-ack
        b1< basic.get-ok body=1
        b1< basic.get-ok body=2
    ";
    publishes_are_dropped_by_a_rollback: "
        a1> queue.declare queue=$q
        a1> tx.select
        a1> basic.publish routing-key=$q body=1
        a1> tx.rollback
        a1< queue.declare-ok queue=$q
        a1< tx.select-ok
        a1< tx.rollback-ok
        a1> basic.publish routing-key=$q body=2
        a1> tx.commit
        a1< tx.commit-ok
        a1> basic.get queue=$q
        a1< basic.get-ok message-count=0 body=2
    ";
    an_unfinished_transaction_is_dropped_with_its_channel: "
        a1> queue.declare queue=$q
        a1> tx.select
        a1> basic.publish routing-key=$q body=1
        a1< queue.declare-ok queue=$q
        a1< tx.select-ok
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1> basic.get queue=$q
        a1< basic.get-empty
    ";
    acknowledgements_wait_for_the_commit: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> tx.select
        a1> basic.get queue=$q
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< tx.select-ok
        a1< basic.get-ok delivery-tag=1 body=1
        a1< basic.get-ok delivery-tag=2 body=2
        a1> basic.ack delivery-tag=1
        a1> tx.commit
        a1< tx.commit-ok
        a1> basic.ack delivery-tag=2
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1> basic.get queue=$q
        a1< basic.get-ok redelivered message-count=0 body=2
    ";
    acknowledgements_are_undone_by_a_rollback: "
        a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> tx.select
        a1> basic.get queue=$q
        a1< queue.declare-ok queue=$q
        a1< tx.select-ok
        a1< basic.get-ok delivery-tag=1 body=1
        a1> basic.ack delivery-tag=1
        a1> tx.rollback
        a1< tx.rollback-ok
        a1> basic.get queue=$q
        a1< basic.get-empty
        a1> basic.ack delivery-tag=1
        a1> tx.commit
        a1< tx.commit-ok
    ";
    returns_come_before_the_commit_is_answered: "
        a1> tx.select
        a1> basic.publish routing-key=$nowhere body=1 mandatory
        a1> basic.qos
        a1< tx.select-ok
        a1< basic.qos-ok
        a1> tx.commit
        a1< basic.return reply-code=312 body=1
        a1< tx.commit-ok
    ";
    a_bad_publish_is_refused_at_once: "
        a1> tx.select
        a1< tx.select-ok
        a1> basic.publish exchange=$x body=1
        a1! 404 basic.publish no exchange '$x' in vhost '/'
    ";
    a_bad_acknowledgement_is_refused_at_once: "
        a1> tx.select
        a1< tx.select-ok
        a1> basic.ack delivery-tag=1
        a1! 406 basic.ack unknown delivery tag 1
    ";
    // What was refused is lost, and the client is told by its channel's end; the rest of the transaction has taken effect.
    a_full_queue_refuses_a_part: "
        b1> queue.declare queue=$q arguments={x-max-length=I:1 x-overflow=S:reject-publish}
        b1< queue.declare-ok queue=$q
        a1> tx.select
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$q body=2
        a1> tx.commit
        a1< tx.select-ok
        a1! 406 tx.commit partial tx completion
        b1> basic.get queue=$q no-ack
        b1< basic.get-ok body=1 message-count=0
    ";
    what_is_committed_is_there_for_all: "
        a1> queue.declare queue=$q
        b1> queue.declare queue=$p
        a1< queue.declare-ok
        b1< queue.declare-ok
        a1> tx.select
        a1< tx.select-ok
        a1> basic.publish routing-key=$q body=1
        a1> basic.publish routing-key=$p body=2
        a1> tx.commit
        a1< tx.commit-ok
        b1> queue.declare queue=$q passive
        b1< queue.declare-ok message-count=1
        b1> queue.declare queue=$p passive
        b1< queue.declare-ok message-count=1
    ";
}
