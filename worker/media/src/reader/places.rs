//! Where the channels of decoded sound stand, for demuxers and decoders that do not say it, or say it in another way than the rest.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_audio::AudioChannelPosition;

/// Both channels behind the listener, and both at the side.
const REAR: u64 = 0x30;
const SIDE: u64 = 0xc00;

/// Has sound that reaches a pad say where its channels stand.
pub(super) fn settle(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        let settled = info.event().and_then(|event| match event.view() {
            gst::EventView::Caps(caps) => settled(caps.caps()),
            _ => None,
        });
        if let Some(caps) = settled {
            info.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Caps with other places than these; `None` where these are as they should be.
fn settled(caps: &gst::CapsRef) -> Option<gst::Caps> {
    let fields = caps.structure(0).filter(|fields| fields.name() == "audio/x-raw")?;
    let channels = fields.get::<i32>("channels").ok().and_then(|channels| u32::try_from(channels).ok())?;
    let said = fields.get::<gst::Bitmask>("channel-mask").map_or(0, |mask| mask.0);
    let places = place(said, channels)?;
    let mut caps = caps.to_owned();
    let fields = caps.make_mut().structure_mut(0)?;
    fields.set("channel-mask", gst::Bitmask::new(places));
    Some(caps)
}

/// QuickTime and MXF files may leave the places open: they are the usual ones of so many channels then. The surrounds of five channels
/// stand at the side in one format and behind in another, and are the same two loudspeakers.
fn place(said: u64, channels: u32) -> Option<u64> {
    let places = match said {
        0 if channels > 1 => AudioChannelPosition::fallback_mask(channels),
        _ if said & SIDE == SIDE && said & REAR == 0 => said & !SIDE | REAR,
        _ => said,
    };
    (places != said && places.count_ones() == channels).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_open_are_the_usual_ones_and_two_surrounds_stand_behind() {
        gst::init().unwrap();
        assert_eq!(place(0, 6), Some(0x3f));
        assert_eq!(place(0, 2), Some(3));
        assert_eq!(place(0xc0f, 6), Some(0x3f), "5.1 with its surrounds at the side");
        assert_eq!(place(0xc07, 5), Some(0x37));
        assert_eq!(place(0x3f, 6), None);
        assert_eq!(place(0xc3f, 8), None, "7.1 has both");
        assert_eq!((place(0, 1), place(0, 24), place(4, 1)), (None, None, None));
    }
}
