//! High dynamic range into standard: PQ and HLG pictures as BT.709 shows them.
//!
//! ```text
//! Y'CbCr -> R'G'B' -> light of the mastering display -> EETF -> BT.709 primaries -> inverse of BT.1886 -> Y'CbCr
//! ```
//! - Light: the EOTF of PQ, or the inverse OETF and the OOTF of HLG on a display of 1000 cd/m2 (ITU-R BT.2100-2, tables 4
//!   and 5).
//! - Reference white of HDR, 203 cd/m2 (ITU-R BT.2408-5, 2.1), becomes the white of SDR. What is brighter is bent into the highest
//!   part by the EETF of ITU-R BT.2390-10, 5.4.1, on the largest of the three colours, which keeps hues.
//! - Colours outside of BT.709 are clipped. The SDR display is that of BT.1886, a gamma of 2.4.
//!
//! All of that is in a table of three dimensions, between whose points is interpolated in tetrahedra. The luma of a picture is
//! looked up with the chroma of its place, and the chroma with the mean luma of the pixels that share it.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::prelude::*;
use rushes_shared::failure::Failure;
use rushes_shared::media::{Colour, Hdr, VideoFacts};

use crate::colour;
use crate::encode::mastering::Mastering;
use crate::reader::unusable;

/// White of SDR in HDR, in cd/m2.
const WHITE: f32 = 203.0;
/// What content reaches where nothing is said of it, and what an HLG display has, in cd/m2.
const USUAL_PEAK: f32 = 1000.0;
/// Points of the table along each axis.
const POINTS: usize = 65;
/// Threads that share a picture, at most.
const MOST_THREADS: usize = 4;

/// Maps the pictures of a film.
#[derive(Debug, Clone)]
pub(crate) struct ToneMapper {
    from: gst::Caps,
    source: video::VideoInfo,
    made: video::VideoInfo,
    table: Arc<Table>,
    threads: usize,
}

/// Output by luma and chroma of the input: ten-bit codes of BT.709.
#[derive(Debug)]
struct Table {
    luma: Vec<f32>,
    chroma: Vec<[f32; 2]>,
}

impl ToneMapper {
    /// For frames of these caps, of a film with these facts.
    pub(crate) fn new(caps: &gst::CapsRef, film: &VideoFacts, threads: Option<u32>) -> Result<Self, Failure> {
        let source =
            video::VideoInfo::from_caps(caps).map_err(|_| unusable("frames of an unknown format"))?;
        if !source.format_info().is_yuv() || source.format_info().n_components() < 3 {
            return Err(unusable("frames of high dynamic range in a format that cannot be tone-mapped"));
        }
        let made = video::VideoInfo::builder(video::VideoFormat::I42010le, source.width(), source.height())
            .fps(source.fps())
            .par(source.par())
            .colorimetry(&bt709().parse().map_err(|_| unusable("an unknown colorimetry"))?)
            .build()
            .map_err(|_| unusable("frames of a size that cannot be tone-mapped"))?;
        let light = Light::of(film, Mastering::of(caps).and_then(|mastering| mastering.peak()));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = threads.map_or(cores, |threads| threads as usize).clamp(1, MOST_THREADS);
        Ok(Self { from: caps.to_owned(), source, made, table: Arc::new(Table::of(&light)), threads })
    }

    /// Whether it is for frames of these caps.
    pub(crate) fn is_for(&self, caps: &gst::CapsRef) -> bool {
        *self.from == *caps
    }

    /// The caps of mapped frames.
    pub(crate) fn caps(&self) -> Result<gst::Caps, Failure> {
        self.made.to_caps().map_err(|_| unusable("frames of an unknown format"))
    }

    /// A frame as SDR, shown at the same time.
    pub(crate) fn map(&self, frame: &gst::BufferRef) -> Result<gst::Buffer, Failure> {
        let failed = || unusable("a frame that cannot be read");
        let from =
            video::VideoFrameRef::from_buffer_ref_readable(frame, &self.source).map_err(|_| failed())?;
        let mut made = gst::Buffer::with_size(self.made.size()).map_err(|_| failed())?;
        let into = made.get_mut().expect("a new buffer has one owner");
        let flags = gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS;
        frame.copy_into(into, flags, ..).map_err(|_| failed())?;
        let mut into =
            video::VideoFrameRef::from_buffer_ref_writable(into, &self.made).map_err(|_| failed())?;
        let (width, height) = (self.made.width() as usize, self.made.height() as usize);
        let strides: Vec<usize> =
            self.made.stride().iter().map(|stride| usize::try_from(*stride).unwrap_or(0)).collect();
        let [luma, cb, cr, _] = into.planes_data_mut();
        let pairs = height.div_ceil(2);
        let share = pairs.div_ceil(self.threads).max(1);
        let read = Read::of(&from).ok_or_else(failed)?;
        std::thread::scope(|scope| {
            let bands = luma
                .chunks_mut(2 * share * strides[0])
                .zip(cb.chunks_mut(share * strides[1]))
                .zip(cr.chunks_mut(share * strides[2]));
            for (number, ((luma, cb), cr)) in bands.enumerate() {
                let (table, read, strides) = (&*self.table, &read, &strides);
                scope.spawn(move || {
                    let first = number * share;
                    for pair in first..(first + share).min(pairs) {
                        let at = pair - first;
                        let rows = &mut luma[2 * at * strides[0]..];
                        let chroma = (&mut cb[at * strides[1]..], &mut cr[at * strides[2]..]);
                        table.two_rows(read, pair, (width, height), (rows, strides[0]), chroma);
                    }
                });
            }
        });
        drop(into);
        Ok(made)
    }
}

/// A frame as SDR, with its caps, by a mapper that is made at the first frame and whenever frames change their form.
pub(crate) fn mapped(
    mapper: &mut Option<ToneMapper>,
    (caps, frame): (&gst::CapsRef, &gst::BufferRef),
    film: &VideoFacts,
    threads: Option<u32>,
) -> Result<(gst::Caps, gst::Buffer), Failure> {
    let mapper = match mapper {
        Some(mapper) if mapper.is_for(caps) => mapper,
        _ => mapper.insert(ToneMapper::new(caps, film, threads)?),
    };
    Ok((mapper.caps()?, mapper.map(frame)?))
}

/// How components of a frame are read, as codes of ten bits.
struct Read<'a> {
    planes: Vec<Component<'a>>,
    /// How much finer luma is sampled than chroma, as shifts.
    sub: (u32, u32),
}

struct Component<'a> {
    bytes: &'a [u8],
    stride: usize,
    step: usize,
    shift: u32,
    depth: u32,
}

impl<'a> Read<'a> {
    fn of(frame: &'a video::VideoFrameRef<&gst::BufferRef>) -> Option<Self> {
        let info = frame.format_info();
        let mut planes = Vec::with_capacity(3);
        for component in 0..3_usize {
            let plane = info.plane()[component];
            let offset = usize::try_from(info.poffset()[component]).ok()?;
            planes.push(Component {
                bytes: frame.plane_data(plane).ok()?.get(offset..)?,
                stride: usize::try_from(frame.info().stride()[plane as usize]).ok()?,
                step: usize::try_from(info.pixel_stride()[component]).ok()?,
                shift: info.shift()[component],
                depth: info.depth()[component],
            });
        }
        Some(Self { planes, sub: (info.w_sub()[1], info.h_sub()[1]) })
    }

    fn code(&self, component: usize, x: usize, y: usize) -> f32 {
        let from = &self.planes[component];
        let at = y * from.stride + x * from.step;
        let raw = match (from.depth, from.bytes.get(at), from.bytes.get(at + 1)) {
            (0..=8, Some(byte), _) => u16::from(*byte),
            (_, Some(low), Some(high)) => u16::from_le_bytes([*low, *high]),
            _ => 0,
        } >> from.shift;
        // Depths are up to sixteen bits, so that the power is exact.
        f32::from(raw) * (10.0 - f32::from(u8::try_from(from.depth).unwrap_or(10))).exp2()
    }
}

impl Table {
    fn of(light: &Light) -> Self {
        let count = POINTS * POINTS * POINTS;
        let (mut luma, mut chroma) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for y in 0..POINTS {
            for cb in 0..POINTS {
                for cr in 0..POINTS {
                    let [y, cb, cr] = light.mapped([y, cb, cr].map(code_of));
                    luma.push(y);
                    chroma.push([cb, cr]);
                }
            }
        }
        Self { luma, chroma }
    }

    /// Two rows of luma, and the one of chroma between them.
    fn two_rows(
        &self,
        read: &Read<'_>,
        pair: usize,
        (width, height): (usize, usize),
        (rows, stride): (&mut [u8], usize),
        (cb, cr): (&mut [u8], &mut [u8]),
    ) {
        for column in 0..width.div_ceil(2) {
            let (x, y) = (2 * column, 2 * pair);
            let (cx, cy) = (x >> read.sub.0, y >> read.sub.1);
            let colour = [read.code(1, cx, cy), read.code(2, cx, cy)];
            let (mut sum, mut seen) = (0.0, 0.0);
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                if x + dx < width && y + dy < height {
                    let luma = read.code(0, x + dx, y + dy);
                    (sum, seen) = (sum + luma, seen + 1.0);
                    let place = Place::of([luma, colour[0], colour[1]]);
                    put(rows, dy * stride + 2 * (x + dx), place.weigh(|at| self.luma[at]));
                }
            }
            let place = Place::of([sum / seen, colour[0], colour[1]]);
            put(cb, 2 * column, place.weigh(|at| self.chroma[at][0]));
            put(cr, 2 * column, place.weigh(|at| self.chroma[at][1]));
        }
    }
}

fn put(row: &mut [u8], at: usize, code: f32) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "codes are from 0 to 1023")]
    let code = (code + 0.5) as u16;
    if let Some(place) = row.get_mut(at..at + 2) {
        place.copy_from_slice(&code.to_le_bytes());
    }
}

/// The code that a point of the table stands for.
fn code_of(point: usize) -> f32 {
    f32::from(u8::try_from(point).unwrap_or(0)) * 1023.0 / (POINTS - 1) as f32
}

/// Four corners of a cell, and what each weighs.
struct Place {
    corners: [usize; 4],
    weights: [f32; 4],
}

impl Place {
    fn of(codes: [f32; 3]) -> Self {
        const STEPS: [usize; 3] = [POINTS * POINTS, POINTS, 1];
        let (mut first, mut parts) = (0, [(0.0_f32, 0_usize); 3]);
        for (axis, code) in codes.into_iter().enumerate() {
            let at = code.clamp(0.0, 1023.0) * (POINTS - 1) as f32 / 1023.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below 65")]
            let cell = (at as usize).min(POINTS - 2);
            first += cell * STEPS[axis];
            parts[axis] = (at - cell as f32, STEPS[axis]);
        }
        // From the corner of the cell along its longest way first.
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let [(a, one), (b, two), (c, three)] = parts;
        Self {
            corners: [first, first + one, first + one + two, first + one + two + three],
            weights: [1.0 - a, a - b, b - c, c],
        }
    }

    fn weigh(&self, of: impl Fn(usize) -> f32) -> f32 {
        self.corners.iter().zip(self.weights).map(|(at, weight)| of(*at) * weight).sum()
    }
}

/// The way of one colour.
#[derive(Debug, Clone)]
struct Light {
    hdr: Hdr,
    /// Shares of red and blue in luma.
    shares: (f32, f32),
    is_full_range: bool,
    /// Linear colours of the film's primaries into those of BT.709.
    primaries: [[f32; 3]; 3],
    /// In cd/m2.
    peak: f32,
}

impl Light {
    fn of(film: &VideoFacts, peak: Option<f32>) -> Self {
        let shares = match film.colour.matrix.as_str() {
            "bt709" => (0.2126, 0.0722),
            "smpte170m" | "bt470bg" => (0.299, 0.114),
            _ => (0.2627, 0.0593),
        };
        let primaries = match film.colour.primaries.as_str() {
            "bt709" => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            // Display P3: SMPTE EG 432-1 with the white of D65.
            "smpte432" => [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
            // ITU-R BT.2087-0, annex 1, inverted.
            _ => [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
        };
        let peak = peak.filter(|_| film.hdr == Hdr::Pq).unwrap_or(USUAL_PEAK).clamp(WHITE, 10_000.0);
        Self { hdr: film.hdr, shares, is_full_range: film.colour.range == "pc", primaries, peak }
    }

    /// Ten-bit codes into ten-bit codes of BT.709, of limited range.
    fn mapped(&self, [y, cb, cr]: [f32; 3]) -> [f32; 3] {
        let (y, cb, cr) = if self.is_full_range {
            (y / 1023.0, (cb - 512.0) / 1023.0, (cr - 512.0) / 1023.0)
        } else {
            ((y - 64.0) / 876.0, (cb - 512.0) / 896.0, (cr - 512.0) / 896.0)
        };
        let (red, blue) = self.shares;
        let r = y + 2.0 * (1.0 - red) * cr;
        let b = y + 2.0 * (1.0 - blue) * cb;
        let g = (y - red * r - blue * b) / (1.0 - red - blue);
        let light = self.light([r, g, b].map(|signal| signal.clamp(0.0, 1.0)));
        let largest = light.into_iter().fold(0.0_f32, f32::max);
        let scale = if largest > 0.0 { eetf(largest, self.peak) / (largest * WHITE) } else { 0.0 };
        let shown = self.primaries.map(|row| {
            let sum: f32 = row.iter().zip(light).map(|(share, light)| share * light).sum();
            (sum * scale).clamp(0.0, 1.0).powf(1.0 / 2.4)
        });
        let [r, g, b] = shown;
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let (cb, cr) = ((b - y) / 1.8556, (r - y) / 1.5748);
        [64.0 + 876.0 * y, 512.0 + 896.0 * cb, 512.0 + 896.0 * cr]
    }

    /// Signals into light in cd/m2.
    fn light(&self, signal: [f32; 3]) -> [f32; 3] {
        if self.hdr == Hdr::Hlg {
            let scene = signal.map(hlg_scene);
            let luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
            // The system gamma of a display of 1000 cd/m2.
            let gain = USUAL_PEAK * luminance.powf(0.2);
            return scene.map(|scene| scene * gain);
        }
        signal.map(pq_light)
    }
}

/// The inverse OETF of HLG (BT.2100, table 5).
fn hlg_scene(signal: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 0.284_668_92;
    const C: f32 = 0.559_910_7;
    if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - C) / A).exp() + B) / 12.0 }
}

/// Constants of PQ (SMPTE ST 2084).
const M1: f32 = 0.159_301_76;
const M2: f32 = 78.843_75;
const C1: f32 = 0.835_937_5;
const C2: f32 = 18.851_563;
const C3: f32 = 18.6875;

/// The EOTF of PQ: cd/m2 of a signal.
fn pq_light(signal: f32) -> f32 {
    let power = signal.max(0.0).powf(1.0 / M2);
    10_000.0 * ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1)
}

/// Its inverse.
fn pq_signal(light: f32) -> f32 {
    let power = (light / 10_000.0).clamp(0.0, 1.0).powf(M1);
    ((C1 + C2 * power) / (1.0 + C3 * power)).powf(M2)
}

/// The EETF of BT.2390 from a display of `peak` to one of [`WHITE`] cd/m2, both of which show black: light into light.
fn eetf(light: f32, peak: f32) -> f32 {
    let whole = pq_signal(peak);
    let signal = (pq_signal(light) / whole).min(1.0);
    let most = pq_signal(WHITE) / whole;
    let knee = 1.5 * most - 0.5;
    if signal < knee || knee >= 1.0 {
        return pq_light(signal * whole).min(WHITE);
    }
    let t = (signal - knee) / (1.0 - knee);
    let bent = (2.0 * t.powi(3) - 3.0 * t.powi(2) + 1.0) * knee
        + (t.powi(3) - 2.0 * t.powi(2) + t) * (1.0 - knee)
        + (-2.0 * t.powi(3) + 3.0 * t.powi(2)) * most;
    pq_light(bent * whole).min(WHITE)
}

/// The description of mapped pictures.
pub(crate) fn described() -> Colour {
    let name = || "bt709".to_owned();
    Colour { matrix: name(), transfer: name(), primaries: name(), range: "tv".to_owned() }
}

fn bt709() -> String {
    colour::to_caps(&described()).unwrap_or_default()
}

/// What a user is told of it.
pub(crate) fn told(hdr: Hdr) -> String {
    let kind = if hdr == Hdr::Hlg { "HLG" } else { "PQ (HDR10)" };
    format!("tone-mapped from {kind} to SDR, BT.709: white is what HDR shows at 203 cd/m2 (BT.2390, BT.2408)")
}
