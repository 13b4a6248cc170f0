//! Values of any size as pieces that sled keeps in its log, never in files of their own.
//!
//! A parcel is stored under `prefix ++ piece number (u32, big-endian)`. The first piece opens with the length and the
//! CRC-32 of the whole; a piece is under 4 KiB, so that a full leaf of sled's tree stays far below the size from which
//! sled would put it into `blobs/`, which nobody syncs.

/// Bytes of content in a piece.
const PIECE: usize = 3584;
const HEAD: usize = 8;

/// Largest content that fits one piece, and so is replaced as a whole or not at all.
pub(super) const SINGLE: usize = PIECE - HEAD;

/// Largest parcel.
pub(super) const LIMIT: usize = 16 * 1024 * 1024;

/// The pieces of a parcel with their keys, in order.
pub(super) fn pieces(prefix: &[u8], content: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    debug_assert!(content.len() <= LIMIT, "callers check the limit");
    let length = u32::try_from(content.len()).expect("a parcel is below its limit");
    let first = content.len().min(PIECE - HEAD);
    let mut head = Vec::with_capacity(HEAD + first);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    head.extend_from_slice(&content[..first]);
    std::iter::once(head)
        .chain(content[first..].chunks(PIECE).map(<[u8]>::to_vec))
        .zip(0_u32..)
        .map(|(piece, number)| (key(prefix, number), piece))
        .collect()
}

/// The key of a piece.
pub(super) fn key(prefix: &[u8], piece: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 4);
    key.extend_from_slice(prefix);
    key.extend_from_slice(&piece.to_be_bytes());
    key
}

/// How many pieces a parcel of this length has.
pub(super) fn count(length: usize) -> u32 {
    let rest = length.saturating_sub(PIECE - HEAD);
    u32::try_from(1 + rest.div_ceil(PIECE)).expect("a parcel is below its limit")
}

/// The content's length, from its first piece.
pub(super) fn stated_length(first_piece: &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = first_piece.get(..4)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes(bytes)).ok()?;
    (length <= LIMIT && first_piece.len() >= HEAD).then_some(length)
}

/// A parcel as it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What all its keys begin with.
    pub(super) prefix: Vec<u8>,
    /// The content, or `None` when pieces are missing or the checksum does not match.
    pub(super) content: Option<Vec<u8>>,
    /// Bytes seen, keys apart.
    pub(super) stored: u64,
}

/// Reads parcels from a stream of keys and values in key order.
pub(super) struct Parcels<I: Iterator> {
    pieces: std::iter::Peekable<I>,
}

impl<I, K, V, E> Parcels<I>
where
    I: Iterator<Item = Result<(K, V), E>>,
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    pub(super) fn new(pieces: I) -> Self {
        Self { pieces: pieces.peekable() }
    }
}

impl<I, K, V, E> Iterator for Parcels<I>
where
    I: Iterator<Item = Result<(K, V), E>>,
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    type Item = Result<Found, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = match self.pieces.next()? {
            Ok(pair) => pair,
            Err(error) => return Some(Err(error)),
        };
        let split = key.as_ref().len().saturating_sub(4);
        let (prefix, number) = key.as_ref().split_at(split);
        let (prefix, first) = (prefix.to_vec(), value.as_ref());
        let mut whole = number == [0; 4] && stated_length(first).is_some();
        let length = stated_length(first).unwrap_or(0);
        let mut stored = first.len() as u64;
        let mut content = Vec::with_capacity(length);
        content.extend_from_slice(first.get(HEAD..).unwrap_or_default());
        let mut expected = 1_u32;
        loop {
            match self.pieces.peek() {
                Some(Ok((next, _)))
                    if next.as_ref().strip_prefix(prefix.as_slice()).is_some_and(|n| n.len() == 4) => {}
                _ => break,
            }
            let Some(Ok((next, piece))) = self.pieces.next() else { break };
            whole &= next.as_ref()[prefix.len()..] == expected.to_be_bytes();
            expected += 1;
            stored += piece.as_ref().len() as u64;
            if whole {
                content.extend_from_slice(piece.as_ref());
            }
        }
        if matches!(self.pieces.peek(), Some(Err(_))) {
            // A failed read is no torn parcel: what could not be read must not be cut off.
            if let Some(Err(error)) = self.pieces.next() {
                return Some(Err(error));
            }
        }
        let crc = crc32fast::hash(&content).to_le_bytes();
        whole = whole && content.len() == length && first[4..HEAD] == crc;
        Some(Ok(Found { prefix, content: whole.then_some(content), stored }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Pair = (Vec<u8>, Vec<u8>);

    fn read(pieces: Vec<Pair>) -> Vec<Found> {
        Parcels::new(pieces.into_iter().map(Ok::<_, ()>)).map(|found| found.expect("no errors")).collect()
    }

    #[test]
    fn a_piece_stays_under_four_kib() {
        let pieces = pieces(b"p", &vec![7; 100_000]);
        assert!(pieces.iter().all(|(key, value)| key.len() + value.len() < 4096));
        assert_eq!(pieces.len(), usize::try_from(count(100_000)).expect("a few"));
    }

    proptest! {
        #[test]
        fn parcels_read_back_and_no_damage_passes(
            sizes in prop::collection::vec(0_usize..12_000, 1..5),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            drop_it in any::<bool>(),
        ) {
            let mut all = Vec::new();
            let mut contents = Vec::new();
            for (i, size) in sizes.iter().enumerate() {
                let content: Vec<u8> = (0..*size).map(|b| u8::try_from((b * 7 + i) % 251).expect("small")).collect();
                all.extend(pieces(&(i as u64).to_be_bytes(), &content));
                contents.push(content);
            }
            let good = read(all.clone());
            prop_assert_eq!(good.len(), contents.len());
            for (found, content) in good.iter().zip(&contents) {
                prop_assert_eq!(found.content.as_ref(), Some(content));
            }
            let victim = at.index(all.len());
            let owner = all[victim].0[..8].to_vec();
            if drop_it {
                all.remove(victim);
            } else {
                let byte = at.index(all[victim].1.len());
                all[victim].1[byte] ^= 1 << bit;
            }
            for found in read(all) {
                let index = usize::try_from(u64::from_be_bytes(found.prefix.clone().try_into().expect("8 bytes"))).expect("small");
                if found.prefix == owner {
                    prop_assert_eq!(found.content, None);
                } else {
                    prop_assert_eq!(found.content.as_ref(), Some(&contents[index]));
                }
            }
        }
    }
}
