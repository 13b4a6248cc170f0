//! What an output has to be, and what was found held against it.

use rushes_shared::check::{Check, CheckLimit, CheckName, CheckUnit};
use rushes_shared::encode::{AudioCodec, CheckLimits, Container, EncodeSettings};
use rushes_shared::failure::Failure;
use rushes_shared::media::{AudioFacts, CheckReport, MediaFacts};

use super::found::Found;
use super::{number, problems};
use crate::encode::gaps::ROUNDED_NS;
use crate::encode::plan::Plan;
use crate::encode::tally::Tally;
use crate::encode::{Encoded, sound};
use crate::pace;

/// What the output has to be.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) frames: u64,
    pub(super) video_ns: u64,
    pub(super) audio_ns: Option<u64>,
    av_offset_ns: i64,
    /// The longest time from one of the source's frames to the next, where it is known.
    video_gap_ns: Option<u64>,
    frame_ns: u64,
    /// How much longer or shorter sound may be: what its codec and container round it to.
    slack_ns: u64,
    /// How much earlier sound may begin, where a container cannot skip an encoder's priming.
    priming_ns: u64,
    warnings: Vec<String>,
    limits: CheckLimits,
}

/// A frame where there is none to measure by: sound alone.
const NO_FRAME_NS: u64 = 1_000_000;

impl Expected {
    pub(super) fn new(
        source: &MediaFacts,
        settings: &EncodeSettings,
        encoded: Option<&Encoded>,
        plan: Option<&Plan>,
    ) -> Self {
        let video = source.video.first().filter(|_| plan.is_some());
        let audio = source.audio.first().filter(|_| settings.audio.is_some());
        let (slack_ns, priming_ns) = sound_slack(settings, audio);
        let mut expected = Self {
            frames: video.map_or(0, |video| video.frames),
            video_ns: video.map_or(0, |video| video.duration_ns),
            audio_ns: audio.map(|audio| audio.duration_ns),
            av_offset_ns: audio.zip(video).map_or(0, |(a, v)| signed(a.start_ns) - signed(v.start_ns)),
            video_gap_ns: None,
            frame_ns: plan.map_or(NO_FRAME_NS, |plan| plan.frame_ns),
            slack_ns,
            priming_ns,
            warnings: Vec::new(),
            limits: settings.check,
        };
        if let Some(encoded) = encoded {
            expected.frames = encoded.frames;
            expected.video_ns = encoded.video_duration_ns;
            expected.audio_ns = encoded.has_audio.then_some(encoded.audio_duration_ns).or(audio.map(|_| 0));
            expected.av_offset_ns = encoded.av_start_offset_ns;
            expected.video_gap_ns = encoded.video_gap_ns;
            expected.warnings.clone_from(&encoded.warnings);
        }
        expected
    }

    pub(super) fn refused(&self, failure: &Failure) -> CheckReport {
        let errors = Check::judged(CheckName::Decode, CheckUnit::Count, CheckLimit::Exactly(0.0), 1.0);
        let checks = vec![errors.noting(failure.message.clone())];
        CheckReport {
            frames_expected: self.frames,
            problems: problems(&checks),
            warnings: self.warnings.clone(),
            checks,
            ..CheckReport::default()
        }
    }

    pub(super) fn compare(&self, found: &Found, plan: Option<&Plan>) -> CheckReport {
        let tally = &found.tally;
        let av_start_offset_ns = tally.av_offset() - self.av_offset_ns;
        let mut checks = Vec::new();
        if let Some(plan) = plan {
            checks.extend(self.picture(found, plan));
        }
        checks.extend(self.sound(tally, plan.is_some().then_some(av_start_offset_ns)));
        if let (Some(limit), Some((most, at_ns))) = (self.limits.peak, found.peak) {
            let limit = CheckLimit::AtMost(f64::from(limit.max_bps));
            let peak = Check::judged(CheckName::PeakBitrate, CheckUnit::Bps, limit, number(most));
            checks.push(peak.at(at_ns));
        }
        CheckReport {
            frames_decoded: tally.frames,
            frames_expected: self.frames,
            video_duration_ns: tally.video_length(),
            audio_duration_ns: tally.audio_length(),
            av_start_offset_ns,
            problems: Vec::new(),
            warnings: self.warnings.clone(),
            checks,
        }
    }

    fn picture(&self, found: &Found, plan: &Plan) -> Vec<Check> {
        let tally = &found.tally;
        let side = |name, planned: u32, found: i32| {
            Check::judged(name, CheckUnit::Pixels, CheckLimit::Exactly(f64::from(planned)), f64::from(found))
        };
        let frames = number(tally.frames);
        let limit = match self.limits.frames.map(u64::from) {
            _ if self.frames == 0 => None,
            None | Some(0) => Some(CheckLimit::Exactly(number(self.frames))),
            Some(more) => {
                let (least, most) = (self.frames.saturating_sub(more), self.frames.saturating_add(more));
                Some(CheckLimit::Between(number(least), number(most)))
            }
        };
        let off = tally.video_length().abs_diff(self.video_ns);
        let length = (self.video_ns > 0).then_some(at_most_ms(self.length_off_ns()));
        let gap = tally.video_gaps.longest();
        let gap_limit = self.video_gap_ns.map(|own| {
            let left_out = self.frame_ns.saturating_mul(self.limits.frames.unwrap_or(0).into());
            // Less than one picture that is missing.
            let off = self.limits.duration_ms.map_or(self.frame_ns / 2 + MS, |ms| u64::from(ms) * MS);
            at_most_ms(own.saturating_add(off).saturating_add(left_out))
        });
        vec![
            Check::held(CheckName::Frames, CheckUnit::Count, limit, frames),
            side(CheckName::Width, plan.width, found.size.0),
            side(CheckName::Height, plan.height, found.size.1),
            Check::held(CheckName::VideoLength, CheckUnit::Ms, length, in_ms(off)),
            Check::held(CheckName::VideoGap, CheckUnit::Ms, gap_limit, in_ms(gap.ns)).at(gap.at),
        ]
    }

    /// Checks of the sound; `offset_ns` of that in relation to the picture, where there is one.
    fn sound(&self, tally: &Tally, offset_ns: Option<i64>) -> Vec<Check> {
        let is_there = tally.audio_start.is_some();
        let streams = f64::from(u8::from(is_there));
        let wanted = match self.audio_ns {
            Some(0) => return Vec::new(),
            Some(_) => 1.0,
            None => 0.0,
        };
        let mut checks =
            vec![Check::judged(CheckName::Sound, CheckUnit::Count, CheckLimit::Exactly(wanted), streams)];
        let Some(length) = self.audio_ns.filter(|_| is_there) else { return checks };
        let off = tally.audio_length().abs_diff(length);
        let limit = at_most_ms(self.length_off_ns().max(self.slack_ns) + self.priming_ns);
        checks.push(Check::judged(CheckName::AudioLength, CheckUnit::Ms, limit, in_ms(off)));
        let (gap, limit) = (tally.audio_gaps.longest(), at_most_ms(ROUNDED_NS));
        checks.push(Check::judged(CheckName::AudioGap, CheckUnit::Ms, limit, in_ms(gap.ns)).at(gap.at));
        if let Some(offset_ns) = offset_ns {
            // Earlier by what decoders throw away is where it belongs.
            let early = u64::try_from(-offset_ns).unwrap_or(0);
            let off = if early > 0 && early <= self.priming_ns { 0 } else { offset_ns.unsigned_abs() };
            let limit = at_most_ms(self.limits.av_sync_ms.map_or(self.frame_ns, |ms| u64::from(ms) * MS));
            let at_ns = tally.audio_start.unwrap_or(0);
            checks.push(Check::judged(CheckName::AvSync, CheckUnit::Ms, limit, in_ms(off)).at(at_ns));
        }
        checks
    }

    /// How far a length may be off: by default one frame, as containers count it, some of which know whole milliseconds alone.
    fn length_off_ns(&self) -> u64 {
        self.limits.duration_ms.map_or(self.frame_ns + MS, |ms| u64::from(ms) * MS)
    }
}

/// A millisecond in nanoseconds.
const MS: u64 = 1_000_000;

fn in_ms(ns: u64) -> f64 {
    number(ns) / number(MS)
}

fn at_most_ms(ns: u64) -> CheckLimit {
    CheckLimit::AtMost(in_ms(ns))
}

/// How much sound may be longer or shorter, and earlier, in an output.
fn sound_slack(settings: &EncodeSettings, source: Option<&AudioFacts>) -> (u64, u64) {
    let (Some(audio), Some(source)) = (&settings.audio, source) else { return (0, 0) };
    let rate =
        sound::samples(audio, settings.container, (source.rate_hz, u32::from(source.channels), 16)).rate;
    let counting = sound::counting(audio.codec, rate);
    let ns = |samples: u32| pace::scaled(u64::from(samples), 1_000_000_000, u64::from(counting.rate));
    let has_edit_list = settings.container.has_edit_lists();
    // The demuxer that the check reads with may keep back the last packet of a track with priming. Without an edit list
    // the last packet is as full as the encoder made it, and a decoder of layer III holds one back.
    let packets = match audio.codec {
        AudioCodec::Mp3 => 3,
        // A fragment's last packet is as full as the encoder made it, too.
        _ if has_edit_list && settings.container != Container::FragmentedMp4 => 1,
        _ => 2,
    };
    let slack = ns(counting.packet * packets + 1);
    let skips = has_edit_list || audio.codec == AudioCodec::Opus;
    (slack, if skips { 0 } else { ns(counting.priming) + MATROSKA_ROUNDING_NS })
}

/// Times of Matroska and of MPEG-TS are rounded by less than this.
const MATROSKA_ROUNDING_NS: u64 = 1_000_000;

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
