//! Files that were cut without encoding them again, as editors, phones and `ffmpeg -c copy` make them: the media begins at
//! a key frame, and an edit list says how much of it is not shown.

use std::path::Path;
use std::process::Command;

use crate::studio::{encoded, make, quick, real_media};
use rushes_media::check;

/// Six seconds with a key frame in each, and frames that are shown in another order than they are decoded in.
const FILM: &str = "videotestsrc num-buffers=180 pattern=ball ! video/x-raw,format=I420,width=192,height=128,framerate=30000/1001 ! \
     x264enc speed-preset=veryfast bframes=3 b-adapt=false key-int-max=30 ! h264parse ! queue max-size-time=0 ! mux. \
     audiotestsrc num-buffers=282 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! audioconvert ! avenc_aac ! \
     aacparse ! queue max-size-time=0 ! mux. mp4mux name=mux";

/// Cuts `length` seconds from `start` on; false, said aloud, where `ffmpeg` is not installed.
fn cut(film: &Path, start: &str, length: &str, part: &Path) -> bool {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-ss", start, "-i"]).arg(film);
    let run = ffmpeg.args(["-t", length, "-map", "0:v:0", "-map", "0:a?", "-c", "copy"]).arg(part).output();
    match run {
        Ok(run) => run.status.success(),
        Err(_) => {
            eprintln!("skipped: ffmpeg is not installed");
            false
        }
    }
}

/// The part's frames as `ffprobe` decodes them, held against what is probed, encoded and checked; what is wrong.
fn wrong(part: &Path, out: &Path) -> Option<String> {
    let decoded = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(part)
        .output()
        .unwrap();
    let frames: u64 = String::from_utf8_lossy(&decoded.stdout).trim().trim_end_matches(',').parse().unwrap();
    let (source, done) = match encoded(part, out, &quick()) {
        Ok(done) => done,
        Err(failure) => return Some(failure.to_string()),
    };
    let report = check(out, &source, &quick(), Some(&done), &mut |_| ()).unwrap();
    let found = (source.video[0].frames, done.frames);
    (found != (frames, frames) || !report.problems.is_empty())
        .then(|| format!("{frames} frames are shown, {found:?} probed and encoded, {:?}", report.problems))
}

#[test]
fn a_cut_without_encoding_keeps_all_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (film, out) = (dir.path().join("film.mp4"), dir.path().join("out.mp4"));
    make(FILM, &film);
    let mut failed = Vec::new();
    for (start, length) in [("0.5", "5"), ("1.0", "2"), ("1.99", "3.5"), ("2.345", "2.2"), ("4.7", "9")] {
        for container in ["mp4", "mov", "mkv"] {
            let part = dir.path().join(format!("part-{start}.{container}"));
            if cut(&film, start, length, &part) {
                failed.extend(wrong(&part, &out).map(|what| (part, what)));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn packets_without_times_lose_no_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (film, out) = (dir.path().join("film.mp4"), dir.path().join("out.mp4"));
    make(FILM, &film);
    for name in ["film.avi", "film.ts", "film.flv"] {
        let part = dir.path().join(name);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y", "-i"]).arg(&film).args(["-map", "0:v:0", "-c", "copy"]);
        let Ok(run) = ffmpeg.arg(&part).output() else {
            eprintln!("skipped: ffmpeg is not installed");
            return;
        };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let (_, done) = encoded(&part, &out, &quick()).unwrap();
        assert_eq!(done.frames, 180, "{name}");
    }
}

#[test]
fn cuts_of_real_videos_keep_all_that_is_shown() {
    let Some(folder) = real_media() else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.mp4");
    let entries = std::fs::read_dir(folder.join("video")).unwrap();
    let mut films: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    films.retain(|film| film.extension().is_some_and(|ending| ending == "mp4"));
    films.retain(|film| !film.to_string_lossy().contains("hdr10"));
    films.sort();
    let mut failed = Vec::new();
    for film in films {
        let part = dir.path().join("part.mp4");
        if cut(&film, "1.3", "2", &part) {
            failed.extend(wrong(&part, &out).map(|what| (film, what)));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn a_track_that_is_much_shorter_than_the_film_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.mp4");
    for (video_s, audio_s) in [(10, 1), (10, 2), (1, 8)] {
        for container in ["mp4", "mov", "mkv"] {
            let film = dir.path().join(format!("film-{video_s}-{audio_s}.{container}"));
            let (pictures, sound) =
                (format!("testsrc2=s=192x128:r=25:d={video_s}"), format!("sine=r=48000:d={audio_s}"));
            let mut ffmpeg = Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound]);
            let Ok(run) = ffmpeg.args(["-c:v", "libx264", "-c:a", "aac"]).arg(&film).output() else {
                eprintln!("skipped: ffmpeg is not installed");
                return;
            };
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
            let (source, done) = encoded(&film, &out, &quick()).unwrap();
            assert_eq!((source.video.len(), source.audio.len()), (1, 1), "{film:?}");
            assert_eq!((source.video[0].frames, done.frames), (25 * video_s, 25 * video_s), "{film:?}");
            let report = check(&out, &source, &quick(), Some(&done), &mut |_| ()).unwrap();
            assert!(report.problems.is_empty(), "{film:?}: {:?}", report.problems);
            let made = rushes_media::probe(&out).unwrap();
            let heard = made.audio[0].duration_ns / 1_000_000;
            assert!(heard.abs_diff(audio_s * 1_000) < 150, "{film:?}: {heard} ms of sound");
        }
    }
}
