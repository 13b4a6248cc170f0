//! Pictures from a film: from arguments to settings, and where results belong.

use std::path::{Path, PathBuf};

use rushes_shared::at_hand::Work;
use rushes_shared::still::{
    Moment, MovingFormat, PreviewSettings, SpriteSettings, StillFormat, ThumbnailSettings,
};

use super::{Session, ending, wrong_ending};
use crate::args::{MediaCommand, Target};
use crate::fault::{Ending, Fault};

/// Does one of the operations that make pictures.
pub(super) fn run(session: &Session<'_>, command: &MediaCommand) -> Result<Ending, Fault> {
    match command {
        MediaCommand::Thumbnail { file, target, at, best, every, picture } => {
            let settings = ThumbnailSettings {
                moment: moment(*at, *best, *every),
                max_width: picture.max_width,
                max_height: picture.max_height,
                format: format(target, picture.quality)?,
            };
            session.make(file, Work::Thumbnail(settings), target, |names| match every {
                Some(_) => (1..=names.len()).map(|number| numbered(&target.out, number)).collect(),
                None => vec![target.out.clone()],
            })
        }
        MediaCommand::Sprite { file, target, every, width, columns, quality } => {
            let settings = SpriteSettings {
                every_ns: *every,
                width: *width,
                columns: *columns,
                format: format(target, *quality)?,
                name: target.out.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            };
            let index = target.out.with_extension("vtt");
            session.make(file, Work::Sprite(settings), target, |_| vec![target.out.clone(), index.clone()])
        }
        MediaCommand::Preview { file, target, from, length, fps, max_width, quality } => {
            let format = match ending(&target.out).as_str() {
                "gif" => MovingFormat::Gif,
                "webp" => MovingFormat::Webp(*quality),
                _ => return Err(wrong_ending(&target.out, ".gif or .webp")),
            };
            let settings =
                PreviewSettings { from_ns: *from, length_ns: *length, fps: *fps, max_width: *max_width };
            session.make(file, Work::Preview(settings, format), target, |_| vec![target.out.clone()])
        }
        MediaCommand::Probe { .. }
        | MediaCommand::Loudness { .. }
        | MediaCommand::Waveform { .. }
        | MediaCommand::Ladder { .. }
        | MediaCommand::Package { .. }
        | MediaCommand::Manifests { .. }
        | MediaCommand::Compare { .. } => unreachable!("these make no pictures of a film"),
    }
}

fn moment(at: Option<u64>, best: bool, every: Option<u64>) -> Moment {
    match (at, every) {
        (Some(at), _) => Moment::At(at),
        (_, Some(every)) => Moment::Every(every),
        _ if best => Moment::Best,
        _ => Moment::Early,
    }
}

fn format(target: &Target, quality: u8) -> Result<StillFormat, Fault> {
    match ending(&target.out).as_str() {
        "jpg" | "jpeg" => Ok(StillFormat::Jpeg(quality)),
        "png" => Ok(StillFormat::Png),
        _ => Err(wrong_ending(&target.out, ".jpg or .png")),
    }
}

/// `thumb-3.jpg` of `thumb.jpg`.
fn numbered(out: &Path, number: usize) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let ending = out.extension().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}-{number}.{ending}"))
}
