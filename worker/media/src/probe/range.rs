//! Whether the pictures of VP9 and AV1 use the full range, by their first packet.
//!
//! Parsers tell the range only of streams that say what matrix they have, and a container may keep quiet; a player
//! believes the packets. Sources: VP9 bitstream specification 0.6, 6.2 and 7.2; AV1 specification, 5.5.2.

use std::io::Cursor;

use scuffle_av1::ObuHeader;
use scuffle_av1::seq::SequenceHeaderObu;

use crate::encode::bitstream::{self, Bits};

/// The most of a packet that is looked at, in bytes.
const LOOKED_AT: usize = 4096;

/// Whether the first packet of a stream of this media type says so.
pub(super) fn is_full(media_type: &str, packet: &[u8]) -> bool {
    let start = &packet[..packet.len().min(LOOKED_AT)];
    let told = match media_type {
        "video/x-vp9" => vp9(start),
        "video/x-av1" => av1(packet),
        _ => None,
    };
    told.unwrap_or(false)
}

/// The `color_range` of a key frame's header.
fn vp9(packet: &[u8]) -> Option<bool> {
    const SYNC_CODE: u32 = 0x49_8342;
    const RGB: u32 = 7;
    let mut bits = Bits { bytes: packet, at: 0 };
    let marker = bits.take(2)?;
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if marker != 2 || (profile == 3 && bits.take(1)? != 0) {
        return None;
    }
    let (shows_existing, is_inter) = (bits.take(1)?, bits.take(1)?);
    let _shown_and_resilient = bits.take(2)?;
    if shows_existing != 0 || is_inter != 0 || bits.take(24)? != SYNC_CODE {
        return None;
    }
    if profile >= 2 {
        let _twelve_bits = bits.take(1)?;
    }
    if bits.take(3)? == RGB {
        return Some(true);
    }
    Some(bits.take(1)? == 1)
}

/// The `color_range` of the sequence header.
fn av1(packet: &[u8]) -> Option<bool> {
    let (before, _, payload, after) = bitstream::sequence_header(packet)?;
    if payload.len() > LOOKED_AT {
        return None;
    }
    let mut reader = Cursor::new(packet[before.len()..packet.len() - after.len()].to_vec());
    let header = ObuHeader::parse(&mut reader).ok()?;
    let sequence = SequenceHeaderObu::parse(header, &mut reader).ok()?;
    Some(sequence.color_config.full_color_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a key frame of profile 0, matrix 2 (BT.709), with the bit of the range as given.
    fn key(full: u8) -> [u8; 5] {
        [0x82, 0x49, 0x83, 0x42, 2 << 5 | full << 4]
    }

    #[test]
    fn the_range_of_vp9_is_a_bit_of_its_key_frames_only() {
        assert!(is_full("video/x-vp9", &key(1)));
        assert!(!is_full("video/x-vp9", &key(0)));
        assert!(!is_full("video/x-vp8", &key(1)));
        let mut inter = key(1);
        inter[0] |= 4;
        assert!(!is_full("video/x-vp9", &inter));
        for end in 0..5 {
            assert!(!is_full("video/x-vp9", &key(1)[..end]), "{end} bytes");
        }
    }

    #[test]
    fn the_range_of_av1_is_a_bit_of_its_sequence_header() {
        // By libaom, in two ranges.
        let full = [0x0a, 0x0a, 0, 0, 0, 3, 0xb4, 0xfd, 0xf3, 0x6b, 0xe4, 0x21];
        let limited = [0x0a, 0x0a, 0, 0, 0, 3, 0xb4, 0xfd, 0xf3, 0x6b, 0xe4, 0x01];
        assert!(is_full("video/x-av1", &[&[0x12, 0][..], &full].concat()));
        assert!(!is_full("video/x-av1", &limited));
        for end in 0..full.len() {
            assert!(!is_full("video/x-av1", &full[..end]), "{end} bytes");
        }
    }
}
