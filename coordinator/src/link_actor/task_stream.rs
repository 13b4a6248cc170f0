//! One task's stream: orders one way, what becomes of the attempt the other way.

use std::pin::pin;
use std::sync::Arc;

use actix::prelude::*;
use futures_util::future::{Either, select};
use quinn::Connection;
use rushes_core::event::Event;
use rushes_net::{NetError, framed};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::task::TaskOutcome;
use rushes_shared::wire::{TaskBound, TaskReply};
use tokio::sync::mpsc;

use super::{FarmFacts, OPEN_TIMEOUT};
use crate::engine_actor::{EngineActor, Happened, tell};

/// A word for one task's stream.
#[derive(Debug)]
pub(super) enum TaskWord {
    Cancel,
    Collect,
    Recall,
}

/// One task's stream.
pub(super) struct TaskStream {
    pub(super) worker: WorkerId,
    pub(super) task: TaskId,
    pub(super) attempt: AttemptId,
    pub(super) engine: Addr<EngineActor>,
    pub(super) connection: Connection,
    pub(super) farm: Arc<FarmFacts>,
}

impl TaskStream {
    /// Sends the first word and then what comes, and reads replies into the engine, until both sides have ended it.
    pub(super) async fn run(
        self,
        first: TaskBound,
        mut words: mpsc::Receiver<TaskWord>,
    ) -> Result<(), NetError> {
        let opened = tokio::time::timeout(OPEN_TIMEOUT, self.connection.open_bi()).await;
        let Ok(opened) = opened else {
            self.refused(Failure::new(
                FailureCode::NodeUnfit,
                "the worker accepted no further task stream within 10 s",
                "lower the worker's slots",
            ))
            .await;
            return Ok(());
        };
        let (mut send, mut recv) = opened?;
        framed::send(&mut send, &first).await?;
        let writer = async {
            while let Some(word) = words.recv().await {
                let done = matches!(word, TaskWord::Collect);
                let word = match word {
                    TaskWord::Cancel => TaskBound::Cancel,
                    TaskWord::Collect => TaskBound::Collected,
                    TaskWord::Recall => TaskBound::Recall,
                };
                framed::send(&mut send, &word).await?;
                if done {
                    drop(send.finish());
                    return Ok(());
                }
            }
            Ok::<(), NetError>(())
        };
        let reader = async {
            let (mut is_told, mut is_over) = (false, false);
            while let Some(reply) = framed::recv::<TaskReply>(&mut recv).await? {
                is_told |=
                    matches!(reply, TaskReply::Outcome(_) | TaskReply::Refused(_) | TaskReply::Recalled);
                is_over |= matches!(reply, TaskReply::Refused(_) | TaskReply::Recalled);
                self.take_in(reply).await;
            }
            // An attempt that is heard of no more must not look as if it still ran.
            if is_told { Ok(is_over) } else { Err(NetError::Truncated) }
        };
        // The writer ends with `Collected`; the reader ends when the worker closes its side after that, or after it has
        // given the attempt back, of which nothing is collected.
        match select(pin!(writer), pin!(reader)).await {
            Either::Left((written, reader)) => {
                written?;
                reader.await.map(drop)
            }
            Either::Right((read, writer)) => {
                if read? {
                    Ok(())
                } else {
                    writer.await
                }
            }
        }
    }

    async fn take_in(&self, reply: TaskReply) {
        let (worker, task, attempt) = (self.worker, self.task, self.attempt);
        let event = match reply {
            TaskReply::Started => Event::TaskStarted { worker, task, attempt },
            TaskReply::Progress(progress) => Event::TaskProgressed { worker, task, attempt, progress },
            TaskReply::Recalled => Event::TaskRecalled { worker, task, attempt },
            TaskReply::Log(text) => {
                for line in text.lines().take(100) {
                    tracing::debug!(target: "rushes::task_log", job = %task.job, %task, %attempt, %worker, "{line}");
                }
                let at = self.farm.clock.now().wall;
                return self.farm.logs.keep(task, attempt, at, text);
            }
            TaskReply::Outcome(mut outcome) => {
                if let TaskOutcome::Failed { failure, .. } = &mut outcome {
                    failure.clip();
                }
                Event::TaskEnded { worker, task, attempt, outcome: Box::new(outcome) }
            }
            TaskReply::Refused(mut failure) => {
                failure.clip();
                return self.refused(failure).await;
            }
        };
        tell(&self.engine, Happened(event)).await;
    }

    async fn refused(&self, failure: Failure) {
        let event =
            Event::TaskRefused { worker: self.worker, task: self.task, attempt: self.attempt, failure };
        tell(&self.engine, Happened(event)).await;
    }
}
