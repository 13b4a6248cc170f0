//! Join tokens in the API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A join token to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewJoinTokenRequest {
    /// A note for people: who it is for.
    #[serde(default)]
    pub label: String,
    /// How many workers may use it, at least 1; the coordinator's setting where it is left out.
    #[serde(default)]
    pub uses: Option<u32>,
    /// How long it is good for, in seconds; the coordinator's setting where it is left out.
    #[serde(default)]
    pub lifetime_s: Option<u64>,
}

/// A join token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTokenView {
    /// Names it.
    pub id: String,
    /// A note for people.
    pub label: String,
    /// How many workers may still use it.
    pub uses_left: u32,
    /// When it was made.
    pub created_at: String,
    /// When it ends.
    pub expires_at: String,
}

/// A join token that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedJoinTokenView {
    /// The token.
    pub token: JoinTokenView,
    /// What `rushes-worker join` takes; shown this once and kept nowhere.
    pub secret: String,
}

/// All join tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTokenList {
    /// In no particular order; used up and expired ones among them.
    pub items: Vec<JoinTokenView>,
}
