//! What survives a restart besides messages: virtual hosts, users, permissions, policies, exchanges, queues, bindings.
//!
//! One [redb](https://docs.rs/redb) file, `meta.redb`, in the data directory, with one entry for each fact; FORMAT.md beside
//! this file says what is in them. A transaction is atomic and synced, so a crash leaves the file as after one commit or
//! the next.
//!
//! ```text
//!   owner of the topology --ops--> pending --all that is there--> one transaction on a thread of its own
//!                                                                            |
//!            answers that waited for them  <------------ committed ----------+
//! ```
//!
//! What is exclusive, not durable, or works itself out from the rest (numbers of virtual hosts, policies in force) is not
//! stored. Messages are not known here.

mod codec;
mod database;
mod fact;
mod recover;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use leveret_runtime as runtime;
use runtime::JoinError;
use runtime::fs::File;
use runtime::lane::Worker;

pub use fact::{Op, TopologyOps, access_ops};
pub use recover::Recovered;

use database::Database;

/// The file in the data directory.
pub const FILE_NAME: &str = "meta.redb";
/// The file in the data directory that is locked by the process that uses it.
pub const LOCK_NAME: &str = "LOCK";

/// The open file. Clones reach the same one.
#[derive(Clone)]
pub struct Metadata {
    /// Empty when it is closed.
    worker: Worker<Option<Database>>,
}

impl Metadata {
    /// Opens or makes the file in a data directory, and reads everything in it. `None` if it is new.
    ///
    /// # Errors
    /// The file cannot be opened or read, is damaged, or is of a version that this program does not know; the text says which
    /// and what to do.
    pub fn open(data_dir: &Path) -> io::Result<(Metadata, Option<Vec<Entry>>)> {
        let path = data_dir.join(FILE_NAME);
        let worker = Worker::start("metadata", move || Database::open(&path).map(Some))?;
        let metadata = Metadata { worker };
        let entries = metadata.call(Database::read_all)?;
        Ok((metadata, entries))
    }

    /// The number of the store that the queues' messages are in; `None` if that is not known yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn store(&self) -> io::Result<Option<u64>> {
        self.call(Database::store)
    }

    /// Stores facts, all or none, and waits until they are on disk.
    ///
    /// # Errors
    /// Of the disk. There is no going on after one: what is in memory is ahead of what is stored.
    pub fn commit(&self, ops: Vec<Op>) -> io::Result<()> {
        self.call(move |database| database.commit(&ops))
    }

    /// Closes the file. Nothing can be stored after it.
    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.worker.call(|database| drop(database.take())).expect("it does not panic");
    }

    fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Database) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let closed = || io::Error::other("the metadata file is closed");
        self.worker.call(move |database| f(database.as_mut().ok_or_else(closed)?)).map_err(ended)?
    }
}

fn ended(error: JoinError) -> io::Error {
    io::Error::other(format!("the thread that stores metadata has ended: {error}"))
}

/// A stored entry: its key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Makes the data directory, if it is not there (mode 0700), and locks it for as long as the answer lives.
///
/// # Errors
/// Another broker uses it; it cannot be made or written to. The text says what to do.
pub fn lock_data_dir(dir: &Path) -> io::Result<File> {
    let explain = |error: io::Error| {
        let text = format!("data directory {}: {error}; choose another with --data-dir", dir.display());
        io::Error::new(error.kind(), text)
    };
    make_dir(dir).map_err(explain)?;
    runtime::fs::lock(dir.join(LOCK_NAME)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            let text = format!(
                "data directory {} is in use by another broker: {error}; stop that one or choose another directory with \
                 --data-dir",
                dir.display()
            );
            io::Error::new(error.kind(), text)
        }
        _ => explain(error),
    })
}

/// Makes a directory and those above it that are missing, so that their names survive a power cut too.
fn make_dir(dir: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for folder in dir.ancestors().filter(|folder| *folder != Path::new("")) {
        if runtime::fs::exists(folder)? {
            break;
        }
        missing.push(folder);
    }
    runtime::fs::create_dir_all_mode(dir, 0o700)?;
    for folder in missing {
        match folder.parent() {
            Some(parent) if parent != Path::new("") => runtime::fs::sync_dir(parent)?,
            _ => runtime::fs::sync_dir(".")?,
        }
    }
    Ok(())
}
