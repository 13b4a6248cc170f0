//! Which pictures a path names, and their bytes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::sequence::{BadSequence, MAX_FRAMES, Pattern, order_of_members};
use rushes_shared::units::Ratio;

use crate::{fault, pace};

/// Largest file of one picture, in bytes.
const MAX_PICTURE: u64 = 1 << 30;
/// Most members of an archive, of any kind.
const MAX_MEMBERS: usize = 2 * MAX_FRAMES;

/// Pictures in order, and when each is shown.
#[derive(Debug)]
pub(crate) struct Sequence {
    from: From,
    frames: Vec<Frame>,
    rate: Ratio,
}

#[derive(Debug)]
enum From {
    Directory(PathBuf),
    Archive(File),
}

#[derive(Debug)]
struct Frame {
    name: String,
    /// Where it begins in the archive; 0 for a file of its own.
    at: u64,
    size: u64,
}

impl Sequence {
    /// The sequence that a path names: a pattern that is no file's own name, or a tar archive. `None` for any other file,
    /// and where nothing is there.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>, Failure> {
        let (rate, _) = super::rate();
        let found = match fs::metadata(path) {
            Ok(about) if about.is_file() => {
                let Ok(archive) = File::open(path) else { return Ok(None) };
                if !is_tar(&archive) {
                    return Ok(None);
                }
                let frames = members(&archive)?;
                Self { from: From::Archive(archive), frames, rate }
            }
            Ok(_) => return Ok(None),
            Err(_) => match pattern_of(path) {
                Some((directory, pattern)) => {
                    let frames = files(&directory, &pattern)?;
                    Self { from: From::Directory(directory), frames, rate }
                }
                None => return Ok(None),
            },
        };
        Ok(Some(found))
    }

    /// How many pictures there are; at least one.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Pictures a second.
    pub(crate) fn rate(&self) -> Ratio {
        self.rate
    }

    /// Their bytes together.
    pub(crate) fn size(&self) -> u64 {
        self.frames.iter().map(|frame| frame.size).sum()
    }

    /// When a picture is shown, in nanoseconds; that of the number of pictures is the end.
    pub(crate) fn starts_at(&self, number: u64) -> u64 {
        let units = number.saturating_mul(u64::from(self.rate.den));
        pace::scaled(units, 1_000_000_000, u64::from(self.rate.num))
    }

    /// The picture that is shown at a time.
    pub(crate) fn shown_at(&self, time_ns: u64) -> u64 {
        let second = u64::from(self.rate.den).saturating_mul(1_000_000_000);
        let near = pace::scaled(time_ns, u64::from(self.rate.num), second);
        if self.starts_at(near + 1) <= time_ns { near + 1 } else { near }
    }

    /// The name of a picture's file, for messages.
    pub(crate) fn name(&self, number: u64) -> &str {
        self.frame(number).map_or("", |frame| frame.name.as_str())
    }

    fn frame(&self, number: u64) -> Option<&Frame> {
        self.frames.get(usize::try_from(number).ok()?)
    }

    /// A picture's bytes.
    pub(crate) fn bytes(&self, number: u64) -> Result<Vec<u8>, Failure> {
        let Some(frame) = self.frame(number) else { return Ok(Vec::new()) };
        let fails = |error: &io::Error| {
            let message = format!("{} cannot be read", frame.name);
            Failure::new(FailureCode::InputDamaged, message, "check the file and its permissions")
                .with_detail(&error.to_string())
        };
        let size =
            usize::try_from(frame.size).ok().filter(|_| frame.size <= MAX_PICTURE).ok_or_else(|| {
                let message =
                    format!("{} has {} bytes, at most {MAX_PICTURE} are read", frame.name, frame.size);
                Failure::new(FailureCode::Unsupported, message, "write smaller pictures")
            })?;
        let mut bytes = vec![0; size];
        match &self.from {
            From::Archive(archive) => archive.read_exact_at(&mut bytes, frame.at),
            From::Directory(directory) => {
                File::open(directory.join(&frame.name)).and_then(|mut file| file.read_exact(&mut bytes))
            }
        }
        .map_err(|error| fails(&error))?;
        Ok(bytes)
    }
}

/// The directory and the pattern of a path, if it is one.
fn pattern_of(path: &Path) -> Option<(PathBuf, Pattern)> {
    let pattern = Pattern::of(path.file_name()?.to_str()?)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Some((directory.unwrap_or(Path::new(".")).to_owned(), pattern))
}

fn files(directory: &Path, pattern: &Pattern) -> Result<Vec<Frame>, Failure> {
    let fails = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => FailureCode::InputNotFound,
            _ => FailureCode::InputForbidden,
        };
        Failure::new(
            code,
            "the directory of the image sequence cannot be read",
            "check the path and its permissions",
        )
        .with_detail(&error.to_string())
    };
    // What cannot be listed is no picture; names that are no text fit no pattern.
    let listed = fs::read_dir(directory).map_err(fails)?.filter_map(Result::ok);
    let names = listed.filter_map(|entry| entry.file_name().into_string().ok());
    let names = pattern.of_names(names).map_err(|bad| no_sequence(&bad))?;
    let frame = |name: String| {
        let about = fs::metadata(directory.join(&name)).map_err(fails)?;
        if !about.is_file() {
            let message = format!("{name} of the image sequence is not a regular file");
            return Err(Failure::new(FailureCode::InputNotAFile, message, "give pictures alone such names"));
        }
        Ok(Frame { size: about.len(), at: 0, name })
    };
    names.into_iter().map(frame).collect()
}

fn no_sequence(bad: &BadSequence) -> Failure {
    let (code, advice) = match bad {
        BadSequence::Empty => {
            (FailureCode::InputNotFound, "check the path, and how many digits the numbers have")
        }
        BadSequence::Gaps { .. } => {
            (FailureCode::InputDamaged, "render or copy the missing pictures, or number the others anew")
        }
        BadSequence::TooMany => (FailureCode::Unsupported, "split it into several sequences"),
        BadSequence::Twice(..) | BadSequence::Mixed(..) | BadSequence::Foreign(_) => {
            (FailureCode::InputUnreadable, "pack the numbered pictures of one sequence and nothing else")
        }
    };
    Failure::new(code, format!("the image sequence is not whole: {bad}"), advice)
}

/// Whether a file begins with the header of a tar archive, by its mark and its checksum.
fn is_tar(file: &File) -> bool {
    let mut block = [0; 512];
    if file.read_exact_at(&mut block, 0).is_err() {
        return false;
    }
    let header = tar::Header::from_byte_slice(&block);
    let sum = |range: std::ops::Range<usize>| block[range].iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum counts itself as eight spaces.
    let summed = sum(0..148) + 8 * u32::from(b' ') + sum(156..512);
    block[257..262] == *b"ustar" && header.cksum().is_ok_and(|said| said == summed)
}

/// The pictures of an archive. Directories and hidden files, which some systems put beside others, are passed over.
fn members(archive: &File) -> Result<Vec<Frame>, Failure> {
    let torn = |error: io::Error| {
        fault::damaged("its archive ends early or has a bad header").with_detail(&error.to_string())
    };
    let length = archive.metadata().map_err(torn)?.len();
    let mut reader = tar::Archive::new(archive);
    let mut found = Vec::new();
    for (count, entry) in reader.entries_with_seek().map_err(torn)?.enumerate() {
        let entry = entry.map_err(torn)?;
        if count == MAX_MEMBERS {
            return Err(no_sequence(&BadSequence::TooMany));
        }
        let name = entry.path().map_err(torn)?.to_string_lossy().into_owned();
        let is_hidden = name.split('/').any(|part| part.starts_with('.') && part != ".");
        if !entry.header().entry_type().is_file() || is_hidden {
            continue;
        }
        let frame = Frame { at: entry.raw_file_position(), size: entry.size(), name };
        if frame.at.checked_add(frame.size).is_none_or(|end| end > length) {
            return Err(fault::damaged(&format!("its archive ends within {}", frame.name)));
        }
        found.push(frame);
    }
    let names: Vec<String> = found.iter().map(|frame| frame.name.clone()).collect();
    let order = order_of_members(&names).map_err(|bad| no_sequence(&bad))?;
    let mut found: Vec<Option<Frame>> = found.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| found.get_mut(at)?.take()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_shows_one_picture_and_every_picture_is_found_by_its_start() {
        for (num, den) in [(24, 1), (24_000, 1001), (30_000, 1001), (1, 3), (997, 7)] {
            let rate = Ratio { num, den };
            let sequence = Sequence { from: From::Directory(PathBuf::new()), frames: Vec::new(), rate };
            for number in (0..200).chain(99_900..100_000) {
                let (start, next) = (sequence.starts_at(number), sequence.starts_at(number + 1));
                assert_eq!(sequence.shown_at(start), number, "{rate}");
                assert_eq!(sequence.shown_at(next - 1), number, "{rate}");
            }
        }
    }
}
