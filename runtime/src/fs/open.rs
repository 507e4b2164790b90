//! How to open a file.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::file::File;
use super::{on_path, sim};
use crate::driver::sim::disk::state::Access;

/// Permissions of a file that is made, before the umask, where nobody says otherwise: everybody may read and write.
const MODE_DEFAULT: u32 = 0o666;

/// How to open a file. See [`std::fs::OpenOptions`], whose methods these are.
///
/// ```
/// use std::io::{ErrorKind, Write};
/// use leveret_runtime::fs::{self, OpenOptions};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let mut options = OpenOptions::new();
/// options.append(true);
/// assert_eq!(options.open("/log").unwrap_err().kind(), ErrorKind::NotFound);
/// options.create(true);
/// for word in ["one ", "two"] {
///     options.open("/log").unwrap().write_all(word.as_bytes()).unwrap(); // always at the end
/// }
/// assert_eq!(fs::read("/log").unwrap(), b"one two");
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    access: Access,
    flags: i32,
}

impl OpenOptions {
    /// Options that allow nothing yet.
    #[allow(clippy::new_without_default, reason = "std's has none either: options that allow nothing open nothing")]
    pub fn new() -> OpenOptions {
        OpenOptions { access: Access { mode: MODE_DEFAULT, ..Access::default() }, flags: 0 }
    }

    /// Allows reading.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.access.read = read;
        self
    }

    /// Allows writing.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.access.write = write;
        self
    }

    /// Makes every write go to the end.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.access.append = append;
        self
    }

    /// Empties a file that is there.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.access.truncate = truncate;
        self
    }

    /// Makes the file if it is not there.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.access.create = create;
        self
    }

    /// Makes the file, and fails if it is there.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::fs::OpenOptions;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut options = OpenOptions::new();
    /// options.write(true).create_new(true);
    /// options.open("/pid").unwrap();
    /// assert_eq!(options.open("/pid").unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # }).unwrap();
    /// ```
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.access.create_new = create_new;
        self
    }

    /// Permissions of a file that is made, less the process's umask. The default is `0o666`.
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use leveret_runtime::fs::{self, OpenOptions};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// OpenOptions::new().write(true).create(true).mode(0o600).open("/secret").unwrap();
    /// assert_eq!(fs::metadata("/secret").unwrap().permissions().mode() & 0o777, 0o600);
    /// # }).unwrap();
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.access.mode = mode;
        self
    }

    /// Further flags of `open(2)`, such as `O_DIRECT`. A simulated file knows none of them.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.flags = flags;
        self
    }

    /// Opens the file.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use leveret_runtime::fs::OpenOptions;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// assert_eq!(OpenOptions::new().open("/file").unwrap_err().kind(), ErrorKind::InvalidInput); // to do what?
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of std, with the path in their text.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        if let Some(machine) = sim::machine() {
            return machine.open(path.as_ref(), self.access);
        }
        let options = self.to_std();
        on_path("open", path, move |path| options.open(path)).map(File::from_std)
    }

    fn to_std(&self) -> std::fs::OpenOptions {
        let Access { read, write, append, truncate, create, create_new, mode } = self.access;
        let mut options = std::fs::OpenOptions::new();
        options.read(read).write(write).append(append).truncate(truncate).create(create).create_new(create_new);
        options.mode(mode).custom_flags(self.flags);
        options
    }
}
