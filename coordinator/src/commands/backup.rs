//! `backup`, `export`, `import`: consistent copies while the coordinator runs, and back.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};

use crate::layout::Layout;
use crate::ledger::JsonCodec;
use crate::local_api;
use crate::run::store_options;
use crate::settings::Settings;
use crate::store::{self, Store};

/// The journal, archive and keys within a backup's directory.
const LEDGER: &str = "ledger.jsonl";

pub(super) fn backup(settings: &Settings, layout: &Layout, dir: &Path) -> anyhow::Result<()> {
    needs_farm(layout)?;
    fs::DirBuilder::new().mode(0o700).create(dir).with_context(|| {
        format!("make {}; a backup goes into a directory that is not there yet", dir.display())
    })?;
    // Keys first: what the ledger speaks of later is signed by keys that are there already.
    copy_tree(&layout.pki, &dir.join("pki"))?;
    for file in [&layout.ticket_key, &layout.admin_token, &layout.config] {
        if file.exists() {
            let name = file.file_name().context("a file of the state directory has a name")?;
            copy_private(file, &dir.join(name))?;
        }
    }
    export(settings, layout, &dir.join(LEDGER))?;
    sync_dir(dir)?;
    eprintln!("backup made in {}; it holds the farm's secret keys, so guard it", dir.display());
    eprintln!("files that the depot keeps ({}) are not in it", layout.depot.display());
    Ok(())
}

pub(super) fn export(settings: &Settings, layout: &Layout, to: &Path) -> anyhow::Result<()> {
    needs_farm(layout)?;
    if to == Path::new("-") {
        return write_ledger(settings, layout, &mut std::io::stdout().lock());
    }
    let draft = to.with_extension("part");
    let file = private_file(&draft)?;
    let mut writer = BufWriter::new(file);
    write_ledger(settings, layout, &mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all().with_context(|| format!("write {}", draft.display()))?;
    fs::rename(&draft, to).with_context(|| format!("write {}", to.display()))
}

fn write_ledger(settings: &Settings, layout: &Layout, to: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if runtime.block_on(local_api::is_running(&layout.admin_socket)) {
        runtime.block_on(local_api::download(&layout.admin_socket, "/v1/admin/export", to))?;
        return Ok(());
    }
    let (store, _) = Store::open(&layout.store, store_options(settings))?;
    store::export(&store.reader(), to, &JsonCodec)?;
    Ok(())
}

pub(super) fn import(layout: &Layout, from: &Path) -> anyhow::Result<()> {
    if layout.store.exists() {
        bail!("there is a store in {} already; import into another --state-dir", layout.root.display());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&layout.root)?;
    let whole = from.is_dir();
    if whole && layout.pki.exists() {
        bail!("there is a farm in {} already; import into another --state-dir", layout.root.display());
    }
    let ledger = if whole { from.join(LEDGER) } else { from.to_owned() };
    let file = File::open(&ledger).with_context(|| format!("open {}", ledger.display()))?;
    // The ledger first: if a line of it is bad, nothing has been changed.
    let summary = store::import(BufReader::new(file), &layout.store, &JsonCodec)
        .with_context(|| format!("import {}; nothing was changed", ledger.display()))?;
    if whole {
        copy_tree(&from.join("pki"), &layout.pki)?;
        for file in [&layout.ticket_key, &layout.admin_token, &layout.config] {
            let name = file.file_name().context("a file of the state directory has a name")?;
            if from.join(name).exists() {
                copy_private(&from.join(name), file)?;
            }
        }
    }
    eprintln!(
        "imported {} records, {} ended jobs, {} keys into {}",
        summary.folded + summary.records,
        summary.archive,
        summary.keys,
        layout.root.display()
    );
    if !layout.pki.exists() {
        eprintln!(
            "the farm's CA is not in an export: copy pki/ and ticket.key from the old state directory before the first run, so that workers and tokens stay valid; without them `rushes-coordinator init` makes a new farm around these jobs, which every worker has to join anew"
        );
    }
    Ok(())
}

fn needs_farm(layout: &Layout) -> anyhow::Result<()> {
    if layout.store.exists() {
        return Ok(());
    }
    bail!("there is no farm in {}; name its --state-dir", layout.root.display())
}

fn private_file(path: &Path) -> anyhow::Result<File> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("write {}", path.display()))
}

fn copy_private(from: &Path, to: &Path) -> anyhow::Result<()> {
    let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    let mut file = private_file(to)?;
    file.write_all(&content)?;
    file.sync_all().with_context(|| format!("write {}", to.display()))
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            copy_private(&entry.path(), &target)?;
        }
    }
    sync_dir(to)
}

fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).with_context(|| format!("sync {}", dir.display()))
}
