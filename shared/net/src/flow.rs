//! Files as flows of chunks: threads that may block read ahead of the network and write behind it, and hash on the way.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use bytes::Bytes as Chunk;
use rushes_shared::artifact::ContentHash;
use rushes_shared::units::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Bytes that are read or written at once.
pub const CHUNK: usize = 512 << 10;
/// What comes in smaller pieces (a QUIC chunk is one packet's) is gathered to this before it is hashed and written.
const GATHER: usize = 128 << 10;
/// Chunks that may wait between the network and the disk.
const QUEUE: usize = 16;

/// Size and hash of a file's content.
///
/// # Errors
/// Whatever the file system says.
pub fn hash_file(path: &Path) -> io::Result<(Bytes, ContentHash)> {
    hash_open(&mut File::open(path)?)
}

/// Size and hash of an open file's content, from its start.
///
/// # Errors
/// Whatever the file system says.
pub fn hash_open(file: &mut File) -> io::Result<(Bytes, ContentHash)> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    let size = hash_into(&mut hasher, file)?;
    Ok((Bytes(size), finish(&hasher)))
}

/// Opens a file that somebody untrusted has made: a link is not followed, and anything but a regular file is refused
/// without waiting for it.
///
/// # Errors
/// `InvalidInput` for what is no regular file, else whatever the file system says.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let other = |what: &str| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what} where a regular file belongs"))
    };
    let file: OwnedFd = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Err(other("a symbolic link")),
        // How a socket and a device without a driver answer.
        Err(Errno::NXIO | Errno::NODEV) => return Err(other("a socket or a device")),
        opened => opened?,
    };
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        FileType::Directory => Err(other("a directory")),
        FileType::Fifo => Err(other("a FIFO")),
        _ => Err(other("a device")),
    }
}

/// Feeds everything that is left of `from` to a hasher; returns how much that was.
///
/// # Errors
/// Whatever the reader says.
pub fn hash_into(hasher: &mut blake3::Hasher, from: &mut impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The hash of what a hasher was fed.
#[must_use]
pub fn finish(hasher: &blake3::Hasher) -> ContentHash {
    ContentHash(*hasher.finalize().as_bytes())
}

/// Reads `length` bytes of a file from `offset` on, ahead of the one who takes the chunks. A file that ends earlier
/// gives `UnexpectedEof`. Reading stops when the receiver is dropped. The file's own position is neither used nor moved,
/// so that a descriptor may be shared with an earlier reading that has not noticed its end yet.
#[must_use]
pub fn read_ahead(file: File, offset: u64, length: u64) -> mpsc::Receiver<io::Result<Chunk>> {
    let (queue, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let read = || -> io::Result<()> {
            let (mut offset, mut left) = (offset, length);
            while left > 0 {
                let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
                // Not zeroed first, as every byte of it is read.
                let mut buffer = Vec::with_capacity(wanted);
                while buffer.len() < wanted {
                    let at = offset + buffer.len() as u64;
                    match rustix::io::pread(&file, spare_capacity(&mut buffer), at) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(_) => {}
                        Err(Errno::INTR) => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                // More capacity than was asked for may have been filled.
                buffer.truncate(wanted);
                offset += wanted as u64;
                left -= wanted as u64;
                if queue.blocking_send(Ok(buffer.into())).is_err() {
                    // Nobody wants the rest.
                    return Ok(());
                }
            }
            Ok(())
        };
        if let Err(e) = read() {
            // Nobody listens when the transfer has ended for another reason.
            let _ = queue.blocking_send(Err(e));
        }
    });
    receiver
}

/// The same of what is no file.
#[must_use]
pub fn read_ahead_of(
    mut from: impl Read + Seek + Send + 'static,
    offset: u64,
    length: u64,
) -> mpsc::Receiver<io::Result<Chunk>> {
    let (queue, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let mut read = || -> io::Result<()> {
            from.seek(SeekFrom::Start(offset))?;
            let mut left = length;
            while left > 0 {
                let mut buffer = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
                from.read_exact(&mut buffer)?;
                left -= buffer.len() as u64;
                if queue.blocking_send(Ok(buffer.into())).is_err() {
                    // Nobody wants the rest.
                    return Ok(());
                }
            }
            Ok(())
        };
        if let Err(e) = read() {
            // Nobody listens when the transfer has ended for another reason.
            let _ = queue.blocking_send(Err(e));
        }
    });
    receiver
}

/// Writes chunks to a file behind the one who gives them, in order.
#[derive(Debug)]
pub struct WriteBehind {
    taken: u64,
    gathered: Vec<u8>,
    queue: mpsc::Sender<Chunk>,
    writer: JoinHandle<io::Result<Written>>,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The file.
    pub file: File,
    /// Bytes of the whole file.
    pub size: Bytes,
    /// Their hash.
    pub hash: ContentHash,
}

impl WriteBehind {
    /// Writes to `file` from its start. `guard` is kept until the last byte is written, or given up.
    #[must_use]
    pub fn new<G: Send + 'static>(file: File, guard: G) -> Self {
        Self::after(file, 0, guard)
    }

    /// Writes to `file` behind its first `kept` bytes, which are read once more for the hash of the whole.
    #[must_use]
    pub fn after<G: Send + 'static>(file: File, kept: u64, guard: G) -> Self {
        let (queue, chunks) = mpsc::channel(QUEUE);
        let writer = tokio::task::spawn_blocking(move || {
            let written = write_all(file, kept, chunks);
            drop(guard);
            written
        });
        Self { taken: kept, gathered: Vec::new(), queue, writer }
    }

    /// Bytes taken so far, those before the start included.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes; waits while the disk is behind.
    ///
    /// # Errors
    /// `BrokenPipe` when writing has failed; [`WriteBehind::finish`] then says why.
    pub async fn take(&mut self, chunk: Chunk) -> io::Result<()> {
        self.taken += chunk.len() as u64;
        if self.gathered.len() + chunk.len() > GATHER {
            self.pass_on().await?;
        }
        if chunk.len() >= GATHER {
            return self.queue.send(chunk).await.map_err(|_| io::ErrorKind::BrokenPipe.into());
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(GATHER);
        }
        self.gathered.extend_from_slice(&chunk);
        Ok(())
    }

    async fn pass_on(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.gathered).into();
        self.queue.send(chunk).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Waits until everything is written; nothing is synced yet.
    ///
    /// # Errors
    /// Whatever the file system said.
    pub async fn finish(mut self) -> io::Result<Written> {
        // Where the writer has stopped, its own result says why.
        let _ = self.pass_on().await;
        drop(self.queue);
        self.writer.await.map_err(io::Error::other).flatten()
    }
}

fn write_all(mut file: File, kept: u64, mut chunks: mpsc::Receiver<Chunk>) -> io::Result<Written> {
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    if kept > 0 {
        file.seek(SeekFrom::Start(0))?;
        size = hash_into(&mut hasher, &mut (&file).take(kept))?;
        file.seek(SeekFrom::Start(size))?;
    }
    while let Some(chunk) = chunks.blocking_recv() {
        hasher.update(&chunk);
        file.write_all(&chunk)?;
        size += chunk.len() as u64;
    }
    Ok(Written { file, size: Bytes(size), hash: finish(&hasher) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_and_no_link_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "film").expect("written");
        std::os::unix::fs::symlink(path("file"), path("link")).expect("linked");
        let fifo = rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0);
        fifo.expect("made");
        let mut file = open_regular(&path("file")).expect("a regular file");
        assert_eq!(hash_open(&mut file).expect("readable"), hash_file(&path("file")).expect("readable"));
        for (name, words) in [("link", "a symbolic link"), ("fifo", "a FIFO"), (".", "a directory")] {
            let error = open_regular(&path(name)).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(open_regular(&path("none")).expect_err("missing").kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_part_is_read_exactly_and_a_short_file_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..=250).cycle().take(CHUNK * 2 + 7).collect();
        std::fs::write(&path, &content).expect("written");
        let file = open_regular(&path).expect("a regular file");
        let read = async |offset: usize, length: usize| -> io::Result<Vec<u8>> {
            let mut chunks = read_ahead(file.try_clone()?, offset as u64, length as u64);
            let mut all = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                all.extend_from_slice(&chunk?);
            }
            Ok(all)
        };
        assert_eq!(read(5, CHUNK + 1).await.expect("read"), content[5..CHUNK + 6]);
        assert_eq!(read(0, content.len()).await.expect("read"), content);
        let short = read(9, content.len()).await.expect_err("it ends earlier");
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
