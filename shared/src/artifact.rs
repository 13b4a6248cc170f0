//! Inputs and outputs of tasks, named by URL, never by one machine's path.
//!
//! Schemes known so far: `file:///path` (a path on the depot's host, inside its allowed roots), and `farm://area/…`
//! (the depot's own areas: `uploads`, `staging`, `outputs`).

mod path;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{AttemptId, JobId, TenantId};
use crate::sequence::FrameRate;
use crate::units::Bytes;

pub use path::FilePath;

/// A BLAKE3 hash of a whole content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl std::str::FromStr for ContentHash {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl::Hash(text.chars().take(80).collect());
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(d).map(Self)
        }
    }
}

/// A URL that names no place the farm can reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// The scheme is unknown.
    #[error(
        "'{0}' has a scheme that this farm does not know: use file:///absolute/path, an absolute path, or farm://"
    )]
    Scheme(String),
    /// The path is relative, empty, or climbs.
    #[error(
        "'{0}' is not an absolute path without '..': a farm has no current directory, so name files from the root"
    )]
    Path(String),
    /// A `farm://` URL of an unknown form.
    #[error(
        "'{0}' is not a file of the farm: it should be farm://uploads/TENANT/HASH, farm://staging/ATTEMPT/NAME or farm://outputs/TENANT/JOB/NAME"
    )]
    Farm(String),
    /// A hash that is not 64 hexadecimal digits.
    #[error("'{0}' is not a BLAKE3 hash: it should be 64 hexadecimal digits")]
    Hash(String),
    /// A file name that cannot be one.
    #[error(
        "'{0}' cannot be a file's name: use 1 to 200 bytes without '/', control characters, or a leading '.'"
    )]
    Name(String),
}

/// A file's name within a job: one path component, safe on any machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for FileName {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let ok = (1..=200).contains(&text.len())
            && !text.starts_with('.')
            && !text.chars().any(|c| c == '/' || c == '\\' || c.is_control());
        if ok { Ok(Self(text.to_owned())) } else { Err(BadUrl::Name(text.chars().take(80).collect())) }
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A place for bytes, parsed from its URL. Its text form is the URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// An absolute path on the depot's host.
    File(String),
    /// An uploaded input, named by its content.
    Upload(TenantId, ContentHash),
    /// An attempt's finished output that is not published yet.
    Staged(AttemptId, FileName),
    /// A published output that the depot keeps, or a file of a set of them.
    Output(TenantId, JobId, FilePath),
    /// The directory of all published outputs of a job that the depot keeps.
    Set(TenantId, JobId),
    /// An image sequence, with the rate at which its pictures are shown: an archive of them at one of the other places, or
    /// the path of a pattern such as `/srv/shot.%04d.png`.
    Sequence(Box<Location>, FrameRate),
}

impl Location {
    /// The last component, for people.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self {
            Self::File(path) => path.rsplit('/').next().unwrap_or_default().to_owned(),
            Self::Upload(_, hash) => hash.to_string(),
            Self::Staged(_, name) => name.to_string(),
            Self::Output(_, _, path) => path.parts().1.to_owned(),
            Self::Set(_, job) => job.to_string(),
            Self::Sequence(place, _) => place.file_name(),
        }
    }

    /// Where the bytes are, without how they are looked at.
    #[must_use]
    pub fn place(&self) -> &Self {
        if let Self::Sequence(place, _) = self { place } else { self }
    }

    /// The rate of an image sequence, where it is one.
    #[must_use]
    pub fn frame_rate(&self) -> Option<FrameRate> {
        if let Self::Sequence(_, rate) = self { Some(*rate) } else { None }
    }

    /// Whether it is a directory, in which a set of files appears at once.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        match self {
            Self::File(path) => path.ends_with('/'),
            Self::Set(..) => true,
            Self::Upload(..) | Self::Staged(..) | Self::Output(..) => false,
            Self::Sequence(place, _) => place.is_directory(),
        }
    }
}

/// What stands in a URL before the rate of an image sequence: a fragment, which says how a resource is to be looked at. A path
/// in a URL has no `#` of its own, as that is written `%23`.
const FRAME_RATE: &str = "#frame_rate=";

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => {
                f.write_str("file://")?;
                for byte in path.bytes() {
                    match byte {
                        b'a'..=b'z'
                        | b'A'..=b'Z'
                        | b'0'..=b'9'
                        | b'/'
                        | b'-'
                        | b'_'
                        | b'.'
                        | b'~'
                        | b'+'
                        | b'='
                        | b',' => {
                            write!(f, "{}", char::from(byte))?;
                        }
                        other => write!(f, "%{other:02X}")?,
                    }
                }
                Ok(())
            }
            Self::Upload(tenant, hash) => write!(f, "farm://uploads/{tenant}/{hash}"),
            Self::Staged(attempt, name) => write!(f, "farm://staging/{attempt}/{name}"),
            Self::Output(tenant, job, path) => write!(f, "farm://outputs/{tenant}/{job}/{path}"),
            Self::Set(tenant, job) => write!(f, "farm://outputs/{tenant}/{job}/"),
            Self::Sequence(place, rate) => write!(f, "{place}{FRAME_RATE}{rate}"),
        }
    }
}

impl std::str::FromStr for Location {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let short = || text.chars().take(200).collect::<String>();
        if let Some((place, rate)) = text.split_once(FRAME_RATE).filter(|(place, _)| place.contains("://"))
            && let Ok(rate) = rate.parse()
        {
            return Ok(Self::Sequence(Box::new(place.parse()?), rate));
        }
        if let Some(rest) = text.strip_prefix("farm://") {
            return farm_location(rest).ok_or_else(|| BadUrl::Farm(short()));
        }
        let path = if let Some(rest) = text.strip_prefix("file://") {
            percent_decode(rest.strip_prefix("localhost").unwrap_or(rest))
                .ok_or_else(|| BadUrl::Path(short()))?
        } else if text.contains("://") {
            return Err(BadUrl::Scheme(short()));
        } else {
            text.to_owned()
        };
        let climbs = path.split('/').any(|part| part == "..");
        if path.len() < 2 || path.len() > 4096 || !path.starts_with('/') || climbs || path.contains('\0') {
            return Err(BadUrl::Path(short()));
        }
        // One place has one name. A slash at the end stays: it says that a directory is meant.
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.is_empty() {
            return Err(BadUrl::Path(short()));
        }
        let end = if path.ends_with('/') { "/" } else { "" };
        Ok(Self::File(format!("/{}{end}", parts.join("/"))))
    }
}

fn farm_location(rest: &str) -> Option<Location> {
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        ["uploads", tenant, hash] => Some(Location::Upload(tenant.parse().ok()?, hash.parse().ok()?)),
        ["staging", attempt, name] => Some(Location::Staged(attempt.parse().ok()?, name.parse().ok()?)),
        ["outputs", tenant, job, ""] => Some(Location::Set(tenant.parse().ok()?, job.parse().ok()?)),
        ["outputs", tenant, job, path @ ..] => {
            Some(Location::Output(tenant.parse().ok()?, job.parse().ok()?, path.join("/").parse().ok()?))
        }
        _ => None,
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes somewhere, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where.
    pub location: Location,
    /// How many, once somebody has looked.
    pub size: Option<Bytes>,
    /// Their hash, once somebody has read them whole.
    pub hash: Option<ContentHash>,
    /// The attempt that made them; `None` for what a user brought.
    pub attempt: Option<AttemptId>,
}

impl Artifact {
    /// An input about which only its place is known.
    #[must_use]
    pub fn unseen(location: Location) -> Self {
        Self { location, size: None, hash: None, attempt: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_read_back_with_odd_names() {
        for text in ["/media/spaces & ünï 名前.mp4", "file:///a/100%25.mov", "/a b"] {
            let location: Location = text.parse().expect("a valid path");
            assert_eq!(location.to_string().parse::<Location>(), Ok(location), "{text}");
        }
    }

    #[test]
    fn the_rate_of_a_sequence_stands_behind_its_place_and_paths_keep_their_signs() {
        for text in [
            "file:///srv/a%23b/shot.%2504d.png#frame_rate=24",
            "farm://uploads/default/abababababababababababababababababababababababababababababababab#frame_rate=24000/1001",
        ] {
            let location: Location = text.parse().expect("a sequence");
            assert!(location.frame_rate().is_some() && location.place().frame_rate().is_none(), "{text}");
            assert_eq!(location.to_string(), text);
        }
        let path: Location = "/srv/odd#frame_rate=24".parse().expect("a path");
        assert_eq!(path, Location::File("/srv/odd#frame_rate=24".to_owned()));
        assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn one_place_has_one_name() {
        let plain: Location = "/out/a.mp4".parse().expect("a valid path");
        for other in ["/out/./a.mp4", "/out//a.mp4", "file:///out/a.mp4", "//out/./a.mp4"] {
            assert_eq!(other.parse(), Ok(plain.clone()), "{other}");
        }
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for bad in [
            "",
            "/",
            "film.mov",
            "../x",
            "/a/../b",
            "file://a",
            "file:///a%2",
            "gopher://x/y",
            "farm://x/y",
            "/a\0b",
        ] {
            assert!(bad.parse::<Location>().is_err(), "{bad:?}");
        }
        assert!("farm://outputs/default/job_01jv2c8k3q5w7x9z0a2b4c6d8e/..".parse::<Location>().is_err());
    }

    #[test]
    fn farm_locations_read_back() {
        let attempt = AttemptId { epoch: crate::id::Epoch(3), counter: 9 };
        for location in [
            Location::Upload(TenantId::default_tenant(), ContentHash([0xab; 32])),
            Location::Staged(attempt, "film.mp4".parse().expect("a valid name")),
            Location::Output(TenantId::default_tenant(), JobId(5), "ü x.mp4".parse().expect("a valid name")),
            Location::Output(TenantId::default_tenant(), JobId(5), "a/1.m4s".parse().expect("a valid path")),
            Location::Set(TenantId::default_tenant(), JobId(5)),
        ] {
            assert_eq!(location.to_string().parse::<Location>(), Ok(location));
        }
    }
}
