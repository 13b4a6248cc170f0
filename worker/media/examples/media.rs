//! Media operations by hand, with times: `media probe FILE…`, `media encode IN OUT [CRF] [MAX_HEIGHT]`, `media discover`.

use std::path::Path;
use std::time::Instant;

use rushes_media::{EncodeJob, check, discover_encoders, encode, init, preload, probe};
use rushes_shared::encode::{EncodeSettings, RateControl};
use rushes_shared::failure::Failure;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let started = Instant::now();
    init().expect("GStreamer starts");
    preload();
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or_default();
    eprintln!("started in {} ms, threads {threads}", started.elapsed().as_millis());
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["probe", files @ ..] => probe_all(files),
        ["encode", input, output, rest @ ..] => encode_one(input, output, rest),
        ["discover"] => {
            for fact in discover_encoders(&[], &mut |_| ()) {
                println!("{:14} {:6} {} {}", fact.element, fact.codec, fact.works, fact.reason);
            }
            Ok(())
        }
        _ => {
            eprintln!("usage: media probe FILE… | media encode IN OUT [CRF] [MAX_HEIGHT] | media discover");
            Ok(())
        }
    };
    if let Err(failure) = done {
        eprintln!("{}: {failure}\n{}", failure.code.as_str(), failure.detail);
        std::process::exit(1);
    }
}

fn probe_all(files: &[&str]) -> Result<(), Failure> {
    for file in files {
        let began = Instant::now();
        let found = probe(Path::new(file));
        let spent = began.elapsed();
        match found {
            Ok(facts) => println!(
                "{file} ({:.1} ms)\n{}",
                spent.as_secs_f64() * 1e3,
                serde_json::to_string_pretty(&facts).unwrap_or_default()
            ),
            Err(failure) => {
                println!("{file} ({:.1} ms)\n{}: {failure}", spent.as_secs_f64() * 1e3, failure.code.as_str())
            }
        }
    }
    Ok(())
}

fn encode_one(input: &str, output: &str, rest: &[&str]) -> Result<(), Failure> {
    let mut settings = EncodeSettings::default();
    let video = settings.video.get_or_insert_default();
    if let Some(crf) = rest.first().and_then(|text| text.parse().ok()) {
        video.rate = RateControl::Crf(crf);
    }
    video.max_height = rest.get(1).and_then(|text| text.parse().ok());
    let began = Instant::now();
    let source = probe(Path::new(input))?;
    eprintln!("probe {} ms", began.elapsed().as_millis());
    let job = EncodeJob {
        input: Path::new(input),
        source: &source,
        settings: &settings,
        output: Path::new(output),
        threads: None,
    };
    let quiet = std::env::var_os("QUIET").is_some();
    let mut show = |progress: rushes_shared::task::Progress| {
        if !quiet {
            eprintln!(
                "{:?} {}/{} frames, {} per mille, speed {}, eta {:?} ms",
                progress.phase,
                progress.frames,
                progress.frames_total,
                progress.permille,
                progress.speed_permille,
                progress.eta_ms
            );
        }
    };
    let encoded = encode(&job, &mut show)?;
    eprintln!("{encoded:?}");
    let began = Instant::now();
    let report = check(Path::new(output), &source, &settings, Some(&encoded), &mut show)?;
    eprintln!("check {} ms {report:?}", began.elapsed().as_millis());
    Ok(())
}
