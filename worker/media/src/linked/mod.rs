//! Encoders that are linked in: AV1 by libaom, VP9 by libvpx; and rav1e, with the element that comes with it.
//!
//! GStreamer 1.22's own elements for them know no level of constant quality, but a lowest quantizer that is also the highest, with which
//! every frame costs as much as the best one: a third more bits of VP9 for the same picture, two thirds more of AV1. Its `av1enc` takes
//! eight bits alone. These have the libraries' own constant and constrained quality, ten bits, key frames where they are asked for, and
//! two passes.
//!
//! ```text
//! element     GStreamer encoders, one for each library: frames in, packets out, in the order of the film
//!   └─ aom, vpx     the calls into the C library
//! ```

mod aom;
mod element;
mod vpx;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::thread;

use gstreamer as gst;
use gstreamer::glib;
use rushes_shared::failure::Failure;

use crate::encode::mastering::Mastering;
use crate::start;

/// The elements' names.
pub(crate) const AV1: &str = "rushesaomenc";
pub(crate) const VP9: &str = "rushesvpxenc";
/// AV1 in Rust, for those who name it among a node's encoders in the place of hardware.
pub(crate) const RAV1E: &str = "rav1enc";

/// Frames that the encoders look ahead where they are not to be in real time.
const LOOKAHEAD: u32 = 25;
/// The worst quantizer.
const WORST: u32 = 63;
/// Frames that have one level of quality, where frames have two.
const BLOCK: u64 = 8;
/// A distance of key frames that no chunk and no film reaches, within what the libraries count in.
const NEVER: u32 = 1 << 29;

/// How an encoder is to encode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) usage: Usage,
    /// The library's `cpu-used`.
    pub(crate) speed: i32,
    /// As many as the machine has where nothing is said.
    pub(crate) threads: Option<NonZeroU32>,
    /// Hundredths of the frames that have the next level of quality: levels are some 7 % of the bits apart.
    pub(crate) hundredths: u8,
    /// Whether it is a part of a film, whose quantizers are near to each other where they are coarse.
    pub(crate) is_part: bool,
    /// Whether frames may be made that are not shown and that others follow; of VP9 alone.
    pub(crate) has_hidden_frames: bool,
    /// Tile columns, as a power of two.
    pub(crate) tile_columns: u32,
    pub(crate) keys: Keys,
    pub(crate) rate: Rate,
    pub(crate) pass: Pass,
    /// How long frames of a variable rate are shown on the mean, in nanoseconds, by which a bit rate is shared out.
    pub(crate) frame_ns: u64,
    /// Primaries, transfer and matrix as ISO/IEC 23091-2 numbers them; 2 is unspecified.
    pub(crate) points: [u16; 3],
    pub(crate) is_full_range: bool,
    /// What key frames of AV1 say of the display that the film was mastered on, and of its light.
    pub(crate) mastering: Option<Mastering>,
}

/// The library's usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Good,
    /// Of AV1 alone.
    Realtime,
}

/// Where key frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Every so many frames and nowhere else.
    Every(u32),
    /// At cuts, and after so many frames at most.
    AtMost(u32),
    /// Where they are asked for and nowhere else.
    Asked,
    /// The same, by an encoder that begins anew at those that are not every so many frames; with 0, at all.
    Anew(u32),
}

/// What decides the bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    Lossless,
    /// A level of quality, 1 to 63, the lower the better.
    Quality(u8),
    /// A level of quality as long as the mean rate in kbit/s stays below this.
    Capped(u8, u32),
    /// A constant rate in kbit/s over a buffer of so many milliseconds.
    Constant(u32, u32),
    /// A mean rate in kbit/s, and the most that a group of pictures may have of it, in percent.
    Mean(u32, Option<u32>),
}

/// Which time a film is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    Single,
    /// The first of two, whose packets are empty; it leaves its statistics here.
    First(PathBuf),
    /// The second of two, which reads them.
    Second(PathBuf),
}

impl Settings {
    fn thread_count(&self) -> u32 {
        let all = || thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        // The libraries' own limit.
        self.threads.map_or_else(all, NonZeroU32::get).min(64)
    }

    /// The level of a frame, where its number decides between two.
    fn level_at(&self, frame: u64) -> Option<u32> {
        let Rate::Quality(level) = self.rate else { return None };
        let (block, hundredths) = (frame / BLOCK, u64::from(self.hundredths.min(99)));
        let is_next = (block + 1) * hundredths / 100 > block * hundredths / 100;
        (hundredths > 0).then(|| (u32::from(level) + u32::from(is_next)).min(WORST))
    }

    /// The same for one of the parts of a film whose form changes: its statistics are its own.
    fn of_part(mut self, part: u32) -> Self {
        if let Pass::First(path) | Pass::Second(path) = &mut self.pass {
            path.as_mut_os_string().push(format!(".{part}"));
        }
        self
    }

    /// The finest quantizer of any frame at a level of quality. The libraries give frames that others follow a finer one than the
    /// level. In chunks all are alike near the coarse end, so that a bound on the rate is within reach; and under a bound that does not
    /// bind no frame is finer than without one, where the libraries would spend what is left.
    fn finest(&self, level: u8) -> u32 {
        let level = u32::from(level).min(WORST);
        match self.rate {
            Rate::Capped(..) => level / 4,
            _ if self.is_part => level.saturating_sub(2 * (WORST - level)),
            _ => 0,
        }
    }

    /// What the first pass has left.
    fn statistics(&self) -> Result<Vec<u8>, String> {
        let Pass::Second(path) = &self.pass else { return Ok(Vec::new()) };
        let read = std::fs::read(path);
        read.map_err(|error| {
            format!("the first pass's statistics in {} cannot be read: {error}", path.display())
        })
    }
}

/// What the frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pictures {
    width: u32,
    height: u32,
    /// Bits a sample: 8 or 10.
    depth: u32,
    chroma: Chroma,
    /// Frames a second, as a fraction.
    rate: (u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chroma {
    C420,
    C422,
    C444,
}

/// A frame's planes: its bytes, and the distance of its rows.
type Planes<'a> = [(&'a [u8], usize); 3];

impl Pictures {
    /// Whether planes are as long as frames of this kind are.
    fn measure(&self, planes: &Planes<'_>) -> Result<(), String> {
        let halves = match self.chroma {
            Chroma::C420 => (2, 2),
            Chroma::C422 => (2, 1),
            Chroma::C444 => (1, 1),
        };
        let sample = if self.depth > 8 { 2 } else { 1 };
        for (number, (bytes, stride)) in planes.iter().enumerate() {
            let (across, down) = if number == 0 { (1, 1) } else { halves };
            let row = self.width.div_ceil(across) as usize * sample;
            let rows = self.height.div_ceil(down) as usize;
            if *stride < row || bytes.len() < stride * rows.saturating_sub(1) + row {
                return Err("a frame is smaller than its description".to_owned());
            }
        }
        Ok(())
    }
}

/// What an encoder gives.
#[derive(Debug)]
enum Given {
    Packet(Packet),
    /// Statistics of a first pass.
    Statistics(Vec<u8>),
}

/// A packet: one frame that is shown, and what is needed for it.
#[derive(Debug)]
struct Packet {
    number: i64,
    is_key: bool,
    bytes: Vec<u8>,
}

/// A library's encoder at work.
trait Library: Sized + Send + 'static {
    /// What people call the library.
    const NAME: &'static str;

    /// How packets leave.
    fn packets(pictures: Option<Pictures>) -> gst::Caps;

    fn new(pictures: Pictures, settings: &Settings) -> Result<Self, String>;

    /// Another level of quality from the next frame on that is encoded.
    fn set_level(&mut self, level: u32) -> Result<(), String>;

    /// Takes a frame, which the library copies.
    fn encode(&mut self, planes: Planes<'_>, number: i64, is_key: bool) -> Result<(), String>;

    /// No frame comes any more; packets that are still to come are had by [`Self::given`], after which this is asked again until
    /// none comes.
    fn end(&mut self) -> Result<(), String>;

    /// What is ready.
    fn given(&mut self) -> Vec<Given>;
}

/// The version of the library behind an element of these.
pub(crate) fn version(element: &str) -> Option<String> {
    match element {
        AV1 => Some(aom::version()),
        VP9 => Some(vpx::version()),
        _ => None,
    }
}

/// Makes the elements known. A second time changes nothing.
pub(crate) fn register() -> Result<(), glib::BoolError> {
    gstrav1e::plugin_register_static()?;
    element::register()
}

/// An encoder of these settings: the element of this name.
pub(crate) fn encoder(element: &str, settings: Settings) -> Result<gst::Element, Failure> {
    let made = start::element(element)?;
    element::set(&made, settings);
    Ok(made)
}
