//! Programs that run to their end, with what they took.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// What something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// On the wall's clock.
    pub wall: Duration,
    /// Of all cores together, user and system.
    pub cpu: Duration,
}

impl std::ops::Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

/// Runs a program and waits for it. The CPU time is that of the process and of all that it waited for.
///
/// # Errors
/// Where it cannot be started, or fails: with the end of what it wrote.
pub fn run(command: &mut Command) -> Result<Spent> {
    let name = command.get_program().to_string_lossy().into_owned();
    let before = cpu_of(UsageWho::RUSAGE_CHILDREN)?;
    let began = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    let wall = began.elapsed();
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, tail(&output.stderr));
    }
    Ok(Spent { wall, cpu: cpu_of(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before) })
}

/// Does something in this process; the CPU time is that of all its threads.
///
/// # Errors
/// What it fails with.
pub fn within<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
    let before = cpu_of(UsageWho::RUSAGE_SELF)?;
    let began = Instant::now();
    let value = work()?;
    let spent = Spent { wall: began.elapsed(), cpu: cpu_of(UsageWho::RUSAGE_SELF)?.saturating_sub(before) };
    Ok((value, spent))
}

/// What a program writes to standard output.
///
/// # Errors
/// Where it cannot be started, or fails: with the end of what it wrote.
pub fn answer(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, tail(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu_of(who: UsageWho) -> Result<Duration> {
    let usage: Usage = getrusage(who).context("read the CPU time")?;
    let time = |value: TimeVal| {
        let micros = value.tv_sec().saturating_mul(1_000_000).saturating_add(value.tv_usec());
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

fn tail(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
