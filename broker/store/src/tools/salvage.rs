//! Rescuing messages from a directory that does not open, into a new one that does.
//!
//! Every message is judged by its own checksums: what is sound in a damaged segment or group is taken. What was settled stays
//! settled as far as the manifest and the sound groups say so; a message whose settling was lost comes back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use leveret_runtime::fs::File;

use super::{OnProgress, RESCUED, Survey};
use crate::attributes::Attributes;
use crate::batch;
use crate::directory::Directory;
use crate::error::{Damage, Error, Flaw};
use crate::group::Head;
use crate::ids::{LogId, QueueKey, SegmentId, Seq};
use crate::lane::Body;
use crate::live::LiveSet;
use crate::options::Options;
use crate::record::{Record, Reference, SeqRange};
use crate::recover::LogOnDisk;
use crate::scan::LogBytes;
use crate::store::Store;
use crate::writer::{FLUSH_SIZE, Writer};

/// Bytes that the new store may have in flight.
const IN_FLIGHT_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of the records that come with a message.
const RECORDS_SIZE: usize = 64;

/// What [`salvage`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Messages that are in the new store.
    pub messages: u64,
    /// Messages that are known to have been there, and whose bodies are damaged.
    pub lost: u64,
    /// What was wrong.
    pub damages: Vec<Damage>,
}

/// A message that was found.
struct Place {
    file: File,
    path: PathBuf,
    body: Body,
    attributes: Attributes,
    delivery_count: u32,
}

type Places = BTreeMap<(QueueKey, Seq), Place>;

/// Copies the messages of the directory at `path` into a new store at `to`, which must not exist.
///
/// # Errors
/// [`Error::Locked`], [`Error::Unknown`], [`Error::Io`]. Damage is no error here.
///
/// # Panics
/// Outside of a coroutine.
pub fn salvage(path: &Path, to: &Path, on_progress: OnProgress<'_>) -> Result<Salvaged, Error> {
    if leveret_runtime::fs::exists(to).map_err(|e| Error::io("look at", to, e))? {
        return Err(Error::io("make", to, std::io::ErrorKind::AlreadyExists.into()));
    }
    let survey = Survey::new(path)?;
    let (mut salvaged, mut places) = (Salvaged::default(), Places::new());
    if let Err(Error::Damaged(damage)) = &survey.manifest {
        salvaged.damages.push((**damage).clone());
    }
    for id in &survey.segments {
        take_segment(&survey, *id, &mut places, &mut salvaged)?;
    }
    take_log(&survey, &mut places, &mut salvaged)?;
    let log_size = survey.manifest.as_ref().map_or(Options::default().log_file_size, |(state, _)| state.log_size);
    let options = Options { log_file_size: log_size, ..Options::default() };
    let (store, _) = Store::open(to, options)?;
    let mut writer = store.writer();
    let total = places.len() as u64;
    for (done, ((queue, seq), place)) in places.iter().enumerate() {
        put(*queue, *seq, place, &mut writer, &mut salvaged)?;
        on_progress(done as u64, total);
    }
    writer.flush();
    store.close()?;
    let directory = Directory::new(to);
    let mark = to.join(RESCUED);
    directory.create(&mark)?.sync_all().map_err(|e| Error::io("sync", &mark, e))?;
    directory.sync(to)?;
    on_progress(total, total);
    Ok(salvaged)
}

fn put(queue: QueueKey, seq: Seq, place: &Place, writer: &mut Writer, salvaged: &mut Salvaged) -> Result<(), Error> {
    let body = place.file.read_owned_at(place.body.size as usize, u64::from(place.body.offset));
    let Some(body) = body.ok().filter(|body| crc32c::crc32c(body) == place.body.crc) else {
        let (path, offset) = (place.path.clone(), u64::from(place.body.offset));
        salvaged.damages.push(Damage { path, offset, what: Flaw::Body });
        salvaged.lost += 1;
        return Ok(());
    };
    // A message that comes with a delivery count has a record more.
    let needed = writer.pending_bytes() + body.len() + RECORDS_SIZE;
    if needed > FLUSH_SIZE.min(writer.batch_size_max()) {
        let position = writer.flush();
        if writer.in_flight_bytes() > IN_FLIGHT_MAX {
            writer.progress().wait(position.0).map_err(|_| Error::Closed)?;
        }
    }
    writer.publish(&[&body], &[Reference { queue, seq, attributes: place.attributes }])?;
    if place.delivery_count > 0 && writer.requeue(queue, seq, place.delivery_count).is_err() {
        writer.flush();
        writer.requeue(queue, seq, place.delivery_count)?;
    }
    salvaged.messages += 1;
    Ok(())
}

/// What of a segment was live when the manifest was written; all of it, if that does not say.
fn take_segment(survey: &Survey, id: SegmentId, places: &mut Places, salvaged: &mut Salvaged) -> Result<(), Error> {
    let (file, index) = match survey.segment(id) {
        Ok(found) => found,
        Err(Error::Damaged(damage)) => {
            salvaged.damages.push(*damage);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let path = survey.directory.segment(id);
    for run in &index.runs {
        let live = live_of(survey, run.queue, run.lane, id, run.start);
        for entry in index.entries_of(run.start, run.count) {
            if live.as_ref().is_none_or(|live| live.contains(entry.seq)) {
                let delivery_count = delivery_count(survey, run.queue, entry.seq);
                let (file, path) = (file.clone(), path.clone());
                let place = Place { file, path, body: entry.body, attributes: entry.attributes, delivery_count };
                places.insert((run.queue, entry.seq), place);
            }
        }
    }
    Ok(())
}

fn live_of(survey: &Survey, queue: QueueKey, lane: u8, segment: SegmentId, start: u32) -> Option<LiveSet> {
    let (_, index) = survey.manifest.as_ref().ok()?;
    let runs = index.queue(queue).and_then(|queue| queue.lane(lane)).map(|lane| &lane.runs);
    let run = runs.into_iter().flatten().find(|run| run.segment == segment && run.start == start);
    Some(run.map_or_else(|| LiveSet::from_ascending([]), |run| run.live.clone()))
}

fn delivery_count(survey: &Survey, queue: QueueKey, seq: Seq) -> u32 {
    let queue = survey.manifest.as_ref().ok().and_then(|(_, index)| index.queue(queue));
    queue.map_or(0, |queue| queue.delivery_count(seq))
}

/// Applies every group whose head is sound, in the order of their numbers, from where the manifest says.
fn take_log(survey: &Survey, places: &mut Places, salvaged: &mut Salvaged) -> Result<(), Error> {
    let from = survey.manifest.as_ref().map_or(0, |(state, _)| state.replay_from.0);
    let mut logs = BTreeMap::new();
    let mut groups: BTreeMap<u64, (LogId, u64, Head)> = BTreeMap::new();
    for id in &survey.logs {
        let log = survey.log(*id)?;
        for (offset, head) in survey.heads(&log)?.into_iter().filter(|(_, head)| head.chain.seq.0 >= from) {
            groups.insert(head.chain.seq.0, (*id, offset, head));
        }
        logs.insert(*id, log);
    }
    let first = groups.keys().next().copied().unwrap_or(from);
    let (mut expected, known_end) = survey.manifest.as_ref().map_or((first, 0), |(state, _)| (from, state.known_end.0));
    for (number, (id, offset, head)) in groups {
        let Some(log) = logs.get(&id) else { continue };
        if number != expected {
            let flaw = Flaw::Group { seq: expected };
            salvaged.damages.push(Damage { path: log.path.clone(), offset, what: flaw });
        }
        expected = number + 1;
        take_group(log, offset, &head, places, salvaged)?;
    }
    if expected < known_end {
        let what = Flaw::Group { seq: expected };
        salvaged.damages.push(Damage { path: survey.directory.logs(), offset: 0, what });
    }
    Ok(())
}

fn take_group(
    log: &LogOnDisk,
    offset: u64,
    head: &Head,
    places: &mut Places,
    salvaged: &mut Salvaged,
) -> Result<(), Error> {
    for place in head.places() {
        let records = log.read(offset + place.records_at as u64, place.line.records_size as usize)?;
        if crc32c::crc32c(&records) != place.line.records_crc {
            let what = Flaw::Group { seq: head.chain.seq.0 };
            salvaged.damages.push(Damage { path: log.path.clone(), offset, what });
            continue;
        }
        for (record, at) in batch::walk(&records).map_while(|item| item) {
            take_record(log, record, offset + (place.bodies_at + at) as u64, places);
        }
    }
    Ok(())
}

fn take_record(log: &LogOnDisk, record: Record<'_>, body_at: u64, places: &mut Places) {
    match record {
        Record::Publish { body_size, body_crc, references } => {
            let Ok(offset) = u32::try_from(body_at) else { return };
            let body = Body { offset, size: body_size, crc: body_crc };
            for Reference { queue, seq, attributes } in references.iter() {
                let (file, path) = (log.file.clone(), log.path.clone());
                places.insert((queue, seq), Place { file, path, body, attributes, delivery_count: 0 });
            }
        }
        Record::Settle { queue, ranges } => ranges.iter().for_each(|range| forget(places, queue, range)),
        Record::Requeue { queue, seq, count } => {
            places.entry((queue, seq)).and_modify(|place| place.delivery_count = count);
        }
        Record::DeleteQueue { queue } => forget(places, queue, SeqRange { first: Seq(0), last: Seq::MAX }),
    }
}

fn forget(places: &mut Places, queue: QueueKey, range: SeqRange) {
    let gone: Vec<_> = places.range((queue, range.first)..=(queue, range.last)).map(|(key, _)| *key).collect();
    gone.iter().for_each(|key| _ = places.remove(key));
}
