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
//! [`models`] compares this with processes, threads, callbacks and the words of other runtimes; [`hazards`] lists what can go
//! wrong with stackful coroutines and what is done about each.

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
pub use coroutine::{Builder, current_name, spawn, spawn_after, yield_now};
pub use diagnostics::{CoroutineInfo, Deadlock, StackUse, coroutines, dump, dump_with_backtraces, stack_use};
pub use metrics::{Stats, stats};
pub use offload::offload;
pub use remote::{RemoteJoinHandle, call, post, shard_count, shard_id, shards, spawn_on};
pub use runtime::{Builder as RuntimeBuilder, Handle, Runtime, SHARDS_MAX, STACK_SIZE_DEFAULT, on_turn_end, run};
pub use shard::ShardId;
pub use sys::limits::{map_allocations_above, raise_descriptor_limit};
pub use time::{sleep, sleep_until};
