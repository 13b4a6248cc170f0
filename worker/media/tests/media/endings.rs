//! Work that cannot go on ends with its cause, and leaves nobody waiting for it.

use std::fs;
use std::path::Path;

use rushes_media::{ChunkJob, EncodeJob, check, encode, encode_chunk, probe, sound};
use rushes_shared::encode::{AudioSettings, EncodeSettings, SpeedPreset, VideoSettings};
use rushes_shared::failure::FailureCode;
use rushes_shared::ladder::ChunkRange;

use crate::chunk::{GRID, clip, rung};

/// Whatever is written there finds no space.
const FULL: &str = "/dev/full";
/// Pictures that need so many bytes that a buffer of a megabyte does not hold them, and no time to be decoded: they come
/// faster than they can be taken, so that somebody waits with the next one when the place for them is found to be full.
const NOISE: &str = "-f lavfi -i nullsrc=s=640x360:r=25:d=4,geq=random(1)*255:128:128 -f lavfi -i sine=440:d=4 \
                     -c:v rawvideo -pix_fmt yuv420p -c:a aac";

#[test]
fn a_chunk_without_space_for_it_says_so_while_its_film_is_still_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("noise.mkv");
    clip(&film, NOISE);
    let source = probe(&film).unwrap();
    let outputs = [(rung("a", 360, 5), Path::new(FULL).to_owned())];
    let range = ChunkRange { start_ns: 0, end_ns: None };
    let job = ChunkJob {
        input: &film,
        source: &source,
        range,
        grid: &GRID,
        cuts: None,
        rungs: &outputs,
        caps: &[],
        bits: &[],
        threads: Some(1),
    };
    let failure = encode_chunk(&job, &mut |_| ()).unwrap_err();
    assert_eq!(failure.code, FailureCode::NodeUnfit, "{failure}");
}

#[test]
fn an_encode_and_a_sound_without_space_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("noise.mkv");
    clip(&film, NOISE);
    let source = probe(&film).unwrap();
    let settings = EncodeSettings::default();
    let job = EncodeJob {
        input: &film,
        source: &source,
        settings: &settings,
        output: Path::new(FULL),
        threads: Some(1),
    };
    let failure = encode(&job, &mut |_| ()).unwrap_err();
    assert_eq!(failure.code, FailureCode::NodeUnfit, "{failure}");
    let failure = sound(&film, &source, &AudioSettings::default(), Path::new(FULL), &mut |_| ()).unwrap_err();
    assert_eq!(failure.code, FailureCode::NodeUnfit, "{failure}");
}

/// The kind of file that shows who waits: the sound fails at its first packet, in another thread than that of the pictures,
/// which may be anywhere then.
#[test]
fn sound_that_cannot_be_decoded_ends_the_encode_wherever_its_pictures_are() {
    let dir = tempfile::tempdir().unwrap();
    let (film, output) = (dir.path().join("clip.webm"), dir.path().join("out.mp4"));
    clip(
        &film,
        "-f lavfi -i testsrc2=s=160x120:r=30:d=1 -f lavfi -i sine=440:d=1 -c:v libvpx -c:a libvorbis",
    );
    let mut bytes = fs::read(&film).unwrap();
    let setup = bytes.windows(7).position(|word| word == b"\x05vorbis").unwrap();
    // Lengths of code words that are none.
    bytes[setup + 40..setup + 80].fill(0xff);
    fs::write(&film, bytes).unwrap();
    let source = probe(&film).unwrap();
    let video = VideoSettings { preset: SpeedPreset::Ultrafast, ..VideoSettings::default() };
    let settings = EncodeSettings { video: Some(video), ..EncodeSettings::default() };
    let job =
        EncodeJob { input: &film, source: &source, settings: &settings, output: &output, threads: None };
    for _ in 0..20 {
        let failure = encode(&job, &mut |_| ()).unwrap_err();
        assert_eq!(failure.code, FailureCode::InputDamaged, "{failure}");
    }
}

/// One sound packet of a recording says that it is heard many hours later than it is. Silence up to there would take as long.
#[test]
fn sound_with_a_broken_time_follows_on_what_was_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (film, output) = (dir.path().join("clip.ts"), dir.path().join("out.mp4"));
    clip(&film, "-f lavfi -i testsrc2=s=160x120:r=25:d=4 -f lavfi -i sine=440:d=4 -c:v mpeg2video -c:a mp2");
    let whole = fs::read(&film).unwrap();
    // Heads of packets of sound with a time, whose second highest bit stands for 2^31 ticks of 90 kHz.
    let heads =
        whole.windows(9).enumerate().filter(|(_, head)| head[..4] == [0, 0, 1, 0xc0] && head[7] & 0x80 != 0);
    let heads: Vec<usize> = heads.map(|(at, _)| at + 9).collect();
    for place in [heads[heads.len() / 2], *heads.last().unwrap()] {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x04;
        fs::write(&film, bytes).unwrap();
        let source = probe(&film).unwrap();
        assert!(source.audio[0].duration_ns > 3_600_000_000_000, "{source:?}");
        let settings = EncodeSettings::default();
        let job =
            EncodeJob { input: &film, source: &source, settings: &settings, output: &output, threads: None };
        let encoded = encode(&job, &mut |_| ()).unwrap();
        assert!((3_900_000_000..4_300_000_000).contains(&encoded.audio_duration_ns), "{encoded:?}");
        assert!(encoded.warnings.iter().any(|told| told.contains("picture's end")), "{encoded:?}");
        let report = check(&output, &source, &settings, Some(&encoded), &mut |_| ()).unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
        let made = sound(&film, &source, &AudioSettings::default(), &output, &mut |_| ()).unwrap();
        assert!((3_900_000_000..4_300_000_000).contains(&made.duration_ns), "{made:?}");
    }
}
