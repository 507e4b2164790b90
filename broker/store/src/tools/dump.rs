//! Everything that a directory holds, as lines of JSON: for people who look for what went wrong, and their scripts.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::{OnProgress, Survey};
use crate::batch;
use crate::error::Error;
use crate::group::Head;
use crate::ids::{LogId, SegmentId};
use crate::record::Record;
use crate::recover::LogOnDisk;
use crate::scan::LogBytes;

/// Writes a line for the manifest, each segment, each of its messages, each group and each record; and for what is damaged.
/// Bodies are not written, only their sizes and checksums. Groups of earlier uses of a log file are there too: their
/// numbers tell.
///
/// # Errors
/// [`Error::Locked`], [`Error::Unknown`], [`Error::Io`], also of `out`. Damage is no error here.
///
/// # Panics
/// Outside of a coroutine.
pub fn dump(
    path: &Path,
    out: &mut dyn FnMut(&str) -> io::Result<()>,
    on_progress: OnProgress<'_>,
) -> Result<(), Error> {
    let survey = Survey::new(path)?;
    let mut lines = Lines { out, path };
    match &survey.manifest {
        Ok((state, index)) => lines.line(format_args!(
            r#""manifest":{{"store":{},"replay_from":{},"known_end":{},"log_size":{},"logs":{},"segments":{}}}"#,
            state.store,
            state.replay_from,
            state.known_end,
            state.log_size,
            state.logs.len(),
            index.segments().len()
        ))?,
        Err(error) => lines.damage(error)?,
    }
    let total = (survey.segments.len() + survey.logs.len()) as u64;
    for (done, id) in survey.segments.iter().enumerate() {
        on_progress(done as u64, total);
        segment(&survey, *id, &mut lines)?;
    }
    for (done, id) in survey.logs.iter().enumerate() {
        on_progress((survey.segments.len() + done) as u64, total);
        log(&survey, *id, &mut lines)?;
    }
    on_progress(total, total);
    Ok(())
}

struct Lines<'a> {
    out: &'a mut dyn FnMut(&str) -> io::Result<()>,
    path: &'a Path,
}

impl Lines<'_> {
    fn line(&mut self, fields: std::fmt::Arguments<'_>) -> Result<(), Error> {
        (self.out)(&format!("{{{fields}}}")).map_err(|e| Error::io("write what is in", self.path, e))
    }

    fn damage(&mut self, error: &Error) -> Result<(), Error> {
        self.line(format_args!(r#""damage":{}"#, quoted(&error.to_string())))
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char < ' ' => _ = write!(quoted, "\\u{:04x}", u32::from(char)), // a String takes everything
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

fn segment(survey: &Survey, id: SegmentId, lines: &mut Lines<'_>) -> Result<(), Error> {
    let index = match survey.segment(id) {
        Ok((_, index)) => index,
        Err(error) => return lines.damage(&error),
    };
    let known = survey.manifest.as_ref().is_ok_and(|(_, state)| state.segments().contains_key(&id));
    lines.line(format_args!(
        r#""segment":{},"in_manifest":{known},"messages":{},"runs":{}"#,
        id.0,
        index.entries.len(),
        index.runs.len()
    ))?;
    for run in &index.runs {
        for entry in index.entries_of(run.start, run.count) {
            lines.line(format_args!(
                r#""in_segment":{},"queue":{},"seq":{},"attributes":{},"offset":{},"size":{},"crc":{}"#,
                id.0, run.queue, entry.seq, entry.attributes.0, entry.body.offset, entry.body.size, entry.body.crc
            ))?;
        }
    }
    Ok(())
}

fn log(survey: &Survey, id: LogId, lines: &mut Lines<'_>) -> Result<(), Error> {
    let log = survey.log(id)?;
    for (offset, head) in survey.heads(&log)? {
        let bytes = log.read(offset, head.size)?;
        lines.line(format_args!(
            r#""group":{},"log":{},"offset":{offset},"size":{},"incarnation":{},"batches":{},"sound":{}"#,
            head.chain.seq,
            id.0,
            head.size,
            head.chain.incarnation,
            head.lines.len(),
            head.is_whole(&bytes)
        ))?;
        records(&log, offset, &head, lines)?;
    }
    Ok(())
}

fn records(log: &LogOnDisk, offset: u64, head: &Head, lines: &mut Lines<'_>) -> Result<(), Error> {
    let group = head.chain.seq;
    for place in head.places() {
        let records = log.read(offset + place.records_at as u64, place.line.records_size as usize)?;
        for (record, at) in batch::walk(&records).map_while(|item| item) {
            let fields = match record {
                Record::Publish { body_size, body_crc, references } => {
                    let references: Vec<String> =
                        references.iter().map(|it| format!("[{},{},{}]", it.queue, it.seq, it.attributes.0)).collect();
                    let at = offset + (place.bodies_at + at) as u64;
                    let to = references.join(",");
                    format!(r#""publish":[{to}],"offset":{at},"size":{body_size},"crc":{body_crc}"#)
                }
                Record::Settle { queue, ranges } => {
                    let ranges: Vec<String> =
                        ranges.iter().map(|range| format!("[{},{}]", range.first, range.last)).collect();
                    format!(r#""settle":{queue},"ranges":[{}]"#, ranges.join(","))
                }
                Record::Requeue { queue, seq, count } => {
                    format!(r#""requeue":{queue},"seq":{seq},"delivery_count":{count}"#)
                }
                Record::DeleteQueue { queue } => format!(r#""delete_queue":{queue}"#),
            };
            lines.line(format_args!(r#""in_group":{group},"writer":{},{fields}"#, place.line.writer))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("a", "\"a\"");
        check("a\"b\\c\n", "\"a\\\"b\\\\c\\u000a\"");
    }
}
