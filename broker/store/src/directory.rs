//! The data directory: names of files, and steps with them that leave either the old or the new state behind.
//!
//! ```text
//!   LOCK              held by the process that has the directory
//!   MANIFEST          see the module `manifest`
//!   RESERVE           room for when there is none
//!   log/0000.log      a few files of one size, used in turn
//!   segments/<16 hexadecimal digits>.seg
//! ```
//!
//! Nothing is ever named by what a client chose.

use std::io;
use std::path::{Path, PathBuf};

use leveret_runtime::fs::{self, File};

use crate::error::Error;
use crate::ids::{LogId, SegmentId};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(crate) fn new(root: &Path) -> Directory {
        Directory { root: root.to_owned() }
    }

    /// Makes it with its folders, as far as they are missing, and has the system keep them.
    pub(crate) fn make(&self) -> Result<(), Error> {
        for folder in [self.root.clone(), self.logs(), self.segments()] {
            fs::create_dir_all_mode(&folder, DIRECTORY_MODE).map_err(|e| Error::io("make", &folder, e))?;
        }
        self.sync(&self.root)?;
        match self.root.parent() {
            Some(parent) if parent != Path::new("") => self.sync(parent),
            _ => Ok(()),
        }
    }

    /// Takes the lock; it is given back when the file is closed, also by the end of the process.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        fs::lock(self.root.join("LOCK")).map_err(|source| Error::Locked { source })
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("MANIFEST")
    }

    /// Room for emptying a log file.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("RESERVE")
    }

    /// Room for a manifest.
    pub(crate) fn manifest_reserve(&self) -> PathBuf {
        self.root.join("RESERVE.manifest")
    }

    fn new_manifest(&self) -> PathBuf {
        self.root.join("MANIFEST.new")
    }

    pub(crate) fn log(&self, id: LogId) -> PathBuf {
        self.logs().join(format!("{:04}.log", id.0))
    }

    pub(crate) fn segment(&self, id: SegmentId) -> PathBuf {
        self.segments().join(format!("{:016x}.seg", id.0))
    }

    /// What the manifest holds; `None` if there is none.
    /// The segment whose path that is.
    pub(crate) fn segment_at(&self, path: &Path) -> Option<SegmentId> {
        number(path, "seg", 16).map(SegmentId).filter(|id| self.segment(*id) == path)
    }

    pub(crate) fn read_manifest(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = self.manifest();
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// Puts a new manifest into the place of the old one. After this it is durable; before, the old one was.
    pub(crate) fn write_manifest(&self, bytes: &[u8]) -> Result<(), Error> {
        let fresh = self.new_manifest();
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(FILE_MODE);
        let file = options.open(&fresh).map_err(|e| Error::io("make", &fresh, e))?;
        if let Err(error) = file.write_all_at(bytes, 0) {
            let _ = fs::remove_file(&fresh); // the room that it took may be what is missing
            return Err(Error::io("write", &fresh, error));
        }
        file.sync_all().map_err(|e| Error::io("sync", &fresh, e))?;
        fs::rename(&fresh, self.manifest()).map_err(|e| Error::io("rename", &fresh, e))?;
        self.sync(&self.root)
    }

    /// Makes a file that must not be there.
    pub(crate) fn create(&self, path: &Path) -> Result<File, Error> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(FILE_MODE);
        options.open(path).map_err(|e| Error::io("make", path, e))
    }

    /// Opens a file for writing, or makes it.
    pub(crate) fn open_or_create(&self, path: &Path) -> Result<File, Error> {
        let mut options = File::options();
        options.write(true).create(true).mode(FILE_MODE);
        options.open(path).map_err(|e| Error::io("open", path, e))
    }

    /// Opens a file that must be there.
    pub(crate) fn open(&self, path: &Path, write: bool) -> Result<File, Error> {
        File::options().read(true).write(write).open(path).map_err(|e| Error::io("open", path, e))
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
            _ => Ok(()),
        }
    }

    /// Has the system keep the names in a folder.
    pub(crate) fn sync(&self, folder: &Path) -> Result<(), Error> {
        fs::sync_dir(folder).map_err(|e| Error::io("sync", folder, e))
    }

    /// The segments that are there, and names that are none.
    pub(crate) fn list_segments(&self) -> Result<(Vec<SegmentId>, Vec<PathBuf>), Error> {
        let (mut ids, mut others) = (Vec::new(), Vec::new());
        for path in self.list(&self.segments())? {
            match number(&path, "seg", 16).map(SegmentId) {
                Some(id) => ids.push(id),
                None => others.push(path),
            }
        }
        Ok((ids, others))
    }

    /// The log files that are there.
    pub(crate) fn list_logs(&self) -> Result<Vec<LogId>, Error> {
        let paths = self.list(&self.logs())?;
        let id = |path: PathBuf| number(&path, "log", 10).and_then(|id| u16::try_from(id).ok()).map(LogId);
        Ok(paths.into_iter().filter_map(id).collect())
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(folder).map_err(|e| Error::io("list", folder, e))?;
        Ok(entries.into_iter().map(|entry| entry.path().to_owned()).collect())
    }
}

fn number(path: &Path, extension: &str, radix: u32) -> Option<u64> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == extension).then(|| u64::from_str_radix(stem, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers() {
        let check = |name: &str, extension: &str, radix: u32, expected: Option<u64>| {
            assert_eq!(number(Path::new(name), extension, radix), expected, "{name}");
        };
        check("a/0012.log", "log", 10, Some(12));
        check("a/00000000000000ff.seg", "seg", 16, Some(255));
        check("a/0012.seg", "log", 10, None);
        check("a/x.log", "log", 10, None);
        check("a/MANIFEST", "log", 10, None);
        let directory = Directory::new(Path::new("d"));
        assert_eq!(directory.segment(SegmentId(255)), Path::new("d/segments/00000000000000ff.seg"));
        assert_eq!(directory.log(LogId(3)), Path::new("d/log/0003.log"));
    }
}
