//! Image sequences: pictures that are numbered, shown one after the other at a frame rate.
//!
//! ```text
//! shot.%04d.png, shot.####.exr    a pattern: which files of a directory belong together
//! shot.tar                        the same pictures as one file, a plain tar archive: how a farm carries them
//! ```
//! Names and numbers only; who opens files is elsewhere.

mod pack;
mod rate;

pub use pack::{Member, Pack};
pub use rate::{BadRate, DEFAULT_RATE, FrameRate};

/// The container's name in facts.
pub const CONTAINER: &str = "image sequence";
/// Most pictures of a sequence: more than an hour at 24 a second.
pub const MAX_FRAMES: usize = 100_000;
/// Most digits of a picture's number.
const MAX_DIGITS: usize = 9;
/// Endings of the pictures that can be read.
pub const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "tif", "tiff", "exr"];

/// Names that are no sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSequence {
    /// No name has a number in the pattern's place.
    #[error("no picture fits the pattern")]
    Empty,
    /// Numbers that are missing between the first and the last.
    #[error("pictures are missing ({count}): {names}")]
    Gaps {
        /// How many.
        count: u64,
        /// The first of them, or the first ranges.
        names: String,
    },
    /// A number that comes twice.
    #[error("two of its pictures have the number {0}: {1} and {2}")]
    Twice(u32, String, String),
    /// Pictures of two sequences.
    #[error("it mixes two sequences: {0} and {1}")]
    Mixed(String, String),
    /// A name without a number or without a picture's ending.
    #[error("{0} is no numbered picture (png, jpg, tif, exr)")]
    Foreign(String),
    /// Too many.
    #[error("it has more than {MAX_FRAMES} pictures")]
    TooMany,
}

/// The file names of a sequence, with a place for the number: `shot.%04d.png` or `shot.####.png`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    before: String,
    /// Least number of digits.
    width: usize,
    after: String,
}

impl Pattern {
    /// The pattern that a file's name is; `None` for an ordinary name. It has one `%d`, `%04d` or run of `#`, and a
    /// picture's ending.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        if !is_picture(name) || name.contains('/') {
            return None;
        }
        let (start, length, width) = percent(name).or_else(|| hashes(name))?;
        let (before, rest) = name.split_at(start);
        let after = &rest[length..];
        let is_single = !after.contains(['%', '#']) && !before.contains(['%', '#']);
        is_single.then(|| Self { before: before.to_owned(), width, after: after.to_owned() })
    }

    /// The number of the picture of this name; `None` for a name that does not fit.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        let plain = digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        let number: u32 = plain.then(|| digits.parse().ok())??;
        (self.name(number) == name).then_some(number)
    }

    /// The name of the picture of this number.
    #[must_use]
    pub fn name(&self, number: u32) -> String {
        format!("{}{number:0width$}{}", self.before, self.after, width = self.width)
    }

    /// What stands before the number, without what joins the two: a name for what is made of the sequence. It may be empty.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.before.trim_end_matches(['.', '_', '-', ' '])
    }

    /// The names among these that fit, in the order of their numbers.
    ///
    /// # Errors
    /// [`BadSequence`] where there are none, too many, or some are missing.
    pub fn of_names(&self, names: impl IntoIterator<Item = String>) -> Result<Vec<String>, BadSequence> {
        let fitting = names.into_iter().filter_map(|name| Some((self.number(&name)?, name)));
        let mut found: Vec<(u32, String)> = fitting.take(MAX_FRAMES + 1).collect();
        found.sort_unstable();
        in_a_row(&found, |number| self.name(number))?;
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }
}

/// Where a name has `%d` or `%04d`: start, length, least number of digits.
fn percent(name: &str) -> Option<(usize, usize, usize)> {
    let start = name.find('%')?;
    let rest = &name[start + 1..];
    let end = rest.find('d')?;
    let width = match &rest[..end] {
        "" => 1,
        digits => digits.strip_prefix('0')?.parse().ok().filter(|width| (1..=MAX_DIGITS).contains(width))?,
    };
    Some((start, end + 2, width))
}

fn hashes(name: &str) -> Option<(usize, usize, usize)> {
    let start = name.find('#')?;
    let length = name[start..].bytes().take_while(|b| *b == b'#').count();
    (length <= MAX_DIGITS).then_some((start, length, length))
}

/// Whether a name has the ending of a picture that can be read.
#[must_use]
pub fn is_picture(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The order of an archive's members: for each its place among those that were given. Names may have directories before
/// them; each has a number before its ending, and all else of them is the same.
///
/// # Errors
/// [`BadSequence`].
pub fn order_of_members(names: &[String]) -> Result<Vec<usize>, BadSequence> {
    let mut found = Vec::with_capacity(names.len().min(MAX_FRAMES));
    let mut frame: Option<(&str, &str)> = None;
    for (at, name) in names.iter().enumerate() {
        let (before, number, after) = numbered(name).ok_or_else(|| BadSequence::Foreign(short(name)))?;
        if *frame.get_or_insert((before, after)) != (before, after) {
            return Err(BadSequence::Mixed(short(&names[0]), short(name)));
        }
        if found.len() == MAX_FRAMES {
            return Err(BadSequence::TooMany);
        }
        found.push((number, at));
    }
    found.sort_unstable();
    let named: Vec<(u32, String)> = found.iter().map(|(number, at)| (*number, names[*at].clone())).collect();
    in_a_row(&named, |number| number.to_string())?;
    Ok(found.into_iter().map(|(_, at)| at).collect())
}

/// A picture's name around the last number of it.
fn numbered(name: &str) -> Option<(&str, u32, &str)> {
    if !is_picture(name) {
        return None;
    }
    let dot = name.rfind('.')?;
    let stem = &name[name.rfind('/').map_or(0, |slash| slash + 1)..dot];
    let end = dot - stem.len() + stem.rfind(|c: char| c.is_ascii_digit())? + 1;
    let digits = name[..end].bytes().rev().take_while(u8::is_ascii_digit).count();
    let start = end - digits;
    let number = (digits <= MAX_DIGITS).then(|| name[start..end].parse().ok())??;
    Some((&name[..start], number, &name[end..]))
}

/// Whether numbers, in order, follow on each other.
fn in_a_row(found: &[(u32, String)], name: impl Fn(u32) -> String) -> Result<(), BadSequence> {
    if found.is_empty() {
        return Err(BadSequence::Empty);
    }
    if found.len() > MAX_FRAMES {
        return Err(BadSequence::TooMany);
    }
    let mut gaps = Vec::new();
    let mut count = 0;
    for pair in found.windows(2) {
        let [(first, one), (second, other)] = pair else { continue };
        match second - first {
            0 => return Err(BadSequence::Twice(*first, short(one), short(other))),
            1 => {}
            distance => {
                count += u64::from(distance - 1);
                gaps.push((first + 1, second - 1));
            }
        }
    }
    if gaps.is_empty() {
        return Ok(());
    }
    let shown = gaps.iter().take(5).map(|(first, last)| match first == last {
        true => name(*first),
        false => format!("{} to {}", name(*first), name(*last)),
    });
    let mut names = shown.collect::<Vec<_>>().join(", ");
    if gaps.len() > 5 {
        names.push_str(", …");
    }
    Err(BadSequence::Gaps { count, names })
}

fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_pattern_fits_its_own_numbers_and_nothing_else() {
        let four = Pattern::of("shot.%04d.png").expect("a pattern");
        assert_eq!(Pattern::of("shot.####.png"), Some(four.clone()));
        assert_eq!((four.name(7).as_str(), four.stem()), ("shot.0007.png", "shot"));
        assert_eq!((four.number("shot.0007.png"), four.number("shot.12345.png")), (Some(7), Some(12345)));
        for other in ["shot.7.png", "shot.00007.png", "shot.0007.jpg", "shot.+007.png", "shot..png", "x"] {
            assert_eq!(four.number(other), None, "{other}");
        }
        assert_eq!(Pattern::of("%d.EXR").and_then(|any| any.number("12.EXR")), Some(12));
        for plain in ["shot.0001.png", "100%.png", "film.%04d.mov", "a#b#c.png", "%04d-%04d.png", "%5d.png"] {
            assert_eq!(Pattern::of(plain), None, "{plain}");
        }
    }

    #[test]
    fn pictures_stand_in_the_order_of_their_numbers_and_gaps_are_named() {
        let pattern = Pattern::of("a%d.png").expect("a pattern");
        let found = pattern.of_names(names(&["a10.png", "a9.png", "b.txt", "a11.png"])).expect("a row");
        assert_eq!(found, ["a9.png", "a10.png", "a11.png"]);
        let gaps = pattern.of_names(names(&["a1.png", "a3.png", "a7.png"])).expect_err("gaps");
        assert_eq!(gaps.to_string(), "pictures are missing (4): a2.png, a4.png to a6.png");
        assert_eq!(pattern.of_names(names(&["b1.png"])), Err(BadSequence::Empty));
        let many = (0..=100_000).map(|number| format!("a{number}.png"));
        assert_eq!(pattern.of_names(many), Err(BadSequence::TooMany));
    }

    #[test]
    fn members_of_an_archive_are_one_sequence_or_an_error() {
        let order = |list: &[&str]| order_of_members(&names(list));
        assert_eq!(order(&["./a/s.2.exr", "./a/s.1.exr"]), Ok(vec![1, 0]));
        assert_eq!(order(&["s2_0009_v3.png", "s2_0009_v4.png"]), Ok(vec![0, 1]), "the last number counts");
        assert!(matches!(order(&["a1.png", "b2.png"]), Err(BadSequence::Mixed(..))));
        assert!(matches!(order(&["a1.png", "a01.png"]), Err(BadSequence::Twice(1, ..))));
        assert!(matches!(order(&["a1.png", "notes.txt"]), Err(BadSequence::Foreign(_))));
        assert!(matches!(order(&["a.png"]), Err(BadSequence::Foreign(_))));
        assert!(matches!(order(&["a1.png", "a4.png"]), Err(BadSequence::Gaps { count: 2, .. })));
        assert_eq!(order(&[]), Err(BadSequence::Empty));
    }
}
