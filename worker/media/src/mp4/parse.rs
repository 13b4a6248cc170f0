//! Boxes out of bytes that nobody vouches for.

/// The first box of a kind within another.
pub(crate) fn child<'a>(parent: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    children(parent).find(|(code, _)| code == wanted).map(|(_, body)| body)
}

/// The boxes within another, up to the first that is damaged: code and body.
pub(crate) fn children(parent: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = parent;
    std::iter::from_fn(move || {
        let (size, header) = match be32(rest, 0)? {
            0 => (rest.len(), 8),
            1 => (usize::try_from(be64(rest, 8)?).ok()?, 16),
            size => (usize::try_from(size).ok()?, 8),
        };
        let code = rest.get(4..8)?.try_into().ok()?;
        let body = rest.get(header..size)?;
        rest = rest.get(size..)?;
        Some((code, body))
    })
}

/// A number of four bytes at a place.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// A number of eight bytes at a place.
pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_be_bytes)
}
