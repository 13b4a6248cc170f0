//! libaom's encoder.
#![expect(unsafe_code, reason = "libaom is a C library; each use says why it is sound")]

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::{fmt, ptr, slice};

use libaom_sys as sys;

use super::{Keys, Rate, Settings, Usage};

/// Frames that the encoder looks ahead where it is not to be in real time.
const LOOKAHEAD: u32 = 25;
/// The worst quantizer.
const WORST: u32 = 63;
/// A distance of key frames that no chunk and no film reaches, within what libaom counts in.
const NEVER: u32 = 1 << 29;

/// What the frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pictures {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits a sample: 8 or 10.
    pub(super) depth: u32,
    pub(super) chroma: Chroma,
    /// Frames a second, as a fraction.
    pub(super) rate: (u32, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chroma {
    C420,
    C422,
    C444,
}

/// A frame's planes: its bytes, and the distance of its rows.
pub(super) type Planes<'a> = [(&'a [u8], usize); 3];

/// A packet: one frame that is shown, and what is needed for it.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) number: i64,
    pub(super) is_key: bool,
    pub(super) bytes: Vec<u8>,
}

/// An encoder at work.
pub(super) struct Context {
    // It is begun where it stays: libaom keeps no address of it, but nothing says so.
    codec: Box<sys::aom_codec_ctx_t>,
    pictures: Pictures,
    /// Kinds and contents of what key frames carry besides.
    metadata: Vec<(u32, Vec<u8>)>,
}

// SAFETY: the encoder's state hangs on this value alone, and libaom's calls may come from any thread, one at a time.
unsafe impl Send for Context {}

impl Context {
    pub(super) fn new(pictures: Pictures, settings: &Settings) -> Result<Self, String> {
        let usage = match settings.usage {
            Usage::Good => sys::AOM_USAGE_GOOD_QUALITY,
            Usage::Realtime => sys::AOM_USAGE_REALTIME,
        };
        let mut config = MaybeUninit::<sys::aom_codec_enc_cfg_t>::zeroed();
        // SAFETY: the interface is libaom's own, and the configuration is written whole where the call succeeds.
        let (interface, config) = unsafe {
            let interface = sys::aom_codec_av1_cx();
            if sys::aom_codec_enc_config_default(interface, config.as_mut_ptr(), usage) != sys::AOM_CODEC_OK {
                return Err("libaom has no such usage".to_owned());
            }
            (interface, config.assume_init())
        };
        let config = configured(config, pictures, settings);
        let flags = if pictures.depth > 8 { sys::AOM_CODEC_USE_HIGHBITDEPTH } else { 0 };
        let mut codec = Box::new(MaybeUninit::<sys::aom_codec_ctx_t>::zeroed());
        let version = c_int::try_from(sys::AOM_ENCODER_ABI_VERSION).unwrap_or_default();
        // SAFETY: the context is zeroed memory of its type, as the call wants it, and the configuration lives until it is back.
        let begun = unsafe {
            sys::aom_codec_enc_init_ver(
                codec.as_mut_ptr(),
                interface,
                &raw const config,
                sys::aom_codec_flags_t::from(flags),
                version,
            )
        };
        if begun != sys::AOM_CODEC_OK {
            // SAFETY: zeroed, or what the call has left, which needs no destruction.
            let codec = unsafe { codec.assume_init() };
            return Err(told(&codec, begun));
        }
        // SAFETY: the call has begun it.
        let mut made = Self { codec: unsafe { codec.assume_init() }, pictures, metadata: metadata(settings) };
        for (control, value) in controls(settings) {
            made.control(control, value)?;
        }
        Ok(made)
    }

    fn control(&mut self, control: u32, value: u32) -> Result<(), String> {
        let (id, value) = (c_int::try_from(control).unwrap_or_default(), c_int::try_from(value));
        // SAFETY: a context that was begun, and a control that takes an integer.
        let set = unsafe { sys::aom_codec_control(&raw mut *self.codec, id, value.unwrap_or_default()) };
        if set == sys::AOM_CODEC_OK { Ok(()) } else { Err(self.said(set)) }
    }

    /// Takes a frame, which libaom copies.
    pub(super) fn encode(&mut self, planes: Planes<'_>, number: i64, is_key: bool) -> Result<(), String> {
        let mut image = self.image(planes)?;
        self.describe(&mut image)?;
        let flags = if is_key { sys::AOM_EFLAG_FORCE_KF } else { 0 };
        // SAFETY: the context was begun, the image's planes were measured and live until the call is back, which writes none.
        let taken = unsafe {
            sys::aom_codec_encode(
                &raw mut *self.codec,
                &raw const image,
                number,
                1,
                sys::aom_enc_frame_flags_t::from(flags),
            )
        };
        // SAFETY: an image of libaom's form; what was added to it is freed, and it has copied the rest.
        unsafe { sys::aom_img_remove_metadata(&raw mut image) };
        if taken == sys::AOM_CODEC_OK { Ok(()) } else { Err(self.said(taken)) }
    }

    /// Adds to an image what is written beside it where it becomes a key frame.
    fn describe(&self, image: &mut sys::aom_image_t) -> Result<(), String> {
        for (kind, bytes) in &self.metadata {
            // SAFETY: an image of libaom's form; the bytes are copied.
            let added = unsafe {
                sys::aom_img_add_metadata(
                    &raw mut *image,
                    *kind,
                    bytes.as_ptr(),
                    bytes.len(),
                    sys::AOM_MIF_KEY_FRAME,
                )
            };
            if added != 0 {
                // SAFETY: as above.
                unsafe { sys::aom_img_remove_metadata(&raw mut *image) };
                return Err("there is no memory for what a frame says of its light".to_owned());
            }
        }
        Ok(())
    }

    /// No frame comes any more; packets that are still to come are had by [`Self::packets`], after which this is asked again
    /// until none comes.
    pub(super) fn end(&mut self) -> Result<(), String> {
        // SAFETY: the context was begun; no image is the end.
        let ended = unsafe { sys::aom_codec_encode(&raw mut *self.codec, ptr::null(), 0, 0, 0) };
        if ended == sys::AOM_CODEC_OK { Ok(()) } else { Err(self.said(ended)) }
    }

    /// What is ready.
    pub(super) fn packets(&mut self) -> Vec<Packet> {
        let (mut at, mut found) = (ptr::null(), Vec::new());
        loop {
            // SAFETY: the context was begun and the place is the one that the call left.
            let packet = unsafe { sys::aom_codec_get_cx_data(&raw mut *self.codec, &raw mut at).as_ref() };
            let Some(packet) = packet else { return found };
            if packet.kind != sys::AOM_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: of this kind the union holds a frame, whose bytes live until the next call of the encoder.
            let (frame, bytes) = unsafe {
                let frame = packet.data.frame;
                (frame, slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz))
            };
            let is_key = frame.flags & sys::AOM_FRAME_IS_KEY != 0;
            found.push(Packet { number: frame.pts, is_key, bytes: bytes.to_vec() });
        }
    }

    /// A description of a frame for libaom, whose planes are as long as it says.
    fn image(&self, planes: Planes<'_>) -> Result<sys::aom_image_t, String> {
        let Pictures { width, height, depth, chroma, .. } = self.pictures;
        let format = match (chroma, depth > 8) {
            (Chroma::C420, false) => sys::AOM_IMG_FMT_I420,
            (Chroma::C422, false) => sys::AOM_IMG_FMT_I422,
            (Chroma::C444, false) => sys::AOM_IMG_FMT_I444,
            (Chroma::C420, true) => sys::AOM_IMG_FMT_I42016,
            (Chroma::C422, true) => sys::AOM_IMG_FMT_I42216,
            (Chroma::C444, true) => sys::AOM_IMG_FMT_I44416,
        };
        let mut image = MaybeUninit::<sys::aom_image_t>::zeroed();
        let first = planes[0].0.as_ptr().cast_mut();
        // SAFETY: zeroed memory of its type that the call fills; it keeps the pointer and reads nothing.
        let mut image = unsafe {
            if sys::aom_img_wrap(image.as_mut_ptr(), format, width, height, 1, first).is_null() {
                return Err(format!("libaom takes no frames of {width}x{height}"));
            }
            image.assume_init()
        };
        let halves = match chroma {
            Chroma::C420 => (2, 2),
            Chroma::C422 => (2, 1),
            Chroma::C444 => (1, 1),
        };
        let sample = if depth > 8 { 2 } else { 1 };
        for (number, ((bytes, stride), (place, distance))) in
            planes.into_iter().zip(image.planes.iter_mut().zip(&mut image.stride)).enumerate()
        {
            let (across, down) = if number == 0 { (1, 1) } else { halves };
            let (row, rows) = (width.div_ceil(across) as usize * sample, height.div_ceil(down) as usize);
            if stride < row || bytes.len() < stride * rows.saturating_sub(1) + row {
                return Err("a frame is smaller than its description".to_owned());
            }
            *place = bytes.as_ptr().cast_mut();
            *distance = c_int::try_from(stride).map_err(|_| "a frame's rows are too long".to_owned())?;
        }
        Ok(image)
    }

    fn said(&self, code: sys::aom_codec_err_t) -> String {
        told(&self.codec, code)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("pictures", &self.pictures).finish_non_exhaustive()
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context was begun, and nobody has it after this.
        unsafe { sys::aom_codec_destroy(&raw mut *self.codec) };
    }
}

fn configured(
    mut config: sys::aom_codec_enc_cfg_t,
    pictures: Pictures,
    settings: &Settings,
) -> sys::aom_codec_enc_cfg_t {
    config.g_threads = settings.thread_count();
    config.g_profile = match pictures.chroma {
        Chroma::C420 => 0,
        Chroma::C444 => 1,
        Chroma::C422 => 2,
    };
    (config.g_w, config.g_h) = (pictures.width, pictures.height);
    (config.g_bit_depth, config.g_input_bit_depth) = (pictures.depth, pictures.depth);
    // Frames are counted: their times are GStreamer's.
    let part = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX).max(1);
    config.g_timebase = sys::aom_rational { num: part(pictures.rate.1), den: part(pictures.rate.0) };
    config.g_pass = sys::AOM_RC_ONE_PASS;
    config.g_lag_in_frames = if settings.usage == Usage::Realtime { 0 } else { LOOKAHEAD };
    config.kf_mode = if settings.keys == Keys::Asked { sys::AOM_KF_DISABLED } else { sys::AOM_KF_AUTO };
    (config.kf_min_dist, config.kf_max_dist) = match settings.keys {
        // Equal distances are libaom's word for that.
        Keys::Every(frames) => (frames, frames),
        Keys::AtMost(frames) => (0, frames),
        Keys::Asked => (0, NEVER),
    };
    (config.rc_min_quantizer, config.rc_max_quantizer) = (0, WORST);
    match settings.rate {
        Rate::Lossless => {
            config.rc_end_usage = sys::AOM_Q;
            config.rc_max_quantizer = 0;
        }
        Rate::Quality(level) => {
            config.rc_end_usage = sys::AOM_Q;
            config.rc_min_quantizer = finest(u32::from(level));
        }
        Rate::Capped(_, kbps) => {
            config.rc_end_usage = sys::AOM_CQ;
            config.rc_target_bitrate = kbps;
        }
        Rate::Constant(kbps, buffer_ms) => {
            config.rc_end_usage = sys::AOM_CBR;
            config.rc_target_bitrate = kbps;
            config.rc_buf_sz = buffer_ms;
            config.rc_buf_initial_sz = buffer_ms / 2;
            config.rc_buf_optimal_sz = buffer_ms * 3 / 4;
        }
    }
    config
}

/// The finest quantizer of any frame at a level of quality. libaom gives frames that others follow a finer one than the level; near
/// the coarse end all are alike, so that a bound on the rate is within reach.
fn finest(level: u32) -> u32 {
    let level = level.min(WORST);
    level.saturating_sub(2 * (WORST - level))
}

fn metadata(settings: &Settings) -> Vec<(u32, Vec<u8>)> {
    let Some(mastering) = &settings.mastering else { return Vec::new() };
    let display = mastering.to_mdcv().map(|bytes| (sys::OBU_METADATA_TYPE_HDR_MDCV, bytes));
    display
        .into_iter()
        .chain(mastering.to_cll().map(|bytes| (sys::OBU_METADATA_TYPE_HDR_CLL, bytes)))
        .collect()
}

fn controls(settings: &Settings) -> Vec<(c_uint, u32)> {
    let [primaries, transfer, matrix] = settings.points.map(u32::from);
    let mut controls = vec![
        (sys::AOME_SET_CPUUSED, u32::try_from(settings.speed).unwrap_or_default()),
        (sys::AV1E_SET_ROW_MT, 1),
        (sys::AV1E_SET_TILE_COLUMNS, settings.tile_columns),
        (sys::AV1E_SET_COLOR_PRIMARIES, primaries),
        (sys::AV1E_SET_TRANSFER_CHARACTERISTICS, transfer),
        (sys::AV1E_SET_MATRIX_COEFFICIENTS, matrix),
        (sys::AV1E_SET_COLOR_RANGE, u32::from(settings.is_full_range)),
    ];
    match settings.rate {
        Rate::Lossless => controls.push((sys::AV1E_SET_LOSSLESS, 1)),
        Rate::Quality(level) | Rate::Capped(level, _) => {
            controls.push((sys::AOME_SET_CQ_LEVEL, u32::from(level)));
        }
        Rate::Constant(..) => {}
    }
    controls
}

/// libaom's version.
pub(super) fn version() -> String {
    // SAFETY: a constant text that ends with a zero.
    let text = unsafe { CStr::from_ptr(sys::aom_codec_version_str()) };
    text.to_string_lossy().into_owned()
}

/// What libaom says of its last error.
fn told(codec: &sys::aom_codec_ctx_t, code: sys::aom_codec_err_t) -> String {
    // SAFETY: the texts are constants, or live as long as the context does, and end with a zero.
    unsafe {
        let text = |at: *const std::ffi::c_char| {
            (!at.is_null()).then(|| CStr::from_ptr(at).to_string_lossy().into_owned())
        };
        let what = text(sys::aom_codec_err_to_string(code)).unwrap_or_default();
        let why = text(sys::aom_codec_error_detail(codec));
        why.map_or_else(|| what.clone(), |why| format!("{what}: {why}"))
    }
}
