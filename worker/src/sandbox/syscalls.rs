//! The system calls that a task process may not make.
//!
//! A list of what is forbidden rather than of what is allowed: codecs, drivers and the C library use hundreds of
//! harmless calls that change with every release, and files are Landlock's business. What is listed reaches beyond the
//! process: the network, other processes, the kernel's own interfaces, and ways around the filter.

use std::collections::BTreeMap;

use rustix::process::getpid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::SandboxError;

/// Refused whatever their arguments are.
const FORBIDDEN: &[libc::c_long] = &[
    // The network. A socket pair has no address and stays allowed: main loops wake themselves with it.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Other programs and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setns,
    libc::SYS_unshare,
    // File systems, and files by handle instead of by path.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // The kernel's own interfaces, often its weakest ones.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// The same, on machines that have them.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[libc::c_long] = &[];

/// Numbers of the x32 variants of system calls have this bit; they would slip past a list of plain numbers.
#[cfg(target_arch = "x86_64")]
const ALIAS_BIT: i64 = 0x4000_0000;
#[cfg(not(target_arch = "x86_64"))]
const ALIAS_BIT: i64 = 0;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs the filters. They cannot be taken off.
pub(super) fn forbid() -> Result<(), SandboxError> {
    // The C library starts threads with clone3 and falls back to clone, whose flags a filter can see.
    let no_clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = program(no_clone3, libc::ENOSYS)?;
    let others = program(rules()?, libc::EPERM)?;
    seccompiler::apply_filter(&clone3)?;
    seccompiler::apply_filter(&others)?;
    Ok(())
}

fn program(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(seccompiler::Error::Backend)?;
    let mut all = rules.clone();
    if ALIAS_BIT != 0 {
        all.extend(rules.into_iter().map(|(number, rule)| (number | ALIAS_BIT, rule)));
    }
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    let filter =
        SeccompFilter::new(all, SeccompAction::Allow, errno, arch).map_err(seccompiler::Error::Backend)?;
    filter.try_into().map_err(seccompiler::Error::Backend)
}

fn rules() -> Result<Rules, seccompiler::Error> {
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    let not = |index, value| condition(index, SeccompCmpOp::Ne, value);
    let mut rules: Rules =
        FORBIDDEN.iter().chain(FORBIDDEN_HERE).map(|number| (*number, Vec::new())).collect();
    // Threads yes, processes no.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![all_of(vec![condition(0, SeccompCmpOp::MaskedEq(thread), 0)?])?]);
    // Signals to itself: abort() and the watcher of the control pipe need them.
    rules.insert(libc::SYS_kill, vec![all_of(vec![not(0, own)?])?]);
    rules.insert(libc::SYS_tgkill, vec![all_of(vec![not(0, own)?])?]);
    // Limits of itself may be read.
    rules.insert(libc::SYS_prlimit64, vec![all_of(vec![not(0, own)?, not(0, 0)?])?]);
    // Typing into the operator's terminal.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| condition(1, SeccompCmpOp::Eq, request));
    let typing: Result<Vec<_>, _> = typing.into_iter().map(|c| all_of(vec![c?])).collect();
    rules.insert(libc::SYS_ioctl, typing?);
    Ok(rules)
}

fn condition(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::Error> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value).map_err(seccompiler::Error::Backend)
}

fn all_of(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, seccompiler::Error> {
    SeccompRule::new(conditions).map_err(seccompiler::Error::Backend)
}
