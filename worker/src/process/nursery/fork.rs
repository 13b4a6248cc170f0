//! The system calls of the nursery that have no safe form.
#![expect(unsafe_code, reason = "fork, wait4, madvise and _exit; each use says why it is sound")]

use std::io;
use std::ops::Range;

use rustix::process::Pid;

use crate::process::usage;

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The new one.
    Child,
    /// The one that forked.
    Parent(Pid),
}

/// Splits this process in two.
///
/// # Errors
/// The system's, or [`io::ErrorKind::Unsupported`] while this process has more than one thread.
pub(super) fn fork() -> io::Result<Side> {
    let threads = usage::own_threads()?;
    if threads != 1 {
        let reason = format!("{threads} threads run, only 1 may; a plugin starts threads when it is loaded");
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    // SAFETY: with a single thread no lock is held by another one, so everything may go on being used in the child.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(pid).expect("fork returns a positive process id"))),
    }
}

/// Leaves a range of this process's memory out of the children that it forks from here on.
///
/// # Errors
/// The system's.
pub(super) fn keep_from_children(range: &Range<usize>) -> io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: nothing changes for this process; a child that uses the range is ended by the kernel.
    match unsafe { libc::madvise(start, range.len(), libc::MADV_DONTFORK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once, without a look back at libraries that may not be there.
pub(in crate::process) fn leave(code: i32) -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::_exit(code) }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reaped {
    /// As `wait` reports it.
    pub(super) status: i32,
    /// User and system time, in microseconds.
    pub(super) cpu_us: u64,
    /// Peak resident memory, in bytes.
    pub(super) max_rss_bytes: u64,
}

/// Reaps a child that has ended; `None` while it runs.
///
/// # Errors
/// The system's, where it is no child of this process.
pub(super) fn reap(pid: Pid) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    // SAFETY: all fields of `rusage` are integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live, writable values of the right types.
    let found =
        unsafe { libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, libc::WNOHANG, &raw mut usage) };
    if found == -1 {
        return Err(io::Error::last_os_error());
    }
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    let reaped = Reaped {
        status,
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    };
    Ok((found != 0).then_some(reaped))
}
