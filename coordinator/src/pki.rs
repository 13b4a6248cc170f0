//! Who belongs to the farm: its CA, the workers enrolled under it, and the tokens of callers and newcomers.
//!
//! ```text
//! authority    the CA: the server's certificate, signing of workers' requests
//! vault        the small durable store that the rest needs, as a trait
//! token        secrets that are kept only as hashes
//! join_token   permission to enrol: uses, end, label
//! api_token    a caller's name, tenant and roles
//! enrolment    the workers that have a certificate, and those that were removed
//! join_server  one connection of a newcomer
//! ```
//!
//! The files of the CA lie in the state directory's `pki/`, readable by the owner alone. Certificates are long-lived
//! (five years); what ends a worker earlier is its removal in [`enrolment`], which the link asks at every connection.

pub mod api_token;
pub mod authority;
pub mod enrolment;
pub mod join_server;
pub mod join_token;
pub mod token;
pub mod vault;

pub use authority::{Authority, PkiError};
pub use join_server::{JoinLimits, JoinServer};
pub use vault::{KeyVault, VaultError};

#[cfg(test)]
mod tests;
