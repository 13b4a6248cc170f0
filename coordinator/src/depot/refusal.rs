//! What the depot says when it cannot do something: the code, what happened, and what to do.

use std::fmt::Display;
use std::io;

use rushes_shared::artifact::Location;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::sequence::BadSequence;
use rushes_shared::units::Bytes;
use rustix::io::Errno;

/// Whether something is read or written; the words differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Read,
    Write,
}

pub(super) fn outside_roots(path: &dyn Display, deed: Deed) -> Failure {
    let (what, setting) = match deed {
        Deed::Read => ("whose files may be read", "depot.input_roots"),
        Deed::Write => ("into which files may be written", "depot.output_roots"),
    };
    Failure::new(
        FailureCode::OutsideRoots,
        format!("{path} is outside the directories {what}"),
        format!(
            "add its directory to {setting} in coordinator.toml and restart the depot, or upload and download files"
        ),
    )
}

/// What a failing system call on an input means.
pub(super) fn unreadable(place: &dyn Display, error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR) => Failure::new(
            FailureCode::InputNotFound,
            format!("{place} does not exist"),
            "check the path; it is looked up on the depot's host",
        ),
        Some(Errno::ACCESS | Errno::PERM) => Failure::new(
            FailureCode::InputForbidden,
            format!("{place} may not be read by the depot"),
            "give the depot's user read permission on the file and search permission on its directories",
        ),
        Some(Errno::LOOP | Errno::XDEV) => outside_roots(place, Deed::Read),
        Some(Errno::NAMETOOLONG | Errno::INVAL) => Failure::new(
            FailureCode::InputNotFound,
            format!("{place} cannot be a file's path: {error}"),
            "check the path; it is looked up on the depot's host",
        ),
        _ => Failure::new(
            FailureCode::TransferFailed,
            format!("{place} could not be read: {error}"),
            "look at the disk of the depot's host",
        ),
    }
}

pub(super) fn changed(location: &Location) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("{location} changed while it was read"),
        "submit it once it is written completely",
    )
}

pub(super) fn too_many_parts() -> Failure {
    Failure::new(
        FailureCode::LimitReached,
        "more parts of files were asked for than are sent at once",
        "compare the versions of depot and worker",
    )
    .with_class(FailureClass::NodeFault)
}

pub(super) fn not_a_file(place: &dyn Display, kind: &str) -> Failure {
    let advice =
        if kind == "a directory" { "name the files in it one by one" } else { "name a regular file" };
    Failure::new(FailureCode::InputNotAFile, format!("{place} is {kind}, not a file"), advice)
}

/// Files that are no image sequence.
pub(super) fn no_sequence(place: &dyn Display, bad: &BadSequence) -> Failure {
    let code = match bad {
        BadSequence::Empty => FailureCode::InputNotFound,
        _ => FailureCode::InputDamaged,
    };
    let advice = "check the path, how many digits the numbers have, and that no picture is missing; it is looked up on the depot's host";
    Failure::new(code, format!("{place}: {bad}"), advice)
}

/// What a failing system call on an output's place means.
pub(super) fn unwritable(place: &dyn Display, error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => no_space(place, None),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Failure::new(
            FailureCode::OutputForbidden,
            format!("{place} may not be written by the depot: {error}"),
            "give the depot's user write permission on the directory, or choose another destination",
        ),
        Some(Errno::LOOP | Errno::XDEV) => outside_roots(place, Deed::Write),
        Some(Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL | Errno::ISDIR) => Failure::new(
            FailureCode::OutputForbidden,
            format!("{place} cannot be a file's place: {error}"),
            "choose another destination",
        ),
        _ => Failure::new(
            FailureCode::TransferFailed,
            format!("{place} could not be written: {error}"),
            "look at the disk of the depot's host",
        ),
    }
}

/// The disk is full, or would be.
pub(super) fn no_space(place: &dyn Display, free: Option<Bytes>) -> Failure {
    let message = match free {
        Some(free) => format!("{place} does not fit: the depot's disk has only {free} free"),
        None => format!("{place} does not fit: its disk is full"),
    };
    Failure::new(
        FailureCode::TransferFailed,
        message,
        "make room on that disk of the depot's host; it goes on by itself then",
    )
}

/// A file that does not fit where it is to go.
pub(super) fn no_room(place: &dyn Display, size: Bytes, free: Bytes) -> Failure {
    let missing = Bytes(size.0.saturating_sub(free.0));
    Failure::new(
        FailureCode::TransferFailed,
        format!(
            "{place} does not fit: it has {size}, and of its disk {free} are free, so that {missing} ({} bytes) are missing",
            missing.0
        ),
        "make room on that disk of the depot's host; it goes on by itself then",
    )
}

pub(super) fn exists(place: &dyn Display) -> Failure {
    Failure::new(
        FailureCode::OutputExists,
        format!("{place} already holds a different file"),
        "move that file away or choose another destination; the farm never replaces a file",
    )
}

/// A ticket that is good, but for something else.
pub(super) fn other_ticket(place: &dyn Display) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("the ticket does not permit this with {place}"),
        "use each ticket for the file and the deed that it was issued for",
    )
    .with_class(FailureClass::Permanent)
}

pub(super) fn wrong_hash(place: &Location) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("what arrived for {place} is not what was announced: its hash differs"),
        "announce the BLAKE3 hash of the file (b3sum) and send it again; if it was that, look for bad memory or a file that changes while it is sent",
    )
}

/// What comes from an attempt that is over.
pub(super) fn dropped(place: &Location) -> Failure {
    let message = format!("{place} is not taken: its attempt was given up, and what it made is not wanted");
    Failure::new(FailureCode::TransferFailed, message, "nothing is to be done; the task went elsewhere")
        .with_class(FailureClass::Permanent)
}

pub(super) fn wrong_size(place: &Location, announced: Bytes, came: u64) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("{came} bytes arrived for {place}, {} were announced", announced.0),
        "send it again",
    )
}

pub(super) fn stalled(place: &dyn Display, seconds: u64) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("the transfer of {place} stood still for {seconds} s and was ended"),
        "send it again; look at the network between the two machines",
    )
}

pub(super) fn misplaced(place: &Location) -> Failure {
    Failure::new(
        FailureCode::OutputForbidden,
        format!("nothing is written to {place} in this way"),
        "publish to file:// or farm://outputs, stage to farm://staging, upload to farm://uploads",
    )
}
