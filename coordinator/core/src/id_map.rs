//! Things by id: a sorted map that is filled at its end, as the ids of jobs rise with time, and asked for the same few
//! things again and again within one event.
//!
//! Ids and values lie in chunks that are full unless jobs have left them, where a B-tree's nodes stay half empty under
//! rising keys. What was found lately is found again without a search.

use std::fmt;
use std::ops::{Bound, Index, RangeBounds};
use std::sync::atomic::{AtomicU64, Ordering};

use rushes_shared::id::{JobId, WorkerId};

/// Most entries of a chunk.
const MOST: usize = 64;
/// Below this a chunk is joined with the one before or behind it, if both are no more than half a chunk then.
const SPARSE: usize = MOST / 4;
/// Places that are remembered in a small map, and in a large one; powers of two.
const FEWEST_HINTS: usize = 64;
const MOST_HINTS: usize = 4_096;

/// An id of 128 bits.
pub trait Id: Copy + Ord + fmt::Debug {
    /// Its bits.
    fn bits(self) -> u128;
}

impl Id for JobId {
    fn bits(self) -> u128 {
        self.0
    }
}

impl Id for WorkerId {
    fn bits(self) -> u128 {
        self.0
    }
}

/// Jobs by id.
pub type JobMap<V> = IdMap<JobId, V>;

/// A sorted map from ids.
pub struct IdMap<K, V> {
    /// No id of the chunk with the same index is below this, none of the chunks before is at it or above.
    firsts: Vec<K>,
    chunks: Vec<Chunk<K, V>>,
    /// Chunks that hold nothing. They go all at once, when they are as many as the others.
    empty: usize,
    len: usize,
    hints: Hints,
}

#[derive(Clone)]
struct Chunk<K, V> {
    ids: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Chunk<K, V> {
    fn default() -> Self {
        Self { ids: Vec::new(), values: Vec::new() }
    }
}

/// Where an entry is: its chunk, and its place there.
type Spot = (usize, usize);

/// Where ids were found lately. A hint is checked when it is used and never has to be taken back.
struct Hints(Box<[AtomicU64]>);

impl Default for Hints {
    fn default() -> Self {
        Self::new(FEWEST_HINTS)
    }
}

impl Hints {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU64::new(u64::MAX)).collect())
    }

    /// As many as there are entries, within bounds.
    fn grow(&mut self, entries: usize) {
        if entries > self.0.len() && self.0.len() < MOST_HINTS {
            *self = Self::new(self.0.len() * 2);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "what is left out plays no part")]
    fn slot(&self, id: impl Id) -> &AtomicU64 {
        let mixed = (id.bits() ^ (id.bits() >> 64)) as u64;
        &self.0[((mixed ^ (mixed >> 32)) as usize) & (self.0.len() - 1)]
    }

    fn read(&self, id: impl Id) -> Option<Spot> {
        let hint = self.slot(id).load(Ordering::Relaxed);
        Some((usize::try_from(hint >> 32).ok()?, usize::try_from(hint & 0xffff_ffff).ok()?))
    }

    fn note(&self, id: impl Id, (chunk, at): Spot) {
        self.slot(id).store((chunk as u64) << 32 | at as u64, Ordering::Relaxed);
    }
}

impl<K: Id, V> IdMap<K, V> {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of an id.
    #[must_use]
    #[inline]
    pub fn get(&self, id: &K) -> Option<&V> {
        let (chunk, at) = self.find(*id)?;
        Some(&self.chunks[chunk].values[at])
    }

    /// The value of an id, to change it.
    #[inline]
    pub fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        let (chunk, at) = self.find(*id)?;
        Some(&mut self.chunks[chunk].values[at])
    }

    /// Whether an id is in.
    #[must_use]
    pub fn contains_key(&self, id: &K) -> bool {
        self.find(*id).is_some()
    }

    /// Enters a value, in place of the one that was there.
    pub fn insert(&mut self, id: K, value: V) -> Option<V> {
        let (mut chunk, mut at) = match self.search(id) {
            Ok((chunk, at)) => return Some(std::mem::replace(&mut self.chunks[chunk].values[at], value)),
            Err(spot) => spot,
        };
        if self.chunks.is_empty() {
            self.add_chunk(0, id, Chunk::default());
        } else if self.chunks[chunk].ids.len() == MOST {
            if chunk + 1 == self.chunks.len() && at == MOST {
                (chunk, at) = (chunk + 1, 0);
                let empty = Chunk { ids: Vec::with_capacity(MOST), values: Vec::with_capacity(MOST) };
                self.add_chunk(chunk, id, empty);
            } else {
                let own = &mut self.chunks[chunk];
                let (ids, values) = (own.ids.split_off(MOST / 2), own.values.split_off(MOST / 2));
                self.add_chunk(chunk + 1, ids[0], Chunk { ids, values });
                if at > MOST / 2 {
                    (chunk, at) = (chunk + 1, at - MOST / 2);
                }
            }
        }
        self.firsts[chunk] = self.firsts[chunk].min(id);
        let own = &mut self.chunks[chunk];
        self.empty -= usize::from(own.ids.is_empty());
        own.ids.insert(at, id);
        own.values.insert(at, value);
        self.len += 1;
        self.hints.grow(self.len);
        self.hints.note(id, (chunk, at));
        None
    }

    /// Takes a value out.
    pub fn remove(&mut self, id: &K) -> Option<V> {
        let (chunk, at) = self.find(*id)?;
        let own = &mut self.chunks[chunk];
        own.ids.remove(at);
        let value = own.values.remove(at);
        self.len -= 1;
        let left = own.ids.len();
        if left == 0 {
            self.vacate(chunk);
        } else if left < SPARSE {
            self.join(chunk);
        }
        Some(value)
    }

    /// All ids, lowest first.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(id, _)| id)
    }

    /// All values, in the order of their ids.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// All values by the order of their ids, given away.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.chunks.into_iter().flat_map(|chunk| chunk.values)
    }

    /// All entries, lowest id first.
    pub fn iter(&self) -> Entries<'_, K, V> {
        self.range(..)
    }

    /// The entries whose ids are in a range, lowest first.
    pub fn range(&self, range: impl RangeBounds<K>) -> Entries<'_, K, V> {
        let spot = |id: K, after: bool| match self.search(id) {
            Ok((chunk, at)) => (chunk, at + usize::from(after)),
            Err(spot) => spot,
        };
        let from = match range.start_bound() {
            Bound::Unbounded => (0, 0),
            Bound::Included(id) => spot(*id, false),
            Bound::Excluded(id) => spot(*id, true),
        };
        let to = match range.end_bound() {
            Bound::Unbounded => (self.chunks.len(), 0),
            Bound::Included(id) => spot(*id, true),
            Bound::Excluded(id) => spot(*id, false),
        };
        Entries { chunks: &self.chunks, from, to }
    }

    #[inline]
    fn find(&self, id: K) -> Option<Spot> {
        let hint = self.hints.read(id);
        if let Some((chunk, at)) = hint
            && self.chunks.get(chunk).is_some_and(|own| own.ids.get(at) == Some(&id))
        {
            return hint;
        }
        self.find_anew(hint, id)
    }

    #[cold]
    fn find_anew(&self, hint: Option<Spot>, id: K) -> Option<Spot> {
        // Others may have left the chunk since.
        let same_chunk = hint.filter(|(chunk, _)| self.is_place_of(*chunk, id));
        let spot = match same_chunk {
            Some((chunk, _)) => (chunk, self.chunks[chunk].ids.binary_search(&id).ok()?),
            None => self.search(id).ok()?,
        };
        self.hints.note(id, spot);
        Some(spot)
    }

    /// Whether an id is in this chunk if it is in any.
    fn is_place_of(&self, chunk: usize, id: K) -> bool {
        self.firsts.get(chunk).is_some_and(|first| *first <= id)
            && self.firsts.get(chunk + 1).is_none_or(|next| id < *next)
    }

    /// Where an id is, or where it would be.
    fn search(&self, id: K) -> Result<Spot, Spot> {
        let chunk = self.firsts.partition_point(|first| *first <= id).saturating_sub(1);
        let Some(own) = self.chunks.get(chunk) else { return Err((0, 0)) };
        own.ids.binary_search(&id).map(|at| (chunk, at)).map_err(|at| (chunk, at))
    }

    fn add_chunk(&mut self, at: usize, first: K, chunk: Chunk<K, V>) {
        self.empty += usize::from(chunk.ids.is_empty());
        self.firsts.insert(at, first);
        self.chunks.insert(at, chunk);
    }

    /// Joins a chunk of which little is left with a neighbour of which little is left, so that room comes back.
    fn join(&mut self, chunk: usize) {
        let size = |at: usize| self.chunks.get(at).map_or(0, |c| c.ids.len());
        let fits = |at: &usize| size(*at) > 0 && size(at + 1) > 0 && size(*at) + size(at + 1) <= MOST / 2;
        let Some(left) = [Some(chunk), chunk.checked_sub(1)].into_iter().flatten().find(fits) else { return };
        let mut both = std::mem::take(&mut self.chunks[left]);
        let right = &mut self.chunks[left + 1];
        both.ids.append(&mut right.ids);
        both.values.append(&mut right.values);
        *right = both;
        // What is looked for from here on is looked for in the right one.
        self.firsts[left + 1] = self.firsts[left];
        self.vacate(left);
    }

    /// A chunk has nothing any more. Its place is kept until many are like it, as closing the gap moves all behind it.
    fn vacate(&mut self, chunk: usize) {
        self.chunks[chunk] = Chunk::default();
        self.empty += 1;
        if self.empty * 2 > self.chunks.len() {
            let mut of_chunk = self.chunks.iter().map(|c| !c.ids.is_empty());
            self.firsts.retain(|_| of_chunk.next().unwrap_or(false));
            self.chunks.retain(|c| !c.ids.is_empty());
            self.empty = 0;
        }
    }
}

/// Entries of a part of the map, from both ends.
pub struct Entries<'a, K, V> {
    chunks: &'a [Chunk<K, V>],
    from: Spot,
    to: Spot,
}

impl<'a, K, V> Iterator for Entries<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        while self.from < self.to {
            let (chunk, at) = self.from;
            let own = self.chunks.get(chunk)?;
            if let (Some(id), Some(value)) = (own.ids.get(at), own.values.get(at)) {
                self.from = (chunk, at + 1);
                return Some((id, value));
            }
            self.from = (chunk + 1, 0);
        }
        None
    }
}

impl<K, V> DoubleEndedIterator for Entries<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while self.from < self.to {
            let (chunk, at) = self.to;
            if at == 0 {
                let before = chunk.checked_sub(1)?;
                self.to = (before, self.chunks[before].ids.len());
                continue;
            }
            self.to = (chunk, at - 1);
            let own = &self.chunks[chunk];
            return Some((&own.ids[at - 1], &own.values[at - 1]));
        }
        None
    }
}

impl<K, V> fmt::Debug for Entries<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl<K: Id, V> Index<&K> for IdMap<K, V> {
    type Output = V;

    fn index(&self, id: &K) -> &V {
        self.get(id).expect("the id is known")
    }
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self { firsts: Vec::new(), chunks: Vec::new(), empty: 0, len: 0, hints: Hints::default() }
    }
}

impl<K: Id, V: Clone> Clone for IdMap<K, V> {
    fn clone(&self) -> Self {
        let (firsts, chunks) = (self.firsts.clone(), self.chunks.clone());
        Self { firsts, chunks, empty: self.empty, len: self.len, hints: Hints::default() }
    }
}

impl<K: Id, V: PartialEq> PartialEq for IdMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Id, V: fmt::Debug> fmt::Debug for IdMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a, K: Id, V> IntoIterator for &'a IdMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Entries<'a, K, V>;

    fn into_iter(self) -> Entries<'a, K, V> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::splitmix::splitmix;

    fn check(map: &JobMap<u64>, model: &BTreeMap<JobId, u64>) {
        assert_eq!(map.len(), model.len());
        assert!(map.iter().eq(model.iter()), "forwards");
        assert!(map.iter().rev().eq(model.iter().rev()), "backwards");
        assert!(map.chunks.iter().all(|c| c.ids.len() <= MOST));
        assert_eq!(map.empty, map.chunks.iter().filter(|c| c.ids.is_empty()).count());
        assert!(map.empty * 2 <= map.chunks.len());
    }

    /// Over many random inserts and removals, at the end, at the beginning and anywhere: what a B-tree does.
    #[test]
    fn it_does_what_a_sorted_map_does() {
        for seed in 0..12_u64 {
            let (mut map, mut model) = (JobMap::default(), BTreeMap::new());
            let mut last = 1 << 40;
            for step in 0..6_000_u64 {
                let chance = splitmix(seed << 40 | step);
                let any = JobId(u128::from(chance >> 20) % (1 << 13) + (1 << 40));
                // A time of growth, a time of decline, and again.
                let grows = chance % 10 < if step / 1_500 % 2 == 0 { 8 } else { 2 };
                if grows {
                    last += 1;
                    let id = if seed % 3 == 0 { any } else { JobId(last) };
                    assert_eq!(map.insert(id, step), model.insert(id, step));
                } else {
                    let first = model.keys().next().copied().unwrap_or(any);
                    let id = if seed % 2 == 0 { first } else { any };
                    assert_eq!(map.remove(&id), model.remove(&id));
                }
                assert_eq!(map.get(&any), model.get(&any));
                assert_eq!(map.get_mut(&any), model.get_mut(&any));
                let other = JobId(u128::from(chance >> 30) % (1 << 13) + (1 << 40));
                let (low, high) = (any.min(other), any.max(other));
                if step % 50 == 0 {
                    check(&map, &model);
                    assert!(map.range(low..high).eq(model.range(low..high)));
                    assert!(map.range(..=high).rev().eq(model.range(..=high).rev()));
                    let above = (Bound::Excluded(low), Bound::Unbounded);
                    assert!(map.range(above).eq(model.range(above)));
                }
            }
            assert_eq!(map, map.clone());
            assert!(map.into_values().eq(model.into_values()));
        }
    }

    /// Under rising ids no chunk but the last has room left, and what has left gives its room back.
    #[test]
    fn it_is_full_and_shrinks() {
        let mut map = JobMap::default();
        (0..10 * MOST as u128).for_each(|n| assert_eq!(map.insert(JobId(n), n), None));
        assert_eq!(map.chunks.len(), 10);
        (0..10 * MOST as u128)
            .filter(|n| n % 16 != 0)
            .for_each(|n| assert_eq!(map.remove(&JobId(n)), Some(n)));
        assert!(map.chunks.len() <= 6, "{} chunks for {} jobs", map.chunks.len(), map.len());
    }
}
