//! The DASH manifest (ISO/IEC 23009-1) over the same segments.

use std::fmt::Write;

use super::rendition::Made;
use super::seconds;

/// The manifest: an adaptation set for each codec of the pictures; one for each sound, or one for all rates of a sound.
/// `duration_ns` is the time from the film's start to its end.
pub(super) fn manifest(video: &[Made], audio: &[Made], is_one_sound: bool, duration_ns: u64) -> String {
    // Who has the bits of the longest segment need not wait again at its representation's rate, wherever he begins.
    let longest = video.iter().chain(audio).map(Made::longest_ns).max().unwrap_or(0);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019\" \
         mediaPresentationDuration=\"PT{}S\" minBufferTime=\"PT{}S\">\n  <Period id=\"1\" start=\"PT0S\">\n",
        seconds(duration_ns),
        seconds(longest.next_multiple_of(1_000_000)),
    );
    let codecs = super::by_codec(video);
    for (id, codec) in (1..).zip(&codecs) {
        pictures(&mut text, id, codec);
    }
    let sounds: Vec<&[Made]> =
        if is_one_sound && !audio.is_empty() { vec![audio] } else { audio.chunks(1).collect() };
    for (id, rates) in (1 + codecs.len()..).zip(sounds) {
        one_sound(&mut text, id, rates);
    }
    text.push_str("  </Period>\n</MPD>\n");
    text
}

/// The rungs of a codec.
fn pictures(text: &mut String, id: usize, video: &[Made]) {
    let Some(first) = video.first() else { return };
    let most = |of: fn(&Made) -> u32| video.iter().map(of).max().unwrap_or(0);
    put(
        text,
        format_args!(
            "    <AdaptationSet id=\"{id}\" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" \
             startWithSAP=\"1\" subsegmentAlignment=\"true\" maxWidth=\"{}\" maxHeight=\"{}\">\n",
            most(|made| made.about.size.0),
            most(|made| made.about.size.1)
        ),
    );
    // ISO/IEC 23091-2's numbers, of which a player that does not know HDR has to hear.
    if let Some(points) = first.hdr_points {
        for (what, point) in
            ["ColourPrimaries", "TransferCharacteristics", "MatrixCoefficients"].iter().zip(points)
        {
            put(
                text,
                format_args!(
                    "      <SupplementalProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:{what}\" value=\"{point}\"/>\n"
                ),
            );
        }
    }
    template(text, first);
    for rung in video {
        put(
            text,
            format_args!(
                "      <Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\" width=\"{}\" height=\"{}\" \
                 frameRate=\"{}/{}\" sar=\"{}:{}\"/>\n",
                escaped(&rung.about.name),
                rung.about.peak_bps,
                rung.about.codecs,
                rung.about.size.0,
                rung.about.size.1,
                rung.frame_rate.num,
                rung.frame_rate.den,
                rung.sar.num,
                rung.sar.den,
            ),
        );
    }
    text.push_str("    </AdaptationSet>\n");
}

/// A sound at one rate or several.
fn one_sound(text: &mut String, id: usize, rates: &[Made]) {
    let Some(first) = rates.first() else { return };
    let language = first.language.as_ref().map(|code| format!(" lang=\"{code}\"")).unwrap_or_default();
    put(
        text,
        format_args!(
            "    <AdaptationSet id=\"{id}\" contentType=\"audio\" mimeType=\"audio/mp4\" segmentAlignment=\"true\" \
             startWithSAP=\"1\"{language}>\n"
        ),
    );
    template(text, first);
    for sound in rates {
        put(
            text,
            format_args!(
                "      <Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\" audioSamplingRate=\"{}\">\n        \
                 <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" \
                 value=\"{}\"/>\n      </Representation>\n",
                escaped(&sound.about.name),
                sound.about.peak_bps,
                sound.about.codecs,
                sound.sample_rate,
                configuration(sound.channels)
            ),
        );
    }
    text.push_str("    </AdaptationSet>\n");
}

/// The number of the usual layout of so many channels (ISO/IEC 23091-3, table 8): up to six they are the same.
fn configuration(channels: u32) -> u32 {
    match channels {
        7 => 11,
        8 => 12,
        few => few,
    }
}

/// Where segments are and when. Rungs have the same borders, so that one for all of them is enough.
fn template(text: &mut String, made: &Made) {
    put(
        text,
        format_args!(
            "      <SegmentTemplate timescale=\"{}\" startNumber=\"1\" initialization=\"$RepresentationID$/init.mp4\" \
             media=\"$RepresentationID$/$Number$.m4s\">\n        <SegmentTimeline>\n",
            made.timescale
        ),
    );
    let mut rows: Vec<(i64, u64, u32)> = Vec::new();
    for segment in &made.segments {
        let (at, length) = (segment.shown(), segment.length());
        let follows = |row: &(i64, u64, u32)| {
            let end = u64::try_from(row.0).unwrap_or(0) + (u64::from(row.2) + 1) * row.1;
            row.1 == length && i64::try_from(end) == Ok(at)
        };
        match rows.last_mut() {
            Some(row) if follows(row) => row.2 += 1,
            _ => rows.push((at, length, 0)),
        }
    }
    for (at, length, repeat) in rows {
        let repeat = if repeat > 0 { format!(" r=\"{repeat}\"") } else { String::new() };
        put(text, format_args!("          <S t=\"{at}\" d=\"{length}\"{repeat}/>\n"));
    }
    text.push_str("        </SegmentTimeline>\n      </SegmentTemplate>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a text grows");
}
