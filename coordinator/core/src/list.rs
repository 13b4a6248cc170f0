//! Lists for what there may be a million of: they take little room as long as they hold what they usually do.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list that nearly always has exactly one element, which is kept in place.
#[derive(Debug, Clone)]
pub enum Row<T> {
    /// The usual one.
    One(T),
    /// Any other number.
    Many(Vec<T>),
}

impl<T> Row<T> {
    /// Adds an element at the end.
    pub fn push(&mut self, element: T) {
        *self = match std::mem::take(self) {
            Self::Many(empty) if empty.is_empty() => Self::One(element),
            Self::Many(mut many) => {
                many.push(element);
                Self::Many(many)
            }
            Self::One(first) => Self::Many(vec![first, element]),
        };
    }

    /// Adds so many elements at the end, each with its default.
    pub fn grow(&mut self, more: usize)
    where
        T: Default,
    {
        if self.is_empty() && more == 1 {
            *self = Self::One(T::default());
            return;
        }
        let mut many: Vec<T> = std::mem::take(self).into();
        many.reserve_exact(more);
        many.extend(std::iter::repeat_with(T::default).take(more));
        *self = Self::Many(many);
    }
}

impl<T> Default for Row<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> Deref for Row<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T> DerefMut for Row<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }
}

impl<T: PartialEq> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> From<Vec<T>> for Row<T> {
    fn from(mut many: Vec<T>) -> Self {
        match many.pop() {
            Some(one) if many.is_empty() => Self::One(one),
            last => {
                many.extend(last);
                Self::Many(many)
            }
        }
    }
}

impl<T> From<Row<T>> for Vec<T> {
    fn from(row: Row<T>) -> Self {
        match row {
            Row::One(one) => vec![one],
            Row::Many(many) => many,
        }
    }
}

impl<'a, T> IntoIterator for &'a Row<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for Row<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Row<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::deserialize(d).map(Self::from)
    }
}

/// A list that is nearly always empty.
#[derive(Debug, Clone)]
#[expect(clippy::box_collection, reason = "a pointer takes a third of what an empty vector does")]
pub struct Few<T>(Option<Box<Vec<T>>>);

impl<T> Few<T> {
    /// Adds an element at the end.
    pub fn push(&mut self, element: T) {
        self.0.get_or_insert_default().push(element);
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |some| some.as_slice())
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut().map_or(&mut [], |some| some.as_mut_slice())
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(many: Vec<T>) -> Self {
        Self((!many.is_empty()).then(|| Box::new(many)))
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::deserialize(d).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is done to them, they hold what a vector would.
    #[test]
    fn they_hold_what_a_vector_holds() {
        for length in 0..5_usize {
            let plain: Vec<usize> = (0..length).collect();
            let (mut row, mut few) = (Row::default(), Few::default());
            plain.iter().for_each(|n| row.push(*n));
            plain.iter().for_each(|n| few.push(*n));
            assert_eq!((&*row, &*few), (&*plain, &*plain));
            assert_eq!(row, Row::from(plain.clone()));
            assert_eq!(few, Few::from(plain.clone()));
            assert_eq!(Vec::from(row), plain);
            for more in 0..3 {
                let mut row = Row::from(plain.clone());
                row.grow(more);
                assert_eq!(*row, *[plain.clone(), vec![0; more]].concat());
            }
        }
    }

    /// One element costs no allocation, and none costs a pointer at most.
    #[test]
    fn what_is_usual_is_small() {
        assert!(matches!(Row::from(vec![7]), Row::One(7)));
        assert_eq!(size_of::<Few<[u64; 9]>>(), size_of::<usize>());
        assert_eq!(size_of::<Row<[u64; 2]>>(), size_of::<Vec<u64>>());
    }
}
