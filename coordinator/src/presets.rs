//! The farm's presets: those that come along, and the operator's own from a directory.

use std::fs;
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
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let added = Preset::read(name, &text).and_then(|preset| presets.add(preset));
        added.with_context(|| format!("the preset {}", path.display()))?;
    }
    Ok(presets)
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
        fs::write(dir.path().join("bad.toml"), "[[outputs]]\nsufix = 'a'").unwrap();
        let error = format!("{:#}", load(dir.path(), true).unwrap_err());
        assert!(error.contains("bad.toml") && error.contains("line 2: outputs[0].sufix"), "{error}");
    }
}
