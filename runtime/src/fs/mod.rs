//! Files, with std's names. Linux cannot wait for a regular file as for a socket: a call blocks until the disk has
//! answered. So each call here runs on the thread pool while the caller is parked.
//!
//! What that costs: two switches of threads, 10 to 30 us a call, whatever its size. Few big calls are cheap, many small
//! ones are not: read whole files, or through a `BufReader`; do several steps at once with [`File::blocking`].
//!
//! Buffers are copied, or owned by the call: if the caller is killed or timed out, the thread finishes its call on memory
//! that nobody else has, and the outcome is dropped. Such a write may still reach the file. A call made by a destructor
//! while its stack unwinds fails. On the simulated driver the calls run in place, on the real file system.

mod file;
mod open;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

pub use std::fs::{FileType, Metadata, Permissions};

pub use file::File;
pub use open::OpenOptions;

use crate::offload::offload_io;

/// Reads a whole file.
///
/// ```
/// # leveret_runtime::run(|| {
/// let manifest = leveret_runtime::fs::read_to_string("Cargo.toml").unwrap();
/// assert!(manifest.contains("[package]"));
/// # }).unwrap();
/// ```
///
/// # Errors
/// Those of std, with the path in their text; so for all functions of this module.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    on_path("read", path, |path| std::fs::read(path))
}

/// Reads a whole file of UTF-8 text.
///
/// # Errors
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    on_path("read", path, |path| std::fs::read_to_string(path))
}

/// Writes a whole file, replacing what is there. Not atomic and not synced: a crash may leave any part of it.
///
/// # Errors
/// As [`read`].
pub fn write(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> io::Result<()> {
    let contents = contents.into();
    on_path("write", path, move |path| std::fs::write(path, contents))
}

/// Copies a file and its permissions; says how many bytes.
///
/// # Errors
/// As [`read`].
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let to = to.as_ref().to_owned();
    on_path("copy", from, move |from| std::fs::copy(from, to))
}

/// Renames a file or directory, replacing a file that is there, atomically. [`sync_dir`] makes it durable.
///
/// # Errors
/// As [`read`].
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let to = to.as_ref().to_owned();
    on_path("rename", from, move |from| std::fs::rename(from, to))
}

/// Removes a file. [`sync_dir`] makes it durable.
///
/// # Errors
/// As [`read`].
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("remove", path, |path| std::fs::remove_file(path))
}

/// Makes a directory.
///
/// # Errors
/// As [`read`].
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("make the directory", path, |path| std::fs::create_dir(path))
}

/// Makes a directory and those above it, as far as they are missing.
///
/// # Errors
/// As [`read`].
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("make the directory", path, |path| std::fs::create_dir_all(path))
}

/// Removes an empty directory.
///
/// # Errors
/// As [`read`].
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("remove the directory", path, |path| std::fs::remove_dir(path))
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// As [`read`].
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("remove the directory", path, |path| std::fs::remove_dir_all(path))
}

/// Makes durable which names a directory has: after creating, renaming or removing files in it (`fsync` of the directory).
///
/// # Errors
/// As [`read`]. A failed sync cannot be repeated: the kernel may have forgotten what it could not write.
pub fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path("sync the directory", path, |path| std::fs::File::open(path)?.sync_all())
}

/// Size, kind, times and permissions, of what a link points to.
///
/// # Errors
/// As [`read`].
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    on_path("look at", path, |path| std::fs::metadata(path))
}

/// As [`metadata`], of a link itself.
///
/// # Errors
/// As [`read`].
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    on_path("look at", path, |path| std::fs::symlink_metadata(path))
}

/// Whether something is there.
///
/// # Errors
/// It cannot be known, e.g. for want of permission.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    on_path("look at", path, |path| std::fs::exists(path))
}

/// The absolute path without links.
///
/// # Errors
/// As [`read`].
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path("follow", path, |path| std::fs::canonicalize(path))
}

/// Changes the permissions; `Permissions::from_mode` of std's `PermissionsExt` makes them.
///
/// # Errors
/// As [`read`].
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    on_path("change the permissions of", path, move |path| std::fs::set_permissions(path, permissions))
}

/// What is in a directory, sorted by name, so that every run sees the same order. All of it at once: a directory is as
/// long as whoever fills it likes, so read only those that are yours.
///
/// # Errors
/// As [`read`].
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    on_path("list", path, |path| {
        let entries = std::fs::read_dir(path)?.map(|entry| DirEntry::of(&entry?));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    })
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    path: PathBuf,
    file_name: OsString,
    file_type: FileType,
}

impl DirEntry {
    fn of(entry: &std::fs::DirEntry) -> io::Result<DirEntry> {
        Ok(DirEntry { path: entry.path(), file_name: entry.file_name(), file_type: entry.file_type()? })
    }

    /// The directory's path with the name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name alone.
    pub fn file_name(&self) -> &OsStr {
        &self.file_name
    }

    /// File, directory or link.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }
}

/// Runs `f` on the pool with a copy of the path, and puts the path into its error.
pub(super) fn on_path<T: Send + 'static>(
    doing: &'static str,
    path: impl AsRef<Path>,
    f: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    offload_io(move || f(&path).map_err(|error| explain(doing, &path, &error)))
}

fn explain(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {doing} {}: {error}", path.display()))
}
