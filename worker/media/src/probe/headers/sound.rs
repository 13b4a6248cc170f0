//! AAC's configuration (ISO/IEC 14496-3, 1.6.2.1; in MP4 within an ES descriptor, ISO/IEC 14496-1, 7.2.6).

use gstreamer as gst;

use crate::encode::bitstream::Bits;

/// Caps of AAC-LC as its parser makes them; nothing for its relatives, whose rate and channels depend on more than this.
pub(super) fn aac(descriptor: &[u8]) -> Option<gst::Caps> {
    let config = specific_config(descriptor)?;
    let mut bits = Bits { bytes: config, at: 0 };
    if bits.take(5)? != 2 {
        return None;
    }
    let rate = *RATES.get(usize::try_from(bits.take(4)?).ok()?)?;
    let channels = match bits.take(4)? {
        channels @ 1..=6 => channels,
        7 => 8,
        _ => return None,
    };
    // A frame of 960 samples, a core coder, an extension: none of them is plain.
    if bits.take(3)? != 0 {
        return None;
    }
    // 1.6.5.3: band replication may be told of behind the configuration.
    const SYNC: u32 = 0x2b7;
    if bits.take(11) == Some(SYNC) && (bits.take(5)? != 5 || bits.take(1)? != 0) {
        return None;
    }
    let caps = gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4i32)
        .field("profile", "lc")
        .field("rate", rate)
        .field("channels", i32::try_from(channels).ok()?);
    Some(caps.build())
}

/// Samples a second by `samplingFrequencyIndex`.
const RATES: [i32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Whether an `esds` box's body tells of MPEG-1 sound, which needs no more of a configuration.
pub(super) fn is_mpeg_1(body: &[u8]) -> bool {
    const MPEG1_AUDIO: u8 = 0x6b;
    decoder_config(body).is_some_and(|decoder| decoder.first() == Some(&MPEG1_AUDIO))
}

/// The decoder's own configuration out of an `esds` box's body.
fn specific_config(body: &[u8]) -> Option<&[u8]> {
    const MPEG4_AUDIO: u8 = 0x40;
    let decoder = decoder_config(body)?;
    if *decoder.first()? != MPEG4_AUDIO {
        return None;
    }
    let (tag, config) = descriptor(decoder.get(13..)?)?;
    (tag == 5).then_some(config)
}

/// What decoder a stream needs, out of an `esds` box's body.
fn decoder_config(body: &[u8]) -> Option<&[u8]> {
    let (tag, stream) = descriptor(body.get(4..)?)?;
    let flags = *stream.get(2)?;
    // A dependency, a URL, a clock: each would move what follows.
    if tag != 3 || flags & 0xe0 != 0 {
        return None;
    }
    let (tag, decoder) = descriptor(stream.get(3..)?)?;
    (tag == 4).then_some(decoder)
}

/// A descriptor's tag and body.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let tag = *bytes.first()?;
    let (mut size, mut at) = (0usize, 1);
    loop {
        let byte = *bytes.get(at)?;
        size = size << 7 | usize::from(byte & 0x7f);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if at > 4 {
            return None;
        }
    }
    Some((tag, bytes.get(at..at.checked_add(size)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn esds(config: &[u8]) -> Vec<u8> {
        let size = |more: usize| u8::try_from(config.len() + more).unwrap();
        let mut body = vec![0, 0, 0, 0, 3, size(3 + 2 + 13 + 2), 0, 1, 0, 4, size(13 + 2), 0x40];
        body.extend([0; 12]);
        body.extend([5, size(0)]);
        body.extend(config);
        body
    }

    #[test]
    fn low_complexity_is_known_and_its_relatives_are_not() {
        gst::init().unwrap();
        let caps = aac(&esds(&[0x11, 0x90])).unwrap();
        let fields = caps.structure(0).unwrap();
        assert_eq!((fields.get("rate"), fields.get("channels")), (Ok(48_000), Ok(2)));
        // The encoder says that there is no band replication, and that there is.
        assert!(aac(&esds(&[0x11, 0x90, 0x56, 0xe5, 0x00])).is_some());
        assert!(aac(&esds(&[0x11, 0x90, 0x56, 0xe5, 0x80])).is_none());
        // Explicit band replication, channels that only the stream knows, a rate of its own.
        assert!(aac(&esds(&[0x2b, 0x11, 0x88])).is_none());
        assert!(aac(&esds(&[0x11, 0x80])).is_none());
        assert!(aac(&esds(&[0x17, 0x80, 0x5d, 0xc0, 0x10])).is_none());
        let whole = esds(&[0x11, 0x90]);
        for end in 0..whole.len() {
            assert!(aac(&whole[..end]).is_none(), "{end}");
        }
    }
}
