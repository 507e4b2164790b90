//! The lock file of a directory: one process at a time, and a text that says which one has it.

use std::io;
use std::path::Path;

use super::File;

/// Bytes of a lock file that are read to say who has it.
const OWNER_SIZE_MAX: usize = 20;

/// Locks the file at `path` for whoever holds the answer, and writes this process's number into it. The file is made if it
/// is not there (mode 0600) and stays; the lock (`flock`) goes when the file is closed, or with the process, however it ends.
///
/// ```
/// use leveret_runtime::fs;
/// # leveret_runtime::run(|| {
/// let path = std::env::temp_dir().join(format!("leveret-doc-lock-{}", std::process::id()));
/// let lock = fs::lock(&path).unwrap();
/// assert!(fs::lock(&path).unwrap_err().to_string().contains("is locked by process"));
/// drop(lock);
/// fs::lock(&path).unwrap();
/// # fs::remove_file(&path).unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// `WouldBlock` if another process, or another open file of this one, has the lock: the text says which process. Those of
/// opening and writing.
pub fn lock(path: impl AsRef<Path>) -> io::Result<File> {
    let path = path.as_ref();
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => Err(held(path, &file)),
        Err(std::fs::TryLockError::Error(error)) => Err(super::explain("lock", path, &error)),
    }
}

fn held(path: &Path, file: &File) -> io::Error {
    let mut owner = [0; OWNER_SIZE_MAX];
    let count = file.read_at(&mut owner, 0).unwrap_or(0);
    let owner = owner.get(..count).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
    let owner = owner.filter(|owner| !owner.is_empty()).unwrap_or("of unknown number");
    io::Error::new(io::ErrorKind::WouldBlock, format!("{} is locked by process {owner}", path.display()))
}
