//! hls.js and dash.js in a headless Chromium: each set is played to its end through a change of the rung.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rushes_shared::job::JobState;
use rushes_tests::wait::ENCODE;
use rushes_tests::{FarmPlan, SOON, media};
use serde_json::{Value, json};

use crate::conformance::conforms;
use crate::npm;
use crate::web::Web;
use crate::{film, gstreamer_gets_every_frame, ladder, ladder_of};

#[test]
fn browsers_play_both_manifests_through_a_change_of_rung_to_the_end() {
    let Some(players) = npm::players() else { return };
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let (out, _) = ladder(scratch.path());
    plays_through_a_change_of_rung(&out, &players, "avc1", 1280);
}

/// Sets of one codec that every Chromium decodes, with sound at two rates: a change of the rung changes that too.
#[test]
fn vp9_and_av1_are_played_by_gstreamer_and_by_browsers_through_a_change_of_rung_to_the_end() {
    let players = npm::players();
    for codec in ["vp9", "av1"] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let options = ["--chunk", "6", "--crf", "50", "--max-height", "480", "--sound", "192000,96000"];
        let (out, report) = ladder_of(scratch.path(), &[&options[..], &["--codec", codec]].concat());
        let packets = report["video"].as_array().expect("rungs").iter().map(|rung| rung["packets"].as_u64());
        assert!(packets.into_iter().all(|packets| packets == Some(300)), "{report}");
        for manifest in ["master.m3u8", "manifest.mpd"] {
            assert_eq!(media::Facts::of(&out.join(manifest)).frames(), 300, "{codec}: {manifest}");
        }
        gstreamer_gets_every_frame(&out);
        let named = report["video"][0]["codecs"].as_str().expect("a codec");
        if let Some(players) = &players {
            plays_through_a_change_of_rung(&out, players, &named[..4], 854);
        }
    }
}

/// The preset with H.264, HEVC and AV1 in one set, from a farm: played in either of the codecs that Chromium decodes, and with
/// all of them to choose from, where hls.js goes from one codec to the other.
#[test]
fn the_set_for_everybody_conforms_and_browsers_play_each_of_its_codecs_to_the_end() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let film = film(scratch.path(), "854x480");
    let farm = FarmPlan::new(1).inputs(scratch.path()).start();
    let stream = json!({"destination": farm.out().join("film"), "segment_s": 2});
    let job = json!({"kind": "stream", "input": film, "preset": "abr-full", "stream": stream});
    let id = farm.api().submit(&job);
    let done = farm.api().ended_within(id, 2 * ENCODE);
    assert_eq!(done.state, JobState::Succeeded, "{done:#?}");
    let set = done.set.as_ref().unwrap_or_else(|| panic!("no set: {done:#?}"));
    let names: Vec<&str> = set.renditions.iter().map(|rendition| rendition.name.as_str()).collect();
    let pictures = ["480p", "360p", "480p-hevc", "360p-hevc", "480p-av1", "360p-av1"];
    assert_eq!(names[..6], pictures, "{names:?}");
    let out = farm.out().join("film");
    if let Some(readers) = npm::readers() {
        let report = fs::read(out.join("report.json")).expect("it is there");
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        conforms(&out, &report["package"], &readers);
    }
    let Some(players) = npm::players() else { return };
    for codec in ["", "avc1", "av01"] {
        plays_through_a_change_of_rung(&out, &players, codec, 854);
    }
}

/// `codec` is what the codecs of the rungs to play begin with, nothing where any will do; `widest` the width of the best of them in pixels.
fn plays_through_a_change_of_rung(out: &Path, players: &Path, codec: &str, widest: u32) {
    for (file, script) in [("hls.html", HLS), ("dash.html", DASH)] {
        fs::write(out.join(file), page(codec, script)).expect("it can be written");
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
        let codecs: Vec<&str> =
            told["codecs"].as_array().expect("codecs").iter().filter_map(Value::as_str).collect();
        assert!(
            !codecs.is_empty() && codecs.iter().all(|played| played.starts_with(codec)),
            "{file}: {told}"
        );
    }
}

/// A page with a player in it, which tells how it went when the film has ended or broken off.
fn page(codec: &str, script: &str) -> String {
    format!(
        "<!doctype html><video id=v muted></video><script>
const v = document.getElementById('v'), errors = [], widths = [], codecs = [], codec = '{codec}';
const tell = () => fetch('/told', {{method: 'POST', body: JSON.stringify({{time: v.currentTime, errors, widths, codecs}})}});
const played = name => {{ if (!codecs.includes(name.slice(0, 4))) codecs.push(name.slice(0, 4)); }};
const fail = what => {{ errors.push(String(what)); tell(); }};
window.onerror = fail;
v.addEventListener('timeupdate', () => {{ if (!widths.includes(v.videoWidth)) widths.push(v.videoWidth); }});
v.addEventListener('ended', tell);
const spans = b => Array.from({{length: b.length}}, (_, i) => [b.start(i), b.end(i)]);
setInterval(() => fetch('/at', {{method: 'POST', body: JSON.stringify({{time: v.currentTime, ready: v.readyState,
  paused: v.paused, seeking: v.seeking, buffered: spans(v.buffered), errors, widths, codecs}})}}), 1000);
v.addEventListener('error', () => fail(v.error && v.error.message));
</script>{script}"
    )
}

const HLS: &str = "<script src=hls.js></script><script>
const hls = new Hls({maxBufferLength: 2, maxMaxBufferLength: 3, startLevel: 0});
hls.on(Hls.Events.ERROR, (_, data) => { if (data.fatal) fail(data.details); });
hls.on(Hls.Events.FRAG_CHANGED, (_, data) => played(hls.levels[data.frag.level].videoCodec));
// Levels are in the order of their rates: the first and the last of the codec.
const of = () => hls.levels.map((level, n) => level.videoCodec.startsWith(codec) ? n : -1).filter(n => n >= 0);
hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.currentLevel = of()[0]; v.play(); });
let up = false;
v.addEventListener('timeupdate', () => { if (v.currentTime > 3 && !up) { up = true; hls.nextLevel = of().pop(); } });
hls.loadSource('master.m3u8');
hls.attachMedia(v);
</script>";

const DASH: &str = "<script src=dash.js></script><script>
const player = dashjs.MediaPlayer().create();
player.updateSettings({streaming: {abr: {autoSwitchBitrate: {video: false}, initialBitrate: {video: 1}},
  buffer: {bufferTimeDefault: 3, bufferTimeAtTopQuality: 3, bufferTimeAtTopQualityLongForm: 3, fastSwitchEnabled: true}}});
player.on('error', e => fail(e.error && e.error.message));
// Of several codecs, this one alone.
player.setCustomInitialTrackSelectionFunction(tracks => tracks.filter(track =>
  track.type !== 'video' || track.codec.includes(codec)));
v.addEventListener('timeupdate', () => { const now = player.getCurrentRepresentationForType('video');
  if (now) played(now.codecs); });
// It may pause the element at the last frame itself, which then does not say that it ended.
player.on('playbackEnded', tell);
let up = false;
v.addEventListener('timeupdate', () => { if (v.currentTime > 3 && !up) { up = true;
  const all = player.getRepresentationsByType('video');
  player.setRepresentationForTypeById('video', all.reduce((a, b) => a.width > b.width ? a : b).id, false); } });
player.initialize(v, 'manifest.mpd', true);
</script>";
