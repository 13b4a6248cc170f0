//! Files that end before what their heads promise are refused; those whose heads promise nothing, or nearly what is there, are
//! encoded.

use std::fs;
use std::path::Path;

use rushes_media::{Encoded, probe};
use rushes_shared::encode::{AudioCodec, AudioSettings, Container, EncodeSettings};
use rushes_shared::failure::{Failure, FailureCode};

use crate::broken_sets::set_of;
use crate::chunk::clip;
use crate::studio::{encoded, quick};

/// What an encode of a part of a file says.
fn part_of(file: &Path, thousandths: usize) -> Result<Encoded, Failure> {
    let bytes = fs::read(file).unwrap();
    changed(file, &bytes[..bytes.len() * thousandths / 1000])
}

fn changed(file: &Path, bytes: &[u8]) -> Result<Encoded, Failure> {
    let part = file.with_file_name(format!("part-{}", file.file_name().unwrap().to_str().unwrap()));
    fs::write(&part, bytes).unwrap();
    let out = file.with_file_name("out.mp4");
    let has_picture = !probe(&part)?.video.is_empty();
    let sound = EncodeSettings {
        container: Container::M4a,
        video: None,
        audio: Some(AudioSettings::of(AudioCodec::Aac)),
        ..EncodeSettings::default()
    };
    encoded(&part, &out, &if has_picture { quick() } else { sound }).map(|(_, encoded)| encoded)
}

/// With a length of ten seconds.
const FILM: &str = "-f lavfi -i testsrc2=s=192x108:r=25:d=10 -f lavfi -i sine=r=48000:d=10 -c:v libx264 -preset ultrafast -g 25 -c:a aac";
const SOUND: &str = "-f lavfi -i anoisesrc=a=0.1:r=48000:d=10";

#[test]
fn what_ends_long_before_its_header_says_is_refused_with_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let webm =
        FILM.replace("libx264 -preset ultrafast", "libvpx -deadline realtime").replace("aac", "libopus");
    let mp3 = format!("{SOUND} -c:a libmp3lame");
    let films = [("film.mkv", FILM), ("film.webm", &webm)];
    let sounds = [
        ("sound.flac", SOUND),
        ("sound.wav", SOUND),
        ("wide.wav", &format!("{SOUND} -rf64 always")),
        ("sound.mp3", &mp3),
    ];
    for (name, how) in films.into_iter().chain(sounds) {
        let file = dir.path().join(name);
        clip(&file, how);
        part_of(&file, 1000).unwrap();
        let failure = part_of(&file, 600).unwrap_err();
        assert_eq!(failure.code, FailureCode::InputDamaged, "{name}: {failure}");
        let said = failure.message.clone();
        let at = said.strip_prefix("the input is damaged after ").unwrap().split_once(" s: ").unwrap().0;
        let at: f64 = at.parse().unwrap();
        assert!((4.0..8.0).contains(&at), "{name}: {failure}");
        assert!(said.ends_with("its header promises 10.0 s"), "{name}: {failure}");
        assert!(failure.advice.contains("get a complete copy"), "{name}: {failure}");
    }
    let failure = set_of(&dir.path().join("part-film.mkv"), &dir.path().join("set")).unwrap_err();
    assert_eq!(failure.code, FailureCode::InputDamaged, "{failure}");
}

#[test]
fn recordings_without_a_length_are_encoded_and_one_that_broke_off_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.mkv");
    clip(&live, &format!("{FILM} -live 1"));
    assert_eq!(part_of(&live, 1000).unwrap().warnings, [""; 0]);
    let cut = part_of(&live, 600).unwrap();
    assert!(
        cut.warnings.iter().any(|told| told.starts_with("the recording was broken off")),
        "{:?}",
        cut.warnings
    );

    // As programs write that pass on what comes, without a look back.
    let wav = dir.path().join("live.wav");
    clip(&wav, SOUND);
    let mut bytes = fs::read(&wav).unwrap();
    let data = bytes.windows(4).position(|word| word == b"data").unwrap();
    for size in [u32::MAX, 0x7fff_f000] {
        bytes[4..8].copy_from_slice(&size.to_le_bytes());
        bytes[data + 4..data + 8].copy_from_slice(&size.to_le_bytes());
        changed(&wav, &bytes).unwrap();
    }
}

#[test]
fn a_header_that_is_a_little_off_or_wrong_beside_all_of_its_bytes_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mkv");
    clip(&film, FILM);
    let whole = fs::read(&film).unwrap();
    // The last element is the table of key frames.
    part_of(&film, 999).unwrap();
    let at = whole.windows(3).position(|word| word == [0x44, 0x89, 0x88]).unwrap() + 3;
    let mut wrong = whole;
    wrong[at..at + 8].copy_from_slice(&60_000_f64.to_be_bytes());
    changed(&film, &wrong).unwrap();

    let flac = dir.path().join("sound.flac");
    clip(&flac, SOUND);
    let mut more = fs::read(&flac).unwrap();
    // Ten seconds more than there is, as of a file that this one was cut out of; then as if nobody had counted.
    let samples = u32::from_be_bytes(more[22..26].try_into().unwrap());
    for said in [samples + 480_000, 0] {
        more[22..26].copy_from_slice(&said.to_be_bytes());
        changed(&flac, &more).unwrap();
    }
}

#[test]
fn a_recording_in_fragments_that_was_broken_off_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.mp4");
    clip(&file, &format!("{FILM} -movflags frag_keyframe+empty_moov"));
    let says = |encoded: &Encoded| {
        encoded.warnings.iter().any(|told| told.starts_with("the recording was broken off"))
    };
    assert!(!says(&part_of(&file, 1000).unwrap()));
    for part in [990, 600, 300] {
        assert!(says(&part_of(&file, part).unwrap()), "{part}");
    }
}
