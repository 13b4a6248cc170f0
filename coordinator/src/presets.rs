//! The farm's presets: those that come along, and the operator's own from a directory.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail};
use rushes_shared::request::{Preset, Presets};

/// Reads every `NAME.toml` of `dir` over the embedded presets. A directory that nobody has set may be missing.
///
/// # Errors
/// A directory that cannot be read, or a preset that is wrong, with its file and line.
pub fn load(dir: &Path, is_set: bool) -> anyhow::Result<Presets> {
    let mut presets = Presets::embedded();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_set => return Ok(presets),
        entries => entries.with_context(|| format!("read the presets in {}", dir.display()))?,
    };
    for entry in entries {
        let path = entry.with_context(|| format!("read the presets in {}", dir.display()))?.path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            bail!("{}: its name is not UTF-8; rename it", path.display());
        };
        let text = text_of(&path).with_context(|| format!("read {}", path.display()))?;
        let added = Preset::read(name, &text).and_then(|preset| presets.add(preset));
        added.with_context(|| format!("the preset {}", path.display()))?;
    }
    Ok(presets)
}

/// Largest file of a preset, in bytes.
const LARGEST: u64 = 1 << 20;

/// A pipe is not opened, as that waits for whoever writes into it.
fn text_of(path: &Path) -> anyhow::Result<String> {
    if !fs::metadata(path)?.is_file() {
        bail!("it is no regular file");
    }
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        bail!("it has more than {LARGEST} bytes, so that it is no preset");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_of_a_directory_go_before_those_that_come_along() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none");
        assert_eq!(load(&missing, false).unwrap(), Presets::embedded());
        assert!(load(&missing, true).is_err());
        fs::write(dir.path().join("web.toml"), "description = 'ours'\n[[outputs]]").unwrap();
        fs::write(dir.path().join("README"), "no preset").unwrap();
        let presets = load(dir.path(), true).unwrap();
        assert_eq!(presets.find("", "web").unwrap().description, "ours");
        assert!(presets.find("", "proxy").is_ok());
        // Whoever opens it to read waits for a writer.
        let pipe = dir.path().join("pipe.toml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = format!("{:#}", load(dir.path(), true).unwrap_err());
        assert!(error.contains("pipe.toml") && error.contains("no regular file"), "{error}");
        fs::remove_file(pipe).unwrap();
        let huge = fs::File::create(dir.path().join("huge.toml")).unwrap();
        huge.set_len(3 << 20).unwrap();
        let error = format!("{:#}", load(dir.path(), true).unwrap_err());
        assert!(error.contains("huge.toml") && error.contains("no preset"), "{error}");
        fs::remove_file(dir.path().join("huge.toml")).unwrap();
        fs::write(dir.path().join("bad.toml"), "[[outputs]]\nsufix = 'a'").unwrap();
        let error = format!("{:#}", load(dir.path(), true).unwrap_err());
        assert!(error.contains("bad.toml") && error.contains("line 2: outputs[0].sufix"), "{error}");
    }
}
