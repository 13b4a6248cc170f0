//! libvpx's encoder of VP9.
//!
//! Settings that are not named are libvpx's; the rest are those that ffmpeg has for `libvpx-vp9`.
#![expect(unsafe_code, reason = "libvpx is a C library; each use says why it is sound")]

use std::ffi::{CStr, c_int, c_long, c_ulong};
use std::mem::MaybeUninit;
use std::{fmt, ptr, slice};

use gstreamer as gst;
use vpx_sys as sys;
use vpx_sys::vp8e_enc_control_id as control;

use super::{
    Chroma, Given, Keys, LOOKAHEAD, Library, NEVER, Packet, Pass, Pictures, Planes, Rate, Settings, WORST,
};

/// "Good" quality, which is what libvpx takes where it has more time for a frame than the frame is shown.
const DEADLINE: c_ulong = u32::MAX as c_ulong;

/// An encoder at work.
pub(super) struct Vpx {
    // It is begun where it stays: libvpx keeps no address of it, but nothing says so.
    codec: Box<sys::vpx_codec_ctx_t>,
    pictures: Pictures,
    /// What the first pass has left, which libvpx reads from here.
    _statistics: Vec<u8>,
}

// SAFETY: the encoder's state hangs on this value alone, and libvpx's calls may come from any thread, one at a time.
unsafe impl Send for Vpx {}

impl Library for Vpx {
    const NAME: &'static str = "libvpx";

    fn packets(pictures: Option<Pictures>) -> gst::Caps {
        let vp9 = gst::Caps::builder("video/x-vp9");
        match pictures {
            Some(pictures) => vp9.field("profile", profile(pictures).to_string()).build(),
            None => vp9.build(),
        }
    }

    fn new(pictures: Pictures, settings: &Settings) -> Result<Self, String> {
        let mut config = MaybeUninit::<sys::vpx_codec_enc_cfg_t>::zeroed();
        // SAFETY: the interface is libvpx's own, and the configuration is written whole where the call succeeds.
        let (interface, config) = unsafe {
            let interface = sys::vpx_codec_vp9_cx();
            let made = sys::vpx_codec_enc_config_default(interface, config.as_mut_ptr(), 0);
            if made != sys::vpx_codec_err_t::VPX_CODEC_OK {
                return Err("libvpx has no VP9".to_owned());
            }
            (interface, config.assume_init())
        };
        let mut statistics = settings.statistics()?;
        let mut config = configured(config, pictures, settings);
        // One kind of number in the bindings of one version, another in those of the next.
        let sz = statistics.len().try_into().unwrap_or_default();
        config.rc_twopass_stats_in = sys::vpx_fixed_buf_t { buf: statistics.as_mut_ptr().cast(), sz };
        let flags = if pictures.depth > 8 { sys::VPX_CODEC_USE_HIGHBITDEPTH } else { 0 };
        let mut codec = Box::new(MaybeUninit::<sys::vpx_codec_ctx_t>::zeroed());
        let version = c_int::try_from(sys::VPX_ENCODER_ABI_VERSION).unwrap_or_default();
        // SAFETY: the context is zeroed memory of its type, as the call wants it, and the configuration lives until it is back.
        let begun = unsafe {
            sys::vpx_codec_enc_init_ver(
                codec.as_mut_ptr(),
                interface,
                &raw const config,
                sys::vpx_codec_flags_t::from(flags),
                version,
            )
        };
        // SAFETY: begun by the call, or zeroed, or what the call has left, which needs no destruction.
        let mut codec = unsafe { codec.assume_init() };
        if begun != sys::vpx_codec_err_t::VPX_CODEC_OK {
            return Err(told(&mut codec, begun));
        }
        let mut made = Self { codec, pictures, _statistics: statistics };
        for (control, value) in controls(settings) {
            made.control(control, value)?;
        }
        Ok(made)
    }

    fn set_level(&mut self, level: u32) -> Result<(), String> {
        self.control(control::VP8E_SET_CQ_LEVEL, level)
    }

    fn encode(&mut self, planes: Planes<'_>, number: i64, is_key: bool) -> Result<(), String> {
        let image = self.image(planes)?;
        let flags = if is_key { c_long::from(sys::VPX_EFLAG_FORCE_KF) } else { 0 };
        // SAFETY: the context was begun, the image's planes were measured and live until the call is back, which writes none.
        let taken = unsafe {
            sys::vpx_codec_encode(&raw mut *self.codec, &raw const image, number, 1, flags, DEADLINE)
        };
        self.judged(taken)
    }

    fn end(&mut self) -> Result<(), String> {
        // SAFETY: the context was begun; no image is the end.
        let ended = unsafe { sys::vpx_codec_encode(&raw mut *self.codec, ptr::null(), 0, 0, 0, DEADLINE) };
        self.judged(ended)
    }

    fn given(&mut self) -> Vec<Given> {
        let (mut at, mut found) = (ptr::null(), Vec::new());
        loop {
            // SAFETY: the context was begun and the place is the one that the call left.
            let packet = unsafe { sys::vpx_codec_get_cx_data(&raw mut *self.codec, &raw mut at).as_ref() };
            let Some(packet) = packet else { return found };
            // SAFETY: of these kinds the union holds a frame or statistics, whose bytes live until the next call of the encoder.
            unsafe {
                match packet.kind {
                    sys::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT => {
                        let frame = packet.data.frame;
                        let length = usize::try_from(frame.sz).unwrap_or_default();
                        let bytes = slice::from_raw_parts(frame.buf.cast::<u8>(), length).to_vec();
                        let is_key = frame.flags & sys::VPX_FRAME_IS_KEY != 0;
                        found.push(Given::Packet(Packet { number: frame.pts, is_key, bytes }));
                    }
                    sys::vpx_codec_cx_pkt_kind::VPX_CODEC_STATS_PKT => {
                        let told = packet.data.twopass_stats;
                        let length = usize::try_from(told.sz).unwrap_or_default();
                        let bytes = slice::from_raw_parts(told.buf.cast::<u8>(), length);
                        found.push(Given::Statistics(bytes.to_vec()));
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Vpx {
    fn control(&mut self, control: control, value: u32) -> Result<(), String> {
        let value = c_int::try_from(value).unwrap_or_default();
        // SAFETY: a context that was begun, and a control that takes an integer.
        let set = unsafe { sys::vpx_codec_control_(&raw mut *self.codec, control as c_int, value) };
        self.judged(set)
    }

    /// A description of a frame for libvpx, whose planes are as long as it says.
    fn image(&self, planes: Planes<'_>) -> Result<sys::vpx_image_t, String> {
        self.pictures.measure(&planes)?;
        let Pictures { width, height, depth, chroma, .. } = self.pictures;
        let format = match (chroma, depth > 8) {
            (Chroma::C420, false) => sys::vpx_img_fmt::VPX_IMG_FMT_I420,
            (Chroma::C422, false) => sys::vpx_img_fmt::VPX_IMG_FMT_I422,
            (Chroma::C444, false) => sys::vpx_img_fmt::VPX_IMG_FMT_I444,
            (Chroma::C420, true) => sys::vpx_img_fmt::VPX_IMG_FMT_I42016,
            (Chroma::C422, true) => sys::vpx_img_fmt::VPX_IMG_FMT_I42216,
            (Chroma::C444, true) => sys::vpx_img_fmt::VPX_IMG_FMT_I44416,
        };
        let mut image = MaybeUninit::<sys::vpx_image_t>::zeroed();
        let first = planes[0].0.as_ptr().cast_mut();
        // SAFETY: zeroed memory of its type that the call fills; it keeps the pointer and reads nothing.
        let mut image = unsafe {
            if sys::vpx_img_wrap(image.as_mut_ptr(), format, width, height, 1, first).is_null() {
                return Err(format!("libvpx takes no frames of {width}x{height}"));
            }
            image.assume_init()
        };
        image.bit_depth = depth;
        for ((bytes, stride), (place, distance)) in
            planes.into_iter().zip(image.planes.iter_mut().zip(&mut image.stride))
        {
            *place = bytes.as_ptr().cast_mut();
            *distance = c_int::try_from(stride).map_err(|_| "a frame's rows are too long".to_owned())?;
        }
        Ok(image)
    }

    fn judged(&mut self, code: sys::vpx_codec_err_t) -> Result<(), String> {
        if code == sys::vpx_codec_err_t::VPX_CODEC_OK { Ok(()) } else { Err(told(&mut self.codec, code)) }
    }
}

impl fmt::Debug for Vpx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vpx").field("pictures", &self.pictures).finish_non_exhaustive()
    }
}

impl Drop for Vpx {
    fn drop(&mut self) {
        // SAFETY: the context was begun, and nobody has it after this.
        unsafe { sys::vpx_codec_destroy(&raw mut *self.codec) };
    }
}

fn profile(pictures: Pictures) -> u32 {
    match (pictures.chroma, pictures.depth > 8) {
        (Chroma::C420, false) => 0,
        (_, false) => 1,
        (Chroma::C420, true) => 2,
        (_, true) => 3,
    }
}

fn configured(
    mut config: sys::vpx_codec_enc_cfg_t,
    pictures: Pictures,
    settings: &Settings,
) -> sys::vpx_codec_enc_cfg_t {
    config.g_threads = settings.thread_count();
    config.g_profile = profile(pictures);
    (config.g_w, config.g_h) = (pictures.width, pictures.height);
    config.g_bit_depth =
        if pictures.depth > 8 { sys::vpx_bit_depth::VPX_BITS_10 } else { sys::vpx_bit_depth::VPX_BITS_8 };
    config.g_input_bit_depth = pictures.depth;
    // Frames are counted: their times are GStreamer's.
    let part = |value: u32| c_int::try_from(value).unwrap_or(c_int::MAX).max(1);
    config.g_timebase = sys::vpx_rational { num: part(pictures.rate.1), den: part(pictures.rate.0) };
    config.g_pass = match settings.pass {
        Pass::Single => sys::vpx_enc_pass::VPX_RC_ONE_PASS,
        Pass::First(_) => sys::vpx_enc_pass::VPX_RC_FIRST_PASS,
        Pass::Second(_) => sys::vpx_enc_pass::VPX_RC_LAST_PASS,
    };
    config.g_lag_in_frames = LOOKAHEAD;
    config.kf_mode = if matches!(settings.keys, Keys::Asked | Keys::Anew(0)) {
        sys::vpx_kf_mode::VPX_KF_DISABLED
    } else {
        sys::vpx_kf_mode::VPX_KF_AUTO
    };
    (config.kf_min_dist, config.kf_max_dist) = match settings.keys {
        // Equal distances are libvpx's word for that.
        Keys::Anew(0) | Keys::Asked => (0, NEVER),
        Keys::Every(frames) | Keys::Anew(frames) => (frames, frames),
        Keys::AtMost(frames) => (0, frames),
    };
    (config.rc_min_quantizer, config.rc_max_quantizer) = (0, WORST);
    match settings.rate {
        Rate::Lossless => {
            config.rc_end_usage = sys::vpx_rc_mode::VPX_Q;
            config.rc_max_quantizer = 0;
        }
        Rate::Quality(level) => {
            config.rc_end_usage = sys::vpx_rc_mode::VPX_Q;
            config.rc_min_quantizer = settings.finest(level);
        }
        Rate::Capped(level, kbps) => {
            config.rc_end_usage = sys::vpx_rc_mode::VPX_CQ;
            config.rc_target_bitrate = kbps;
            config.rc_min_quantizer = settings.finest(level);
        }
        Rate::Constant(kbps, buffer_ms) => {
            config.rc_end_usage = sys::vpx_rc_mode::VPX_CBR;
            config.rc_target_bitrate = kbps;
            config.rc_buf_sz = buffer_ms;
            config.rc_buf_initial_sz = buffer_ms / 2;
            config.rc_buf_optimal_sz = buffer_ms * 3 / 4;
        }
        Rate::Mean(kbps, most) => {
            config.rc_end_usage = sys::vpx_rc_mode::VPX_VBR;
            config.rc_target_bitrate = kbps;
            config.rc_2pass_vbr_maxsection_pct = most.unwrap_or(config.rc_2pass_vbr_maxsection_pct);
        }
    }
    config
}

fn controls(settings: &Settings) -> Vec<(control, u32)> {
    let threads = settings.thread_count();
    let mut controls = vec![
        (control::VP8E_SET_CPUUSED, u32::try_from(settings.speed).unwrap_or_default()),
        (control::VP8E_SET_ENABLEAUTOALTREF, u32::from(settings.has_hidden_frames)),
        (control::VP8E_SET_ARNR_MAXFRAMES, 7),
        (control::VP8E_SET_ARNR_STRENGTH, 5),
        (control::VP9E_SET_FRAME_PARALLEL_DECODING, 0),
        (control::VP9E_SET_TILE_COLUMNS, settings.tile_columns),
        // Rows side by side cost libvpx a shortcut (what it learns of thresholds from block to block): 5 to 14 % of the time of one
        // thread, which has no use for them.
        (control::VP9E_SET_ROW_MT, u32::from(threads > 1)),
    ];
    match settings.rate {
        Rate::Lossless => controls.push((control::VP9E_SET_LOSSLESS, 1)),
        Rate::Quality(level) | Rate::Capped(level, _) => {
            controls.push((control::VP8E_SET_CQ_LEVEL, u32::from(level)));
        }
        Rate::Constant(..) | Rate::Mean(..) => {}
    }
    controls
}

/// libvpx's version.
pub(super) fn version() -> String {
    // SAFETY: a constant text that ends with a zero.
    let text = unsafe { CStr::from_ptr(sys::vpx_codec_version_str()) };
    text.to_string_lossy().into_owned()
}

/// What libvpx says of its last error.
fn told(codec: &mut sys::vpx_codec_ctx_t, code: sys::vpx_codec_err_t) -> String {
    // SAFETY: the texts are constants, or live as long as the context does, and end with a zero.
    unsafe {
        let text = |at: *const std::ffi::c_char| {
            (!at.is_null()).then(|| CStr::from_ptr(at).to_string_lossy().into_owned())
        };
        let what = text(sys::vpx_codec_err_to_string(code)).unwrap_or_default();
        let why = text(sys::vpx_codec_error_detail(&raw mut *codec));
        why.map_or_else(|| what.clone(), |why| format!("{what}: {why}"))
    }
}
