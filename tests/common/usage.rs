//! What processes use of the machine; nothing where that is not easily known.
#![allow(dead_code, unreachable_pub)] // every test file uses another part of it

use std::fmt::Display;
use std::fs;
use std::time::Duration;

/// Bytes of memory this process has in use.
pub fn resident() -> usize {
    resident_of("self")
}

/// Bytes of memory a process has in use.
pub fn resident_of(process: impl Display) -> usize {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// How many descriptors this process has open.
pub fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The time of a processor that the threads of this process have used so far.
pub fn processor_time() -> Duration {
    processor_time_of("self")
}

/// The time of a processor that the threads of a process have used so far.
pub fn processor_time_of(process: impl Display) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: u64 = behind_name.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// How often the calling thread has gone to sleep so far.
pub fn naps() -> usize {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let naps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    naps.map_or(0, |naps| naps.trim().parse().expect("a number"))
}
