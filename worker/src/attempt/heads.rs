//! Facts of many files by parts of them: their headers are fetched, for all files over one stream, and one task process looks
//! at them all.
//!
//! What it says that it wants besides is fetched next, a few times. Whatever is not clear by then, is too large, cannot be
//! had or has changed meanwhile is left to those who fetch files whole, and tell what is wrong with them. What the process
//! wants is taken with care, as a file may have taken it over: it gets parts of its own files, and so many.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rushes_net::bulk::Parts;
use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::Failure;
use rushes_shared::task::Usage;
use rushes_shared::units::Bytes;
use rushes_shared::wire::{PARTS, PARTS_BYTES, PARTS_FILES, Part, PartsOf};
use tracing::debug;

use super::probes::Findings;
use super::transfer::local_name;
use super::{Attempt, Stop, Told};
use crate::metrics;
use crate::process::protocol::{HeadFound, LocalParts, LocalWork};

/// How often parts are fetched for a file.
const ROUNDS: usize = 6;
/// Bytes of a file that are fetched in parts, together.
const FILE_BYTES: u64 = 8 << 20;

/// Files whose headers may say all.
pub(super) struct Heads {
    all: usize,
    files: Vec<Head>,
    need_all: Vec<usize>,
}

/// One of them.
struct Head {
    /// Its place among the order's files.
    at: usize,
    location: Location,
    path: PathBuf,
    /// Its size and stamp, once they are known.
    known: Option<(u64, u64)>,
    held: Vec<Range<u64>>,
    wanted: Vec<Part>,
}

impl Head {
    fn took(&mut self, came: Parts) -> std::io::Result<bool> {
        let now = (came.size.0, came.stamp);
        if self.known.is_some_and(|before| before != now) {
            return Ok(false);
        }
        self.known = Some(now);
        let file = File::options().write(true).create(true).truncate(false).open(&self.path)?;
        for (at, bytes) in came.parts {
            file.write_all_at(&bytes, at)?;
            self.held.push(at..at + bytes.len() as u64);
        }
        Ok(true)
    }

    /// Bytes here and wanted.
    fn bytes(&self) -> u64 {
        let held: u64 = self.held.iter().map(|part| part.end - part.start).sum();
        self.wanted.iter().fold(held, |sum, part| sum.saturating_add(part.length()))
    }

    /// Notes what is wanted next; whether that can be had.
    fn wants(&mut self, parts: &[Range<u64>]) -> bool {
        let Some((size, _)) = self.known else { return false };
        let fits = |part: &Range<u64>| part.start < part.end && part.end <= size;
        if parts.is_empty() || parts.len() > PARTS || !parts.iter().all(fits) {
            return false;
        }
        let part = |part: &Range<u64>| Part::From { offset: part.start, length: part.end - part.start };
        self.wanted = parts.iter().map(part).collect();
        self.bytes() <= FILE_BYTES
    }
}

/// The parts of a file that are looked at first, by its name; nothing for a name whose headers are not read.
fn first_parts(location: &Location) -> Option<Vec<Part>> {
    let start = |length| Part::From { offset: 0, length };
    let end = |length| Part::End { length };
    let name = local_name(location.place());
    Some(match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("mp4" | "m4a" | "m4v" | "mov" | "qt") => vec![start(8 << 10), end(16 << 10)],
        // With the samples in which GStreamer looks for compressed sound.
        Some("wav") => vec![start(33 << 10)],
        Some("flac") => vec![start(8 << 10), end(16 << 10)],
        // All of its frames are looked at.
        Some("mp3") => vec![start(128 << 10)],
        // An upload, and a file without an ending.
        None => vec![start(8 << 10), end(16 << 10)],
        Some(_) => return None,
    })
}

impl Heads {
    /// Those of an order's files that have such a name.
    pub(super) fn of(inputs: &[Artifact], in_dir: &Path) -> Self {
        let head = |(at, input): (usize, &Artifact)| {
            let location = input.location.clone();
            // Image sequences are packed as they are read.
            let is_plain = matches!(location, Location::File(_) | Location::Upload(..));
            let wanted = is_plain.then(|| first_parts(&location)).flatten()?;
            let path = in_dir.join(format!("{at}-head"));
            Some(Head { at, location, path, known: None, held: Vec::new(), wanted })
        };
        let files = inputs.iter().enumerate().filter_map(head).collect();
        Self { all: inputs.len(), files, need_all: Vec::new() }
    }

    /// Whether nothing is left to look at.
    pub(super) fn are_none(&self) -> bool {
        self.files.is_empty()
    }

    /// The other files' places.
    pub(super) fn others(&self) -> VecDeque<usize> {
        (0..self.all).filter(|at| self.files.iter().all(|head| head.at != *at)).collect()
    }

    /// The places of those that turned out to be needed whole.
    pub(super) fn need_all(&mut self) -> Vec<usize> {
        self.need_all.extend(self.files.drain(..).map(|head| head.at));
        std::mem::take(&mut self.need_all)
    }

    fn give_up(&mut self, index: usize) {
        let head = self.files.remove(index);
        // Nobody takes parts for the whole.
        let _ = std::fs::remove_file(&head.path);
        self.need_all.push(head.at);
    }

    fn give_up_all(&mut self) {
        while !self.files.is_empty() {
            self.give_up(self.files.len() - 1);
        }
    }

    /// How many of the files from a place on are asked for at once.
    fn batch(&self, from: usize) -> usize {
        let mut bytes = 0_u64;
        let fits = |head: &&Head| {
            bytes = head.wanted.iter().fold(bytes, |sum, part| sum.saturating_add(part.length()));
            bytes <= PARTS_BYTES
        };
        self.files.iter().skip(from).take(PARTS_FILES).take_while(fits).count()
    }
}

impl Attempt<'_> {
    /// Fetches what is wanted of every file. Those of which it cannot be had are needed whole.
    pub(super) async fn bring_parts(&self, heads: &mut Heads, usage: &mut Usage) -> Result<(), Stop> {
        let mut from = 0;
        while from < heads.files.len() {
            let count = heads.batch(from).max(1);
            let wanted = heads.files.iter().skip(from).take(count);
            let files =
                wanted.map(|head| PartsOf { location: head.location.clone(), parts: head.wanted.clone() });
            let asked = self.shop.depot.read_parts(files.collect(), &self.dispatch.read_ticket);
            let came = match self.guarded(asked).await {
                Ok(came) => came,
                Err(Stop::Stopped) => return Err(Stop::Stopped),
                Err(Stop::Failed(failure)) => {
                    debug!(%failure, "no parts of files can be had; they are fetched whole");
                    heads.give_up_all();
                    return Ok(());
                }
            };
            for came in came {
                let bytes =
                    came.as_ref().map_or(0, |came| came.parts.iter().map(|(_, b)| b.len() as u64).sum());
                usage.bytes_in += bytes;
                metrics::bytes_fetched(bytes);
                if heads.files.get_mut(from).is_some_and(|head| is_taken(head, came)) {
                    from += 1;
                } else {
                    heads.give_up(from);
                }
            }
        }
        Ok(())
    }

    /// Has a task process look at what lies here, and fetches what it wants besides, until nothing is left to look at or the
    /// rest is needed whole. The first parts lie here already.
    pub(super) async fn look_at_heads(
        &self,
        heads: &mut Heads,
        (in_dir, work_dir): (&Path, &Path),
        usage: &mut Usage,
        findings: &mut Findings<'_>,
    ) -> Result<(), Stop> {
        for round in 0..ROUNDS {
            if round > 0 {
                self.bring_parts(heads, usage).await?;
            }
            if heads.are_none() {
                return Ok(());
            }
            let said = self.heads_said(heads, (in_dir, work_dir), usage).await?;
            let mut told = said.into_iter();
            let mut index = 0;
            // Files of which nothing was said may be what its process died of: they are read by others.
            for _ in 0..heads.files.len() {
                match told.next().unwrap_or(HeadFound::NeedsAll) {
                    HeadFound::Told(facts) => {
                        let head = heads.files.remove(index);
                        findings.note(head.at, Some(&seen(&head)), Ok(*facts));
                        let _ = std::fs::remove_file(&head.path);
                    }
                    HeadFound::Wants(parts) if heads.files[index].wants(&parts) => index += 1,
                    HeadFound::Wants(_) | HeadFound::NeedsAll => heads.give_up(index),
                }
            }
            self.report_files(findings);
        }
        heads.give_up_all();
        Ok(())
    }

    async fn heads_said(
        &self,
        heads: &Heads,
        (in_dir, work_dir): (&Path, &Path),
        usage: &mut Usage,
    ) -> Result<Vec<HeadFound>, Stop> {
        let local = |head: &Head| LocalParts {
            path: head.path.clone(),
            size: head.known.map_or(0, |(size, _)| size),
            held: head.held.clone(),
        };
        let files: Vec<LocalParts> = heads.files.iter().map(local).collect();
        let (mut said, most) = (Vec::new(), files.len());
        let on_file = &mut |told| {
            // Whoever takes a process over may tell of more files than there are, or of something else.
            if let Told::Head(found) = told
                && said.len() < most
            {
                said.push(found);
            }
        };
        let (here, room) = (Some(in_dir.to_owned()), work_dir.to_owned());
        let ended = self.process_to_its_end(LocalWork::Heads { files }, here, room, usage, on_file).await?;
        if let Err(failure) = ended {
            debug!(%failure, "a look at headers ended early; the rest is fetched whole");
        }
        Ok(said)
    }
}

fn is_taken(head: &mut Head, came: Result<Parts, Failure>) -> bool {
    match came.map(|came| head.took(came)) {
        Ok(Ok(is_same)) => is_same,
        // The one who fetches it whole says what is wrong with it, or with this node's disk.
        Ok(Err(_)) | Err(_) => false,
    }
}

/// What is known of a file of which no more than parts were read.
fn seen(head: &Head) -> Artifact {
    let size = head.known.map(|(size, _)| Bytes(size));
    Artifact { size, ..Artifact::unseen(head.location.clone()) }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of parts, some of one part")]
mod tests {
    use super::*;

    fn heads(names: &[&str]) -> Heads {
        let input = |name: &&str| Artifact::unseen(Location::File(format!("/in/{name}")));
        Heads::of(&names.iter().map(input).collect::<Vec<_>>(), Path::new("/room"))
    }

    #[test]
    fn only_names_whose_headers_are_read_are_asked_for_in_parts() {
        let mut heads = heads(&["a.mp4", "b.mkv", "c.WAV", "d", "e.txt"]);
        let taken: Vec<usize> = heads.files.iter().map(|head| head.at).collect();
        assert_eq!(taken, [0, 2, 3]);
        assert_eq!(heads.others(), [1, 4]);
        heads.give_up(1);
        assert_eq!(heads.need_all(), [2, 0, 3]);
    }

    #[test]
    fn what_a_process_wants_lies_in_its_file_and_is_bounded() {
        let mut heads = heads(&["a.mp4"]);
        let head = &mut heads.files[0];
        assert!(!head.wants(&[0..1]), "its size is not known");
        head.known = Some((100 << 20, 7));
        assert!(head.wants(&[0..10, 50 << 20..51 << 20]));
        for odd in
            [vec![], vec![5..5], vec![0..(100 << 20) + 1], vec![0..1; PARTS + 1], vec![0..FILE_BYTES + 1]]
        {
            assert!(!head.wants(&odd), "{odd:?}");
        }
        head.wanted.clear();
        head.held = vec![0..FILE_BYTES - 10];
        assert!(!head.wants(&[90 << 20..91 << 20]), "together with what is here");
    }

    #[test]
    fn a_request_asks_for_no_more_than_one_may() {
        let mut heads = heads(&["a.mp4"; 100]);
        assert_eq!(heads.batch(0), PARTS_FILES);
        assert_eq!(heads.batch(90), 10);
        for head in &mut heads.files {
            head.wanted = vec![Part::End { length: PARTS_BYTES / 4 }];
        }
        assert_eq!(heads.batch(0), 4);
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_not_put_together() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let input = Artifact::unseen(Location::File("/in/a.mp4".to_owned()));
        let mut heads = Heads::of(&[input], dir.path());
        let head = &mut heads.files[0];
        let came = |stamp, at| Ok(Parts { size: Bytes(100), stamp, parts: vec![(at, vec![1; 10])] });
        assert!(is_taken(head, came(1, 0)) && is_taken(head, came(1, 90)));
        assert_eq!(head.held, [0..10, 90..100]);
        assert!(!is_taken(head, came(2, 50)));
    }
}
