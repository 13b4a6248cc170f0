//! What a process has used, read from `/proc` while it lives or waits to be reaped.

use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;

/// Use of a process so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// User and system time of all threads, in milliseconds.
    pub cpu_ms: u64,
    /// Peak resident memory, in bytes. 0 once the process has ended.
    pub max_rss_bytes: u64,
}

impl ProcessUsage {
    /// The larger of both in each figure, as neither ever falls.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms.max(other.cpu_ms),
            max_rss_bytes: self.max_rss_bytes.max(other.max_rss_bytes),
        }
    }
}

/// Reads what a process has used; zeros where it is gone.
#[must_use]
pub fn of(pid: Pid) -> ProcessUsage {
    let ticks = stat_field(pid, 14).unwrap_or(0) + stat_field(pid, 15).unwrap_or(0);
    let peak = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        })
        .unwrap_or(0);
    ProcessUsage { cpu_ms: ticks * 1000 / clock_ticks_per_second().max(1), max_rss_bytes: peak * 1024 }
}

/// When a process started, in clock ticks since boot: with its id it names a process for good.
#[must_use]
pub fn start_time(pid: Pid) -> Option<u64> {
    stat_field(pid, 22)
}

/// A field of `/proc/PID/stat`, counted from 1 as in proc(5).
fn stat_field(pid: Pid, number: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_start_and_uses_memory() {
        let me = rustix::process::getpid();
        assert!(of(me).max_rss_bytes > 1 << 20);
        assert!(start_time(me).is_some_and(|t| t > 0));
    }
}
