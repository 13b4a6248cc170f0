//! Many pictures in one file: a ZIP in which nothing is compressed again, with a WebVTT index that says which picture is
//! for which time.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rushes_shared::failure::Failure;
use rushes_shared::still::StillFormat;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::fault;
use crate::still::stamp;

/// The index's name in the archive.
pub(super) const INDEX: &str = "index.vtt";

type Writer = ZipWriter<BufWriter<File>>;
type Keep = Box<dyn FnMut(usize, &[u8]) -> Result<(), Failure> + Send>;

/// An archive that grows.
pub(super) struct Archive(Arc<Mutex<Option<Writer>>>);

impl Archive {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|e| fault::writing(&e))?;
        Ok(Self(Arc::new(Mutex::new(Some(ZipWriter::new(BufWriter::new(file)))))))
    }

    /// Takes pictures in as they come.
    pub(super) fn keeper(&self, format: StillFormat) -> Keep {
        let archive = Arc::clone(&self.0);
        Box::new(move |number, bytes| {
            let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
            let writer = archive.as_mut().expect("pictures come before the end");
            add(writer, &name(number, format), bytes)
        })
    }

    /// Writes the index of the pictures, which are each shown from its time to the next one, the last of `times` being the
    /// end, and the archive's own.
    pub(super) fn finish(self, times: &[u64], format: StillFormat) -> Result<(), Failure> {
        let mut archive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = archive.take().expect("an archive is finished once");
        add(&mut writer, INDEX, index(times, format).as_bytes())?;
        let mut file = writer.finish().map_err(unwritten)?;
        file.flush().map_err(|e| fault::writing(&e))
    }
}

fn add(writer: &mut Writer, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file(name, options).map_err(unwritten)?;
    writer.write_all(bytes).map_err(|e| fault::writing(&e))
}

/// Pictures are counted from 1, in as many digits as the most that there may be.
fn name(number: usize, format: StillFormat) -> String {
    format!("{:05}.{}", number + 1, format.ending())
}

fn index(times: &[u64], format: StillFormat) -> String {
    let mut text = "WEBVTT\n".to_owned();
    for (number, pair) in times.windows(2).enumerate() {
        let (from, to) = (stamp(pair[0]), stamp(pair[1]));
        text.push_str(&format!("\n{from} --> {to}\n{}\n", name(number, format)));
    }
    text
}

fn unwritten(error: zip::result::ZipError) -> Failure {
    fault::writing(&io::Error::from(error))
}

/// Reads every file of an archive; zip checks each against its sum. Gives `see` the name and the bytes.
pub(super) fn read(path: &Path, see: &mut dyn FnMut(&str, &[u8])) -> io::Result<()> {
    let mut archive = ZipArchive::new(io::BufReader::new(File::open(path)?))?;
    let mut bytes = Vec::new();
    for number in 0..archive.len() {
        let mut file = archive.by_index(number)?;
        bytes.clear();
        file.read_to_end(&mut bytes)?;
        let name = file.name()?.into_owned();
        see(&name, &bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_out_as_they_went_in_and_a_torn_archive_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.zip");
        let archive = Archive::create(&path).expect("created");
        let mut keep = archive.keeper(StillFormat::Png);
        keep(0, b"one").expect("kept");
        keep(1, b"two").expect("kept");
        archive.finish(&[0, 2_000_000_000, 3_500_000_000], StillFormat::Png).expect("finished");
        let mut seen = Vec::new();
        let mut see = |name: &str, bytes: &[u8]| {
            seen.push((name.to_owned(), String::from_utf8_lossy(bytes).into_owned()));
        };
        read(&path, &mut see).expect("whole");
        let text = "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n00001.png\n\n00:00:02.000 --> 00:00:03.500\n00002.png\n";
        let expected = [("00001.png", "one"), ("00002.png", "two"), (INDEX, text)];
        assert_eq!(seen, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let mut bytes = std::fs::read(&path).expect("readable");
        let at = bytes.windows(3).position(|three| three == b"two").expect("stored as it is");
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        assert!(read(&path, &mut |_, _| {}).is_err(), "another picture than its sum says");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
        assert!(read(&path, &mut |_, _| {}).is_err(), "cut off");
    }
}
