//! The operations themselves: from an order to the media library and into files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rushes_media as media;
use rushes_shared::at_hand::{Order, Outcome, PACKAGE, Work};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::WaveformSettings;
use rushes_shared::task::Progress;

/// Does what is asked for; files go into the current directory, which is the order's.
pub(super) fn perform(order: &Order, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, Failure> {
    let input = &order.input;
    if let Work::Manifests { decode } = order.work {
        let directory = new_directory(PACKAGE)?;
        let job = media::ManifestsJob { set: input, decode, directory: &directory };
        return Ok(Outcome::Package(media::manifests(&job, progress)?));
    }
    let source = media::probe(input)?;
    Ok(match &order.work {
        Work::Probe => Outcome::Facts(source),
        Work::Loudness => Outcome::Loudness(media::loudness(input, &source, progress)?),
        Work::Waveform(settings) => {
            let waveform = media::waveform(input, &source, settings, progress)?;
            Outcome::Files(vec![waveform_file(&waveform, settings)?])
        }
        Work::Thumbnail(settings) => {
            let ending = settings.format.ending();
            let keep = Box::new(move |number: usize, bytes: &[u8]| {
                keep(&format!("{number}.{ending}"), bytes).map(drop)
            });
            let count = media::thumbnails(input, &source, settings, keep, progress)?;
            Outcome::Files((0..count).map(|number| format!("{number}.{ending}")).collect())
        }
        Work::Sprite(settings) => {
            let made = media::sprite(input, &source, settings, progress)?;
            let sheet = format!("sprite.{}", settings.format.ending());
            Outcome::Files(vec![keep(&sheet, &made.sheet)?, keep("sprite.vtt", made.index.as_bytes())?])
        }
        Work::Preview(settings, format) => {
            let name = format!("preview.{}", format.ending());
            let file = std::fs::File::create(&name).map_err(|error| writing(&error))?;
            let file = Box::new(io::BufWriter::new(file));
            media::preview(input, &source, settings, *format, file, progress)?;
            Outcome::Files(vec![name])
        }
        Work::Compare { other, settings } => {
            let facts = media::probe(other)?;
            let found = media::compare((input, &source), (other, &facts), settings, progress)?;
            Outcome::Comparison(Box::new(found))
        }
        Work::Package { rungs, sound, settings } => {
            let directory = new_directory(PACKAGE)?;
            let rungs: Vec<_> = std::iter::once(input).chain(rungs).cloned().collect();
            let job = media::PackageJob { rungs: &rungs, sound, settings, directory: &directory };
            Outcome::Package(media::package(&job, progress)?)
        }
        Work::Ladder(settings) => {
            let (scratch, directory) = (new_directory("scratch")?, new_directory(PACKAGE)?);
            let (scratch, directory) = (&scratch, &directory);
            let job = media::LadderJob { input, source: &source, settings, scratch, directory };
            Outcome::Package(media::make_ladder(&job, progress)?)
        }
        Work::Manifests { .. } => unreachable!("a set is no file with facts"),
    })
}

fn waveform_file(
    waveform: &rushes_shared::measure::Waveform,
    settings: &WaveformSettings,
) -> Result<String, Failure> {
    match settings.picture {
        Some(size) => keep("waveform.png", &media::waveform_picture(waveform, size)?),
        None => {
            let fails = |error: serde_json::Error| writing(&error.into());
            let file = std::fs::File::create("waveform.json").map_err(|error| writing(&error))?;
            let mut file = io::BufWriter::new(file);
            serde_json::to_writer(&mut file, waveform).map_err(fails)?;
            file.write_all(b"\n").and_then(|()| file.flush()).map_err(|error| writing(&error))?;
            Ok("waveform.json".to_owned())
        }
    }
}

fn new_directory(name: &str) -> Result<PathBuf, Failure> {
    std::fs::create_dir(name).map_err(|error| writing(&error))?;
    Ok(PathBuf::from(name))
}

/// Writes a file and gives its name back.
fn keep(name: &str, bytes: &[u8]) -> Result<String, Failure> {
    std::fs::write(Path::new(name), bytes).map_err(|error| writing(&error))?;
    Ok(name.to_owned())
}

fn writing(error: &io::Error) -> Failure {
    Failure::new(
        FailureCode::NodeUnfit,
        "the result cannot be written",
        "look at the space and the permissions of its directory",
    )
    .with_detail(&error.to_string())
}
