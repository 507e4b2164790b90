//! Remote procedure calls: the reply finds its way back to the one who asked.

use crate::world::World;

pub(crate) fn rpc(world: &World) {
    check(world, "exclusive");
}

pub(crate) fn rpc_with_direct_reply_to(world: &World) {
    check(world, "direct");
}

fn check(world: &World, replies: &str) {
    let queue = world.name("rpc_queue");
    let server = world.start("rpc_server.py", &[&queue]);
    server.expect("Awaiting RPC requests");
    // Two clients at once: each must get its own answers.
    let mut other = world.start("rpc_client.py", &[&queue, replies, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    let client = world.run("rpc_client.py", &[&queue, replies, "30"]);
    assert_eq!(client.output().lines(), [" [x] Requesting fib(30)", " [.] Got 832040"]);
    server.expect(" [.] fib(30)");
    other.succeed();
    assert_eq!(other.lines_with("Got"), [1, 1, 2, 3, 5, 8, 13, 21, 34, 55].map(|number| format!(" [.] Got {number}")));
}
