//! What a process has used and when it was born, read from `/proc` while it lives or waits to be reaped.

use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

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

/// The same clock's time now.
#[must_use]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    // A tick is a whole number of nanoseconds in every kernel.
    let tick = 1_000_000_000 / clock_ticks_per_second().max(1);
    seconds * clock_ticks_per_second() + nanos / tick
}

/// How many threads this process has.
///
/// # Errors
/// Where `/proc` cannot be read.
pub fn own_threads() -> io::Result<u64> {
    const TASKS: &str = "/proc/self/task";
    // The kernel counts them in the links of the directory, which is a fraction of the work of listing it.
    match std::fs::metadata(TASKS)?.nlink() {
        links @ 3.. => Ok(links - 2),
        _ => Ok(std::fs::read_dir(TASKS)?.count() as u64),
    }
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
    fn threads_are_counted() {
        let listed = || std::fs::read_dir("/proc/self/task").expect("it is there").count() as u64;
        let (wait, held) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            tell.send(()).expect("the test listens");
            let _ = held.recv();
        });
        told.recv().expect("the other thread runs");
        // Other tests of this process begin and end threads of their own meanwhile.
        let same = (0..10_000).any(|_| {
            let (before, counted, after) = (listed(), own_threads().expect("it is counted"), listed());
            before == counted && counted == after && counted >= 2
        });
        assert!(same, "the count is not what is listed");
        drop(wait);
        other.join().expect("it ends");
    }

    #[test]
    fn this_process_has_a_start_and_uses_memory() {
        let me = rustix::process::getpid();
        assert!(of(me).max_rss_bytes > 1 << 20);
        assert!(start_time(me).is_some_and(|born| (1..=now()).contains(&born)));
    }
}
