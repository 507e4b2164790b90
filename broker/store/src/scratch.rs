//! Scratch files: where transient messages wait when memory is short. Nothing here outlives the process, or is synced.
//!
//! A stretch of messages is one file, whose name is removed as soon as it is open: when the stretch is dropped, or the process
//! ends in whatever way, the system takes the room back. There is no list to keep, nothing to recover and no holes to
//! collect. Stretches should be some megabytes: each is a descriptor.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use leveret_runtime::fs::{self, File};

use crate::directory::Directory;
use crate::error::{Error, Flaw};

/// A directory for scratch files.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
    last: AtomicU64,
}

/// Messages in a scratch file, in order.
#[derive(Debug)]
pub struct Stretch {
    file: File,
    /// For messages about it: the name is gone.
    path: PathBuf,
    /// Where each message ends, and its checksum.
    ends: Vec<(u64, u32)>,
}

impl Scratch {
    /// Uses the directory at `path`, which is made if it is missing and emptied of what a crash between making a file and
    /// removing its name has left.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn new(path: &Path) -> Result<Scratch, Error> {
        fs::create_dir_all_mode(path, 0o700).map_err(|e| Error::io("make", path, e))?;
        for entry in fs::read_dir(path).map_err(|e| Error::io("list", path, e))? {
            if entry.path().extension().is_some_and(|extension| extension == "scratch") {
                Directory::new(path).remove(entry.path())?;
            }
        }
        Ok(Scratch { directory: path.to_owned(), last: AtomicU64::new(0) })
    }

    /// Writes messages away. The caller waits; its shard does not.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is left behind.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn put<B: AsRef<[u8]>>(&self, messages: &[B]) -> Result<Stretch, Error> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{number:016x}.scratch"));
        let directory = Directory::new(&self.directory);
        let file = directory.create(&path)?;
        directory.remove(&path)?;
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(messages.len()));
        for message in messages {
            bytes.extend_from_slice(message.as_ref());
            ends.push((bytes.len() as u64, crc32c::crc32c(message.as_ref())));
        }
        file.write_owned_at(bytes, 0).map_err(|e| Error::io("write", &path, e))?;
        Ok(Stretch { file, path, ends })
    }
}

impl Stretch {
    /// How many messages it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Reads messages back, by their places from 0, with one read. Those beyond the end are not there.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] if they are not what was written.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn read(&self, places: Range<usize>) -> Result<Vec<Vec<u8>>, Error> {
        let end = places.end.min(self.ends.len());
        let Some(wanted) = self.ends.get(places.start..end).filter(|wanted| !wanted.is_empty()) else {
            return Ok(Vec::new());
        };
        let from = places.start.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        let to = wanted.last().map_or(from, |(end, _)| *end);
        let size = usize::try_from(to - from).map_err(|_| Error::Closed)?;
        let bytes = self.file.read_owned_at(size, from).map_err(|e| Error::io("read", &self.path, e))?;
        let (mut rest, mut at, mut messages) = (&bytes[..], from, Vec::with_capacity(wanted.len()));
        for (end, crc) in wanted {
            let harmed = || Error::damaged(&self.path, at, Flaw::Body);
            let size = usize::try_from(end - at).map_err(|_| harmed())?;
            let (message, others) = rest.split_at_checked(size).ok_or_else(harmed)?;
            if crc32c::crc32c(message) != *crc {
                return Err(harmed());
            }
            messages.push(message.to_vec());
            (rest, at) = (others, *end);
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use leveret_runtime::{Runtime, run};

    use super::*;

    fn put_and_read(path: &Path) {
        let scratch = Scratch::new(path).expect("made");
        let messages: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; usize::from(n) * 7 % 50]).collect();
        let stretch = scratch.put(&messages).expect("written");
        let other = scratch.put(&[b"other"]).expect("written");
        assert_eq!(fs::read_dir(path).expect("listed").len(), 0, "no name is left");
        let check = |places: Range<usize>| {
            let expected = messages.get(places.start..places.end.min(100)).unwrap_or_default();
            assert_eq!(stretch.read(places).expect("readable"), expected);
        };
        [0..100, 0..1, 99..100, 10..20, 50..50, 90..200, 100..101].into_iter().for_each(check);
        assert_eq!(other.read(0..1).expect("readable"), [b"other"]);
        assert_eq!((stretch.len(), stretch.is_empty()), (100, false));
        fs::write(path.join("0.scratch"), "left by a crash").expect("written");
        Scratch::new(path).expect("made again");
        assert_eq!(fs::read_dir(path).expect("listed").len(), 0);
    }

    #[test]
    fn what_is_put_is_read() {
        let path = std::env::temp_dir().join(format!("leveret-scratch-{}", std::process::id()));
        let real = path.clone();
        run(move || {
            put_and_read(&real);
            fs::remove_dir_all(&real).expect("removed");
        })
        .expect("no deadlock");
        let runtime = Runtime::builder().simulated(1).build().expect("a runtime");
        runtime.run(move || put_and_read(&path)).expect("no deadlock");
    }
}
