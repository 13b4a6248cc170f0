//! From the store's bytes to the engine's state: the same fold for a start and for a snapshot.

use rushes_core::record::{self, Record};
use rushes_core::state::{Misfit, State};
use rushes_shared::frame::FrameError;
use rushes_shared::id::Seq;

/// Bytes in the journal that are no record, or a record that does not fit.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Not a record of any version that this program knows.
    #[error(
        "the journal's record {at} cannot be read ({source}); it was written by a newer version, or is damaged: use that version, or restore a backup"
    )]
    Unreadable {
        /// Its place.
        at: u64,
        /// What was wrong.
        source: FrameError,
    },
    /// A record that contradicts those before it.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The state cannot be written as records.
    #[error("the state cannot be written into a snapshot: {0}")]
    Unwritable(FrameError),
}

/// Folds records into a state. Jobs that end on the way are in the archive already.
#[derive(Debug, Default)]
pub struct Replay {
    state: State,
    /// Records folded.
    pub records: u64,
}

impl Replay {
    /// Folds one more record: one of a snapshot, or the journal's with this sequence number.
    ///
    /// # Errors
    /// [`ReplayError`] where it is none or does not fit.
    pub fn push(&mut self, journal_seq: Option<Seq>, bytes: &[u8]) -> Result<(), ReplayError> {
        let at = journal_seq.map_or(self.records, |s| s.0);
        let record: Record =
            record::from_bytes(bytes).map_err(|source| ReplayError::Unreadable { at, source })?;
        if let Some(seq) = journal_seq {
            self.state.seq = Seq(seq.0.saturating_sub(1));
        }
        self.state.apply(&record)?;
        self.records += 1;
        Ok(())
    }

    /// The state, as of the journal's record `tail`.
    #[must_use]
    pub fn finish(mut self, tail: Seq) -> State {
        self.state.seq = tail;
        self.state
    }

    /// The state as the few records that rebuild it, for a snapshot. Jobs are let go of one by one as their records are
    /// made.
    ///
    /// # Errors
    /// [`ReplayError::Unwritable`] for a job past the record's size limit.
    pub fn into_compact(self) -> impl Iterator<Item = Result<Vec<u8>, ReplayError>> {
        self.state.into_compact().map(|record| {
            let slim = |error| match &record {
                Record::JobCarried(job) => {
                    record::to_bytes(&Record::JobCarried(Box::new(job.without_details())))
                }
                _ => Err(error),
            };
            record::to_bytes(&record).or_else(slim).map_err(ReplayError::Unwritable)
        })
    }
}
