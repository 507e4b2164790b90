//! Opening a directory: from files to the state that they say, or an exact refusal.
//!
//! ```text
//!   lock -> manifest -> (none: a new store) -> remove what the manifest does not name -> check segments -> replay the log
//! ```
//!
//! Nothing is changed before the whole has been understood but the removal of files that no manifest names, and every step
//! may be repeated after a crash in the middle of it.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use leveret_runtime::fs::File;
use leveret_runtime::random;

use crate::committer::Spare;
use crate::directory::Directory;
use crate::error::{Error, Flaw};
use crate::group::ALIGNMENT;
use crate::ids::{GroupSeq, LogId, QueueKey, SegmentId, Seq};
use crate::index::Index;
use crate::keeper::LogFile;
use crate::manifest::{self, LogState, Refused};
use crate::options::Options;
use crate::scan::{self, End, Found, LogBytes, Start};
use crate::segments::{Segments, read_trailer};
use crate::survey;

/// A directory as it was found.
pub(crate) struct Opened {
    pub(crate) lock: Option<File>,
    pub(crate) state: LogState,
    pub(crate) index: Index,
    /// Oldest first.
    pub(crate) logs: VecDeque<LogFile>,
    pub(crate) spares: VecDeque<Spare>,
    /// The size of the file that the last group lies in.
    pub(crate) tail_size: u64,
    pub(crate) end: End,
    pub(crate) recovered: Recovered,
}

/// What a store holds when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Queues with messages, ascending. A queue that the caller does not know (its declaration was not durable when the
    /// process ended) is to be deleted.
    pub queues: Vec<QueueState>,
    /// Groups of the log that were replayed, and their bytes.
    pub groups: u64,
    /// See `groups`.
    pub bytes: u64,
}

/// A queue in [`Recovered`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Its number.
    pub queue: QueueKey,
    /// Its messages.
    pub count: u64,
    /// Bytes of their bodies; nearly, if some were settled out of order long ago.
    pub bytes: u64,
    /// Its lanes, ascending.
    pub lanes: Vec<LaneState>,
}

/// A lane in [`QueueState`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// Its number.
    pub lane: u8,
    /// Its messages.
    pub count: u64,
    /// Bytes of their bodies, as in [`QueueState`].
    pub bytes: u64,
    /// The last number that is known to have been used: new ones must be greater.
    pub last: Seq,
    /// Its messages, oldest first, without a word of each.
    pub stretches: Vec<StretchState>,
}

/// Neighbours in [`LaneState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StretchState {
    /// The first one.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
    /// How many they are.
    pub count: u64,
    /// Bytes of their contents, exactly.
    pub content: u64,
    /// When the first of them expires, in milliseconds since 1970; none does if that is not said.
    pub expiry_ms: Option<u64>,
}

/// A log file on the disk.
pub(crate) struct LogOnDisk {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
}

impl LogBytes for LogOnDisk {
    fn read(&self, offset: u64, size: usize) -> Result<Vec<u8>, Error> {
        let size = size.min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(0));
        self.file.read_owned_at(size, offset).map_err(|e| Error::io("read", &self.path, e))
    }

    fn damaged(&self, offset: u64, flaw: Flaw) -> Error {
        Error::damaged(&self.path, offset, flaw)
    }
}

/// Opens the directory at `path`, or makes it.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened, Error> {
    let directory = Directory::new(path);
    directory.make()?;
    let lock = directory.lock()?;
    let (mut state, index) = match directory.read_manifest()? {
        Some(bytes) => read_manifest(&directory, &bytes)?,
        None => (create(&directory, options)?, Index::default()),
    };
    if state.log_size < options.log_file_size {
        state.log_size = options.log_file_size;
        directory.write_manifest(&manifest::encode(&state, &index))?;
    }
    check_segments(&directory, &state, &index)?;
    remove_strangers(&directory, &index)?;
    let mut opened = replay(&directory, state, index, true)?;
    opened.lock = Some(lock);
    let mut segments = Segments::new(directory, opened.state.store);
    opened.recovered.queues = survey::queues(&mut opened.index, &mut segments)?;
    Ok(opened)
}

pub(crate) fn read_manifest(directory: &Directory, bytes: &[u8]) -> Result<(LogState, Index), Error> {
    let path = directory.manifest();
    manifest::decode(bytes).map_err(|refused| match refused {
        Refused::Damaged => Error::damaged(&path, 0, Flaw::Manifest),
        Refused::Unknown { version, features } => Error::Unknown { path, version, features },
    })
}

/// A new store, or one whose making was cut short: the manifest comes last.
fn create(directory: &Directory, options: &Options) -> Result<LogState, Error> {
    refuse_used(directory)?;
    for id in directory.list_logs()? {
        directory.remove(&directory.log(id))?;
    }
    let logs: Vec<LogId> = (0..options.log_files).map(LogId).collect();
    for id in &logs {
        let path = directory.log(*id);
        let file = directory.create(&path)?;
        file.sync_all().map_err(|e| Error::io("sync", &path, e))?;
    }
    directory.sync(&directory.logs())?;
    let state = LogState {
        store: random::u64().max(1),
        replay_from: GroupSeq(1),
        previous: 0,
        known_end: GroupSeq(0),
        log_size: options.log_file_size,
        logs,
        next_segment: SegmentId(1),
    };
    directory.write_manifest(&manifest::encode(&state, &Index::default()))?;
    Ok(state)
}

/// Files that hold something, but no manifest: it was lost, and is not to be replaced by an empty one.
fn refuse_used(directory: &Directory) -> Result<(), Error> {
    let lost = || Error::damaged(&directory.manifest(), 0, Flaw::NoManifest);
    if !directory.list_segments()?.0.is_empty() {
        return Err(lost());
    }
    for id in directory.list_logs()? {
        let log = open_log(directory, id, false)?;
        let mut at = 0;
        while at < log.size {
            let piece = log.read(at, 1024 * 1024)?;
            if piece.chunks(ALIGNMENT).any(|page| crate::group::decode_head(page).is_some()) {
                return Err(lost());
            }
            at += piece.len().max(1) as u64;
        }
    }
    Ok(())
}

pub(crate) fn open_log(directory: &Directory, id: LogId, write: bool) -> Result<LogOnDisk, Error> {
    let path = directory.log(id);
    let file = directory.open(&path, write).map_err(|error| missing(&path, error))?;
    let size = file.metadata().map_err(|e| Error::io("look at", &path, e))?.len();
    Ok(LogOnDisk { file, path, size })
}

fn missing(path: &Path, error: Error) -> Error {
    match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::damaged(path, 0, Flaw::Missing)
        }
        other => other,
    }
}

/// Every segment that the manifest names is there, and is what the manifest says.
pub(crate) fn check_segments(directory: &Directory, state: &LogState, index: &Index) -> Result<(), Error> {
    for (id, usage) in index.segments() {
        let path = directory.segment(*id);
        let file = directory.open(&path, false).map_err(|error| missing(&path, error))?;
        let trailer = read_trailer(&file, Some(state.store), *id, directory)?;
        let same =
            (trailer.file_size(), trailer.entries, trailer.index_crc) == (usage.size, usage.count, usage.index_crc);
        if !same {
            return Err(Error::damaged(&path, 0, Flaw::Segment));
        }
    }
    Ok(())
}

/// What a crash has left: segments that no manifest names.
fn remove_strangers(directory: &Directory, index: &Index) -> Result<(), Error> {
    let (ids, others) = directory.list_segments()?;
    for id in ids.iter().filter(|id| !index.segments().contains_key(id)) {
        log::info!("removing segment {:016x}, which was not finished or is not needed any more", id.0);
        directory.remove(&directory.segment(*id))?;
    }
    others.iter().for_each(|path| log::warn!("{} is none of the store's files; it is left alone", path.display()));
    Ok(())
}

/// Replays the log over what the manifest says. Without `write`, nothing is changed.
pub(crate) fn replay(directory: &Directory, state: LogState, mut index: Index, write: bool) -> Result<Opened, Error> {
    let mut on_disk = BTreeMap::new();
    for id in &state.logs {
        let log = open_log(directory, *id, write)?;
        on_disk.insert(*id, log);
    }
    let start =
        Start { store: state.store, seq: state.replay_from, previous: state.previous, known_end: state.known_end };
    let mut recovered = Recovered::default();
    let mut used: Vec<(LogId, GroupSeq, u32)> = Vec::new();
    let mut last = None;
    let end = scan::walk(&on_disk, start, |found| {
        last = Some(Stretch { log: found.log, offset: found.offset, size: found.bytes.len() });
        if used.last().is_none_or(|(log, ..)| *log != found.log) {
            used.push((found.log, found.head.chain.seq, found.head.chain.previous));
            index.begin_log(found.log);
        }
        recovered.groups += 1;
        recovered.bytes += found.bytes.len() as u64;
        apply(&mut index, &found).map_err(|flaw| Error::damaged(&directory.log(found.log), found.offset, flaw))
    })?;
    if write {
        write_anew(&on_disk, last)?;
        sync_replayed(&on_disk, &used)?;
    }
    let tail_size = end.tail.and_then(|tail| on_disk.get(&tail.log)).map_or(0, |log| whole_pages(log.size));
    let mut logs = VecDeque::new();
    for (log, first, previous) in used {
        if let Some(found) = on_disk.remove(&log) {
            logs.push_back(LogFile { log, file: found.file, first, previous });
        }
    }
    let spares =
        on_disk.into_iter().map(|(log, found)| Spare { log, file: found.file, blocks: whole_pages(found.size) });
    Ok(Opened { lock: None, state, index, logs, spares: spares.collect(), tail_size, end, recovered })
}

fn whole_pages(size: u64) -> u64 {
    size / ALIGNMENT as u64 * ALIGNMENT as u64
}

/// A group's bytes in a log file.
struct Stretch {
    log: LogId,
    offset: u64,
    size: usize,
}

/// The last group may be one whose sync has failed, which ended the process before this one. Such pages may stand in the cache as
/// if they were on the disk, and no further sync writes them: only writing them anew makes them durable. Of the groups before it
/// the disk has said that they are there.
fn write_anew(on_disk: &BTreeMap<LogId, LogOnDisk>, last: Option<Stretch>) -> Result<(), Error> {
    let Some(Stretch { log, offset, size }) = last else { return Ok(()) };
    let Some(log) = on_disk.get(&log) else { return Ok(()) };
    let bytes = log.read(offset, size)?;
    log.file.write_all_at(&bytes, offset).map_err(|e| Error::io("write", &log.path, e))
}

/// What was read may be in the system's cache only: before anything builds on it, it is made durable.
fn sync_replayed(on_disk: &BTreeMap<LogId, LogOnDisk>, used: &[(LogId, GroupSeq, u32)]) -> Result<(), Error> {
    for log in used.iter().filter_map(|(log, ..)| on_disk.get(log)) {
        log.file.sync_data().map_err(|e| Error::io("sync", &log.path, e))?;
    }
    Ok(())
}

fn apply(index: &mut Index, found: &Found<'_>) -> Result<(), Flaw> {
    for place in found.head.places() {
        let records = found.bytes.get(place.records_at..).and_then(|rest| rest.get(..place.line.records_size as usize));
        let bodies_at = u32::try_from(found.offset + place.bodies_at as u64);
        let (Some(records), Ok(bodies_at)) = (records, bodies_at) else {
            return Err(Flaw::Contradiction(crate::index::Contradiction::Nonsense));
        };
        index.apply(found.log, bodies_at, records).map_err(Flaw::Contradiction)?;
    }
    Ok(())
}
