//! The log of what a process did to the files under one directory, and of what it acknowledged, in one order.

use std::io::{self, Read};

/// A file or a directory, however it is named.
pub type Object = u32;

/// One call, or one acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The object at this path, relative to the root, is called `object` from here on.
    Define {
        /// Its number.
        object: Object,
        /// Where.
        path: String,
        /// Whether it was there before the process began, or was made just now.
        kind: Kind,
    },
    /// Bytes were written.
    Write {
        /// Into what.
        object: Object,
        /// Where in it.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The length was set.
    Truncate {
        /// Of what.
        object: Object,
        /// To what.
        length: u64,
    },
    /// A file got another name.
    Rename {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// A name was removed.
    Unlink {
        /// Which.
        path: String,
    },
    /// A sync began: it covers everything that was done to the object before.
    SyncBegin {
        /// Its number.
        sync: u32,
        /// Of what.
        object: Object,
    },
    /// A sync has ended.
    SyncEnd {
        /// Its number.
        sync: u32,
    },
    /// The process told the outside something, or began something.
    Note(Note),
}

/// How an object came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Before the process began.
    There,
    /// A file, made now.
    File,
    /// A directory, made now.
    Directory,
}

/// What a process tells the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// Every record up to this one is confirmed.
    Confirmed(u64),
    /// The epoch was begun.
    Epoch(u64),
    /// A key is about to be set.
    KeyBegun {
        /// Which.
        key: u64,
        /// To what.
        value: u64,
    },
    /// It is set.
    KeySet {
        /// Which.
        key: u64,
        /// To what.
        value: u64,
    },
    /// Archived documents below this may go from here on.
    Retiring(u64),
    /// A snapshot covers this record.
    Snapshot(u64),
}

impl Op {
    /// Its bytes in the log.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(vec![0; 4]);
        match self {
            Self::Define { object, path, kind } => {
                out.byte(0).number(u64::from(*object)).byte(match kind {
                    Kind::There => 0,
                    Kind::File => 1,
                    Kind::Directory => 2,
                });
                out.bytes(path.as_bytes());
            }
            Self::Write { object, offset, data } => {
                out.byte(1).number(u64::from(*object)).number(*offset).bytes(data);
            }
            Self::Truncate { object, length } => {
                out.byte(2).number(u64::from(*object)).number(*length);
            }
            Self::Rename { from, to } => {
                out.byte(3).bytes(from.as_bytes()).bytes(to.as_bytes());
            }
            Self::Unlink { path } => {
                out.byte(4).bytes(path.as_bytes());
            }
            Self::SyncBegin { sync, object } => {
                out.byte(5).number(u64::from(*sync)).number(u64::from(*object));
            }
            Self::SyncEnd { sync } => {
                out.byte(6).number(u64::from(*sync));
            }
            Self::Note(note) => {
                let (kind, a, b) = match *note {
                    Note::Confirmed(seq) => (0, seq, 0),
                    Note::Epoch(epoch) => (1, epoch, 0),
                    Note::KeyBegun { key, value } => (2, key, value),
                    Note::KeySet { key, value } => (3, key, value),
                    Note::Retiring(before) => (4, before, 0),
                    Note::Snapshot(seq) => (5, seq, 0),
                };
                out.byte(7).byte(kind).number(a).number(b);
            }
        }
        let length = u32::try_from(out.0.len() - 4).expect("a call writes less than 4 GiB");
        out.0[..4].copy_from_slice(&length.to_le_bytes());
        out.0
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = bytes;
        let op = match byte(&mut from)? {
            0 => {
                let object = object(&mut from)?;
                let kind = match byte(&mut from)? {
                    0 => Kind::There,
                    1 => Kind::File,
                    _ => Kind::Directory,
                };
                Self::Define { object, path: text(&mut from)?, kind }
            }
            1 => Self::Write {
                object: object(&mut from)?,
                offset: number(&mut from)?,
                data: slice(&mut from)?.to_vec(),
            },
            2 => Self::Truncate { object: object(&mut from)?, length: number(&mut from)? },
            3 => Self::Rename { from: text(&mut from)?, to: text(&mut from)? },
            4 => Self::Unlink { path: text(&mut from)? },
            5 => Self::SyncBegin { sync: object(&mut from)?, object: object(&mut from)? },
            6 => Self::SyncEnd { sync: object(&mut from)? },
            7 => {
                let (kind, a, b) = (byte(&mut from)?, number(&mut from)?, number(&mut from)?);
                Self::Note(match kind {
                    0 => Note::Confirmed(a),
                    1 => Note::Epoch(a),
                    2 => Note::KeyBegun { key: a, value: b },
                    3 => Note::KeySet { key: a, value: b },
                    4 => Note::Retiring(a),
                    _ => Note::Snapshot(a),
                })
            }
            _ => return None,
        };
        Some(op)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }
    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64).0.extend_from_slice(bytes);
        self
    }
}

fn byte(from: &mut &[u8]) -> Option<u8> {
    from.split_off_first().copied()
}

fn number(from: &mut &[u8]) -> Option<u64> {
    from.split_off(..8)?.try_into().ok().map(u64::from_le_bytes)
}

fn object(from: &mut &[u8]) -> Option<Object> {
    number(from)?.try_into().ok()
}

fn slice<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(from)?).ok()?;
    from.split_off(..length)
}

fn text(from: &mut &[u8]) -> Option<String> {
    String::from_utf8(slice(from)?.to_vec()).ok()
}

/// Reads a whole log. A last entry that the process did not finish is left out.
///
/// # Errors
/// What reading gives.
pub fn read(mut from: impl Read) -> io::Result<Vec<Op>> {
    let mut all = Vec::new();
    from.read_to_end(&mut all)?;
    let (mut rest, mut ops) = (all.as_slice(), Vec::new());
    while let Some(length) = rest.split_off(..4) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        let Some(op) = usize::try_from(length).ok().and_then(|length| rest.split_off(..length)) else {
            break;
        };
        ops.push(Op::from_bytes(op).ok_or_else(|| io::Error::other("an entry of the log is unreadable"))?);
    }
    Ok(ops)
}
