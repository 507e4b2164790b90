//! Files, with std's names. Linux cannot wait for a regular file as for a socket: a call blocks until the disk has
//! answered. So each call of a coroutine runs on the thread pool while the caller is parked.
//!
//! What that costs: two switches of threads, 10 to 30 us a call, whatever its size. Few big calls are cheap, many small
//! ones are not: read whole files, or through a `BufReader`; do several steps at once with [`File::blocking`]; give what
//! writes all the time, such as a log, a thread of its own with a [`Lane`](crate::lane::Lane). On a thread that is not a
//! shard (a lane's, the pool's, a foreign library's) the same calls block, without a detour and without a copy.
//!
//! Buffers are copied, or owned by the call: if the caller is killed or timed out, the thread finishes its call on memory
//! that nobody else has, and the outcome is dropped. Such a write may still reach the file. A call made by a destructor
//! while its stack unwinds fails.
//!
//! On the simulated driver each host has a [disk](crate::sim::Disk) of its own in memory, empty at first: calls take virtual
//! time, and the disk can crash, fail and fill up. Its working directory is the root, it has no links, and everybody may do
//! everything.
//!
//! A library that holds a lock of its own across its reads and writes (a database) must be used by one coroutine of a shard
//! at a time: a second one would block the thread on that lock, and the first could never give it back. Give it a
//! [`Worker`](crate::lane::Worker), or put it behind [`sync::Mutex`](crate::sync::Mutex).

mod file;
mod lock;
mod metadata;
mod open;
pub(crate) mod sim;

use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use std::fs::Permissions;

pub use file::File;
pub use lock::lock;
pub use metadata::{DirEntry, FileType, Metadata, Space};
pub use open::OpenOptions;

use crate::coroutine::current;

use crate::offload::offload_io;

/// Permissions of a directory that is made, before the umask, where nobody says otherwise.
const DIR_MODE_DEFAULT: u32 = 0o777;

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
    if sim::machine().is_some() {
        let mut all = Vec::new();
        return File::open(path)?.read_to_end(&mut all).map(|_| all);
    }
    on_path("read", path, |path| std::fs::read(path))
}

/// Reads a whole file of UTF-8 text.
///
/// ```
/// use std::io::ErrorKind;
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/note", "déjà vu").unwrap();
/// assert_eq!(fs::read_to_string("/note").unwrap(), "déjà vu");
/// fs::write("/note", [0xff]).unwrap();
/// assert_eq!(fs::read_to_string("/note").unwrap_err().kind(), ErrorKind::InvalidData);
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = read(&path)?;
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is not UTF-8", path.as_ref().display()));
    String::from_utf8(bytes).map_err(invalid)
}

/// Writes a whole file, replacing what is there. Not atomic and not synced: a crash may leave any part of it.
///
/// ```
/// use leveret_runtime::{fs, sim};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/file", "the first text").unwrap();
/// fs::write("/file", "second").unwrap(); // replaces all of it
/// assert_eq!(fs::read("/file").unwrap(), b"second");
/// assert!(sim::disk().durable().is_empty()); // but a crash now need not leave either
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn write(path: impl AsRef<Path>, contents: impl Into<Vec<u8>>) -> io::Result<()> {
    let contents = contents.into();
    if sim::machine().is_some() {
        return File::create(path)?.write_all_at(&contents, 0);
    }
    on_path("write", path, move |path| std::fs::write(path, contents))
}

/// Copies a file and its permissions; says how many bytes. A file that is copied onto itself is emptied, as with std.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/from", "words").unwrap();
/// assert_eq!(fs::copy("/from", "/to").unwrap(), 5);
/// assert_eq!(fs::read("/to").unwrap(), b"words");
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    if let Some(machine) = sim::machine() {
        return machine.copy(from.as_ref(), to.as_ref());
    }
    let to = to.as_ref().to_owned();
    on_path("copy", from, move |from| std::fs::copy(from, to))
}

/// Renames a file or directory, replacing a file that is there, atomically. [`sync_dir`] makes it durable.
///
/// ```
/// use leveret_runtime::{fs, sim};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// // Replacing a file so that a crash leaves the old one or the new one, whole:
/// fs::write("/config", "old").unwrap();
/// let new = fs::File::create("/config.new").unwrap();
/// new.write_all_at(b"new", 0).unwrap();
/// new.sync_all().unwrap(); // first the bytes
/// fs::rename("/config.new", "/config").unwrap();
/// fs::sync_dir("/").unwrap(); // then the name
/// assert_eq!(sim::disk().durable().read("/config").unwrap(), b"new");
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.rename(from.as_ref(), to.as_ref());
    }
    let to = to.as_ref().to_owned();
    on_path("rename", from, move |from| std::fs::rename(from, to))
}

/// Removes a file. [`sync_dir`] makes it durable.
///
/// ```
/// use std::io::{ErrorKind, Read};
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/file", "kept while open").unwrap();
/// let mut open = fs::File::open("/file").unwrap();
/// fs::remove_file("/file").unwrap();
/// assert_eq!(fs::remove_file("/file").unwrap_err().kind(), ErrorKind::NotFound);
/// let mut text = String::new();
/// open.read_to_string(&mut text).unwrap(); // who has it open still reads it
/// assert_eq!(text, "kept while open");
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.remove_file(path.as_ref());
    }
    on_path("remove", path, |path| std::fs::remove_file(path))
}

/// Makes a directory.
///
/// ```
/// use std::io::ErrorKind;
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::create_dir("/data").unwrap();
/// assert_eq!(fs::create_dir("/data").unwrap_err().kind(), ErrorKind::AlreadyExists);
/// assert_eq!(fs::create_dir("/no/such").unwrap_err().kind(), ErrorKind::NotFound);
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.create_dir(path.as_ref(), DIR_MODE_DEFAULT);
    }
    on_path("make the directory", path, |path| std::fs::create_dir(path))
}

/// Makes a directory and those above it, as far as they are missing, with these permissions less the process's umask; a
/// directory that was there keeps its own. `0o700` keeps others out.
///
/// ```
/// use leveret_runtime::fs;
/// use std::os::unix::fs::PermissionsExt;
/// # leveret_runtime::run(|| {
/// let secrets = std::env::temp_dir().join(format!("leveret-doc-mode-{}", std::process::id()));
/// fs::create_dir_all_mode(&secrets, 0o700).unwrap();
/// assert_eq!(fs::metadata(&secrets).unwrap().permissions().mode() & 0o777, 0o700);
/// # fs::remove_dir(&secrets).unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn create_dir_all_mode(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.create_dir_all(path.as_ref(), mode);
    }
    on_path("make the directory", path, move |path| std::fs::DirBuilder::new().recursive(true).mode(mode).create(path))
}

/// Makes a directory and those above it, as far as they are missing.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::create_dir_all("/data/queues/orders").unwrap();
/// fs::create_dir_all("/data/queues/orders").unwrap(); // that it is there is no error
/// assert!(fs::metadata("/data/queues").unwrap().is_dir());
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    create_dir_all_mode(path, DIR_MODE_DEFAULT)
}

/// Removes an empty directory.
///
/// ```
/// use std::io::ErrorKind;
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::create_dir_all("/data/queues").unwrap();
/// assert_eq!(fs::remove_dir("/data").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
/// fs::remove_dir("/data/queues").unwrap();
/// fs::remove_dir("/data").unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.remove_dir(path.as_ref());
    }
    on_path("remove the directory", path, |path| std::fs::remove_dir(path))
}

/// Removes a directory with all that is in it.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::create_dir_all("/data/queues").unwrap();
/// fs::write("/data/queues/1", "x").unwrap();
/// fs::remove_dir_all("/data").unwrap();
/// assert!(!fs::exists("/data").unwrap());
/// assert!(fs::remove_dir_all("/data").is_err()); // a directory that is not there is an error
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.remove_dir_all(path.as_ref());
    }
    on_path("remove the directory", path, |path| std::fs::remove_dir_all(path))
}

/// Makes durable which names a directory has: after creating, renaming or removing files in it (`fsync` of the directory).
///
/// ```
/// use leveret_runtime::{fs, sim};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::File::create("/journal").unwrap().sync_all().unwrap();
/// assert!(sim::disk().durable().is_empty()); // the file is durable, its name is not
/// fs::sync_dir("/").unwrap();
/// assert_eq!(sim::disk().durable().files().len(), 1);
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`]. A failed sync cannot be repeated: the kernel may have forgotten what it could not write.
pub fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.sync_dir(path.as_ref());
    }
    on_path("sync the directory", path, |path| std::fs::File::open(path)?.sync_all())
}

/// Size, kind, times and permissions, of what a link points to.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/file", "12345").unwrap();
/// let metadata = fs::metadata("/file").unwrap();
/// assert!(metadata.is_file() && metadata.len() == 5);
/// let text = fs::metadata("/other").unwrap_err().to_string();
/// assert!(text.contains("/other"), "{text}"); // errors name what they are about
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    if let Some(machine) = sim::machine() {
        return machine.metadata(path.as_ref());
    }
    on_path("look at", path, |path| Metadata::from_std(&std::fs::metadata(path)?))
}

/// As [`metadata`], of a link itself.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::run(|| {
/// let link = std::env::temp_dir().join(format!("leveret-doc-link-{}", std::process::id()));
/// std::os::unix::fs::symlink("/", &link).unwrap();
/// assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
/// assert!(fs::metadata(&link).unwrap().is_dir()); // what it points to
/// # fs::remove_file(&link).unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    if let Some(machine) = sim::machine() {
        return machine.metadata(path.as_ref());
    }
    on_path("look at", path, |path| Metadata::from_std(&std::fs::symlink_metadata(path)?))
}

/// Whether something is there.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// assert!(!fs::exists("/file").unwrap());
/// fs::write("/file", "").unwrap();
/// assert!(fs::exists("/file").unwrap());
/// # }).unwrap();
/// ```
///
/// # Errors
/// It cannot be known, e.g. for want of permission.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The absolute path without links.
///
/// ```
/// use std::path::Path;
/// use leveret_runtime::fs;
/// # leveret_runtime::run(|| {
/// assert_eq!(fs::canonicalize("/usr/../.").unwrap(), Path::new("/"));
/// assert!(fs::canonicalize("/no/such").is_err());
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    if let Some(machine) = sim::machine() {
        return machine.canonicalize(path.as_ref());
    }
    on_path("follow", path, |path| std::fs::canonicalize(path))
}

/// Changes the permissions; `Permissions::from_mode` of std's `PermissionsExt` makes them.
///
/// ```
/// use leveret_runtime::fs::{self, Permissions};
/// use std::os::unix::fs::PermissionsExt;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/secret", "x").unwrap();
/// fs::set_permissions("/secret", Permissions::from_mode(0o600)).unwrap();
/// assert_eq!(fs::metadata("/secret").unwrap().permissions().mode() & 0o777, 0o600);
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    if let Some(machine) = sim::machine() {
        return machine.set_mode(path.as_ref(), permissions.mode());
    }
    on_path("change the permissions of", path, move |path| std::fs::set_permissions(path, permissions))
}

/// What is in a directory, sorted by name, so that every run sees the same order. All of it at once: a directory is as
/// long as whoever fills it likes, so read only those that are yours.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// for name in ["/b", "/a"] {
///     fs::write(name, "").unwrap();
/// }
/// let names: Vec<_> = fs::read_dir("/").unwrap().iter().map(|entry| entry.file_name().to_owned()).collect();
/// assert_eq!(names, ["a", "b"]); // sorted
/// assert!(fs::read_dir("/a").is_err()); // a file
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    if let Some(machine) = sim::machine() {
        return machine.list(path.as_ref());
    }
    on_path("list", path, |path| {
        let entry = |entry: std::fs::DirEntry| Ok(DirEntry::new(path, entry.file_name(), entry.file_type()?.into()));
        let mut entries = std::fs::read_dir(path)?.map(|found| entry(found?)).collect::<io::Result<Vec<_>>>()?;
        entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
        Ok(entries)
    })
}

/// The room of the file system that `path` lies on.
///
/// ```
/// use leveret_runtime::{fs, sim};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// sim::disk().set_capacity(1 << 30);
/// let space = fs::space("/").unwrap();
/// assert!(space.free <= space.total && space.total == 1 << 30);
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`read`].
pub fn space(path: impl AsRef<Path>) -> io::Result<Space> {
    if let Some(machine) = sim::machine() {
        return machine.space(path.as_ref());
    }
    on_path("ask for the room at", path, |path| {
        let (total, free) = crate::sys::file::space(path)?;
        Ok(Space { total, free })
    })
}

/// Runs `f` with a copy of the path where it may block, and puts the path into its error.
pub(super) fn on_path<T: Send + 'static>(
    doing: &'static str,
    path: impl AsRef<Path>,
    f: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    where_it_may_block(move || f(&path).map_err(|error| explain(doing, &path, &error)))
}

/// Runs `f` on the pool, or here if this is not a shard's thread.
pub(super) fn where_it_may_block<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match is_on_shard() {
        true => offload_io(f),
        false => f(),
    }
}

/// Whether this is a shard's thread, which must not block.
pub(super) fn is_on_shard() -> bool {
    current::try_with(|_| ()).is_some()
}

fn explain(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EMFILE) => " (the process's limit: raise it with `ulimit -n`, or LimitNOFILE= of its systemd unit)",
        Some(libc::ENFILE) => " (the system's limit: raise fs.file-max)",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot {doing} {}: {error}{advice}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_where_and_what_to_do() {
        let check = |errno: i32, expected: &str| {
            let text = explain("open", Path::new("/x"), &io::Error::from_raw_os_error(errno)).to_string();
            assert!(text.starts_with("cannot open /x: ") && text.contains(expected), "{text}");
        };
        check(libc::ENOENT, "No such file");
        check(libc::EMFILE, "LimitNOFILE");
        check(libc::ENFILE, "fs.file-max");
    }

    #[test]
    fn calls_work_on_threads_that_are_no_shard() {
        let dir = std::env::temp_dir().join(format!("leveret-fs-plain-{}", std::process::id()));
        create_dir_all_mode(&dir, 0o700).unwrap();
        assert_eq!(metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let file = File::create_new(dir.join("file")).unwrap();
        file.write_all_at(b"text", 2).unwrap();
        let mut back = [0; 6];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(&back, b"\0\0text");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
