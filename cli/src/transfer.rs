//! Files to and from the farm's depot: hashed here, sent from where the last try broke off, checked on arrival.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rushes_shared::view::{OutputView, UploadRequest};
use rustix::fs::{CWD, RenameFlags};
use ureq::SendBody;

use crate::board::{Board, Step};
use crate::client::{Client, refusal};
use crate::fault::Fault;
use crate::interrupt::Interrupt;
use crate::sequence;

const CHUNK: usize = 1 << 20;
/// Tries of an upload that breaks off.
const TRIES: u32 = 5;

/// What can be sent: read from any place, more than once.
trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// A file, or the pictures of a pattern as one archive; and its size.
fn opened(path: &Path) -> Result<(Box<dyn Content>, u64), Fault> {
    if let Some(pattern) = sequence::pattern(path) {
        let pictures = sequence::pictures(path, &pattern)?;
        let size = pictures.size();
        return Ok((Box::new(pictures), size));
    }
    let fails = |e| Fault::local(format!("cannot read {}", path.display()), e);
    let file = File::open(path).map_err(fails)?;
    let size = file.metadata().map_err(fails)?.len();
    Ok((Box::new(file), size))
}

/// Brings a file to the depot, unless it is there, and returns its `farm://` location. An image sequence is packed on the
/// way.
pub(crate) fn upload(
    client: &Client,
    path: &Path,
    board: &Board,
    interrupt: &Interrupt,
) -> Result<String, Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fails = |e| Fault::local(format!("cannot read {}", path.display()), e);
    let (mut file, size) = opened(path)?;
    let hash = {
        let step = board.transfer("hashing", &name, size);
        let mut hasher = blake3::Hasher::new();
        pass(&mut file, interrupt, &step, 0, |piece| {
            hasher.update(piece);
            Ok(())
        })
        .map_err(fails)?;
        interrupt.check()?;
        hasher.finalize().to_hex().to_string()
    };
    let permit = client.permit_upload(&UploadRequest { hash, size_bytes: size })?;
    let mut tries = 0;
    loop {
        let (offset, is_whole) = kept(client, &permit.upload_url)?;
        if is_whole {
            return Ok(permit.location);
        }
        let offset = offset.min(size);
        file.seek(SeekFrom::Start(offset)).map_err(fails)?;
        let step = board.transfer("uploading", &name, size);
        step.set(offset);
        match send(client, &permit.upload_url, &mut *file, (offset, size), &step, interrupt) {
            Ok(()) => return Ok(permit.location),
            Err(fault) => {
                interrupt.check()?;
                tries += 1;
                if tries >= TRIES || !fault.may_pass() {
                    return Err(fault);
                }
                board.say(&format!("{fault}; going on with the upload"));
            }
        }
    }
}

/// How many bytes of an upload are at the depot, and whether that is all.
fn kept(client: &Client, url: &str) -> Result<(u64, bool), Fault> {
    let mut response = client.files().head(url).call().map_err(|e| depot_away(url, &e))?;
    if !response.status().is_success() {
        let status = response.status();
        return Err(
            refusal(&mut response).unwrap_or_else(|| depot_away(url, &format!("it answers {status}")))
        );
    }
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    Ok((header("upload-offset").parse().unwrap_or(0), header("upload-complete") == "?1"))
}

fn send(
    client: &Client,
    url: &str,
    file: &mut dyn Content,
    (offset, size): (u64, u64),
    step: &Step,
    interrupt: &Interrupt,
) -> Result<(), Fault> {
    let mut body = Counted { file, done: offset, step, interrupt };
    let mut response = client
        .files()
        .put(url)
        .header("content-length", (size - offset).to_string())
        .header("upload-offset", offset.to_string())
        .send(SendBody::from_reader(&mut body))
        .map_err(|e| depot_away(url, &e))?;
    if response.status().is_success() {
        return Ok(());
    }
    let status = response.status();
    Err(refusal(&mut response).unwrap_or_else(|| depot_away(url, &format!("it answers {status}"))))
}

fn depot_away(url: &str, reason: &dyn std::fmt::Display) -> Fault {
    // The ticket in the URL is a secret of its own.
    let place = url.split('?').next().unwrap_or_default();
    Fault::Unreachable { url: place.to_owned(), reason: reason.to_string() }
}

/// A file that is being sent.
struct Counted<'a> {
    file: &'a mut dyn Content,
    done: u64,
    step: &'a Step,
    interrupt: &'a Interrupt,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_asked() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.file.read(buffer)?;
        self.done += read as u64;
        self.step.set(self.done);
        Ok(read)
    }
}

/// Fetches an output to `target`. It appears there whole and checked, or not at all.
pub(crate) fn download(
    client: &Client,
    output: &OutputView,
    target: &Path,
    force: bool,
    board: &Board,
    interrupt: &Interrupt,
) -> Result<(), Fault> {
    let Some(path) = &output.download else {
        return Err(Fault::Local(format!(
            "the farm does not hand out '{}': it is at {}",
            output.name, output.url
        )));
    };
    let temp = Temp::beside(target)?;
    let fails = |e| Fault::local(format!("cannot write {}", temp.0.display()), e);
    let mut file = File::options().write(true).create_new(true).open(&temp.0).map_err(fails)?;
    let step = board.transfer("fetching", &output.name, output.size_bytes.unwrap_or(0));
    receive(client, (path, &output.name, output.hash.as_deref()), &mut file, (&step, 0), interrupt)?;
    file.sync_all().map_err(fails)?;
    place(&temp.0, target, force)
}

/// Whether a file is there already and is this output.
pub(crate) fn is_there(output: &OutputView, target: &Path) -> Result<bool, Fault> {
    let fails = |e| Fault::local(format!("cannot read {}", target.display()), e);
    let file = match File::open(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(fails)?,
    };
    let (Some(size), Some(hash)) = (output.size_bytes, output.hash.as_deref()) else { return Ok(false) };
    if file.metadata().map_err(fails)?.len() != size {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(fails)?;
    Ok(hasher.finalize().to_hex().as_str() == hash)
}

/// Fetches what a path of the API leads to, with this name and hash, into a file. Of the step so much is done before; how
/// much is then, is given back.
pub(crate) fn receive(
    client: &Client,
    (path, name, hash): (&str, &str, Option<&str>),
    file: &mut File,
    (step, before): (&Step, u64),
    interrupt: &Interrupt,
) -> Result<u64, Fault> {
    let url = client.output_url(path)?;
    let mut response = client.files().get(&url).call().map_err(|e| depot_away(&url, &e))?;
    if !response.status().is_success() {
        let status = response.status();
        return Err(
            refusal(&mut response).unwrap_or_else(|| depot_away(&url, &format!("it answers {status}")))
        );
    }
    let mut hasher = blake3::Hasher::new();
    let mut done = before;
    let mut body = response.into_body().into_reader();
    pass(&mut body, interrupt, step, before, |piece| {
        hasher.update(piece);
        done += piece.len() as u64;
        file.write_all(piece)
    })
    .map_err(|e| Fault::local(format!("cannot fetch '{name}'"), e))?;
    interrupt.check()?;
    if hash.is_some_and(|hash| hash != hasher.finalize().to_hex().as_str()) {
        return Err(Fault::Local(format!("'{name}' arrived damaged (its hash is wrong); fetch it again")));
    }
    Ok(done)
}

/// Moves a finished file to its name; what is there already is replaced only by force.
pub(crate) fn place(from: &Path, target: &Path, force: bool) -> Result<(), Fault> {
    let result = if force {
        fs::rename(from, target)
    } else {
        rustix::fs::renameat_with(CWD, from, CWD, target, RenameFlags::NOREPLACE).or_else(|e| {
            // File systems without that flag: a link never replaces either.
            if e == rustix::io::Errno::INVAL { fs::hard_link(from, target) } else { Err(e.into()) }
        })
    };
    result.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            Fault::Local(format!("{} is there already; use --force to replace it", target.display()))
        }
        _ => Fault::local(format!("cannot make {}", target.display()), e),
    })
}

/// A file or directory that goes when it was not moved to its place.
pub(crate) struct Temp(pub(crate) PathBuf);

impl Temp {
    /// A name in the target's directory that nothing else has.
    pub(crate) fn beside(target: &Path) -> Result<Self, Fault> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let short: String = name.chars().take(40).collect();
        Ok(Self(target.with_file_name(format!(".{short}.{}.part", random_text()?))))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0)).ok();
    }
}

/// 32 hexadecimal digits that nobody else has.
pub(crate) fn random_text() -> Result<String, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Fault::local("the system has no randomness", e))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Passes a stream on in pieces until its end, or until the user wants to stop.
fn pass(
    from: &mut impl Read,
    interrupt: &Interrupt,
    step: &Step,
    start: u64,
    mut to: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut done = start;
    while !interrupt.is_asked() {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to(&buffer[..read])?;
        done += read as u64;
        step.set(done);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_placed_without_replacing_another_unless_forced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let target = dir.path().join("film.mp4");
        for (content, force, is_placed) in
            [("one", false, true), ("two", false, false), ("three", true, true)]
        {
            let temp = Temp::beside(&target).expect("randomness");
            fs::write(&temp.0, content).expect("a file");
            assert_eq!(place(&temp.0, &target, force).is_ok(), is_placed, "{content}");
        }
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "three");
        assert_eq!(fs::read_dir(dir.path()).expect("the directory").count(), 1, "no part is left");
    }
}
