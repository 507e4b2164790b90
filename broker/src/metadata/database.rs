//! The redb file: opening it, reading everything, committing.
//!
//! It is used on one thread of its own: redb holds locks across its reads and writes. Its file access goes through the
//! runtime's files, so that a simulated disk is under it too.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use leveret_runtime::fs::{self, File};
use redb::backends::InMemoryBackend;
use redb::{Builder, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::Entry;
use super::fact::Op;

/// Facts by key.
const FACTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("facts");
/// Numbers by name: [`FORMAT`], [`NEXT_QUEUE`] and [`STORE`].
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// Which version of FORMAT.md the file is written by.
const FORMAT: &str = "format";
/// The version that this program writes, and the only one it reads.
pub(super) const FORMAT_VERSION: u64 = 1;
/// The lowest number that no durable queue ever had.
const NEXT_QUEUE: &str = "next_queue";

/// The number of the store that has the queues' messages.
const STORE: &str = "store";

/// Bytes of a file that is looked through before it is used; larger ones, of some million queues, are trusted.
const CHECK_MAX: u64 = 512 * 1024 * 1024;

/// Bytes of pages that redb keeps in memory; everything is read once and then only written.
const CACHE_SIZE: usize = 8 * 1024 * 1024;

/// See the module's description.
pub(super) struct Database {
    path: PathBuf,
    database: redb::Database,
}

impl Database {
    pub(super) fn open(path: &Path) -> io::Result<Database> {
        match fs::exists(path)? {
            true => check(path)?,
            false => make(path)?,
        }
        let file = File::options().read(true).write(true).open(path)?;
        let database = open_in(file).map_err(|error| explain(path, &error))?;
        Ok(Database { path: path.to_owned(), database })
    }

    /// The store that the facts are of; `None` if they do not say.
    pub(super) fn store(&mut self) -> io::Result<Option<u64>> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let numbers = match self.database.begin_read()?.open_table(NUMBERS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(numbers.get(STORE)?.map(|guard| guard.value()))
        };
        read().map_err(|error| self.explain(&error))
    }

    /// All facts in the order of their keys, with the number of the next queue as the first entry; `None` if the file is
    /// new.
    pub(super) fn read_all(&mut self) -> io::Result<Option<Vec<Entry>>> {
        let entries = self.read().map_err(|error| self.explain(&error))?;
        match entries {
            Ok(entries) => Ok(entries),
            Err(version) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} has format version {version}; this program knows {FORMAT_VERSION}: use the version of leveret that wrote \
                     it, or choose another directory with --data-dir",
                    self.path.display()
                ),
            )),
        }
    }

    fn read(&self) -> Result<Result<Option<Vec<Entry>>, u64>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let numbers = match transaction.open_table(NUMBERS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Ok(None)),
            table => table?,
        };
        let number = |name: &str| numbers.get(name).map(|found| found.map(|guard| guard.value()));
        match number(FORMAT)? {
            Some(FORMAT_VERSION) => {}
            other => return Ok(Err(other.unwrap_or(0))),
        }
        let mut entries = vec![(Vec::new(), number(NEXT_QUEUE)?.unwrap_or(0).to_be_bytes().to_vec())];
        for entry in transaction.open_table(FACTS)?.iter()? {
            let (key, value) = entry?;
            entries.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(Ok(Some(entries)))
    }

    pub(super) fn commit(&mut self, ops: &[Op]) -> io::Result<()> {
        self.write(ops).map_err(|error| self.explain(&error))
    }

    fn write(&self, ops: &[Op]) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        // One more sync. Else damage to the last commit looks like one that was cut short, and the one before is taken for it.
        transaction.set_two_phase_commit(true);
        let mut numbers = transaction.open_table(NUMBERS)?;
        let mut facts = transaction.open_table(FACTS)?;
        numbers.insert(FORMAT, FORMAT_VERSION)?;
        for op in ops {
            match op {
                Op::Put { key, value } => drop(facts.insert(&key[..], &value[..])?),
                Op::Remove { key } => drop(facts.remove(&key[..])?),
                Op::RemoveUnder { prefix } => {
                    let end = after(prefix);
                    let range = (Bound::Included(&prefix[..]), Bound::Excluded(&end[..]));
                    facts.retain_in::<&[u8], _>(range, |_, _| false)?;
                }
                Op::NextQueue(next) => {
                    let before = numbers.get(NEXT_QUEUE)?.map_or(0, |guard| guard.value());
                    numbers.insert(NEXT_QUEUE, before.max(*next))?;
                }
                Op::Store(number) => drop(numbers.insert(STORE, *number)?),
            }
        }
        drop((numbers, facts));
        transaction.commit()?;
        Ok(())
    }

    fn explain(&self, error: &redb::Error) -> io::Error {
        explain(&self.path, error)
    }
}

/// Makes the file elsewhere and renames it, for redb does not open what a power cut has left of a file half made.
fn make(path: &Path) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    let file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    drop(open_in(file).map_err(|error| explain(&fresh, &error))?);
    File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), fs::sync_dir)
}

/// Refuses a file that is harmed. redb looks at checksums only of a file that was not closed, and then goes back to the commit
/// before, which was not what was promised; of some damage it panics. So it is opened in a copy in memory first, and every
/// page looked at: nothing of the file is changed.
fn check(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.len() > CHECK_MAX {
        log::info!("{} is large and not looked through; `leveret ctl` exports definitions", path.display());
        return Ok(());
    }
    let bytes = fs::read(path)?;
    let looked = catch_unwind(AssertUnwindSafe(|| -> Result<bool, redb::Error> {
        let copy = InMemoryBackend::new();
        copy.set_len(bytes.len() as u64)?;
        copy.write(0, &bytes)?;
        let mut database = Builder::new().set_cache_size(CACHE_SIZE).create_with_backend(copy)?;
        Ok(database.check_integrity()?)
    }));
    match looked {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(explain(path, &"its pages contradict each other")),
        Ok(Err(error)) => Err(explain(path, &error)),
        Err(_) => Err(explain(path, &"its pages make no sense")),
    }
}

fn open_in(file: File) -> Result<redb::Database, redb::DatabaseError> {
    Builder::new().set_cache_size(CACHE_SIZE).create_with_backend(Backend(file))
}

/// The first key that does not begin with `prefix`, which begins with a kind and so never with 255.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

fn explain(path: &Path, error: &impl fmt::Display) -> io::Error {
    io::Error::other(format!(
        "metadata file {}: {error}; put a copy in its place, or import definitions into another directory (--data-dir) and \
         rescue messages with `leveret store salvage`",
        path.display()
    ))
}

/// redb's file access by the runtime's files. Who may use the directory is settled by its lock file.
#[derive(Debug)]
struct Backend(File);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of another version of the format.
    pub(in crate::metadata) fn write_version(path: &Path, version: u64) {
        let database = redb::Database::create(path).expect("a new file");
        let transaction = database.begin_write().expect("nobody else writes");
        transaction.open_table(NUMBERS).expect("a new table").insert(FORMAT, version).expect("it fits");
        transaction.commit().expect("it is stored");
    }
}
