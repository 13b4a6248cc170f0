//! What a worker tells of its node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::units::{Bytes, Millicores};
use crate::wire::WireVersion;

/// One encoder element and whether a tiny encode with it worked on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EncoderFact {
    /// GStreamer's element name, such as `x264enc`.
    pub element: String,
    /// Codec in its short name, such as `h264`.
    pub codec: String,
    /// Whether it runs in hardware.
    pub hardware: bool,
    /// Whether a tiny encode produced data.
    pub works: bool,
    /// Why it does not work; empty where it does.
    pub reason: String,
}

/// Facts about a node, sent at every connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// A name for people, by default the host name.
    pub name: String,
    /// CPU that tasks may use.
    pub cpu: Millicores,
    /// Memory that tasks may use.
    pub memory: Bytes,
    /// How many light tasks (no-op, probe) may run at once, apart from the CPU share.
    pub light_slots: u32,
    /// Encoders found.
    pub encoders: Vec<EncoderFact>,
    /// Labels given by the operator, such as `gpu` or `rack-3`.
    pub tags: Vec<String>,
    /// The worker program's version.
    pub version: String,
    /// Kernel and architecture, such as `linux 6.1 x86_64`.
    pub platform: String,
    /// What contains task processes on this node, such as `landlock-v4 seccomp rlimits`.
    pub sandbox: String,
    /// Whether it is the coordinator's own machine. The worker does not say it: the coordinator sees it by the address.
    #[serde(skip)]
    pub is_local: bool,
    /// The version of the worker protocol that its connection was agreed on, and with it what orders it understands. The
    /// worker does not say it: the coordinator sees it by the connection.
    #[serde(skip)]
    pub wire: WireVersion,
}
