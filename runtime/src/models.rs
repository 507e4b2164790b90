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
//! Whoever comes from another runtime finds here what its words are called in this one. A dash: there is no such thing there.
//!
//! ## Coroutines
//!
//! | here | gevent | Go | tokio |
//! |---|---|---|---|
//! | [`spawn`](crate::spawn), [`JoinHandle::join`](crate::JoinHandle::join) | `spawn`, `get` | `go`, a channel | `spawn_local`, `.await` |
//! | [`spawn_on`](crate::spawn_on), [`call`](crate::call), [`post`](crate::post) | `threadpool`, `loop.run_callback_threadsafe` | (the scheduler does it) | `Handle::spawn` |
//! | [`spawn_after`](crate::spawn_after) | `spawn_later` | `time.AfterFunc` | a task that sleeps first |
//! | [`join_all`](crate::join_all) | `joinall` | `sync.WaitGroup` | `futures::join_all` |
//! | [`as_completed`](crate::as_completed), [`JoinSet`](crate::JoinSet) | `iwait` | a channel of results | `JoinSet` |
//! | [`JoinHandle::kill`](crate::JoinHandle::kill), [`kill_all`](crate::kill_all) | `kill`, `killall`, `GreenletExit` | a cancelled context | `abort` |
//! | [`timeout`](crate::timeout) | `Timeout`, `with_timeout` | `context.WithTimeout` | `time::timeout` |
//! | [`sleep`](crate::sleep), [`yield_now`](crate::yield_now) | `sleep`, `sleep(0)`, `idle` | `time.Sleep`, `runtime.Gosched` | `time::sleep`, `yield_now` |
//! | [`scope`](crate::scope) | a `Group` joined | `errgroup` | - |
//! | [`Group`](crate::Group) | `pool.Group` | `errgroup` | `TaskTracker` |
//! | [`Pool`](crate::Pool), [`Pool::map`](crate::Pool::map) | `pool.Pool`, `map` | a channel of jobs and n goroutines | a `Semaphore` and `JoinSet` |
//! | [`Pool::imap`](crate::Pool::imap), [`Pool::imap_unordered`](crate::Pool::imap_unordered) | `imap`, `imap_unordered` | - | `buffered`, `buffer_unordered` |
//! | [`Generator`](crate::Generator), [`Greenlet`](crate::Greenlet) | `greenlet.switch` | `iter.Pull` | - |
//! | [`coroutine_local!`](crate::coroutine_local!) | `local.local` | a value in a context | `task_local!` |
//! | [`on_big_stack`](crate::on_big_stack), [`Builder::stack_size`](crate::Builder::stack_size) | - | (stacks grow) | - |
//! | [`offload`](crate::offload) | `threadpool.apply` | (the scheduler does it) | `spawn_blocking` |
//!
//! ## Waiting for each other
//!
//! | here | gevent | Go | tokio |
//! |---|---|---|---|
//! | [`sync::channel`](crate::sync::channel): bounded, unbounded, of capacity zero | `queue.Queue`, `SimpleQueue`, `Channel` | `chan` | `mpsc` |
//! | [`mailbox::channel`](crate::mailbox::channel), [`mailbox::bounded`](crate::mailbox::bounded) | `threadpool`, `queue.Queue` between threads | `chan` | `mpsc` |
//! | [`sync::PriorityQueue`](crate::sync::PriorityQueue), [`sync::LifoQueue`](crate::sync::LifoQueue) | `PriorityQueue`, `LifoQueue` | - | - |
//! | [`select!`](crate::select!), [`sync::Select`](crate::sync::Select) | `wait([...])`, `select.select` | `select` | `select!` |
//! | [`sync::Event`](crate::sync::Event) | `event.Event` | a closed channel | `Notify`, `CancellationToken` |
//! | [`sync::OnceResult`](crate::sync::OnceResult) | `event.AsyncResult` | `sync.OnceValue`, a channel | `oneshot`, `OnceCell` |
//! | [`sync::Mutex`](crate::sync::Mutex), [`sync::RwLock`](crate::sync::RwLock) | `lock.BoundedSemaphore(1)` | `sync.Mutex`, `sync.RWMutex` | `Mutex`, `RwLock` |
//! | [`sync::ReentrantMutex`](crate::sync::ReentrantMutex) | `lock.RLock` | - | - |
//! | [`sync::Semaphore`](crate::sync::Semaphore) | `lock.Semaphore`, `BoundedSemaphore` | a buffered channel | `Semaphore` |
//! | [`sync::Condvar`](crate::sync::Condvar) | - | `sync.Cond` | `Notify` |
//! | [`sync::WaitGroup`](crate::sync::WaitGroup) | - | `sync.WaitGroup` | `TaskTracker` |
//! | [`sync::Barrier`](crate::sync::Barrier) | - | - | `Barrier` |
//!
//! ## The world
//!
//! | here | gevent | Go | tokio |
//! |---|---|---|---|
//! | [`net::TcpStream`](crate::net::TcpStream) and the like, with std's `Read` and `Write` | `socket.socket` | `net.Conn` | `TcpStream`, `AsyncRead` |
//! | `rustls::StreamOwned` on such a stream | `ssl.SSLSocket` | `tls.Conn` | `tokio_rustls` |
//! | [`net::StreamServer`](crate::net::StreamServer) | `server.StreamServer` | `net.Listen` and a loop | a loop over `accept` |
//! | [`TcpStream::wait_peer_closed`](crate::net::TcpStream::wait_peer_closed) | - | (a goroutine that reads) | `ready(Interest::READABLE)`, `is_read_closed` |
//! | [`net::wait_readable`](crate::net::wait_readable), [`net::Readiness`](crate::net::Readiness) | `socket.wait_read`, `select.poll` | `syscall.RawConn` | `AsyncFd` |
//! | [`selectors`](crate::selectors) | `selectors.GeventSelector` | - | - |
//! | [`net::resolve`](crate::net::resolve) | `getaddrinfo` | `net.Resolver` | `lookup_host` |
//! | [`fs`](crate::fs) | `FileObject` | `os.File` | `fs` |
//! | [`process::Command`](crate::process::Command) | `subprocess.Popen` | `exec.Cmd` | `process::Command` |
//! | [`signal::Signals`](crate::signal::Signals) | `signal_handler` | `signal.Notify` | `signal` |
//! | `monkey.patch_all` has no counterpart: code written for std's traits works as it is | `monkey` | (all of it is so) | - |
//!
//! ## The runtime itself
//!
//! | here | gevent | Go | tokio |
//! |---|---|---|---|
//! | shard | hub, loop | `P` | worker |
//! | [`Runtime`](crate::Runtime), [`Handle`](crate::Handle) | `get_hub()` | - | `Runtime`, `Handle` |
//! | [`on_turn_end`](crate::on_turn_end) | a `prepare` or `check` watcher | - | `on_thread_park` |
//! | [`RuntimeBuilder::budget`](crate::RuntimeBuilder::budget) | - | preemption | coop budget |
//! | [`Deadlock`](crate::Deadlock) | `LoopExit` | "all goroutines are asleep" | - |
//! | [`dump`](crate::dump), [`RuntimeBuilder::dump_on`](crate::RuntimeBuilder::dump_on) | `util.print_run_info` | SIGQUIT | task dumps (unstable) |
//! | [`RuntimeBuilder::backdoor`](crate::RuntimeBuilder::backdoor) | `backdoor.BackdoorServer` | `net/http/pprof` | `tokio-console` |
//! | [`RuntimeBuilder::watchdog`](crate::RuntimeBuilder::watchdog) | `GEVENT_MONITOR_THREAD_ENABLE` | `sysmon` | - |
//! | [`stats`](crate::stats), [`stack_use`](crate::stack_use) | - | `runtime/metrics` | `RuntimeMetrics` |
//! | a [simulated](crate::RuntimeBuilder::simulated) runtime, [`sim`](crate::sim) | - | `testing/synctest` | `time::pause`, turmoil |
//! | `fork` is refused | `fork`, `reinit` | - | - |
