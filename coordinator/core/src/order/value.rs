//! Priority from what content is worth.

use rushes_shared::job::{Class, ContentValue, JobSpec, Priority};
use serde::{Deserialize, Serialize};

/// Points that each trait of content adds. The sum, at most 100, is the priority:
/// `base + tier x creator_tier + views x floor(log10(expected_views + 1)) + monetised + trending + premium`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueWeights {
    /// For any content.
    pub base: u32,
    /// For each step of the creator's tier.
    pub tier: u32,
    /// For each decimal digit of the expected views.
    pub views: u32,
    /// Where it earns money.
    pub monetised: u32,
    /// Where it is asked for now.
    pub trending: u32,
    /// In the premium and emergency classes.
    pub premium: u32,
}

impl Default for ValueWeights {
    fn default() -> Self {
        Self { base: 10, tier: 6, views: 4, monetised: 8, trending: 10, premium: 10 }
    }
}

impl ValueWeights {
    /// The priority of content of this value in a job of this class.
    #[must_use]
    pub fn priority(&self, value: &ContentValue, class: Class) -> Priority {
        let decades = value.expected_views.saturating_add(1).ilog10();
        let points = [
            self.base,
            self.tier.saturating_mul(u32::from(value.creator_tier)),
            self.views.saturating_mul(decades),
            if value.monetised { self.monetised } else { 0 },
            if value.trending { self.trending } else { 0 },
            if class >= Class::Premium { self.premium } else { 0 },
        ];
        let sum = points.into_iter().fold(0_u32, u32::saturating_add).min(u32::from(Priority::MAX));
        Priority::new(u8::try_from(sum).unwrap_or(Priority::MAX)).unwrap_or_default()
    }

    /// The priority of a job: computed where its content's value is given, else what was asked for.
    #[must_use]
    pub fn priority_of(&self, spec: &JobSpec) -> Priority {
        spec.value.as_ref().map_or(spec.priority, |value| self.priority(value, spec.class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_adds_up_and_stays_within_its_range() {
        let weights = ValueWeights::default();
        let points = |value: ContentValue, class| weights.priority(&value, class).value();
        let nobody = ContentValue::default();
        assert_eq!(points(nobody, Class::Standard), 10);
        let known = ContentValue { creator_tier: 3, expected_views: 999_999, ..nobody };
        assert_eq!(points(known, Class::Standard), 10 + 18 + 24);
        let star =
            ContentValue { creator_tier: 5, expected_views: u64::MAX, monetised: true, trending: true };
        assert_eq!(points(star, Class::Premium), 100);
    }
}
