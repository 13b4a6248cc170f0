//! Loudness and waveforms, held against definitions and against FFmpeg's own meter where it is installed.

use std::path::Path;
use std::process::Command;

use crate::studio::{CLIP, WEBM, encoded, make, real_media, sound};
use rushes_media::{loudness, probe, waveform, waveform_picture};
use rushes_shared::encode::{AudioCodec, AudioSettings, Container, EncodeSettings, LoudnessTarget};
use rushes_shared::failure::FailureCode;
use rushes_shared::measure::{Loudness, Waveform, WaveformSettings};

fn measured(file: &Path) -> Loudness {
    let source = probe(file).unwrap();
    loudness(file, &source, &mut |_| ()).unwrap_or_else(|failure| panic!("{}: {failure}", file.display()))
}

fn drawn(file: &Path, settings: WaveformSettings) -> Waveform {
    let source = probe(file).unwrap();
    waveform(file, &source, &settings, &mut |_| ()).unwrap()
}

/// A tone of a frequency and an amplitude, 20 s long, 48 kHz.
fn tone(file: &Path, frequency: u32, amplitude: f64, channels: u32) {
    let tone = format!(
        "audiotestsrc num-buffers=960 samplesperbuffer=1000 freq={frequency} volume={amplitude} ! \
         audio/x-raw,format=F32LE,rate=48000,channels={channels} ! wavenc name=mux"
    );
    make(&tone, file);
}

#[test]
fn a_tone_has_the_loudness_that_ebu_tech_3341_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tone.wav");
    for level in [-23.0, -33.0] {
        tone(&file, 1000, 10f64.powf(level / 20.0), 2);
        let measured = measured(&file);
        for found in [measured.integrated_lufs, measured.momentary_max_lufs, measured.short_term_max_lufs] {
            assert!((found.unwrap() - level).abs() <= 0.1, "{level}: {measured:?}");
        }
        assert!((measured.true_peak_dbtp.unwrap() - level).abs() <= 0.3, "{level}: {measured:?}");
        assert!(measured.range_lu < 0.1, "{measured:?}");
        assert_eq!((measured.channels, measured.rate_hz), (2, 48_000));
        assert_eq!(measured.duration_ns, 20_000_000_000);
    }
}

#[test]
fn silence_has_no_loudness_and_a_film_without_sound_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("silence.wav");
    tone(&file, 1000, 0.0, 2);
    let silent = measured(&file);
    assert_eq!(
        (silent.integrated_lufs, silent.true_peak_dbtp, silent.momentary_max_lufs),
        (None, None, None)
    );
    let film = dir.path().join("film.webm");
    make(WEBM, &film);
    let source = probe(&film).unwrap();
    let refused = loudness(&film, &source, &mut |_| ()).unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (FailureCode::StreamMissing, "the input has no sound")
    );
}

/// Integrated loudness, range and true peak by FFmpeg's `ebur128` filter.
fn referee(file: &Path) -> Option<[f64; 3]> {
    let run = Command::new("ffmpeg")
        .args(["-nostats", "-hide_banner", "-i"])
        .arg(file)
        .args(["-map", "0:a:0", "-af", "ebur128=metadata=1:peak=true,ametadata=mode=print:file=-"])
        .args(["-f", "null", "-"])
        .output();
    let Ok(run) = run else {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    };
    let (printed, told) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let last = |key: &str| {
        let mut values = printed.lines().filter_map(|line| line.strip_prefix(key)?.parse().ok());
        values.next_back().unwrap_or(f64::NAN)
    };
    let mut peak =
        told.lines().filter_map(|line| line.trim().strip_prefix("Peak:")?.trim().strip_suffix("dBFS"));
    let peak = peak.next_back().and_then(|value| value.trim().parse().ok()).unwrap_or(f64::NAN);
    Some([last("lavfi.r128.I="), last("lavfi.r128.LRA="), peak])
}

#[test]
fn loudness_agrees_with_ffmpeg() {
    let dir = tempfile::tempdir().unwrap();
    let clip = dir.path().join("clip.mp4");
    make(CLIP, &clip);
    let mut files =
        vec![clip, Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4")];
    if let Some(folder) = real_media() {
        for name in ["audio", "video", "odd"] {
            files.extend(std::fs::read_dir(folder.join(name)).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let mut compared = 0;
    for file in files {
        let name = file.display();
        let Ok(source) = probe(&file) else { continue };
        if source.audio.first().is_none_or(|sound| sound.duration_ns < 1_000_000_000) {
            continue;
        }
        let ours = measured(&file);
        let Some([integrated, range, peak]) = referee(&file) else { return };
        // What FFmpeg says of nothing is the gate itself.
        let close = |ours: Option<f64>, other: f64, limit: f64| match ours {
            Some(ours) => (ours - other).abs() <= limit,
            None => other.is_nan() || other <= -70.0,
        };
        assert!(close(ours.integrated_lufs, integrated, 0.1), "{name}: {ours:?}, ffmpeg {integrated} LUFS");
        // FFmpeg also counts the first three seconds, which have less than a window behind them.
        if ours.duration_ns > 60_000_000_000 {
            assert!(close(Some(ours.range_lu), range, 0.1), "{name}: {ours:?}, ffmpeg {range} LU");
        }
        // Its peak is rounded to a tenth, and oversampled by another filter. What is heard where a stream is broken in
        // two is each decoder's own.
        let broken = name.to_string().contains("malformed_join");
        assert!(broken || close(ours.true_peak_dbtp, peak, 0.35), "{name}: {ours:?}, ffmpeg {peak} dBTP");
        compared += 1;
    }
    assert!(compared >= 2);
}

/// Encodes the sound of a file to a target in LUFS and a ceiling of -1 dBTP; gives what was told of it.
fn brought_to(file: &Path, output: &Path, audio: &AudioSettings, target: f64) -> Vec<String> {
    #[expect(clippy::cast_possible_truncation, reason = "tenths of a LUFS")]
    let integrated = (target * 10.0).round() as i16;
    let container = if audio.codec == AudioCodec::Mp3 { Container::Mp3 } else { Container::Wav };
    let loudness = Some(LoudnessTarget { integrated, true_peak: -10 });
    let audio = Some(AudioSettings { loudness, ..audio.clone() });
    let settings = EncodeSettings { container, video: None, audio, ..EncodeSettings::default() };
    encoded(file, output, &settings)
        .unwrap_or_else(|failure| panic!("{}: {failure}", file.display()))
        .1
        .warnings
}

fn pcm() -> AudioSettings {
    AudioSettings { bits: Some(24), ..AudioSettings::of(AudioCodec::Pcm) }
}

#[test]
fn sound_with_high_peaks_is_limited_and_as_loud_as_it_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("loud.wav");
    let mut films = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4")];
    films.extend(real_media().into_iter().flat_map(|folder| {
        ["audio/speech_jfk_44k_stereo.flac", "video/film_chaplin_360p25.mp4"].map(|name| folder.join(name))
    }));
    for film in films {
        let name = film.display();
        let before = measured(&film);
        let room = -1.0 - before.true_peak_dbtp.unwrap();
        // Three LU louder than peaks leave room for.
        let target = before.integrated_lufs.unwrap() + room + 3.0;
        let warnings = brought_to(&film, &output, &pcm(), target);
        let told = warnings.iter().find(|told| told.starts_with("loudness:"));
        assert!(
            told.is_some_and(|told| told.contains("peaks limited to -1.0 dBTP, by up to ")),
            "{warnings:?}"
        );
        assert!(told.is_some_and(|told| !told.contains("instead of")), "{name}: {warnings:?}");
        let after = measured(&output);
        assert!((after.integrated_lufs.unwrap() - target).abs() <= 0.5, "{name}: {target}, {after:?}");
        let peak = after.true_peak_dbtp.unwrap();
        assert!((-1.2..=-0.9).contains(&peak), "{name}: {after:?}");
        assert_eq!(after.duration_ns, before.duration_ns, "{name}");
        let Some([integrated, _, peak]) = referee(&output) else { return };
        assert!(
            (integrated - target).abs() <= 0.5 && peak <= -0.9,
            "{name}: ffmpeg {integrated} LUFS, {peak} dBTP"
        );
    }
}

#[test]
fn mp3_is_as_loud_as_it_should_be_although_its_encoder_makes_it_quieter() {
    let dir = tempfile::tempdir().unwrap();
    let film = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/bigbuckbunny.mp4");
    for bitrate_bps in [128_000, 192_000, 320_000] {
        let output = dir.path().join(format!("{bitrate_bps}.mp3"));
        let audio = AudioSettings { bitrate_bps, ..AudioSettings::of(AudioCodec::Mp3) };
        brought_to(&film, &output, &audio, -16.0);
        let found = measured(&output);
        assert!((found.integrated_lufs.unwrap() + 16.0).abs() <= 0.2, "{bitrate_bps}: {found:?}");
    }
}

#[test]
fn a_limited_sound_keeps_its_time_and_its_quiet_parts() {
    let dir = tempfile::tempdir().unwrap();
    let (file, output) = (dir.path().join("clicks.wav"), dir.path().join("loud.wav"));
    // A quiet tone with a loud tick every two seconds.
    let ticks = "audiotestsrc num-buffers=400 samplesperbuffer=480 wave=ticks freq=3000 volume=0.7 tick-interval=2000000000 ! \
         audio/x-raw,format=F32LE,rate=48000,channels=1 ! mix. \
         audiotestsrc num-buffers=400 samplesperbuffer=480 freq=440 volume=0.05 ! \
         audio/x-raw,format=F32LE,rate=48000,channels=1 ! audiomixer name=mix ! audio/x-raw,format=F32LE ! wavenc name=mux";
    make(ticks, &file);
    let before = measured(&file);
    let room = -1.0 - before.true_peak_dbtp.unwrap();
    let target = before.integrated_lufs.unwrap() + room + 6.0;
    brought_to(&file, &output, &pcm(), target);
    let (Some(was), Some(is)) = (sound(&file), sound(&output)) else { return };
    assert_eq!(is.len(), was.len());
    // One second after a tick and one second before the next the gain is one and the same.
    let level = |samples: &[f32], at: usize| {
        let part = &samples[at..at + 4800];
        (part.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / part.len() as f64).sqrt()
    };
    let gain = level(&is, 72_000) / level(&was, 72_000);
    let db = 20.0 * gain.log10();
    assert!((room + 5.5..room + 9.0).contains(&db), "{db} dB for {room} dB of room");
    for at in 72_000..76_800 {
        let wanted = f64::from(was[at]) * gain;
        assert!((f64::from(is[at]) - wanted).abs() < 1e-4, "{at}: {} instead of {wanted}", is[at]);
    }
    let highest = is.iter().copied().map(f32::abs).fold(0.0, f32::max);
    assert!(highest < 0.9, "{highest}");
}

#[test]
fn a_waveform_is_the_lowest_and_highest_of_what_ffmpeg_decodes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tone.wav");
    tone(&file, 440, 0.5, 1);
    let settings = WaveformSettings { samples_per_pixel: Some(500), ..WaveformSettings::default() };
    let waveform = drawn(&file, settings);
    assert_eq!((waveform.version, waveform.channels, waveform.bits, waveform.length), (2, 1, 16, 1920));
    assert_eq!((waveform.sample_rate, waveform.samples_per_pixel), (48_000, 500));
    assert_eq!(waveform.data.len(), 2 * 1920);
    let Some(samples) = sound(&file) else { return };
    for (number, (point, heard)) in waveform.data.chunks(2).zip(samples.chunks(500)).enumerate() {
        let low = heard.iter().copied().fold(1.0, f32::min) * 32_768.0;
        let high = heard.iter().copied().fold(-1.0, f32::max) * 32_768.0;
        let off = (f32::from(point[0]) - low).abs().max((f32::from(point[1]) - high).abs());
        assert!(off <= 2.0, "point {number}: {point:?}, ffmpeg {low} {high}");
    }
    tone(&file, 440, 0.5, 2);
    let coarse = drawn(&file, WaveformSettings { bits: 8, split_channels: true, ..settings });
    assert_eq!((coarse.channels, coarse.data.len()), (2, 4 * 1920));
    assert!(coarse.data.iter().all(|value| (-64..=64).contains(value)));
}

#[test]
fn sound_that_begins_late_is_late_in_its_waveform() {
    let Some(folder) = real_media() else { return };
    let dir = tempfile::tempdir().unwrap();
    let late = dir.path().join("late.mkv");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "color=black:s=64x64:r=25:d=3", "-itsoffset", "1", "-i"])
        .arg(folder.join("audio/speech_jfk_44k_stereo.flac"))
        .args(["-t", "3", "-c:a", "pcm_s16le"])
        .arg(&late)
        .status();
    if made.is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    }
    let each = WaveformSettings { samples_per_pixel: Some(4410), ..WaveformSettings::default() };
    let waveform = drawn(&late, each);
    assert!(waveform.data[..18].iter().all(|value| *value == 0), "{:?}", &waveform.data[..24]);
    assert!(waveform.data[20..].iter().any(|value| value.unsigned_abs() > 1000));
}

#[test]
fn a_picture_shows_the_waveform_in_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let (file, picture) = (dir.path().join("tone.wav"), dir.path().join("tone.png"));
    tone(&file, 440, 0.5, 1);
    let settings = WaveformSettings { picture: Some((301, 81)), ..WaveformSettings::default() };
    let waveform = drawn(&file, settings);
    assert!((299..=301).contains(&waveform.length), "{}", waveform.length);
    std::fs::write(&picture, waveform_picture(&waveform, (301, 81)).unwrap()).unwrap();
    let facts = probe(&picture).unwrap();
    assert_eq!(
        (facts.video[0].codec.as_str(), facts.video[0].width, facts.video[0].height),
        ("png", 301, 81)
    );
    // Half of full scale fills the middle half of the height.
    let Some(grey) = grey(&picture) else { return };
    let dark = |row: usize| grey[row * 301 + 150] < 0x80;
    let rows: Vec<usize> = (0..81).filter(|row| dark(*row)).collect();
    assert!((19..=21).contains(&rows[0]) && (59..=61).contains(rows.last().unwrap()), "{rows:?}");
    let refused = waveform_picture(&waveform, (0, 81)).unwrap_err();
    assert_eq!(refused.code, FailureCode::SettingsImpossible);
}

fn grey(picture: &Path) -> Option<Vec<u8>> {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(picture)
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output();
    run.ok().map(|run| run.stdout)
}

#[test]
fn settings_out_of_range_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tone.wav");
    tone(&file, 440, 0.5, 1);
    let source = probe(&file).unwrap();
    for wrong in [
        WaveformSettings { bits: 12, ..WaveformSettings::default() },
        WaveformSettings { samples_per_pixel: Some(1), ..WaveformSettings::default() },
    ] {
        let refused = waveform(&file, &source, &wrong, &mut |_| ()).unwrap_err();
        assert_eq!(refused.code, FailureCode::SettingsImpossible);
    }
}
