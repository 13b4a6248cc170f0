//! Sets of films that are not as they should be: damaged ones are refused, pictures that begin late stay late.

use std::fs;
use std::path::Path;
use std::process::Command;

use rushes_media::{LadderJob, make_ladder, probe};
use rushes_shared::check::CheckName;
use rushes_shared::encode::SpeedPreset;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{Grid, LadderSettings, PackageReport};

use crate::chunk::{beeps, clip, flashes};

pub(crate) fn set_of(film: &Path, out: &Path) -> Result<PackageReport, Failure> {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(out).unwrap();
    let grid = Grid { key_ns: 1_000_000_000, keys_to_segment: 2, keys_to_chunk: 2 };
    let settings = LadderSettings { grid, preset: SpeedPreset::Ultrafast, ..LadderSettings::default() };
    let source = probe(film)?;
    let job = LadderJob {
        input: film,
        source: &source,
        settings: &settings,
        scratch: scratch.path(),
        directory: out,
    };
    make_ladder(&job, &mut |_| ())
}

#[test]
fn a_film_that_breaks_off_or_has_a_hole_is_no_set() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, "-f lavfi -i testsrc2=s=192x108:r=25:d=9.5 -c:v libx264 -g 25 -movflags +faststart");
    assert_eq!(set_of(&film, &dir.path().join("whole")).unwrap().video[0].packets, 238);
    let bytes = fs::read(&film).unwrap();

    let short = dir.path().join("short.mp4");
    // Within the last chunk but one: every chunk has a frame but the last, which has none.
    for (name, share) in [("most", 93), ("half", 50)] {
        fs::write(&short, &bytes[..bytes.len() * share / 100]).unwrap();
        let failure = set_of(&short, &dir.path().join(name)).unwrap_err();
        assert_eq!(failure.code, FailureCode::InputDamaged, "{name}: {failure}");
    }

    let (hole, mut holed) = (dir.path().join("hole.mp4"), bytes.clone());
    let middle = bytes.len() / 2;
    holed[middle..middle + bytes.len() / 6].fill(0);
    fs::write(&hole, holed).unwrap();
    let failure = set_of(&hole, &dir.path().join("hole")).unwrap_err();
    assert!(failure.message.contains("of 238 frames could be decoded"), "{failure}");
}

/// Where the sixth key frame's packet lies in a file, and how long it is.
fn sixth_key_frame(film: &Path) -> (usize, usize) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args([
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pos,size,flags",
        "-of",
        "csv=p=0",
    ]);
    let told = ffprobe.arg(film).output().expect("these tests need ffprobe").stdout;
    let told = String::from_utf8(told).unwrap();
    let keys = told.lines().filter(|line| line.contains(",K"));
    let fields: Vec<usize> =
        keys.skip(5).flat_map(|key| key.split(',')).take(2).map(|number| number.parse().unwrap()).collect();
    (fields[1], fields[0])
}

#[test]
fn concealed_damage_of_a_film_is_told_of_in_its_set_and_what_a_seek_leaves_out_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(
        &film,
        "-f lavfi -i testsrc2=s=320x180:r=25:d=9.5 -vf noise=alls=20 -c:v libx264 -preset veryfast -bf 3 -x264-params keyint=25:open-gop=1:scenecut=0",
    );
    let told = |film: &Path, name: &str| -> Vec<String> {
        let report = set_of(film, &dir.path().join(name)).unwrap();
        assert_eq!(report.video[0].packets, 238);
        let errors = report.checks.iter().filter(|check| check.name == CheckName::DecodingErrors);
        errors.filter(|check| check.note.contains("the source is damaged")).map(ToString::to_string).collect()
    };
    assert_eq!(told(&film, "whole"), Vec::<String>::new());
    let (at, size) = sixth_key_frame(&film);
    let mut bytes = fs::read(&film).unwrap();
    bytes[at + size / 2..at + size / 2 + 40].fill(0x55);
    let damaged = dir.path().join("damaged.mp4");
    fs::write(&damaged, bytes).unwrap();
    let told = told(&damaged, "damaged");
    assert_eq!(told.len(), 1, "{told:?}");
}

/// How long flashes come before their beeps in the set of a film whose picture begins so late, in milliseconds.
fn apart(dir: &Path, ending: &str, late: &str) -> Vec<f64> {
    let film = dir.join(format!("late-{late}.{ending}"));
    // Both at half a second of the picture's own time, and each second after.
    let flash = "color=s=192x108:r=50:d=5,geq=lum='if(lt(mod(T-0.5\\,1)\\,0.02)*gte(T\\,0.5)\\,235\\,16)':cb=128:cr=128";
    let beep = format!(
        "aevalsrc='0.8*sin(2000*PI*t)*lt(mod(t-0.5-{late}\\,1)\\,0.02)*gte(t\\,0.5+{late})':s=48000:d=5.7"
    );
    clip(
        &film,
        &format!(
            "-itsoffset {late} -f lavfi -i {flash} -f lavfi -i {beep} -c:v libx264 -preset ultrafast -g 60 -c:a aac"
        ),
    );
    let out = dir.join(format!("set-{late}-{ending}"));
    set_of(&film, &out).unwrap();
    let manifest = out.join("manifest.mpd");
    let (flashes, beeps) = (flashes(&manifest), beeps(&manifest));
    assert!(flashes.len() == 5 && beeps.len() >= 5, "{flashes:?} {beeps:?}");
    beeps.iter().zip(&flashes).map(|(beep, flash)| beep - flash).collect()
}

#[test]
fn a_picture_that_begins_after_the_sound_stays_with_it() {
    let dir = tempfile::tempdir().unwrap();
    for ending in ["mp4", "mkv"] {
        // ffmpeg counts a manifest's times from the first packet, sound's priming among them.
        let usual = apart(dir.path(), ending, "0")[0];
        for found in apart(dir.path(), ending, "0.7") {
            assert!((found - usual).abs() <= 5.0, "{ending}: {found} ms apart, and {usual} ms else");
        }
    }
}
