//! What can be chosen about a store, and what it tells the program of its own accord.

use std::fmt;
use std::sync::Arc;

/// When a position counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    /// The disk has said that it is there: it survives a power cut.
    #[default]
    Synced,
    /// The system has it: it survives the end of the process, not of the machine. It is synced at once all the same.
    Written,
}

/// What happened to the store by itself. Told on one of its own threads: hand it on, do not wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is no room to empty log files: have publishers wait. Settling goes on.
    Blocked {
        /// What the system said.
        reason: String,
    },
    /// There is room again.
    Unblocked,
    /// A write or sync of the log has failed, or what was read back is not what was written. Nothing is durable from here
    /// on; it is not known what is on the disk. **Stop the process**: the next start finds out.
    Failed {
        /// What failed.
        reason: String,
    },
}

/// See the module's description.
#[derive(Clone)]
pub struct Options {
    /// Bytes of a log file, at least 16 KiB; a multiple of 4 KiB. Bounds a batch. An existing store keeps its own if that is greater.
    pub log_file_size: u32,
    /// How many log files there are, at least 3. They are used in turn: messages settled before their file's turn comes
    /// again are never written a second time. That of an existing store stays.
    pub log_files: u16,
    /// Bytes after which a segment ends.
    pub segment_size: u32,
    /// Bytes of one write to the log, unless one batch is larger: more only adds latency.
    pub group_size: usize,
    /// When a position counts as durable.
    pub confirm: Confirm,
    /// Is told of [`Event`]s.
    pub on_event: Arc<dyn Fn(Event) + Send + Sync>,
}

/// The smallest log file.
pub(crate) const LOG_FILE_SIZE_MIN: u32 = 16 * 1024;
/// One is written, one is emptied, one is free.
pub(crate) const LOG_FILES_MIN: u16 = 3;

impl Default for Options {
    fn default() -> Self {
        Self {
            log_file_size: 32 * 1024 * 1024,
            log_files: 4,
            segment_size: 16 * 1024 * 1024,
            group_size: 1024 * 1024,
            confirm: Confirm::Synced,
            on_event: Arc::new(|_| ()),
        }
    }
}

impl Options {
    /// With what must hold.
    pub(crate) fn normalized(mut self) -> Options {
        let page = crate::group::ALIGNMENT as u32;
        self.log_file_size = self.log_file_size.clamp(LOG_FILE_SIZE_MIN, 1 << 31) / page * page;
        self.log_files = self.log_files.max(LOG_FILES_MIN);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("log_file_size", &self.log_file_size)
            .field("log_files", &self.log_files)
            .field("segment_size", &self.segment_size)
            .field("group_size", &self.group_size)
            .field("confirm", &self.confirm)
            .finish_non_exhaustive()
    }
}
