//! Alarms: memory or disk runs short, so whoever publishes is held up until it does not.
//!
//! ```text
//!   every shard: bytes of its messages --mail--> shard 0: looks at memory and disk, judges --mail--> every shard --> its clients
//! ```
//!
//! Memory is short when the process holds more than the limit *and* messages are a good part of that. Without the second
//! condition a broker would stay blocked after a big backlog was drained, because an allocator keeps freed memory for
//! later; and holding up publishers helps only against messages.
//!
//! What clients see of it (they read no more from whoever publishes, and send connection.blocked) is the front-end's business.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use leveret_core::ShardId;
use leveret_runtime as runtime;
use runtime::fs;

use super::events::Event;
use super::mail::Mail;
use super::queues::Command;
use super::{OWNER, Shard};
use crate::config;

/// How often memory and disk are looked at. A publisher of a gigabyte a second exceeds a limit by half of one.
const LOOK: Duration = Duration::from_millis(500);

/// The part of the memory limit that messages must make up for an alarm.
const MESSAGE_SHARE: u64 = 4;

/// The part of the memory limit that queues may fill before they keep less in memory.
const QUEUES_SHARE: u64 = 8;

/// A shard tells when the bytes that it holds have changed by this much.
const REPORT_STEP: u64 = 1024 * 1024;

/// A page of memory, in which the kernel counts.
const PAGE_SIZE: u64 = 4096;

/// What is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Memory.
    pub memory: bool,
    /// Room on the disk of the data directory.
    pub disk: bool,
}

impl Alarms {
    /// The reason that clients are given, in RabbitMQ's words; `None` if nothing is short.
    pub fn reason(self) -> Option<&'static str> {
        match (self.memory, self.disk) {
            (false, false) => None,
            (true, false) => Some("low on memory"),
            (false, true) => Some("low on disk"),
            (true, true) => Some("low on memory & disk"),
        }
    }

    /// Whether publishers are held up.
    pub fn any(self) -> bool {
        self.memory || self.disk
    }
}

/// Limits in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Memory in use above this is too much.
    pub memory: u64,
    /// Free room below this is too little.
    pub disk_free: u64,
}

/// What was measured last, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Memory of the process.
    pub resident: u64,
    /// Messages: in queues, waiting, in transactions.
    pub held: u64,
    /// Room on the disk of the data directory; `None` if it cannot be found out, which is no alarm.
    pub disk_free: Option<u64>,
}

/// The alarms that a reading means.
pub fn judge(reading: &Reading, thresholds: &Thresholds) -> Alarms {
    Alarms {
        memory: reading.resident > thresholds.memory && reading.held >= thresholds.memory / MESSAGE_SHARE,
        disk: reading.disk_free.is_some_and(|free| free < thresholds.disk_free),
    }
}

/// A shard's part in it.
#[derive(Default)]
pub struct Watch {
    alarms: Cell<Alarms>,
    reported: Cell<u64>,
    /// Bytes in open transactions of this shard's channels.
    in_transactions: Cell<u64>,
    /// On shard 0: what each shard holds.
    held: RefCell<Vec<u64>>,
    reading: Cell<Reading>,
    thresholds: Cell<Option<Thresholds>>,
    /// As configured, once somebody has asked.
    memory_limit: Cell<Option<u64>>,
}

impl Watch {
    /// What is short, as far as this shard has heard.
    #[inline]
    pub fn alarms(&self) -> Alarms {
        self.alarms.get()
    }

    /// What was measured last; on shard 0.
    pub fn reading(&self) -> Reading {
        self.reading.get()
    }

    /// The limits; on shard 0, and `None` until they are known.
    pub fn thresholds(&self) -> Option<Thresholds> {
        self.thresholds.get()
    }

    /// Changes the limits while the broker runs; on shard 0.
    pub fn set_thresholds(&self, thresholds: Thresholds) {
        self.thresholds.set(Some(thresholds));
    }

    /// A transaction holds so many bytes more.
    pub fn transaction_grew(&self, bytes: u64) {
        self.in_transactions.set(self.in_transactions.get() + bytes);
    }

    /// A transaction that held so many bytes is over.
    pub fn transaction_ended(&self, bytes: u64) {
        self.in_transactions.set(self.in_transactions.get().saturating_sub(bytes));
    }
}

impl Shard {
    /// Bytes of the messages that this shard holds.
    pub fn held_bytes(&self) -> u64 {
        let waiting = self.delays.bytes() + self.histories.bytes();
        self.queues.held_bytes() + waiting + self.watch.in_transactions.get()
    }

    /// Has the queues keep less of their messages in memory before an alarm has to hold up publishers.
    pub(super) fn keep_within_memory(self: &Rc<Self>) {
        let Some(full) = self.stored.is_attached().then(|| self.config.windows()) else { return };
        let budget = self.memory_limit() / QUEUES_SHARE / self.count().max(1) as u64;
        let is_short = self.queues.adapt_windows(full, self.config.windows.min, budget, self.stored.has_scratch());
        if is_short {
            self.read_clock();
            for queue in self.queues.ids_heavier_than(2 * self.config.windows.min) {
                self.command_here(queue, Command::Relieve);
            }
        }
    }

    fn memory_limit(&self) -> u64 {
        self.watch.memory_limit.get().unwrap_or_else(|| {
            let limits = &self.config.alarms;
            let limit = limits.memory_high_watermark.of(limits.total_memory.unwrap_or_else(machine_memory));
            self.watch.memory_limit.set(Some(limit));
            limit
        })
    }

    /// Tells shard 0 what this one holds, if that has changed much.
    pub(super) fn report_held(&self) {
        let held = self.held_bytes();
        if held.abs_diff(self.watch.reported.get()) < REPORT_STEP && (held > 0) == (self.watch.reported.get() > 0) {
            return;
        }
        self.watch.reported.set(held);
        match self.id {
            OWNER => self.note_held(OWNER, held),
            _ => self.send(OWNER, Mail::Held(self.id, held)),
        }
    }

    pub(super) fn note_held(&self, shard: ShardId, bytes: u64) {
        let mut held = self.watch.held.borrow_mut();
        let at = usize::from(shard.0);
        let length = held.len().max(at + 1);
        held.resize(length, 0);
        held[at] = bytes;
    }

    /// The coroutine of shard 0 that watches memory and disk, until the program ends.
    pub fn watch_for_ever(self: &Rc<Self>) {
        self.set_alarm_limits(&self.config.alarms);
        loop {
            runtime::sleep(LOOK);
            let held = self.watch.held.borrow().iter().sum();
            let reading = Reading { resident: resident(), held, disk_free: disk_free(&self.config.data_dir) };
            self.watch.reading.set(reading);
            let Some(thresholds) = self.watch.thresholds() else { continue };
            let mut alarms = judge(&reading, &thresholds);
            alarms.disk |= self.stored.is_blocked(); // the log cannot be emptied into segments
            if alarms != self.watch.alarms() {
                log_change(alarms, &reading, &thresholds);
                self.raise(alarms);
            }
        }
    }

    /// Changes when publishers are held up; on shard 0.
    pub fn set_alarm_limits(&self, limits: &config::Alarms) {
        let total = limits.total_memory.unwrap_or_else(machine_memory);
        let (memory, disk_free) = (limits.memory_high_watermark.of(total), limits.disk_free_limit.of(total));
        self.watch.set_thresholds(Thresholds { memory, disk_free });
    }

    fn raise(self: &Rc<Self>, alarms: Alarms) {
        let before = self.watch.alarms();
        for (source, was, is) in [("memory", before.memory, alarms.memory), ("disk", before.disk, alarms.disk)] {
            if was != is {
                let key = if is { "alarm.set" } else { "alarm.cleared" };
                self.tell(|| Event::new(key).text("source", source).text("node", &self.config.node_name));
            }
        }
        for shard in 1..self.count() {
            self.send(super::shard_number(shard), Mail::Alarms(alarms));
        }
        self.note_alarms(alarms);
    }

    pub(super) fn note_alarms(self: &Rc<Self>, alarms: Alarms) {
        self.watch.alarms.set(alarms);
        self.clients().iter().for_each(|client| client.alarms_changed());
    }
}

fn log_change(alarms: Alarms, reading: &Reading, thresholds: &Thresholds) {
    match alarms.reason() {
        Some(reason) => log::warn!(
            "{reason}: publishers are held up ({} bytes in use, {} of messages, limit {}; free on disk {}, limit {})",
            reading.resident,
            reading.held,
            thresholds.memory,
            reading.disk_free.unwrap_or_default(),
            thresholds.disk_free
        ),
        None => log::warn!("memory and disk suffice again: publishers go on"),
    }
}

/// Memory of this process; 0 where it cannot be found out.
fn resident() -> u64 {
    let pages = |text: String| text.split_whitespace().nth(1)?.parse::<u64>().ok();
    fs::read_to_string("/proc/self/statm").ok().and_then(pages).unwrap_or(0).saturating_mul(PAGE_SIZE)
}

fn disk_free(data_dir: &Path) -> Option<u64> {
    fs::space(data_dir).ok().map(|space| space.free)
}

/// The machine's memory, or that of the control group, if it is less.
fn machine_memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text));
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = groups.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    machine.into_iter().chain(group).min().unwrap_or(u64::MAX)
}

/// Bytes, from a line such as `MemTotal:       24689764 kB`.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_when_messages_fill_it_and_disk_when_little_is_free() {
        let thresholds = Thresholds { memory: 1000, disk_free: 50 };
        let check = |resident, held, disk_free, memory, disk| {
            let reading = Reading { resident, held, disk_free };
            assert_eq!(judge(&reading, &thresholds), Alarms { memory, disk }, "{reading:?}");
        };
        check(0, 0, None, false, false);
        check(1000, 900, Some(50), false, false);
        check(1001, 900, Some(50), true, false);
        check(1001, 250, Some(50), true, false);
        check(1001, 249, Some(50), false, false);
        check(10, 10, Some(49), false, true);
        check(2000, 2000, Some(0), true, true);
    }

    #[test]
    fn a_limit_of_nothing_is_always_exceeded() {
        let reading = Reading { resident: 1, held: 0, disk_free: None };
        assert!(judge(&reading, &Thresholds { memory: 0, disk_free: 0 }).memory);
    }

    #[test]
    fn reasons_are_rabbitmqs() {
        let check = |memory, disk, expected| assert_eq!(Alarms { memory, disk }.reason(), expected);
        check(false, false, None);
        check(true, false, Some("low on memory"));
        check(false, true, Some("low on disk"));
        check(true, true, Some("low on memory & disk"));
    }

    #[test]
    fn total_memory_is_read_from_meminfo() {
        assert_eq!(total_memory("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(25_282_318_336));
        assert_eq!(total_memory("MemFree: 1 kB\n"), None);
    }
}
