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
    /// # Errors
    /// Those of std, with the path in their text.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, empty: made if it is not there.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file for reading and writing; fails if it is there.
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
