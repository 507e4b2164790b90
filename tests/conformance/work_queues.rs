//! One queue and those who share its messages: hello, work queues, acknowledgements, fair dispatch.

use crate::world::World;

pub(crate) fn hello(world: &World) {
    let queue = world.name("hello");
    let receiver = world.start("receive.py", &[&queue]);
    receiver.expect("[*] Waiting");
    world.send(&queue, &["Hello World"]);
    receiver.expect("[x] Received b'Hello World'");
    // What the tutorial prints of each message: channel, method, properties.
    let printed = receiver.expect("<Basic.Deliver(");
    for part in ["BlockingChannel", "consumer_tag=ctag1.", "delivery_tag=1'", "'exchange='", "redelivered=False"] {
        assert!(printed.contains(part), "{part:?} is not in {printed:?}");
    }
    assert!(printed.contains(&format!("routing_key={queue}'])> <BasicProperties>")), "{printed:?}");
}

pub(crate) fn work_queue(world: &World) {
    let queue = world.name("task_queue");
    let workers = [(); 3].map(|()| world.start("worker.py", &[&queue, "transient", "0", "0.01"]));
    workers.iter().for_each(|worker| drop(worker.expect("[*] Waiting")));
    let tasks: Vec<String> = (1..=9).map(|number| format!("task{number}.")).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    world.run("new_task.py", &[&[&queue, "transient"], &tasks[..]].concat());
    for worker in &workers {
        worker.expect_count(3, "[x] Done");
    }
    let mut taken: Vec<Vec<String>> = workers.iter().map(|worker| worker.lines_with("[x] Received")).collect();
    taken.sort();
    // In turn: the first worker has the tasks 1, 4, 7 and so on.
    let line = |number: usize| format!(" [x] Received b'task{number}.' redelivered=False");
    assert_eq!(taken, [1, 2, 3].map(|first| vec![line(first), line(first + 3), line(first + 6)]));
    world.await_queue(&queue, "found messages=0 consumers=3");
}

pub(crate) fn persistent_message_on_a_transient_queue(world: &World) {
    let queue = world.name("task_queue");
    world.run("new_task.py", &[&queue, "transient", "Hello World!"]);
    world.await_queue(&queue, "found messages=1 consumers=0");
    let receiver = world.start("receive.py", &[&queue]);
    receiver.expect("[x] Received b'Hello World!'");
    assert!(receiver.expect("<Basic.Deliver(").contains("<BasicProperties(['delivery_mode=2'])>"));
}

pub(crate) fn acknowledging_without_being_asked(world: &World) {
    let queue = world.name("task_queue");
    let worker = world.start("worker_no_ack.py", &[&queue, "0.01"]);
    worker.expect("[*] Waiting");
    world.send(&queue, &["first"]);
    worker.expect("method.delivery_tag 1");
    let closed = worker.expect("PRECONDITION_FAILED - unknown delivery tag 1");
    assert!(closed.contains("406"), "{closed:?}");
    // The closed channel takes no more messages.
    world.await_queue(&queue, "found messages=0 consumers=0");
    world.send(&queue, &["second"]);
    world.await_queue(&queue, "found messages=1 consumers=0");
    assert_eq!(worker.lines_with("[x] Received").len(), 1);
}

pub(crate) fn killed_worker(world: &World) {
    const HELD: usize = 5;
    let queue = world.name("task_queue");
    let mut victim = world.start("worker_holding.py", &[&queue]);
    victim.expect("[*] Waiting");
    world.send(&queue, &["task0.", "task1.", "task2.", "task3.", "task4."]);
    assert_eq!(victim.expect_count(HELD, "Holding"), held(HELD, "Holding", false));
    let heir = world.start("worker.py", &[&queue, "transient", "0", "0"]);
    heir.expect("[*] Waiting");
    victim.kill();
    heir.expect_count(HELD, "[x] Done");
    assert_eq!(heir.lines_with("[x] Received"), held(HELD, "Received", true));
    world.await_queue(&queue, "found messages=0 consumers=1");
}

fn held(count: usize, word: &str, redelivered: bool) -> Vec<String> {
    let redelivered = if redelivered { "True" } else { "False" };
    (0..count).map(|number| format!(" [x] {word} b'task{number}.' redelivered={redelivered}")).collect()
}

pub(crate) fn fair_dispatch(world: &World) {
    let queue = world.name("task_queue");
    // The slow worker would need an hour for its first task; with prefetch 1 everything else must go to the fast one.
    let slow = world.start("worker.py", &[&queue, "durable", "1", "3600"]);
    slow.expect("[*] Waiting");
    world.run("new_task.py", &[&queue, "durable", "first."]);
    slow.expect("Received b'first.'");
    let fast = world.start("worker.py", &[&queue, "durable", "1", "0.01"]);
    fast.expect("[*] Waiting");
    world.run("new_task.py", &[&queue, "durable", "1.", "2..", "3.", "4...", "5.", "6.", "7.", "8."]);
    fast.expect_count(8, "[x] Done");
    assert_eq!(slow.lines_with("[x] Received").len(), 1);
}

pub(crate) fn redeclaring_with_other_durability(world: &World) {
    let check = |first: &str, second: &str, received: bool| {
        let queue = world.name("hello");
        let program = world.run("redeclare.py", &[&queue, first, second]);
        let refusal = format!(
            "refused (406, \"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{queue}' in vhost '/': \
             received '{received}' but current is '{}'\")",
            !received
        );
        assert_eq!(program.output().lines(), [&format!("declared {first}"), &refusal, "the connection goes on"]);
    };
    check("transient", "durable", true);
    check("durable", "transient", false);
}
