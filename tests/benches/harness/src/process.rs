//! CPU time and memory of a running process, as the kernel counts them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// CPU time so far, all threads, user and system. In hundredths of a second on most kernels.
///
/// # Errors
/// Where the process is gone.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The name in parentheses may hold anything; what counts comes behind it: fields 14 and 15 of the line.
    let behind = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<&str> = behind.split(' ').collect();
    let ticks = |at: usize| -> Result<u64> {
        fields.get(at).and_then(|text| text.parse().ok()).with_context(|| format!("{path} has no field {at}"))
    };
    let per_second =
        sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or(100);
    Ok(Duration::from_micros((ticks(11)? + ticks(12)?) * 1_000_000 / per_second.max(1)))
}

/// Resident memory now, in MiB.
///
/// # Errors
/// Where the process is gone.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    Ok(kib.with_context(|| format!("{path} has no VmRSS"))? / 1024.0)
}
