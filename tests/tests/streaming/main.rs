//! `rushes media ladder` and `rushes media package`, played by others: hls.js and dash.js in a headless Chromium,
//! GStreamer's own players of both.
//!
//! The players come from npm and are kept in the target directory. Where npm, Chromium or the packages cannot be had, the
//! test of the browsers says so and is skipped.

mod web;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes_tests::{SOON, binaries, media};
use serde_json::Value;
use web::Web;

/// Twelve seconds of H.264 in three rungs, packaged in segments of two seconds.
fn ladder(dir: &Path) -> (PathBuf, Value) {
    ladder_of(dir, &["--chunk", "6"])
}

/// The same as the options say.
fn ladder_of(dir: &Path, options: &[&str]) -> (PathBuf, Value) {
    let film = dir.join("film.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25:d=12"])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=d=12:r=48000",
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
    let line = ["film.mp4", "-o", "out", "--preset", "ultrafast", "--segment", "2", "--output", "json"];
    let (code, said, complaint) = rushes(dir, "ladder", &[&line, options].concat());
    assert_eq!(code, Some(0), "{complaint}");
    (dir.join("out"), serde_json::from_str(&said).expect("the report is JSON"))
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
    let left: BTreeSet<String> = fs::read_dir(dir)
        .expect("a directory")
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    let expected = ["360p.mp4", "720p.mp4", "again", "film.mp4", "out"].map(str::to_owned).into();
    assert_eq!(left, expected, "nothing is left behind");
}

#[test]
fn gstreamers_players_get_every_frame_of_the_package() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (out, _) = ladder(scratch.path());
    let web = Web::serve(&out);
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

#[test]
fn browsers_play_both_manifests_through_a_change_of_rung_to_the_end() {
    let Some(players) = players() else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (out, _) = ladder(scratch.path());
    plays_through_a_change_of_rung(&out, &players, 1280);
}

/// Sets of one codec that every Chromium decodes, with sound at two rates: a change of the rung changes that too.
#[test]
fn browsers_play_vp9_and_av1_through_a_change_of_rung_to_the_end() {
    let Some(players) = players() else { return };
    for codec in ["vp9", "av1"] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let (out, report) = ladder_of(
            scratch.path(),
            &[
                "--chunk",
                "6",
                "--codec",
                codec,
                "--crf",
                "50",
                "--max-height",
                "480",
                "--sound",
                "192000,96000",
            ],
        );
        let packets = report["video"].as_array().expect("rungs").iter().map(|rung| rung["packets"].as_u64());
        assert!(packets.into_iter().all(|packets| packets == Some(300)), "{report}");
        for manifest in ["master.m3u8", "manifest.mpd"] {
            assert_eq!(media::Facts::of(&out.join(manifest)).frames(), 300, "{codec}: {manifest}");
        }
        plays_through_a_change_of_rung(&out, &players, 854);
    }
}

/// `widest` is the width of the best rung in pixels.
fn plays_through_a_change_of_rung(out: &Path, players: &Path, widest: u32) {
    for (file, script) in [("hls.html", HLS), ("dash.html", DASH)] {
        fs::write(out.join(file), page(script)).expect("it can be written");
    }
    fs::copy(players.join("hls.js/dist/hls.min.js"), out.join("hls.js")).expect("the player is there");
    fs::copy(players.join("dashjs/dist/modern/umd/dash.all.min.js"), out.join("dash.js"))
        .expect("the player is there");
    for file in ["hls.html", "dash.html"] {
        let web = Web::serve(out);
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut browser = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--no-first-run"])
            .arg("--autoplay-policy=no-user-gesture-required")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(web.url(file))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it was found before");
        let told = web.told(4 * SOON);
        browser.kill().ok();
        browser.wait().ok();
        let told: Value =
            serde_json::from_str(&told.unwrap_or_else(|| panic!("{file}: no end; {}", web.last_at())))
                .expect("JSON");
        assert_eq!(told["errors"].as_array().map(Vec::len), Some(0), "{file}: {told}");
        let (reached, widths) = (told["time"].as_f64().expect("a time"), &told["widths"]);
        assert!(reached > 11.8, "{file}: it ended at {reached} s: {told}");
        assert!(
            widths.as_array().is_some_and(|w| w.contains(&640.into()) && w.contains(&widest.into())),
            "{file}: {told}"
        );
    }
}

/// Where hls.js and dash.js are, or nothing, said aloud.
fn players() -> Option<PathBuf> {
    let place = binaries::target().join("players");
    let has = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if !has("chromium") {
        eprintln!("skipped: chromium is not installed");
        return None;
    }
    let modules = place.join("node_modules");
    if !modules.join("dashjs/dist").is_dir() {
        fs::create_dir_all(&place).expect("the target directory can be written");
        let install = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&place)
            .args(["hls.js@1.6", "dashjs@5.0"])
            .output();
        if !install.is_ok_and(|install| install.status.success()) {
            eprintln!("skipped: hls.js and dash.js could not be had from npm");
            return None;
        }
    }
    Some(modules)
}

/// A page with a player in it, which tells how it went when the film has ended or broken off.
fn page(script: &str) -> String {
    format!(
        "<!doctype html><video id=v muted></video><script>
const v = document.getElementById('v'), errors = [], widths = [];
const tell = () => fetch('/told', {{method: 'POST', body: JSON.stringify({{time: v.currentTime, errors, widths}})}});
const fail = what => {{ errors.push(String(what)); tell(); }};
window.onerror = fail;
v.addEventListener('timeupdate', () => {{ if (!widths.includes(v.videoWidth)) widths.push(v.videoWidth); }});
v.addEventListener('ended', tell);
const spans = b => Array.from({{length: b.length}}, (_, i) => [b.start(i), b.end(i)]);
setInterval(() => fetch('/at', {{method: 'POST', body: JSON.stringify({{time: v.currentTime, ready: v.readyState,
  paused: v.paused, seeking: v.seeking, buffered: spans(v.buffered), errors, widths}})}}), 1000);
v.addEventListener('error', () => fail(v.error && v.error.message));
</script>{script}"
    )
}

const HLS: &str = "<script src=hls.js></script><script>
const hls = new Hls({maxBufferLength: 2, maxMaxBufferLength: 3, startLevel: 0});
hls.on(Hls.Events.ERROR, (_, data) => { if (data.fatal) fail(data.details); });
hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.currentLevel = 0; v.play(); });
let up = false;
v.addEventListener('timeupdate', () => { if (v.currentTime > 3 && !up) { up = true; hls.nextLevel = hls.levels.length - 1; } });
hls.loadSource('master.m3u8');
hls.attachMedia(v);
</script>";

const DASH: &str = "<script src=dash.js></script><script>
const player = dashjs.MediaPlayer().create();
player.updateSettings({streaming: {abr: {autoSwitchBitrate: {video: false}, initialBitrate: {video: 1}},
  buffer: {bufferTimeDefault: 3, bufferTimeAtTopQuality: 3, bufferTimeAtTopQualityLongForm: 3, fastSwitchEnabled: true}}});
player.on('error', e => fail(e.error && e.error.message));
// It may pause the element at the last frame itself, which then does not say that it ended.
player.on('playbackEnded', tell);
let up = false;
v.addEventListener('timeupdate', () => { if (v.currentTime > 3 && !up) { up = true;
  const all = player.getRepresentationsByType('video');
  player.setRepresentationForTypeById('video', all.reduce((a, b) => a.width > b.width ? a : b).id, false); } });
player.initialize(v, 'manifest.mpd', true);
</script>";
