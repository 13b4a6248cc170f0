//! What a file says of itself, in each container.

use std::process::Command;

use rushes_shared::encode::{AudioCodec, Container, VideoCodec};

use crate::chunk::clip;
use crate::formats::{good, settings};

#[test]
fn titles_and_languages_are_those_of_the_source_in_every_container() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("film.mp4");
    let title = "My Film, \"Part 2\" ünï";
    let plain = dir.path().join("plain.mp4");
    clip(
        &plain,
        "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -f lavfi -i sine=d=1 -c:v libx264 -preset ultrafast -c:a aac",
    );
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(&plain)
        .args([
            "-c",
            "copy",
            "-metadata",
            &format!("title={title}"),
            "-metadata",
            &format!("artist={title}"),
            "-metadata:s:a:0",
            "language=deu",
        ])
        .arg(&source)
        .status();
    assert!(run.unwrap().success());
    for (container, video, audio) in [
        (Container::Mkv, VideoCodec::H264, AudioCodec::Aac),
        (Container::Webm, VideoCodec::Vp9, AudioCodec::Opus),
        (Container::Mp4, VideoCodec::H264, AudioCodec::Mp3),
        (Container::Mov, VideoCodec::H264, AudioCodec::Mp3),
        (Container::MpegTs, VideoCodec::H264, AudioCodec::Aac),
    ] {
        let output = dir.path().join("out");
        good(&source, &output, &settings(container, Some(video), Some(audio)));
        let said = |entries: &str| {
            let run = Command::new("ffprobe")
                .args(["-v", "error", "-show_entries", entries, "-of", "default=nw=1:nk=1"])
                .args(["-select_streams", "a"])
                .arg(&output)
                .output();
            String::from_utf8_lossy(&run.unwrap().stdout).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        // ISO 639-2 has two codes for German.
        let language = said("stream_tags=language");
        assert!(["deu", "ger"].map(str::to_owned).contains(&language[0]), "{container:?}: {language:?}");
        if container != Container::MpegTs {
            // The artist has the same name here, whatever a container calls him.
            let tags = said("format_tags");
            assert_eq!(tags.iter().filter(|text| *text == title).count(), 2, "{container:?}: {tags:?}");
        }
    }
}
