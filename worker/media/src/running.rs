//! Pipelines at work: how elements come to them, how they are taken down, and that nobody waits at them for ever.
//!
//! Frames of one pipeline go into an `appsrc` of the next one and wait there for room. GStreamer lets go of who waits when
//! that `appsrc` is stopped, but of nobody where it was never started, nor where its own thread has met an error and ended.
//! Who waits is the other pipeline's thread, and that pipeline cannot be taken down then. So elements come to a pipeline at
//! work through its [`Site`] alone, which knows when it is closed; and after an error nothing waits for room any more.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::failure::{Failure, FailureCode};

use crate::fault::Side;
use crate::note::Notes;

/// A pipeline that is stopped when it goes out of scope, unless it stalled: stopping one whose thread is stuck would
/// wait for that thread for ever, and the process ends after its job anyway.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pipeline: gst::Pipeline,
    site: Site,
    abandoned: bool,
}

impl Running {
    pub(crate) fn new(pipeline: gst::Pipeline) -> Self {
        let site = Site { pipeline: pipeline.downgrade(), closed: Arc::default() };
        Self { pipeline, site, abandoned: false }
    }

    /// An empty pipeline whose errors become notes.
    pub(crate) fn heard(notes: &Notes, side: Side) -> Self {
        let pipeline = gst::Pipeline::new();
        notes.listen(&pipeline, side);
        Self::new(pipeline)
    }

    /// Where elements are added while it is at work.
    pub(crate) fn site(&self) -> Site {
        self.site.clone()
    }

    /// Starts the flow.
    pub(crate) fn play(&self) -> Result<(), Failure> {
        // A failure to start also puts its cause on the bus, which the waiting thread prefers.
        self.pipeline.set_state(gst::State::Playing).map(drop).map_err(|_| {
            Failure::new(FailureCode::PipelineFailed, "the pipeline does not start", "try again")
        })
    }

    /// Takes the pipeline down while it is at work. What its elements say of that is no failure, and nobody hears it.
    pub(crate) fn stop(self) {
        if let Some(bus) = self.pipeline.bus() {
            bus.set_sync_handler(|_, _| gst::BusSyncReply::Drop);
        }
    }

    /// Leaves the pipeline as it is, for good.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.abandoned {
            std::mem::forget(self.pipeline.clone());
        } else {
            self.site.close();
            let _ = self.pipeline.set_state(gst::State::Null);
        }
    }
}

/// The way to add elements to a pipeline at work, for its own threads and those of others.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    /// Held while elements are added, so that the pipeline is not taken down between two of them.
    closed: Arc<Mutex<bool>>,
}

/// Why elements were not added, or not all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The pipeline is being taken down, or has been.
    Closed,
    /// They cannot be linked to each other.
    Unlinked,
    /// One of them does not start.
    Unstarted,
}

impl Site {
    /// Adds a row of elements, the first of which may still have to be linked, and brings it to the pipeline's state.
    pub(crate) fn add(&self, row: &[gst::Element]) -> Result<(), Refused> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let pipeline = self.pipeline.upgrade().filter(|_| !*closed).ok_or(Refused::Closed)?;
        pipeline.add_many(row).expect("new elements can be added");
        gst::Element::link_many(row).map_err(|_| Refused::Unlinked)?;
        for element in row.iter().rev() {
            element.sync_state_with_parent().map_err(|_| Refused::Unstarted)?;
        }
        Ok(())
    }

    /// The same for who is of no interest any more once the pipeline is taken down: says then that nothing was added.
    pub(crate) fn add_unless_closed(&self, row: &[gst::Element]) -> Result<bool, Refused> {
        match self.add(row) {
            Err(Refused::Closed) => Ok(false),
            added => added.map(|()| true),
        }
    }

    /// Waits for who is adding elements; nobody does afterwards.
    fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Has nobody wait for room in this pipeline any more: what finds none is dropped. For pipelines that have failed; may be
/// called by any of their threads.
pub(crate) fn let_go(pipeline: &gst::Pipeline) {
    let mut elements = pipeline.iterate_elements();
    while let Ok(Some(element)) = elements.next() {
        if let Some(source) = element.downcast_ref::<app::AppSrc>() {
            source.set_leaky_type(app::AppLeakyType::Upstream);
            // Who waits looks again when a limit changes.
            source.set_max_buffers(if source.max_buffers() == 1 { 2 } else { 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    /// Far longer than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(60);
    const ROOM: u64 = 6;

    fn source() -> app::AppSrc {
        crate::start::init().unwrap();
        app::AppSrc::builder().format(gst::Format::Time).block(true).max_buffers(ROOM).max_bytes(0).build()
    }

    fn sink() -> gst::Element {
        let sink = crate::start::element("fakesink").unwrap();
        sink.set_property("sync", false);
        sink.set_property("async", false);
        sink
    }

    /// Pushes more than there is room for on a thread of its own, which says when it is done.
    fn push(source: &app::AppSrc) -> Receiver<()> {
        let (source, (says, done)) = (source.clone(), channel());
        std::thread::spawn(move || {
            for _ in 0..3 * ROOM {
                let _ = source.push_buffer(gst::Buffer::with_size(100).unwrap());
            }
            says.send(())
        });
        done
    }

    #[test]
    fn elements_are_added_to_a_pipeline_at_work_and_to_none_that_has_been_taken_down() {
        let source = source();
        let running = Running::new(gst::Pipeline::new());
        running.play().unwrap();
        let site = running.site();
        assert_eq!(site.add(&[source.clone().upcast(), sink()]), Ok(()));
        push(&source).recv_timeout(PATIENCE).expect("it flows");
        let pipeline = running.pipeline.clone();
        drop(running);
        push(&source).recv_timeout(PATIENCE).expect("nobody waits for room in what has been stopped");
        assert_eq!(site.add(&[sink()]), Err(Refused::Closed));
        assert_eq!(pipeline.iterate_elements().into_iter().count(), 2);
    }

    #[test]
    fn who_waits_for_room_is_let_go_when_the_pipeline_fails() {
        let source = source();
        let (notes, _waiting) = Notes::new();
        let running = Running::heard(&notes, Side::Output);
        running.play().unwrap();
        let failing = crate::start::element("identity").unwrap();
        failing.set_property("error-after", 2);
        running.site().add(&[source.clone().upcast(), failing, sink()]).unwrap();
        push(&source).recv_timeout(PATIENCE).expect("it is not left waiting");
    }

    #[test]
    fn what_cannot_be_linked_or_started_is_told_apart() {
        crate::start::init().unwrap();
        let running = Running::new(gst::Pipeline::new());
        running.play().unwrap();
        assert_eq!(running.site().add(&[sink(), sink()]), Err(Refused::Unlinked));
        let unstarted = crate::start::element("filesink").unwrap();
        unstarted.set_property("location", "/nowhere/at/all");
        assert_eq!(running.site().add(&[unstarted]), Err(Refused::Unstarted));
    }
}
