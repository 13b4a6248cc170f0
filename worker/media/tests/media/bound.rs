//! A bound on the rate holds where chunks meet, without giving away what the encoder may spend.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_media::{ChunkJob, JoinJob, encode_chunk, join, probe};
use rushes_shared::encode::{SpeedPreset, VideoCodec};
use rushes_shared::ladder::{Grid, RateCap, Rung, split};

use crate::chunk::{clip, rung};

/// Two seconds to a chunk, one to a key frame.
const GRID: Grid = Grid { key_ns: 1_000_000_000, keys_to_segment: 2, keys_to_chunk: 2 };
/// Noise whose colours come and go every two seconds, at the borders: every chunk needs all of its bound.
const RESTLESS: &str = "-f lavfi -i testsrc2=s=320x180:d=10:r=25,noise=alls=40:allf=t,hue=h=0:s=0:enable='lt(mod(t\\,4)\\,2)' \
    -c:v libx264 -preset ultrafast -crf 8";

/// Chunks of a film under a bound, joined; `caps` are the film's.
fn made(film: &Path, rung: &Rung, caps: &[Option<RateCap>], name: &str) -> PathBuf {
    let source = probe(film).unwrap();
    let (mut chunks, output) = (Vec::new(), film.with_file_name(format!("{name}.mp4")));
    for (number, range) in split(&source, &GRID).into_iter().enumerate() {
        let rungs = [(rung.clone(), film.with_file_name(format!("{name}-{number}.mp4")))];
        let job = ChunkJob {
            input: film,
            source: &source,
            range,
            grid: &GRID,
            cuts: None,
            rungs: &rungs,
            caps,
            bits: &[],
            threads: None,
        };
        encode_chunk(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        chunks.extend(rungs.into_iter().map(|(_, path)| path));
    }
    assert_eq!(chunks.len(), 5);
    let job = JoinJob { chunks: &chunks, sound: None, frames: None, output: &output };
    join(&job, &mut |_| ()).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    output
}

/// Bits of the packets in decoding order, as ffprobe reads them.
pub(crate) fn bits(film: &Path) -> Vec<f64> {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=size", "-of", "csv=p=0"])
        .arg(film)
        .output()
        .expect("these tests need ffprobe");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    text.split_whitespace().map(|size| size.trim_matches(',').parse::<f64>().unwrap() * 8.0).collect()
}

/// The most that a bucket which drains at the bound's rate ever holds, as a share of the buffer.
pub(crate) fn fullest(bits: &[f64], cap: RateCap) -> f64 {
    let (rate, size) = (cap.max_bps as f64, cap.max_bps as f64 * f64::from(cap.buffer_ms) / 1000.0);
    let (mut held, mut most) = (0.0_f64, 0.0_f64);
    for packet in bits {
        held += packet;
        most = most.max(held);
        held = (held - rate / 25.0).max(0.0);
    }
    most / size
}

#[test]
fn chunks_of_a_restless_film_keep_the_whole_buffer_and_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let film = dir.path().join("film.mp4");
    clip(&film, RESTLESS);
    // H.264 has a level for it that is above the one of what a chunk gets that is encoded again.
    let cap = RateCap { max_bps: 500_000, buffer_ms: 1000 };
    for codec in [VideoCodec::H264, VideoCodec::Hevc] {
        let bounded = Rung {
            cap: Some(cap.within_chunks(GRID.chunk_ns())),
            codec,
            preset: SpeedPreset::Veryfast,
            ..rung(codec.word(), 180, 22)
        };
        let whole = bits(&made(&film, &bounded, &[Some(cap)], &format!("whole-{}", codec.word())));
        let halves = bits(&made(&film, &bounded, &[], &format!("halves-{}", codec.word())));
        // A tenth of a percent for the container's rounding.
        assert!(fullest(&whole, cap) <= 1.001, "{codec:?}: {}", fullest(&whole, cap));
        let gain = whole.iter().sum::<f64>() / halves.iter().sum::<f64>();
        assert!(gain > 1.05, "{codec:?}: {gain}");
    }
}
