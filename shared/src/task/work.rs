//! What a task does.

use serde::{Deserialize, Serialize};

use super::{StreamWork, TaskKind};
use crate::artifact::{Artifact, FileName};
use crate::encode::EncodeSettings;
use crate::ladder::Rung;
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
    /// Join an output that was encoded in pieces. Only to workers that have said that they take such orders.
    Join(Box<JoinWork>),
    /// Read the facts of several files, each on its own. Only to workers that have said that they take such orders.
    Probes {
        /// What to read.
        inputs: Vec<Artifact>,
        /// The name of the file with what was found; it is staged under the attempt.
        output: FileName,
    },
}

/// An output that was encoded in pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinWork {
    /// The film, whose sound is encoded.
    pub input: Artifact,
    /// What the probe found.
    pub source: MediaFacts,
    /// How the output is encoded.
    pub settings: EncodeSettings,
    /// The picture that the pieces have.
    pub rung: Rung,
    /// How many frames they have.
    pub frames: u64,
    /// The staged pieces, each a bundle with one file, in the film's order.
    pub pieces: Vec<Artifact>,
    /// What their encodes took, one after the other, in milliseconds.
    pub pieces_ms: u64,
    /// The output's name; it is staged under the attempt.
    pub output: FileName,
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
            Self::Join(_) => TaskKind::Join,
            Self::Probes { .. } => TaskKind::Probes,
        }
    }

    /// The one file that it reads of what a user brought.
    #[must_use]
    pub fn input(&self) -> Option<&Artifact> {
        match self {
            Self::Noop { .. } | Self::Trial | Self::Probes { .. } => None,
            Self::Probe { input } | Self::Encode { input, .. } | Self::EncodeWith { input, .. } => {
                Some(input)
            }
            Self::Stream { work, .. } => work.input(),
            Self::Join(work) => Some(&work.input),
        }
    }

    /// The files that it probes, where those are several.
    #[must_use]
    pub fn files(&self) -> &[Artifact] {
        if let Self::Probes { inputs, .. } = self { inputs } else { &[] }
    }

    /// What it reads of what other attempts have staged.
    pub fn parts(&self) -> impl Iterator<Item = &Artifact> + '_ {
        let set = if let Self::Stream { work, .. } = self { Some(work) } else { None };
        let pieces = if let Self::Join(work) = self { &work.pieces[..] } else { &[] };
        set.into_iter().flat_map(|work| work.parts()).chain(pieces)
    }

    /// The file that it leaves in staging.
    #[must_use]
    pub fn output(&self) -> Option<&FileName> {
        match self {
            Self::Noop { .. } | Self::Probe { .. } | Self::Trial => None,
            Self::Stream { work, .. } if !work.step().kind().leaves_file() => None,
            Self::Encode { output, .. } | Self::EncodeWith { output, .. } | Self::Stream { output, .. } => {
                Some(output)
            }
            Self::Probes { output, .. } => Some(output),
            Self::Join(work) => Some(&work.output),
        }
    }

    /// The first version of the worker protocol in which a worker understands it.
    #[must_use]
    pub fn since(&self) -> WireVersion {
        let input = self.input().into_iter().chain(self.files()).map(|input| &input.location);
        let of_work = match self {
            Self::Stream { work, .. } => work.since(),
            _ => WireVersion::needed_for(self.kind(), self.settings()),
        };
        input.map(|input| WireVersion::needed_for_input(Some(input))).fold(of_work, Ord::max)
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
            | Self::Stream { .. }
            | Self::Probes { .. }
            | Self::Join(_) => None,
        }
    }

    /// How it encodes, if it does.
    #[must_use]
    pub fn settings(&self) -> Option<&EncodeSettings> {
        match self {
            Self::Encode { settings, .. } | Self::EncodeWith { settings, .. } => Some(settings),
            Self::Join(work) => Some(&work.settings),
            Self::Noop { .. }
            | Self::Probe { .. }
            | Self::Trial
            | Self::Stream { .. }
            | Self::Probes { .. } => None,
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
