//! High dynamic range: kept where an output carries it, else as the standards say that SDR shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{EncodeJob, check, encode, probe};
use rushes_shared::encode::{EncodeSettings, RateControl, SpeedPreset, VideoCodec, VideoSettings};
use rushes_shared::media::Hdr;

use crate::chunk::{GRID, chunked, clip, rung};

/// Light of the patches in cd/m2 and their colours, as shares of red, green and blue in BT.2020.
const PATCHES: [(f64, [f64; 3]); 8] = [
    (0.0, [1.0, 1.0, 1.0]),
    (5.0, [1.0, 1.0, 1.0]),
    (50.0, [1.0, 1.0, 1.0]),
    (90.0, [1.0, 0.7, 0.5]),
    (80.0, [0.5, 0.8, 1.0]),
    (203.0, [1.0, 1.0, 1.0]),
    (600.0, [1.0, 0.8, 0.6]),
    (1000.0, [1.0, 1.0, 1.0]),
];
/// A patch's side in pixels.
const SIDE: usize = 32;

/// SMPTE ST 2084's inverse EOTF and the EOTF, in double precision.
fn pq(light: f64) -> f64 {
    let power = (light / 10_000.0).powf(2610.0 / 16_384.0);
    ((3424.0 / 4096.0 + 2413.0 / 128.0 * power) / (1.0 + 2392.0 / 128.0 * power)).powf(2523.0 / 32.0)
}

fn of_pq(signal: f64) -> f64 {
    let power = signal.powf(32.0 / 2523.0);
    10_000.0
        * ((power - 3424.0 / 4096.0).max(0.0) / (2413.0 / 128.0 - 2392.0 / 128.0 * power))
            .powf(16_384.0 / 2610.0)
}

/// BT.2100's inverse OOTF on a display of 1000 cd/m2, and the OETF of HLG.
fn hlg(light: [f64; 3]) -> [f64; 3] {
    let shown = (0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2]) / 1000.0;
    light.map(|light| {
        let scene = if shown > 0.0 { light / 1000.0 * shown.powf((1.0 - 1.2) / 1.2) } else { 0.0 };
        let (a, b) = (0.178_832_77, 0.284_668_92);
        if scene <= 1.0 / 12.0 { (3.0 * scene).sqrt() } else { a * (12.0 * scene - b).ln() + 0.559_910_73 }
    })
}

/// A film of the patches, without loss, tagged as what it is; `peak` is what it says of its light.
fn film(dir: &Path, hdr: Hdr) -> PathBuf {
    let (width, height) = (SIDE * PATCHES.len(), SIDE);
    let mut planes = [const { Vec::<u8>::new() }; 3];
    let codes = PATCHES.map(|(light, shares)| {
        let light = shares.map(|share| share * light);
        let [r, g, b] = if hdr == Hdr::Pq { light.map(pq) } else { hlg(light) };
        let y = 0.2627 * r + 0.6780 * g + 0.0593 * b;
        [64.0 + 876.0 * y, 512.0 + 896.0 * (b - y) / 1.8814, 512.0 + 896.0 * (r - y) / 1.4746]
    });
    for (plane, bytes) in planes.iter_mut().enumerate() {
        let shift = usize::from(plane > 0);
        for _ in 0..height >> shift {
            for x in 0..width >> shift {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "codes of ten bits"
                )]
                let code = codes[(x << shift) / SIDE][plane].round() as u16;
                bytes.extend_from_slice(&code.to_le_bytes());
            }
        }
    }
    let raw = dir.join("patches.raw");
    fs::write(&raw, planes.concat().repeat(3)).unwrap();
    let transfer = if hdr == Hdr::Pq { "smpte2084" } else { "arib-std-b67" };
    let film = dir.join(format!("{transfer}.mp4"));
    clip(
        &film,
        &format!(
            "-f rawvideo -pix_fmt yuv420p10le -s {width}x{height} -r 25 -i {} -c:v libx265 -preset ultrafast -tag:v hvc1 \
             -x265-params lossless=1:log-level=error:range=limited:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:\
             master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400",
            raw.display()
        ),
    );
    film
}

/// What a patch is in SDR by the standards, as 8-bit codes of BT.709, for content that reaches 1000 cd/m2.
fn reference((light, shares): (f64, [f64; 3])) -> [f64; 3] {
    let light = shares.map(|share| share * light);
    let most = light.into_iter().fold(0.0, f64::max);
    let (whole, white) = (pq(1000.0), 203.0);
    let (signal, top) = (pq(most) / whole, pq(white) / whole);
    let knee = 1.5 * top - 0.5;
    let bent = if signal < knee {
        signal
    } else {
        let t = (signal - knee) / (1.0 - knee);
        (2.0 * t.powi(3) - 3.0 * t.powi(2) + 1.0) * knee
            + (t.powi(3) - 2.0 * t.powi(2) + t) * (1.0 - knee)
            + (-2.0 * t.powi(3) + 3.0 * t.powi(2)) * top
    };
    let scale = if most > 0.0 { of_pq(bent * whole) / most / white } else { 0.0 };
    let rows = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]];
    let [r, g, b] = rows.map(|row| {
        let sum: f64 = row.iter().zip(light).map(|(share, light)| share * light * scale).sum();
        sum.clamp(0.0, 1.0).powf(1.0 / 2.4)
    });
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
}

/// The codes in the middle of each patch, as ffmpeg decodes them.
fn patches(file: &Path, filter: &str) -> Vec<[f64; 3]> {
    let run = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(file)
        .args(["-vf", filter, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv444p", "-"])
        .output()
        .expect("these tests need ffmpeg");
    assert!(run.status.success() && run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    let (width, height) = (SIDE * PATCHES.len(), SIDE);
    let at = |plane: usize, patch: usize| {
        f64::from(run.stdout[plane * width * height + height / 2 * width + patch * SIDE + SIDE / 2])
    };
    (0..PATCHES.len()).map(|patch| [at(0, patch), at(1, patch), at(2, patch)]).collect()
}

fn encoded(film: &Path, codec: VideoCodec, to: &Path) -> Vec<String> {
    let source = probe(film).unwrap();
    let video = VideoSettings {
        rate: RateControl::Crf(0),
        preset: SpeedPreset::Ultrafast,
        ..VideoSettings::of(codec)
    };
    let settings = EncodeSettings { video: Some(video), ..EncodeSettings::default() };
    let job = EncodeJob { input: film, source: &source, settings: &settings, output: to, threads: None };
    let done = encode(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
    check(to, &source, &settings, Some(&done), &mut |_| ()).unwrap_or_else(|failure| panic!("{failure}"));
    done.warnings
}

fn close(found: &[[f64; 3]], wanted: &[[f64; 3]], within: f64) {
    for (patch, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let off = found.iter().zip(wanted).any(|(found, wanted)| (found - wanted).abs() > within);
        assert!(!off, "patch {patch}, {:?}: {found:?} and not {wanted:?}", PATCHES[patch]);
    }
}

#[test]
fn what_an_output_cannot_carry_is_tone_mapped_as_the_standards_say_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = PATCHES.map(reference);
    for hdr in [Hdr::Pq, Hdr::Hlg] {
        let film = film(dir.path(), hdr);
        assert_eq!(probe(&film).unwrap().video[0].hdr, hdr);
        let out = dir.path().join("out.mp4");
        let told = encoded(&film, VideoCodec::H264, &out);
        assert!(told.iter().any(|line| line.contains("tone-mapped")), "{told:?}");
        close(&patches(&out, "null"), &wanted, 2.1);
        let colour = probe(&out).unwrap().video[0].colour.clone();
        assert_eq!((colour.transfer.as_str(), colour.primaries.as_str()), ("bt709", "bt709"));
    }
}

/// Below the knee nothing is bent, so that another program's plain conversion of the same light has to give the same.
#[test]
fn what_is_not_bent_is_what_ffmpegs_zscale_makes_of_it() {
    let filters = Command::new("ffmpeg").args(["-v", "error", "-filters"]).output().expect("ffmpeg");
    if !String::from_utf8_lossy(&filters.stdout).contains("zscale") {
        eprintln!("skipped: this ffmpeg has no zscale");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (film, out) = (film(dir.path(), Hdr::Pq), dir.path().join("out.mp4"));
    encoded(&film, VideoCodec::H264, &out);
    let plain = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709:t=bt709:m=bt709:r=tv,format=yuv444p";
    let (found, wanted) = (patches(&out, "null"), patches(&film, plain));
    close(&found[..5], &wanted[..5], 2.0);
}

#[test]
fn rungs_that_carry_it_keep_it_beside_rungs_that_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let film = film(dir.path(), Hdr::Pq);
    let rungs = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9]
        .map(|codec| rushes_shared::ladder::Rung { codec, ..rung(codec.word(), 1080, 1) });
    let out = chunked(&film, &GRID, &rungs, dir.path()).unwrap_or_else(|failure| panic!("{failure}"));
    let range = |file: &Path| probe(file).unwrap().video[0].hdr;
    assert_eq!(out.iter().map(|(file, _)| range(file)).collect::<Vec<_>>(), [Hdr::Sdr, Hdr::Pq, Hdr::Pq]);
    close(&patches(&out[0].0, "null"), &PATCHES.map(reference), 2.6);
    let said = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_frames",
            "-read_intervals",
            "%+#1",
            "-show_entries",
            "frame=side_data_list",
        ])
        .arg(&out[1].0)
        .output()
        .expect("ffprobe");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("max_content=1000") && said.contains("Mastering display metadata"), "{said}");
}
