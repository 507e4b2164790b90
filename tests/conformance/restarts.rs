//! What is durable, and what is not: the broker stops or is killed, and starts again on its data. It is the scenario's own.

use harness::{Broker, Pika};

use crate::world::World;

const TASKS: [&str; 5] = ["task0.", "task1.", "task2.", "task3.", "task4."];

/// Runs a scenario, against ours only: it has to be stopped and started.
pub(crate) fn run(shards: usize, pika: Pika, scenario: fn(Broker, Pika, usize)) {
    scenario(Broker::start_ours(shards), pika, shards);
}

/// "Make sure that the messages won't be lost": a durable queue, messages with delivery mode 2, a broker that stops.
pub(crate) fn durable_messages_survive_a_stop(mut broker: Broker, pika: Pika, shards: usize) {
    let world = World::of(&broker, pika);
    world.run("new_task.py", &[&["task_queue", "durable"], &TASKS[..]].concat());
    world.await_queue("task_queue", "found messages=5 consumers=0");
    broker.terminate();
    broker.await_end();
    let broker = broker.restarted(shards);
    expect_tasks(&broker, pika, "False");
}

/// The same with a broker that is killed (SIGKILL), which keeps what it has confirmed.
pub(crate) fn confirmed_messages_survive_a_crash(mut broker: Broker, pika: Pika, shards: usize) {
    let world = World::of(&broker, pika);
    let producer = world.run("confirmed_task.py", &[&["task_queue"], &TASKS[..]].concat());
    assert_eq!(producer.lines_with("True").len(), TASKS.len(), "all are confirmed");
    broker.kill();
    let broker = broker.restarted(shards);
    // After a crash nobody knows who had what.
    expect_tasks(&broker, pika, "True");
}

/// Whatever a dead worker held is there after a crash of the broker too.
pub(crate) fn unacknowledged_messages_survive_a_crash(mut broker: Broker, pika: Pika, shards: usize) {
    let world = World::of(&broker, pika);
    world.run("confirmed_task.py", &[&["task_queue"], &TASKS[..]].concat());
    let worker = world.start("worker.py", &["task_queue", "durable", "1", "3600"]);
    worker.expect("Received b'task0.'");
    broker.kill();
    let broker = broker.restarted(shards);
    expect_tasks(&broker, pika, "True");
}

/// Neither a queue that is not durable nor what is in it survives, whatever the messages' delivery mode.
pub(crate) fn a_transient_queue_is_gone_after_a_restart(mut broker: Broker, pika: Pika, shards: usize) {
    let world = World::of(&broker, pika);
    world.run("new_task.py", &["hello", "transient", "persistent"]);
    world.await_queue("hello", "found messages=1 consumers=0");
    broker.terminate();
    broker.await_end();
    let broker = broker.restarted(shards);
    let world = World::of(&broker, pika);
    let seen = world.run("inspect_queue.py", &["hello"]);
    assert!(seen.expect("refused").contains("NOT_FOUND - no queue 'hello' in vhost '/'"));
}

/// All tasks, in their order.
fn expect_tasks(broker: &Broker, pika: Pika, redelivered: &str) {
    let world = World::of(broker, pika);
    world.await_queue("task_queue", "found messages=5 consumers=0");
    let worker = world.start("worker.py", &["task_queue", "durable", "0", "0"]);
    worker.expect_count(TASKS.len(), "[x] Done");
    let expected: Vec<String> =
        TASKS.iter().map(|task| format!(" [x] Received b'{task}' redelivered={redelivered}")).collect();
    assert_eq!(worker.lines_with("[x] Received"), expected);
}
