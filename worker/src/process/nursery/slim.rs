//! What a nursery that loads nothing gets rid of: the media library's files.
//!
//! The worker is one program and is linked with the library, so the system maps that and all that it needs, two dozen files
//! in a hundred pieces, before the first line runs. Nothing of it is ever called in a nursery without media or in its task
//! processes, but to copy the map and to take it down again is most of what a short process costs. (To have them left out
//! of the copy alone, by `MADV_DONTFORK`, costs as much again: the kernel takes them out of each copy one by one.)
//!
//! What a process may not do without these files: end by way of the C library, which would call every library's last words
//! (it ends by [`leave`]), start a thread, for which the C library looks into every file with thread-local data, or use
//! media. The program's own calls are bound when it is loaded, so nothing is looked up in those files. Whether this
//! system's libraries ask for more, such as to be told of a fork, shows in a copy of the nursery that goes first.
#![expect(unsafe_code, reason = "munmap; its use says why it is sound")]

use std::io;
use std::ops::Range;

use rustix::process::{WaitOptions, waitpid};

use super::fork::{self, Side, fork, leave};

/// How the names of the library's files begin, and of those that it brings along. One that is not listed stays, so that
/// whatever an operator has loaded into every process of a machine does.
const LET_GO: &[&str] = &[
    "libgst",
    "libgio-2",
    "libglib-2",
    "libgmodule-2",
    "libgobject-2",
    "liborc-",
    "libunwind.",
    "libdw.",
    "libelf.",
    "libffi.",
    "libpcre2-",
    "libmount.",
    "libblkid.",
    "libselinux.",
    "libbz2.",
    "liblzma.",
    "libz.",
    "libzstd.",
];

/// Takes the media library's files out of this process, if it can still fork without them. It has to [`leave`] then.
///
/// # Errors
/// The system's.
pub(super) fn let_media_go() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let ranges: Vec<_> = maps.lines().filter_map(in_media).collect();
    if tried_out(&ranges)? { let_go(&ranges) } else { Ok(()) }
}

/// Whether a copy of this process that lets them go can fork and end.
fn tried_out(ranges: &[Range<usize>]) -> io::Result<bool> {
    match fork()? {
        Side::Child => {
            let went_well = let_go(ranges).is_ok()
                && match fork() {
                    Ok(Side::Child) => leave(0),
                    Ok(Side::Parent(child)) => ended_well(child).unwrap_or(false),
                    Err(_) => false,
                };
            leave(i32::from(!went_well))
        }
        Side::Parent(child) => ended_well(child),
    }
}

fn ended_well(child: rustix::process::Pid) -> io::Result<bool> {
    Ok(waitpid(Some(child), WaitOptions::empty())?.is_some_and(|(_, status)| status.exit_status() == Some(0)))
}

fn let_go(ranges: &[Range<usize>]) -> io::Result<()> {
    // SAFETY: all of it is files of the media library, which this process does not call, and those of the libraries
    // that are there for it alone.
    ranges.iter().try_for_each(|range| unsafe { fork::unmap(range) })
}

/// The range of a line of proc_pid_maps(5), where it is of a file of the media library.
fn in_media(line: &str) -> Option<Range<usize>> {
    let (range, rest) = line.split_once(' ')?;
    let path = rest.find('/').map(|at| &rest[at..])?;
    let (_, name) = path.rsplit_once('/')?;
    let is_media = name.contains(".so") && LET_GO.iter().any(|begin| name.starts_with(begin));
    let (start, end) = range.split_once('-').filter(|_| is_media)?;
    let number = |hex| usize::from_str_radix(hex, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_media_library_are_let_go() {
        let line = |path: &str| format!("7f10-7f30 r-xp 00001000 08:01 1835 {path}");
        for path in ["/usr/lib/x86_64-linux-gnu/libgstreamer-1.0.so.0.2200.0", "/lib/libz.so.1 (deleted)"] {
            assert_eq!(in_media(&line(path)), Some(0x7f10..0x7f30), "{path}");
        }
        for path in ["/lib/libc.so.6", "/opt/libguard.so", "/opt/libgst/rushes-worker", "[heap]", ""] {
            assert_eq!(in_media(&line(path)), None, "{path}");
        }
    }
}
