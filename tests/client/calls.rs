//! Remote procedure calls, several coroutines on one connection, calls that are cut short.

use std::time::Duration;

use harness::{patience, unique};
use leveret_client::{Error, Message, Properties, QueueOptions, RpcClient, serve};
use leveret_runtime::{join_all, spawn, timeout};

use crate::World;

crate::scenarios! { calls_are_answered, nobody_serves, an_answer_too_late, many_coroutines_ask_at_once,
a_call_cut_short_leaves_the_channel_usable }

fn calls_are_answered(world: &World) {
    let queue = unique("double");
    let (connection, name) = (world.connection.clone(), queue.clone());
    let channel = world.channel();
    channel.queue_declare(&queue, &QueueOptions { auto_delete: true, ..QueueOptions::default() }).expect("a queue");
    let server = spawn(move || {
        let double = |request: &Message| [request.body(), request.body()].concat();
        serve(&connection.open_channel()?, &name, double)
    });
    let clients = (0..5).map(|client| {
        let (connection, queue) = (world.connection.clone(), queue.clone());
        spawn(move || {
            let mut rpc = RpcClient::open(&connection).expect("a channel");
            for call in 0..20 {
                let body = format!("{client}.{call};");
                let answer = rpc.call(&queue, body.as_bytes(), patience()).expect("an answer");
                assert_eq!(answer.body(), format!("{body}{body}").as_bytes());
            }
        })
    });
    assert!(join_all(clients.collect::<Vec<_>>()).iter().all(Result::is_ok));
    channel.queue_delete(&queue, false, false).expect("it is there");
    assert_eq!(server.join().expect("it does not panic"), Err(Error::Cancelled));
}

fn nobody_serves(world: &World) {
    let mut rpc = RpcClient::open(&world.connection).expect("a channel");
    let error = rpc.call(&unique("nobody"), b"?", patience()).expect_err("there is no such queue");
    assert!(matches!(&error, Error::Unroutable(returned) if returned.code == 312), "{error}");
}

fn an_answer_too_late(world: &World) {
    let (channel, queue) = world.queue();
    let mut rpc = RpcClient::open(&world.connection).expect("a channel");
    let limit = Duration::from_millis(1);
    assert_eq!(rpc.call(&queue, b"1", limit), Err(Error::TimedOut { what: "answer", limit }));
    let name = queue.clone();
    let server = spawn(move || serve(&channel, &name, |request| request.body().to_vec()));
    // The answer to the first call comes first, and is nobody's any more.
    assert_eq!(rpc.call(&queue, b"2", patience()).expect("an answer").body(), b"2");
    server.kill();
}

fn many_coroutines_ask_at_once(world: &World) {
    let askers = (0..50).map(|_| {
        let connection = world.connection.clone();
        spawn(move || {
            let channel = connection.open_channel().expect("a channel");
            let exclusive = QueueOptions { exclusive: true, ..QueueOptions::default() };
            let queue = channel.queue_declare("", &exclusive).expect("a queue").name;
            for body in 0..20u8 {
                channel.publish("", &queue, &Properties::default(), &[body]).expect("an open channel");
                let got = channel.get(&queue, true).expect("it is there").expect("a message");
                assert_eq!(got.message.body(), [body]);
            }
            channel.close().expect("it is open");
        })
    });
    assert!(join_all(askers.collect::<Vec<_>>()).iter().all(Result::is_ok));
}

fn a_call_cut_short_leaves_the_channel_usable(world: &World) {
    let (channel, queue) = world.queue();
    for round in 0..50u32 {
        let _ = timeout(Duration::ZERO, || channel.queue_purge(&queue));
        for _ in 0..round {
            channel.publish("", &queue, &Properties::default(), b"m").expect("an open channel");
        }
        assert_eq!(channel.queue_purge(&queue), Ok(round));
    }
}
