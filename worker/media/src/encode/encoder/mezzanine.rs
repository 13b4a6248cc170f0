//! Intermediates and the archive's codec, by libav: every frame a key frame, no rate to decide.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video::VideoFormat;
use rushes_shared::encode::MezzanineProfile;
use rushes_shared::failure::Failure;

use super::{Encoder, Order, impossible, set_number};
use crate::start::element;

/// FFV1 version 3 in slices that carry checksums, so that damage is found and stays where it is.
pub(super) fn ffv1(order: &Order<'_>) -> Result<Encoder, Failure> {
    let encoder = element("avenc_ffv1")?;
    for (property, value) in [("gop-size", 1), ("slices", 4)] {
        set_number(&encoder, property, value);
    }
    encoder.set_property("slicecrc", true);
    threads(&encoder, order);
    // The element takes the version from libav's level, which has no property; slices and checksums ask for 3.
    Ok(Encoder { element: encoder, parsers: Vec::new(), leaves: gst::Caps::builder("video/x-ffv").build() })
}

pub(super) fn prores(order: &Order<'_>) -> Result<Encoder, Failure> {
    let encoder = element("avenc_prores_ks")?;
    let profile = match (order.settings.profile, order.plan.format) {
        (_, VideoFormat::Y44410le) => "4444",
        (MezzanineProfile::Proxy, _) => "proxy",
        (MezzanineProfile::Lt, _) => "lt",
        (MezzanineProfile::Standard, _) => "standard",
        (MezzanineProfile::Hq, _) => "hq",
    };
    encoder.set_property_from_str("profile", profile);
    // Apple's own decoders look for a name that they know.
    encoder.set_property("vendor", "apl0");
    threads(&encoder, order);
    Ok(Encoder {
        element: encoder,
        parsers: Vec::new(),
        leaves: gst::Caps::builder("video/x-prores").build(),
    })
}

pub(super) fn dnxhr(order: &Order<'_>) -> Result<Encoder, Failure> {
    let size = (order.plan.width, order.plan.height);
    if !matches!(size, (1920, 1080) | (1280, 720)) {
        return Err(impossible(
            &format!("DNxHD takes pictures of 1920x1080 or 1280x720, not {}x{}", size.0, size.1),
            "set a maximum size that gives one of them, or use prores",
        ));
    }
    let encoder = element("avenc_dnxhd")?;
    let profile = match (order.settings.profile, order.plan.format) {
        (_, VideoFormat::I42210le) => "dnxhr_hqx",
        (MezzanineProfile::Proxy, _) => "dnxhr_lb",
        (MezzanineProfile::Lt | MezzanineProfile::Standard, _) => "dnxhr_sq",
        (MezzanineProfile::Hq, _) => "dnxhr_hq",
    };
    encoder.set_property_from_str("profile", profile);
    threads(&encoder, order);
    Ok(Encoder { element: encoder, parsers: Vec::new(), leaves: gst::Caps::builder("video/x-dnxhd").build() })
}

fn threads(encoder: &gst::Element, order: &Order<'_>) {
    if let Some(threads) = order.threads {
        set_number(encoder, "max-threads", threads);
    }
}
