//! Samples' bytes, read in their order, a block at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rushes_shared::failure::{Failure, FailureCode};

use super::read::Sample;

/// What is read at once.
const BLOCK: usize = 1 << 20;

/// A file that samples are read from.
#[derive(Debug)]
pub(crate) struct SampleReader {
    file: File,
    size: u64,
    block: Vec<u8>,
    at: u64,
    name: String,
}

impl SampleReader {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened.map_err(|error| unreadable(&name, &error))?;
        Ok(Self { file, size, block: Vec::new(), at: 0, name })
    }

    /// A sample's bytes.
    ///
    /// # Errors
    /// [`FailureCode::InputDamaged`] for one that lies beyond the file's end; those of the file system.
    pub(crate) fn get(&mut self, sample: &Sample) -> Result<&[u8], Failure> {
        let size = sample.size as usize;
        let held = self.at..self.at + self.block.len() as u64;
        let end = sample.offset.saturating_add(u64::from(sample.size));
        if end > self.size {
            return Err(Failure::new(
                FailureCode::InputDamaged,
                format!("{} ends before its last sample", self.name),
                "give a complete file",
            ));
        }
        if sample.offset < held.start || end > held.end {
            let rest = usize::try_from(self.size - sample.offset).unwrap_or(usize::MAX);
            self.block.resize(size.max(BLOCK).min(rest), 0);
            self.at = sample.offset;
            let read = self.file.read_exact_at(&mut self.block, self.at);
            read.map_err(|error| unreadable(&self.name, &error))?;
        }
        let from = usize::try_from(sample.offset - self.at).unwrap_or(usize::MAX);
        Ok(&self.block[from..from + size])
    }
}

pub(crate) fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(FailureCode::InputUnreadable, format!("{name} cannot be read"), "look at the file")
        .with_detail(&error.to_string())
}
