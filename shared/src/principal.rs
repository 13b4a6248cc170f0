//! Who is asking: a principal with a tenant and roles, taken from a token and never from a request's body.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;

/// What a principal may do. Roles do not contain one another, except that [`Role::Admin`] may do everything.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees the tenant's jobs, events and files.
    Viewer,
    /// Submits and cancels the tenant's jobs, uploads and downloads its files.
    Submitter,
    /// Sees and handles workers and the farm's status, over all tenants.
    Operator,
    /// Everything, including tokens and backups, over all tenants.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "submitter" => Ok(Self::Submitter),
            "operator" => Ok(Self::Operator),
            "admin" => Ok(Self::Admin),
            other => Err(format!("'{other}' is not a role: use viewer, submitter, operator or admin")),
        }
    }
}

/// The caller of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// A name for logs and audit: the token's label, or "local-admin" for the state directory's own socket.
    pub name: String,
    /// Whose jobs it sees and makes.
    pub tenant: TenantId,
    /// What it may do.
    pub roles: BTreeSet<Role>,
}

impl Principal {
    /// Whether it holds the role, or [`Role::Admin`].
    #[must_use]
    pub fn may(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }

    /// Whether it may see things that belong to `tenant`.
    #[must_use]
    pub fn sees(&self, tenant: &TenantId) -> bool {
        self.tenant == *tenant || self.may(Role::Operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submitter_is_confined_to_its_tenant_and_an_admin_is_not() {
        let other: TenantId = "other".parse().expect("a valid tenant");
        let mut principal = Principal {
            name: "ci".into(),
            tenant: TenantId::default_tenant(),
            roles: BTreeSet::from([Role::Submitter]),
        };
        assert!(principal.may(Role::Submitter) && !principal.may(Role::Viewer) && !principal.sees(&other));
        principal.roles.insert(Role::Admin);
        assert!(principal.may(Role::Viewer) && principal.sees(&other));
    }
}
