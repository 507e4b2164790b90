//! Reading bodies out of a file: many with one read, each checked against its checksum.
//!
//! What does not come out sound is read once more by itself, so that a bit that changed on its way from the disk costs nothing, and
//! one that changed there costs the message that it lies in and no other. What the disk does not give at all is asked for once
//! more, and then it is the caller's error: nobody knows that it is lost, so nobody may drop it.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;

use leveret_runtime::fs::File;

use crate::error::Error;
use crate::lane::Body;

/// A part of a file that was read at once.
pub(crate) struct Bodies<'a> {
    file: &'a File,
    path: &'a Path,
    from: u64,
    bytes: Vec<u8>,
}

impl<'a> Bodies<'a> {
    /// Reads the part of the file that bodies are to be taken from.
    pub(crate) fn read(file: &'a File, path: &'a Path, span: Range<u64>) -> Result<Bodies<'a>, Error> {
        let size = usize::try_from(span.end.saturating_sub(span.start)).map_err(|_| Error::Closed)?;
        let bytes = read(file, path, size, span.start)?.unwrap_or_default(); // then each is read by itself
        Ok(Bodies { file, path, from: span.start, bytes })
    }

    /// A body, which lies in that part; `None` if it is not what was written.
    pub(crate) fn take(&self, body: Body) -> Result<Option<Cow<'_, [u8]>>, Error> {
        let at = u64::from(body.offset).checked_sub(self.from).and_then(|at| usize::try_from(at).ok());
        let found = at.and_then(|at| self.bytes.get(at..)?.get(..body.size as usize));
        if let Some(found) = found.filter(|found| crc32c::crc32c(found) == body.crc) {
            return Ok(Some(Cow::Borrowed(found)));
        }
        let again = read(self.file, self.path, body.size as usize, body.offset.into())?;
        Ok(again.filter(|bytes| crc32c::crc32c(bytes) == body.crc).map(Cow::Owned))
    }
}

/// Reads a piece of a file that should be there; `None` if the file ends before it.
pub(crate) fn read(file: &File, path: &Path, size: usize, offset: u64) -> Result<Option<Vec<u8>>, Error> {
    let ended = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    let read = file.read_owned_at(size, offset);
    match read.or_else(|error| if ended(&error) { Err(error) } else { file.read_owned_at(size, offset) }) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if ended(&error) => Ok(None),
        Err(error) => Err(Error::io("read", path, error)),
    }
}
