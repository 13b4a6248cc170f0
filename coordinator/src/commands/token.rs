//! `token`: API and join tokens, by the running coordinator, or by the store itself while none runs.

use anyhow::bail;
use clap::Subcommand;
use hyper::Method;
use rushes_shared::id::TenantId;
use rushes_shared::principal::Role;
use rushes_shared::units::WallMs;
use rushes_shared::view::{
    CreatedJoinTokenView, CreatedTokenView, JoinTokenList, JoinTokenView, NewJoinTokenRequest,
    NewTokenRequest, TokenList, TokenView,
};
use serde_json::Value;

use super::desk::{Desk, now};
use crate::layout::Layout;
use crate::pki::api_token::{self, ApiRecord};
use crate::pki::token::TokenId;
use crate::settings::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a token with which workers join the farm.
    #[command(
        after_help = "Examples:\n  rushes-coordinator token join\n  rushes-coordinator token join --uses 20 --lifetime 3600 --quiet"
    )]
    Join {
        /// A note for people: who it is for.
        #[arg(long, default_value = "")]
        name: String,
        /// How many workers may use it [default: join.token_uses].
        #[arg(long)]
        uses: Option<u32>,
        /// How long it is good for, in seconds [default: join.token_lifetime_s].
        #[arg(long, value_name = "SECONDS")]
        lifetime: Option<u64>,
        /// Prints the token alone.
        #[arg(long, short)]
        quiet: bool,
    },
    /// Makes a token for callers of the API.
    #[command(
        after_help = "Examples:\n  rushes-coordinator token api ci --role submitter --role viewer\n  rushes-coordinator token api dashboard --role viewer --tenant studio --quiet"
    )]
    Api {
        /// Its name, unique; shown in logs.
        name: String,
        /// What its bearer may do: viewer, submitter, operator, admin; may be repeated.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// Whose jobs its bearer sees and makes.
        #[arg(long, default_value = "default")]
        tenant: TenantId,
        /// How long it is good for, in seconds [default: until it is deleted].
        #[arg(long, value_name = "SECONDS")]
        lifetime: Option<u64>,
        /// Prints the token alone.
        #[arg(long, short)]
        quiet: bool,
    },
    /// Lists tokens, without their secrets.
    #[command(after_help = "Example:\n  rushes-coordinator token list")]
    List,
    /// Takes a token back.
    #[command(after_help = "Example:\n  rushes-coordinator token delete ID")]
    Delete {
        /// Its id, as `list` shows it.
        id: String,
    },
}

pub(super) fn run(command: TokenCommand, settings: &Settings, layout: &Layout) -> anyhow::Result<()> {
    let desk = Desk::open(settings, layout)?;
    match command {
        TokenCommand::Join { name, uses, lifetime, quiet } => {
            let made = desk.make_join(NewJoinTokenRequest { label: name, uses, lifetime_s: lifetime })?;
            if quiet {
                say!("{}", made.secret)?;
            } else {
                say!("for up to {} workers until {}:", made.token.uses_left, made.token.expires_at)?;
                say!("  rushes-worker join HOST:{} {}", settings.link.bind.port(), made.secret)?;
            }
        }
        TokenCommand::Api { name, roles, tenant, lifetime, quiet } => {
            let secret = desk.make_api(name, &roles, tenant, lifetime)?;
            say!("{}{secret}", if quiet { "" } else { "export RUSHES_TOKEN=" })?;
        }
        TokenCommand::List => {
            let (api, join) = desk.list()?;
            for token in api {
                let roles: Vec<String> = token.roles.iter().map(ToString::to_string).collect();
                let (id, name, roles) = (token.id, token.name, roles.join(","));
                let end = token.expires_at.as_deref().unwrap_or("never");
                say!("api   {id}  {name:<20}  tenant {}  roles {roles}  expires {end}", token.tenant)?;
            }
            for JoinTokenView { id, label, uses_left, expires_at, .. } in join {
                say!("join  {id}  {label:<20}  uses left {uses_left}  expires {expires_at}")?;
            }
        }
        TokenCommand::Delete { id } => {
            let id: TokenId = id
                .parse()
                .map_err(|e| anyhow::anyhow!("{e}; 'rushes-coordinator token list' shows the ids"))?;
            if !desk.delete(&id)? {
                bail!("there is no token {id}; 'rushes-coordinator token list' shows those that are");
            }
        }
    }
    Ok(())
}

impl Desk<'_> {
    fn make_join(&self, request: NewJoinTokenRequest) -> anyhow::Result<CreatedJoinTokenView> {
        if self.is_online() {
            return self.call(Method::POST, "/v1/join-tokens", Some(&serde_json::to_value(request)?));
        }
        self.offline(|joins, _| joins.create(&request, now()))
    }

    fn make_api(
        &self,
        name: String,
        roles: &[Role],
        tenant: TenantId,
        lifetime_s: Option<u64>,
    ) -> anyhow::Result<String> {
        if self.is_online() {
            let tenant = Some(tenant.to_string());
            let request = NewTokenRequest { name, tenant, roles: roles.to_vec(), expires_in_s: lifetime_s };
            let body = serde_json::to_value(request)?;
            let made: CreatedTokenView = self.call(Method::POST, "/v1/tokens", Some(&body))?;
            return Ok(made.secret);
        }
        let created = now();
        let expires = lifetime_s.map(|s| WallMs(created.0.saturating_add(s.saturating_mul(1000))));
        let record = ApiRecord { name, tenant, roles: roles.iter().copied().collect(), created, expires };
        self.offline(|_, vault| Ok(api_token::issue(vault, &record)?.1))
    }

    fn list(&self) -> anyhow::Result<(Vec<TokenView>, Vec<JoinTokenView>)> {
        if self.is_online() {
            let api: TokenList = self.call(Method::GET, "/v1/tokens", None)?;
            let join: JoinTokenList = self.call(Method::GET, "/v1/join-tokens", None)?;
            return Ok((api.items, join.items));
        }
        self.offline(|joins, vault| {
            let api = api_token::list(vault)?;
            Ok((api.iter().map(|(id, record)| record.view(id)).collect(), joins.list()?))
        })
    }

    fn delete(&self, id: &TokenId) -> anyhow::Result<bool> {
        if !self.is_online() {
            return self.offline(|joins, vault| Ok(joins.withdraw(id)? || api_token::withdraw(vault, id)?));
        }
        let join: JoinTokenList = self.call(Method::GET, "/v1/join-tokens", None)?;
        let is_join = join.items.iter().any(|token| token.id == id.to_string());
        let room = if is_join { "join-tokens" } else { "tokens" };
        let _nothing: Value = self.call(Method::DELETE, &format!("/v1/{room}/{id}"), None)?;
        Ok(true)
    }
}
