//! `init`: makes a farm.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use rushes_net::identity::write_secret;
use rushes_net::ticket::TicketKey;
use rushes_shared::id::TenantId;
use rushes_shared::principal::Role;
use rushes_shared::view::NewJoinTokenRequest;

use super::desk;
use crate::clock::Clock;
use crate::joins::Joins;
use crate::layout::Layout;
use crate::pki::Authority;
use crate::pki::api_token::{self, ApiRecord};
use crate::settings::Settings;

/// The name of the token that `init` makes.
pub(super) const ADMIN: &str = "admin";

/// Makes a farm. `arguments` lead another command of this program to the same settings.
pub(super) fn init(settings: &Settings, layout: &Layout, arguments: &[String]) -> anyhow::Result<()> {
    if layout.pki.exists() {
        bail!("there is a farm in {} already; run it, or choose another --state-dir", layout.root.display());
    }
    private_dir(&layout.root)?;
    let now = Clock::start().now().wall;
    let authority = Authority::create(&layout.pki, now)?;
    authority.server_identity(now)?;
    TicketKey::load_or_create(&layout.ticket_key)?;
    let admin = ApiRecord {
        name: ADMIN.to_owned(),
        tenant: TenantId::default_tenant(),
        roles: BTreeSet::from([Role::Viewer, Role::Submitter, Role::Operator, Role::Admin]),
        created: now,
        expires: None,
    };
    let (api_token, join_token) = desk::with_vault(settings, layout, |vault| {
        let (_, text) = api_token::issue(&*vault, &admin)?;
        let joins = Joins::new(Arc::clone(&vault), authority.fingerprint(), settings.join.clone());
        let request = NewJoinTokenRequest { label: "init".to_owned(), ..NewJoinTokenRequest::default() };
        Ok((text, joins.create(&request, now)?))
    })?;
    write_secret(&layout.admin_token, format!("{api_token}\n").as_bytes())
        .with_context(|| format!("write {}", layout.admin_token.display()))?;
    let (uses, expires) = (join_token.token.uses_left, &join_token.token.expires_at);
    let link = settings.link.bind;
    say!("farm made in {}", layout.root.display())?;
    say!()?;
    say!("API token (also in {}):", layout.admin_token.display())?;
    say!("  export RUSHES_URL=http://{}", settings.api.bind)?;
    say!("  export RUSHES_TOKEN={api_token}")?;
    say!()?;
    say!("join token, for up to {uses} workers until {expires}:")?;
    say!("  rushes-worker join {link} {}", join_token.secret)?;
    say!()?;
    let arguments: String = arguments.iter().map(|argument| format!("{argument} ")).collect();
    say!("next: rushes-coordinator {arguments}run")?;
    Ok(())
}

/// Makes a directory that only its owner can enter, and leaves one that is there as it is unless others can write to it.
fn private_dir(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make the state directory {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o022 != 0 {
        bail!("others can write to {}; take that away: chmod go-w {}", path.display(), path.display());
    }
    Ok(())
}
