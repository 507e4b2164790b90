//! What can go wrong with a data directory, exactly: which file, where in it, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::index::Contradiction;

/// Why a store cannot be opened, read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the directory.
    Locked {
        /// What the lock says.
        source: io::Error,
    },
    /// The system refused something.
    Io {
        /// What was tried: "write", "sync".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Bytes are not what was written.
    Damaged(Box<Damage>),
    /// A newer program wrote it.
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
        /// Its feature bits.
        features: u16,
    },
    /// A batch or a message does not fit a log file.
    TooLarge {
        /// Bytes that it would take.
        size: usize,
        /// Bytes that there are.
        limit: usize,
    },
    /// The store has been closed, or has failed.
    Closed,
}

/// Where the damage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The byte where the damaged piece begins.
    pub offset: u64,
    /// What is wrong.
    pub what: Flaw,
}

/// What is wrong with a piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// The manifest does not match its checksum, or makes no sense.
    Manifest,
    /// There are files but no manifest.
    NoManifest,
    /// A file that the manifest lists is not there.
    Missing,
    /// A group of the log that was synced is not there or does not match its checksums.
    Group {
        /// Its number.
        seq: u64,
    },
    /// The records of a group contradict those before.
    Contradiction(Contradiction),
    /// A segment's header, index or trailer does not match its checksum, or is another segment's.
    Segment,
    /// A message does not match its checksum.
    Body,
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { doing, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, what: Flaw) -> Error {
        Error::Damaged(Box::new(Damage { path: path.to_owned(), offset, what }))
    }

    /// Whether there is no room: waiting may help.
    pub(crate) fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Error::Io { source, .. } if full.contains(&source.kind()))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Manifest => f.write_str("the manifest does not match its checksum"),
            Flaw::NoManifest => f.write_str("there is a log but no manifest"),
            Flaw::Missing => f.write_str("the file is missing"),
            Flaw::Group { seq } => write!(f, "group {seq} of the log, which was synced, is missing or harmed"),
            Flaw::Contradiction(contradiction) => contradiction.fmt(f),
            Flaw::Segment => f.write_str("the segment's header or index is harmed, or another segment's"),
            Flaw::Body => f.write_str("a message does not match its checksum"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, offset, what) = (self.path.display(), self.offset, &self.what);
        write!(f, "{path} is damaged at byte {offset}: {what}")?;
        f.write_str(". `leveret store check` says how much, `leveret store salvage` rescues the rest")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Locked { source } => source.fmt(f),
            Error::Io { doing, path, source } => {
                let (path, text) = (path.display().to_string(), source.to_string());
                match text.contains(&path) {
                    true => f.write_str(&text), // the runtime has said it
                    false => write!(f, "cannot {doing} {path}: {text}"),
                }
            }
            Error::Damaged(damage) => damage.fmt(f),
            Error::Unknown { path, version, features } => write!(
                f,
                "{} has version {version} with features {features:#x}, which this program does not know: use the one \
                 that wrote it, or a newer one",
                path.display()
            ),
            Error::TooLarge { size, limit } => write!(f, "{size} bytes at once do not fit a log file of {limit}"),
            Error::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Locked { source } | Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
