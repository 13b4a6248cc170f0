//! The links of a farm: what coordinator, worker, depot and newcomer share to talk to one another.
//!
//! ```text
//! identity   a certificate, its key and the farm's CA, as files
//! endpoint   QUIC endpoints: TLS 1.3 with the farm's own CA on both sides, ALPN as the protocol's version
//! framed     messages of `rushes_shared::wire` on QUIC streams
//! ticket     signs and checks permissions for the depot
//! flow       files as flows of chunks, hashed on the way
//! bulk       the depot's client: fetch, store, publish, drop
//! join       a newcomer's enrolment
//! error      what can go wrong on a link, in words a person can act on
//! ```
//!
//! The servers live elsewhere: links and enrolment with the coordinator, bulk transfer with the depot.

pub mod bulk;
pub mod endpoint;
pub mod error;
pub mod flow;
pub mod framed;
pub mod identity;
pub mod join;
pub mod ticket;

pub use error::NetError;
pub use identity::Identity;
