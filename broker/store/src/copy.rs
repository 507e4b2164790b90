//! Copying live messages into new segments, a megabyte at a time: out of a log file that is to be used again, or out of
//! segments of which little is live.
//!
//! The sources are never changed. Until the copies are complete, synced and named in the manifest they are nothing, and a
//! start removes them. Every body is checked on its way: damage is found here, not spread, and what is damaged stays behind.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;

use leveret_runtime::fs::File;

use crate::bodies::Bodies;
use crate::directory::Directory;
use crate::error::Error;
use crate::hash::NumberMap;
use crate::ids::{QueueKey, SegmentId};
use crate::index::SegmentUse;
use crate::lane::Body;
use crate::losses::{Harmed, Place};
use crate::segment::{self, ENTRIES_MAX, HEADER_SIZE, SegmentEntry, SegmentIndex};

/// Bytes read, and nearly those written, in one step.
const STEP_SIZE: u64 = 1024 * 1024;
/// Bytes between two live bodies that are rather read than skipped.
const GAP_MAX: u64 = 16 * 1024;

/// A message to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) queue: QueueKey,
    pub(crate) source: u32,
    /// What it was a part of: items of different parts never become one run.
    pub(crate) part: u32,
    /// With the body's place in the source.
    pub(crate) entry: SegmentEntry,
}

/// A file with messages.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) place: Place,
}

/// A finished segment.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) id: SegmentId,
    pub(crate) usage: SegmentUse,
    pub(crate) index: SegmentIndex,
    /// The part that each run of the index belongs to.
    pub(crate) parts: Vec<u32>,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Copy {
    items: VecDeque<Item>,
    sources: Vec<Source>,
    segment_size: u64,
    store: u64,
    current: Option<Fresh>,
    outputs: Vec<Output>,
    harmed: Vec<Harmed>,
}

/// A segment that is being written.
#[derive(Debug)]
struct Fresh {
    id: SegmentId,
    path: PathBuf,
    file: File,
    /// Bytes on the disk so far, and those to follow them.
    written: u64,
    pending: Vec<u8>,
    index: SegmentIndex,
    parts: Vec<u32>,
    /// Bodies that are there already, by source and place.
    copied: NumberMap<u64, u32>,
}

impl Copy {
    /// `items` are sorted by queue and number.
    pub(crate) fn new(items: VecDeque<Item>, sources: Vec<Source>, segment_size: u32, store: u64) -> Copy {
        let segment_size = u64::from(segment_size);
        Copy { items, sources, segment_size, store, current: None, outputs: Vec::new(), harmed: Vec::new() }
    }

    /// Copies some; true when all is copied and synced. `next` is moved on for each segment begun.
    pub(crate) fn step(&mut self, directory: &Directory, next: &mut SegmentId) -> Result<bool, Error> {
        let window = self.window();
        if window.is_empty() {
            self.finish_segment()?;
            return Ok(true);
        }
        let source = window.first().and_then(|first| self.sources.get(first.source as usize)).cloned();
        let Source { file, path, place } = source.ok_or(Error::Closed)?;
        let bodies = Bodies::read(&file, &path, span(&window))?;
        for item in window {
            let Item { queue, entry: SegmentEntry { seq, body, .. }, .. } = item;
            match bodies.take(body)? {
                Some(bytes) => self.append(item, &bytes, directory, next)?,
                None => self.harmed.push(Harmed { queue, seq, place, offset: body.offset }),
            }
        }
        if let Some(current) = &mut self.current {
            current.write()?;
        }
        Ok(false)
    }

    /// What could not be copied since the last call: to be dropped before the copies are taken over.
    pub(crate) fn take_harmed(&mut self) -> Vec<Harmed> {
        std::mem::take(&mut self.harmed)
    }

    /// What is copied; to be called when it is done.
    pub(crate) fn into_outputs(self) -> Vec<Output> {
        self.outputs
    }

    /// Removes what has been written: there was no room for the rest.
    pub(crate) fn abandon(self, directory: &Directory) -> Result<(), Error> {
        if let Some(current) = self.current {
            directory.remove(&current.path)?;
        }
        self.outputs.iter().try_for_each(|output| directory.remove(&directory.segment(output.id)))
    }

    /// The next items that one read can serve: of one source, ascending, close to one another.
    fn window(&mut self) -> Vec<Item> {
        let mut window: Vec<Item> = Vec::new();
        let mut span: Option<(u32, u64, u64)> = None;
        while let Some(item) = self.items.front() {
            let (from, size) = (u64::from(item.entry.body.offset), u64::from(item.entry.body.size));
            let fits = span.is_none_or(|(source, start, end)| {
                source == item.source && from >= start && from <= end + GAP_MAX && from + size <= start + STEP_SIZE
            });
            if !fits {
                break;
            }
            let (start, end) = span.map_or((from, from), |(_, start, end)| (start, end));
            span = Some((item.source, start, end.max(from + size)));
            window.extend(self.items.pop_front());
        }
        window
    }

    fn append(&mut self, item: Item, body: &[u8], directory: &Directory, next: &mut SegmentId) -> Result<(), Error> {
        let full = self.current.as_ref().is_some_and(|current| {
            current.index.entries.len() >= ENTRIES_MAX || current.end() + body.len() as u64 > self.segment_size
        });
        if full {
            self.finish_segment()?;
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let id = *next;
                *next = SegmentId(id.0 + 1);
                self.current.insert(Fresh::create(directory, id, self.store)?)
            }
        };
        current.push(item, body);
        Ok(())
    }

    fn finish_segment(&mut self) -> Result<(), Error> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let finished = current.finish();
        match finished {
            Ok(usage) => {
                let Fresh { id, index, parts, .. } = current;
                self.outputs.push(Output { id, usage, index, parts });
                Ok(())
            }
            Err(error) => {
                self.current = Some(current); // to be removed
                Err(error)
            }
        }
    }
}

/// From the first to the end of the last body.
fn span(window: &[Item]) -> Range<u64> {
    let bodies = window.iter().map(|item| item.entry.body);
    let start = bodies.clone().map(|body| u64::from(body.offset)).min().unwrap_or(0);
    start..bodies.map(|body| u64::from(body.offset) + u64::from(body.size)).max().unwrap_or(start)
}

impl Fresh {
    fn create(directory: &Directory, id: SegmentId, store: u64) -> Result<Fresh, Error> {
        let path = directory.segment(id);
        let file = directory.create(&path)?;
        let pending = segment::encode_header(store, id);
        debug_assert_eq!(pending.len(), HEADER_SIZE);
        let (index, parts, copied) = (SegmentIndex::default(), Vec::new(), NumberMap::default());
        Ok(Fresh { id, path, file, written: 0, pending, index, parts, copied })
    }

    fn end(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn push(&mut self, item: Item, body: &[u8]) {
        let key = u64::from(item.source) << 32 | u64::from(item.entry.body.offset);
        let end = u32::try_from(self.end()).expect("a segment ends long before 4 GiB");
        // An empty body lies where the next one does.
        let offset = if body.is_empty() { end } else { *self.copied.entry(key).or_insert(end) };
        if offset == end {
            self.pending.extend_from_slice(body);
        }
        let entry = SegmentEntry { body: Body { offset, ..item.entry.body }, ..item.entry };
        self.index.push(item.queue, entry, self.parts.last() != Some(&item.part));
        self.parts.resize(self.index.runs.len(), item.part);
    }

    fn write(&mut self) -> Result<(), Error> {
        self.file.write_all_at(&self.pending, self.written).map_err(|e| Error::io("write", &self.path, e))?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn finish(&mut self) -> Result<SegmentUse, Error> {
        self.write()?;
        let (end, trailer) = self.index.encode(self.id, self.written);
        self.pending = end;
        self.write()?;
        self.file.sync_all().map_err(|e| Error::io("sync", &self.path, e))?;
        Ok(SegmentUse { size: self.written, count: trailer.entries, index_crc: trailer.index_crc, live: 0 })
    }
}
