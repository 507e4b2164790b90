//! The store as its users see it: open, write, read, close.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use leveret_runtime::lane::{Lane, Progress, reply};
use leveret_runtime::random;

use crate::committer::{Commit, Committer, Current};
use crate::directory::Directory;
use crate::error::Error;
use crate::ids::{GroupSeq, QueueKey, Seq};
use crate::keeper::{Keep, Keeper};
use crate::losses::Harmed;
use crate::options::Options;
use crate::plan::{Message, ReadLimits, ReadRequest, Reading};
use crate::record::SeqRange;
use crate::recover::{self, Opened, Recovered};
use crate::scan::Tail;
use crate::shared::{Shared, WriterState};
use crate::stats::{Stats, add};
use crate::writer::Writer;

/// A durable store in one directory. Clones are the same store; they may be on any shard.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    committer: Lane<Commit>,
    keeper: Lane<Keep>,
    log_size: u32,
    writers: AtomicU16,
}

impl Store {
    /// Opens the directory at `path` and recovers what is there, or makes a new store. Takes two threads of its own: one
    /// writes the log, the other one keeps the index. Waits meanwhile, for tenths of a second if there is much.
    ///
    /// # Errors
    /// Everything that [`Error`] knows. A damaged directory is never opened in part: see [`tools`](crate::tools).
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn open(path: &Path, options: Options) -> Result<(Store, Recovered), Error> {
        let options = options.normalized();
        let Opened { lock, state, index, logs, spares, tail_size, end, recovered } = recover::open(path, &options)?;
        let shared = Arc::new(Shared::new(options, state.store));
        let (directory, store, log_size) = (Directory::new(path), state.store, state.log_size);
        let current = end.tail.and_then(|tail| {
            let log = logs.iter().find(|log| log.log == tail.log)?;
            let Tail { log: id, offset, incarnation } = tail;
            // A file that ends in the padding of its last group goes on behind it.
            Some(Current { log: id, file: log.file.clone(), offset, incarnation, blocks: tail_size.max(offset) })
        });
        let applied = GroupSeq(end.seq.0 - 1);
        let threads = |error| Error::io("start a thread for", path, error);
        let mut keeper = Keeper::new(shared.clone(), directory.clone(), lock, state, index, logs, applied);
        let keeper = Lane::start("store-keeper", move |jobs| keeper.work(jobs)).map_err(threads)?;
        let mut committer = Committer {
            shared: shared.clone(),
            directory,
            keeper: Some(keeper.clone()),
            store,
            next: end.seq,
            previous: end.previous,
            current,
            spares,
            log_size: u64::from(log_size),
            incarnations: random::u64(),
            growing: None,
        };
        let committer = Lane::start("store-committer", move |jobs| committer.work(jobs)).map_err(threads)?;
        let _ = keeper.send(Keep::Link(keeper.clone(), committer.clone())); // it has just begun
        let inner = Inner { shared, committer, keeper, log_size, writers: AtomicU16::new(0) };
        Ok((Store { inner: Arc::new(inner) }, recovered))
    }

    /// Its number, made at random with the directory and the same for as long as that lives.
    pub fn number(&self) -> u64 {
        self.inner.shared.number
    }

    /// A writer, for one shard.
    pub fn writer(&self) -> Writer {
        let number = self.inner.writers.fetch_add(1, Ordering::Relaxed);
        let state = WriterState { number, durable: Progress::new(0), in_flight: AtomicU64::new(0) };
        Writer::new(Arc::new(state), self.inner.committer.clone(), self.inner.log_size)
    }

    /// Reads live messages of a queue, in the order of their numbers, as many from the front of `range` as `limits` allow.
    /// What was durable before the call is found. An empty answer means that there is none in the range. The caller waits;
    /// its shard does not.
    ///
    /// Draining a deep backlog, ask for the next megabyte while this one is delivered.
    ///
    /// Messages that the disk has harmed are missing in the answer: they are dropped, logged with file and offset, and counted
    /// in [`Stats::messages_lost`]. What is answered is what was written.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a file is gone; [`Error::Io`] if the disk does not give what is there, which is not dropped;
    /// [`Error::Closed`].
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn read(&self, queue: QueueKey, range: SeqRange, limits: ReadLimits) -> Result<Vec<Message>, Error> {
        loop {
            let Reading { mut found, harmed } = self.read_once(ReadRequest { queue, range, limits })?;
            if harmed.is_empty() {
                return Ok(found);
            }
            // Those that have moved are read again where they are now, by this call or, if there are some before, by the next.
            if let Some(moved) = self.drop_harmed(harmed)?.first() {
                found.retain(|message| message.seq < *moved);
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    fn read_once(&self, request: ReadRequest) -> Result<Reading, Error> {
        let (answer_to, answer) = reply();
        self.inner.keeper.send(Keep::Read(request, answer_to)).map_err(|_| Error::Closed)?;
        let plan = answer.wait().map_err(|_| Error::Closed)??;
        let (counters, mut reading) = (&self.inner.shared.counters, Reading::default());
        for piece in &plan.pieces {
            add(&counters.reads, 1);
            add(&counters.read_bytes, piece.size());
            piece.read(&mut reading)?;
        }
        Ok(reading)
    }

    /// Those that lie elsewhere by now.
    fn drop_harmed(&self, harmed: Vec<Harmed>) -> Result<Vec<Seq>, Error> {
        let (answer_to, answer) = reply();
        self.inner.keeper.send(Keep::Harmed(harmed, answer_to)).map_err(|_| Error::Closed)?;
        answer.wait().map_err(|_| Error::Closed)
    }

    /// Counts messages that were trusted to a [`Scratch`](crate::Scratch) file and did not come back.
    pub fn count_lost(&self, count: u64) {
        add(&self.inner.shared.counters.messages_lost, count);
    }

    /// Totals since it was opened.
    pub fn stats(&self) -> Stats {
        self.inner.shared.counters.stats(self.inner.shared.is_blocked())
    }

    /// Whether publishers should wait for want of room; see [`Event::Blocked`](crate::Event::Blocked).
    pub fn is_blocked(&self) -> bool {
        self.inner.shared.is_blocked()
    }

    /// Has what could not be done for want of room tried again, and what can go removed. To be called now and then, such as
    /// once a second.
    pub fn tick(&self) {
        let _ = self.inner.keeper.send(Keep::Tick); // closed: nothing is left to do
    }

    /// Writes what was handed over, says in the manifest that all is well, and gives back the directory. Writers that are
    /// left come to their end.
    ///
    /// # Errors
    /// Those of writing; [`Error::Closed`] if it was closed or has failed before.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn close(&self) -> Result<(), Error> {
        let (answer_to, answer) = reply();
        self.inner.committer.send(Commit::Close(Some(answer_to))).map_err(|_| Error::Closed)?;
        answer.wait().map_err(|_| Error::Closed)?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.committer.send(Commit::Close(None)); // closed already
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("options", &self.inner.shared.options).finish_non_exhaustive()
    }
}
