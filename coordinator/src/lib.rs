//! The coordinator: one process without GStreamer around the pure engine of `rushes-core`.
//!
//! ```text
//! api ---> farm ---> engine_actor ---> store (own threads)
//!                      |    ^  \---> depot_client ---> depot (own process)
//!                      v    |
//! listener --------> link_actor, one per connected worker
//! pki                  the farm's CA, tokens, enrolment
//! recover              journal and snapshot -> state
//! settings, telemetry  configuration; metrics and logs
//! run                  puts all of it together
//! ```

pub mod api;
pub mod clock;
pub mod commands;
pub mod depot;
pub mod depot_client;
pub mod depot_process;
pub mod engine_actor;
pub mod farm;
pub mod joins;
pub mod layout;
pub mod ledger;
pub mod link_actor;
pub mod listener;
pub mod local_api;
mod made_of;
pub mod pki;
pub mod presets;
mod problem;
pub mod recover;
mod room;
pub mod run;
pub mod settings;
pub mod store;
pub mod store_vault;
mod strangers;
pub mod task_logs;
pub mod telemetry;
pub mod tls;
mod upload_keeper;
