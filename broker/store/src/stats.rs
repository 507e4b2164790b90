//! What the store counts: totals since it was opened.
//!
//! Plain atomics, written by the store's own threads and read by whoever asks; the numbers of one look need not fit each
//! other to the last one.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) groups: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) segment_bytes: AtomicU64,
    pub(crate) manifest_bytes: AtomicU64,
    pub(crate) manifests: AtomicU64,
    pub(crate) log_files_emptied: AtomicU64,
    pub(crate) compactions: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) segment_bytes_held: AtomicU64,
    pub(crate) log_bytes_held: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) read_bytes: AtomicU64,
    pub(crate) messages_lost: AtomicU64,
}

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it; bytes are bytes, the rest are counts")]
pub struct Stats {
    /// Writes of the log; each was one sync.
    pub groups: u64,
    pub batches: u64,
    pub records: u64,
    pub log_bytes_written: u64,
    pub segment_bytes_written: u64,
    pub manifest_bytes_written: u64,
    pub manifests_written: u64,
    pub log_files_emptied: u64,
    pub compactions: u64,
    /// Segments that there are.
    pub segments: u64,
    /// Bytes on the disk in segments.
    pub segment_bytes: u64,
    /// Bytes on the disk in log files.
    pub log_bytes: u64,
    pub cold_reads: u64,
    pub cold_read_bytes: u64,
    /// Messages that were dropped since they could not be read back: the disk had harmed them.
    pub messages_lost: u64,
    /// Publishers should wait: see [`Event::Blocked`](crate::Event::Blocked).
    pub blocked: bool,
}

impl Counters {
    pub(crate) fn stats(&self, blocked: bool) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            groups: load(&self.groups),
            batches: load(&self.batches),
            records: load(&self.records),
            log_bytes_written: load(&self.log_bytes),
            segment_bytes_written: load(&self.segment_bytes),
            manifest_bytes_written: load(&self.manifest_bytes),
            manifests_written: load(&self.manifests),
            log_files_emptied: load(&self.log_files_emptied),
            compactions: load(&self.compactions),
            segments: load(&self.segments),
            segment_bytes: load(&self.segment_bytes_held),
            log_bytes: load(&self.log_bytes_held),
            cold_reads: load(&self.reads),
            cold_read_bytes: load(&self.read_bytes),
            messages_lost: load(&self.messages_lost),
            blocked,
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

pub(crate) fn set(counter: &AtomicU64, value: u64) {
    counter.store(value, Ordering::Relaxed);
}
