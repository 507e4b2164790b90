//! What must not depend on which shard something lives on: the same with many queues and many connections, wherever they are.

use std::fmt::Write;

crate::transcripts! {
    declared_here_and_used_there: &super::declared_here_and_used_there();
    one_message_to_many_queues: &super::one_message_to_many_queues();
    many_consumers_in_turn: &super::many_consumers_in_turn();
    many_consumers_of_a_deleted_queue: &super::many_consumers_of_a_deleted_queue();
    many_exclusive_queues: &super::many_exclusive_queues();
    one_tag_settles_many_queues: &super::one_tag_settles_many_queues();
    many_connections_leave_nothing_behind: &super::many_connections_leave_nothing_behind();
    a_confirm_covers_all_queues: &super::a_confirm_covers_all_queues();
}

/// Names of connections.
const CONNECTIONS: [char; 12] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'];

/// `line` for each number from 1 to `count`.
fn lines(count: usize, mut line: impl FnMut(usize) -> String) -> String {
    (1..=count).fold(String::new(), |mut script, number| {
        writeln!(script, "{}", line(number)).expect("strings take all text");
        script
    })
}

/// The answer to a declare, bind or delete is the promise that everybody sees it.
fn declared_here_and_used_there() -> String {
    lines(30, |number| {
        format!(
            "a1> queue.declare queue=$q{number}
            a1< queue.declare-ok
            b1> queue.bind queue=$q{number} exchange=amq.topic routing-key=$q{number}
            b1< queue.bind-ok
            c1> basic.publish exchange=amq.topic routing-key=$q{number} mandatory body=m{number}
            c1> basic.get queue=$q{number} no-ack
            c1< basic.get-ok body=m{number}
            d1> queue.unbind queue=$q{number} exchange=amq.topic routing-key=$q{number}
            d1< queue.unbind-ok
            c1> basic.publish exchange=amq.topic routing-key=$q{number} mandatory body=m{number}
            c1< basic.return reply-code=312 body=m{number}
            b1> queue.delete queue=$q{number}
            b1< queue.delete-ok
            a1> basic.publish routing-key=$q{number} mandatory body=m{number}
            a1< basic.return reply-code=312 body=m{number}"
        )
    })
}

fn one_message_to_many_queues() -> String {
    let declares = lines(25, |number| {
        format!(
            "a1> queue.declare queue=$q{number} durable
            a1> queue.bind queue=$q{number} exchange=$x
            a1< queue.declare-ok
            a1< queue.bind-ok"
        )
    });
    let gets = lines(25, |number| {
        format!(
            "c1> basic.get queue=$q{number} no-ack
            c1< basic.get-ok exchange=$x body=@5000 message-count=0 delivery-mode=2 headers={{a=I:1}}"
        )
    });
    format!(
        "a1> exchange.declare exchange=$x type=fanout
        a1< exchange.declare-ok
        {declares}
        b1> confirm.select
        b1> basic.publish exchange=$x body=@5000 delivery-mode=2 headers={{a=I:1}} mandatory
        b1< confirm.select-ok
        b1: confirmed 1
        {gets}"
    )
}

/// Strictly in turn, whoever they are.
fn many_consumers_in_turn() -> String {
    let consume = |name| format!("{name}1> basic.consume queue=$q consumer-tag=t no-ack\n {name}1< basic.consume-ok\n");
    let consumes: String = CONNECTIONS.into_iter().map(consume).collect();
    let publishes = lines(3 * CONNECTIONS.len(), |number| format!("z1> basic.publish routing-key=$q body={number}"));
    let deliveries = lines(3 * CONNECTIONS.len(), |number| {
        let (turn, index) = ((number - 1) / CONNECTIONS.len(), (number - 1) % CONNECTIONS.len());
        format!("{}1< basic.deliver delivery-tag={} body={number}", CONNECTIONS[index], turn + 1)
    });
    format!("z1> queue.declare queue=$q\n z1< queue.declare-ok\n{consumes}{publishes}{deliveries}")
}

fn many_consumers_of_a_deleted_queue() -> String {
    let consume = |name| format!("{name}1> basic.consume queue=$q consumer-tag={name}\n {name}1< basic.consume-ok\n");
    let consumes: String = CONNECTIONS.into_iter().map(consume).collect();
    let cancel = |name| format!("{name}1< basic.cancel consumer-tag={name} nowait\n");
    let cancels: String = CONNECTIONS.into_iter().map(cancel).collect();
    format!(
        "z1> queue.declare queue=$q\n z1< queue.declare-ok\n{consumes}
        z1> queue.declare queue=$q passive
        z1< queue.declare-ok consumer-count={}
        z1> queue.delete queue=$q
        z1< queue.delete-ok
        {cancels}",
        CONNECTIONS.len()
    )
}

/// All of them are gone when their owner hears that it is closed.
fn many_exclusive_queues() -> String {
    let declares = lines(30, |number| format!("a1> queue.declare queue=$q{number} exclusive\n a1< queue.declare-ok"));
    let gone = lines(30, |number| {
        format!("b1> queue.declare queue=$q{number} passive\n b1! 404 queue.declare no queue '$q{number}' in vhost '/'")
    });
    format!("{declares}\n a: close\n{gone}")
}

fn one_tag_settles_many_queues() -> String {
    let publishes = lines(20, |number| {
        format!(
            "a1> queue.declare queue=$q{number}
            a1> basic.publish routing-key=$q{number} body={number}
            a1> basic.get queue=$q{number}
            a1< queue.declare-ok
            a1< basic.get-ok delivery-tag={number} body={number}"
        )
    });
    let acked = lines(15, |number| format!("a1> basic.get queue=$q{number}\n a1< basic.get-empty"));
    let requeued = lines(5, |number| {
        let queue = number + 15;
        format!(
            "a1> basic.get queue=$q{queue}\n a1< basic.get-ok delivery-tag={} redelivered body={queue}",
            number + 20
        )
    });
    format!(
        "{publishes} a1> basic.ack delivery-tag=15 multiple\n a1> basic.nack delivery-tag=0 multiple requeue\n {acked}{requeued}"
    )
}

fn many_connections_leave_nothing_behind() -> String {
    let work = |name| {
        format!(
            "{name}1> basic.consume queue=$q consumer-tag=t
            {name}1< basic.consume-ok
            {name}2> queue.declare queue=$own_{name} auto-delete
            {name}2< queue.declare-ok
            {name}2> basic.consume queue=$own_{name} consumer-tag=t
            {name}2< basic.consume-ok\n"
        )
    };
    let works: String = CONNECTIONS.into_iter().map(work).collect();
    let leave = |(index, name): (usize, char)| {
        if index % 2 == 0 { format!("{name}: drop\n") } else { format!("{name}: close\n") }
    };
    let leaves: String = CONNECTIONS.into_iter().enumerate().map(leave).collect();
    let gone = |name| format!("z1~ queue.declare queue=$own_{name} passive => ! 404\n");
    let gone: String = CONNECTIONS.into_iter().map(gone).collect();
    format!(
        "z1> queue.declare queue=$q\n z1< queue.declare-ok\n{works}{leaves}
        z1~ queue.declare queue=$q passive => queue.declare-ok consumer-count=0
        {gone}"
    )
}

/// Each publish reaches two queues, one of them again and again, the other once.
fn a_confirm_covers_all_queues() -> String {
    let declares = lines(20, |number| {
        format!(
            "a1> queue.declare queue=$q{number}
            a1> queue.bind queue=$q{number} exchange=$x routing-key=k{number}
            a1< queue.declare-ok
            a1< queue.bind-ok"
        )
    });
    let publishes = lines(20, |number| format!("b1> basic.publish exchange=$x routing-key=k{number} body={number}"));
    let counts = lines(20, |number| {
        format!("c1> queue.declare queue=$q{number} passive\n c1< queue.declare-ok message-count=1")
    });
    format!(
        "a1> exchange.declare exchange=$x type=topic
        a1> queue.declare queue=$all
        a1> queue.bind queue=$all exchange=$x routing-key=#
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        {declares}
        b1> confirm.select
        b1< confirm.select-ok
        {publishes}
        b1: confirmed 20
        c1> queue.declare queue=$all passive
        c1< queue.declare-ok message-count=20
        {counts}"
    )
}
