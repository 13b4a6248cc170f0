//! A file's path within a set of files: names with `/` between them, safe on any machine.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{BadUrl, FileName};

/// Most names in a path.
const MAX_DEPTH: usize = 4;
/// Longest path in bytes.
const MAX_BYTES: usize = 400;

/// A path of one to four [file names](FileName), at most 400 bytes. It cannot climb, and begins nowhere but in its set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FilePath(String);

impl FilePath {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names of the directories that it lies in, the outermost first, and its own.
    #[must_use]
    pub fn parts(&self) -> (Vec<&str>, &str) {
        let mut names: Vec<&str> = self.0.split('/').collect();
        let own = names.pop().unwrap_or_default();
        (names, own)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<FileName> for FilePath {
    fn from(name: FileName) -> Self {
        Self(name.as_str().to_owned())
    }
}

impl std::str::FromStr for FilePath {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let is_name = |part: &str| part.parse::<FileName>().is_ok();
        let ok =
            text.len() <= MAX_BYTES && text.split('/').count() <= MAX_DEPTH && text.split('/').all(is_name);
        if ok { Ok(Self(text.to_owned())) } else { Err(BadUrl::Name(text.chars().take(80).collect())) }
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_within_its_set() {
        let path: FilePath = "1080p/1.m4s".parse().expect("valid");
        assert_eq!(path.parts(), (vec!["1080p"], "1.m4s"));
        assert!("master.m3u8".parse::<FilePath>().is_ok());
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/b/c/d/e", "a/.b", "a\\b"] {
            assert!(bad.parse::<FilePath>().is_err(), "{bad:?}");
        }
    }
}
