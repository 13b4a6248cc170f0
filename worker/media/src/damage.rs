//! Damage that decoders conceal.
//!
//! A decoder that meets broken data fills the picture in and goes on; GStreamer says nothing of it on the bus, only
//! in the log of its libav plugin. This module reads that log, so that a result made from a damaged file says so. Times that
//! nobody can believe are noted as well.

use std::sync::{Mutex, OnceLock};

use gstreamer as gst;

/// Messages kept, the rest is only counted; and how long one is at most, in characters.
const KEPT: usize = 8;
const LENGTH: usize = 200;

static SEEN: Mutex<Seen> = Mutex::new(Seen { count: 0, first: Vec::new() });
static LISTENING: OnceLock<()> = OnceLock::new();

/// What the decoders complained about since the last [`take`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Number of complaints.
    pub(crate) count: u64,
    /// The first few, for a log.
    pub(crate) first: Vec<String>,
}

impl Seen {
    /// What a report says of a source in which this was seen: nothing where that was nothing.
    pub(crate) fn told(&self) -> Vec<String> {
        if self.count == 0 {
            return Vec::new();
        }
        let places = if self.count == 1 { "1 place".to_owned() } else { format!("{} places", self.count) };
        let told = format!("the source is damaged in {places}, which its decoders concealed");
        std::iter::once(told).chain(self.first.iter().map(|place| format!("damage: {place}"))).collect()
    }

    /// Adds what was seen of a later part.
    pub(crate) fn add(&mut self, places: u64, first: &str) {
        self.count = self.count.saturating_add(places);
        if self.first.len() < KEPT {
            self.first.push(first.to_owned());
        }
    }
}

/// Starts to read the log, once a process. The log's own printing is replaced.
pub(crate) fn listen() {
    LISTENING.get_or_init(|| {
        // Whoever sets GST_DEBUG wants to see GStreamer's own log on standard error.
        if std::env::var_os("GST_DEBUG").is_none() {
            gst::log::remove_default_log_function();
        }
        gst::log::set_threshold_for_name("libav", gst::DebugLevel::Error);
        gst::log::add_log_function(|category, level, _, _, _, _, message| {
            if level == gst::DebugLevel::Error && category.name() == "libav" {
                note(message.get().as_deref().unwrap_or_default().trim());
            }
        });
    });
}

/// Everything since the last call.
pub(crate) fn take() -> Seen {
    std::mem::take(&mut *SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Counts a place and keeps its words.
pub(crate) fn note(text: &str) {
    let mut seen = SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    seen.count += 1;
    if seen.first.len() < KEPT {
        seen.first.push(text.chars().take(LENGTH).collect());
    }
}
