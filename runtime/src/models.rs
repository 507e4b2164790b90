//! Models of servers, and where this runtime stands among them.
//!
//! # Three ways to serve many clients
//!
//! | model | one request is | good | bad |
//! |---|---|---|---|
//! | a process for each | a process | isolation; simple code | memory, start-up time; sharing goes through the kernel |
//! | a thread for each | a thread | simple code; shared memory | a stack and a scheduler's entry each, locks everywhere, switches through the kernel |
//! | one loop over events | a callback, or a state of a machine | tens of thousands of clients a thread; no locks | code is cut up at every wait |
//!
//! Coroutines are the third model with the code of the first two: a loop waits for all sockets at once (epoll), and each
//! client has a coroutine that reads as if it blocked. Where a call would block, the coroutine parks, the loop runs others,
//! and an event makes it ready again. The example `three_servers` runs all three side by side.
//!
//! # Kinds of input and output
//!
//! A read has two phases: waiting until the kernel has the bytes, and copying them to the program.
//!
//! | kind | waiting | copying | here |
//! |---|---|---|---|
//! | blocking | the thread sleeps | the thread sleeps | on the thread pool only ([`offload`](crate::offload), [`fs`](crate::fs), DNS): regular files are always "ready", so no event tells when a disk is done |
//! | non-blocking | the program asks again and again | the call copies | every socket is non-blocking; a call is tried when it may succeed |
//! | multiplexing | one call waits for all descriptors | the call copies | the shard's loop; [`selectors`](crate::selectors) shows the same loop with callbacks |
//! | signal-driven | a signal tells | the call copies | not used for data; [`signal`](crate::signal) receives signals that are meant for the program |
//! | asynchronous | the kernel does both phases | the kernel | not used: for sockets io_uring measured no gain at these sizes over epoll |
//!
//! By that definition (POSIX's) the first four are synchronous: the call that copies is made by the program. What a
//! coroutine adds is that only it waits, not its thread.
//!
//! # What a switch costs
//!
//! A switch between processes or threads goes through the kernel: registers, scheduler, often another address space, cold
//! caches. A switch between coroutines saves a few registers on the old stack and loads them from the new one: nanoseconds.
//! Nothing needs a lock between two waits, because nobody else of the shard runs. The price is fairness by agreement: a
//! coroutine that computes without waiting holds its shard, which is why transfers have a budget, why [`yield_now`](crate::yield_now)
//! exists, and why a [watchdog](crate::RuntimeBuilder::watchdog) can name who does not keep it.
//!
//! # More than one processor
//!
//! One loop uses one processor. A runtime may have several shards, each a thread with its own loop, run queue and sockets.
//! Coroutines never move between them, so what one shard owns needs no lock; shards exchange values by mail
//! ([`mailbox`](crate::mailbox), [`spawn_on`](crate::spawn_on), [`call`](crate::call)).
//!
//! # Words of others
//!
//! | here | gevent | Go | tokio |
//! |---|---|---|---|
//! | [`spawn`](crate::spawn), [`JoinHandle::join`](crate::JoinHandle::join) | `spawn`, `get` | `go`, a channel | `spawn_local`, `.await` |
//! | [`join_all`](crate::join_all) | `joinall` | `sync.WaitGroup` | `join_all` |
//! | [`sleep`](crate::sleep), [`yield_now`](crate::yield_now) | `sleep`, `sleep(0)` | `time.Sleep`, `runtime.Gosched` | `time::sleep`, `yield_now` |
//! | [`timeout`](crate::timeout) | `Timeout`, `with_timeout` | `context.WithTimeout` | `time::timeout` |
//! | [`JoinHandle::kill`](crate::JoinHandle::kill) | `kill` | a cancelled context | `abort` |
//! | [`scope`](crate::scope) | a `Group` joined | `errgroup` | `JoinSet` |
//! | [`offload`](crate::offload) | `threadpool.apply` | (the scheduler does it) | `spawn_blocking` |
//! | [`sync::channel`](crate::sync::channel) | `queue.Queue`, `queue.Channel` | `chan` | `mpsc` |
//! | [`sync::Event`](crate::sync::Event) | `event.Event` | a closed channel | `Notify` |
//! | [`sync::Semaphore`](crate::sync::Semaphore) | `lock.Semaphore` | a buffered channel | `Semaphore` |
//! | [`net::StreamServer`](crate::net::StreamServer) | `server.StreamServer` | `net.Listen` and a loop | a loop over `accept` |
//! | [`Deadlock`](crate::Deadlock) | `LoopExit` | "all goroutines are asleep" | - |
//! | [`dump`](crate::dump) | `util.print_run_info` | SIGQUIT | task dumps |
//! | a simulated [`Runtime`](crate::Runtime) | - | `testing/synctest` | `time::pause` |
