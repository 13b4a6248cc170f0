//! Times of pictures in MPEG program streams.
//!
//! A packet of such a file has one time, that of the first picture which begins in it, and pictures of few bytes begin in it by the
//! dozen. GStreamer 1.22's parser leaves the others without a time, which decoders then make up: some pictures came 1 ms apart, behind
//! one that stayed. Pictures are numbered within their group, in the order of display, and here they are shown by that number from the
//! first one without a time on.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Has pictures come at times by their numbers where `parse` puts up the demuxer of program streams.
pub(super) fn keep_times(parse: &gst::Element) {
    let Some(bin) = parse.downcast_ref::<gst::Bin>() else { return };
    let is_program = Mutex::new(false);
    bin.connect_element_added(move |_, element| {
        let Some(factory) = element.factory() else { return };
        let mut is_program = is_program.lock().unwrap_or_else(PoisonError::into_inner);
        *is_program |= factory.name() == "mpegpsdemux";
        if *is_program && factory.name() == "mpegvideoparse" {
            watch(element);
        }
    });
}

fn watch(parser: &gst::Element) {
    let Some(pad) = parser.static_pad("src") else { return };
    let numbers = Arc::new(Mutex::new(Numbers::default()));
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |_, info| {
        numbers.lock().unwrap_or_else(PoisonError::into_inner).correct(info);
        gst::PadProbeReturn::Ok
    });
}

/// What a picture's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Picture {
    /// In the order of display, from the group's beginning on.
    number: u16,
    begins_group: bool,
    /// A whole picture, shown for as long as any other.
    is_plain: bool,
}

/// Times that differ by more begin another timeline; those that differ by less do where two in turn agree.
const JUMP_NS: i64 = 500_000_000;
/// What lies between two times that are the same but for their rounding.
const ROUNDED_NS: i64 = 100_000;
/// Numbers start again behind so many.
const NUMBERS: i64 = 1024;
/// What begins the headers of a picture, of a group and of an extension.
const PICTURE: u8 = 0x00;
const GROUP: u8 = 0xb8;
const EXTENSION: u8 = 0xb5;
/// The extension that says how a picture was coded.
const CODING: u8 = 8;

impl Picture {
    /// The first picture of a packet.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut begins_group = false;
        let mut at = 0;
        while let Some(next) = bytes.get(at..).and_then(|rest| rest.windows(3).position(|w| w == [0, 0, 1])) {
            at += next + 3;
            let rest = bytes.get(at + 1..).unwrap_or_default();
            match (*bytes.get(at)?, &mut found) {
                (GROUP, None) => begins_group = true,
                (PICTURE, None) => {
                    let number = u16::from(*rest.first()?) << 2 | u16::from(*rest.get(1)? >> 6);
                    found = Some(Self { number, begins_group, is_plain: true });
                }
                (EXTENSION, Some(found)) if rest.first().is_some_and(|first| first >> 4 == CODING) => {
                    // Structure in the last bits of the third byte, whether a field is repeated in the fourth.
                    let is_frame = rest.get(2)? & 3 == 3;
                    let repeats = rest.get(3)? & 2 != 0;
                    found.is_plain = is_frame && !repeats;
                }
                (EXTENSION | 0xb2, _) => {}
                // Slices, or another picture.
                (_, Some(_)) => break,
                _ => {}
            }
        }
        found
    }
}

/// Pictures by their numbers.
#[derive(Debug, Default)]
struct Numbers {
    /// When the number nought of the group is shown, in nanoseconds.
    start: Option<i64>,
    /// The number of the last picture, and the greatest one of the group, without starting again.
    last: i64,
    greatest: i64,
    /// By how much later the last time that the parser gave would have the group begin.
    doubt: Option<i64>,
    /// Whether a picture had no time of its own.
    untold: bool,
    /// Whether there are pictures of other lengths, which numbers do not tell.
    off: bool,
}

impl Numbers {
    fn correct(&mut self, info: &mut gst::PadProbeInfo<'_>) {
        if let Some(event) = info.event() {
            if matches!(event.type_(), gst::EventType::Segment | gst::EventType::FlushStop) {
                let off = self.off;
                *self = Self { off, ..Self::default() };
            }
            return;
        }
        let Some(buffer) = info.buffer_mut() else { return };
        let Some(duration) = buffer.duration().filter(|duration| !duration.is_zero()) else { return };
        let Some(picture) = buffer.map_readable().ok().and_then(|bytes| Picture::of(&bytes)) else { return };
        let told = buffer.pts();
        let shown = self.shown(picture, told.map(gst::ClockTime::nseconds), duration.nseconds());
        if let Some(shown) = shown.map(gst::ClockTime::from_nseconds).filter(|shown| Some(*shown) != told) {
            buffer.make_mut().set_pts(shown);
        }
    }

    /// When a picture is shown that the parser says is shown then and for so long, in nanoseconds.
    fn shown(&mut self, picture: Picture, told: Option<u64>, duration: u64) -> Option<u64> {
        self.off |= !picture.is_plain;
        if self.off {
            return None;
        }
        let duration = i64::try_from(duration).ok()?;
        let number = if picture.begins_group {
            self.start = self.start.map(|start| start + (self.greatest + 1) * duration);
            self.greatest = 0;
            i64::from(picture.number)
        } else {
            let ahead = (i64::from(picture.number) - self.last).rem_euclid(NUMBERS);
            self.last + if ahead < NUMBERS / 2 { ahead } else { ahead - NUMBERS }
        };
        self.last = number;
        self.greatest = self.greatest.max(number);
        let after = number * duration;
        self.untold |= told.is_none();
        if let Some(told) = told.and_then(|told| i64::try_from(told).ok()) {
            let start = told - after;
            // A picture whose headers begin before a packet, and itself within it, now and then has the time of the one behind it.
            let doubt = self.start.map(|known| start - known).filter(|doubt| doubt.abs() > duration / 2);
            let is_jump = doubt.is_none_or(|doubt| doubt.abs() > JUMP_NS || agrees(self.doubt, doubt));
            if !self.untold || self.start.is_none() || (doubt.is_some() && is_jump) {
                self.start = Some(start);
            }
            self.doubt = doubt;
        }
        let shown = self.start?.checked_add(after)?;
        if self.untold { u64::try_from(shown).ok() } else { None }
    }
}

fn agrees(before: Option<i64>, doubt: i64) -> bool {
    before.is_some_and(|before| (before - doubt).abs() <= ROUNDED_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn plain(number: u16, begins_group: bool) -> Picture {
        Picture { number, begins_group, is_plain: true }
    }

    #[test]
    fn pictures_without_a_time_are_shown_by_their_number_and_a_jump_is_followed() {
        let mut numbers = Numbers::default();
        let mut shown = |number, group, told: Option<u64>| {
            numbers.shown(plain(number, group), told.map(|ms| ms * MS), 40 * MS).map(|ns| ns / MS)
        };
        assert_eq!(shown(0, true, Some(540)), None, "it has its own");
        assert_eq!(shown(3, false, None), Some(660));
        assert_eq!(shown(1, false, None), Some(580));
        assert_eq!(shown(2, false, Some(660)), Some(620), "its time is another's");
        // Pictures of the next group that are shown before its first one.
        assert_eq!(shown(2, true, Some(780)), Some(780));
        assert_eq!(shown(0, false, None), Some(700));
        assert_eq!(shown(1, false, None), Some(740));
        assert_eq!(shown(0, true, Some(5000)), Some(5000), "a jump");
        assert_eq!(shown(1, false, None), Some(5040));
        assert_eq!(shown(2, false, Some(5180)), Some(5080), "100 ms more");
        assert_eq!(shown(3, false, Some(5220)), Some(5220), "again");
    }

    #[test]
    fn numbers_start_again_and_pictures_of_other_lengths_are_left_alone() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.shown(plain(1023, true), Some(40 * 1023 * MS), 40 * MS), None);
        assert_eq!(numbers.shown(plain(2, false), None, 40 * MS), Some(40 * 1026 * MS));
        assert_eq!(numbers.shown(plain(0, false), None, 40 * MS), Some(40 * 1024 * MS));
        let repeated = Picture { is_plain: false, ..plain(1, false) };
        assert_eq!(numbers.shown(repeated, None, 40 * MS), None);
        assert_eq!(numbers.shown(plain(3, false), None, 40 * MS), None);
    }

    #[test]
    fn headers_say_numbers_groups_and_fields() {
        let group = [0, 0, 1, GROUP, 0, 8, 0, 0];
        let of = |before: &[u8], coding: &[u8]| {
            let picture = [0, 0, 1, PICTURE, 0x01, 0x50, 0, 0];
            Picture::of(&[before, &picture, &[0, 0, 1, EXTENSION], coding, &[0, 0, 1, 1, 9]].concat())
        };
        assert_eq!(of(&group, &[0x8f, 0xff, 0xf3, 0x80]), Some(plain(5, true)));
        assert_eq!(of(&[], &[0x8f, 0xff, 0xf3, 0x80]), Some(plain(5, false)));
        assert!(!of(&[], &[0x8f, 0xff, 0xf1, 0x80]).unwrap().is_plain, "a field");
        assert!(!of(&[], &[0x8f, 0xff, 0xf3, 0x82]).unwrap().is_plain, "a field is repeated");
        assert_eq!(Picture::of(&[0, 0, 1, PICTURE]), None);
        assert_eq!(Picture::of(&group), None);
    }
}
