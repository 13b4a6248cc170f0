//! The walls of a task process: what it gives up before it parses a byte of media.
//!
//! Everything is given up by the process itself, while it still has one thread, because the kernel applies these
//! limits to the calling thread and to what it starts later:
//!
//! - resource limits on CPU time, address space, file size, open files; no core file;
//! - no capabilities, no new privileges;
//! - Landlock: reads of system libraries and its own input, writes in its own directory, nothing else; where the kernel
//!   knows more, also no TCP, no abstract sockets, no signals to others;
//! - seccomp: no sockets, no other programs or processes, no mounts, tracing, key rings, BPF, `io_uring`.
//!
//! The wall-clock limits are the worker's, who can kill.

mod syscalls;

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::task::TaskLimits;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::process::protocol::Walls;
use crate::process::usage;

/// The newest Landlock whose rights are asked for; an older kernel enforces what it knows.
const NEWEST_ABI: ABI = ABI::V7;
/// Open files of a task process.
const OPEN_FILES: u64 = 1024;

/// Walls that could not be put up. The process must not go on.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel limits threads, and other threads would stay free.
    #[error(
        "{0} threads run before the sandbox is entered, only 1 may; a plugin starts threads when it is loaded"
    )]
    Threads(u64),
    /// Landlock is required and missing.
    #[error("this kernel has no Landlock ({0})")]
    NoLandlock(&'static str),
    /// Landlock refused its rules.
    #[error("Landlock refused its rules: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// Seccomp refused its filter.
    #[error("seccomp refused its filter: {0}")]
    Seccomp(#[from] seccompiler::Error),
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl SandboxError {
    /// The task's failure: this node is unfit, another may do.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let advice = match self {
            Self::NoLandlock(_) => {
                "use a kernel with Landlock (5.13 or newer, lsm=landlock), or set sandbox.require = false in worker.toml on a machine where all media is trusted"
            }
            _ => "look at the worker's log; this task is tried on another node",
        };
        Failure::new(FailureCode::NodeUnfit, format!("the task's sandbox cannot be entered: {self}"), advice)
    }
}

fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> SandboxError {
    move |e| SandboxError::System { what, source: e.into() }
}

/// Puts up the walls for good and makes the job's directory the current one. Returns what they are made of.
///
/// # Errors
/// [`SandboxError`]; the process may then be half contained and must end.
pub fn enter(walls: &Walls) -> Result<String, SandboxError> {
    let threads = usage::own_threads().map_err(system("/proc/self/task"))?;
    if threads != 1 {
        return Err(SandboxError::Threads(threads));
    }
    std::env::set_current_dir(&walls.work_dir).map_err(system("the job's directory"))?;
    limit(&walls.limits)?;
    rustix::thread::set_no_new_privs(true).map_err(system("no_new_privs"))?;
    drop_capabilities()?;
    let landlock = restrict_files(walls)?;
    syscalls::forbid()?;
    Ok(format!("{landlock} seccomp rlimits no-capabilities"))
}

fn limit(limits: &TaskLimits) -> Result<(), SandboxError> {
    let set = |resource, soft: u64, hard: u64| {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })
            .map_err(system("a resource limit"))
    };
    set(Resource::Core, 0, 0)?;
    // A limit of 0 in an order means none; everything else about it is up to who wrote the order.
    if limits.cpu_s > 0 {
        set(Resource::Cpu, limits.cpu_s, limits.cpu_s.saturating_add(1))?;
    }
    if limits.address_space.0 > 0 {
        set(Resource::As, limits.address_space.0, limits.address_space.0)?;
    }
    if limits.file_size.0 > 0 {
        set(Resource::Fsize, limits.file_size.0, limits.file_size.0)?;
    }
    let ceiling = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    set(Resource::Nofile, ceiling, ceiling)
}

fn drop_capabilities() -> Result<(), SandboxError> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(system("dropping capabilities"))
}

fn restrict_files(walls: &Walls) -> Result<String, SandboxError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Not among them: running programs, and making links to elsewhere, devices, sockets or pipes. The worker opens what
    // is left in the job's directory, and none of these is what it should find there.
    let special = AccessFs::MakeSym
        | AccessFs::MakeBlock
        | AccessFs::MakeChar
        | AccessFs::MakeSock
        | AccessFs::MakeFifo;
    let write = AccessFs::from_all(NEWEST_ABI) & !(special | AccessFs::Execute);
    let work_dir: [&Path; 1] = [&walls.work_dir];
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST_ABI))?
        .handle_access(AccessNet::from_all(NEWEST_ABI))?
        .scope(Scope::from_all(NEWEST_ABI))?
        .create()?
        .add_rules(path_beneath_rules(&walls.read, read))?
        .add_rules(path_beneath_rules(&walls.write, write))?
        .add_rules(path_beneath_rules(work_dir, write))?
        .restrict_self()?;
    let missing = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            return Ok(format!("landlock-v{}", effective_abi as u8));
        }
        LandlockStatus::NotImplemented => "it is not built in",
        _ => "it is not enabled at boot",
    };
    if walls.require_landlock { Err(SandboxError::NoLandlock(missing)) } else { Ok("no-landlock".to_owned()) }
}
