//! Putting a content together: its header frame and its body frames.
//!
//! ```text
//!        method that carries content           header, size > 0             body, last part
//!   method due ───► awaiting header ─────────────► awaiting body ───────────────► complete
//!                        └── header, size 0 ─────────────────────────────────────► complete
//! ```
//!
//! There are two ways. [`look_ahead`] finds a small content whose frames lie in the input without a gap and borrows it all:
//! no copy, no allocation. [`Assembly`] takes frame after frame for everything else: long bodies, many body frames, frames of
//! other channels in between, and all that is wrong (so that there is one place that words the errors). Both give the same
//! content for the same bytes. It does not know which method the content belongs to; both sides of a connection use it.

use crate::error::ProtocolError;
use crate::frame::{ContentHeader, FRAME_OVERHEAD, Frame, FrameKind, frame_size};
use crate::properties::Properties;
use crate::reply::ReplyCode;

/// The class of all methods that carry content.
const BASIC: u16 = 60;
/// The largest body that a content header may announce, whatever the configuration says: 512 MiB.
pub const BODY_SIZE_CEILING: u64 = 536_870_912;

/// Header and body frames up to this many bytes together are waited for, so that they can be borrowed in one piece.
pub(crate) const LOOK_AHEAD_SIZE_MAX: usize = 16 * 1024;
/// Bytes reserved for a body before any of it has arrived; the announced size is only a claim.
const BODY_RESERVE_MAX: u64 = 256 * 1024;

/// What lies behind the frame of a method that carries content.
pub(crate) enum LookAhead<'i> {
    /// All of the content.
    Whole { properties: Properties<'i>, body: &'i [u8], size: usize },
    /// The beginning of a small content. With this many bytes more can be said; never fewer than that, or a client that
    /// breaks the rules in the middle would wait for an answer in vain.
    Wait { size: usize },
    /// Something else, to be taken frame by frame.
    Apart,
}

/// Looks for a header frame and at most one body frame of `channel` at the beginning of `input`.
#[inline]
pub(crate) fn look_ahead(input: &[u8], channel: u16, payload_max: usize, body_size_max: u64) -> LookAhead<'_> {
    let (head, head_size) = match next_frame(input, 0, payload_max) {
        Ok(found) => found,
        Err(stop) => return stop,
    };
    if head.kind != FrameKind::Header || head.channel != channel {
        return LookAhead::Apart;
    }
    let Ok(header) = ContentHeader::parse(head.payload) else { return LookAhead::Apart };
    if header.class_id != BASIC || header.weight != 0 || header.body_size > body_size_max.min(BODY_SIZE_CEILING) {
        return LookAhead::Apart;
    }
    let (body, size) = if header.body_size == 0 {
        (&[][..], head_size)
    } else {
        match whole_body(input, channel, head_size, header.body_size, payload_max) {
            Ok(found) => found,
            Err(stop) => return stop,
        }
    };
    match Properties::parse(header.properties) {
        Ok(properties) => LookAhead::Whole { properties, body, size },
        Err(_) => LookAhead::Apart,
    }
}

/// The body frame at `start`, if it holds all of the body.
#[inline]
fn whole_body(
    input: &[u8],
    channel: u16,
    start: usize,
    body_size: u64,
    payload_max: usize,
) -> Result<(&[u8], usize), LookAhead<'_>> {
    let rest = input.get(start..).unwrap_or_default();
    let expected = usize::try_from(body_size).map_err(|_| LookAhead::Apart)?;
    let (frame, size) = match next_frame(rest, start, payload_max) {
        // It is not worth waiting for a body that will be too long in the end.
        Err(LookAhead::Wait { .. }) if expected > LOOK_AHEAD_SIZE_MAX - FRAME_OVERHEAD => return Err(LookAhead::Apart),
        found => found?,
    };
    let is_whole = frame.kind == FrameKind::Body && frame.channel == channel && frame.payload.len() == expected;
    if is_whole { Ok((frame.payload, start + size)) } else { Err(LookAhead::Apart) }
}

/// The frame at the beginning of `rest`, which lies `start` bytes behind the method frame.
#[inline]
fn next_frame(rest: &[u8], start: usize, payload_max: usize) -> Result<(Frame<'_>, usize), LookAhead<'_>> {
    match Frame::parse(rest, payload_max) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(wait_for(start.saturating_add(frame_size(rest)))),
        Err(_) => Err(LookAhead::Apart),
    }
}

fn wait_for<'i>(size: usize) -> LookAhead<'i> {
    if size <= LOOK_AHEAD_SIZE_MAX { LookAhead::Wait { size } } else { LookAhead::Apart }
}

/// A content that is received frame by frame.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// The method to blame for errors: that which announced the content.
    method_id: u16,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Header,
    Body { properties: Properties<'static>, body: Vec<u8>, missing: u64 },
}

/// What a frame did to an [`Assembly`].
#[derive(Debug)]
pub(crate) enum Progress {
    /// More frames are due.
    Continue,
    /// The content is complete.
    Complete,
    /// The body will be larger than the configuration allows: soft 406.
    TooLarge(ProtocolError),
}

impl Assembly {
    /// Awaits the content of a method of class basic.
    pub(crate) fn new(method_id: u16) -> Self {
        Self { method_id, stage: Stage::Header }
    }

    /// Takes the next frame of the channel.
    ///
    /// # Errors
    /// The hard errors of content assembly, in RabbitMQ's words.
    pub(crate) fn take(&mut self, frame: &Frame<'_>, body_size_max: u64) -> Result<Progress, ProtocolError> {
        let progress = match &mut self.stage {
            Stage::Header => self.take_header(frame, body_size_max),
            Stage::Body { body, missing, .. } => take_body(body, missing, frame),
        };
        match progress {
            Ok(Progress::TooLarge(error)) => Ok(Progress::TooLarge(error.blame_ids(BASIC, self.method_id))),
            other => other.map_err(|error| error.blame_ids(BASIC, self.method_id)),
        }
    }

    /// Properties and body of the finished content; the buffers are handed over.
    pub(crate) fn finish(self) -> (Properties<'static>, Vec<u8>) {
        match self.stage {
            Stage::Header => (Properties::default(), Vec::new()),
            Stage::Body { properties, body, .. } => (properties, body),
        }
    }

    fn take_header(&mut self, frame: &Frame<'_>, body_size_max: u64) -> Result<Progress, ProtocolError> {
        let header = expect_header(frame)?;
        if header.body_size > BODY_SIZE_CEILING {
            let text =
                format_args!("content body size {} exceeds maximum allowed size {BODY_SIZE_CEILING}", header.body_size);
            return Err(ProtocolError::new(ReplyCode::FrameError, text));
        }
        let properties = Properties::parse(header.properties)
            .map_err(|error| ProtocolError::undecodable(error, 0, 0, header.properties))?;
        if header.body_size > body_size_max {
            let text =
                format_args!("message size {} is larger than configured max size {body_size_max}", header.body_size);
            return Ok(Progress::TooLarge(ProtocolError::new(ReplyCode::PreconditionFailed, text)));
        }
        let reserve = usize::try_from(header.body_size.min(BODY_RESERVE_MAX)).unwrap_or_default();
        let body = Vec::with_capacity(reserve);
        self.stage = Stage::Body { properties: properties.into_owned(), body, missing: header.body_size };
        Ok(if header.body_size == 0 { Progress::Complete } else { Progress::Continue })
    }
}

fn expect_header<'a>(frame: &Frame<'a>) -> Result<ContentHeader<'a>, ProtocolError> {
    let unexpected = || unexpected_frame("expected content header for class 60, got non content header frame instead");
    if frame.kind != FrameKind::Header {
        return Err(unexpected());
    }
    let header = ContentHeader::parse(frame.payload).map_err(|_| unexpected())?;
    if header.weight != 0 {
        return Err(unexpected());
    }
    if header.class_id != BASIC {
        let class_id = header.class_id;
        let text = format_args!("expected content header for class 60, got one for class {class_id} instead");
        return Err(unexpected_frame(text));
    }
    Ok(header)
}

fn take_body(body: &mut Vec<u8>, missing: &mut u64, frame: &Frame<'_>) -> Result<Progress, ProtocolError> {
    if frame.kind != FrameKind::Body {
        return Err(unexpected_frame("expected content body, got non content body frame instead"));
    }
    let size = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
    let Some(left) = missing.checked_sub(size) else {
        let text = "content body frame exceeds remaining content size";
        return Err(ProtocolError::new(ReplyCode::FrameError, text));
    };
    body.extend_from_slice(frame.payload);
    *missing = left;
    Ok(if left == 0 { Progress::Complete } else { Progress::Continue })
}

fn unexpected_frame(explanation: impl std::fmt::Display) -> ProtocolError {
    ProtocolError::new(ReplyCode::UnexpectedFrame, explanation)
}
