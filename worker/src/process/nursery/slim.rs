//! What a nursery that has loaded nothing leaves out of its children: the media library's files.
//!
//! The worker is one program and is linked with the library, so the system maps that and all that it needs, two dozen files
//! in more than a hundred pieces, before the first line runs. Nothing of it is ever called in a task process without media, but
//! to copy the map and to take it down again is most of what a short process costs. So these pieces stay behind in a fork.
//!
//! What such a child may not do: end by way of the C library, which would call every library's last words (it ends by
//! [`leave`](super::fork::leave)), start a thread, for which the C library looks into every file with thread-local data, or
//! use media. The program's own calls are bound when it is loaded, so nothing is looked up in those files.

use std::io;
use std::ops::Range;

use super::fork;

/// How the names of the library's files begin, and of those that it brings along. One that is not listed is copied as
/// before, so that whatever an operator has loaded into every process of a machine stays there.
const LEFT_OUT: &[&str] = &[
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

/// Leaves the media library out of the children from here on.
///
/// # Errors
/// The system's.
pub(super) fn leave_media_out() -> io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    maps.lines().filter_map(left_out).try_for_each(|range| fork::keep_from_children(&range))
}

/// The range of a line of proc_pid_maps(5), where it is of a file that is left out.
fn left_out(line: &str) -> Option<Range<usize>> {
    let (range, rest) = line.split_once(' ')?;
    let path = rest.find('/').map(|at| &rest[at..])?;
    let (_, name) = path.rsplit_once('/')?;
    let is_library = name.contains(".so") && LEFT_OUT.iter().any(|begin| name.starts_with(begin));
    let (start, end) = range.split_once('-').filter(|_| is_library)?;
    let number = |hex| usize::from_str_radix(hex, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_media_library_are_left_out() {
        let line = |path: &str| format!("7f10-7f30 r-xp 00001000 08:01 1835 {path}");
        for path in ["/usr/lib/x86_64-linux-gnu/libgstreamer-1.0.so.0.2200.0", "/lib/libz.so.1 (deleted)"] {
            assert_eq!(left_out(&line(path)), Some(0x7f10..0x7f30), "{path}");
        }
        for path in ["/lib/libc.so.6", "/opt/libguard.so", "/opt/libgst/rushes-worker", "[heap]", ""] {
            assert_eq!(left_out(&line(path)), None, "{path}");
        }
    }
}
