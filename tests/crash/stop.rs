//! A broker that is asked to stop notes what was delivered: everything unsettled comes back, and comes back as redelivered. What
//! nobody can know after a kill is still in doubt after the stop that follows, and what came later is not.

use harness::{Broker, SHARD_COUNTS};
use leveret_client::{BasicProperties, Channel, Connection, ConsumeOptions, Consumer, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;

use crate::load::connect;

/// Queues, spread over the shards.
const QUEUES: usize = 40;

/// Messages of each.
const MESSAGES: u32 = 25;

/// Stops of one broker.
const STOPS: usize = 3;

fn name(queue: usize) -> String {
    format!("stop.{queue}")
}

#[test]
fn what_was_unsettled_comes_back_as_redelivered() {
    for shards in SHARD_COUNTS {
        runtime::run(move || {
            let mut broker = Broker::start_ours(shards);
            fill(&connect(broker.address()).expect("a connection"));
            for _ in 0..STOPS {
                let held: Vec<_> = (0..QUEUES).map(|queue| hold(&broker, queue)).collect();
                // On another thread: the clients here answer the broker's farewell meanwhile.
                broker = runtime::offload(move || {
                    broker.terminate();
                    assert!(broker.await_end().success());
                    broker
                });
                drop(held);
                broker = broker.restarted(shards);
                let connection = connect(broker.address()).expect("a connection");
                (0..QUEUES).for_each(|queue| look(&connection.open_channel().expect("a channel"), queue));
            }
        })
        .expect("somebody can always run");
    }
}

#[test]
fn what_a_kill_left_in_doubt_stays_in_doubt_over_a_stop() {
    for shards in SHARD_COUNTS {
        runtime::run(move || {
            let mut broker = Broker::start_ours(shards);
            fill(&connect(broker.address()).expect("a connection"));
            let held: Vec<_> = (0..QUEUES).step_by(2).map(|queue| hold(&broker, queue)).collect();
            broker.kill();
            drop(held);
            for stop in 0..STOPS {
                broker = broker.restarted(shards);
                publish(&connect(broker.address()).expect("a connection"), MESSAGES + stop as u32);
                broker = runtime::offload(move || {
                    broker.terminate();
                    assert!(broker.await_end().success());
                    broker
                });
            }
            broker = broker.restarted(shards);
            let _log = broker.log_on_failure();
            let connection = connect(broker.address()).expect("a connection");
            (0..QUEUES).for_each(|queue| judge(&connection.open_channel().expect("a channel"), queue));
        })
        .expect("somebody can always run");
    }
}

/// All that was there at the kill may have been delivered, and half of the queues' was; nothing that came later was.
fn judge(channel: &Channel, queue: usize) {
    for n in 0..MESSAGES + STOPS as u32 {
        let got = channel.get(&name(queue), true).expect("open").expect("nothing is lost");
        assert_eq!(got.message.body(), n.to_le_bytes(), "{queue}");
        assert_eq!(got.redelivered, n < MESSAGES, "{n} of {queue}");
    }
    assert!(channel.get(&name(queue), true).expect("open").is_none());
}

/// One more message for each queue.
fn publish(connection: &Connection, number: u32) {
    let channel = connection.open_channel().expect("a channel");
    channel.confirm_select().expect("the mode");
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for queue in (0..QUEUES).map(name) {
        channel.publish("", &queue, &properties, &number.to_le_bytes()).expect("open");
    }
    channel.wait_for_confirms_below(1).expect("confirmed");
}

fn fill(connection: &Connection) {
    let channel = connection.open_channel().expect("a channel");
    channel.confirm_select().expect("the mode");
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for queue in (0..QUEUES).map(name) {
        let durable = QueueOptions { durable: true, ..QueueOptions::default() };
        channel.queue_declare(&queue, &durable).expect("a queue");
        (0..MESSAGES).for_each(|n| _ = channel.publish("", &queue, &properties, &n.to_le_bytes()).expect("open"));
    }
    channel.wait_for_confirms_below(1).expect("confirmed");
}

/// Has everything of a queue delivered, and settles nothing.
fn hold(broker: &Broker, queue: usize) -> (Consumer, Channel, Connection) {
    let connection = connect(broker.address()).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    let mut consumer = channel.consume(&name(queue), &ConsumeOptions::default()).expect("a consumer");
    for n in 0..MESSAGES {
        let delivery = consumer.next().expect("as many as were published").expect("a delivery");
        assert_eq!(delivery.message().body(), n.to_le_bytes(), "{queue}");
    }
    (consumer, channel, connection)
}

fn look(channel: &Channel, queue: usize) {
    for n in 0..MESSAGES {
        let got = channel.get(&name(queue), false).expect("open").expect("as many as were published");
        assert_eq!(got.message.body(), n.to_le_bytes(), "{queue}");
        assert!(got.redelivered, "{n} of {queue}");
    }
}
