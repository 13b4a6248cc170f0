//! Pictures that are decoded before they are asked for: by several threads, taken in order, a bounded number of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use gstreamer as gst;
use rushes_shared::failure::Failure;

use super::picture::{self, Kind};
use super::place::Sequence;

/// Most threads that decode.
const THREADS: u32 = 16;
/// Memory of pictures that wait or are being decoded, in bytes; there is always one.
const MEMORY: u64 = 512 << 20;

/// Decodes ahead until it goes out of scope.
#[derive(Debug)]
pub(super) struct Ahead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sequence: Arc<Sequence>,
    kind: Kind,
    /// Pictures that may be under way or wait at once.
    room: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The next picture that is taken.
    next: u64,
    /// The next one that a thread begins with.
    begin: u64,
    /// Rises when another place is sought: what was begun before is of no use then.
    turn: u64,
    ready: BTreeMap<u64, Result<gst::Buffer, Failure>>,
    closed: bool,
}

impl Ahead {
    /// Begins with the first picture. `threads` are at most kept busy.
    pub(super) fn new(sequence: Arc<Sequence>, kind: Kind, threads: Option<u32>) -> Self {
        let cores =
            || thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let room = MEMORY / kind.weight().max(1);
        let threads = u64::from(threads.unwrap_or_else(cores).clamp(1, THREADS)).min(room.max(1));
        let room = room.clamp(1, 2 * threads);
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { sequence, kind, room, state, changed: Condvar::new() });
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work());
        }
        Self(shared)
    }

    /// Goes on with this picture.
    pub(super) fn seek(&self, number: u64) {
        let mut state = self.0.state();
        state.turn += 1;
        (state.next, state.begin) = (number, number);
        state.ready.clear();
        self.0.changed.notify_all();
    }

    /// The next picture with its number; `None` after the last one.
    pub(super) fn take(&self) -> Option<(u64, Result<gst::Buffer, Failure>)> {
        let mut state = self.0.state();
        loop {
            let number = state.next;
            if state.closed || number >= self.0.sequence.frames() {
                return None;
            }
            if let Some(picture) = state.ready.remove(&number) {
                state.next += 1;
                self.0.changed.notify_all();
                return Some((number, picture));
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some((number, turn)) = self.begin() {
            let name = self.sequence.name(number);
            let picture =
                self.sequence.bytes(number).and_then(|bytes| picture::decoded(name, &bytes, self.kind));
            let mut state = self.state();
            if state.turn == turn {
                state.ready.insert(number, picture);
                self.changed.notify_all();
            }
        }
    }

    /// Waits for a picture to begin with.
    fn begin(&self) -> Option<(u64, u64)> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let number = state.begin;
            if number < self.sequence.frames() && number < state.next + self.room {
                state.begin += 1;
                return Some((number, state.turn));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
