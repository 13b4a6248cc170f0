//! Probe, encode and check over a folder of real and odd media, where there is one.

use std::path::{Path, PathBuf};

use crate::studio::{encoded, ffprobe, quick, real_media, video};
use rushes_media::{check, probe};
use rushes_shared::failure::FailureCode;
use rushes_shared::media::MediaFacts;

/// Odd files that must fail, and how.
const REFUSED: &[(&str, FailureCode)] = &[
    ("odd/audio_only.mp4", FailureCode::StreamMissing),
    ("odd/clipped_speech.wav", FailureCode::StreamMissing),
    ("odd/png_named.mp4", FailureCode::StreamMissing),
    ("odd/text_named.mkv", FailureCode::InputUnreadable),
    ("odd/truncated_halfway.mp4", FailureCode::InputDamaged),
    ("odd/truncated_no_index.mp4", FailureCode::InputUnreadable),
    ("odd/zero_byte.mp4", FailureCode::InputEmpty),
];

/// Odd files that must come out right.
const KEPT: &[&str] = &[
    "odd/IMG_0001.MOV",
    "odd/bit_errors.mp4",
    "odd/fragmented.mp4",
    "odd/hevc_main10_540p.mp4",
    "odd/interlaced_576i25_anamorphic.ts",
    "odd/mp4_named.jpg",
    "odd/odd_size_853x479_444.mp4",
    "odd/one_frame.mp4",
    "odd/rotated90_matrix.mp4",
    "odd/spaces & ünï 名前.mp4",
    "odd/tiny_16x16.webm",
    "odd/two_audio_two_subs_chapters.mkv",
    "odd/vfr_gaps_360p.mp4",
];

fn videos(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("video")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn odd_files_fail_with_their_reason_or_come_out_whole() {
    let Some(folder) = real_media() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.mp4");
    for (name, code) in REFUSED {
        let failure = encoded(&folder.join(name), &out, &quick()).unwrap_err();
        assert_eq!(failure.code, *code, "{name}: {failure}");
        assert!(!failure.advice.is_empty(), "{name}: {failure}");
    }
    for name in KEPT {
        comes_out_whole(&folder.join(name), &out);
    }
}

#[test]
fn real_videos_come_out_whole() {
    let Some(folder) = real_media() else { return };
    let dir = tempfile::tempdir().unwrap();
    for file in videos(&folder) {
        let name = file.file_name().unwrap().to_string_lossy();
        if !name.starts_with("hdr10") && !name.starts_with("long_static") {
            comes_out_whole(&file, &dir.path().join("out.mp4"));
        }
    }
}

fn comes_out_whole(input: &Path, output: &Path) {
    let name = input.display();
    let mut settings = quick();
    video(&mut settings).max_height = Some(180);
    let (source, encoded) =
        encoded(input, output, &settings).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let report = check(output, &source, &settings, Some(&encoded), &mut |_| ()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "{name}");
    assert_eq!(
        encoded.frames, source.video[0].frames,
        "{name}: the probe and the decoder count the same frames"
    );
    let facts = probe(output).unwrap();
    let (shown, made) = (source.video[0].shown_size(), (facts.video[0].width, facts.video[0].height));
    let aspect = |(w, h): (u32, u32)| f64::from(w) / f64::from(h);
    assert!((aspect(shown) / aspect(made) - 1.0).abs() < 0.02, "{name}: {shown:?} became {made:?}");
    assert_eq!(facts.video[0].duration_ns / 1_000_000, source.video[0].duration_ns / 1_000_000, "{name}");
    if name.to_string().contains("bit_errors") {
        assert!(!report.warnings.is_empty(), "concealed damage is told");
    }
}

#[test]
fn a_probe_agrees_with_ffprobe() {
    let Some(folder) = real_media() else { return };
    for file in videos(&folder) {
        let facts = probe(&file).unwrap();
        let entries = "stream=codec_type,codec_name,width,height,nb_read_packets,pix_fmt,color_space,color_transfer,start_time,sample_rate,channels";
        let Some(lines) = ffprobe(&file, entries) else { return };
        agrees(&file, &facts, &lines);
    }
}

fn agrees(file: &Path, facts: &MediaFacts, lines: &[String]) {
    let video = &facts.video[0];
    let said = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let mut expected = vec![
        format!("codec_name={}", video.codec),
        format!("width={}", video.width),
        format!("height={}", video.height),
        format!("nb_read_packets={}", video.frames),
        format!("pix_fmt={}", video.pixel_format),
        format!("color_space={}", said(&video.colour.matrix)),
        format!("color_transfer={}", said(&video.colour.transfer)),
    ];
    for audio in &facts.audio {
        expected.push(format!("codec_name={}", audio.codec));
        expected.push(format!("sample_rate={}", audio.rate_hz));
        expected.push(format!("channels={}", audio.channels));
    }
    for line in expected {
        assert!(lines.contains(&line), "{}: {line} is not in {lines:?}", file.display());
    }
    let starts = lines.iter().filter_map(|line| line.strip_prefix("start_time=")?.parse::<f64>().ok());
    #[expect(clippy::cast_precision_loss, reason = "compared to a millisecond")]
    let start = video.start_ns as f64 / 1e9;
    assert!(
        starts.into_iter().any(|other| (other - start).abs() < 0.002),
        "{}: starts at {start}",
        file.display()
    );
}
