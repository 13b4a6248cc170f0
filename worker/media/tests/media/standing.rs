//! Manifests that are written anew over the segments of a set.

use std::fs;
use std::path::Path;

use rushes_media::{LadderJob, ManifestsJob, PackageJob, make_ladder, manifests, package, probe};
use rushes_shared::encode::{SpeedPreset, VideoCodec};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{CodecLadder, Grid, LadderSettings, PackageReport, PackageSettings};

use crate::chunk::{GRID, chunked, clip, rung};

/// Sound in two rates, H.264 in two rungs and VP9 in one, with B-frames and a rate of a television.
fn set(dir: &Path) -> std::path::PathBuf {
    set_in(dir, "eng")
}

/// The same in this language.
fn set_in(dir: &Path, language: &str) -> std::path::PathBuf {
    let film = dir.join("film.mp4");
    clip(
        &film,
        &format!(
            "-f lavfi -i testsrc2=s=640x480:r=30000/1001:d=5.2 -f lavfi -i sine=440:r=48000:d=5.2 -c:v libx264 -preset ultrafast -g 50 -c:a aac \
             -metadata:s:a:0 language={language}"
        ),
    );
    let (scratch, out) = (dir.join("scratch"), dir.join("out"));
    fs::create_dir(&scratch).unwrap();
    fs::create_dir(&out).unwrap();
    let source = probe(&film).unwrap();
    let other = CodecLadder {
        codec: VideoCodec::Vp9,
        crf: 40,
        preset: SpeedPreset::Ultrafast,
        max_height: Some(360),
    };
    let settings = LadderSettings {
        grid: Grid::of(2, 4),
        preset: SpeedPreset::Ultrafast,
        sound_bps: Some(128_000),
        more_sounds: vec![64_000],
        more: vec![other],
        ..LadderSettings::default()
    };
    let job =
        LadderJob { input: &film, source: &source, settings: &settings, scratch: &scratch, directory: &out };
    make_ladder(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
    out
}

fn renewed(set: &Path, to: &Path) -> Result<PackageReport, Failure> {
    fs::create_dir(to).unwrap();
    manifests(&ManifestsJob { set, decode: true, directory: to }, &mut |_| ())
}

#[test]
fn manifests_over_a_sets_own_segments_are_those_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let set = set(dir.path());
    let report = renewed(&set, &dir.path().join("new")).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((report.video.len(), report.audio.len()), (3, 2), "{report:?}");
    assert_eq!(report.files.last().map(String::as_str), Some("master.m3u8"));
    for name in &report.files {
        let read = |at: &Path| fs::read_to_string(at.join(name)).unwrap();
        assert_eq!(read(&dir.path().join("new")), read(&set), "{name}");
    }
}

#[test]
fn a_set_that_has_lost_its_manifests_has_them_again_and_a_new_rung_has_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let set = set(dir.path());
    let old = fs::read_to_string(set.join("master.m3u8")).unwrap();
    fs::remove_file(set.join("master.m3u8")).unwrap();
    fs::remove_file(set.join("manifest.mpd")).unwrap();
    let first = renewed(&set, &dir.path().join("new")).unwrap_or_else(|failure| panic!("{failure}"));
    let names = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.ends_with("/media.m3u8")).map(str::to_owned).collect()
    };
    let read = |at: &str| fs::read_to_string(dir.path().join(at).join("master.m3u8")).unwrap();
    assert_eq!(names(&read("new")), names(&old), "{first:?}");
    // A rung that is taken out is not named any more.
    fs::write(set.join("master.m3u8"), &old).unwrap();
    let gone = first.video[1].name.clone();
    fs::rename(set.join(&gone), dir.path().join("kept")).unwrap();
    let report = renewed(&set, &dir.path().join("fewer")).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.video.len(), 2);
    assert!(!read("fewer").contains(&format!("{gone}/")));
    // And one that comes back stands by its size with its codec.
    fs::write(set.join("master.m3u8"), read("fewer")).unwrap();
    fs::rename(dir.path().join("kept"), set.join(&gone)).unwrap();
    renewed(&set, &dir.path().join("again")).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(names(&read("again")), names(&old));
}

#[test]
fn what_is_missing_cut_off_or_of_another_film_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let set = set(dir.path());
    let fails = |number: u32| -> Failure {
        let to = dir.path().join(format!("to-{number}"));
        let failure = renewed(&set, &to).expect_err("something is wrong");
        assert!(!to.join("master.m3u8").exists());
        failure
    };
    let rung = set.join("480p");
    let name = rung.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(rung.join("2.m4s")).unwrap();
    fs::remove_file(rung.join("2.m4s")).unwrap();
    let failure = fails(1);
    assert_eq!(failure.code, FailureCode::CheckFailed);
    assert!(failure.message.contains(&format!("{name}/2.m4s is missing")), "{failure}");
    fs::write(rung.join("2.m4s"), &whole[..whole.len() / 2]).unwrap();
    let failure = fails(2);
    assert!(failure.message.contains("2.m4s") && failure.message.contains("ends within a box"), "{failure}");
    fs::copy(rung.join("1.m4s"), rung.join("2.m4s")).unwrap();
    let failure = fails(3);
    assert!(failure.message.contains(&format!("{name}/1.m4s ends")), "{failure}");
    fs::write(rung.join("2.m4s"), b"no segment").unwrap();
    assert!(fails(4).message.contains("2.m4s"));
    let data = whole.windows(4).position(|word| word == b"mdat").unwrap() - 4;
    fs::write(rung.join("2.m4s"), &whole[..data]).unwrap();
    let failure = fails(5);
    assert!(failure.message.contains(&format!("{name}/2.m4s: ")), "{failure}");
    assert!(failure.message.contains("cut off"), "{failure}");
    fs::write(rung.join("2.m4s"), b"").unwrap();
    assert!(fails(6).message.contains(&format!("{name}/2.m4s: ")));
    fs::write(rung.join("2.m4s"), &whole).unwrap();
    fs::rename(rung.join("init.mp4"), dir.path().join("init.mp4")).unwrap();
    let failure = fails(7);
    assert!(failure.message.contains(&format!("{name}/init.mp4 is missing")), "{failure}");
    fs::rename(dir.path().join("init.mp4"), rung.join("init.mp4")).unwrap();
    // The last segment of a sound is missed by its playlist.
    let sound = set.join("sound-128k");
    let last = (1..100).take_while(|number| sound.join(format!("{number}.m4s")).exists()).last().unwrap();
    let last = sound.join(format!("{last}.m4s"));
    fs::rename(&last, dir.path().join("last")).unwrap();
    let failure = fails(8);
    assert!(failure.message.contains("is missing, which sound-128k/media.m3u8 names"), "{failure}");
    // And, where that is gone too, by the other rate of the same sound.
    fs::rename(sound.join("media.m3u8"), dir.path().join("media.m3u8")).unwrap();
    let failure = fails(9);
    assert!(failure.message.contains("segments, sound-"), "{failure}");
    fs::rename(dir.path().join("last"), last).unwrap();
    fs::rename(dir.path().join("media.m3u8"), sound.join("media.m3u8")).unwrap();
    renewed(&set, &dir.path().join("well")).unwrap_or_else(|failure| panic!("{failure}"));
    // Another rung's segment has the same frames, in its own size.
    let names = fs::read_dir(&set).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let lower = names.filter(|other| other.ends_with('p') && *other != name).min().unwrap();
    let other = fs::read(set.join(&lower).join("2.m4s")).unwrap();
    fs::write(rung.join("2.m4s"), &other).unwrap();
    let failure = fails(10);
    assert!(failure.message.contains(&name), "{failure}");
    fs::write(rung.join("2.m4s"), &whole).unwrap();
    let inits = [rung.join("init.mp4"), set.join(&lower).join("init.mp4")]
        .map(|path| (fs::read(&path).unwrap(), path));
    fs::write(&inits[0].1, &inits[1].0).unwrap();
    fs::write(&inits[1].1, &inits[0].0).unwrap();
    let failure = fails(11);
    assert!(failure.message.contains(&lower) || failure.message.contains(&name), "{failure}");
    for (bytes, path) in &inits {
        fs::write(path, bytes).unwrap();
    }
    // Sound without its end, which nothing names: a film may be so.
    for rate in ["sound-128k", "sound-64k"] {
        let place = set.join(rate);
        let count = (1..100).take_while(|number| place.join(format!("{number}.m4s")).exists()).count();
        fs::remove_file(place.join("media.m3u8")).unwrap();
        for number in [count - 1, count] {
            fs::remove_file(place.join(format!("{number}.m4s"))).unwrap();
        }
    }
    let short = renewed(&set, &dir.path().join("short")).unwrap_or_else(|failure| panic!("{failure}"));
    let told: Vec<String> = short.checks.iter().map(ToString::to_string).collect();
    assert_eq!(told.iter().filter(|told| told.contains("before the picture does")).count(), 2, "{told:?}");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::create_dir(empty.join("360p")).unwrap();
    fs::copy(rung.join("init.mp4"), empty.join("360p/init.mp4")).unwrap();
    let failure = renewed(&empty, &dir.path().join("no-segment")).unwrap_err();
    assert!(failure.message.contains("360p/1.m4s is missing"), "{failure}");
    fs::remove_file(empty.join("360p/init.mp4")).unwrap();
    let failure = renewed(&empty, &dir.path().join("nothing")).unwrap_err();
    assert!(failure.message.contains("no directory in it has an init.mp4"), "{failure}");
}

#[test]
fn a_rung_with_other_borders_does_not_join_a_set() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, "-f lavfi -i testsrc2=s=192x108:r=25:d=6 -c:v libx264 -preset ultrafast -g 50");
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    let wide = Grid { key_ns: 700_000_000, ..GRID };
    let (own, foreign) = (dir.path().join("own"), dir.path().join("foreign"));
    for (grid, name, to, at) in [(&GRID, "high", &own, dir.path()), (&wide, "low", &foreign, &other)] {
        let rungs: Vec<_> = chunked(&film, grid, &[rung(name, 108, 20)], at)
            .unwrap()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        fs::create_dir(to).unwrap();
        let settings = PackageSettings { segment_ns: 1_400_000_000, ..PackageSettings::default() };
        package(&PackageJob { rungs: &rungs, sound: &[], settings: &settings, directory: to }, &mut |_| ())
            .unwrap();
    }
    fs::rename(foreign.join("low"), own.join("low")).unwrap();
    let failure = renewed(&own, &dir.path().join("new")).unwrap_err();
    assert_eq!(failure.code, FailureCode::CheckFailed);
    assert!(failure.message.contains("key frames: "), "{failure}");
}

#[test]
fn another_language_is_a_sound_to_choose_and_no_rate_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (english, german) = (dir.path().join("english"), dir.path().join("german"));
    fs::create_dir(&english).unwrap();
    fs::create_dir(&german).unwrap();
    let (set, other) = (set_in(&english, "eng"), set_in(&german, "deu"));
    fs::rename(other.join("sound-128k"), set.join("german")).unwrap();
    let to = dir.path().join("new");
    let report = renewed(&set, &to).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(report.audio.len(), 3);
    let master = fs::read_to_string(to.join("master.m3u8")).unwrap();
    let sounds: Vec<&str> = master.lines().filter(|line| line.contains("TYPE=AUDIO")).collect();
    assert!(sounds.iter().all(|line| line.contains("GROUP-ID=\"sound\"")), "{master}");
    assert!(sounds[2].contains("NAME=\"german\",LANGUAGE=\"de\""), "{master}");
    let mpd = fs::read_to_string(to.join("manifest.mpd")).unwrap();
    assert!(mpd.contains("lang=\"de\"") && mpd.contains("lang=\"en\""), "{mpd}");
}
