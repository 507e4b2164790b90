//! Every checksum of a directory.

use std::path::Path;

use super::{OnProgress, Survey};
use crate::directory::Directory;
use crate::error::{Damage, Error, Flaw};
use crate::ids::SegmentId;
use crate::recover;

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Groups of the log that a start would replay.
    pub groups: u64,
    /// Segments that are there.
    pub segments: u64,
    /// Messages in those segments, settled ones included.
    pub segment_messages: u64,
    /// Live messages, if a start would succeed.
    pub messages: Option<u64>,
    /// What is wrong. A start succeeds only if this is empty.
    pub damages: Vec<Damage>,
}

/// Checks every checksum of the directory at `path`, settled messages included.
///
/// # Errors
/// [`Error::Locked`], [`Error::Unknown`], [`Error::Io`]. Damage is no error here.
///
/// # Panics
/// Outside of a coroutine.
pub fn check(path: &Path, on_progress: OnProgress<'_>) -> Result<Report, Error> {
    let survey = Survey::new(path)?;
    let (total, mut done) = (survey.size(), 0);
    let mut report = Report::default();
    for id in &survey.segments {
        let outcome = check_segment(&survey, *id, &mut report, &mut |bytes| {
            done += bytes;
            on_progress(done.min(total), total);
        });
        note(outcome, &mut report)?;
    }
    match survey.manifest {
        Ok((state, index)) => {
            let listed = recover::check_segments(&survey.directory, &state, &index);
            let is_known = |error: &Error| matches!(error, Error::Damaged(damage) if report.damages.contains(damage));
            if !listed.as_ref().is_err_and(is_known) {
                note(listed, &mut report)?;
            }
            check_log(&survey.directory, state, index, &mut report)?;
        }
        Err(error) => note(Err(error), &mut report)?,
    }
    if !report.damages.is_empty() {
        report.messages = None;
    }
    on_progress(total, total);
    Ok(report)
}

fn note(outcome: Result<(), Error>, report: &mut Report) -> Result<(), Error> {
    match outcome {
        Err(Error::Damaged(damage)) => {
            report.damages.push(*damage);
            Ok(())
        }
        other => other,
    }
}

fn check_segment(
    survey: &Survey,
    id: SegmentId,
    report: &mut Report,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    report.segments += 1;
    let (file, index) = survey.segment(id)?;
    let path = survey.directory.segment(id);
    report.segment_messages += index.entries.len() as u64;
    for entry in &index.entries {
        let size = entry.body.size as usize;
        let body = file.read_owned_at(size, u64::from(entry.body.offset)).map_err(|e| Error::io("read", &path, e))?;
        if crc32c::crc32c(&body) != entry.body.crc {
            let damage = Damage { path: path.clone(), offset: u64::from(entry.body.offset), what: Flaw::Body };
            if !report.damages.contains(&damage) {
                report.damages.push(damage);
            }
        }
        on_bytes(size as u64);
    }
    Ok(())
}

fn check_log(
    directory: &Directory,
    state: crate::manifest::LogState,
    index: crate::index::Index,
    report: &mut Report,
) -> Result<(), Error> {
    match recover::replay(directory, state, index, false) {
        Ok(opened) => {
            report.groups = opened.recovered.groups;
            report.messages = Some(opened.index.queues().iter().map(|(_, queue)| queue.count()).sum());
            Ok(())
        }
        Err(error) => note(Err(error), report),
    }
}
