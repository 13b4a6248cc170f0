//! HEVC's sequence parameter set (ITU-T H.265, 7.3.2.2) as far as facts need it: to the description of colours, and
//! nothing where it holds what is not plain.

use h264_reader::rbsp::{BitRead, BitReader, decode_nal};

/// What the set says.
#[derive(Debug, PartialEq)]
pub(super) struct Sequence {
    pub(super) profile: u8,
    pub(super) level: u8,
    /// Sides of what is shown, in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits a sample of luma.
    pub(super) depth: u32,
    /// Code points of primaries, transfer, matrix where they are described; and full range.
    pub(super) colour: (Option<[u8; 3]>, bool),
}

/// Most sets of reference pictures (`num_short_term_ref_pic_sets`), and pictures of one of them.
const MOST_SETS: u32 = 64;
const MOST_PICTURES: u32 = 16;

impl Sequence {
    /// Reads a whole NAL unit.
    pub(super) fn of(unit: &[u8]) -> Option<Self> {
        // Its header has two bytes; the second goes with those that are taken off.
        let bytes = decode_nal(unit.get(1..).filter(|unit| unit.len() > 1)?).ok()?;
        let mut bits = Reader(BitReader::new(&bytes[..]));
        bits.skip(4)?;
        let layers = bits.take(3)?;
        bits.skip(1)?;
        let (profile, level) = bits.profile_and_level(layers)?;
        bits.golomb()?;
        // Two samples of luma lie beside and above each sample of 4:2:0 chroma, in whose number windows are counted.
        const CHROMA_420: u32 = 1;
        if bits.golomb()? != CHROMA_420 {
            return None;
        }
        let (mut width, mut height) = (bits.golomb()?, bits.golomb()?);
        if bits.flag()? {
            let mut cut = |side: u32| {
                let both = bits.golomb()?.checked_add(bits.golomb()?)?;
                side.checked_sub(both.checked_mul(2)?)
            };
            (width, height) = (cut(width)?, cut(height)?);
        }
        let (depth, _chroma) = (bits.golomb()?, bits.golomb()?);
        let order_bits = bits.golomb()?;
        let told = if bits.flag()? { layers + 1 } else { 1 };
        bits.golombs(told * 3)?;
        // Sizes of blocks and depths of trees.
        bits.golombs(6)?;
        // Scaling lists of its own.
        if bits.flag()? && bits.flag()? {
            return None;
        }
        bits.skip(2)?;
        if bits.flag()? {
            bits.skip(8)?;
            bits.golombs(2)?;
            bits.skip(1)?;
        }
        bits.references(order_bits)?;
        bits.skip(2)?;
        let colour = if bits.flag()? { bits.colour()? } else { (None, false) };
        let depth = depth.checked_add(8).filter(|depth| *depth <= 16)?;
        Some(Self { profile, level, width, height, depth, colour })
    }
}

/// Bits of a raw byte sequence payload.
struct Reader<'a>(BitReader<&'a [u8]>);

impl Reader<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        self.0.read_var(count, "sequence parameter set").ok()
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.0.skip(count, "sequence parameter set").ok()
    }

    fn golomb(&mut self) -> Option<u32> {
        self.0.read_ue("sequence parameter set").ok()
    }

    fn golombs(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.golomb().map(drop))
    }

    /// 7.3.3: the whole's profile and level, behind which those of `layers` more layers are passed over.
    fn profile_and_level(&mut self, layers: u32) -> Option<(u8, u8)> {
        let (space, _tier, profile) = (self.take(2)?, self.take(1)?, self.take(5)?);
        self.skip(32)?;
        let (_progressive, interlaced) = (self.flag()?, self.flag()?);
        if space != 0 || interlaced {
            return None;
        }
        self.skip(46)?;
        let level = self.take(8)?;
        let mut present = Vec::new();
        for _ in 0..layers {
            present.push((self.flag()?, self.flag()?));
        }
        if layers > 0 {
            self.skip(2 * (8 - layers))?;
        }
        for (has_profile, has_level) in present {
            self.skip(u32::from(has_profile) * 88 + u32::from(has_level) * 8)?;
        }
        Some((u8::try_from(profile).ok()?, u8::try_from(level).ok()?))
    }

    /// 7.3.7, each set on its own; one that is told by its difference from another is not followed.
    fn references(&mut self, order_bits: u32) -> Option<()> {
        let sets = self.golomb().filter(|sets| *sets <= MOST_SETS)?;
        for set in 0..sets {
            if set > 0 && self.flag()? {
                return None;
            }
            let before = self.golomb().filter(|pictures| *pictures <= MOST_PICTURES)?;
            let after = self.golomb().filter(|pictures| *pictures <= MOST_PICTURES)?;
            for _ in 0..before + after {
                self.golomb()?;
                self.skip(1)?;
            }
        }
        if self.flag()? {
            let order_bits = order_bits.checked_add(4).filter(|bits| *bits <= 16)?;
            for _ in 0..self.golomb().filter(|pictures| *pictures <= 2 * MOST_PICTURES)? {
                self.skip(order_bits + 1)?;
            }
        }
        Some(())
    }

    /// Annex E: colours, and nothing for fields and for a window of its own.
    fn colour(&mut self) -> Option<(Option<[u8; 3]>, bool)> {
        const OWN_ASPECT: u32 = 255;
        if self.flag()? && self.take(8)? == OWN_ASPECT {
            self.skip(32)?;
        }
        if self.flag()? {
            self.skip(1)?;
        }
        let (mut points, mut full) = (None, false);
        if self.flag()? {
            self.skip(3)?;
            full = self.flag()?;
            if self.flag()? {
                let mut point = || self.take(8).and_then(|point| u8::try_from(point).ok());
                points = Some([point()?, point()?, point()?]);
            }
        }
        if self.flag()? {
            self.golombs(2)?;
        }
        let (_neutral, fields, _field_info, window) =
            (self.flag()?, self.flag()?, self.flag()?, self.flag()?);
        (!fields && !window).then_some((points, full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_sequence_and_no_crash() {
        for bytes in
            [&b""[..], b"\x42", b"\x42\x01", &[0x42, 0x01, 0xff, 0xff, 0xff, 0xff], &[0x42; 64], &[0; 64]]
        {
            assert_eq!(Sequence::of(bytes), None, "{bytes:?}");
        }
    }
}
