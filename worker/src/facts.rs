//! What this node has: cores, memory, its kernel.

use std::path::Path;

use rushes_shared::node::{EncoderFact, NodeFacts};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::WireVersion;

use crate::settings::{Settings, mib};

/// What task processes found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// Encoders, working or not.
    pub encoders: Vec<EncoderFact>,
    /// What contains task processes.
    pub sandbox: String,
}

/// All facts of this node under its settings.
#[must_use]
pub fn gather(settings: &Settings, name: &str, surveyed: Surveyed) -> NodeFacts {
    let cores = cores();
    let cpu = match settings.slots.cpu_millicores {
        0 => cores.saturating_mul(1000),
        set => set,
    };
    let memory = match settings.slots.memory_mib {
        0 => Bytes(memory().0 / 10 * 9),
        set => mib(set),
    };
    let light_slots = match settings.slots.light {
        0 => cores.saturating_mul(2),
        set => set,
    };
    NodeFacts {
        name: name.to_owned(),
        cpu: Millicores(cpu),
        memory,
        light_slots,
        encoders: surveyed.encoders,
        tags: settings.tags.clone(),
        version: rushes_shared::build::info().version.to_owned(),
        platform: platform(),
        sandbox: surveyed.sandbox,
        is_local: false,
        wire: WireVersion::newest(),
    }
}

/// Cores that this process may run on, by its affinity and control group.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()).unwrap_or(1)
}

/// Memory of the machine, or of the control group where that is less.
#[must_use]
pub fn memory() -> Bytes {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(Path::new("/sys/fs/cgroup"), line));
    Bytes(limits.chain(machine).min().unwrap_or(1 << 30))
}

/// The memory limit of one line of `/proc/self/cgroup`, over the group and those above it.
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
    let (base, file) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        "memory" => (root.join("memory"), "memory.limit_in_bytes"),
        _ => return None,
    };
    let own = base.join(path);
    let up = own.ancestors().take_while(|dir| dir.starts_with(&base));
    // Version 1 writes "no limit" as a number near 2^63, which is never the smallest.
    up.filter_map(|dir| std::fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()).min()
}

/// Kernel and architecture.
#[must_use]
pub fn platform() -> String {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let numbers: Vec<&str> = release.split('.').take(2).collect();
    let system = uname.sysname().to_string_lossy().to_lowercase();
    format!("{system} {} {}", numbers.join("."), uname.machine().to_string_lossy())
}

/// The machine's own name.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_a_control_group_and_its_parents_counts() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let deep = root.path().join("a/b");
        std::fs::create_dir_all(&deep).expect("made");
        std::fs::write(root.path().join("a/memory.max"), "4096\n").expect("written");
        std::fs::write(deep.join("memory.max"), "max\n").expect("written");
        assert_eq!(group_limit(root.path(), "0::/a/b"), Some(4096));
        assert_eq!(group_limit(root.path(), "0::/"), None);
        assert_eq!(group_limit(root.path(), "4:cpu,cpuacct:/a"), None);
    }

    #[test]
    fn this_machine_has_cores_memory_and_a_name() {
        assert!(cores() >= 1 && memory() >= Bytes(64 << 20));
        assert!(platform().starts_with("linux ") && !host_name().is_empty());
    }
}
