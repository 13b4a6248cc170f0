//! How long nothing new comes at most.

/// Packets may be this many places off the order in which their pictures are shown (H.264 and HEVC: 16).
const DEPTH: usize = 17;

/// Less than a packet of sound of any codec, and more than any container rounds times by, in nanoseconds.
pub(crate) const ROUNDED_NS: u64 = 10_000_000;

/// Times from a picture to the next, or from a piece of sound's end to the next one's begin, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Pictures whose turn is not known yet, in order.
    held: [u64; DEPTH],
    count: usize,
    last: Option<u64>,
    longest: Gap,
}

/// A gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gap {
    /// How long it is, and where it begins.
    pub(crate) ns: u64,
    pub(crate) at: u64,
}

impl Gaps {
    /// A picture, shown at this time; packets may come in the order in which they are decoded.
    pub(crate) fn picture(&mut self, at: u64) {
        if self.count == DEPTH {
            let first = self.held[0];
            self.held.copy_within(1.., 0);
            self.count -= 1;
            self.next(first);
        }
        let place = self.held[..self.count].partition_point(|held| *held <= at);
        self.held.copy_within(place..self.count, place + 1);
        self.held[place] = at;
        self.count += 1;
    }

    /// Nothing from one time to another.
    pub(crate) fn nothing(&mut self, from: u64, to: u64) {
        let ns = to.saturating_sub(from);
        if ns > self.longest.ns {
            self.longest = Gap { ns, at: from };
        }
    }

    fn next(&mut self, at: u64) {
        if let Some(last) = self.last {
            self.nothing(last, at);
        }
        self.last = Some(at);
    }

    /// The longest of those that came by; the first of several.
    pub(crate) fn longest(mut self) -> Gap {
        for at in self.held.into_iter().take(self.count) {
            self.next(at);
        }
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_in_the_order_of_decoding_have_the_gaps_of_their_pictures() {
        let mut gaps = Gaps::default();
        // Groups of an I or P picture and the three B pictures before it; one picture is missing at 800.
        for group in 0..12u64 {
            for at in [4, 2, 1, 3].map(|n| (4 * group + n) * 40).into_iter().filter(|at| *at != 800) {
                gaps.picture(at);
            }
        }
        assert_eq!(gaps.longest(), Gap { ns: 80, at: 760 });
        assert_eq!(Gaps::default().longest(), Gap::default());
    }

    #[test]
    fn the_order_is_found_again_up_to_what_codecs_allow() {
        let mut gaps = Gaps::default();
        gaps.picture(17 * 40);
        for n in 1..=16u64 {
            gaps.picture(n * 40);
        }
        for n in 18..60u64 {
            gaps.picture(n * 40);
        }
        assert_eq!(gaps.longest().ns, 40);
    }
}
