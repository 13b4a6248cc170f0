//! What a source says of the display that it was mastered on, and of its light (SMPTE ST 2086, CTA-861.3): carried from
//! the decoder's caps into the encoder and the container.

use gstreamer as gst;

/// The caps' fields, in GStreamer's form: ten numbers, and two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mastering {
    display: Option<[u32; 10]>,
    light: Option<[u16; 2]>,
}

impl Mastering {
    /// What caps say; `None` where they say nothing.
    pub(crate) fn of(caps: &gst::CapsRef) -> Option<Self> {
        let fields = caps.structure(0)?;
        let display = numbers(fields, "mastering-display-info").and_then(|n| n.try_into().ok());
        let light = numbers(fields, "content-light-level").and_then(|numbers| {
            let narrow: Vec<u16> = numbers.iter().filter_map(|n| u16::try_from(*n).ok()).collect();
            narrow.try_into().ok()
        });
        (display.is_some() || light.is_some()).then_some(Self { display, light })
    }

    /// The most light that the content has, or else the display, in cd/m2; `None` where neither is said.
    pub(crate) fn peak(&self) -> Option<f32> {
        let content = self.light.map(|[most, _]| f32::from(most)).filter(|most| *most >= 1.0);
        // In ten thousandths.
        let display =
            self.display.map(|numbers| f32::from(u16::try_from(numbers[8] / 10_000).unwrap_or(10_000)));
        content.or(display.filter(|most| *most >= 1.0))
    }

    /// The most and the least light of the display, in cd/m2.
    pub(crate) fn luminances(&self) -> Option<[f64; 2]> {
        let [.., most, least] = self.display?;
        Some([most, least].map(|light| f64::from(light) / 10_000.0))
    }

    /// As x265's options: chromaticities in 1/50000, luminances in 1/10000 cd/m2.
    pub(crate) fn to_x265(self) -> String {
        let mut options = Vec::new();
        if let Some([rx, ry, gx, gy, bx, by, wx, wy, most, least]) = self.display {
            options.push(format!(
                "master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"
            ));
        }
        options.extend(self.light.map(|[most, mean]| format!("max-cll={most},{mean}")));
        options.join(":")
    }
}

impl Mastering {
    /// The display as AV1's metadata (6.7.4): chromaticities in 1/65536, the most light in 1/256 and the least in 1/16384 cd/m2.
    pub(crate) fn to_mdcv(self) -> Option<Vec<u8>> {
        let [places @ .., most, least] = self.display?;
        let scaled = |number: u32, to: u64, from: u64| (u64::from(number) * to + from / 2) / from;
        let narrow = |number: u64| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        let wide = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes: Vec<u8> =
            places.into_iter().flat_map(|place| narrow(scaled(place, 65_536, 50_000))).collect();
        bytes.extend(wide(scaled(most, 256, 10_000)));
        bytes.extend(wide(scaled(least, 16_384, 10_000)));
        Some(bytes)
    }

    /// The display as ISO base media files have it (ISO/IEC 23001-17's `mdcv`): green, blue, red and white in 1/50000, light in
    /// 1/10000 cd/m2.
    pub(crate) fn to_file(self) -> Option<Vec<u8>> {
        let [red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y, most, least] = self.display?;
        let places = [green_x, green_y, blue_x, blue_y, red_x, red_y, white_x, white_y];
        let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        Some(
            places
                .into_iter()
                .flat_map(narrow)
                .chain([most, least].into_iter().flat_map(u32::to_be_bytes))
                .collect(),
        )
    }

    /// The content's light as AV1's metadata (6.7.3), in cd/m2.
    pub(crate) fn to_cll(self) -> Option<Vec<u8>> {
        Some(self.light?.into_iter().flat_map(u16::to_be_bytes).collect())
    }
}

fn numbers(fields: &gst::StructureRef, name: &str) -> Option<Vec<u32>> {
    fields.get::<&str>(name).ok()?.split(':').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_caps_say_of_the_display_becomes_an_option() {
        gst::init().unwrap();
        let caps = gst::Caps::builder("video/x-raw")
            .field("mastering-display-info", "35400:14600:8500:39850:6550:2300:15635:16450:10000000:50")
            .field("content-light-level", "1000:400")
            .build();
        let mastering = Mastering::of(&caps).unwrap();
        assert_eq!(
            mastering.to_x265(),
            "master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50):max-cll=1000,400"
        );
        let silent = gst::Caps::builder("video/x-raw").field("content-light-level", "loud").build();
        assert_eq!(Mastering::of(&silent), None);
    }
}
