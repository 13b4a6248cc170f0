//! Tenants of this reign: what each has and may have.

use std::collections::BTreeMap;

use rushes_shared::id::TenantId;

use super::{Engine, Turn};
use crate::event::{Command, Reply, ReplyTo};
use crate::order::fair::TenantIx;
use crate::promise::gate::Gate;
use crate::recent::Recent;
use crate::record::Record;
use crate::state::TenantLimits;

/// One tenant.
#[derive(Debug)]
pub(super) struct TenantRun {
    /// Jobs that have not ended.
    pub(super) jobs: u64,
    /// Those of them that have a deadline.
    pub(super) deadline_jobs: u64,
    /// Attempts that take capacity.
    pub(super) running: u32,
    pub(super) limits: TenantLimits,
}

impl TenantRun {
    pub(super) fn is_capped(&self) -> bool {
        self.running >= self.limits.max_running
    }
}

/// All that were seen. They are few and stay known for the reign.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    known: BTreeMap<TenantId, TenantIx>,
    recent: Recent<TenantIx>,
    runs: Vec<TenantRun>,
}

impl Tenants {
    pub(super) fn get(&self, id: &TenantId) -> Option<&TenantRun> {
        let recent = self.recent.get(id.text()).map(|(_, ix)| ix);
        recent.or_else(|| self.known.get(id)).map(|ix| self.at(*ix))
    }

    /// All that were seen.
    pub(super) fn names(&self) -> impl Iterator<Item = &TenantId> {
        self.known.keys()
    }

    /// The number of a tenant that was seen.
    pub(super) fn ix(&self, id: &TenantId) -> Option<TenantIx> {
        self.known.get(id).copied()
    }

    pub(super) fn at(&self, ix: TenantIx) -> &TenantRun {
        &self.runs[ix.0 as usize]
    }

    pub(super) fn at_mut(&mut self, ix: TenantIx) -> &mut TenantRun {
        &mut self.runs[ix.0 as usize]
    }
}

impl Engine {
    /// The limits of a tenant.
    pub(super) fn limits_of(&self, tenant: &TenantId) -> TenantLimits {
        self.state.tenants.get(tenant).copied().unwrap_or(self.policy.tenant)
    }

    /// The number of a tenant, known from now on.
    pub(super) fn tenant_ix(&mut self, tenant: &TenantId) -> TenantIx {
        if let Some((_, ix)) = self.tenants.recent.get(tenant.text()) {
            return *ix;
        }
        if let Some(ix) = self.tenants.known.get(tenant).copied() {
            self.tenants.recent.note(tenant.text(), ix);
            return ix;
        }
        let limits = self.limits_of(tenant);
        let ix = TenantIx(u32::try_from(self.tenants.runs.len()).expect("far fewer than 2^32 tenants"));
        self.tenants.known.insert(tenant.clone(), ix);
        self.tenants.runs.push(TenantRun { jobs: 0, deadline_jobs: 0, running: 0, limits });
        self.order.set_weight(ix, limits.weight);
        self.order.set_capped(ix, self.tenants.at(ix).is_capped());
        ix
    }

    /// Counts an attempt of a tenant in or out, and holds the tenant's jobs back while it runs as many as it may.
    pub(super) fn count_running(&mut self, ix: TenantIx, more: bool) {
        let tenant = self.tenants.at_mut(ix);
        let before = tenant.is_capped();
        if more {
            tenant.running += 1;
        } else {
            tenant.running -= 1;
        }
        let capped = tenant.is_capped();
        if capped != before {
            self.caps_reached |= capped;
            self.order.set_capped(ix, capped);
        }
    }

    pub(super) fn tenant_set_asked(
        &mut self,
        turn: &mut Turn,
        reply: ReplyTo,
        tenant: TenantId,
        limits: TenantLimits,
    ) {
        let limits = TenantLimits { weight: limits.weight.clamp(1, 1_000), ..limits };
        let ix = self.tenant_ix(&tenant);
        self.emit(turn, Record::TenantSet { tenant, limits });
        let before = std::mem::replace(&mut self.tenants.at_mut(ix).limits, limits);
        let capped = self.tenants.at(ix).is_capped();
        self.caps_reached |= capped;
        self.order.set_weight(ix, limits.weight);
        self.order.set_capped(ix, capped);
        self.regate_tenant(ix, before);
        self.recall_beyond_cap(turn, ix);
        self.command(turn, Command::Answer { to: reply, reply: Reply::LimitsSet });
    }

    pub(super) fn limit_set_asked(
        &mut self,
        turn: &mut Turn,
        reply: ReplyTo,
        name: String,
        most: Option<u32>,
    ) {
        self.open_limit(&name);
        self.gates.look_at(&Gate::Limit(name.clone()));
        self.note_room();
        self.emit(turn, Record::LimitSet { name, most });
        self.command(turn, Command::Answer { to: reply, reply: Reply::LimitsSet });
    }
}
