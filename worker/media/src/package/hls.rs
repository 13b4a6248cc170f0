//! HLS playlists (RFC 8216).

use std::fmt::Write;

use super::rendition::Made;
use super::seconds;

/// A media playlist: every segment of one rendition.
pub(super) fn media(made: &Made) -> String {
    let lengths = made.segments.iter().map(|segment| segment.length_ns(made.timescale));
    let longest = lengths.clone().max().unwrap_or(0);
    // Rounded to the nearest second, no segment may be longer than this (4.3.3.1).
    let target = (longest + 500_000_000) / 1_000_000_000;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n",
        target.max(1)
    );
    for (number, length) in (1..).zip(lengths) {
        put(&mut text, format_args!("#EXTINF:{},\n{}\n", seconds(length), super::segment_name(number)));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The master playlist: every rung with every sound.
pub(super) fn master(video: &[Made], audio: &[Made]) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for (number, sound) in audio.iter().enumerate() {
        let first = if number == 0 { "YES" } else { "NO" };
        put(
            &mut text,
            format_args!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"{}\",{}DEFAULT={first},AUTOSELECT=YES,\
                 CHANNELS=\"{}\",URI=\"{}/media.m3u8\"\n",
                sound.about.name,
                sound.language.as_ref().map(|code| format!("LANGUAGE=\"{code}\",")).unwrap_or_default(),
                sound.channels,
                sound.about.name
            ),
        );
    }
    let most = |of: fn(&Made) -> u64| audio.iter().map(of).max().unwrap_or(0);
    let (sound_peak, sound_average) = (most(|made| made.about.peak_bps), most(|made| made.about.average_bps));
    for rung in video {
        let mut codecs = rung.about.codecs.clone();
        if let Some(sound) = audio.first() {
            put(&mut codecs, format_args!(",{}", sound.about.codecs));
        }
        put(
            &mut text,
            format_args!(
                "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codecs}\",RESOLUTION={}x{},\
                 FRAME-RATE={:.3}{}\n{}/media.m3u8\n",
                rung.about.peak_bps + sound_peak,
                rung.about.average_bps + sound_average,
                rung.about.size.0,
                rung.about.size.1,
                rung.frame_rate.value(),
                if audio.is_empty() { "" } else { ",AUDIO=\"sound\"" },
                rung.about.name,
            ),
        );
    }
    text
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a text grows");
}
