//! Which programs make results on this node, as a hash: nodes with the same make the same of the same work.
//!
//! It covers this program, GStreamer, and the libraries that encode, by their files' names and sizes: packages of one
//! version have the same on every machine, and another version all but never has.

use std::fs;
use std::path::Path;

use rushes_shared::artifact::ContentHash;
use rushes_shared::build;

/// Where systems keep shared libraries.
const LIBRARY_DIRS: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
];
/// What the names of libraries begin with that decide what results are: encoders, decoders, what scales and resamples.
const LIBRARIES: [&str; 14] = [
    "libSvtAv1Enc.so",
    "libaom.so",
    "libavcodec.so",
    "libdav1d.so",
    "libfdk-aac.so",
    "libgstaudio-1.0.so",
    "libgstvideo-1.0.so",
    "libjpeg.so",
    "libmp3lame.so",
    "libopus.so",
    "libvorbisenc.so",
    "libvpx.so",
    "libx264.so",
    "libx265.so",
];

/// The hash, for a media library that says that it is this.
#[must_use]
pub(crate) fn hash(media: &str) -> ContentHash {
    of(media, &LIBRARY_DIRS.map(Path::new))
}

fn of(media: &str, dirs: &[&Path]) -> ContentHash {
    let mut libraries = Vec::new();
    for dir in dirs {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if LIBRARIES.iter().any(|library| name.starts_with(library)) {
                // A link is as large as what it leads to.
                let size = fs::metadata(entry.path()).map_or(0, |found| found.len());
                libraries.push((name, size));
            }
        }
    }
    libraries.sort();
    libraries.dedup();
    let mut hasher = blake3::Hasher::new();
    hasher.update(build::long_version().as_bytes()).update(b"\n").update(media.as_bytes());
    for (name, size) in libraries {
        hasher.update(format!("\n{name} {size}").as_bytes());
    }
    ContentHash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_encoder_is_another_maker_and_another_directory_is_none() {
        let (here, there) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        for dir in [&here, &there] {
            fs::write(dir.path().join("libx264.so.164"), "one").expect("written");
            fs::write(dir.path().join("libunrelated.so.1"), dir.path().to_string_lossy().as_bytes())
                .expect("written");
        }
        let made_by = |dir: &tempfile::TempDir| of("GStreamer 1.22", &[dir.path()]);
        assert_eq!(made_by(&here), made_by(&there));
        assert_ne!(made_by(&here), of("GStreamer 1.24", &[here.path()]));
        fs::write(there.path().join("libx264.so.164"), "another").expect("written");
        assert_ne!(made_by(&here), made_by(&there));
    }
}
