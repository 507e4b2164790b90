//! What the store's threads and handles share: options, counters, and whether it is blocked or has failed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use leveret_runtime::lane::Progress;

use crate::error::Error;
use crate::options::{Event, Options};
use crate::stats::Counters;

pub(crate) struct Shared {
    pub(crate) options: Options,
    /// The store's number.
    pub(crate) number: u64,
    pub(crate) counters: Counters,
    blocked: AtomicBool,
    failed: AtomicBool,
}

/// What a writer and the committer share.
pub(crate) struct WriterState {
    pub(crate) number: u16,
    /// The last position that is durable.
    pub(crate) durable: Progress,
    /// Bytes handed over and not durable.
    pub(crate) in_flight: AtomicU64,
}

impl Shared {
    pub(crate) fn new(options: Options, number: u64) -> Shared {
        Shared {
            options,
            number,
            counters: Counters::default(),
            blocked: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        }
    }

    /// The end: says so once.
    pub(crate) fn fail(&self, error: &Error) {
        if !self.failed.swap(true, Ordering::AcqRel) {
            log::error!("the store has failed: {error}");
            (self.options.on_event)(Event::Failed { reason: error.to_string() });
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Says when it changes.
    pub(crate) fn set_blocked(&self, reason: Option<&Error>) {
        if self.blocked.swap(reason.is_some(), Ordering::AcqRel) != reason.is_some() {
            (self.options.on_event)(match reason {
                Some(error) => Event::Blocked { reason: error.to_string() },
                None => Event::Unblocked,
            });
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }
}
