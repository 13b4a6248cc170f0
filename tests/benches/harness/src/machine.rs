//! The hardware and the programs that figures belong to.

use std::fmt;
use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine as it was when a suite began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Kernel and architecture.
    pub kernel: String,
    /// Runnable processes over 1, 5 and 15 minutes. Above 0.5 something else was running.
    pub load_average: String,
    /// This build.
    pub build: String,
    /// Whether the code under test is optimised. Figures of other builds say nothing.
    pub is_optimised: bool,
}

impl Machine {
    /// Reads it.
    #[must_use]
    pub fn read() -> Self {
        let field = |file: &str, key: &str| -> Option<String> {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory_kib = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split(' ').next().and_then(|n| n.parse::<u64>().ok()))
            .unwrap_or_default();
        let one_line = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let load = one_line("/proc/loadavg");
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib / 1024,
            kernel: format!("Linux {} {}", one_line("/proc/sys/kernel/osrelease"), std::env::consts::ARCH),
            load_average: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            build: rushes_shared::build::long_version().lines().map(str::trim).collect::<Vec<_>>().join(", "),
            is_optimised: !cfg!(debug_assertions),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_mib, kernel, load_average, build, is_optimised } = self;
        let gib = *memory_mib as f64 / 1024.0;
        write!(
            f,
            "{cpu}, {cores} cores, {gib:.1} GiB, {kernel}; load average {load_average}; build {build}"
        )?;
        if !is_optimised {
            f.write_str("; NOT OPTIMISED, figures say nothing")?;
        }
        Ok(())
    }
}

/// Whether a program can be found.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join(program).is_file())
}

/// The first line that a program says of its version; `None` where it is not installed.
#[must_use]
pub fn version_of(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    Some(line.split(" Copyright").next().unwrap_or_default().trim().to_owned())
}
