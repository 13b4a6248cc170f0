//! libaom's encoder.
#![expect(unsafe_code, reason = "libaom is a C library; each use says why it is sound")]

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::{fmt, ptr, slice};

use gstreamer as gst;
use libaom_sys as sys;

use super::{
    Chroma, Given, Keys, LOOKAHEAD, Library, NEVER, Packet, Pass, Pictures, Planes, Rate, Settings, Usage,
    WORST,
};

/// An encoder at work.
pub(super) struct Aom {
    // It is begun where it stays: libaom keeps no address of it, but nothing says so.
    codec: Box<sys::aom_codec_ctx_t>,
    pictures: Pictures,
    /// Kinds and contents of what key frames carry besides.
    metadata: Vec<(u32, Vec<u8>)>,
    /// What the first pass has left, which libaom reads from here.
    _statistics: Vec<u8>,
}

// SAFETY: the encoder's state hangs on this value alone, and libaom's calls may come from any thread, one at a time.
unsafe impl Send for Aom {}

impl Library for Aom {
    const NAME: &'static str = "libaom";

    fn packets(_: Option<Pictures>) -> gst::Caps {
        let av1 = gst::Caps::builder("video/x-av1");
        av1.field("stream-format", "obu-stream").field("alignment", "tu").build()
    }

    fn new(pictures: Pictures, settings: &Settings) -> Result<Self, String> {
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
        let mut statistics = settings.statistics()?;
        let mut config = configured(config, pictures, settings);
        config.rc_twopass_stats_in =
            sys::aom_fixed_buf_t { buf: statistics.as_mut_ptr().cast(), sz: statistics.len() };
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
        let mut made = Self {
            codec: unsafe { codec.assume_init() },
            pictures,
            metadata: metadata(settings),
            _statistics: statistics,
        };
        for (control, value) in controls(settings) {
            made.control(control, value)?;
        }
        Ok(made)
    }

    fn set_level(&mut self, level: u32) -> Result<(), String> {
        self.control(sys::AOME_SET_CQ_LEVEL, level)
    }

    fn encode(&mut self, planes: Planes<'_>, number: i64, is_key: bool) -> Result<(), String> {
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

    fn end(&mut self) -> Result<(), String> {
        // SAFETY: the context was begun; no image is the end.
        let ended = unsafe { sys::aom_codec_encode(&raw mut *self.codec, ptr::null(), 0, 0, 0) };
        if ended == sys::AOM_CODEC_OK { Ok(()) } else { Err(self.said(ended)) }
    }

    fn given(&mut self) -> Vec<Given> {
        let (mut at, mut found) = (ptr::null(), Vec::new());
        loop {
            // SAFETY: the context was begun and the place is the one that the call left.
            let packet = unsafe { sys::aom_codec_get_cx_data(&raw mut *self.codec, &raw mut at).as_ref() };
            let Some(packet) = packet else { return found };
            // SAFETY: of these kinds the union holds a frame or statistics, whose bytes live until the next call of the encoder.
            unsafe {
                if packet.kind == sys::AOM_CODEC_CX_FRAME_PKT {
                    let frame = packet.data.frame;
                    let bytes = slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz).to_vec();
                    let is_key = frame.flags & sys::AOM_FRAME_IS_KEY != 0;
                    found.push(Given::Packet(Packet { number: frame.pts, is_key, bytes }));
                } else if packet.kind == sys::AOM_CODEC_STATS_PKT {
                    let told = packet.data.twopass_stats;
                    found.push(Given::Statistics(
                        slice::from_raw_parts(told.buf.cast::<u8>(), told.sz).to_vec(),
                    ));
                }
            }
        }
    }
}

impl Aom {
    fn control(&mut self, control: u32, value: u32) -> Result<(), String> {
        let (id, value) = (c_int::try_from(control).unwrap_or_default(), c_int::try_from(value));
        // SAFETY: a context that was begun, and a control that takes an integer.
        let set = unsafe { sys::aom_codec_control(&raw mut *self.codec, id, value.unwrap_or_default()) };
        if set == sys::AOM_CODEC_OK { Ok(()) } else { Err(self.said(set)) }
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

    /// A description of a frame for libaom, whose planes are as long as it says.
    fn image(&self, planes: Planes<'_>) -> Result<sys::aom_image_t, String> {
        self.pictures.measure(&planes)?;
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
        for ((bytes, stride), (place, distance)) in
            planes.into_iter().zip(image.planes.iter_mut().zip(&mut image.stride))
        {
            *place = bytes.as_ptr().cast_mut();
            *distance = c_int::try_from(stride).map_err(|_| "a frame's rows are too long".to_owned())?;
        }
        Ok(image)
    }

    fn said(&self, code: sys::aom_codec_err_t) -> String {
        told(&self.codec, code)
    }
}

impl fmt::Debug for Aom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aom").field("pictures", &self.pictures).finish_non_exhaustive()
    }
}

impl Drop for Aom {
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
    config.g_pass = match settings.pass {
        Pass::Single => sys::AOM_RC_ONE_PASS,
        Pass::First(_) => sys::AOM_RC_FIRST_PASS,
        Pass::Second(_) => sys::AOM_RC_SECOND_PASS,
    };
    config.g_lag_in_frames = if settings.usage == Usage::Realtime { 0 } else { LOOKAHEAD };
    let is_asked = matches!(settings.keys, Keys::Asked | Keys::Anew(0));
    config.kf_mode = if is_asked { sys::AOM_KF_DISABLED } else { sys::AOM_KF_AUTO };
    (config.kf_min_dist, config.kf_max_dist) = match settings.keys {
        // Equal distances are libaom's word for that.
        Keys::Anew(0) | Keys::Asked => (0, NEVER),
        Keys::Every(frames) | Keys::Anew(frames) => (frames, frames),
        Keys::AtMost(frames) => (0, frames),
    };
    (config.rc_min_quantizer, config.rc_max_quantizer) = (0, WORST);
    match settings.rate {
        Rate::Lossless => {
            config.rc_end_usage = sys::AOM_Q;
            config.rc_max_quantizer = 0;
        }
        Rate::Quality(level) => {
            config.rc_end_usage = sys::AOM_Q;
            config.rc_min_quantizer = settings.finest(level);
        }
        Rate::Capped(level, kbps) => {
            config.rc_end_usage = sys::AOM_CQ;
            config.rc_target_bitrate = kbps;
            config.rc_min_quantizer = settings.finest(level);
        }
        Rate::Constant(kbps, buffer_ms) => {
            config.rc_end_usage = sys::AOM_CBR;
            config.rc_target_bitrate = kbps;
            config.rc_buf_sz = buffer_ms;
            config.rc_buf_initial_sz = buffer_ms / 2;
            config.rc_buf_optimal_sz = buffer_ms * 3 / 4;
        }
        Rate::Mean(kbps, most) => {
            config.rc_end_usage = sys::AOM_VBR;
            config.rc_target_bitrate = kbps;
            config.rc_2pass_vbr_maxsection_pct = most.unwrap_or(config.rc_2pass_vbr_maxsection_pct);
        }
    }
    config
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
        Rate::Constant(..) | Rate::Mean(..) => {}
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
