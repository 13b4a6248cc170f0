//! What worker and nursery say to each other: one packet a message, with files beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rushes_shared::frame::{self, HEADER_LEN, Header, Message};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// Largest message in bytes; both ends are this program.
const LIMIT: u32 = 4_000;
/// Room for the largest packet, header included.
const PACKET: usize = 4_096;
/// Most files beside a packet.
const FILES: usize = 3;

/// Worker to nursery: start a task process. Beside it: its standard input, output and error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fork;

/// Nursery to worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// What was to be loaded is; orders may come.
    Ready {
        /// The media library, such as `GStreamer 1.22.0`; empty for none.
        media: String,
    },
    /// The process that was asked for. Beside it: its handle.
    Born {
        /// Its process id.
        pid: i32,
    },
    /// The process that was asked for could not be started.
    Stillborn {
        /// Why.
        reason: String,
    },
    /// A process has ended.
    Ended {
        /// Its process id.
        pid: i32,
        /// As `wait` reports it.
        status: i32,
        /// User and system time, in microseconds.
        cpu_us: u64,
        /// Peak resident memory, in bytes.
        max_rss_bytes: u64,
    },
}

impl Message for Fork {
    const KIND: u16 = 18;
    const VERSION: u16 = 1;
    const LIMIT: u32 = LIMIT;
}

impl Message for Word {
    const KIND: u16 = 19;
    const VERSION: u16 = 1;
    const LIMIT: u32 = LIMIT;
}

/// Sends a packet.
///
/// # Errors
/// The socket's.
pub(super) fn send<M: Message>(
    line: BorrowedFd<'_>,
    message: &M,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = frame::encode(message).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("more files than fit beside a packet"));
    }
    let sent = sendmsg(line, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::Error::other("a packet was cut")) }
}

/// Receives a packet; `None` at the end.
///
/// # Errors
/// The socket's, or [`io::ErrorKind::InvalidData`] for what is no such message.
pub(super) fn recv<M: Message>(line: BorrowedFd<'_>) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = [0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(line, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let files = beside.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let files: Vec<OwnedFd> = files.collect();
    if got.bytes == 0 {
        return Ok(None);
    }
    let bad = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let header = bytes.first_chunk::<HEADER_LEN>().map(|head| Header::from_bytes(*head));
    let header = header.filter(|h| got.bytes == HEADER_LEN + h.length as usize);
    let header = header.ok_or_else(|| bad("a packet is not as long as it says".to_owned()))?;
    header.expect::<M>().map_err(|e| bad(e.to_string()))?;
    let message = frame::decode(&bytes[HEADER_LEN..got.bytes]).map_err(|e| bad(e.to_string()))?;
    Ok(Some((message, files)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn packets_carry_messages_and_files() {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (one, other) = pair.expect("a pair of sockets");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        send(one.as_fd(), &Fork, &[writer.as_fd()]).expect("it is sent");
        drop(writer);
        let (_, mut files) = recv::<Fork>(other.as_fd()).expect("it comes").expect("not the end");
        let passed = files.pop().expect("the file came along");
        assert!(files.is_empty());
        std::fs::File::from(passed).write_all(b"x").expect("the pipe is open");
        assert_eq!(std::io::read_to_string(reader).expect("it is text"), "x");

        send(one.as_fd(), &Word::Born { pid: 7 }, &[]).expect("it is sent");
        assert!(recv::<Fork>(other.as_fd()).is_err(), "another kind of message");
        drop(one);
        assert!(recv::<Word>(other.as_fd()).expect("a clean end").is_none());
    }
}
