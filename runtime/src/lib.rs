//! Stackful coroutines on a mio reactor: code reads as if it blocked, and parks where it would.
//!
//! ```
//! use std::io::{Read, Write};
//! use leveret_runtime::net::{TcpListener, TcpStream};
//! use leveret_runtime::spawn;
//!
//! leveret_runtime::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//!     let addr = listener.local_addr().unwrap();
//!     let echo = spawn(move || {
//!         let (stream, _) = listener.accept().unwrap(); // parks; others run
//!         std::io::copy(&mut &stream, &mut &stream).unwrap();
//!     });
//!     let mut client = TcpStream::connect(addr).unwrap();
//!     client.write_all(b"hello").unwrap();
//!     client.shutdown(std::net::Shutdown::Write).unwrap();
//!     let mut back = String::new();
//!     client.read_to_string(&mut back).unwrap();
//!     assert_eq!(back, "hello");
//!     echo.join().unwrap();
//! })
//! .unwrap();
//! ```
//!
//! # The model in one page
//!
//! - A [`Runtime`] has one or more **shards**. A shard is a thread with a reactor, a run queue, timers and the descriptors it
//!   made. [`spawn`] starts a **coroutine** on the current shard, [`spawn_on`] on another; a started coroutine never moves, so
//!   `Rc`s, borrows and thread-locals across a wait are fine, and nothing between two waits needs a lock.
//! - A call that would block **parks** its coroutine: sockets ([`net`]), [`sleep`], [`JoinHandle::join`], channels and locks
//!   ([`sync`]), files ([`fs`]) and other blocking work on a thread pool ([`offload`]), [`process`]es, [`signal`]s. The shard runs others.
//! - A **turn** of a shard takes mail from other threads, fires due timers, runs ready coroutines, runs the hooks of
//!   [`on_turn_end`], and asks the kernel for events.
//! - [`timeout`] puts a **deadline** around any calls, [`JoinHandle::kill`] ends a coroutine: both unwind it at its next wait,
//!   so destructors run. A wake-up that was granted before is not lost. While a stack unwinds nothing parks.
//! - A [`scope`] owns its children: it ends when all have ended, and they may borrow.
//! - A [`Pool`] runs so many at once, a [`Group`] is waited for and ended together, a [`JoinSet`] gives results as they come;
//!   [`select!`] waits for whichever of several things comes first.
//! - When nothing can ever run again, [`Runtime::run`] ends with a [`Deadlock`] that lists who waits for what; [`dump`] lists
//!   it at any time, with backtraces if asked; a [watchdog](RuntimeBuilder::watchdog) names who blocks its shard; a
//!   [backdoor](RuntimeBuilder::backdoor) answers from outside, even then.
//! - On a [simulated](RuntimeBuilder::simulated) machine the clock is virtual, network and disks fail, and a seed decides all
//!   of it, also who runs next: see [`sim`].
//!
//! [`models`] compares this with processes, threads and callbacks, and says what the words of gevent, Go and tokio are called
//! here; [`hazards`] lists what can go wrong with stackful coroutines and what is done about each.
//!
//! # Which of these do I want?
//!
//! | I want to | use | to know |
//! |---|---|---|
//! | do something beside | [`spawn`] | it runs on this shard: not at the same time, but in turn |
//! | use another processor | [`spawn_on`], [`call`] | only what is `Send` goes there and comes back |
//! | borrow local variables in children | [`scope`] | it ends when all of them have |
//! | have children for longer than a call | [`Group`], [`JoinSet`] | dropping it kills them; dropping a [`JoinHandle`] does not |
//! | do so many at once | [`Pool`], [`net::StreamServerBuilder::max_connections`], [`sync::Semaphore`] | whoever is one too many waits |
//! | hand values on, on one shard | [`sync::channel`]: [`bounded`](sync::channel::bounded) if in doubt | a full channel makes its senders wait: that is the brake |
//! | hand values on, between shards or threads | [`mailbox::bounded`], or [`mailbox::channel`] in batches | one receiver |
//! | tell everybody once | [`sync::Event`]; with a value [`sync::OnceResult`]; between threads [`lane::reply`](lane::reply()) | |
//! | change what others see too | a `Cell`, a `RefCell` | nobody else runs between two waits; do not keep a borrow across one |
//! | keep something whole across a wait | [`sync::Mutex`], [`sync::RwLock`] | std's would block the thread, and with it the holder |
//! | wait for the first of several | [`select!`] | what was not chosen is not touched |
//! | give up after a time | [`timeout`] around anything; `set_read_timeout` for each read of a socket | both unwind or fail at the wait, not in between |
//! | end somebody | [`JoinHandle::kill`], [`kill_all`], [`net::ServerHandle::stop`] | destructors run |
//! | call what blocks | [`offload`]; [`fs`] for files; a [`lane::Worker`] for a database, a [`lane::Lane`] for a log | they have threads |
//! | talk TLS, HTTP, SQL | a library on std's `Read` and `Write` | give it a [`net::TcpStream`] |
//! | wait on a library's descriptor | [`net::Readiness`]; with callbacks [`selectors`] | |
//! | recurse deeply | [`on_big_stack`], [`Builder::stack_size`] | stacks do not grow |
//! | see what it is doing | [`dump`], [`stats`], [`RuntimeBuilder::watchdog`], [`RuntimeBuilder::backdoor`] | |
//! | test it | [`RuntimeBuilder::simulated`], [`sim::check`] | time costs nothing there, and a failure comes again |
//!
//! # What it costs
//!
//! `cargo bench -p leveret-runtime` prints one line a figure; `-- --peer` the same programs on tokio, within the same minute, since
//! on a busy machine only the ratio means something.
//!
//! | bench | figures |
//! |---|---|
//! | `switch` | a yield among one to ten thousand, spawn + join, a round trip through two channels |
//! | `parked` | a million that wait: memory, entries in the kernel's map, what a wake-up costs (most of it is misses of the caches) |
//! | `timers` | set + cancel beside a million others, the longest tick, a million sleepers |
//! | `mail` | a message to another shard, and how often that had to be woken |
//! | `echo` | a server in a process of its own: memory of ten thousand connections, processor time of a request on one shard and on two, what it does without descriptors; `-- --gevent python3` the same on gevent |
//! | `soak` | a million connections that are killed, with the memory after each hundred thousand |
//!
//! # A whole service
//!
//! With a limit of connections, a limit of time for each request, an end in good order, and a test on a bad network:
//!
//! ```
//! use std::io::{BufRead, BufReader, Read, Write};
//! use std::time::Duration;
//! use leveret_runtime::net::{StreamServer, TcpStream};
//! use leveret_runtime::signal::{Signal, Signals};
//! use leveret_runtime::{Runtime, sim, spawn, timeout};
//!
//! const LINE_MAX: u64 = 1024;
//!
//! /// One connection: every line comes back in capitals.
//! fn converse(stream: &TcpStream) -> std::io::Result<()> {
//!     let (mut input, mut output) = (BufReader::new(stream), stream);
//!     loop {
//!         let mut line = String::new();
//!         // For the whole line, however slowly its bytes drip in.
//!         timeout(Duration::from_secs(60), || input.by_ref().take(LINE_MAX).read_line(&mut line))??;
//!         if !line.ends_with('\n') {
//!             return Ok(()); // the end, or a line that is too long
//!         }
//!         output.write_all(line.to_uppercase().as_bytes())?;
//!     }
//! }
//!
//! /// Serves until the process is asked to end; those who are connected then get their answers first.
//! fn serve(server: StreamServer) -> std::io::Result<()> {
//!     let signals = Signals::new([Signal::Terminate, Signal::Interrupt])?;
//!     let handle = server.handle();
//!     let _ = spawn(move || signals.recv().map(|_| handle.stop(Duration::from_secs(10))));
//!     server.serve(|stream, peer| {
//!         if let Err(error) = converse(&stream) {
//!             eprintln!("{peer}: {error}");
//!         }
//!     })
//! }
//!
//! fn bind(addr: &str) -> std::io::Result<StreamServer> {
//!     StreamServer::builder().max_connections(10_000).bind(addr)
//! }
//!
//! // fn main() { leveret_runtime::run(|| serve(bind("0.0.0.0:7000").unwrap())).unwrap().unwrap() }
//!
//! // #[test] fn it_answers_on_a_bad_network_and_ends_when_asked()
//! sim::check(0..20, |seed| {
//!     Runtime::builder().simulated(seed).build().unwrap().run(|| {
//!         sim::set_network_faults(sim::NetworkFaults::rough()); // late, in pieces, short writes
//!         let server = bind("127.0.0.1:0").unwrap();
//!         let mut client = TcpStream::connect(server.local_addr()).unwrap();
//!         let serving = spawn(|| serve(server));
//!         client.write_all(b"hello\nworld\n").unwrap();
//!         client.read_exact(&mut [0; 12]).unwrap();
//!         Signal::Terminate.raise().unwrap(); // to this simulated program alone
//!         serving.join().unwrap().unwrap();
//!         assert_eq!(client.read(&mut [0]).unwrap(), 0);
//!     }).unwrap();
//! });
//! ```

pub(crate) mod backdoor;
pub(crate) mod cancel;
pub(crate) mod coroutine;
pub(crate) mod descriptors;
pub mod diagnostics;
pub(crate) mod driver;
pub mod fs;
pub mod hazards;
pub mod lane;
pub(crate) mod lend;
pub mod mailbox;
pub mod metrics;
pub mod models;
pub mod net;
pub(crate) mod observe;
pub(crate) mod observer;
pub(crate) mod offload;
pub mod process;
pub mod random;
pub(crate) mod readiness;
pub(crate) mod remote;
pub(crate) mod runtime;
pub mod selectors;
pub(crate) mod shard;
pub mod signal;
pub mod sim;
pub mod sync;
pub(crate) mod sys;
pub mod time;
pub(crate) mod watchdog;

pub use cancel::{Elapsed, timeout};
pub use coroutine::big_stack::on_big_stack;
pub use coroutine::generator::{Generator, GeneratorState, Yielder};
pub use coroutine::group::{Group, Imap, ImapUnordered, Pool};
pub use coroutine::join::{JoinError, JoinHandle, join_all, kill_all};
pub use coroutine::join_set::{AsCompleted, JoinSet, as_completed};
pub use coroutine::local::{CoroutineLocal, NoCoroutine};
pub use coroutine::park::Unwinding;
pub use coroutine::scope::{Scope, ScopedJoinHandle, scope};
pub use coroutine::symmetric::Greenlet;
pub use coroutine::task::{State, Wait};
pub use coroutine::{Builder, current_name, next_turn, spawn, spawn_after, yield_now};
pub use diagnostics::{CoroutineInfo, Deadlock, StackUse, coroutines, dump, dump_with_backtraces, stack_use};
pub use metrics::{Stats, stats};
pub use offload::offload;
pub use remote::{RemoteJoinHandle, call, post, shard_count, shard_id, shards, spawn_on};
pub use runtime::{Builder as RuntimeBuilder, Handle, Runtime, SHARDS_MAX, STACK_SIZE_DEFAULT, on_turn_end, run};
pub use shard::ShardId;
pub use sys::limits::{map_allocations_above, raise_descriptor_limit};
pub use time::{sleep, sleep_until};
