//! Stands in front of the C library's file calls, in this process only: does each call and writes it into the log.
//!
//! The linker prefers the program's own symbols to those of a shared library, so the standard library and sled call
//! these. Syncs are noted and not done: what they would do to a real disk does not matter to the model.
#![expect(
    unsafe_code,
    reason = "defines functions of the C library, which sled and the standard library call"
)]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::{c_char, c_int, c_uint, c_void, iovec, mode_t, off64_t, size_t, ssize_t};
use rushes_powercut::oplog::{Kind, Note, Object, Op};

struct Shim {
    root: String,
    log: c_int,
    /// Whether `fdatasync` does nothing at all, to see that the test notices.
    deaf: bool,
    names: BTreeMap<String, Object>,
    descriptors: BTreeMap<c_int, String>,
    objects: BTreeMap<c_int, Object>,
    next: Object,
    syncs: u32,
}

static SHIM: OnceLock<Mutex<Shim>> = OnceLock::new();

fn shim() -> Option<MutexGuard<'static, Shim>> {
    SHIM.get().map(|shim| shim.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Watches everything below `root` from here on, and writes the log into this descriptor.
pub(crate) fn watch(root: &str, log: c_int, deaf: bool) {
    let shim = Shim {
        root: root.to_owned(),
        log,
        deaf,
        names: BTreeMap::new(),
        descriptors: BTreeMap::new(),
        objects: BTreeMap::new(),
        next: 1,
        syncs: 0,
    };
    let _first = SHIM.set(Mutex::new(shim));
}

/// Writes what the process tells the outside.
pub(crate) fn note(note: Note) {
    if let Some(shim) = shim() {
        shim.log(&Op::Note(note));
    }
}

impl Shim {
    fn log(&self, op: &Op) {
        let bytes = op.to_bytes();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // SAFETY: a plain write of a live buffer.
            let wrote = unsafe { libc::syscall(libc::SYS_write, self.log, rest.as_ptr(), rest.len()) };
            match usize::try_from(wrote) {
                Ok(wrote) if wrote > 0 => rest = &rest[wrote..],
                _ => std::process::abort(),
            }
        }
    }

    /// The path below the root, if it is there.
    fn inside(&self, path: &str) -> Option<String> {
        let below = path.strip_prefix(&self.root)?;
        let below = below.trim_end_matches("/.").trim_matches('/');
        Some(below.replace("//", "/"))
    }

    fn define(&mut self, path: &str, kind: Kind) -> Object {
        let object = self.next;
        self.next += 1;
        self.names.insert(path.to_owned(), object);
        self.log(&Op::Define { object, path: path.to_owned(), kind });
        object
    }

    fn opened(&mut self, descriptor: c_int, path: &str, existed: bool, flags: c_int) {
        let object = match self.names.get(path) {
            Some(object) if existed => *object,
            _ => self.define(path, if existed { Kind::There } else { Kind::File }),
        };
        if existed && flags & libc::O_TRUNC != 0 {
            self.log(&Op::Truncate { object, length: 0 });
        }
        self.objects.insert(descriptor, object);
        self.descriptors.insert(descriptor, path.to_owned());
    }

    /// A path relative to an open directory.
    fn at(&self, directory: c_int, path: &str) -> Option<String> {
        if path.starts_with('/') || directory == libc::AT_FDCWD {
            return self.inside(path);
        }
        let parent = self.descriptors.get(&directory)?;
        Some(if parent.is_empty() { path.to_owned() } else { format!("{parent}/{path}") })
    }
}

fn text(path: *const c_char) -> String {
    // SAFETY: the caller of a C function passes a string that ends in a zero.
    unsafe { CStr::from_ptr(path) }.to_string_lossy().into_owned()
}

fn exists(directory: c_int, path: *const c_char) -> bool {
    // SAFETY: passes the caller's string on.
    unsafe { libc::syscall(libc::SYS_faccessat, directory, path, libc::F_OK) == 0 }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a system call that returns an int returns one in its range"
)]
fn int(result: i64) -> c_int {
    result as c_int
}

fn open_at(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let mut shim = shim();
    let inside = shim.as_ref().and_then(|shim| shim.at(directory, &text(path)));
    let existed = inside.is_some() && exists(directory, path);
    // SAFETY: passes the caller's arguments on.
    let descriptor = int(unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) });
    if let (Some(shim), Some(inside), true) = (shim.as_mut(), inside, descriptor >= 0) {
        shim.opened(descriptor, &inside, existed, flags);
    }
    descriptor
}

#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_at(libc::AT_FDCWD, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn openat64(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_at(directory, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn openat(directory: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_at(directory, path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn close(descriptor: c_int) -> c_int {
    let mut shim = shim();
    if let Some(shim) = shim.as_mut() {
        shim.objects.remove(&descriptor);
        shim.descriptors.remove(&descriptor);
    }
    // SAFETY: passes the caller's argument on.
    int(unsafe { libc::syscall(libc::SYS_close, descriptor) })
}

/// Does a write while the log is held, and notes it.
fn written(descriptor: c_int, at: Option<off64_t>, buffer: *const c_void, call: impl Fn() -> i64) -> ssize_t {
    let shim = shim();
    let Some((shim, object)) = shim.as_ref().and_then(|shim| Some((shim, *shim.objects.get(&descriptor)?)))
    else {
        return isize::try_from(call()).unwrap_or(-1);
    };
    let wrote = call();
    if let Ok(length) = usize::try_from(wrote)
        && length > 0
    {
        // SAFETY: asks for the position behind what was just written.
        let behind = || unsafe { libc::syscall(libc::SYS_lseek, descriptor, 0, libc::SEEK_CUR) };
        let offset = at.unwrap_or_else(|| behind() - wrote);
        // SAFETY: the kernel has just read this many bytes from there.
        let data = unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) }.to_vec();
        shim.log(&Op::Write { object, offset: offset.try_into().unwrap_or(0), data });
    }
    isize::try_from(wrote).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn write(descriptor: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: passes the caller's arguments on.
    written(descriptor, None, buffer, || unsafe { libc::syscall(libc::SYS_write, descriptor, buffer, count) })
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(descriptor: c_int, buffer: *const c_void, count: size_t, offset: off64_t) -> ssize_t {
    written(descriptor, Some(offset), buffer, || {
        // SAFETY: passes the caller's arguments on.
        unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, buffer, count, offset) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn pwrite(descriptor: c_int, buffer: *const c_void, count: size_t, offset: off64_t) -> ssize_t {
    pwrite64(descriptor, buffer, count, offset)
}

#[unsafe(no_mangle)]
extern "C" fn writev(descriptor: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let watched = shim().is_some_and(|shim| shim.objects.contains_key(&descriptor));
    if watched && count > 0 {
        // SAFETY: the caller's first part; writing less than was asked for is allowed.
        let first = unsafe { &*parts };
        return write(descriptor, first.iov_base, first.iov_len);
    }
    // SAFETY: passes the caller's arguments on.
    isize::try_from(unsafe { libc::syscall(libc::SYS_writev, descriptor, parts, count) }).unwrap_or(-1)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(descriptor: c_int, length: off64_t) -> c_int {
    let shim = shim();
    // SAFETY: passes the caller's arguments on.
    let done = int(unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) });
    if let (Some(shim), 0) = (shim.as_ref(), done)
        && let Some(object) = shim.objects.get(&descriptor)
    {
        shim.log(&Op::Truncate { object: *object, length: length.try_into().unwrap_or(0) });
    }
    done
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(descriptor: c_int, length: off64_t) -> c_int {
    ftruncate64(descriptor, length)
}

/// Notes that a sync began and ended, with room for other threads between.
fn synced(descriptor: c_int) -> bool {
    let begun = shim().and_then(|mut shim| {
        let object = *shim.objects.get(&descriptor)?;
        shim.syncs += 1;
        let sync = shim.syncs;
        shim.log(&Op::SyncBegin { sync, object });
        Some(sync)
    });
    let Some(sync) = begun else { return false };
    std::thread::yield_now();
    if let Some(shim) = shim() {
        shim.log(&Op::SyncEnd { sync });
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    if synced(descriptor) {
        return 0;
    }
    // SAFETY: passes the caller's argument on.
    int(unsafe { libc::syscall(libc::SYS_fsync, descriptor) })
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    let deaf = shim().is_some_and(|shim| shim.deaf && shim.objects.contains_key(&descriptor));
    if deaf || synced(descriptor) {
        return 0;
    }
    // SAFETY: passes the caller's argument on.
    int(unsafe { libc::syscall(libc::SYS_fdatasync, descriptor) })
}

/// Makes nothing durable: it does not reach a disk's own cache, nor the file's length.
#[unsafe(no_mangle)]
extern "C" fn sync_file_range(_: c_int, _: off64_t, _: off64_t, _: c_uint) -> c_int {
    0
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let mut shim = shim();
    // SAFETY: passes the caller's arguments on.
    let done = int(unsafe { libc::syscall(libc::SYS_renameat, libc::AT_FDCWD, from, libc::AT_FDCWD, to) });
    if let (Some(shim), 0) = (shim.as_mut(), done)
        && let (Some(from), Some(to)) = (shim.inside(&text(from)), shim.inside(&text(to)))
    {
        if let Some(object) = shim.names.remove(&from) {
            shim.names.insert(to.clone(), object);
        }
        shim.log(&Op::Rename { from, to });
    }
    done
}

#[unsafe(no_mangle)]
extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    let mut shim = shim();
    let inside = shim.as_ref().and_then(|shim| shim.at(directory, &text(path)));
    // SAFETY: passes the caller's arguments on.
    let done = int(unsafe { libc::syscall(libc::SYS_unlinkat, directory, path, flags) });
    if let (Some(shim), Some(path), 0) = (shim.as_mut(), inside, done) {
        shim.names.remove(&path);
        shim.log(&Op::Unlink { path });
    }
    done
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    unlinkat(libc::AT_FDCWD, path, 0)
}

#[unsafe(no_mangle)]
extern "C" fn rmdir(path: *const c_char) -> c_int {
    unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR)
}

#[unsafe(no_mangle)]
extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    let mut shim = shim();
    // SAFETY: passes the caller's arguments on.
    let done = int(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode) });
    if let (Some(shim), 0) = (shim.as_mut(), done)
        && let Some(path) = shim.inside(&text(path))
    {
        shim.define(&path, Kind::Directory);
    }
    done
}
