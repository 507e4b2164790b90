//! Scratch files: where transient messages wait when memory is short. Nothing here outlives the process, or is synced.
//!
//! A stretch of messages is one file, whose name is removed as soon as it is open: when the stretch is dropped, or the process
//! ends in whatever way, the system takes the room back. There is no list to keep, nothing to recover and no holes to
//! collect. Stretches should be some megabytes: each is a descriptor.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use leveret_runtime::fs::{self, File};

use crate::bodies::Bodies;
use crate::directory::Directory;
use crate::error::{Damage, Error, Flaw};
use crate::lane::Body;

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
    bodies: Vec<Body>,
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
        let (mut bytes, mut bodies) = (Vec::new(), Vec::with_capacity(messages.len()));
        for message in messages {
            let message = message.as_ref();
            let too_large = |_| Error::TooLarge { size: bytes.len() + message.len(), limit: u32::MAX as usize };
            let (offset, size) = (u32::try_from(bytes.len()), u32::try_from(message.len()));
            let (offset, size) = (offset.map_err(too_large)?, size.map_err(too_large)?);
            bodies.push(Body { offset, size, crc: crc32c::crc32c(message) });
            bytes.extend_from_slice(message);
        }
        file.write_owned_at(bytes, 0).map_err(|e| Error::io("write", &path, e))?;
        Ok(Stretch { file, path, bodies })
    }
}

impl Stretch {
    /// How many messages it has.
    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.bodies.is_empty()
    }

    /// Reads messages back, by their places from 0, with one read. Those beyond the end are not there; in the place of one that
    /// is not what was written is an error with file and offset.
    ///
    /// # Errors
    /// [`Error::Io`], when the disk does not give them.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn read(&self, places: Range<usize>) -> Result<Vec<Result<Vec<u8>, Damage>>, Error> {
        let end = places.end.min(self.bodies.len());
        let wanted = self.bodies.get(places.start..end).unwrap_or_default();
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(Vec::new()) };
        let span = u64::from(first.offset)..u64::from(last.offset) + u64::from(last.size);
        let bodies = Bodies::read(&self.file, &self.path, span)?;
        let take = |body: &Body| Ok(bodies.take(*body)?.map(Cow::into_owned).ok_or_else(|| self.damage(*body)));
        wanted.iter().map(take).collect()
    }

    fn damage(&self, body: Body) -> Damage {
        Damage { path: self.path.clone(), offset: body.offset.into(), what: Flaw::Body }
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
            let expected = messages.get(places.start..places.end.min(100)).unwrap_or_default().iter().cloned().map(Ok);
            assert_eq!(stretch.read(places).expect("readable"), expected.collect::<Vec<_>>());
        };
        [0..100, 0..1, 99..100, 10..20, 50..50, 90..200, 100..101].into_iter().for_each(check);
        assert_eq!(other.read(0..1).expect("readable"), [Ok(b"other".to_vec())]);
        assert_eq!((stretch.len(), stretch.is_empty()), (100, false));
        fs::write(path.join("0.scratch"), "left by a crash").expect("written");
        Scratch::new(path).expect("made again");
        assert_eq!(fs::read_dir(path).expect("listed").len(), 0);
    }

    #[test]
    fn what_is_harmed_is_told_apart() {
        let runtime = Runtime::builder().simulated(1).build().expect("a runtime");
        let body = || {
            let scratch = Scratch::new(Path::new("/scratch")).expect("made");
            let stretch = scratch.put(&[b"one", b"two", b"six"]).expect("written");
            stretch.file.write_all_at(b"?", 4).expect("written");
            let mut read = stretch.read(0..3).expect("readable");
            let damage = read.remove(1).expect_err("harmed");
            assert_eq!((damage.offset, damage.what), (3, Flaw::Body));
            assert_eq!(read, [Ok(b"one".to_vec()), Ok(b"six".to_vec())]);
        };
        runtime.run(body).expect("no deadlock");
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
