//! Exchange types that RabbitMQ's users know from plugins: consistent hash, modulus hash, random, recent history, delayed messages.
//!
//! Against a RabbitMQ they need its plugins: consistent_hash, random, recent_history and sharding come with it, delayed messages do not.

use std::fmt::Write;

crate::transcripts! {
    declaring_them: r#"
        a1> exchange.declare exchange=$h type=x-consistent-hash durable
        a1> exchange.declare exchange=$m type=x-modulus-hash
        a1> exchange.declare exchange=$r type=x-random
        a1> exchange.declare exchange=$y type=x-recent-history arguments={x-recent-history-length=I:2}
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$p type=x-consistent-hash arguments={hash-property=S:odd}
        a1! 406 exchange.declare Unsupported property: odd
        a1> exchange.declare exchange=$p type=x-consistent-hash arguments={hash-property=S:timestamp hash-header=S:h}
        a1! 406 exchange.declare hash-header and hash-property are mutually exclusive
        a1> exchange.declare exchange=$p type=x-recent-history arguments={x-recent-history-length=I:0}
        a1! 406 exchange.declare Invalid argument 0, 'x-recent-history-length' must be a positive integer
    "#;
    weights_are_positive_integers: r#"
        a1> exchange.declare exchange=$h type=x-consistent-hash
        a1> queue.declare queue=$q
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1> queue.bind queue=$q exchange=$h routing-key=heavy
        a1! 406 queue.bind The binding key must be an integer: <<"heavy">>
        a1> queue.bind queue=$q exchange=$h routing-key=0
        a1! 406 queue.bind The binding key must be greater than 0
        a1> queue.bind queue=$q exchange=$h routing-key=3
        a1< queue.bind-ok
        a1> basic.publish exchange=$h routing-key=anything mandatory body=1
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok exchange=$h routing-key=anything body=1
    "#;
    a_key_has_one_queue: &super::a_key_has_one_queue("", |key| format!("routing-key={key}"));
    a_header_has_one_queue: &super::a_key_has_one_queue("hash-header=S:tenant", |key| format!("headers={{tenant=S:{key}}}"));
    a_message_id_has_one_queue: &super::a_key_has_one_queue("hash-property=S:message_id", |key| format!("message-id={key}"));
    one_queue_of_several: &super::one_queue_of_several();
    local_random_takes_classic_queues: r#"
        [4] a1> exchange.declare exchange=$x type=x-local-random
        [4] a1> queue.declare queue=$q
        [4] a1> queue.declare queue=$k durable arguments={x-queue-type=S:quorum}
        [4] a1> queue.bind queue=$q exchange=$x
        [4] a1< exchange.declare-ok
        [4] a1< queue.declare-ok
        [4] a1< queue.declare-ok
        [4] a1< queue.bind-ok
        [4] a1> basic.publish exchange=$x routing-key=any mandatory body=1
        [4] a1> basic.get queue=$q no-ack
        [4] a1< basic.get-ok body=1
        [4] a1> queue.bind queue=$q exchange=$x routing-key=k
        [4] a1! 406 queue.bind Non empty binding 'k' key not permitted
        [4] a1> queue.bind queue=$k exchange=$x
        [4] a1! 406 queue.bind Queue type rabbit_quorum_queue not valid for this exchange type
    "#;
    a_new_binding_gets_the_last_messages: r#"
        a1> exchange.declare exchange=$x type=x-recent-history arguments={x-recent-history-length=I:2}
        a1> queue.declare queue=$q
        b1> queue.declare queue=$r
        a1< exchange.declare-ok
        a1< queue.declare-ok
        b1< queue.declare-ok
        a1> basic.publish exchange=$x routing-key=k body=1
        a1> basic.publish exchange=$x routing-key=k body=2
        a1> basic.publish exchange=$x routing-key=k body=secret headers={x-recent-history-no-store=t:true}
        a1> basic.publish exchange=$x routing-key=k body=3
        a1> queue.bind queue=$q exchange=$x
        a1< queue.bind-ok
        a1> basic.publish exchange=$x routing-key=k body=4
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< basic.consume-ok
        a1< basic.deliver delivery-tag=1 exchange=$x routing-key=k body=2
        a1< basic.deliver delivery-tag=2 body=3
        a1< basic.deliver delivery-tag=3 body=4
        b1> queue.bind queue=$r exchange=$x
        b1< queue.bind-ok
        b1> basic.consume queue=$r consumer-tag=t no-ack
        b1< basic.consume-ok
        b1< basic.deliver delivery-tag=1 body=3
        b1< basic.deliver delivery-tag=2 body=4
    "#;
    a_history_goes_on_to_an_exchange: r#"
        a1> exchange.declare exchange=$x type=x-recent-history
        a1> exchange.declare exchange=$d type=direct
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=$d routing-key=k
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        a1> basic.publish exchange=$x routing-key=k body=1
        a1> exchange.bind source=$x destination=$d
        a1< exchange.bind-ok
        a1~ basic.get queue=$q no-ack => basic.get-ok body=1
    "#;
}

/// They are not in RabbitMQ's package, so these are for ours alone.
mod delayed {
    crate::transcripts! {
        declaring: r#"
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:direct}
            a1< exchange.declare-ok
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:topic}
            a1! 406 exchange.declare inequivalent arg 'x-delayed-type' for exchange '$x' in vhost '/': received 'topic' but current is 'direct'
            a1> exchange.declare exchange=$p type=x-delayed-message
            a1! 406 exchange.declare Invalid argument, 'x-delayed-type' must be an existing exchange type
            a1> exchange.declare exchange=$p type=x-delayed-message arguments={x-delayed-type=S:odd}
            a1! 406 exchange.declare unknown exchange type 'odd'
        "#;
        the_shorter_delay_comes_first: r#"
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:topic}
            a1> queue.declare queue=$q
            a1> queue.bind queue=$q exchange=$x routing-key=a.*
            a1> confirm.select
            a1< exchange.declare-ok
            a1< queue.declare-ok
            a1< queue.bind-ok
            a1< confirm.select-ok
            a1> basic.publish exchange=$x routing-key=a.late body=late headers={x-delay=I:400} message-id=m mandatory
            a1> basic.publish exchange=$x routing-key=a.soon body=soon headers={x-delay=S:100 other=S:o}
            a1> basic.publish exchange=$x routing-key=a.now body=now headers={x-delay=I:0}
            a1: confirmed 3
            a1> basic.consume queue=$q consumer-tag=t no-ack
            a1< basic.consume-ok
            a1< basic.deliver delivery-tag=1 routing-key=a.now body=now headers={x-delay=I:0}
            a1< basic.deliver delivery-tag=2 routing-key=a.soon body=soon headers~"x-delay=S:-100" headers~"other=S:o"
            a1< basic.deliver delivery-tag=3 exchange=$x routing-key=a.late body=late headers={x-delay=I:-400} message-id=m
        "#;
        the_bindings_of_that_moment_count: r#"
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:fanout}
            a1> queue.declare queue=$q
            a1< exchange.declare-ok
            a1< queue.declare-ok
            a1> basic.publish exchange=$x body=1 headers={x-delay=I:300}
            a1> queue.bind queue=$q exchange=$x
            a1< queue.bind-ok
            a1~ basic.get queue=$q no-ack => basic.get-ok body=1
        "#;
        also_behind_another_exchange: r#"
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:direct}
            a1> exchange.declare exchange=$f type=fanout
            a1> exchange.bind source=$f destination=$x
            a1> queue.declare queue=$q
            a1> queue.bind queue=$q exchange=$x routing-key=k
            a1< exchange.declare-ok
            a1< exchange.declare-ok
            a1< exchange.bind-ok
            a1< queue.declare-ok
            a1< queue.bind-ok
            a1> basic.publish exchange=$f routing-key=k body=1 headers={x-delay=I:30}
            a1> basic.get queue=$q
            a1< basic.get-empty
            a1~ basic.get queue=$q no-ack => basic.get-ok exchange=$f routing-key=k body=1
        "#;
        they_go_with_their_exchange: r#"
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:fanout}
            a1> queue.declare queue=$q
            a1< exchange.declare-ok
            a1< queue.declare-ok
            a1> basic.publish exchange=$x body=gone headers={x-delay=I:100}
            a1> exchange.delete exchange=$x
            a1< exchange.delete-ok
            a1> exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type=S:fanout}
            a1> queue.bind queue=$q exchange=$x
            a1< exchange.declare-ok
            a1< queue.bind-ok
            a1> basic.publish exchange=$x body=kept headers={x-delay=I:200}
            a1~ basic.get queue=$q no-ack => basic.get-ok body=kept
        "#;
    }
}

#[test]
fn delayed_messages_wait_on_after_a_crash() {
    let mut broker = harness::Broker::start_ours(2);
    harness::wire::play(
        &broker,
        "
        a1> exchange.declare exchange=later type=x-delayed-message durable arguments={x-delayed-type=S:fanout}
        a1> queue.declare queue=arrived durable
        a1> queue.bind queue=arrived exchange=later
        a1> exchange.declare exchange=gone type=x-delayed-message durable arguments={x-delayed-type=S:fanout}
        a1> queue.bind queue=arrived exchange=gone
        a1> confirm.select
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        a1< exchange.declare-ok
        a1< queue.bind-ok
        a1< confirm.select-ok
        a1> basic.publish exchange=gone body=gone headers={x-delay=I:2500} delivery-mode=2
        a1> basic.publish exchange=later routing-key=k body=later headers={x-delay=I:9000} delivery-mode=2 mandatory
        a1> basic.publish exchange=later routing-key=k body=overdue headers={x-delay=I:3000} delivery-mode=2 message-id=m
        a1> basic.publish exchange=later body=transient headers={x-delay=I:5000}
        a1: confirmed 4
        a1> exchange.delete exchange=gone
        a1< exchange.delete-ok
        a1> tx.select
        a1! 406 tx.select cannot switch from confirm to tx mode
        b1> tx.select
        b1< tx.select-ok
        b1> basic.publish exchange=later routing-key=k body=committed headers={x-delay=I:8000} delivery-mode=2
        b1> tx.commit
        b1< tx.commit-ok
        ",
    );
    broker.kill();
    let broker = broker.restarted(1);
    let _log = broker.log_on_failure();
    harness::wire::play(
        &broker,
        "
        a1> basic.consume queue=arrived consumer-tag=t no-ack
        a1< basic.consume-ok
        a1< basic.deliver delivery-tag=1 exchange=later routing-key=k body=overdue message-id=m headers={x-delay=I:-3000}
        a1< basic.deliver delivery-tag=2 routing-key=k body=committed headers={x-delay=I:-8000} delivery-mode=2
        a1< basic.deliver delivery-tag=3 routing-key=k body=later headers={x-delay=I:-9000} delivery-mode=2
        ",
    );
}

/// `line` for each number from 1 to `count`.
fn lines(count: usize, mut line: impl FnMut(usize) -> String) -> String {
    (1..=count).fold(String::new(), |mut script, number| {
        writeln!(script, "{}", line(number)).expect("strings take all text");
        script
    })
}

/// Each of 20 keys twice, from two connections. A queue that holds one message lets the second of the same key die, which counts
/// it; were it in another queue, it would not.
fn a_key_has_one_queue(arguments: &str, key: impl Fn(usize) -> String) -> String {
    let rounds = lines(20, |number| {
        let key = key(number);
        let purge = lines(4, |queue| format!("a1> queue.purge queue=$q{queue}\na1< queue.purge-ok"));
        format!(
            "a1> basic.publish exchange=$x mandatory body=first {key}
            b1> basic.publish exchange=$x mandatory body=second {key}
            a1~ basic.get queue=$twice no-ack => basic.get-ok
            {purge}"
        )
    });
    let declares = lines(4, |number| {
        format!(
            "a1> queue.declare queue=$q{number} arguments={{x-max-length=I:1 x-dead-letter-exchange=S:\"\" x-dead-letter-routing-key=S:$twice}}
            a1> queue.bind queue=$q{number} exchange=$x routing-key={number}
            a1< queue.declare-ok
            a1< queue.bind-ok"
        )
    });
    format!(
        "a1> exchange.declare exchange=$x type=x-consistent-hash arguments={{{arguments}}}
        a1> queue.declare queue=$twice
        a1< exchange.declare-ok
        a1< queue.declare-ok
        {declares}
        {rounds}"
    )
}

/// A random, or a hash modulo their number, chooses exactly one: thirty messages are thirty, wherever they are.
fn one_queue_of_several() -> String {
    ["x-random", "x-modulus-hash", "x-consistent-hash"]
        .into_iter()
        .map(|kind| {
            let name = kind.replace('-', "");
            let publishes = lines(30, |number| format!("a1> basic.publish exchange=${name} routing-key=k{number} mandatory body={number}"));
            format!(
                "a1> exchange.declare exchange=${name} type={kind}
                a1> queue.declare queue=$a{name} arguments={{x-dead-letter-exchange=S:\"\" x-dead-letter-routing-key=S:$sum{name} x-message-ttl=I:0}}
                a1> queue.declare queue=$b{name} arguments={{x-dead-letter-exchange=S:\"\" x-dead-letter-routing-key=S:$sum{name} x-message-ttl=I:0}}
                a1> queue.declare queue=$sum{name}
                a1> queue.bind queue=$a{name} exchange=${name} routing-key=1
                a1> queue.bind queue=$b{name} exchange=${name} routing-key=1
                a1< exchange.declare-ok
                a1< queue.declare-ok
                a1< queue.declare-ok
                a1< queue.declare-ok
                a1< queue.bind-ok
                a1< queue.bind-ok
                {publishes}
                a1~ queue.declare queue=$sum{name} passive => queue.declare-ok message-count=30\n"
            )
        })
        .collect()
}
