//! What tasks wait for, why they went where they went, and what an expected start takes for granted.

use std::fmt;

use rushes_shared::id::WorkerId;
use rushes_shared::units::WallMs;

use crate::placement::lack::{Lack, Shut};

/// Why tasks of a stage do not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// These stages have to be complete before.
    Stages(Vec<u32>),
    /// Workers of the reign before may still hold them.
    Reattachment,
    /// Every node that could run them is full.
    Room,
    /// The same, and this node's cores are kept for them.
    Reserved(WorkerId),
    /// No known node can run them: what is missing.
    NoNode(Lack),
    /// Those that could run them are of a version that has no such work.
    OldNodes,
    /// Those that can run them get no new tasks.
    ShutNodes(Shut),
    /// A named limit is reached.
    Limit(String),
    /// The tenant runs as many tasks as it may.
    TenantCap,
    /// They failed on the nodes that have room and wait for another.
    AnotherNode,
    /// They failed and wait before they are tried again.
    Backoff,
    /// They were sent ahead to workers, which begin them as room becomes free there.
    OnWorker,
    /// The latest attempts of the job have all failed: one task at a time is tried until one succeeds.
    Failing,
    /// The job is paused.
    Pause,
    /// Others are ahead.
    Turn,
}

impl Waiting {
    /// The name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stages(_) => "stages",
            Self::Reattachment => "reattachment",
            Self::Room => "room",
            Self::Reserved(_) => "reserved",
            Self::NoNode(_) => "no_node",
            Self::OldNodes => "old_nodes",
            Self::ShutNodes(_) => "shut_nodes",
            Self::Limit(_) => "limit",
            Self::TenantCap => "tenant_cap",
            Self::AnotherNode => "another_node",
            Self::Backoff => "backoff",
            Self::OnWorker => "on_worker",
            Self::Failing => "failing",
            Self::Pause => "pause",
            Self::Turn => "turn",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stages(stages) => {
                let list: Vec<String> = stages.iter().map(ToString::to_string).collect();
                write!(f, "stages {} have to be complete before", list.join(", "))
            }
            Self::Reattachment => {
                f.write_str("workers of before the coordinator's start may still hold them")
            }
            Self::Room => f.write_str("every worker that could run them is full"),
            Self::Reserved(worker) => write!(f, "they fit nowhere yet; {worker} is being kept free for them"),
            Self::NoNode(lack) => write!(f, "{lack}"),
            Self::OldNodes => f.write_str(
                "the workers that could run them are of a version that has no such work; update one of them",
            ),
            Self::ShutNodes(shut) => write!(f, "{shut}"),
            Self::Limit(name) => write!(f, "the limit '{name}' is reached"),
            Self::TenantCap => f.write_str("the tenant runs as many tasks as it may"),
            Self::AnotherNode => {
                f.write_str("they failed on the workers that have room and wait for another")
            }
            Self::Backoff => f.write_str("they failed and wait before they are tried again"),
            Self::OnWorker => {
                f.write_str("they were sent ahead to workers that begin them as room becomes free")
            }
            Self::Failing => f.write_str(
                "the job's latest attempts have all failed: one task is tried at a time until one succeeds",
            ),
            Self::Pause => f.write_str("the job is paused or about to end"),
            Self::Turn => f.write_str("others are ahead"),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "was kept free for it",
            Self::HasInput => "has the job's input",
            Self::HasEncoder => "has a hardware encoder free, which the job asks for",
            Self::OnlyOne => "the only worker that gets such tasks",
            Self::SoonestRoom => "has room for it soonest, of those that hold tasks ahead",
            Self::FastestFreest => "the fastest of the workers with room, and of those the freest",
            Self::Backfill => "is kept for a larger task, which this one does not delay",
            Self::Straggler => "a second attempt, elsewhere than the first",
            Self::Held => "held it when it connected",
        })
    }
}

/// Why an attempt went to its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Because {
    /// The node's cores were kept for tasks like it.
    Reserved,
    /// The node has the job's input.
    HasInput,
    /// The node has a hardware encoder free, which the job asks for.
    HasEncoder,
    /// No other open node gets such tasks.
    OnlyOne,
    /// It was sent ahead to the node that should have room for it soonest.
    SoonestRoom,
    /// The fastest of the nodes with room, and of those the freest.
    #[default]
    FastestFreest,
    /// The node is kept for a larger task, and this one ends before that can begin.
    Backfill,
    /// A second attempt, elsewhere than the first.
    Straggler,
    /// The worker held it when it connected.
    Held,
}

/// What an expected start takes for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumes {
    /// All that stands ahead is done first, at what the connected nodes get done together, and then room is made where
    /// what runs should end first.
    Queue,
    /// What runs or waits on the node takes as long as predicted.
    Worker,
    /// The stages before take as long as predicted.
    Stages,
    /// It is tried as soon as the delay after its failure is over, if there is room then.
    Backoff,
    /// Nobody comes back with it until the window for that closes.
    Reattachment,
}

impl Assumes {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Worker => "worker",
            Self::Stages => "stages",
            Self::Backoff => "backoff",
            Self::Reattachment => "reattachment",
        }
    }
}

impl fmt::Display for Assumes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => {
                "if what stands ahead takes as long as predicted, on all connected workers together"
            }
            Self::Worker => "if what runs and waits on that worker takes as long as predicted",
            Self::Stages => "if the stages before take as long as predicted",
            Self::Backoff => "if there is room when the delay after the failure is over",
            Self::Reattachment => "if no worker comes back with it before",
        })
    }
}

/// When something should start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// When.
    pub at: WallMs,
    /// If what.
    pub assumes: Assumes,
}
