//! A sequence as one file: a plain tar archive, made while it is read.
//!
//! ```text
//! header (512 bytes), picture, zeros up to a multiple of 512; … ; 1024 zeros
//! ```
//! The same pictures give the same bytes, whoever packs them and when: headers have no owner and no time. So the archive
//! has a hash before it exists, and an upload of it goes on where it broke off.

use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: u64 = 512;
/// Longest name of a member.
const NAME: usize = 100;

/// A picture of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its file's name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads an archive of pictures that `open` gives by their number from 0.
#[derive(Debug)]
pub struct Pack<R, O> {
    members: Vec<Member>,
    /// Where each begins; then the end of the last.
    starts: Vec<u64>,
    open: O,
    at: u64,
    /// The picture that is open, and how much of it has been read.
    current: Option<(usize, R, u64)>,
}

impl<R: Read + Seek, O: FnMut(usize) -> io::Result<R>> Pack<R, O> {
    /// An archive of these pictures, in their order.
    pub fn new(members: Vec<Member>, open: O) -> Self {
        let mut starts = Vec::with_capacity(members.len() + 1);
        let mut at = 0_u64;
        for member in &members {
            starts.push(at);
            at = at.saturating_add(BLOCK).saturating_add(padded(member.size));
        }
        starts.push(at);
        Self { members, starts, open, at: 0, current: None }
    }

    /// Bytes of the whole archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0).saturating_add(2 * BLOCK)
    }

    /// Reads from the picture that `at` lies in.
    fn picture(&mut self, number: usize, into: &mut [u8], from: u64) -> io::Result<usize> {
        if self.current.as_ref().is_none_or(|(open, _, at)| *open != number || *at != from) {
            let mut picture = (self.open)(number)?;
            picture.seek(SeekFrom::Start(from))?;
            self.current = Some((number, picture, from));
        }
        let Some((_, picture, at)) = &mut self.current else { return Ok(0) };
        let read = picture.read(into)?;
        *at += read as u64;
        if read == 0 && !into.is_empty() {
            let name = self.members.get(number).map_or("", |member| member.name.as_str());
            return Err(io::Error::other(format!("{name} has become shorter")));
        }
        Ok(read)
    }
}

fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// What stands before a picture.
fn header(number: usize, member: &Member) -> [u8; 512] {
    let mut header = tar::Header::new_ustar();
    if member.name.len() > NAME || header.set_path(&member.name).is_err() {
        // A name that no header holds says its number and ending, which is all that a reader needs.
        let ending = member.name.rsplit('.').next().unwrap_or_default();
        let short = format!("{number:09}.{}", ending.chars().take(8).collect::<String>());
        drop(header.set_path(short));
    }
    header.set_size(member.size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    *header.as_bytes()
}

impl<R: Read + Seek, O: FnMut(usize) -> io::Result<R>> Read for Pack<R, O> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = into.len().min(left);
        let into = &mut into[..room];
        if into.is_empty() {
            return Ok(0);
        }
        let after = self.starts.partition_point(|start| *start <= self.at);
        let number = after.saturating_sub(1);
        let read = match self.members.get(number).cloned() {
            None => zeros(into, u64::MAX),
            Some(member) => {
                let within = self.at - self.starts.get(number).copied().unwrap_or(0);
                let end = BLOCK + member.size;
                if within < BLOCK {
                    let from = usize::try_from(within).unwrap_or(0);
                    (&header(number, &member)[from..]).read(into)?
                } else if within < end {
                    let most = usize::try_from(end - within).unwrap_or(usize::MAX).min(into.len());
                    self.picture(number, &mut into[..most], within - BLOCK)?
                } else {
                    zeros(into, BLOCK + padded(member.size) - within)
                }
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

fn zeros(into: &mut [u8], most: u64) -> usize {
    let count = into.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    into[..count].fill(0);
    count
}

impl<R: Read + Seek, O: FnMut(usize) -> io::Result<R>> Seek for Pack<R, O> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const SIZES: [usize; 4] = [700, 0, 512, 1];

    type Content = Cursor<Vec<u8>>;

    fn pack() -> Pack<Content, impl FnMut(usize) -> io::Result<Content>> {
        let long = "x".repeat(120) + ".3.png";
        let names = ["a.0.png", "a.1.png", "a.2.png", &long];
        let members = names.iter().zip(SIZES);
        let members = members.map(|(name, size)| Member { name: (*name).to_owned(), size: size as u64 });
        Pack::new(members.collect(), |number| {
            let byte = u8::try_from(number).map_err(io::Error::other)? + 1;
            Ok(Cursor::new(vec![byte; SIZES[number]]))
        })
    }

    #[test]
    fn others_read_the_archive_and_any_part_of_it_is_the_same() {
        let mut whole = Vec::new();
        let mut packed = pack();
        assert_eq!(packed.read_to_end(&mut whole).expect("memory") as u64, packed.size());
        let mut archive = tar::Archive::new(whole.as_slice());
        let read: Vec<(String, Vec<u8>)> = archive
            .entries()
            .expect("an archive")
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("its bytes");
                (entry.path().expect("a path").to_string_lossy().into_owned(), bytes)
            })
            .collect();
        assert_eq!(read.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), SIZES);
        assert_eq!((read[0].0.as_str(), read[3].0.as_str()), ("a.0.png", "000000003.png"));
        assert!(read[2].1.iter().all(|byte| *byte == 3));
        for from in [0, 1, 511, 512, 600, 1535, 1536, 2048, 3000, whole.len() - 1, whole.len()] {
            let mut rest = Vec::new();
            packed.seek(SeekFrom::Start(from as u64)).expect("a place");
            packed.read_to_end(&mut rest).expect("memory");
            assert!(rest == whole[from..], "from {from}");
        }
    }

    #[test]
    fn a_picture_that_has_become_shorter_is_an_error() {
        let members = vec![Member { name: "a.1.png".to_owned(), size: 10 }];
        let mut pack = Pack::new(members, |_| Ok(Cursor::new(vec![0; 9])));
        let error = pack.read_to_end(&mut Vec::new()).expect_err("it is torn");
        assert!(error.to_string().contains("a.1.png"), "{error}");
    }
}
