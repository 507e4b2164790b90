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
//! # Coming from gevent
//!
//! Greenlets, a hub, cooperative switches at blocking calls: all of it is here under other names. What is different:
//!
//! - Nothing is patched. `std::net`, `std::thread::sleep`, `std::process` and `std::sync::Mutex` block the whole shard; what is in
//!   this crate under the same names parks. Libraries need no patch if they speak std's `Read` and `Write`, or are handed a socket.
//! - A [`Group`](crate::Group), a [`Pool`](crate::Pool) and a [`JoinSet`](crate::JoinSet) kill their members when they are
//!   dropped. A [`JoinHandle`](crate::JoinHandle) does not, as with a `Greenlet` that nobody keeps.
//! - [`kill`](crate::JoinHandle::kill) does not wait, as `kill(block=False)`; to wait is to `join`. Neither can be refused:
//!   whoever catches what unwinds it gets it again at the next wait.
//! - An exception that nobody fetches is printed; a panic that nobody joins is logged by the [`log`] crate.
//! - There is no lock around it all: shards run at the same time, each with its own coroutines.
//!
//! # Coming from Go
//!
//! Blocking style, channels, a `select`, a dump that shows who waits for what. What is different:
//!
//! - [`spawn`](crate::spawn) does not use another processor: the new coroutine runs on this shard, in turn with the others. That
//!   is why it may share `Rc`s and needs no lock. [`spawn_on`](crate::spawn_on) uses another; between shards there are
//!   [mailboxes](crate::mailbox).
//! - Nobody is preempted. A loop that computes calls [`yield_now`](crate::yield_now) now and then, or goes to
//!   [`offload`](crate::offload).
//! - Stacks do not grow: 64 KiB in release code. Only touched pages cost memory, so a larger [size](crate::RuntimeBuilder::stack_size)
//!   is cheap; for one deep call there is [`on_big_stack`](crate::on_big_stack).
//! - A context is not handed down: [`timeout`](crate::timeout) and [`kill`](crate::JoinHandle::kill) reach any wait below them.
//! - A channel closes itself when its last sender, or its last receiver, is dropped. Neither end panics then: both get an error.
//! - A panic ends its coroutine alone. Where `main` returns, the others are killed, and their destructors run.
//!
//! # Coming from tokio
//!
//! The names are std's, and mostly tokio's without `async`. What is different:
//!
//! - Any call may park; nothing in its type says so. A `RefCell` borrow that is held across one is not caught by the compiler
//!   but panics when somebody else borrows; keep borrows short.
//! - Closures run at once, there is no future that does nothing until it is polled, and nothing to pin. Iterators are streams.
//! - [`spawn`](crate::spawn) needs no `Send`: it is `spawn_local`. What crosses shards, for [`spawn_on`](crate::spawn_on), does.
//! - Nothing is cancelled by being dropped half-way: [`select!`](crate::select!) chooses between operations and does one of them, so
//!   the others have not begun. There is no list of calls that are safe in it.
//! - A [`kill`](crate::JoinHandle::kill) unwinds the coroutine's stack, so its destructors run in order, where an aborted task
//!   is dropped. They must not wait; those that try get [`Unwinding`](crate::Unwinding).
//! - `&TcpStream` reads and writes: there is no `split`. One coroutine may read while another writes.
//! - The buffer of an idle connection can be the shard's: [`TcpStream::read_with`](crate::net::TcpStream::read_with).
//!
//! Some things are a few lines here:
//!
//! ```
//! use std::io::copy;
//! use std::net::Shutdown;
//! use std::time::Duration;
//! use leveret_runtime::{net::TcpStream, scope, sleep, time};
//!
//! /// tokio's `interval`, Go's `time.Ticker`: the next moment is counted from the last one, so that none is lost.
//! fn every(period: Duration, mut f: impl FnMut() -> bool) {
//!     let mut next = time::now();
//!     while f() {
//!         next += period;
//!         time::sleep_until(next);
//!     }
//! }
//!
//! /// tokio's `copy_bidirectional`: bytes both ways until both sides have ended.
//! fn copy_both_ways(one: &TcpStream, other: &TcpStream) {
//!     scope(|scope| {
//!         scope.spawn(|| { let _ = (copy(&mut &*other, &mut &*one), one.shutdown(Shutdown::Write)); });
//!         let _ = (copy(&mut &*one, &mut &*other), other.shutdown(Shutdown::Write));
//!     });
//! }
//! # use leveret_runtime::{net::TcpListener, spawn};
//! # use std::io::{Read, Write};
//! # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
//! # let (start, mut count) = (time::now(), 0);
//! # every(Duration::from_secs(1), || { sleep(Duration::from_millis(300)); count += 1; count < 4 });
//! # assert_eq!(time::now() - start, Duration::from_millis(3300));
//! # let pair = || {
//! #     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//! #     let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
//! #     (near, listener.accept().unwrap().0)
//! # };
//! # let ((mut client, one), (other, mut server)) = (pair(), pair());
//! # let copying = spawn(move || copy_both_ways(&one, &other));
//! # client.write_all(b"question").unwrap();
//! # client.shutdown(Shutdown::Write).unwrap();
//! # let mut said = String::new();
//! # server.read_to_string(&mut said).unwrap();
//! # server.write_all(b"answer").unwrap();
//! # drop(server);
//! # client.read_to_string(&mut said).unwrap();
//! # assert_eq!(said, "questionanswer");
//! # copying.join().unwrap();
//! # }).unwrap();
//! ```
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
//! | [`spawn_on`](crate::spawn_on), [`call`](crate::call), [`post`](crate::post) | `threadpool` | (the scheduler does it) | `Handle::spawn` |
//! | [`Handle::spawn_on`](crate::Handle::spawn_on), from any thread | `loop.run_callback_threadsafe` | `go` | `Handle::spawn`, `Handle::block_on` |
//! | [`spawn_after`](crate::spawn_after) | `spawn_later` | `time.AfterFunc` | a task that sleeps first |
//! | [`join_all`](crate::join_all) | `joinall` | `sync.WaitGroup` | `futures::join_all` |
//! | [`JoinHandle::is_finished`](crate::JoinHandle::is_finished), [`JoinError`](crate::JoinError) | `ready()`, `successful()`, `exception` | `recover`, an `error` | `is_finished`, `JoinError` |
//! | [`as_completed`](crate::as_completed), [`JoinSet`](crate::JoinSet) | `iwait` | a channel of results | `JoinSet` |
//! | [`JoinHandle::kill`](crate::JoinHandle::kill), [`kill_all`](crate::kill_all) | `kill`, `killall`, `GreenletExit` | a cancelled context | `abort` |
//! | [`timeout`](crate::timeout) | `Timeout`, `with_timeout` | `context.WithTimeout` | `time::timeout` |
//! | a handle that is dropped: the coroutine runs on | the same | the same | the same |
//! | [`run`](crate::run), [`Runtime::run`](crate::Runtime::run) | the main greenlet | `func main` | `#[tokio::main]`, `block_on` |
//! | [`sleep`](crate::sleep), [`yield_now`](crate::yield_now) | `sleep`, `sleep(0)`, `idle` | `time.Sleep`, `runtime.Gosched` | `time::sleep`, `yield_now` |
//! | [`time::sleep_until`](crate::time::sleep_until) in a loop | a loop | `time.Ticker` | `interval` |
//! | a destructor (`Drop`) | `finally` | `defer` | a destructor |
//! | [`scope`](crate::scope) | a `Group` joined | `errgroup` | - |
//! | [`scope`](crate::scope) with a join of each | `joinall(raise_error=True)` | `errgroup.Wait` | `try_join!` |
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
//! | [`channel::Receiver::iter`](crate::sync::channel::Receiver::iter) | `for x in queue` | `for x := range ch` | `while let Some(x) = rx.recv().await` |
//! | a receiver for each listener | a `Queue` each | a channel each | `broadcast` |
//! | [`sync::Event`](crate::sync::Event) and a `Cell`; for a number that grows [`lane::Progress`](crate::lane::Progress) | `Event` | a channel and a lock | `watch` |
//! | [`sync::PriorityQueue`](crate::sync::PriorityQueue), [`sync::LifoQueue`](crate::sync::LifoQueue) | `PriorityQueue`, `LifoQueue` | - | - |
//! | [`select!`](crate::select!), [`sync::Select`](crate::sync::Select) | `wait([...])`, `select.select` | `select` | `select!` |
//! | [`sync::Event`](crate::sync::Event) | `event.Event` | a closed channel | `Notify`, `CancellationToken` |
//! | [`sync::OnceResult`](crate::sync::OnceResult) | `event.AsyncResult` | `sync.OnceValue`, a channel | `oneshot`, `OnceCell` |
//! | [`lane::reply`](crate::lane::reply()), between threads | `AsyncResult` | a channel of one | `oneshot` |
//! | [`lane::Worker`](crate::lane::Worker), [`lane::Lane`](crate::lane::Lane) | a thread and two queues | a goroutine that owns it | a task that owns it, `spawn_blocking` |
//! | [`sync::Mutex`](crate::sync::Mutex), [`sync::RwLock`](crate::sync::RwLock) | `lock.BoundedSemaphore(1)` | `sync.Mutex`, `sync.RWMutex` | `Mutex`, `RwLock` |
//! | [`sync::ReentrantMutex`](crate::sync::ReentrantMutex) | `lock.RLock` | - | - |
//! | [`sync::Semaphore`](crate::sync::Semaphore) | `lock.Semaphore`, `BoundedSemaphore` | a buffered channel | `Semaphore` |
//! | [`sync::Condvar`](crate::sync::Condvar) | - | `sync.Cond` | `Notify` |
//! | [`sync::WaitGroup`](crate::sync::WaitGroup) | `JoinableQueue.join` | `sync.WaitGroup` | `TaskTracker` |
//! | [`sync::Barrier`](crate::sync::Barrier) | - | - | `Barrier` |
//!
//! ## The world
//!
//! | here | gevent | Go | tokio |
//! |---|---|---|---|
//! | [`net::TcpStream`](crate::net::TcpStream) and the like, with std's `Read` and `Write` | `socket.socket` | `net.Conn` | `TcpStream`, `AsyncRead` |
//! | `rustls::StreamOwned` on such a stream | `ssl.SSLSocket` | `tls.Conn` | `tokio_rustls` |
//! | [`net::StreamServer`](crate::net::StreamServer) | `server.StreamServer` | `net.Listen` and a loop | a loop over `accept` |
//! | [`ServerHandle::stop`](crate::net::ServerHandle::stop) | `stop(timeout)` | `http.Server.Shutdown` | `TaskTracker`, `CancellationToken` |
//! | [`TcpStream::set_read_timeout`](crate::net::TcpStream::set_read_timeout), [`connect_timeout`](crate::net::TcpStream::connect_timeout) | `settimeout` | `SetReadDeadline`, `Dialer.Timeout` | `timeout` around the call |
//! | std's `BufReader`, `io::copy` | `makefile` | `bufio`, `io.Copy` | `BufReader`, `copy` |
//! | `&TcpStream`, read here and written there | the same socket | the same `Conn` | `into_split` |
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
//! | [`RuntimeBuilder::shards`](crate::RuntimeBuilder::shards) | a process each | `GOMAXPROCS` | `worker_threads` |
//! | [`Runtime`](crate::Runtime), [`Handle`](crate::Handle) | `get_hub()` | - | `Runtime`, `Handle` |
//! | [`on_turn_end`](crate::on_turn_end) | a `prepare` or `check` watcher | - | `on_thread_park` |
//! | [`RuntimeBuilder::budget`](crate::RuntimeBuilder::budget) | - | preemption | coop budget |
//! | [`Deadlock`](crate::Deadlock) | `LoopExit` | "all goroutines are asleep" | - |
//! | [`dump`](crate::dump), [`RuntimeBuilder::dump_on`](crate::RuntimeBuilder::dump_on) | `util.print_run_info` | SIGQUIT | task dumps (unstable) |
//! | [`RuntimeBuilder::backdoor`](crate::RuntimeBuilder::backdoor) | `backdoor.BackdoorServer` | `net/http/pprof` | `tokio-console` |
//! | [`RuntimeBuilder::watchdog`](crate::RuntimeBuilder::watchdog) | `GEVENT_MONITOR_THREAD_ENABLE` | `sysmon` | - |
//! | [`stats`](crate::stats), [`stack_use`](crate::stack_use) | - | `runtime/metrics` | `RuntimeMetrics` |
//! | [`coroutines`](crate::coroutines), [`current_name`](crate::current_name) | `gc` and `getcurrent` | `runtime.Stack` | `task::id` |
//! | a [simulated](crate::RuntimeBuilder::simulated) runtime, [`sim`](crate::sim) | - | `testing/synctest` | `time::pause`, turmoil |
//! | `fork` is refused | `fork`, `reinit` | - | - |
