//! Where a preset comes from: a file, the user's own directory, the farm, or the program itself.

use std::fs;
use std::path::{Path, PathBuf};

use rushes_shared::request::{BadRequest, Preset, Presets};

use crate::client::Client;
use crate::fault::Fault;

/// Where the user keeps presets: `$XDG_CONFIG_HOME/rushes/presets`, else `~/.config/rushes/presets`.
pub(crate) fn own_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    config.map(|dir| dir.join("rushes/presets"))
}

/// A preset by its name, or by its file where that ends in `.toml`: the user's own before the farm's before those that
/// come along.
pub(crate) fn find(name: &str, client: Option<&Client>) -> Result<Preset, Fault> {
    if name.ends_with(".toml") {
        return read(Path::new(name));
    }
    if is_speed(name) {
        return Err(Fault::Usage(format!(
            "'{name}' is a preset of the encoder: write --encoder-preset {name}; --preset names a whole way to make files ('rushes preset list')"
        )));
    }
    let found = known(client)?.find("--preset", name).cloned();
    found.map_err(|bad| Fault::Usage(format!("{bad} ('rushes preset list' shows all)")))
}

/// The user's own over the farm's over those that come along.
pub(crate) fn known(client: Option<&Client>) -> Result<Presets, Fault> {
    let mut presets = Presets::embedded();
    for preset in client.map(Client::presets).transpose()?.into_iter().flat_map(|list| list.items) {
        presets
            .add(Preset::read(&preset.name, &preset.text).map_err(|bad| usage(&bad))?)
            .map_err(|bad| usage(&bad))?;
    }
    let Some(dir) = own_dir() else { return Ok(presets) };
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(presets),
        entries => entries.map_err(|e| Fault::local(format!("cannot read {}", dir.display()), e))?,
    };
    for entry in entries {
        let path = entry.map_err(|e| Fault::local(format!("cannot read {}", dir.display()), e))?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            presets.add(read(&path)?).map_err(|bad| usage(&bad))?;
        }
    }
    Ok(presets)
}

/// A preset's file, named like the preset.
pub(crate) fn read(path: &Path) -> Result<Preset, Fault> {
    let text =
        fs::read_to_string(path).map_err(|e| Fault::local(format!("cannot read {}", path.display()), e))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Preset::read(&name, &text).map_err(|bad| Fault::Usage(format!("{}: {bad}", path.display())))
}

fn usage(bad: &BadRequest) -> Fault {
    Fault::Usage(bad.to_string())
}

fn is_speed(name: &str) -> bool {
    let value = serde_json::Value::String(name.to_owned());
    serde_json::from_value::<rushes_shared::encode::SpeedPreset>(value).is_ok()
}
