//! What a file system says about its files. Types of our own, since std's can only be made by the real file system.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fmt, io};

use super::Permissions;

/// What kind of thing a name stands for. See [`std::fs::FileType`].
///
/// ```
/// use leveret_runtime::fs::{self, FileType};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::create_dir("/data").unwrap();
/// assert_eq!(fs::metadata("/data").unwrap().file_type(), FileType::Dir);
/// assert!(fs::read_dir("/").unwrap()[0].file_type().is_dir());
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A device, a pipe or a socket.
    Other,
}

impl FileType {
    /// Whether it is a regular file.
    pub fn is_file(self) -> bool {
        self == FileType::File
    }

    /// Whether it is a directory.
    pub fn is_dir(self) -> bool {
        self == FileType::Dir
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(self) -> bool {
        self == FileType::Symlink
    }
}

impl From<std::fs::FileType> for FileType {
    fn from(kind: std::fs::FileType) -> Self {
        match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
            (true, ..) => FileType::File,
            (_, true, _) => FileType::Dir,
            (_, _, true) => FileType::Symlink,
            _ => FileType::Other,
        }
    }
}

/// Size, kind, permissions and time of the last change. See [`std::fs::Metadata`].
///
/// ```
/// use leveret_runtime::{fs, time};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::write("/file", "12345").unwrap();
/// let metadata = fs::metadata("/file").unwrap();
/// assert_eq!((metadata.len(), metadata.is_dir()), (5, false));
/// assert!(metadata.modified() <= time::system_now());
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(crate) len: u64,
    pub(crate) file_type: FileType,
    pub(crate) mode: u32,
    pub(crate) modified: SystemTime,
    pub(crate) allocated: u64,
}

impl Metadata {
    pub(crate) fn from_std(metadata: &std::fs::Metadata) -> io::Result<Metadata> {
        Ok(Metadata {
            len: metadata.len(),
            file_type: metadata.file_type().into(),
            mode: metadata.mode(),
            modified: metadata.modified()?,
            allocated: metadata.blocks() * 512, // `st_blocks` counts in these, whatever the file system's block size
        })
    }

    /// Bytes of the file, written or not.
    #[allow(clippy::len_without_is_empty, reason = "std's has none either")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that it takes of the disk: less than `len` where there are holes, more where blocks were set aside.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// What kind of thing it is.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type.is_file()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type.is_dir()
    }

    /// Whether it is a symbolic link; only [`symlink_metadata`](super::symlink_metadata) finds those.
    pub fn is_symlink(&self) -> bool {
        self.file_type.is_symlink()
    }

    /// Who may do what; `mode()` of std's `PermissionsExt` gives the bits.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode)
    }

    /// When the contents last changed.
    pub fn modified(&self) -> SystemTime {
        self.modified
    }
}

/// One name in a directory.
///
/// ```
/// use std::path::Path;
/// use leveret_runtime::fs;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fs::create_dir("/data").unwrap();
/// fs::write("/data/log", "").unwrap();
/// let entry = &fs::read_dir("/data").unwrap()[0];
/// assert_eq!((entry.path(), entry.file_name().to_str()), (Path::new("/data/log"), Some("log")));
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    path: PathBuf,
    file_name: OsString,
    file_type: FileType,
}

impl DirEntry {
    pub(crate) fn new(dir: &Path, file_name: OsString, file_type: FileType) -> DirEntry {
        DirEntry { path: dir.join(&file_name), file_name, file_type }
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

/// The room of a file system, in bytes.
///
/// ```
/// use leveret_runtime::fs::Space;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// println!("{}", Space { total: 64 << 30, free: 16 << 30 });
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this user may still take.
    pub free: u64,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes free", self.free, self.total)
    }
}
