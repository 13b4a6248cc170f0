//! Gathers the layers of settings: defaults, file, environment, flags.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rushes_shared::settings::Layers;

use super::Cli;
use crate::layout::Layout;
use crate::settings;

pub(super) fn gather(cli: &Cli) -> anyhow::Result<(Layers, Layout)> {
    let variable = |name: &str| std::env::var(name).ok();
    let guess = cli.state_dir.clone().or_else(|| Layout::default_root(variable));
    let named = cli.config.as_deref().map(Path::to_owned);
    let beside = || guess.as_ref().map(|root| Layout::new(root).config).filter(|path| path.exists());
    let file = named.or_else(beside);
    let mut layers = settings::layers();
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("read the settings in {}", path.display()))?;
        layers = layers.file(&path.display().to_string(), &text)?;
    }
    layers = layers.env(settings::ENV_PREFIX, std::env::vars())?.assignments(&cli.set)?;
    if let Some(dir) = &cli.state_dir {
        layers = layers.set("state_dir", &dir.display().to_string(), "--state-dir")?;
    }
    let told: PathBuf = settings::resolve(&layers)?.state_dir;
    let told = Some(told).filter(|dir| !dir.as_os_str().is_empty());
    let root = told.or(guess).context(
        "no state directory: HOME and XDG_STATE_HOME are unset; give --state-dir or set state_dir",
    )?;
    let root = std::path::absolute(&root).with_context(|| format!("find {}", root.display()))?;
    Ok((layers, Layout::new(&root)))
}
