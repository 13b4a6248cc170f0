//! GStreamer's media types and formats in the names that the field uses.

use gstreamer as gst;

/// A codec's short name, as FFmpeg has it.
pub(super) fn codec(caps: &gst::StructureRef) -> String {
    let number = |field| caps.get::<i32>(field).unwrap_or(0);
    let text = |field| caps.get::<String>(field).unwrap_or_default();
    let short = match caps.name().as_str() {
        "video/x-h265" => "hevc",
        "video/mpeg" => match number("mpegversion") {
            1 => "mpeg1video",
            2 => "mpeg2video",
            _ => "mpeg4",
        },
        "image/jpeg" => "mjpeg",
        "video/x-wmv" => match (number("wmvversion"), text("format").as_str()) {
            (1, _) => "wmv1",
            (2, _) => "wmv2",
            (_, "WVC1") => "vc1",
            _ => "wmv3",
        },
        "video/x-raw" => "rawvideo",
        "video/x-dv" => "dvvideo",
        "video/x-flash-video" => "flv1",
        "video/x-divx" | "video/x-xvid" => "mpeg4",
        "audio/mpeg" => match (number("mpegversion"), number("layer")) {
            (1, 1) => "mp1",
            (1, 2) => "mp2",
            (1, _) => "mp3",
            _ => "aac",
        },
        "audio/x-raw" => return format!("pcm_{}", text("format").to_lowercase()),
        "audio/x-alaw" => "pcm_alaw",
        "audio/x-mulaw" => "pcm_mulaw",
        "audio/AMR" => "amr_nb",
        "audio/AMR-WB" => "amr_wb",
        "audio/x-wma" => match number("wmaversion") {
            1 => "wmav1",
            2 => "wmav2",
            _ => "wmapro",
        },
        other => other.split_once('/').map_or(other, |(_, name)| name.strip_prefix("x-").unwrap_or(name)),
    };
    short.to_owned()
}

/// A subtitle codec's short name.
pub(super) fn subtitle(caps: &gst::StructureRef, container: &str) -> String {
    match caps.name().as_str() {
        "text/x-raw" if matches!(container, "mp4" | "mov") => "mov_text",
        "text/x-raw" => "subrip",
        "application/x-subtitle-vtt" | "text/vtt" => "webvtt",
        "application/x-ssa" | "application/x-ass" => "ass",
        "subpicture/x-pgs" => "hdmv_pgs_subtitle",
        "subpicture/x-dvd" => "dvd_subtitle",
        "subpicture/x-dvb" => "dvb_subtitle",
        "closedcaption/x-cea-608" | "closedcaption/x-cea-708" => "eia_608",
        other => return other.rsplit('/').next().unwrap_or(other).trim_start_matches("x-").to_owned(),
    }
    .to_owned()
}

/// Whether a media type is a subtitle's.
pub(super) fn is_subtitle(name: &str) -> bool {
    [
        "text/",
        "subpicture/",
        "closedcaption/",
        "application/x-subtitle",
        "application/x-ssa",
        "application/x-ass",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

/// FFmpeg's name of a planar YUV format.
pub(super) fn yuv(chroma: &str, depth: u32) -> String {
    let sampling = match chroma {
        "4:4:4" => "444",
        "4:2:2" => "422",
        "4:1:1" => "411",
        "4:0:0" => return if depth > 8 { format!("gray{depth}le") } else { "gray".to_owned() },
        _ => "420",
    };
    if depth > 8 { format!("yuv{sampling}p{depth}le") } else { format!("yuv{sampling}p") }
}

/// FFmpeg's name of a raw video format, and its bits a component.
pub(super) fn raw_video(format: &str) -> (String, u8) {
    let depth = if format.contains("16") {
        16
    } else if format.contains("12") && format != "NV12" {
        12
    } else if format.contains("10") {
        10
    } else {
        8
    };
    let name = match format {
        "I420" | "YV12" => "yuv420p",
        "Y42B" => "yuv422p",
        "Y444" => "yuv444p",
        "Y41B" => "yuv411p",
        "YUY2" => "yuyv422",
        "UYVY" => "uyvy422",
        "A420" => "yuva420p",
        "GRAY8" => "gray",
        "RGB" => "rgb24",
        "BGR" => "bgr24",
        "GBR" => "gbrp",
        "GBRA" => "gbrap",
        "RGBx" => "rgb0",
        "BGRx" => "bgr0",
        "I420_10LE" => "yuv420p10le",
        "I422_10LE" => "yuv422p10le",
        "Y444_10LE" => "yuv444p10le",
        "I420_12LE" => "yuv420p12le",
        "I422_12LE" => "yuv422p12le",
        "Y444_12LE" => "yuv444p12le",
        "ARGB64" | "RGBA64_LE" => "rgba64le",
        "GRAY16_LE" => "gray16le",
        other => return (other.to_lowercase(), depth),
    };
    (name.to_owned(), depth)
}

/// A layout's name from its number of channels and positions.
pub(super) fn layout(channels: u16, mask: u64) -> &'static str {
    const LOW_FREQUENCY: u64 = 1 << 3;
    match channels {
        1 => "mono",
        2 => "stereo",
        3 if mask & LOW_FREQUENCY != 0 => "2.1",
        3 => "3.0",
        4 => "4.0",
        5 => "5.0",
        6 => "5.1",
        7 => "6.1",
        8 => "7.1",
        _ => "",
    }
}
