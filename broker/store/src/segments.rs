//! Segments as they are opened and read while the store runs: a few open files, and the indexes last used.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use leveret_runtime::fs::File;

use crate::bodies;
use crate::directory::Directory;
use crate::error::{Error, Flaw};
use crate::ids::{QueueKey, SegmentId, Seq};
use crate::index::SegmentUse;
use crate::lane::Run;
use crate::mended;
use crate::segment::{self, ENTRY_SIZE, HEADER_SIZE, SegmentIndex, TRAILER_SIZE, Trailer};

/// Files that are kept open.
const OPEN_MAX: usize = 64;
/// Bytes of an index that are given up together if the file ends before them.
const PAGE_SIZE: usize = 4096;
/// Indexes that are kept in memory, of at most 4 MiB each; mostly a hundredth of that.
const INDEXES_MAX: usize = 4;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: Directory,
    store: u64,
    files: BTreeMap<SegmentId, File>,
    /// The last used is the last.
    indexes: VecDeque<(SegmentId, Arc<SegmentIndex>)>,
    /// Those of segments that are harmed, as far as they can be trusted; until the segment is copied.
    mended: BTreeMap<SegmentId, Arc<SegmentIndex>>,
}

impl Segments {
    pub(crate) fn new(directory: Directory, store: u64) -> Segments {
        Segments { directory, store, files: BTreeMap::new(), indexes: VecDeque::new(), mended: BTreeMap::new() }
    }

    /// The file, open for reading. It stays readable after the segment was removed.
    pub(crate) fn file(&mut self, id: SegmentId) -> Result<File, Error> {
        if let Some(file) = self.files.get(&id) {
            return Ok(file.clone());
        }
        let file = self.directory.open(&self.directory.segment(id), false)?;
        if self.files.len() >= OPEN_MAX {
            self.files.pop_first();
        }
        self.files.insert(id, file.clone());
        Ok(file)
    }

    /// The index, checked.
    pub(crate) fn index(&mut self, id: SegmentId) -> Result<Arc<SegmentIndex>, Error> {
        if let Some(mended) = self.mended.get(&id) {
            return Ok(mended.clone());
        }
        if let Some(at) = self.indexes.iter().position(|(known, _)| *known == id) {
            let found = self.indexes.remove(at).ok_or(Error::Closed)?;
            let index = found.1.clone();
            self.indexes.push_back(found);
            return Ok(index);
        }
        let file = self.file(id)?;
        let trailer = read_trailer(&file, Some(self.store), id, &self.directory)?;
        let index = Arc::new(read_index(&file, &trailer, &self.directory)?);
        if self.indexes.len() >= INDEXES_MAX {
            self.indexes.pop_front();
        }
        self.indexes.push_back((id, index.clone()));
        Ok(index)
    }

    /// Takes what can be trusted of a harmed segment's index for its index. `runs` are all that live messages lie in. Answers the
    /// live ones that are not found any more.
    pub(crate) fn mend(
        &mut self,
        id: SegmentId,
        usage: &SegmentUse,
        runs: &[(QueueKey, Run)],
    ) -> Result<Vec<(QueueKey, Seq)>, Error> {
        let (file, path) = (self.file(id)?, self.directory.segment(id));
        let size = u64::from(usage.count) * ENTRY_SIZE as u64;
        let entries_at = usage.size.saturating_sub(size + TRAILER_SIZE as u64);
        let mut bytes = Vec::with_capacity(size as usize);
        for at in (0..size).step_by(PAGE_SIZE) {
            let page = (size - at).min(PAGE_SIZE as u64) as usize;
            let read = bodies::read(&file, &path, page, entries_at + at)?;
            bytes.extend(read.unwrap_or_else(|| vec![0; page])); // no entry is zeros
        }
        let (index, lost) = mended::mend(&bytes, entries_at, runs);
        self.mended.insert(id, Arc::new(index));
        Ok(lost)
    }

    /// Whether the segment is harmed.
    pub(crate) fn is_mended(&self, id: SegmentId) -> bool {
        self.mended.contains_key(&id)
    }

    /// Harmed segments.
    pub(crate) fn mended(&self) -> impl Iterator<Item = SegmentId> {
        self.mended.keys().copied()
    }

    /// The segment is removed.
    pub(crate) fn forget(&mut self, id: SegmentId) {
        self.files.remove(&id);
        self.mended.remove(&id);
        self.indexes.retain(|(known, _)| *known != id);
    }
}

/// Reads and checks the index of a segment.
pub(crate) fn read_index(file: &File, trailer: &Trailer, directory: &Directory) -> Result<SegmentIndex, Error> {
    let path = directory.segment(trailer.id);
    let bytes = read(file, &path, trailer.index_size(), trailer.index_at)?;
    SegmentIndex::decode(&bytes, trailer).ok_or_else(|| Error::damaged(&path, trailer.index_at, Flaw::Segment))
}

fn read(file: &File, path: &Path, size: usize, offset: u64) -> Result<Vec<u8>, Error> {
    bodies::read(file, path, size, offset)?.ok_or_else(|| Error::damaged(path, offset, Flaw::Segment))
}

/// Reads and checks header and trailer of a segment, of any store if that is not known.
pub(crate) fn read_trailer(
    file: &File,
    store: Option<u64>,
    id: SegmentId,
    directory: &Directory,
) -> Result<Trailer, Error> {
    let path = directory.segment(id);
    let size = file.metadata().map_err(|e| Error::io("look at", &path, e))?.len();
    let harmed = |offset| Error::damaged(&path, offset, Flaw::Segment);
    let at =
        size.checked_sub(TRAILER_SIZE as u64).filter(|at| *at >= HEADER_SIZE as u64).ok_or_else(|| harmed(size))?;
    let (header, trailer) = (read(file, &path, HEADER_SIZE, 0)?, read(file, &path, TRAILER_SIZE, at)?);
    let is_it = |(found, number)| store.is_none_or(|store| store == found) && number == id;
    if !segment::decode_header(&header).is_some_and(is_it) {
        return Err(harmed(0));
    }
    let trailer = segment::decode_trailer(&trailer);
    trailer.filter(|trailer| trailer.id == id && trailer.file_size() == size).ok_or_else(|| harmed(at))
}
