//! Owners: they submit, ask again with the same key when a crash took the answer, and sometimes change their mind.

use rushes_core::event::{Event, Reply, ReplyTo};
use rushes_core::record::IdempotencyKey;
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;

use super::{Happening, Step, World};
use crate::agenda::At;
use crate::laws::broken;
use crate::spec;
use crate::upload::{Fate, job_id, number};

/// Marks the replies to cancels.
const CANCEL: u64 = 1 << 63;
/// How long an owner waits before it asks again while nobody answers.
const ASK_AGAIN: At = At(2_000_000_000);

impl World<'_> {
    pub(super) fn next_arrival(&mut self) {
        match self.moments.next() {
            Some(at) => self.agenda.enter(at.max(At::from_ms(100)), Happening::Arrive),
            None => self.arriving = false,
        }
    }

    pub(super) fn arrive(&mut self) -> Step {
        let at = self.agenda.now();
        for upload in self.owners.arrive(self.scenario, at) {
            self.open += 1;
            self.ledger.arrived(upload.class);
            self.uploads.push(upload);
            self.submit(u32::try_from(self.uploads.len() - 1).expect("uploads are fewer than 2^32"))?;
        }
        self.next_arrival();
        Ok(())
    }

    pub(super) fn submit(&mut self, index: u32) -> Step {
        let wall = self.clock().wall.0;
        let upload = &mut self.uploads[index as usize];
        if upload.fate != Fate::Asked {
            return Ok(());
        }
        self.asked.insert(index);
        if self.engine.is_none() {
            self.agenda.enter(self.agenda.now().plus(ASK_AGAIN), Happening::Submit(index));
            return Ok(());
        }
        upload.tries += 1;
        let content = &self.scenario.content[upload.content];
        let tenant = &self.scenario.tenant[upload.tenant].name;
        let key = format!("{index}");
        let event = Event::JobSubmitted {
            reply: ReplyTo(u64::from(index)),
            job: job_id(wall, index, upload.tries),
            tenant: tenant.clone(),
            submitter: "owner".into(),
            spec: Box::new(spec::job(upload, content, super::WALL_ZERO)),
            key: Some(IdempotencyKey { key, fingerprint: [0; 32] }),
            space_left: true,
        };
        self.tell(event)
    }

    /// The coordinator has died: whoever waits for an answer asks again.
    pub(super) fn owners_ask_again(&mut self) {
        let at = self.agenda.now().plus(ASK_AGAIN);
        for index in &self.asked {
            self.agenda.enter(at, Happening::Submit(*index));
        }
    }

    pub(super) fn cancel(&mut self, index: u32) -> Step {
        let upload = &mut self.uploads[index as usize];
        if upload.fate != Fate::Accepted || self.engine.is_none() {
            return Ok(());
        }
        upload.is_canceled = true;
        let job = upload.job;
        self.tell(Event::CancelAsked { reply: ReplyTo(CANCEL | u64::from(index)), job })
    }

    pub(super) fn answered(&mut self, to: ReplyTo, reply: &Reply) -> Step {
        if to.0 & CANCEL != 0 {
            return Ok(());
        }
        let Ok(index) = u32::try_from(to.0) else { return Ok(()) };
        let Some(upload) = self.uploads.get_mut(index as usize) else { return Ok(()) };
        match reply {
            Reply::Accepted { job, forecast, .. } => {
                if !self.disk.has(*job) {
                    return Err(broken!(AcceptedIsDurable, "{job} was answered before it was on the disk"));
                }
                if upload.fate == Fate::Asked {
                    upload.fate = Fate::Accepted;
                    upload.job = *job;
                    self.asked.remove(&index);
                    self.accepted.insert(index);
                    // Without a worker nothing is foretold: the owner hopes.
                    upload.is_promised = upload.deadline.is_some() && forecast.can_keep != Some(false);
                    self.ledger.accepted(upload.class, upload.is_promised);
                    if let Some(at) = upload.canceled_at {
                        self.agenda.enter(at, Happening::Cancel(index));
                    }
                }
            }
            Reply::Refused(_) => {
                upload.fate = Fate::Refused;
                self.asked.remove(&index);
                self.open -= 1;
                self.ledger.refused(upload.class);
            }
            _ => {}
        }
        Ok(())
    }

    /// A job's end is on the disk.
    pub(super) fn job_ended(&mut self, job: JobId, state: JobState) -> Step {
        let index = number(job);
        let until = self.disturbed_until();
        let upload = &mut self.uploads[index as usize];
        match upload.fate {
            Fate::Ended(..) | Fate::Refused => {
                return Err(broken!(EndsOnce, "upload {index} had another fate than {job}"));
            }
            Fate::Asked => {
                // A crash took the answer; the owner learns both at once.
                self.asked.remove(&index);
                upload.is_promised = upload.deadline.is_some();
                self.ledger.accepted(upload.class, upload.is_promised);
            }
            Fate::Accepted => {}
        }
        if state == JobState::Canceled && !upload.is_canceled {
            return Err(broken!(CanceledIsAsked, "{job} was canceled and its owner never asked for it"));
        }
        upload.fate = Fate::Ended(state, self.agenda.now());
        self.accepted.remove(&index);
        self.open -= 1;
        let now = self.agenda.now();
        self.ledger.ended(upload, state, now, now < until);
        Ok(())
    }
}
