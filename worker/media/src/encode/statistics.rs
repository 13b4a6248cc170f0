//! The file between the two passes of an encode.

use std::path::{Path, PathBuf};

/// What the first of two passes leaves; gone when the encode is.
pub(super) struct Statistics(pub(super) PathBuf);

impl Statistics {
    /// Those of an encode into `output`.
    pub(super) fn beside(output: &Path) -> Self {
        Self(output.with_file_name("rushes-pass"))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        let Some((dir, name)) = self.0.parent().zip(self.0.file_name()) else { return };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        // Encoders put endings of their own behind the name.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
}
