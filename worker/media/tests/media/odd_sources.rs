//! Sources of studios and broadcasters whose form is another one than that of most files.

use std::fs;
use std::path::Path;
use std::process::Command;

use rushes_shared::encode::{AudioCodec, Container, VideoCodec};

use crate::chunk::{GRID, beeps, chunked, clip, flashes, frames, rung};
use crate::formats::{good, settings, told};

/// How much more neighbouring rows differ than those of the same field: nothing in a frame of one moment.
fn combed(file: &Path) -> f64 {
    const SIDES: (usize, usize) = (320, 180);
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    let off = |a: &[u8], b: &[u8]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum() };
    let frames: Vec<&[u8]> = run.stdout.chunks_exact(SIDES.0 * SIDES.1).collect();
    assert_eq!(frames.len(), 25, "{}", file.display());
    let of_frame = |frame: &&[u8]| {
        let rows: Vec<&[u8]> = frame.chunks_exact(SIDES.0).collect();
        rows.windows(3)
            .map(|row| off(row[1], row[0]) + off(row[1], row[2]) - 2.0 * off(row[0], row[2]))
            .sum::<f64>()
    };
    frames.iter().map(of_frame).sum::<f64>() / run.stdout.len() as f64
}

#[test]
fn fields_of_ten_bits_are_put_together_too() {
    let dir = tempfile::tempdir().unwrap();
    let bar =
        "color=gray:s=320x180:r=50:d=1[b];color=white:s=30x100:r=50:d=1[w];[b][w]overlay=x='20+t*200':y=30";
    for (format, how) in [
        ("yuv422p10le", "-c:v prores_ks -flags +ilme+ildct -top 1"),
        ("yuv420p10le", "-c:v libx264 -flags +ilme+ildct -x264-params tff=1 -qp 10"),
        (
            "yuv420p10le",
            "-c:v libx264 -flags +ilme+ildct -x264-params tff=1 -qp 10 -color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc",
        ),
    ] {
        let (film, output) = (dir.path().join("fields.mov"), dir.path().join("out.mp4"));
        clip(
            &film,
            &format!(
                "-f lavfi -i {bar} -vf format={format},tinterlace=interleave_top,setparams=field_mode=tff {how} -pix_fmt {format}"
            ),
        );
        assert!(combed(&film) > 1.0, "{how}");
        let report = good(&film, &output, &settings(Container::Mp4, Some(VideoCodec::H264), None));
        assert!(combed(&output) < 0.1, "{how}: {}", combed(&output));
        assert!(report.warnings.iter().any(|told| told.contains("8 bits")), "{how}: {:?}", report.warnings);
    }
}

/// How loud each channel is, in dB.
fn levels(file: &Path) -> Vec<f64> {
    let run = Command::new("ffmpeg")
        .args(["-i"])
        .arg(file)
        .args(["-af", "astats=measure_perchannel=RMS_level:measure_overall=none", "-f", "null", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    let of_line =
        |line: &str| line.split_once("RMS level dB: ")?.1.trim().replace("-inf", "-200").parse().ok();
    text.lines().filter_map(of_line).collect()
}

#[test]
fn each_loudspeaker_keeps_its_sound_whatever_the_file_says_of_their_places() {
    let dir = tempfile::tempdir().unwrap();
    // Another level in each channel.
    let six = "aevalsrc=0.5*sin(2513*t)|0.25*sin(2513*t)|0.125*sin(2513*t)|0.0625*sin(2513*t)|0.03*sin(2513*t)|0.015*sin(2513*t):s=48000:d=1";
    for (name, how) in [
        ("open.mov", "-c:a pcm_s16le"),
        ("side.wav", "-af aformat=channel_layouts=5.1(side) -c:a pcm_s16le"),
        ("rear.wav", "-af aformat=channel_layouts=5.1 -c:a pcm_s16le"),
    ] {
        let (source, output) = (dir.path().join(name), dir.path().join("out.flac"));
        clip(&source, &format!("-f lavfi -i {six} {how}"));
        good(&source, &output, &settings(Container::Flac, None, Some(AudioCodec::Flac)));
        let (before, after) = (levels(&source), levels(&output));
        assert_eq!((before.len(), after.len()), (6, 6), "{name}");
        let is_same = before.iter().zip(&after).all(|(before, after)| (before - after).abs() < 0.1);
        assert!(is_same, "{name}: {before:?}, {after:?}");
    }
    let (source, output) = (dir.path().join("eight.wav"), dir.path().join("eight.mov"));
    clip(&source, "-f lavfi -i anullsrc=cl=7.1:r=48000:d=1 -c:a pcm_s16le");
    good(&source, &output, &settings(Container::Mov, None, Some(AudioCodec::Pcm)));
    assert_eq!(told(&output, "a:0", "channel_layout"), ["7.1"]);
}

#[test]
fn a_flac_file_says_its_length_and_the_sum_of_its_samples() {
    let dir = tempfile::tempdir().unwrap();
    let (source, output) = (dir.path().join("sound.wav"), dir.path().join("out.flac"));
    for (how, bytes) in [("pcm_s16le", "s16le"), ("pcm_s24le", "s24le")] {
        clip(
            &source,
            &format!("-f lavfi -i anoisesrc=d=1.3:r=44100,aformat=channel_layouts=stereo -c:a {how}"),
        );
        good(&source, &output, &settings(Container::Flac, None, Some(AudioCodec::Flac)));
        let head = std::fs::read(&output).unwrap();
        let run = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&output)
            .args(["-f", "hash", "-hash", "md5", "-c:a", &format!("pcm_{bytes}"), "-"])
            .output()
            .unwrap();
        let sum: String = head[26..42].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), format!("MD5={sum}"), "{how}");
        let samples = u64::from_be_bytes(head[18..26].try_into().unwrap()) & ((1 << 36) - 1);
        assert_eq!(samples, 57_330, "{how}");
        assert_eq!(told(&output, "a:0", "duration"), ["1.300000"], "{how}");
    }
}

#[test]
fn surround_sound_that_becomes_stereo_on_the_way_is_mixed_on() {
    let dir = tempfile::tempdir().unwrap();
    let (six, two) = (dir.path().join("six.ac3"), dir.path().join("two.ac3"));
    clip(&six, "-f lavfi -i sine=440:d=2 -ac 6 -ar 48000 -c:a ac3");
    clip(&two, "-f lavfi -i sine=440:d=2 -ac 2 -ar 48000 -c:a ac3");
    let (source, output) = (dir.path().join("change.ac3"), dir.path().join("out.m4a"));
    for (first, second) in [(&six, &two), (&two, &six)] {
        let bytes = [std::fs::read(first).unwrap(), std::fs::read(second).unwrap()].concat();
        std::fs::write(&source, bytes).unwrap();
        let mut settings = settings(Container::M4a, None, Some(AudioCodec::Aac));
        settings.audio.as_mut().unwrap().channels = Some(2);
        good(&source, &output, &settings);
        assert_eq!(told(&output, "a:0", "channels"), ["2"]);
    }
}

#[test]
fn sound_stays_with_the_picture_behind_a_packet_that_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let flash = "color=s=64x64:r=50:d=8,geq=lum='if(lt(mod(T-0.5\\,1)\\,0.02)*gte(T\\,0.5)\\,235\\,16)':cb=128:cr=128";
    let beep = "aevalsrc='0.8*sin(2000*PI*t)*lt(mod(t-0.5\\,1)\\,0.02)*gte(t\\,0.5)':s=48000:d=8";
    let (film, output) = (dir.path().join("film.mkv"), dir.path().join("out.mp4"));
    // One packet of 1024 samples is missing, in a silence.
    clip(
        &film,
        &format!(
            "-f lavfi -i {flash} -f lavfi -i {beep} -c:v libx264 -preset ultrafast -c:a aac -bsf:a noise=amount=0:drop='eq(n,140)'"
        ),
    );
    good(&film, &output, &settings(Container::Mp4, Some(VideoCodec::H264), Some(AudioCodec::Aac)));
    let (flashes, beeps) = (flashes(&output), beeps(&output));
    assert_eq!((flashes.len(), beeps.len()), (8, 8));
    for (flash, beep) in flashes.iter().zip(&beeps) {
        assert!((flash - beep).abs() <= 5.0, "a flash at {flash} ms, its beep at {beep} ms");
    }
}

#[test]
fn a_transport_stream_keeps_the_sound_before_its_picture() {
    let dir = tempfile::tempdir().unwrap();
    let (film, output) = (dir.path().join("film.mkv"), dir.path().join("out.ts"));
    let flash = "color=s=64x64:r=50:d=4,geq=lum='if(lt(mod(T-0.5\\,1)\\,0.02)*gte(T\\,0.5)\\,235\\,16)':cb=128:cr=128";
    let beep = "aevalsrc='0.8*sin(2000*PI*t)*lt(mod(t-0.5\\,1)\\,0.02)*gte(t\\,0.5)':s=48000:d=6";
    for lead in ["0.1", "0.5", "2"] {
        clip(
            &film,
            &format!(
                "-itsoffset {lead} -f lavfi -i {flash} -f lavfi -i {beep} -c:v libx264 -preset ultrafast -c:a aac"
            ),
        );
        good(&film, &output, &settings(Container::MpegTs, Some(VideoCodec::H264), Some(AudioCodec::Aac)));
        let (flashes, beeps) = (flashes(&output), beeps(&output));
        assert_eq!((flashes.len(), beeps.len()), (4, 6), "{lead}");
        let off = flashes[0] - beeps[0] - lead.parse::<f64>().unwrap() * 1000.0;
        assert!(off.abs() <= 25.0, "{lead}: {off} ms");
    }
}

/// The clock comes with the picture: what is heard before that has no reference to count from.
#[test]
fn sound_before_the_clock_of_a_transport_stream_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.mp4");
    let flash = "color=s=64x64:r=50:d=4,geq=lum='if(lt(mod(T-0.5\\,1)\\,0.02)*gte(T\\,0.5)\\,235\\,16)':cb=128:cr=128";
    let beep = "aevalsrc='0.8*sin(2000*PI*t)*lt(mod(t-0.5\\,1)\\,0.02)*gte(t\\,0.5)':s=48000:d=8";
    let (at_once, with_arrivals) = ("-muxdelay 0 -muxpreload 0", "-mpegts_m2ts_mode 1 -c:a ac3");
    for (lead, options) in [("0", at_once), ("1", ""), ("1", with_arrivals), ("3", "")] {
        let film = dir.path().join("film.ts");
        clip(
            &film,
            &format!(
                "-itsoffset {lead} -f lavfi -i {flash} -f lavfi -i {beep} -c:v libx264 -preset ultrafast -g 50 -c:a aac {options}"
            ),
        );
        good(&film, &output, &settings(Container::Mp4, Some(VideoCodec::H264), Some(AudioCodec::Aac)));
        let (flashes, beeps) = (flashes(&output), beeps(&output));
        assert_eq!((flashes.len(), beeps.len()), (4, 8), "{lead} {options}");
        let off = flashes[0] - beeps[0] - lead.parse::<f64>().unwrap() * 1000.0;
        assert!(off.abs() <= 5.0, "{lead} {options}: {off} ms");
        // Each chunk is sought for.
        let place = dir.path().join(format!("chunks-{lead}-{}", options.len()));
        fs::create_dir(&place).unwrap();
        let joined = chunked(&film, &GRID, &[rung("low", 64, 30)], &place).unwrap();
        assert_eq!(joined[0].1.frames, 200, "{lead} {options}");
        assert_eq!(frames(&joined[0].0, "null").len(), 200, "{lead} {options}");
    }
}

#[test]
fn the_full_range_is_told_without_a_matrix_too() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("full.mp4");
    clip(
        &film,
        "-f lavfi -i testsrc2=s=320x180:r=25:d=1 -c:v libx264 -x264-params fullrange=on -color_range pc",
    );
    for container in [Container::Mp4, Container::Webm] {
        let output = dir.path().join("out");
        good(&film, &output, &settings(container, Some(VideoCodec::Vp9), None));
        assert_eq!(told(&output, "v:0", "color_range"), ["pc"], "{container:?}");
    }
}
