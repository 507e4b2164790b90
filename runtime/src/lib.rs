//! Stackful coroutines on a mio reactor: code reads as if it blocked, and parks where it would.

pub(crate) mod cancel;
pub(crate) mod coroutine;
pub(crate) mod descriptors;
pub mod diagnostics;
pub(crate) mod driver;
pub mod fs;
pub(crate) mod lend;
pub mod mailbox;
pub mod metrics;
pub mod net;
pub(crate) mod offload;
pub mod random;
pub(crate) mod readiness;
pub(crate) mod remote;
pub(crate) mod runtime;
pub(crate) mod shard;
pub mod signal;
pub mod sync;
pub(crate) mod sys;
pub mod time;

pub use cancel::{Elapsed, timeout};
pub use coroutine::generator::{Generator, GeneratorState, Yielder};
pub use coroutine::join::{JoinError, JoinHandle, join_all};
pub use coroutine::park::Unwinding;
pub use coroutine::scope::{Scope, ScopedJoinHandle, scope};
pub use coroutine::symmetric::Greenlet;
pub use coroutine::task::{State, Wait};
pub use coroutine::{Builder, current_name, spawn, yield_now};
pub use diagnostics::{CoroutineInfo, Deadlock, coroutines, dump};
pub use metrics::{Stats, stats};
pub use offload::offload;
pub use remote::{RemoteJoinHandle, call, post, shard_count, shard_id, shards, spawn_on};
pub use runtime::{Builder as RuntimeBuilder, Handle, Runtime, SHARDS_MAX, STACK_SIZE_DEFAULT, on_turn_end, run};
pub use shard::ShardId;
pub use sys::limits::raise_descriptor_limit;
pub use time::{sleep, sleep_until};
