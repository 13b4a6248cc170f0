//! Sets held against the standards: by readers of others that refuse what these forbid, and, where no reader looks, by
//! arithmetic over what the readers found (RFC 8216; ISO/IEC 23009-1; DASH-IF IOP).

use std::fs;
use std::path::Path;
use std::process::Command;

use rushes_tests::media;
use serde_json::Value;

use crate::read::{self, Files, Listed, Playlist, Read, Representation};
use crate::{ladder_of, npm, rushes};

/// Manifests are written to the microsecond.
const ROUNDED: f64 = 2e-6;
/// By how much a last packet of sound may be longer than what is heard of it, in seconds: one of AAC at 8 kHz has 128 ms.
const ONE_PACKET: f64 = 0.128;

#[test]
fn a_set_of_two_codecs_with_sound_at_two_rates_conforms() {
    let Some(readers) = npm::readers() else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let options = ["--chunk", "6", "--codec", "h264,vp9", "--max-height", "480", "--sound", "192000,96000"];
    let (out, report) = ladder_of(scratch.path(), &options);
    let read = conforms(&out, &report, &readers);
    let names: Vec<&String> = read.files.keys().collect();
    assert_eq!(names, ["360p", "360p-vp9", "480p", "480p-vp9", "sound-192k", "sound-96k"]);
    assert!(read.files.values().all(|files| files.segments.len() == 6), "12 s in segments of 2 s");
    assert!(
        read.hls.is_some_and(|hls| hls.variants.iter().all(|rung| (rung.frame_rate - 25.0).abs() < 1e-3))
    );

    // The readers look.
    let list = out.join("480p/media.m3u8");
    let text = fs::read_to_string(&list).expect("it is there");
    fs::write(&list, text.replace("TARGETDURATION:2", "TARGETDURATION:1")).expect("it can be written");
    let refused = read::set(&readers, &out).refused.expect("a segment is longer than it may be");
    assert!(refused.contains("target duration"), "{refused}");
}

#[test]
fn a_set_whose_segments_follow_the_cuts_of_a_film_conforms() {
    let Some(readers) = npm::readers() else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path();
    let pictures = ["testsrc2", "smptebars", "mandelbrot", "rgbtestsrc"];
    let parts = pictures.iter().zip([3.3, 2.9, 3.7, 2.5]);
    let parts: Vec<String> = parts.map(|(of, s)| format!("{of}=s=854x480:r=30000/1001,trim=0:{s}")).collect();
    let graph = format!(
        "{},format=yuv420p[a];{},format=yuv420p[b];{},format=yuv420p[c];{},format=yuv420p[d];[a][b][c][d]concat=n=4",
        parts[0], parts[1], parts[2], parts[3]
    );
    let sound = "-f lavfi -i sine=d=12.4:r=44100 -c:v libx264 -preset ultrafast -c:a aac cut.mp4";
    ffmpeg(dir, &format!("-f lavfi -i {graph} {sound}"));
    let line = "cut.mp4 -o out --preset ultrafast --segment 2 --chunk 4 --chunks scenes --output json";
    let (code, said, complaint) = rushes(dir, "ladder", &line.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{complaint}");
    let read = conforms(&dir.join("out"), &serde_json::from_str(&said).expect("JSON"), &readers);
    let lengths: Vec<f64> = read.dash.expect("read").video[0].segments.iter().map(|s| s.length).collect();
    assert!(lengths.iter().any(|length| (length - 2.0).abs() > 0.1), "some end at a cut: {lengths:?}");
}

/// Of files of others: sounds in two codecs, languages, more channels than their entries say.
#[test]
fn a_package_of_several_sounds_conforms_and_says_what_each_is() {
    let Some(readers) = npm::readers() else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path();
    ffmpeg(
        dir,
        "-f lavfi -i testsrc2=s=320x180:r=25:d=9 -c:v libx264 -preset ultrafast -g 62 -sc_threshold 0 film.mp4",
    );
    // Segments of 2.48 s of pictures, and of 2.56 s of this: each alone would have another target duration.
    ffmpeg(
        dir,
        "-f lavfi -i sine=d=9:r=8000 -ac 8 -c:a aac -b:a 128k -metadata:s:a:0 language=eng whole.mp4",
    );
    ffmpeg(dir, "-f lavfi -i sine=d=9:r=48000 -ac 6 -c:a ac3 -metadata:s:a:0 language=gsw bass.mp4");
    let line = "film.mp4 --audio whole.mp4 --audio bass.mp4 -o out --segment 2 --output json";
    let (code, said, complaint) = rushes(dir, "package", &line.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{complaint}");
    let out = dir.join("out");
    let read = conforms(&out, &serde_json::from_str(&said).expect("JSON"), &readers);
    let hls = read.hls.expect("read");
    let sounds: Vec<_> =
        hls.sounds.iter().map(|sound| (sound.language.as_deref(), sound.channels.as_deref())).collect();
    assert_eq!(
        sounds,
        [(Some("en"), Some("8")), (Some("gsw"), Some("6"))],
        "two letters where there are two"
    );
    assert!(hls.variants[0].codecs.ends_with(",mp4a.40.2,ac-3"), "{:?}", hls.variants);
    let mpd = fs::read_to_string(out.join("manifest.mpd")).expect("it is there");
    for word in ["lang=\"en\"", "lang=\"gsw\"", ":2011\" value=\"12\"", ":2011\" value=\"6\""] {
        assert!(mpd.contains(word), "{word}: {mpd}");
    }
}

/// Names of VP9 and AV1 say which colours they have; one of BT.709 would say so by saying nothing.
#[test]
fn a_package_of_high_dynamic_range_conforms_and_names_its_colours() {
    let Some(readers) = npm::readers() else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path();
    for (name, how) in [("a", "libaom-av1 -cpu-used 8 -crf 50"), ("v", "libvpx-vp9 -deadline realtime")] {
        let colours =
            "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc";
        let film = "-f lavfi -i testsrc2=s=320x180:r=25:d=4";
        ffmpeg(dir, &format!("{film} {colours} -c:v {how} -g 50 -keyint_min 50 {name}.mp4"));
    }
    let line = "a.mp4 v.mp4 -o out --segment 2 --output json";
    let (code, said, complaint) = rushes(dir, "package", &line.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{complaint}");
    let read = conforms(&dir.join("out"), &serde_json::from_str(&said).expect("JSON"), &readers);
    let hls = read.hls.expect("read");
    let names: Vec<&str> = hls.variants.iter().map(|rung| rung.codecs.as_str()).collect();
    assert!(names[0].starts_with("av01.0.") && names[0].ends_with(".10.0.110.09.16.09.0"), "{names:?}");
    assert!(names[1].starts_with("vp09.02.") && names[1].ends_with(".10.01.09.16.09.00"), "{names:?}");
}

fn ffmpeg(dir: &Path, line: &str) {
    let mut ffmpeg = Command::new("ffmpeg");
    let made = ffmpeg.current_dir(dir).args(["-v", "error", "-nostdin"]).args(line.split(' ')).status();
    assert!(made.is_ok_and(|made| made.success()), "these tests need ffmpeg: {line}");
}

/// What every set has to be.
pub(crate) fn conforms(out: &Path, report: &Value, readers: &Path) -> Read {
    let read = read::set(readers, out);
    assert!(read.complaints.is_empty() && read.refused.is_none(), "{:?} {:?}", read.complaints, read.refused);
    match &read.schema {
        Some(schema) => assert!(schema.valid, "{:?}", schema.errors),
        None => eprintln!("skipped: RUSHES_DASH_SCHEMA names no DASH-MPD.xsd (MPEGGroup/DASHSchema)"),
    }
    playlists_are_the_report(&read, report);
    manifest_is_the_report(&read, report);
    let buffer_s = least_buffer_s(out);
    for (name, files) in &read.files {
        let dash = read.dash.as_ref().expect("it was read");
        let said =
            dash.video.iter().chain(&dash.audio).find(|found| found.name == *name).expect("it is listed");
        files_are_listed(files, said);
        rate_is_the_peak(files, said, buffer_s);
    }
    decodes_in_silence(out, report);
    read
}

/// Renditions of a kind in the report.
fn renditions<'a>(report: &'a Value, kind: &str) -> &'a [Value] {
    report[kind].as_array().expect("renditions")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn playlists_are_the_report(read: &Read, report: &Value) {
    let hls = read.hls.as_ref().expect("it was read");
    assert!(hls.independent);
    let (video, audio) = (renditions(report, "video"), renditions(report, "audio"));
    assert_eq!(hls.variants.len(), video.len());
    for (variant, rung) in hls.variants.iter().zip(video) {
        let of = |sound: &&Value| variant.sounds.iter().any(|name| name == text(&sound["name"]));
        let heard: Vec<&Value> = audio.iter().filter(of).collect();
        let most = |what: &str| heard.iter().map(|sound| number(&sound[what])).max().unwrap_or(0);
        let mut codecs: Vec<&str> =
            std::iter::once(rung).chain(heard.iter().copied()).map(|made| text(&made["codecs"])).collect();
        codecs.dedup();
        assert_eq!((variant.list.as_str(), variant.codecs.clone()), (text(&rung["name"]), codecs.join(",")));
        assert_eq!(variant.bandwidth, number(&rung["peak_bps"]) + most("peak_bps"));
        assert_eq!(variant.average, number(&rung["average_bps"]) + most("average_bps"));
        assert_eq!(serde_json::json!(variant.size), rung["size"]);
    }
    let target = hls.lists.values().next().expect("a playlist").target;
    for made in video.iter().chain(audio) {
        let name = text(&made["name"]);
        let Playlist { target: own, ended, kind, version, segments } = &hls.lists[name];
        assert!(*ended && kind == "VOD" && *version >= 6, "{name}");
        assert_eq!(*own, target, "{name}: every playlist has the same target duration (6.2.4)");
        assert_eq!(segments.len() as u64, number(&made["segments"]), "{name}");
        let fits = |s: &Listed| s.length.round() <= f64::from(target) && s.init == "init.mp4";
        assert!(segments.iter().all(fits), "{name}: {segments:?}");
        let packets: usize = read.files[name].segments.iter().map(|segment| segment.sizes.len()).sum();
        assert_eq!(packets as u64, number(&made["packets"]), "{name}");
    }
}

fn manifest_is_the_report(read: &Read, report: &Value) {
    let dash = read.dash.as_ref().expect("it was read");
    let length = media_s(number(&report["duration_ns"]));
    // Players wait for ever where only sound's last packet is left (dash.js).
    let left_out = length - dash.duration;
    assert!(left_out > -ROUNDED && left_out < ONE_PACKET, "{} s, and the report {length}", dash.duration);
    for (kind, found) in [("video", &dash.video), ("audio", &dash.audio)] {
        assert_eq!(found.len(), renditions(report, kind).len());
        for (representation, made) in found.iter().zip(renditions(report, kind)) {
            let Representation { name, bandwidth, codecs, size, segments } = representation;
            assert_eq!((name.as_str(), codecs.as_str()), (text(&made["name"]), text(&made["codecs"])));
            assert_eq!(
                (*bandwidth, serde_json::json!(size)),
                (number(&made["peak_bps"]), made["size"].clone())
            );
            let list = &read.hls.as_ref().expect("it was read").lists[name].segments;
            assert_eq!(segments.len(), list.len(), "{name}");
            let mut at = 0.0;
            for (own, same) in segments.iter().zip(list) {
                assert!((own.length - same.length).abs() < ROUNDED, "{name}: {own:?}, in HLS {same:?}");
                assert!((own.at.expect("a time") - at).abs() < ROUNDED, "{name}: {own:?} follows {at} s");
                assert_eq!(
                    (&own.uri, &own.init),
                    (&format!("{name}/{}", same.uri), &format!("{name}/init.mp4"))
                );
                at += own.length;
            }
            assert!(at < length + ONE_PACKET, "{name} ends at {at} s, after the presentation's {length} s");
        }
    }
}

/// The boxes say what the timeline says: when each segment is first shown, that it follows the one before, that decoding can
/// start at it.
fn files_are_listed(files: &Files, said: &Representation) {
    let name = &said.name;
    // The reader's own names go no further than the depth.
    let (own, said_of) = (files.codec.to_lowercase(), said.codecs.to_lowercase());
    assert!(said_of == own || said_of.starts_with(&format!("{own}.")), "{name}: {own}, {said_of}");
    assert!(files.brands.iter().any(|brand| brand == "cmfc"), "{name}: {:?}", files.brands);
    let scale = f64::from(files.timescale);
    let seconds = |units: i64| f64::from(i32::try_from(units).expect("a short film")) / scale;
    let mut next = files.segments.first().map_or(0, |segment| segment.base);
    for (at, (segment, listed)) in files.segments.iter().zip(&said.segments).enumerate() {
        assert_eq!((segment.fragments, segment.number as usize, segment.base), (1, at + 1, next), "{name}");
        assert!(segment.brands.iter().any(|brand| brand == "cmfs"), "{name}: {:?}", segment.brands);
        // Depends on no other, and is no difference (ISO/IEC 14496-12, 8.8.3.1).
        assert_eq!(segment.flags & 0x0301_0000, 0x0200_0000, "{name}: segment {}", at + 1);
        let mut decoded = segment.base;
        let mut shown = Vec::new();
        for (n, duration) in segment.durations.iter().enumerate() {
            shown.push(decoded + segment.offsets.get(n).copied().unwrap_or(0) - files.skip);
            decoded += duration;
        }
        next = decoded;
        // As long as it takes to decode: what is shown first is brought forward to where decoding begins, or before that as priming.
        let first = shown.into_iter().min().expect("a sample");
        let (begin, end) = (seconds(first.max(0)), seconds(first + next - segment.base));
        let told = listed.at.expect("a time");
        assert!((begin - told).abs() < ROUNDED, "{name}: shown at {begin} s, listed at {told} s");
        assert!((end - told - listed.length).abs() < ROUNDED, "{name}: until {end} s, {listed:?}");
    }
}

/// The rate is the largest of any row of segments of half to one and a half target durations (RFC 8216, 4.3.4.2), and who has
/// waited for the least buffer at that rate need not wait again, wherever he begins (ISO/IEC 23009-1, 5.3.5.2).
fn rate_is_the_peak(files: &Files, said: &Representation, buffer_s: f64) {
    let decimal = |count: u64| f64::from(u32::try_from(count).expect("small files"));
    let segments: Vec<(f64, f64)> = files
        .segments
        .iter()
        .zip(&said.segments)
        .map(|(file, listed)| (8.0 * decimal(file.bytes), listed.length))
        .collect();
    let target = segments.iter().map(|segment| segment.1).fold(1.0, f64::max).round();
    let (whole, length) = segments.iter().fold((0.0, 0.0), |(a, b), (bits, length)| (a + bits, b + length));
    let (mut most, bps) = (whole / length, decimal(said.bandwidth));
    for first in 0..segments.len() {
        let (mut sum, mut length) = (0.0, 0.0);
        for (bits, more) in &segments[first..] {
            sum += bits;
            assert!(sum <= bps * (buffer_s + length), "{}: {sum} bits from segment {first} on", said.name);
            length += more;
            if (target / 2.0..=target * 1.5).contains(&length) {
                most = most.max(sum / length);
            }
        }
    }
    let off = bps / most - 1.0;
    assert!((-1e-5..1e-3).contains(&off), "{}: {most} b/s, and {bps} are said", said.name);
}

fn media_s(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

fn least_buffer_s(out: &Path) -> f64 {
    let mpd = fs::read_to_string(out.join("manifest.mpd")).expect("it is there");
    let rest = mpd.split_once("minBufferTime=\"PT").expect("it says so").1;
    rest.split_once("S\"").expect("seconds").0.parse().expect("a number")
}

/// What ffmpeg finds in each rendition is what the report says, and it decodes both manifests without a word.
fn decodes_in_silence(out: &Path, report: &Value) {
    for made in renditions(report, "video") {
        let found = media::Facts::of(&out.join(text(&made["name"])).join("media.m3u8"));
        assert_eq!(
            (found.frames(), serde_json::json!(found.size())),
            (number(&made["packets"]), made["size"].clone())
        );
    }
    for manifest in ["master.m3u8", "manifest.mpd"] {
        let run = Command::new("ffmpeg")
            .args(["-v", "warning", "-nostdin", "-i"])
            .arg(out.join(manifest))
            .args(["-map", "0", "-f", "null", "-"])
            .output()
            .expect("these tests need ffmpeg");
        let complaint = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success() && complaint.is_empty(), "{manifest}: {complaint}");
    }
}
