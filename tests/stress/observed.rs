//! A broker's process seen from outside: what `/proc` says of it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Broker, patience};

/// See the module's description.
pub(crate) struct Observed {
    proc: PathBuf,
    descriptors_at_first: usize,
}

impl Observed {
    /// The process that was started with this broker's data directory.
    pub(crate) fn new(broker: &Broker) -> Observed {
        let data_dir = broker.data_dir().to_str().expect("the harness makes plain names").to_owned();
        let serves = |proc: &PathBuf| {
            let line = fs::read(proc.join("cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"leveret"))
                && words.any(|it| it == data_dir.as_bytes())
        };
        let all = fs::read_dir("/proc").expect("Linux").filter_map(|entry| Some(entry.ok()?.path()));
        let proc = all.into_iter().find(serves).expect("the broker runs");
        let mut observed = Observed { proc, descriptors_at_first: 0 };
        observed.descriptors_at_first = observed.descriptors();
        observed
    }

    /// Resident bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc.join("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// What all its threads have used of processors.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(self.proc.join("stat")).expect("it runs");
        let after_name = stat.rsplit(") ").next().expect("a name in brackets");
        let ticks = |index| after_name.split(' ').nth(index).and_then(|it| it.parse::<u64>().ok()).expect("a number");
        // Fields 14 and 15 of all, in ticks of a hundredth of a second.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc.join("fd")).expect("it runs").count()
    }

    /// Those open when the observation began.
    pub(crate) fn descriptors_at_first(&self) -> usize {
        self.descriptors_at_first
    }
}

/// Asks again and again until it is so.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + patience();
    while !is_so() {
        assert!(Instant::now() < limit, "never: {what}");
        thread::yield_now();
    }
}
