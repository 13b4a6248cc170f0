//! The system calls that a task process may not make.
//!
//! A list of what is forbidden rather than of what is allowed: codecs, drivers and the C library use hundreds of
//! harmless calls that change with every release, and files are Landlock's business. What is listed reaches beyond the
//! process: the network, other processes, the kernel's own interfaces, and ways around the filter.

mod filter;

use rustix::process::getpid;

use super::SandboxError;
use filter::{Check, Verdict};

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

/// Installs the filter. It cannot be taken off.
pub(super) fn forbid() -> Result<(), SandboxError> {
    let own = getpid().as_raw_nonzero().get().unsigned_abs();
    Ok(seccompiler::apply_filter(&filter::program(&verdicts(own)))?)
}

/// What becomes of the system calls that are not simply allowed.
fn verdicts(own_pid: u32) -> Vec<(libc::c_long, Verdict)> {
    let refused =
        FORBIDDEN.iter().chain(FORBIDDEN_HERE).map(|number| (*number, Verdict::Refuse(libc::EPERM)));
    let thread = libc::CLONE_THREAD.unsigned_abs();
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| u32::try_from(request).unwrap_or(u32::MAX));
    refused
        .chain([
            // The C library starts threads with clone3 and falls back to clone, whose flags a filter can see.
            (libc::SYS_clone3, Verdict::Refuse(libc::ENOSYS)),
            // Threads yes, processes no.
            (
                libc::SYS_clone,
                Verdict::Check(Check { argument: 0, allowed: filter::Allowed::WithBits(thread) }),
            ),
            // Signals to itself: abort() and the watcher of the control pipe need them.
            (libc::SYS_kill, only(0, vec![own_pid])),
            (libc::SYS_tgkill, only(0, vec![own_pid])),
            // Limits of itself may be read.
            (libc::SYS_prlimit64, only(0, vec![own_pid, 0])),
            // Typing into the operator's terminal.
            (
                libc::SYS_ioctl,
                Verdict::Check(Check { argument: 1, allowed: filter::Allowed::AllBut(typing.to_vec()) }),
            ),
        ])
        .collect()
}

fn only(argument: u32, values: Vec<u32>) -> Verdict {
    Verdict::Check(Check { argument, allowed: filter::Allowed::Only(values) })
}
