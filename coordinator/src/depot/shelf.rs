//! What both sides of the depot do with files: check tickets, open for reading, take in what is new.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rushes_net::flow::Written;
use rushes_net::ticket::TicketKey;
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, Epoch, TenantId};
use rushes_shared::ticket::Grant;
use rushes_shared::units::{Bytes, WallMs};
use rushes_shared::wire::STAGED_PAGE;
use rustix::fs::{AtFlags, CWD};

use super::areas::{Areas, KEPT};
use super::kept::{self, Kept};
use super::place::Place;
use super::refusal::{self, Deed};
use super::roots::{Input, Roots};
use super::{DepotConfig, DepotError};

/// The depot's files. Its methods block on the disk, but for the checks of tickets.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) areas: Areas,
    inputs: Roots,
    pub(super) outputs: Roots,
    key: TicketKey,
    min_free: Bytes,
    pub(super) max_upload: Bytes,
    pub(super) keep_uploads: Duration,
    pub(super) keep_outputs: Duration,
    pub(super) busy: Arc<Busy>,
    dropped: Mutex<Dropped>,
    kept: Kept,
}

/// Attempts that are remembered as dropped; one that was dropped before so many others has nothing under way any more.
const MOST_DROPPED: usize = 65_536;

/// Attempts of which nothing is wanted any more, the last ones.
#[derive(Debug, Default)]
struct Dropped {
    known: BTreeSet<AttemptId>,
    order: VecDeque<AttemptId>,
}

impl Dropped {
    fn note(&mut self, attempt: AttemptId) {
        if self.known.insert(attempt) {
            self.order.push_back(attempt);
            if self.order.len() > MOST_DROPPED
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

impl Shelf {
    pub(super) fn open(config: &DepotConfig, key: TicketKey) -> Result<Self, DepotError> {
        let areas = Areas::open(&config.state_dir)?;
        let path = areas.path.join(KEPT);
        let kept = Kept::open(path.clone(), Bytes(config.keep_results));
        Ok(Self {
            kept: kept.map_err(|source| DepotError::Area { path, source })?,
            areas,
            inputs: Roots::open(&config.input_roots, Deed::Read)?,
            outputs: Roots::open(&config.output_roots, Deed::Write)?,
            key,
            min_free: Bytes(config.min_free_bytes),
            max_upload: Bytes(config.max_upload_bytes),
            keep_uploads: config.keep_uploads,
            keep_outputs: config.keep_outputs,
            busy: Arc::default(),
            dropped: Mutex::default(),
        })
    }

    /// What a ticket permits.
    pub(super) fn granted(&self, ticket: &[u8]) -> Result<Grant, Failure> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.key.verify(ticket, WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Refuses a ticket that does not permit exactly `wanted`.
    pub(super) fn permit(&self, ticket: &[u8], wanted: &Grant) -> Result<(), Failure> {
        match (self.granted(ticket)?, wanted) {
            (granted, wanted) if granted == *wanted => return Ok(()),
            (Grant::Make { to, .. }, Grant::Write(wanted)) if to == *wanted => return Ok(()),
            (Grant::ReadStaged(attempts), Grant::Read(Location::Staged(by, _))) if attempts.contains(by) => {
                return Ok(());
            }
            (Grant::ReadWith { input, attempts }, Grant::Read(wanted)) => {
                let is_part = matches!(wanted, Location::Staged(by, _) if attempts.contains(by));
                if is_part || input == *wanted {
                    return Ok(());
                }
            }
            (Grant::ReadAny(places), Grant::Read(wanted)) if places.contains(wanted) => return Ok(()),
            _ => {}
        }
        Err(match wanted {
            Grant::Read(place) | Grant::Write(place) => refusal::other_ticket(place),
            Grant::Publish { to, .. } | Grant::Make { to, .. } => refusal::other_ticket(to),
            Grant::Drop(_)
            | Grant::ReadStaged(_)
            | Grant::ReadWith { .. }
            | Grant::ReadAny(_)
            | Grant::ListStaged => refusal::other_ticket(&"these attempts"),
        })
    }

    /// Opens what a worker reads; also its size. An image sequence is packed while it is read.
    pub(super) fn open_whole(&self, location: &Location) -> Result<(Input, u64), Failure> {
        let Location::File(path) = location.place() else {
            return self.open_read(location).map(|(file, size)| (Input::File(file), size));
        };
        let input = self.inputs.open_any(path)?;
        let size = match &input {
            Input::File(file) => file.metadata().map_err(|e| refusal::unreadable(location, &e))?.len(),
            Input::Sequence(pictures) => pictures.size(),
        };
        Ok((input, size))
    }

    /// Opens a file for reading; also its size.
    pub(super) fn open_read(&self, location: &Location) -> Result<(File, u64), Failure> {
        let unreadable = |e: io::Error| refusal::unreadable(location, &e);
        let location = location.place();
        let file = match location {
            Location::File(path) => self.inputs.open_input(path)?,
            _ => {
                let place = self.areas.find(location).map_err(unreadable)?;
                let place = place.ok_or_else(|| unreadable(io::ErrorKind::NotFound.into()))?;
                let file = place.open().map_err(unreadable)?;
                if matches!(location, Location::Upload(..)) {
                    // An upload that is used is kept; the sweep goes by this time. Best effort: it is used right now.
                    let _ = file.set_modified(SystemTime::now());
                }
                file
            }
        };
        let size = file.metadata().map_err(unreadable)?.len();
        Ok((file, size))
    }

    /// Whether an upload is there already.
    pub(super) fn has_upload(&self, tenant: &TenantId, hash: ContentHash) -> bool {
        self.open_read(&Location::Upload(tenant.clone(), hash)).is_ok()
    }

    /// Begins to take in a file of the depot's own areas.
    pub(super) fn begin(&self, location: &Location, size: Bytes) -> Result<(File, Incoming), Failure> {
        if !matches!(location, Location::Staged(..) | Location::Upload(..)) {
            return Err(refusal::misplaced(location));
        }
        self.check_space(location, size)?;
        let unwritable = |e: io::Error| refusal::unwritable(location, &e);
        let place = self.areas.temporary().map_err(unwritable)?;
        let file = place.create().map_err(unwritable)?;
        Ok((file, Incoming { place: Some(place) }))
    }

    /// Goes on with an upload, or begins it. Gives the file, how much of it is there, and the right to write it.
    pub(super) fn begin_upload(
        &self,
        tenant: &TenantId,
        hash: ContentHash,
    ) -> Result<Option<Upload>, Failure> {
        let location = Location::Upload(tenant.clone(), hash);
        let unwritable = |e: io::Error| refusal::unwritable(&location, &e);
        let Some(hold) = self.busy.try_hold(format!("{tenant}-{hash}")) else { return Ok(None) };
        let place = self.areas.partial(tenant, hash).map_err(unwritable)?;
        let file = match place.create() {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::OpenOptions::new().read(true).write(true).open(self.partial_path(tenant, hash))
            }
            made => made,
        };
        let file = file.map_err(unwritable)?;
        let kept = file.metadata().map_err(unwritable)?.len();
        Ok(Some(Upload { place, file, kept, hold }))
    }

    /// How much of an interrupted upload is there.
    pub(super) fn uploaded(&self, tenant: &TenantId, hash: ContentHash) -> u64 {
        std::fs::metadata(self.partial_path(tenant, hash)).map_or(0, |m| m.len())
    }

    fn partial_path(&self, tenant: &TenantId, hash: ContentHash) -> std::path::PathBuf {
        let name = format!("{tenant}-{hash}{}", super::areas::PARTIAL);
        self.areas.path.join(super::areas::INCOMING).join(name)
    }

    /// Gives what came in its name, if it is what was announced. When this returns it is synced.
    pub(super) fn commit(
        &self,
        location: &Location,
        hash: ContentHash,
        written: &Written,
        incoming: &mut Incoming,
    ) -> Result<(), Failure> {
        if written.hash != hash {
            return Err(refusal::wrong_hash(location));
        }
        written.file.sync_all().map_err(|e| refusal::unwritable(location, &e))?;
        let place = || -> io::Result<()> {
            let target = self.areas.make(location)?.ok_or(io::ErrorKind::InvalidInput)?;
            let from = incoming.place.as_ref().ok_or(io::ErrorKind::NotFound)?;
            from.rename_over(&target)?;
            target.sync_dir()
        };
        place().map_err(|e| refusal::unwritable(location, &e))?;
        incoming.place = None;
        self.still_wanted(location)
    }

    /// Refuses what would leave the disk with too little free space.
    pub(super) fn check_space(&self, location: &Location, size: Bytes) -> Result<(), Failure> {
        let needed = size.0.saturating_add(self.min_free.0);
        let free = || self.areas.free_space().map_err(|e| refusal::unwritable(location, &e));
        if free()?.0 >= needed {
            return Ok(());
        }
        // What is made now goes before what may be wanted once more.
        match (self.kept.clear(), free()?) {
            (true, free) if free.0 >= needed => Ok(()),
            (_, free) => Err(refusal::no_space(location, Some(free))),
        }
    }

    /// Stages what was kept of the work that the ticket names; `None` where nothing is.
    pub(super) fn take(
        &self,
        ticket: &[u8],
        to: &Location,
        maker: ContentHash,
    ) -> Result<Option<kept::Result>, Failure> {
        let Some((tenant, of)) = self.work_of(ticket, to)? else { return Ok(None) };
        let unwritable = |e: io::Error| refusal::unwritable(to, &e);
        let target = self.areas.make(to).map_err(unwritable)?.ok_or_else(|| refusal::misplaced(to))?;
        let link = |from: &Path| {
            target.remove()?;
            rustix::fs::linkat(CWD, from, &target.dir, &target.name, AtFlags::empty())?;
            target.sync_dir()
        };
        let taken = self.kept.take(&tenant, (of, maker), link).map_err(unwritable)?;
        self.still_wanted(to)?;
        Ok(taken)
    }

    /// Keeps a staged file for whoever does the work again that the ticket names.
    pub(super) fn keep(
        &self,
        ticket: &[u8],
        from: &Artifact,
        maker: ContentHash,
        note: Vec<u8>,
    ) -> Result<(), Failure> {
        let location = &from.location;
        let Some((tenant, of)) = self.work_of(ticket, location)? else { return Ok(()) };
        let unreadable = |e: io::Error| refusal::unreadable(location, &e);
        let place =
            self.areas.find(location).map_err(unreadable)?.ok_or_else(|| refusal::misplaced(location))?;
        let (Some(Bytes(size)), Some(hash)) = (from.size, from.hash) else { return Ok(()) };
        // Not what the worker says: its word would be good for other jobs.
        if place.hash(size).map_err(unreadable)? != Some(hash) {
            return Err(refusal::wrong_hash(location));
        }
        let link = |to: &Path| Ok(rustix::fs::linkat(&place.dir, &place.name, CWD, to, AtFlags::empty())?);
        let result = kept::Result { size: Bytes(size), hash, note };
        self.kept.keep(&tenant, (of, maker), &result, link).map_err(|e| refusal::unwritable(location, &e))
    }

    /// Whose work a ticket for this staged file names; `None` for work whose results are not kept.
    fn work_of(&self, ticket: &[u8], staged: &Location) -> Result<Option<(TenantId, ContentHash)>, Failure> {
        match self.granted(ticket)? {
            Grant::Make { to, tenant, of } if to == *staged => Ok(Some((tenant, of))),
            Grant::Write(to) if to == *staged => Ok(None),
            _ => Err(refusal::other_ticket(staged)),
        }
    }

    /// Refuses what was staged for an attempt that was dropped meanwhile. Looked up once the file is at its place: whoever
    /// drops the attempt notes that first, so that one of both removes it.
    fn still_wanted(&self, location: &Location) -> Result<(), Failure> {
        if let Location::Staged(attempt, _) = location
            && self.is_dropped(*attempt)
        {
            self.areas.drop_attempt(*attempt).map_err(|e| refusal::unwritable(location, &e))?;
            return Err(refusal::dropped(location));
        }
        Ok(())
    }

    fn is_dropped(&self, attempt: AttemptId) -> bool {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).known.contains(&attempt)
    }

    /// Attempts of reigns before `before`, behind `after`, that have staged something.
    pub(super) fn list_staged(
        &self,
        before: Epoch,
        after: Option<AttemptId>,
    ) -> Result<Vec<AttemptId>, Failure> {
        let unreadable = |e| refusal::unreadable(&"the staging area", &e);
        let mut attempts = self.areas.staged().map_err(unreadable)?;
        attempts.retain(|a| a.epoch < before && after.is_none_or(|after| *a > after));
        attempts.sort_unstable();
        attempts.truncate(STAGED_PAGE);
        Ok(attempts)
    }

    /// Removes everything that these attempts staged. What is still on its way from them is refused.
    pub(super) fn drop_attempts(&self, attempts: &[AttemptId]) -> Result<(), Failure> {
        {
            let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
            attempts.iter().for_each(|attempt| dropped.note(*attempt));
        }
        for attempt in attempts {
            let unwritable = |e| refusal::unwritable(&format!("the staging area of attempt {attempt}"), &e);
            self.areas.drop_attempt(*attempt).map_err(unwritable)?;
        }
        Ok(())
    }
}

/// A temporary file that is removed unless it was committed.
#[derive(Debug)]
pub(super) struct Incoming {
    place: Option<Place>,
}

impl Incoming {
    pub(super) fn at(place: Place) -> Self {
        Self { place: Some(place) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.place.as_ref().map(Place::remove) {
            tracing::warn!(%error, "a temporary file stays until the next start");
        }
    }
}

/// An upload that grows.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) place: Place,
    pub(super) file: File,
    /// Bytes that are there.
    pub(super) kept: u64,
    /// Keeps others from writing it too.
    pub(super) hold: Hold,
}

/// Names that somebody works on.
#[derive(Debug, Default)]
pub(super) struct Busy {
    names: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

impl Busy {
    fn try_hold(self: &Arc<Self>, name: String) -> Option<Hold> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.clone()).then(|| Hold { busy: Arc::clone(self), name })
    }

    /// Waits until nobody else works on it. Blocks.
    pub(super) fn hold(self: &Arc<Self>, name: String) -> Hold {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        while !names.insert(name.clone()) {
            names = self.freed.wait(names).unwrap_or_else(PoisonError::into_inner);
        }
        Hold { busy: Arc::clone(self), name }
    }
}

/// The sole right to work on a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    busy: Arc<Busy>,
    name: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.busy.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.busy.freed.notify_all();
    }
}
