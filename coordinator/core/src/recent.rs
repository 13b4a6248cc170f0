//! What is known of texts that come again and again: found by one comparison.

use std::sync::Arc;

/// Texts that are remembered; a power of two.
const PLACES: usize = 256;

/// Of every text that came lately what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Recent<T>(Vec<Option<(Arc<str>, T)>>);

impl<T> Default for Recent<T> {
    /// Takes no room until something is noted.
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Recent<T> {
    /// The same text as it was noted, and what is known of it.
    pub(crate) fn get(&self, text: &str) -> Option<(&Arc<str>, &T)> {
        let (known, what) = self.0.get(place(text))?.as_ref()?;
        (**known == *text).then_some((known, what))
    }

    /// Remembers what is known of a text.
    pub(crate) fn note(&mut self, text: &Arc<str>, what: T) {
        if self.0.is_empty() {
            self.0.resize_with(PLACES, || None);
        }
        self.0[place(text)] = Some((Arc::clone(text), what));
    }
}

/// Where a text is looked for: FNV-1a (Fowler, Noll, Vo) of its last bytes, in which names differ.
fn place(text: &str) -> usize {
    let last = text.bytes().rev().take(16);
    let hash = last.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    usize::try_from((hash ^ (hash >> 32)) % PLACES as u64).expect("it is small")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_of_a_text_is_never_said_of_another() {
        let mut recent = Recent::default();
        assert_eq!(recent.get("tenant-0"), None);
        let texts: Vec<Arc<str>> = (0..2_000).map(|n| format!("tenant-{n}").into()).collect();
        for (text, n) in texts.iter().zip(0..) {
            recent.note(text, n);
            assert_eq!(recent.get(text), Some((text, &n)));
        }
        let right = |(text, n): (&Arc<str>, i32)| recent.get(text).is_none_or(|(_, known)| *known == n);
        assert!(texts.iter().zip(0..).all(right));
    }
}
