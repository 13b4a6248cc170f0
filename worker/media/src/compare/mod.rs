//! A film against its reference: VMAF, PSNR and SSIM, frame by frame.
//!
//! ```text
//! reader of the reference --+--> Pairs: whichever frame completes a pair is compared on its own thread;
//! reader of the other ------+    whoever is ahead waits
//! ```
//! Both become 4:2:0 in the depth of the deeper one, upright and in the reference's size (bicubic, as is usual
//! where VMAF of smaller renditions is measured), without a change of their colours. Frames are paired by their time from the
//! first frame on, within half a frame. VMAF is libvmaf's; it looks at every pair, and scores those that are measured.

mod metric;
mod pairs;
mod totals;

use std::path::Path;
use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::{CompareSettings, Comparison};
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::task::{Phase, Progress};
use rushes_shared::units::Ratio;

use crate::note::{self, Branch, Interrupted, Note, Notes, Opening};
use crate::pace::Pace;
use crate::reader::{self, Wanted};
use crate::running::Running;
use crate::start::element;
use crate::{encode, fault, start};
pub(crate) use pairs::{Arriving, Closing, Pairs, Side};

/// Compares the first video stream of `other` with that of `reference`; both with what [`probe`](crate::probe()) found.
/// Blocks; calls `progress` at least once a second.
///
/// # Errors
/// [`FailureCode::StreamMissing`] where one has no video; [`FailureCode::InputDamaged`] where not one pair of frames came
/// together; [`FailureCode::SettingsImpossible`] for other frame rates or frames that only one has, unless that is allowed;
/// the codes of [`probe`](crate::probe()); [`FailureCode::ProcessStalled`].
pub fn compare(
    reference: (&Path, &MediaFacts),
    other: (&Path, &MediaFacts),
    settings: &CompareSettings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Comparison, Failure> {
    compare_in(Phase::Running, (reference, other), settings, progress)
}

/// A file and what is known of it.
type Film<'a> = (&'a Path, &'a MediaFacts);

/// The same as another phase of a task.
pub(crate) fn compare_in(
    phase: Phase,
    (reference, other): (Film<'_>, Film<'_>),
    settings: &CompareSettings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Comparison, Failure> {
    start::init()?;
    let (first, second) = (film(reference.1, "the reference")?, film(other.1, "the other file")?);
    let shape = Shape::of(first, second)?;
    if !settings.unpaired {
        same_rate(first, second)?;
    }
    let (notes, waiting) = Notes::new();
    let pairs = Arc::new(Pairs::new(shape, half_a_frame(first), *settings)?);
    let mut readers = [
        opened(reference.0, first, shape, (&pairs, Side::Reference), &notes)?,
        opened(other.0, second, shape, (&pairs, Side::Other), &notes)?,
    ];
    let _closing = pairs.closing();
    let pace = Pace::new(phase, first.duration_ns, first.frames);
    for reader in &readers {
        reader.play()?;
    }
    let mut openings = readers.each_ref().map(|reader| Opening::new(reader, &notes));
    let mut beat = || {
        openings.iter_mut().for_each(Opening::look);
        let (frames, at) = pairs.reached();
        progress(pace.at(at, frames));
    };
    beat();
    let mut ended = 0;
    let done = waiting.until(None, &mut beat, |note| {
        ended += usize::from(matches!(note, Note::Ended(Branch::Video)));
        ended == readers.len()
    });
    pairs.close();
    match done {
        Ok(()) => {}
        Err(Interrupted::Failed(failure)) => return Err(failure),
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            readers.iter_mut().for_each(Running::abandon);
            return Err(note::stalled("the comparison"));
        }
    }
    beat();
    drop(readers);
    let (found, _) = pairs.result()?;
    Ok(Comparison { scaled: first.shown_size() != second.shown_size(), ..found })
}

/// What both are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    width: u32,
    height: u32,
    bit_depth: u8,
}

impl Shape {
    pub(crate) fn of(first: &VideoFacts, second: &VideoFacts) -> Result<Self, Failure> {
        let (width, height) = first.shown_size();
        if width == 0 || height == 0 {
            return Err(fault::damaged("the reference does not say how large its picture is"));
        }
        let deep = first.bit_depth.max(second.bit_depth) > 8;
        Ok(Self { width, height, bit_depth: if deep { 10 } else { 8 } })
    }

    /// What brings frames of a film to it. RGB has to be given a matrix: that of an encode.
    pub(crate) fn elements(self, film: &VideoFacts) -> Result<[gst::Element; 2], Failure> {
        let convert = element("videoconvertscale")?;
        convert.set_property_from_str("method", "catrom");
        convert.set_property("add-borders", false);
        let filter = element("capsfilter")?;
        let side_of = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        let mut wanted = gst::Caps::builder("video/x-raw")
            .field("format", self.format())
            .field("width", side_of(self.width))
            .field("height", side_of(self.height));
        if film.colour.matrix == "gbr" {
            wanted = wanted.field("colorimetry", "bt709");
        }
        filter.set_property("caps", wanted.build());
        Ok([convert, filter])
    }

    fn format(self) -> &'static str {
        if self.bit_depth > 8 { "I420_10LE" } else { "I420" }
    }
}

fn film<'a>(facts: &'a MediaFacts, which: &str) -> Result<&'a VideoFacts, Failure> {
    facts.video.first().ok_or_else(|| {
        Failure::new(
            FailureCode::StreamMissing,
            format!("{which} has no picture"),
            "give two files with a video stream",
        )
    })
}

/// Two films of different frame rates do not show the same frames.
fn same_rate(first: &VideoFacts, second: &VideoFacts) -> Result<(), Failure> {
    let rate = |film: &VideoFacts| film.fps.filter(|rate| rate.num > 0 && rate.den > 0);
    let (Some(a), Some(b)) = (rate(first), rate(second)) else { return Ok(()) };
    let (one, two) = (u64::from(a.num) * u64::from(b.den), u64::from(b.num) * u64::from(a.den));
    // A thousandth is 24 against 23.976; what containers round their rates by is far less.
    // Films with as many frames may have them at the same times, whatever their last ones do to the mean.
    let may_pair = first.frames > 0 && first.frames == second.frames && (first.vfr || second.vfr);
    if one.abs_diff(two) <= one / 2000 || may_pair {
        return Ok(());
    }
    let shown = |rate: Ratio| f64::from(rate.num) / f64::from(rate.den);
    let message =
        format!("the reference has {:.3} frames a second, the other film {:.3}", shown(a), shown(b));
    Err(Failure::new(FailureCode::SettingsImpossible, message, UNPAIRED))
}

/// What helps where films do not have the same frames.
const UNPAIRED: &str =
    "compare films with the same frames, or ask for those that both have to be compared (--unpaired)";

/// The failure for frames that only one of the films has: so many of the reference and of the other, the first at a time.
fn unlike(paired: u64, [missing, extra]: [u64; 2], at_ns: u64) -> Failure {
    let message = format!(
        "the reference has {} frames, the other film {}: {missing} are missing, {extra} are there in addition, the first at {}.{:03} s",
        paired + missing,
        paired + extra,
        at_ns / 1_000_000_000,
        at_ns / 1_000_000 % 1000
    );
    Failure::new(FailureCode::SettingsImpossible, message, UNPAIRED)
}

/// Half of what a frame lasts, in nanoseconds.
pub(crate) fn half_a_frame(film: &VideoFacts) -> u64 {
    let rate = film.fps.filter(|rate| rate.num > 0);
    rate.map_or(10_000_000, |rate| {
        crate::pace::scaled(500_000_000, u64::from(rate.den), u64::from(rate.num)).max(1)
    })
}

fn opened(
    path: &Path,
    film: &VideoFacts,
    shape: Shape,
    (pairs, side): (&Arc<Pairs>, Side),
    notes: &Notes,
) -> Result<Running, Failure> {
    fault::inspect(path)?;
    let mut chain = Vec::new();
    chain.extend(encode::picture::one_of_two_fields(film)?);
    if !film.orientation.is_upright() {
        let flip = element("videoflip")?;
        flip.set_property_from_str("video-direction", encode::picture::direction(film.orientation));
        chain.push(flip);
    }
    chain.extend(shape.elements(film)?);
    let feed = Arriving { pairs: Arc::clone(pairs), side };
    let wanted = Wanted { video: Some(Box::new(feed)), video_chain: chain, ..Wanted::default() };
    reader::open(path, wanted, notes)
}
