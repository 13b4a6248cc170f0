//! sled panics on some damaged files. What it panics about while a store is opened is an error of that store, and no
//! reason to frighten anybody with a backtrace.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

use super::error::StoreError;

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Does work that reads sled's files; a panic in it means that `part` is damaged.
pub(super) fn contained<T>(
    dir: &Path,
    part: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_CONTAINED.get() {
                usual(panic);
            }
        }));
    });
    let before = IS_CONTAINED.replace(true);
    // The work's own values are given up with its panic; nothing else is changed by it.
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    done.unwrap_or_else(|panic| {
        let detail = panic_text(panic.as_ref());
        Err(StoreError::Damaged { dir: dir.to_path_buf(), part, detail })
    })
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}
