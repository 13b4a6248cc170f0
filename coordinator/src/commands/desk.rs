//! Where `token` and `worker` do their work: at the running coordinator, or at the store itself while none runs.

use std::sync::Arc;

use anyhow::bail;
use hyper::Method;
use rushes_shared::units::WallMs;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Clock;
use crate::joins::Joins;
use crate::layout::Layout;
use crate::local_api;
use crate::pki::{Authority, KeyVault, VaultError};
use crate::run::store_options;
use crate::settings::Settings;
use crate::store::Store;
use crate::store_vault::StoreVault;

/// A farm's keys, wherever they can be worked on now.
pub(super) struct Desk<'a> {
    settings: &'a Settings,
    layout: &'a Layout,
    runtime: tokio::runtime::Runtime,
    is_online: bool,
}

impl<'a> Desk<'a> {
    pub(super) fn open(settings: &'a Settings, layout: &'a Layout) -> anyhow::Result<Self> {
        if !layout.pki.exists() {
            bail!("there is no farm in {}; make one: rushes-coordinator init", layout.root.display());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let is_online = runtime.block_on(local_api::is_running(&layout.admin_socket));
        Ok(Self { settings, layout, runtime, is_online })
    }

    /// Whether a coordinator runs, which then has to be asked.
    pub(super) fn is_online(&self) -> bool {
        self.is_online
    }

    /// Asks the running coordinator.
    pub(super) fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<T> {
        self.runtime.block_on(local_api::call(&self.layout.admin_socket, method, path, body))
    }

    /// Works on the store.
    pub(super) fn offline<T>(
        &self,
        work: impl FnOnce(&Joins, &dyn KeyVault) -> Result<T, VaultError>,
    ) -> anyhow::Result<T> {
        let fingerprint = Authority::open(&self.layout.pki)?.fingerprint();
        with_vault(self.settings, self.layout, |vault| {
            let joins = Joins::new(Arc::clone(&vault), fingerprint, self.settings.join.clone());
            work(&joins, &*vault)
        })
    }
}

pub(super) fn now() -> WallMs {
    Clock::start().now().wall
}

/// Works on the keys of a store that nobody else has open.
pub(super) fn with_vault<T>(
    settings: &Settings,
    layout: &Layout,
    work: impl FnOnce(Arc<dyn KeyVault>) -> Result<T, VaultError>,
) -> anyhow::Result<T> {
    let (store, _) = Store::open(&layout.store, store_options(settings))?;
    let running = store.start(Box::new(|_| {}), Box::new(|records| Ok(records.collect())))?;
    let done = work(Arc::new(StoreVault(running.handle())));
    running.close();
    Ok(done?)
}
