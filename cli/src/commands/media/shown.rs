//! What operations found out, as people read it.

use std::path::Path;

use rushes_shared::measure::{Comparison, Loudness, Planes};
use rushes_shared::media::{AudioFacts, MediaFacts, VideoFacts};

use crate::table::{Cell, colours, table};
use crate::words;

/// A file's facts: a line for the file and one for each stream.
pub(super) fn facts(facts: &MediaFacts) -> String {
    let mut about = vec![facts.container.clone()];
    // A picture has neither.
    if facts.duration_ns > 0 {
        about.push(words::duration(facts.duration_ns / 1_000_000));
    }
    about.push(words::size(facts.size_bytes));
    if facts.bitrate_bps > 0 {
        about.push(words::bitrate(facts.bitrate_bps));
    }
    let mut text = joined(about) + "\n";
    let mut rows = Vec::new();
    rows.extend(facts.video.iter().map(video));
    rows.extend(facts.audio.iter().map(audio));
    rows.extend(facts.subtitles.iter().map(|s| row("subtitle", &s.codec, &s.language, 0)));
    let rows: Vec<Vec<Cell>> =
        rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect();
    text.push_str(&table(&["STREAM", "CODEC", "FORMAT", "BITRATE"], &rows, colours()));
    for (name, value) in &facts.tags {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}

fn row(kind: &str, codec: &str, format: &str, bps: u64) -> Vec<String> {
    let rate = if bps == 0 { String::new() } else { words::bitrate(bps) };
    vec![kind.to_owned(), codec.to_owned(), format.to_owned(), rate]
}

fn video(video: &VideoFacts) -> Vec<String> {
    let mut parts = vec![format!("{}x{}", video.width, video.height)];
    if let Some(fps) = video.fps {
        parts.push(format!("{:.3} fps{}", fps.value(), if video.vfr { " (variable)" } else { "" }));
    }
    if let Some(sar) = video.sar.filter(|sar| sar.num != sar.den) {
        parts.push(format!("pixels {}:{}", sar.num, sar.den));
    }
    parts.push(words::count(video.frames, "frame"));
    parts.push(video.pixel_format.clone());
    parts.push(video.colour.transfer.clone());
    if video.interlaced {
        parts.push("interlaced".to_owned());
    }
    if video.orientation.clockwise_degrees > 0 {
        parts.push(format!("turned by {}", video.orientation.clockwise_degrees));
    }
    row("video", &named(&video.codec, &video.profile), &joined(parts), video.bitrate_bps)
}

fn audio(audio: &AudioFacts) -> Vec<String> {
    let layout = if audio.layout.is_empty() {
        words::count(audio.channels.into(), "channel")
    } else {
        audio.layout.clone()
    };
    let parts = vec![format!("{} Hz", audio.rate_hz), layout, audio.language.clone()];
    row("audio", &named(&audio.codec, &audio.profile), &joined(parts), audio.bitrate_bps)
}

fn named(codec: &str, profile: &str) -> String {
    if profile.is_empty() { codec.to_owned() } else { format!("{codec} ({profile})") }
}

fn joined(mut parts: Vec<String>) -> String {
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Loudness, a line a value.
pub(super) fn loudness(found: &Loudness) -> String {
    let level =
        |value: Option<f64>, unit: &str| value.map_or("none".to_owned(), |v| format!("{v:.1} {unit}"));
    format!(
        "integrated      {}\nrange           {:.1} LU\ntrue peak       {}\nsample peak     {}\nmomentary max   {}\nshort-term max  {}\n",
        level(found.integrated_lufs, "LUFS"),
        found.range_lu,
        level(found.true_peak_dbtp, "dBTP"),
        level(found.sample_peak_dbfs, "dBFS"),
        level(found.momentary_max_lufs, "LUFS"),
        level(found.short_term_max_lufs, "LUFS"),
    )
}

/// A comparison: the whole, then the worst moments.
pub(super) fn comparison(found: &Comparison) -> String {
    let value = |value: Option<f64>, digits: usize, same: &str| {
        value.map_or_else(|| same.to_owned(), |value| format!("{value:.digits$}"))
    };
    let cells = |name: &str, planes: &Planes, min: Option<f64>, digits: usize, same: &str| {
        let values = [planes.all, planes.y, planes.u, planes.v, min];
        let mut cells = vec![name.to_owned()];
        cells.extend(values.map(|v| value(v, digits, same)));
        cells.into_iter().map(Into::into).collect::<Vec<Cell>>()
    };
    let rows = [
        cells("PSNR dB", &found.psnr_db, found.psnr_min_db, 2, "same"),
        cells("SSIM", &found.ssim, found.ssim_min, 5, "-"),
    ];
    let mut text = format!(
        "{} compared, {} measured, {} missing, {} extra; {}x{}, {} bits{}\n",
        words::count(found.frames, "frame"),
        found.measured,
        found.frames_missing,
        found.frames_extra,
        found.width,
        found.height,
        found.bit_depth,
        if found.scaled { ", scaled to the reference's size (bicubic)" } else { "" }
    );
    if let Some(vmaf) = &found.vmaf {
        let values = [vmaf.mean, vmaf.harmonic_mean, vmaf.worst_percent, vmaf.min].map(|v| format!("{v:.2}"));
        let mut row: Vec<Cell> = vec![vmaf.model.as_str().into()];
        row.extend(values.map(Into::into));
        text.push_str(&table(&["", "MEAN", "HARMONIC", "WORST 1 %", "WORST FRAME"], &[row], colours()));
    }
    text.push_str(&table(&["", "ALL", "Y", "U", "V", "WORST FRAME"], &rows, colours()));
    for moment in &found.worst {
        let at = words::duration(moment.at_ns / 1_000_000);
        let vmaf = moment.vmaf.map(|vmaf| format!("VMAF {vmaf:.2}, ")).unwrap_or_default();
        let psnr = value(moment.psnr_db, 2, "same");
        let ssim = value(moment.ssim, 5, "-");
        text.push_str(&format!("worst at {at}: {vmaf}SSIM {ssim}, PSNR {psnr} dB\n"));
    }
    text
}

/// A file that was made.
pub(super) fn made(file: &Path, bytes: u64) -> String {
    format!("{}  {}\n", file.display(), words::size(bytes))
}
