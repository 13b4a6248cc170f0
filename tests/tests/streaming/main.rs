//! Streaming sets, read and played by others: hls.js and dash.js in a headless Chromium, GStreamer's own players of both,
//! readers of manifests and segments that refuse what standards forbid.
//!
//! Players and readers come from npm and are kept in the target directory. Where npm, Chromium or the packages cannot be had,
//! a test says so and is skipped.

mod browsers;
mod conformance;
mod npm;
mod read;
mod web;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes_tests::{binaries, media};
use serde_json::Value;
use web::Web;

/// Twelve seconds of H.264 in three rungs, packaged in segments of two seconds.
fn ladder(dir: &Path) -> (PathBuf, Value) {
    ladder_of(dir, &["--chunk", "6"])
}

/// The same as the options say.
fn ladder_of(dir: &Path, options: &[&str]) -> (PathBuf, Value) {
    film(dir, "1280x720");
    let line = ["film.mp4", "-o", "out", "--preset", "ultrafast", "--segment", "2", "--output", "json"];
    let (code, said, complaint) = rushes(dir, "ladder", &[&line, options].concat());
    assert_eq!(code, Some(0), "{complaint}");
    (dir.join("out"), serde_json::from_str(&said).expect("the report is JSON"))
}

/// Twelve seconds of pictures, and sound that ends a little later, as it does in most films.
fn film(dir: &Path, size: &str) -> PathBuf {
    let film = dir.join("film.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=s={size}:r=25:d=12"))
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=d=12.01:r=48000",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
        ])
        .arg(&film)
        .status();
    assert!(made.is_ok_and(|made| made.success()), "these tests need ffmpeg");
    film
}

fn rushes(dir: &Path, command: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut rushes = Command::new(binaries::cli());
    rushes.env_remove("RUSHES_URL").env("XDG_STATE_HOME", dir.join("state")).current_dir(dir);
    let output = rushes.args(["media", command]).args(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_ladder_is_whole_or_not_there_and_its_rungs_can_be_packaged_again() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dir = scratch.path();
    let (out, report) = ladder(dir);
    let names: Vec<&str> =
        report["video"].as_array().expect("rungs").iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["720p", "480p", "360p"], "{report}");
    for file in report["files"].as_array().expect("files") {
        assert!(out.join(file.as_str().expect("a name")).is_file(), "{file}");
    }
    let (code, _, said) = rushes(dir, "ladder", &["film.mp4", "-o", "out"]);
    assert!(code == Some(2) && said.contains("not empty"), "{code:?}: {said}");
    // A rung's segments, one after the other, are a film that can be packaged; one with other key frames cannot go with it.
    let whole = |name: &str| {
        let segments = (1..=6).map(|n| format!("{name}/{n}.m4s"));
        let parts = std::iter::once(format!("{name}/init.mp4")).chain(segments);
        let bytes: Vec<u8> = parts.flat_map(|part| fs::read(out.join(part)).expect("a part")).collect();
        fs::write(dir.join(format!("{name}.mp4")), bytes).expect("it can be written");
    };
    whole("720p");
    whole("360p");
    let (code, said, complaint) =
        rushes(dir, "package", &["720p.mp4", "360p.mp4", "-o", "again", "--segment", "4"]);
    assert_eq!(code, Some(0), "{complaint}");
    assert!(said.contains("360p") && said.contains("again/master.m3u8"), "{said}");
    assert_eq!(media::Facts::of(&dir.join("again/master.m3u8")).frames(), 300);
    let (code, _, said) = rushes(dir, "package", &["720p.mp4", "film.mp4", "-o", "unlike", "--segment", "4"]);
    assert!(
        code == Some(1) && said.contains("key frames: film must have one at 4.000 s"),
        "{code:?}: {said}"
    );
    assert!(!dir.join("unlike").exists());
    fs::create_dir(dir.join("real")).expect("a directory");
    for (link, to) in [("link", "real"), ("lost", "nowhere")] {
        std::os::unix::fs::symlink(to, dir.join(link)).expect("a link");
    }
    let (code, _, complaint) = rushes(dir, "package", &["720p.mp4", "-o", "link", "--segment", "4"]);
    assert!(code == Some(0) && dir.join("real/master.m3u8").is_file(), "{code:?}: {complaint}");
    let (code, _, said) = rushes(dir, "package", &["720p.mp4", "-o", "lost", "--segment", "4"]);
    assert!(code == Some(2) && said.contains("leads nowhere"), "{code:?}: {said}");
    let left: BTreeSet<String> = fs::read_dir(dir)
        .expect("a directory")
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let expected = ["360p.mp4", "720p.mp4", "again", "film.mp4", "link", "lost", "out", "real"]
        .map(str::to_owned)
        .into();
    assert_eq!(left, expected, "nothing is left behind");
}

#[test]
fn gstreamers_players_get_every_frame_of_the_package() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (out, _) = ladder(scratch.path());
    gstreamer_gets_every_frame(&out);
}

/// Twelve seconds at 25 frames a second, by way of both manifests.
fn gstreamer_gets_every_frame(out: &Path) {
    let web = Web::serve(out);
    for (demuxer, manifest) in [("hlsdemux", "master.m3u8"), ("dashdemux", "manifest.mpd")] {
        let known =
            Command::new("gst-inspect-1.0").arg(demuxer).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !known.is_ok_and(|known| known.success()) {
            eprintln!("skipped: GStreamer's {demuxer} is not installed");
            continue;
        }
        let line = format!(
            "souphttpsrc location={} ! {demuxer} ! decodebin ! video/x-raw ! identity silent=false ! fakesink",
            web.url(manifest)
        );
        let run = Command::new("timeout")
            .args(["60", "gst-launch-1.0", "-v"])
            .args(line.split(' '))
            .output()
            .expect("gst-launch-1.0 starts");
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&run.stderr).into_owned();
        let frames = said.matches("last-message = chain").count();
        assert!(run.status.success() && frames == 300, "{demuxer}: {frames} frames: {complaint}");
    }
}
