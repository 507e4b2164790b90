//! Looking at a directory that no store has open: is it sound, what is in it, and what can be rescued of it.
//!
//! Unlike [`Store::open`](crate::Store::open), which refuses at the first damage, these go on behind it and say how much there is.
//! They take the directory's lock, so that nothing changes under them, and change nothing themselves.

mod check;
mod dump;
mod salvage;

use std::path::Path;

use leveret_runtime::fs::File;

pub use check::{Report, check};
pub use dump::dump;
pub use salvage::{Salvaged, salvage};

use crate::directory::Directory;
use crate::error::Error;
use crate::group::{self, ALIGNMENT, Head};
use crate::ids::{LogId, SegmentId};
use crate::index::Index;
use crate::manifest::LogState;
use crate::recover::{self, LogOnDisk};
use crate::scan::LogBytes;
use crate::segment::SegmentIndex;
use crate::segments::{read_index, read_trailer};

/// An empty file that [`salvage`] leaves in the new directory: it takes the place of another one. Who accepts it there removes it.
pub const RESCUED: &str = "RESCUED";

/// Bytes read at once.
const PIECE_SIZE: usize = 1024 * 1024;

/// Told how many of how many bytes have been looked at.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// A directory that is looked at.
struct Survey {
    directory: Directory,
    _lock: File,
    manifest: Result<(LogState, Index), Error>,
    segments: Vec<SegmentId>,
    logs: Vec<LogId>,
}

impl Survey {
    fn new(path: &Path) -> Result<Survey, Error> {
        let directory = Directory::new(path);
        let lock = directory.lock()?;
        let manifest = match directory.read_manifest()? {
            Some(bytes) => recover::read_manifest(&directory, &bytes),
            None => Err(Error::damaged(&directory.manifest(), 0, crate::error::Flaw::NoManifest)),
        };
        if let Err(unknown @ Error::Unknown { .. }) = manifest {
            return Err(unknown);
        }
        let (segments, logs) = (directory.list_segments()?.0, directory.list_logs()?);
        Ok(Survey { directory, _lock: lock, manifest, segments, logs })
    }

    /// Bytes of all files.
    fn size(&self) -> u64 {
        let segments = self.segments.iter().map(|id| self.directory.segment(*id));
        let paths = segments.chain(self.logs.iter().map(|id| self.directory.log(*id)));
        paths.filter_map(|path| leveret_runtime::fs::metadata(path).ok()).map(|found| found.len()).sum()
    }

    fn log(&self, id: LogId) -> Result<LogOnDisk, Error> {
        recover::open_log(&self.directory, id, false)
    }

    /// A segment's file and index, whatever store it is of if the manifest does not say.
    fn segment(&self, id: SegmentId) -> Result<(File, SegmentIndex), Error> {
        let file = self.directory.open(&self.directory.segment(id), false)?;
        let store = self.manifest.as_ref().ok().map(|(state, _)| state.store);
        let trailer = read_trailer(&file, store, id, &self.directory)?;
        let index = read_index(&file, &trailer, &self.directory)?;
        Ok((file, index))
    }

    /// Every group head of a log file that is sound by itself, with its offset: of all uses of the file.
    fn heads(&self, log: &LogOnDisk) -> Result<Vec<(u64, Head)>, Error> {
        let (mut heads, mut at) = (Vec::new(), 0);
        while at < log.size {
            let piece = log.read(at, PIECE_SIZE)?;
            for (number, page) in piece.chunks(ALIGNMENT).enumerate() {
                let offset = at + (number * ALIGNMENT) as u64;
                heads.extend(group::decode_head(page).map(|head| (offset, head)));
            }
            at += piece.len().max(1) as u64;
        }
        let store = self.manifest.as_ref().ok().map(|(state, _)| state.store);
        heads.retain(|(_, head)| store.is_none_or(|store| head.chain.store == store));
        Ok(heads)
    }
}
