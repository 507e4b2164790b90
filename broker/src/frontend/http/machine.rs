//! What the process and the machine have, as the kernel tells.

use leveret_management::port::Machine;
use leveret_runtime as runtime;

use crate::shard::Shard;

/// What is known now; 0 where it cannot be found out.
pub(super) fn machine(shard: &Shard) -> Machine {
    let reading = shard.watch.reading();
    let thresholds = shard.watch.thresholds();
    let alarms = shard.watch.alarms();
    let stats = shards_stats();
    Machine {
        process_id: std::process::id(),
        descriptors_used: descriptors_used(),
        descriptors_max: descriptors_max(),
        sockets_used: stats.descriptors,
        memory_used: reading.resident,
        memory_limit: thresholds.map_or(0, |limits| limits.memory),
        memory_total: 0,
        memory_alarm: alarms.memory,
        disk_free: reading.disk_free.unwrap_or(0),
        disk_limit: thresholds.map_or(0, |limits| limits.disk_free),
        disk_alarm: alarms.disk,
        processors: shard.count() as u64,
        coroutines: stats.coroutines,
        turns: stats.turns,
        switches: stats.switches,
        messages_lost: shard.stored.store().map_or(0, |store| store.stats().messages_lost),
    }
}

/// Sums over all shards.
#[derive(Default)]
struct Sums {
    descriptors: u64,
    coroutines: u64,
    turns: u64,
    switches: u64,
}

fn shards_stats() -> Sums {
    let asked: Vec<_> = runtime::shards().map(|shard| runtime::spawn_on(shard, runtime::stats)).collect();
    let mut sums = Sums::default();
    for stats in asked.into_iter().filter_map(|asked| asked.join().ok()) {
        sums.descriptors += stats.descriptors as u64;
        sums.coroutines += stats.coroutines as u64;
        sums.turns += stats.turns;
        sums.switches += stats.switches;
    }
    sums
}

fn descriptors_used() -> u64 {
    runtime::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.len() as u64)
}

/// The soft limit of open descriptors.
fn descriptors_max() -> u64 {
    let limits = runtime::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    soft_limit(&limits).unwrap_or(0)
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(soft_limit(text), expected, "{text}");
        check(
            "Max cpu time  unlimited\nMax open files            1024                 524288               files",
            Some(1024),
        );
        check("Max open files            unlimited  unlimited  files", None);
        check("", None);
    }
}
