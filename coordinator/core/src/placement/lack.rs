//! Why no node can do a task, or none may: what is missing, and what to do about it.

use std::fmt;

use rushes_shared::wire::WireVersion;

use super::fleet::Fleet;
use super::node::Node;
use crate::health::Health;
use crate::order::signature::Signature;

/// What no known node has that a task needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// No worker is known at all.
    NoWorker,
    /// No worker serves this pool; empty for the common one.
    Pool(String),
    /// No worker of the pool carries these tags together.
    Tags {
        /// The tags.
        tags: Vec<String>,
        /// The pool; empty for the common one.
        pool: String,
    },
    /// No worker that has the rest can encode this.
    Encoder(&'static str),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWorker => f.write_str("no worker is there; start one with 'rushes-worker'"),
            Self::Pool(pool) if pool.is_empty() => f.write_str(
                "every worker serves a pool, and the job names none; give it the pool of one of them",
            ),
            Self::Pool(pool) => {
                write!(
                    f,
                    "no worker serves the pool '{pool}'; start one with the tag 'pool:{pool}', or submit without it"
                )
            }
            Self::Tags { tags, pool } => {
                let tags = tags.join("', '");
                let of = if pool.is_empty() { String::new() } else { format!(" of the pool '{pool}'") };
                write!(f, "no worker{of} has the tags '{tags}'; 'rushes worker list' shows what they have")
            }
            Self::Encoder(codec) => {
                write!(
                    f,
                    "no worker that has the tags has a working encoder for {codec}; 'rushes worker list' shows what they encode"
                )
            }
        }
    }
}

/// Why nodes that could do a task get no new ones: how many of them for each reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shut {
    /// An operator drains them.
    pub drained: u32,
    /// They are in quarantine, or have to show themselves after it.
    pub quarantined: u32,
    /// They are not connected, or leave.
    pub away: u32,
}

impl Shut {
    fn count(&mut self, node: &Node) {
        let count = if node.draining {
            &mut self.drained
        } else if node.link.is_none() || node.leaving || node.lapsed {
            &mut self.away
        } else {
            &mut self.quarantined
        };
        *count += 1;
    }
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: u32, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let each = [
            of(self.drained, "drained ('rushes worker resume NAME' ends that)"),
            of(self.quarantined, "in quarantine"),
            of(self.away, "not connected"),
        ];
        let each: Vec<String> = each.into_iter().flatten().collect();
        write!(f, "the workers that could run them get no new tasks: {}", each.join(", "))
    }
}

impl Fleet {
    /// What is missing where no known node can do a task of this signature; `None` where one can but for its version.
    #[must_use]
    pub fn lack(&self, signature: &Signature) -> Option<Lack> {
        let needs = &signature.needs;
        if self.is_empty() {
            return Some(Lack::NoWorker);
        }
        let plain = Signature { since: WireVersion::OLDEST, codec: "", ..signature.clone() };
        if !self.values().any(|node| node.pool() == needs.pool) {
            return Some(Lack::Pool(needs.pool.clone()));
        }
        if !self.values().any(|node| node.can_do(&plain)) {
            return Some(Lack::Tags { tags: needs.tags.clone(), pool: needs.pool.clone() });
        }
        let able = Signature { since: WireVersion::OLDEST, ..signature.clone() };
        (!self.values().any(|node| node.can_do(&able))).then_some(Lack::Encoder(signature.codec))
    }

    /// Whether there are nodes that have what the signature asks for, and none of them gets new tasks now: why.
    #[must_use]
    pub fn shut(&self, signature: &Signature) -> Option<Shut> {
        let mut shut = None;
        for node in self.values().filter(|node| node.can_do(signature)) {
            // One that is tried after its quarantine is busy with that.
            if node.is_open() || (node.health == Health::Probed && !node.draining && node.link.is_some()) {
                return None;
            }
            shut.get_or_insert_with(Shut::default).count(node);
        }
        shut
    }
}
