//! Where a preset comes from: a file, the user's own directory, the farm, or the program itself.

use std::fs;
use std::io::{self, Read as _};
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
    // One's own is read alone: another one that is wrong is in nobody's way.
    let own = own_dir().map(|dir| dir.join(format!("{name}.toml"))).filter(|path| path.is_file());
    // A file that a shell has just made for this very command's output says nothing yet.
    if let Some(own) = own.filter(|path| fs::metadata(path).is_ok_and(|facts| facts.len() > 0)) {
        return read(&own);
    }
    let found = farms(client)?.find("--preset", name).cloned();
    found.map_err(|bad| Fault::Usage(format!("{bad} ('rushes preset list' shows all)")))
}

/// The farm's over those that come along.
fn farms(client: Option<&Client>) -> Result<Presets, Fault> {
    let mut presets = Presets::embedded();
    for preset in client.map(Client::presets).transpose()?.into_iter().flat_map(|list| list.items) {
        presets
            .add(Preset::read(&preset.name, &preset.text).map_err(|bad| usage(&bad))?)
            .map_err(|bad| usage(&bad))?;
    }
    Ok(presets)
}

/// The user's own over the farm's over those that come along. Files of the user's that are wrong are told of and passed
/// over.
pub(crate) fn known(client: Option<&Client>) -> Result<Presets, Fault> {
    let mut presets = farms(client)?;
    let Some(dir) = own_dir() else { return Ok(presets) };
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(presets),
        entries => entries.map_err(|e| Fault::local(format!("cannot read {}", dir.display()), e))?,
    };
    for entry in entries {
        let path = entry.map_err(|e| Fault::local(format!("cannot read {}", dir.display()), e))?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            match read(&path) {
                Ok(preset) => presets.add(preset).map_err(|bad| usage(&bad))?,
                Err(fault) => say!("rushes: passed over: {fault}"),
            }
        }
    }
    Ok(presets)
}

/// A preset's file, named like the preset.
pub(crate) fn read(path: &Path) -> Result<Preset, Fault> {
    let text = text_of(path).map_err(|e| Fault::local(format!("cannot read {}", path.display()), e))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Preset::read(&name, &text).map_err(|bad| Fault::Usage(format!("{}: {bad}", path.display())))
}

/// Largest file of a preset, in bytes.
const LARGEST: u64 = 1 << 20;

/// A pipe is not opened, as that waits for whoever writes into it.
fn text_of(path: &Path) -> io::Result<String> {
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let facts = fs::metadata(path)?;
    if !facts.is_file() {
        return refused("it is no regular file".to_owned());
    }
    let mut text = String::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return refused(format!("it has more than {LARGEST} bytes, so that it is no preset"));
    }
    Ok(text)
}

fn usage(bad: &BadRequest) -> Fault {
    Fault::Usage(bad.to_string())
}

fn is_speed(name: &str) -> bool {
    let value = serde_json::Value::String(name.to_owned());
    serde_json::from_value::<rushes_shared::encode::SpeedPreset>(value).is_ok()
}
