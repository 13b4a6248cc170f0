//! What a task does.

use serde::{Deserialize, Serialize};

use super::{StreamWork, TaskKind};
use crate::artifact::{Artifact, FileName};
use crate::encode::EncodeSettings;
use crate::media::MediaFacts;
use crate::wire::WireVersion;

/// The work itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TaskWork {
    /// Nothing but hold its slot for a while; answered by the worker itself.
    Noop {
        /// How long, in milliseconds.
        hold_ms: u32,
        /// CPU time that it is said to have used, in milliseconds.
        cpu_ms: u32,
    },
    /// Read the input's facts.
    Probe {
        /// What to read.
        input: Artifact,
    },
    /// Encode the input to one file and check it.
    Encode {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// How to encode.
        settings: EncodeSettings,
        /// The output's name; it is staged under the attempt.
        output: FileName,
    },
    /// The same with a hardware encoder of the node. Only to workers that have said that they take such orders.
    EncodeWith {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// How to encode.
        settings: EncodeSettings,
        /// The output's name; it is staged under the attempt.
        output: FileName,
        /// The encoder's element, one of those that the node has proven.
        element: String,
    },
    /// Put up the walls of a task process and do nothing within them.
    Trial,
    /// A step of a streaming set. Only to workers that have said that they take such orders.
    Stream {
        /// Which, with what it works on.
        work: Box<StreamWork>,
        /// The output's name; it is staged under the attempt.
        output: FileName,
    },
}

impl TaskWork {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::Noop { .. } => TaskKind::Noop,
            Self::Probe { .. } => TaskKind::Probe,
            Self::Encode { .. } | Self::EncodeWith { .. } => TaskKind::Encode,
            Self::Trial => TaskKind::Trial,
            Self::Stream { work, .. } => work.step().kind(),
        }
    }

    /// What it reads of what a user brought.
    #[must_use]
    pub fn input(&self) -> Option<&Artifact> {
        match self {
            Self::Noop { .. } | Self::Trial => None,
            Self::Probe { input } | Self::Encode { input, .. } | Self::EncodeWith { input, .. } => {
                Some(input)
            }
            Self::Stream { work, .. } => work.input(),
        }
    }

    /// What it reads of what other attempts have staged.
    pub fn parts(&self) -> impl Iterator<Item = &Artifact> + '_ {
        let work = if let Self::Stream { work, .. } = self { Some(work) } else { None };
        work.into_iter().flat_map(|work| work.parts())
    }

    /// The file that it leaves in staging.
    #[must_use]
    pub fn output(&self) -> Option<&FileName> {
        match self {
            Self::Noop { .. } | Self::Probe { .. } | Self::Trial => None,
            Self::Encode { output, .. } | Self::EncodeWith { output, .. } | Self::Stream { output, .. } => {
                Some(output)
            }
        }
    }

    /// The first version of the worker protocol in which a worker understands it.
    #[must_use]
    pub fn since(&self) -> WireVersion {
        let input = self.input().map(|input| &input.location);
        WireVersion::needed_for(self.kind(), self.settings()).max(WireVersion::needed_for_input(input))
    }

    /// The hardware encoder that it is to be done with.
    #[must_use]
    pub fn hardware(&self) -> Option<&str> {
        match self {
            Self::EncodeWith { element, .. } => Some(element),
            Self::Noop { .. }
            | Self::Probe { .. }
            | Self::Encode { .. }
            | Self::Trial
            | Self::Stream { .. } => None,
        }
    }

    /// How it encodes, if it does.
    #[must_use]
    pub fn settings(&self) -> Option<&EncodeSettings> {
        match self {
            Self::Encode { settings, .. } | Self::EncodeWith { settings, .. } => Some(settings),
            Self::Noop { .. } | Self::Probe { .. } | Self::Trial | Self::Stream { .. } => None,
        }
    }

    /// The same work with this encoder of the node. What encodes nothing stays as it is.
    #[must_use]
    pub fn with_encoder(self, element: String) -> Self {
        match self {
            Self::Encode { input, source, settings, output } => {
                Self::EncodeWith { input, source, settings, output, element }
            }
            other => other,
        }
    }
}
