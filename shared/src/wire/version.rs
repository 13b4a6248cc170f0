//! Versions of the worker protocol, and what each is the first to know. A farm is updated worker by worker: whoever sends
//! work looks here at which of them would understand it.

use super::{
    CHECKS_ALPN, CUTS_ALPN, EXTRACT_ALPN, FORMATS_ALPN, HARDWARE_CODECS_ALPN, JOIN_ALPN, PROBES_ALPN,
    SCENES_ALPN, SEQUENCE_ALPN, STREAM_ALPN, TRIAL_ALPN, WEBP_ALPN, WORKER_ALPNS,
};
use crate::artifact::Location;
use crate::encode::{EncodeSettings, Extract, Extracted, VideoCodec};
use crate::ladder::{Borders, LadderSettings};
use crate::task::{StreamStep, TaskKind};

/// A version of the worker protocol: 1 for `rushes/1`. A higher one knows all that a lower one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireVersion(u8);

impl WireVersion {
    /// The first.
    pub const OLDEST: Self = Self(1);

    /// This program's.
    #[must_use]
    pub fn newest() -> Self {
        Self::of(WORKER_ALPNS.first().copied())
    }

    /// The one of this name, such as `rushes/2`; the oldest for a name that this program does not know.
    #[must_use]
    pub fn of(alpn: Option<&[u8]>) -> Self {
        let from_best = alpn.and_then(|alpn| WORKER_ALPNS.iter().position(|known| *known == alpn));
        let number = from_best.and_then(|at| u8::try_from(WORKER_ALPNS.len() - at).ok());
        number.map_or(Self::OLDEST, Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The first in which a worker understands orders of this kind with these settings.
    #[must_use]
    pub fn needed_for(kind: TaskKind, settings: Option<&EncodeSettings>) -> Self {
        let of_kind = match kind {
            TaskKind::Noop | TaskKind::Probe | TaskKind::Encode => Self::OLDEST,
            TaskKind::Trial => Self::of(Some(TRIAL_ALPN)),
            TaskKind::Sound | TaskKind::Stills | TaskKind::Chunk | TaskKind::Package => {
                Self::of(Some(STREAM_ALPN))
            }
            TaskKind::Join => Self::of(Some(JOIN_ALPN)),
            TaskKind::Scan => Self::of(Some(SCENES_ALPN)),
            TaskKind::Probes => Self::of(Some(PROBES_ALPN)),
        };
        let Some(settings) = settings.filter(|settings| !settings.have_first_form()) else { return of_kind };
        let of_settings = match (settings.extract.as_deref(), settings.check.are_usual()) {
            (Some(Extract { what: Extracted::WebpPreview(..), .. }), _) => WEBP_ALPN,
            (Some(_), _) => EXTRACT_ALPN,
            (None, true) => FORMATS_ALPN,
            (None, false) => CHECKS_ALPN,
        };
        let of_codec = match settings.video.as_ref().map(|video| video.codec) {
            Some(VideoCodec::HevcHardware | VideoCodec::Vp9Hardware | VideoCodec::Av1Hardware) => {
                Self::of(Some(HARDWARE_CODECS_ALPN))
            }
            _ => Self::OLDEST,
        };
        of_kind.max(Self::of(Some(of_settings))).max(of_codec)
    }

    /// The same of a step of a streaming set; `settings` where its orders have them.
    #[must_use]
    pub fn needed_for_set(step: StreamStep, settings: Option<&LadderSettings>) -> Self {
        let of_kind = Self::needed_for(step.kind(), None);
        let told = settings.filter(|_| matches!(step, StreamStep::Chunk | StreamStep::Package));
        match told.filter(|settings| !settings.have_first_form()) {
            Some(settings) if step == StreamStep::Chunk && settings.borders == Borders::Scenes => {
                of_kind.max(Self::of(Some(CUTS_ALPN)))
            }
            Some(_) => of_kind.max(Self::of(Some(SCENES_ALPN))),
            None => of_kind,
        }
    }
}

impl WireVersion {
    /// The first in which a worker can read such an input.
    #[must_use]
    pub fn needed_for_input(input: Option<&Location>) -> Self {
        match input.and_then(Location::frame_rate) {
            Some(_) => Self::of(Some(SEQUENCE_ALPN)),
            None => Self::OLDEST,
        }
    }
}

impl Default for WireVersion {
    /// This program's: nodes and coordinators that are made together speak alike.
    fn default() -> Self {
        Self::newest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::PreviewSettings;

    #[test]
    fn versions_are_in_order_and_an_unknown_one_is_the_oldest() {
        let all: Vec<WireVersion> =
            WORKER_ALPNS.iter().rev().map(|alpn| WireVersion::of(Some(alpn))).collect();
        assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        assert_eq!((all.first(), all.last()), (Some(&WireVersion::OLDEST), Some(&WireVersion::newest())));
        let names = all.iter().zip(WORKER_ALPNS.iter().rev());
        assert!(names.into_iter().all(|(v, alpn)| format!("rushes/{}", v.number()).as_bytes() == *alpn));
        assert_eq!(WireVersion::of(Some(b"rushes/9999")), WireVersion::OLDEST);
        assert_eq!(WireVersion::of(None), WireVersion::OLDEST);
    }

    #[test]
    fn an_order_needs_the_version_that_brought_its_kind_and_its_settings() {
        let needs = WireVersion::needed_for;
        assert_eq!(needs(TaskKind::Encode, Some(&EncodeSettings::default())), WireVersion::OLDEST);
        assert_eq!(needs(TaskKind::Trial, None), WireVersion::of(Some(TRIAL_ALPN)));
        assert_eq!(needs(TaskKind::Chunk, None), WireVersion::of(Some(STREAM_ALPN)));
        let (grid, scenes) = (LadderSettings::default(), Borders::Scenes);
        let scenes = LadderSettings { borders: scenes, ..grid.clone() };
        let of_set = |step, settings| WireVersion::needed_for_set(step, Some(settings));
        let (old, new) = (WireVersion::of(Some(STREAM_ALPN)), WireVersion::of(Some(SCENES_ALPN)));
        let steps = [StreamStep::Sound, StreamStep::Stills, StreamStep::Chunk, StreamStep::Package];
        assert_eq!(steps.map(|step| of_set(step, &grid)), [old, old, old, old]);
        let newer = WireVersion::of(Some(CUTS_ALPN));
        assert_eq!(steps.map(|step| of_set(step, &scenes)), [old, old, newer, new]);
        let rate = crate::ladder::LadderRate::Mean { top_bps: None };
        let means = LadderSettings { rate, ..LadderSettings::default() };
        assert_eq!(steps.map(|step| of_set(step, &means)), [old, old, new, new]);
        assert_eq!(of_set(StreamStep::Scan, &scenes), new);
        assert_eq!(needs(TaskKind::Probes, None), WireVersion::of(Some(PROBES_ALPN)));
        let webm = EncodeSettings { container: crate::encode::Container::Webm, ..EncodeSettings::default() };
        assert_eq!(needs(TaskKind::Encode, Some(&webm)), WireVersion::of(Some(FORMATS_ALPN)));
        let mut hardware = webm;
        hardware.video = Some(crate::encode::VideoSettings::of(VideoCodec::Vp9Hardware));
        assert_eq!(needs(TaskKind::Encode, Some(&hardware)), WireVersion::of(Some(HARDWARE_CODECS_ALPN)));
        let check = crate::encode::CheckLimits { frames: Some(1), ..Default::default() };
        let limited = EncodeSettings { check, ..EncodeSettings::default() };
        assert_eq!(needs(TaskKind::Encode, Some(&limited)), WireVersion::of(Some(CHECKS_ALPN)));
        let needs_for = |place: &str| WireVersion::needed_for_input(Some(&place.parse().expect("a place")));
        assert_eq!(needs_for("/a/film.mov"), WireVersion::OLDEST);
        assert_eq!(needs_for("file:///a/shot.tar#frame_rate=25"), WireVersion::of(Some(SEQUENCE_ALPN)));
        let what = crate::encode::Extracted::Waveform(crate::measure::WaveformSettings::default());
        let wave = EncodeSettings::of_extract(crate::encode::Extract { what, max_bytes: None });
        assert_eq!(needs(TaskKind::Encode, Some(&wave)), WireVersion::of(Some(EXTRACT_ALPN)));
        let moving = PreviewSettings { from_ns: 0, length_ns: 1_000_000_000, fps: 10, max_width: 320 };
        let what = crate::encode::Extracted::WebpPreview(moving, 75);
        let moving = EncodeSettings::of_extract(crate::encode::Extract { what, max_bytes: None });
        assert_eq!(needs(TaskKind::Encode, Some(&moving)), WireVersion::of(Some(WEBP_ALPN)));
    }
}
