//! What the end of a task process means: an ordinary failure of its attempt, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::task::TaskLimits;
use rushes_shared::units::Bytes;

use super::protocol::LocalResult;
use super::usage::ProcessUsage;

/// How a task process ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once per attempt")]
pub enum End {
    /// It answered.
    Answered(LocalResult),
    /// It ended or broke the protocol before it answered.
    Died(ExitStatus),
    /// It was killed because it had not moved for this long.
    Stalled(Duration),
    /// It was killed at the attempt's wall limit.
    OutOfTime,
    /// It was killed because it held more memory than this.
    OutOfMemory(Bytes),
    /// It was killed because somebody no longer wants it.
    Stopped,
}

/// The failure of an attempt whose process died. `log` is the tail of its standard error.
#[must_use]
pub fn death(status: ExitStatus, usage: ProcessUsage, limits: &TaskLimits, log: &str) -> Failure {
    let limit = |message: String, advice: &str| {
        // The same work reaches the same limit again; a retry only makes sense where the limit was a neighbour's doing.
        Failure::new(FailureCode::LimitReached, message, advice)
            .with_class(FailureClass::Permanent)
            .with_detail(log)
    };
    let signal = status.signal();
    let cpu_spent = limits.cpu_s > 0 && usage.cpu_ms + 1000 >= limits.cpu_s.saturating_mul(1000);
    if signal == Some(libc::SIGXCPU) || (signal == Some(libc::SIGKILL) && cpu_spent) {
        return limit(
            format!("the task used up its {} s of CPU time", limits.cpu_s),
            "raise the limit on CPU time, or use a faster preset or a smaller picture",
        );
    }
    if signal == Some(libc::SIGXFSZ) {
        return limit(
            format!("the output grew past its limit of {}", limits.file_size),
            "raise the limit on file size, or use a higher rate factor",
        );
    }
    if is_out_of_memory(log) {
        return limit(
            format!("the task needed more than its {} of address space", limits.address_space),
            "raise the limit on address space, or use a smaller picture",
        );
    }
    let what = match (signal, status.code()) {
        (Some(number), _) => format!("was killed by {}", signal_name(number)),
        (None, Some(code)) => format!("ended early with exit code {code}"),
        (None, None) => "ended early".to_owned(),
    };
    let advice = match signal {
        Some(libc::SIGKILL) => {
            "somebody or the kernel's out-of-memory killer ended it; the task is tried again, look at the node's memory if it recurs"
        }
        Some(libc::SIGSYS) => {
            "it made a system call that its sandbox forbids; please report this with the input"
        }
        _ => {
            "the task is tried again; if it recurs with this input, the input crashes a decoder: please report it"
        }
    };
    Failure::new(FailureCode::ProcessDied, format!("the task process {what}"), advice).with_detail(log)
}

/// The failure of an attempt that did not move.
#[must_use]
pub fn stall(after: Duration, log: &str) -> Failure {
    Failure::new(
        FailureCode::ProcessStalled,
        format!("the task process made no progress for {} s and was killed", after.as_secs_f64().round()),
        "the task is tried again; if it recurs with this input, raise the stall limit or report the input",
    )
    .with_detail(log)
}

/// The failure of an attempt that held more memory than it may.
#[must_use]
pub fn out_of_memory(most: Bytes, asked: Bytes, log: &str) -> Failure {
    Failure::new(
        FailureCode::LimitReached,
        format!("the task held more than {most} of memory, though it had asked for {asked}"),
        "use a smaller picture, or raise sandbox.memory_percent in the worker's settings",
    )
    .with_class(FailureClass::Permanent)
    .with_detail(log)
}

/// The failure of an attempt that took too long.
#[must_use]
pub fn out_of_time(limits: &TaskLimits, log: &str) -> Failure {
    Failure::new(
        FailureCode::LimitReached,
        format!("the attempt took longer than its limit of {} s", limits.wall_ms / 1000),
        "raise the limit on wall time, or use a faster preset, a smaller picture or a less busy node",
    )
    .with_class(FailureClass::Permanent)
    .with_detail(log)
}

/// What allocators print before they abort: Rust's, GLib's, the C++ library's.
fn is_out_of_memory(log: &str) -> bool {
    let tail: Vec<&str> = log.lines().rev().take(5).collect();
    ["memory allocation of ", "failed to allocate ", "std::bad_alloc", "Cannot allocate memory"]
        .iter()
        .any(|phrase| tail.iter().any(|line| line.contains(phrase)))
}

fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGABRT => "SIGABRT (it aborted)",
        libc::SIGBUS => "SIGBUS (bad memory access)",
        libc::SIGFPE => "SIGFPE (bad arithmetic)",
        libc::SIGILL => "SIGILL (illegal instruction)",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV (bad memory access)",
        libc::SIGSYS => "SIGSYS (forbidden system call)",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP (it aborted)",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {

    use super::*;

    fn check(raw_status: i32, cpu_ms: u64, log: &str, expect: FailureCode, words: &str) {
        let limits = TaskLimits {
            wall_ms: 9000,
            cpu_s: 10,
            address_space: Bytes(1 << 30),
            file_size: Bytes(1 << 20),
            stall_ms: 1000,
        };
        let usage = ProcessUsage { cpu_ms, max_rss_bytes: 0 };
        let failure = death(ExitStatus::from_raw(raw_status), usage, &limits, log);
        assert_eq!(failure.code, expect, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!(failure.detail, log);
    }

    #[test]
    fn every_end_has_its_code_and_words() {
        use FailureCode::{LimitReached, ProcessDied};
        check(libc::SIGXCPU, 10_000, "", LimitReached, "10 s of CPU");
        check(libc::SIGKILL, 10_900, "", LimitReached, "10 s of CPU");
        check(libc::SIGKILL, 500, "", ProcessDied, "SIGKILL");
        check(libc::SIGXFSZ, 0, "", LimitReached, "1.0 MiB");
        check(libc::SIGABRT, 0, "x\nmemory allocation of 99 bytes failed", LimitReached, "address space");
        check(libc::SIGSEGV, 0, "boom", ProcessDied, "SIGSEGV");
        check(3 << 8, 0, "", ProcessDied, "exit code 3");
    }
}
