//! Room that is kept for when there is none: files that are removed when the disk is full, one so that the oldest log file can
//! still be emptied, one so that a manifest can be written, without which no segment may go.
//!
//! Without it a disk could fill up to the last block with the log full: nothing could be settled any more, though settling is
//! what makes room. While the room is lent out publishers stay blocked; it is taken back before they go on.

use std::io;
use std::path::PathBuf;

use crate::directory::Directory;
use crate::error::Error;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Reserve {
    directory: Directory,
    path: PathBuf,
    size: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The file is there.
    Kept,
    /// It was removed, or there was no room for it yet.
    Lent,
    /// The file system does not set blocks aside.
    Unsupported,
}

impl Reserve {
    pub(crate) fn new(directory: &Directory, path: PathBuf, size: u64) -> Reserve {
        Reserve { directory: directory.clone(), path, size, state: State::Lent }
    }

    /// Whether publishers may go on.
    pub(crate) fn is_whole(&self) -> bool {
        self.state != State::Lent
    }

    /// Gives the room to whoever needs it more; false if it was given before.
    pub(crate) fn lend(&mut self) -> Result<bool, Error> {
        if self.state != State::Kept {
            return Ok(false);
        }
        self.directory.remove(&self.path)?;
        self.state = State::Lent;
        Ok(true)
    }

    /// Takes the room back, if there is so much.
    pub(crate) fn restore(&mut self) -> Result<(), Error> {
        if self.state == State::Lent {
            self.state = self.allocate()?;
        }
        Ok(())
    }

    fn allocate(&self) -> Result<State, Error> {
        let file = self.directory.open_or_create(&self.path)?;
        match file.allocate(0, self.size) {
            Ok(()) => Ok(State::Kept),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.directory.remove(&self.path)?;
                Ok(State::Lent)
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.directory.remove(&self.path)?;
                Ok(State::Unsupported)
            }
            Err(error) => Err(Error::io("set room aside in", &self.path, error)),
        }
    }
}
