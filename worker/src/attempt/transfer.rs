//! An attempt's bytes: its input to this node, its output from here.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rushes_net::flow;
use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::task::{Phase, Usage};
use rushes_shared::units::Bytes;
use tracing::debug;

use super::{Attempt, Stop};
use crate::metrics;

impl Attempt<'_> {
    /// Brings all that the task reads into a directory: the input, or what other attempts have staged for it, in its
    /// order.
    pub(super) async fn fetch_all(
        &self,
        dir: &Path,
        usage: &mut Usage,
    ) -> Result<Vec<(PathBuf, Artifact)>, Stop> {
        let work = &self.dispatch.order.work;
        let inputs: Vec<&Artifact> = work.input().into_iter().chain(work.parts()).collect();
        let mut fetched = Vec::with_capacity(inputs.len());
        for (number, input) in inputs.iter().enumerate() {
            let name = local_name(&input.location);
            let name = if inputs.len() == 1 { name } else { format!("{number}-{name}") };
            let local = dir.join(name);
            let artifact = self.fetch(input, &local, (number, inputs.len()), usage).await?;
            fetched.push((local, artifact));
        }
        Ok(fetched)
    }

    /// Brings the input to `local`, from the farm or from what was kept.
    async fn fetch(
        &self,
        input: &Artifact,
        local: &Path,
        (number, count): (usize, usize),
        usage: &mut Usage,
    ) -> Result<Artifact, Stop> {
        if self.shop.inputs.link(input, local) {
            debug!("the input was kept from an earlier task");
            metrics::input_kept();
            return Ok(input.clone());
        }
        let done = AtomicU64::new(0);
        let progress = |now: u64, all: u64| {
            done.store(now, Ordering::Relaxed);
            // Each of several counts alike.
            let before = (number as u64).saturating_mul(all);
            let total = (count as u64).saturating_mul(all);
            self.report(self.meter.transfer(Phase::Fetching, before.saturating_add(now), total));
        };
        if number == 0 {
            self.report(self.meter.transfer(Phase::Fetching, 0, 0));
        }
        let fetched = self.bring(input, local, &progress).await;
        let bytes = done.into_inner();
        usage.bytes_in += bytes;
        metrics::bytes_fetched(bytes);
        let fetched = fetched?;
        let differs = input.hash.is_some_and(|wanted| fetched.hash != Some(wanted))
            || input.size.is_some_and(|wanted| fetched.size != Some(wanted));
        if differs {
            return Err(Stop::Failed(Failure::new(
                FailureCode::InputDamaged,
                format!("{} is no longer the file that was probed", input.location),
                "do not change inputs while a job uses them; submit it again",
            )));
        }
        if let Location::Upload(_, wanted) = &input.location
            && fetched.hash != Some(*wanted)
        {
            return Err(Stop::Failed(Failure::new(
                FailureCode::InputDamaged,
                format!("{} came with other content than was uploaded", input.location),
                "look at the depot's disk; upload the file again",
            )));
        }
        let fetched = Artifact { attempt: input.attempt, ..fetched };
        // What another attempt has staged is read once.
        if !matches!(input.location, Location::Staged(..)) {
            self.shop.inputs.keep(&fetched, local);
        }
        Ok(fetched)
    }

    /// Transfers a file to `local`, where there is room for it.
    pub(super) async fn bring(
        &self,
        input: &Artifact,
        local: &Path,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Artifact, Stop> {
        let ticket = &self.dispatch.read_ticket;
        let most = self.shop.settings.transfer.input_limit();
        loop {
            let room = self.room(input.size.unwrap_or_default());
            let fetch = self.shop.depot.fetch(&input.location, ticket, local, most.min(room), progress);
            match self.guarded(fetch).await {
                Err(Stop::Failed(failure)) if failure.code == FailureCode::LimitReached && room < most => {
                    // How large it is was not known before: all that is kept for later goes, and then it is tried again.
                    if self.shop.inputs.remove_oldest() {
                        while self.shop.inputs.remove_oldest() {}
                        continue;
                    }
                    return Err(self.disk_full(&failure).into());
                }
                other => return other,
            }
        }
    }

    /// Stages the finished output.
    pub(super) async fn store(&self, output: &File, usage: &mut Usage) -> Result<Artifact, Stop> {
        let order = &self.dispatch.order;
        let Some(name) = order.work.output() else {
            let message = "the order names no output but asks for one";
            return Err(Failure::new(FailureCode::NodeUnfit, message, "update this worker").into());
        };
        let place = Location::Staged(order.attempt, name.clone());
        let done = AtomicU64::new(0);
        let progress = |now: u64, all: u64| {
            done.store(now, Ordering::Relaxed);
            self.report(self.meter.transfer(Phase::Storing, now, all));
        };
        self.report(self.meter.transfer(Phase::Storing, 0, 0));
        let store = self.shop.depot.store(output, &place, &self.dispatch.write_ticket, &progress);
        let stored = self.guarded(store).await;
        usage.bytes_out = done.into_inner();
        metrics::bytes_stored(usage.bytes_out);
        Ok(Artifact { attempt: Some(order.attempt), ..stored? })
    }

    fn free_space(&self) -> Bytes {
        let free = rustix::fs::statvfs(&self.shop.scratch).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        Bytes(free.unwrap_or(u64::MAX))
    }

    /// What may be fetched to this node's disk, after the oldest of what is kept there has made room for `wanted`.
    fn room(&self, wanted: Bytes) -> Bytes {
        let reserve = self.shop.settings.transfer.reserve();
        let needed = Bytes(reserve.0.saturating_add(wanted.0));
        self.shop.inputs.make_room(needed, || self.free_space());
        Bytes(self.free_space().0.saturating_sub(reserve.0))
    }

    fn disk_full(&self, refused: &Failure) -> Failure {
        let (free, reserve) = (self.free_space(), self.shop.settings.transfer.reserve());
        let message = format!(
            "the worker's disk with {} is too full, it has {free} free and {reserve} stay free: {}",
            self.shop.scratch.display(),
            refused.message
        );
        let advice = "make room on that disk, or lower transfer.reserve_mib in worker.toml";
        Failure::new(FailureCode::NodeUnfit, message, advice)
    }
}

/// Opens what the task process, which is gone now, has left as its output.
pub(super) fn open_output(output: &Path) -> Result<File, Failure> {
    flow::open_regular(output).map_err(|error| match error.kind() {
        // A task process makes a file there. Somebody else does in its place what makes no file.
        ErrorKind::InvalidInput => Failure::new(
            FailureCode::CheckFailed,
            format!("the task process left no output that can be stored: {error}"),
            "nothing was stored; the input may have taken the decoder over: please report it",
        )
        .with_class(FailureClass::Permanent),
        _ => Failure::new(
            FailureCode::NodeUnfit,
            format!("the finished output cannot be opened: {error}"),
            "look at the worker's disk; the task is tried elsewhere",
        ),
    })
}

/// A harmless file name that keeps the extension, as some formats are told apart by it.
pub(super) fn local_name(location: &Location) -> String {
    let name = location.file_name();
    let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    match extension.filter(|e| (1..=8).contains(&e.len()) && e.bytes().all(|b| b.is_ascii_alphanumeric())) {
        Some(extension) => format!("input.{extension}"),
        None => "input".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_no_file_fails_and_is_not_read() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let output = dir.path().join("output.mp4");
        assert_eq!(open_output(&output).expect_err("missing").code, FailureCode::NodeUnfit);
        std::os::unix::fs::symlink("/etc/passwd", &output).expect("linked");
        let failure = open_output(&output).expect_err("a link");
        assert_eq!((failure.code, failure.class), (FailureCode::CheckFailed, FailureClass::Permanent));
        assert!(failure.message.contains("symbolic link"), "{failure}");
        std::fs::remove_file(&output).expect("it is there");
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &output, fifo, mode, 0).expect("made");
        let failure = open_output(&output).expect_err("a FIFO");
        assert!(failure.message.contains("FIFO"), "{failure}");
    }

    #[test]
    fn an_input_has_a_harmless_name_here() {
        let name = |path: &str| local_name(&Location::File(path.to_owned()));
        assert_eq!(name("/a/Film.MOV"), "input.mov");
        assert_eq!(name("/a/no extension"), "input");
        assert_eq!(name("/a/x.\u{202e}gpj"), "input");
    }
}
