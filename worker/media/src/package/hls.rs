//! HLS playlists (RFC 8216).

use std::collections::BTreeSet;
use std::fmt::Write;

use super::rendition::Made;
use super::seconds;

/// The target duration of all playlists of a set, in seconds: rounded to the nearest second, no segment may be longer than
/// this (4.3.3.1), and no playlist may have another (6.2.4).
pub(super) fn target_s<'a>(set: impl Iterator<Item = &'a Made>) -> u64 {
    let longest = set.map(Made::longest_ns).max().unwrap_or(0);
    ((longest + 500_000_000) / 1_000_000_000).max(1)
}

/// A media playlist: every segment of one rendition.
pub(super) fn media(made: &Made, target_s: u64) -> String {
    let lengths = made.segments.iter().map(|segment| segment.length_ns(made.timescale));
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target_s}\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n"
    );
    for (number, length) in (1..).zip(lengths) {
        put(&mut text, format_args!("#EXTINF:{},\n{}\n", seconds(length), super::segment_name(number)));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The master playlist. Sounds are one group, of which every rung has each to choose from; or, where they are one sound at
/// several rates, a group each, of which the larger rungs have the better.
pub(super) fn master(video: &[Made], audio: &[Made], is_one_sound: bool) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for (number, sound) in audio.iter().enumerate() {
        let first = if number == 0 || is_one_sound { "YES" } else { "NO" };
        let group = if is_one_sound { &sound.about.name } else { ONE_GROUP };
        // Who changes the rung stays with a sound by its name, so that all rates of one have the same.
        let name = if is_one_sound { ONE_GROUP } else { &sound.about.name };
        put(
            &mut text,
            format_args!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"{name}\",{}DEFAULT={first},AUTOSELECT=YES,\
                 CHANNELS=\"{}\",URI=\"{}/media.m3u8\"\n",
                sound.language.as_ref().map(|code| format!("LANGUAGE=\"{code}\",")).unwrap_or_default(),
                sound.channels,
                sound.about.name
            ),
        );
    }
    for codec in super::by_codec(video) {
        for (place, rung) in codec.iter().enumerate() {
            let own = (place * audio.len() / codec.len().max(1)).min(audio.len().saturating_sub(1));
            let sounds = if is_one_sound { audio.get(own..=own).unwrap_or_default() } else { audio };
            one_rung(&mut text, rung, sounds, is_one_sound);
        }
    }
    text
}

/// The group of sounds where there is one, and the name of a sound that there is one of.
const ONE_GROUP: &str = "sound";

fn one_rung(text: &mut String, rung: &Made, sounds: &[Made], is_one_sound: bool) {
    let most = |of: fn(&Made) -> u64| sounds.iter().map(of).max().unwrap_or(0);
    let mut codecs = rung.about.codecs.clone();
    let mut group = String::new();
    if let Some(sound) = sounds.first() {
        // All that a player may meet, each once.
        let mut heard = BTreeSet::new();
        for other in sounds.iter().map(|sound| &sound.about.codecs).filter(|codecs| heard.insert(*codecs)) {
            put(&mut codecs, format_args!(",{other}"));
        }
        let name = if is_one_sound { &sound.about.name } else { ONE_GROUP };
        put(&mut group, format_args!(",AUDIO=\"{name}\""));
    }
    let range = rung.video_range.map(|range| format!(",VIDEO-RANGE={range}")).unwrap_or_default();
    put(
        text,
        format_args!(
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codecs}\",RESOLUTION={}x{},\
             FRAME-RATE={:.3}{range}{group}\n{}/media.m3u8\n",
            rung.about.peak_bps + most(|made| made.about.peak_bps),
            rung.about.average_bps + most(|made| made.about.average_bps),
            rung.about.size.0,
            rung.about.size.1,
            rung.frame_rate.value(),
            rung.about.name,
        ),
    );
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a text grows");
}
