//! An open file.

use std::fmt;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::sim::SimFile;
use super::{Metadata, OpenOptions, Permissions, is_on_shard, where_it_may_block};
use crate::descriptors;
use crate::sys;

/// Bytes that one read or write moves at most, so that the copy it makes is bounded; callers of `read` and `write` must
/// reckon with less than they asked for anyway.
const COPY_MAX: usize = 1024 * 1024;

/// Zeros that [`File::write_zeros_at`] writes at once.
const ZEROS_CHUNK: usize = 256 * 1024;

/// An open file. See [`std::fs::File`], whose methods these are, except that waiting parks the coroutine.
///
/// A clone is the same open file, and it may go to any shard or thread: reads and writes without an offset then share one
/// position, and two that write at the same time are served in any order.
///
/// ```
/// use leveret_runtime::fs::{self, File};
/// # leveret_runtime::run(|| {
/// let path = std::env::temp_dir().join(format!("leveret-doc-{}", std::process::id()));
/// let file = File::create(&path).unwrap();
/// file.write_all_at(b"hello", 3).unwrap();
/// file.sync_data().unwrap();
/// assert_eq!(fs::read(&path).unwrap(), b"\0\0\0hello");
/// fs::remove_file(&path).unwrap();
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct File {
    inner: Inner,
}

#[derive(Clone)]
enum Inner {
    Os(Arc<std::fs::File>),
    Sim(Arc<SimFile>),
}

impl File {
    /// Opens a file for reading.
    ///
    /// ```
    /// use std::io::{ErrorKind, Write};
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// assert_eq!(File::open("/file").unwrap_err().kind(), ErrorKind::NotFound);
    /// fs::write("/file", "text").unwrap();
    /// assert!(File::open("/file").unwrap().write_all(b"x").is_err()); // for reading only
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of std, with the path in their text.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, empty: made if it is not there.
    ///
    /// ```
    /// use std::io::Write;
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", "what was there is gone").unwrap();
    /// File::create("/file").unwrap().write_all(b"new").unwrap();
    /// assert_eq!(fs::read("/file").unwrap(), b"new");
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file for reading and writing; fails if it is there.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::fs::File;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// File::create_new("/id").unwrap();
    /// assert_eq!(File::create_new("/id").unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Options for opening.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over an open std file, which is a real one in a simulation too.
    ///
    /// ```
    /// use std::io::Read;
    /// use leveret_runtime::fs::File;
    /// # leveret_runtime::run(|| {
    /// let mut file = File::from_std(std::fs::File::open("Cargo.toml").unwrap()); // whoever opened it
    /// assert!(file.read(&mut [0; 16]).unwrap() > 0);
    /// # }).unwrap();
    /// ```
    pub fn from_std(file: std::fs::File) -> File {
        File { inner: Inner::Os(Arc::new(file)) }
    }

    pub(super) fn simulated(file: SimFile) -> File {
        File { inner: Inner::Sim(Arc::new(file)) }
    }

    /// Runs `f` with the file where it may block: several steps for the price of one.
    ///
    /// ```
    /// # leveret_runtime::run(|| {
    /// # let path = std::env::temp_dir().join(format!("leveret-doc-blocking-{}", std::process::id()));
    /// let file = leveret_runtime::fs::File::create(&path).unwrap();
    /// file.blocking(|file| {
    ///     file.write_all_at(b"record", 0)?;
    ///     file.sync_data()
    /// }).unwrap();
    /// # leveret_runtime::fs::remove_file(&path).unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of `f`; [`Unwinding`](crate::Unwinding) in a destructor while the stack unwinds.
    pub fn blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = self.clone();
        where_it_may_block(move || f(&file))
    }

    /// Reads up to `buffer.len()` bytes (and 1 MiB) at `offset`.
    ///
    /// ```
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", "0123456789").unwrap();
    /// let (file, mut buffer) = (File::open("/file").unwrap(), [0; 4]);
    /// assert_eq!(file.read_at(&mut buffer, 3).unwrap(), 4);
    /// assert_eq!(&buffer, b"3456");
    /// assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 2); // up to the end
    /// assert_eq!(file.read_at(&mut buffer, 100).unwrap(), 0);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(file) => read_copy(file, buffer, move |file, bytes| file.read_at(bytes, offset)),
            Inner::Sim(file) => file.read_at(head_mut(buffer), offset),
        }
    }

    /// Reads as many bytes as the buffer has at `offset`.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", "0123456789").unwrap();
    /// let (file, mut buffer) = (File::open("/file").unwrap(), [0; 4]);
    /// file.read_exact_at(&mut buffer, 6).unwrap();
    /// assert_eq!(&buffer, b"6789");
    /// assert_eq!(file.read_exact_at(&mut buffer, 7).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `UnexpectedEof` if there are not as many; the system's.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    buffer = &mut buffer[count..];
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Reads `count` bytes at `offset` into a buffer of its own, without a copy.
    ///
    /// ```
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", "0123456789").unwrap();
    /// assert_eq!(File::open("/file").unwrap().read_owned_at(3, 2).unwrap(), b"234");
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::read_exact_at`].
    pub fn read_owned_at(&self, count: usize, offset: u64) -> io::Result<Vec<u8>> {
        self.blocking(move |file| {
            let mut bytes = vec![0; count];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        })
    }

    /// Writes up to `bytes.len()` bytes (and 1 MiB) at `offset`.
    ///
    /// ```
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/file").unwrap();
    /// assert_eq!(file.write_at(b"abc", 2).unwrap(), 3);
    /// assert_eq!(fs::read("/file").unwrap(), b"\0\0abc"); // the gap reads as zeros
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(file) if is_on_shard() => {
                let bytes = head(bytes).to_vec();
                on_pool(file, move |file| file.write_at(&bytes, offset))
            }
            Inner::Os(file) => file.write_at(bytes, offset),
            Inner::Sim(file) => file.write_at(head(bytes), offset),
        }
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::{fs::File, sim::{self, Effect, Fault}};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/file").unwrap();
    /// file.write_all_at(&[7; 100_000], 0).unwrap();
    /// sim::inject(Fault::at("fs.write").then(Effect::Full));
    /// assert_eq!(file.write_all_at(b"more", 100_000).unwrap_err().kind(), ErrorKind::StorageFull);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's; a part may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) if is_on_shard() => {
                let bytes = bytes.to_vec();
                on_pool(file, move |file| file.write_all_at(&bytes, offset))
            }
            Inner::Os(file) => file.write_all_at(bytes, offset),
            Inner::Sim(file) => file.write_all_at(bytes, offset),
        }
    }

    /// Writes all of the slices, one behind the other, at `offset`. The slices are used up: what they are afterwards is not
    /// said. On a shard they are copied; on a thread of its own nothing is.
    ///
    /// ```
    /// use std::io::IoSlice;
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/log").unwrap();
    /// file.write_all_vectored_at(&mut [IoSlice::new(b"header "), IoSlice::new(b"body")], 0).unwrap();
    /// assert_eq!(fs::read("/log").unwrap(), b"header body");
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::write_all_at`].
    pub fn write_all_vectored_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Inner::Os(file) = &self.inner
            && !is_on_shard()
        {
            return sys::file::write_all_vectored_at(file, slices, offset);
        }
        let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
        slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
        self.write_owned_at(bytes, offset).map(drop)
    }

    /// Writes `size` zeros at `offset`, truly: the blocks are there afterwards, and writing over them needs no room and no
    /// change of the file system's own records. A synced write is four times as quick there as at the end of a growing file.
    ///
    /// ```
    /// use leveret_runtime::fs::File;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let log = File::create("/log").unwrap();
    /// log.write_zeros_at(1 << 20, 0).unwrap();
    /// log.sync_all().unwrap(); // from now on `sync_data` after a write syncs the bytes and nothing else
    /// let metadata = log.metadata().unwrap();
    /// assert_eq!((metadata.len(), metadata.allocated()), (1 << 20, 1 << 20));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::write_all_at`].
    pub fn write_zeros_at(&self, size: u64, offset: u64) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => {
                on_pool(file, move |file| write_zeros(size, |zeros, at| file.write_all_at(zeros, offset + at)))
            }
            Inner::Sim(file) => file.write_zeros_at(size, offset),
        }
    }

    /// Has the file system set blocks aside for the range; the file grows to its end, and what was not written reads as zeros.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::{fs::File, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::disk().set_capacity(1 << 20);
    /// let file = File::create("/file").unwrap();
    /// file.allocate(0, 65_536).unwrap();
    /// assert_eq!(file.metadata().unwrap().len(), 65_536);
    /// assert_eq!(file.allocate(0, 2 << 20).unwrap_err().kind(), ErrorKind::StorageFull); // known before it is needed
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `StorageFull` if there is no room; the system's.
    pub fn allocate(&self, offset: u64, size: u64) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, move |file| sys::file::allocate(file, offset, size)),
            Inner::Sim(file) => file.allocate(offset, size),
        }
    }

    /// Writes all of `bytes` at `offset` without a copy, and gives the buffer back for the next time.
    ///
    /// ```
    /// use leveret_runtime::fs::File;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/log").unwrap();
    /// let mut buffer = b"first".to_vec();
    /// buffer = file.write_owned_at(buffer, 0).unwrap(); // goes to the thread and comes back
    /// buffer.clear();
    /// buffer.extend(b" second");
    /// file.write_owned_at(buffer, 5).unwrap();
    /// assert_eq!(file.metadata().unwrap().len(), 12);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::write_all_at`].
    pub fn write_owned_at(&self, bytes: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, move |file| file.write_all_at(&bytes, offset).map(|()| bytes)),
            Inner::Sim(file) => file.write_all_at(&bytes, offset).map(|()| bytes),
        }
    }

    /// Makes contents and metadata durable.
    ///
    /// ```
    /// use leveret_runtime::{fs::{self, File}, sim::{self, Fault}};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/file").unwrap();
    /// fs::sync_dir("/").unwrap(); // its name
    /// file.write_all_at(b"first", 0).unwrap();
    /// file.sync_all().unwrap();
    /// file.write_all_at(b"FIRST", 0).unwrap();
    /// assert_eq!(sim::disk().durable().read("/file").unwrap(), b"first");
    /// sim::inject(Fault::at("fs.sync"));
    /// assert!(file.sync_all().is_err()); // what is on the disk now, nobody knows
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's. A failed sync cannot be repeated: the kernel may have forgotten what it could not write.
    pub fn sync_all(&self) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, |file| file.sync_all()),
            Inner::Sim(file) => file.sync(),
        }
    }

    /// Makes contents durable, and of the metadata what is needed to find them.
    ///
    /// ```
    /// use leveret_runtime::{fs::{self, File}, sim};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let log = File::create("/log").unwrap();
    /// fs::sync_dir("/").unwrap();
    /// log.write_all_at(b"entry", 0).unwrap();
    /// log.sync_data().unwrap(); // the new length as well, or the bytes could not be found
    /// assert_eq!(sim::disk().durable().read("/log").unwrap(), b"entry");
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`File::sync_all`].
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, |file| file.sync_data()),
            Inner::Sim(file) => file.sync(),
        }
    }

    /// Cuts the file, or extends it by zeros.
    ///
    /// ```
    /// use leveret_runtime::fs::{self, File};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// fs::write("/file", "abcdef").unwrap();
    /// let file = File::options().write(true).open("/file").unwrap();
    /// file.set_len(2).unwrap();
    /// file.set_len(4).unwrap();
    /// assert_eq!(fs::read("/file").unwrap(), b"ab\0\0"); // what was cut off does not come back
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, move |file| file.set_len(size)),
            Inner::Sim(file) => file.set_len(size),
        }
    }

    /// Size, kind, times and permissions.
    ///
    /// ```
    /// use leveret_runtime::fs::File;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let file = File::create("/file").unwrap();
    /// file.write_all_at(b"x", 99).unwrap();
    /// assert_eq!(file.metadata().unwrap().len(), 100);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, |file| Metadata::from_std(&file.metadata()?)),
            Inner::Sim(file) => file.metadata(),
        }
    }

    /// Changes the permissions.
    ///
    /// # Errors
    /// The system's.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => on_pool(file, move |file| file.set_permissions(permissions)),
            Inner::Sim(file) => file.set_mode(permissions.mode()),
        }
    }

    /// Locks the file for this process alone, if nobody has (`flock`); it is released when the file is closed. Never waits.
    ///
    /// ```
    /// use std::fs::TryLockError;
    /// use leveret_runtime::fs::File;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (first, second) = (File::create("/file").unwrap(), File::create("/file").unwrap());
    /// first.try_lock().unwrap();
    /// assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
    /// drop(first); // closing it is unlocking it
    /// second.try_lock().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` inside the error if somebody has; the system's.
    pub fn try_lock(&self) -> Result<(), std::fs::TryLockError> {
        match &self.inner {
            Inner::Os(file) => file.try_lock(),
            Inner::Sim(file) => match file.try_lock().map_err(std::fs::TryLockError::Error)? {
                true => Ok(()),
                false => Err(std::fs::TryLockError::WouldBlock),
            },
        }
    }
}

fn on_pool<T: Send + 'static>(
    file: &Arc<std::fs::File>,
    f: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let file = file.clone();
    where_it_may_block(move || f(&file))
}

/// Reads into a buffer that the pool may keep if the caller is gone meanwhile.
fn read_copy(
    file: &Arc<std::fs::File>,
    buffer: &mut [u8],
    read: impl FnOnce(&std::fs::File, &mut [u8]) -> io::Result<usize> + Send + 'static,
) -> io::Result<usize> {
    if !is_on_shard() {
        return read(file, buffer);
    }
    let mut bytes = vec![0; buffer.len().min(COPY_MAX)];
    let bytes = on_pool(file, move |file| {
        let count = read(file, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    })?;
    buffer[..bytes.len()].copy_from_slice(&bytes);
    Ok(bytes.len())
}

/// Gives zeros and their place to `write`, piece by piece.
fn write_zeros(size: u64, mut write: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<()> {
    let zeros = vec![0; ZEROS_CHUNK.min(size as usize)];
    let mut at = 0;
    while at < size {
        let count = zeros.len().min((size - at) as usize);
        write(&zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(COPY_MAX)]
}

fn head_mut(buffer: &mut [u8]) -> &mut [u8] {
    let count = buffer.len().min(COPY_MAX);
    &mut buffer[..count]
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(file) => read_copy(file, buffer, |mut file, bytes| file.read(bytes)),
            Inner::Sim(file) => file.read(head_mut(buffer)),
        }
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut rest = match &self.inner {
            Inner::Os(file) => on_pool(file, |mut file| {
                let mut rest = Vec::new();
                file.read_to_end(&mut rest).map(|_| rest)
            })?,
            Inner::Sim(file) => read_simulated_to_end(file)?,
        };
        let count = rest.len();
        buffer.append(&mut rest);
        Ok(count)
    }
}

fn read_simulated_to_end(file: &SimFile) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut part = vec![0; COPY_MAX.min(64 * 1024)];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&part[..count]),
        }
    }
}

impl Write for &File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.inner {
            Inner::Os(file) => {
                let bytes = head(bytes).to_vec();
                on_pool(file, move |mut file| file.write(&bytes))
            }
            Inner::Sim(file) => file.write(head(bytes)),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        match &self.inner {
            Inner::Os(file) => {
                let bytes = bytes.to_vec();
                on_pool(file, move |mut file| file.write_all(&bytes))
            }
            Inner::Sim(file) => {
                while !bytes.is_empty() {
                    bytes = &bytes[file.write(bytes)?..];
                }
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &self.inner {
            Inner::Os(file) => (&**file).seek(to), // moves a number in the kernel; nothing to wait for
            Inner::Sim(file) => file.seek(to),
        }
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buffer)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self).write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}

/// # Panics
/// A simulated file has no descriptor.
impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Inner::Os(file) => file.as_fd(),
            Inner::Sim(file) => panic!("{file:?} has no descriptor: what needs one is for the real driver only"),
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Os(file) => file.fmt(f),
            Inner::Sim(file) => file.fmt(f),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        descriptors::freed();
    }
}
