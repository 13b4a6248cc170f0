//! What decides the bits of a streaming set: a rate factor, or a mean rate.

use super::{BadRequest, RateMode, StreamRequest, ranged};
use crate::ladder::LadderRate;

/// Least and most of the largest rung's mean, in bits a second.
const MEANS: (i64, i64) = (10_000, 1_000_000_000);

/// Least and most bytes of a set that has a size.
const SIZES: (i64, i64) = (100_000, 1 << 50);

/// What a request says of it.
pub(super) fn rate(request: &StreamRequest) -> Result<LadderRate, BadRequest> {
    let bad = |name: &str, message: &str| Err(BadRequest::at(format!("stream.{name}"), message));
    if request.bitrate.is_some() && request.size_bytes.is_some() {
        return bad("size_bytes", "decides the bits, and so does bitrate; leave one of the two out");
    }
    if request.rate == Some(RateMode::Crf) && request.size_bytes.is_some() {
        return bad("size_bytes", "a rate factor decides the bits; leave one of the two out");
    }
    match (request.rate, request.bitrate) {
        (None, None) if request.size_bytes.is_some() => {}
        (None, None) | (Some(RateMode::Crf), None) => return Ok(LadderRate::Factor),
        (Some(RateMode::Crf), Some(_)) => {
            return bad("bitrate", "a rate factor decides the bits; leave one of the two out");
        }
        (Some(RateMode::Cbr), _) => return bad("rate", "a set has no constant rate; use crf or vbr"),
        (None | Some(RateMode::Vbr), _) => {}
    }
    if request.crf.is_some() || request.more.iter().flatten().any(|one| one.crf.is_some()) {
        return bad("crf", "a bit rate decides the bits; leave one of the two out");
    }
    if let Some(bytes) = request.size_bytes {
        return ranged("stream.size_bytes", bytes, SIZES.0, SIZES.1).map(|bytes| LadderRate::Size { bytes });
    }
    let top_bps = request.bitrate.map(|rate| ranged("stream.bitrate", rate.0, MEANS.0, MEANS.1));
    Ok(LadderRate::Mean { top_bps: top_bps.transpose()? })
}

#[cfg(test)]
mod tests {
    use crate::id::TenantId;
    use crate::job::Work;
    use crate::ladder::LadderSettings;
    use crate::media::{MediaFacts, VideoFacts};
    use crate::request::{Asking, Format, JobRequest, Presets};
    use crate::units::WallMs;

    fn read(lines: &str) -> Result<LadderSettings, String> {
        let text = format!("kind = 'stream'\ninput = '/in/film.mov'\n[stream]\n{lines}");
        let (tenant, presets) = (TenantId::default_tenant(), Presets::embedded());
        let asking = Asking { tenant: &tenant, now: WallMs(0), presets: &presets };
        let spec = JobRequest::parse(Format::Toml, &text, asking).map_err(|bad| bad.to_string())?;
        let Work::Stream { settings, .. } = spec.work else { panic!("{:?}", spec.work) };
        Ok(settings.ladder)
    }

    #[test]
    fn a_mean_rate_is_that_of_the_largest_rung_and_the_bound_is_half_above_it() {
        let video = VideoFacts { width: 1920, height: 1080, ..VideoFacts::default() };
        let film = MediaFacts { video: vec![video], ..MediaFacts::default() };
        let means = |lines: &str| {
            let ladder = read(lines).expect("valid");
            let means = ladder.mean_rates(&film);
            for (rung, mean) in ladder.rungs(&film).iter().zip(&means) {
                assert_eq!(rung.cap.expect("a bound").max_bps, mean * 3 / 2);
            }
            means
        };
        assert_eq!(means("rate = 'vbr'"), [5_000_000, 2_500_000, 1_000_000, 600_000]);
        assert_eq!(means("bitrate = '4M'"), [4_000_000, 2_000_000, 800_000, 480_000]);
        assert_eq!(means("bitrate = '4M'\nmax_height = 720"), [4_000_000, 1_600_000, 960_000]);
        assert_eq!(means("rate = 'vbr'\ncodec = 'hevc'")[0], 3_000_000);
        let both = means("bitrate = '5M'\nmore = [{ codec = 'hevc' }]");
        assert_eq!((both.len(), both[4]), (8, 3_000_000), "the second codec's in the ladder's proportion");
        assert_eq!(means("rate = 'vbr'\ncodec = 'vp9'\nmore = [{ codec = 'av1' }]").len(), 8);
        assert_eq!(means("crf = 20"), [0_u64; 0]);
        let timed = MediaFacts {
            duration_ns: 100_000_000_000,
            audio: vec![crate::media::AudioFacts { channels: 2, ..crate::media::AudioFacts::default() }],
            ..film.clone()
        };
        let sized = read("size_bytes = 50_000_000").expect("valid");
        // 4 Mbit/s, of which 96 % are given out: 128 kbit/s to the sound, the rest 5 : 2.5 : 1 : 0.6.
        let left = (4_000_000 * 96 / 100 - 128_000) as f64;
        let wanted = [5.0, 2.5, 1.0, 0.6].map(|part| left * part / 9.1);
        for (mean, wanted) in sized.mean_rates(&timed).iter().zip(wanted) {
            assert!((*mean as f64 - wanted).abs() < 2.0, "{mean} for {wanted}");
        }
        assert_eq!(sized.least_size(&timed), None);
        let short = MediaFacts { duration_ns: 40_000_000, ..timed.clone() };
        let generous = read("size_bytes = 2_000_000_000").expect("valid").mean_rates(&short);
        assert_eq!(generous[0], crate::ladder::MOST_MEAN_BPS, "no encoder knows more");
        let poor = read("bitrate = '10k'").expect("valid");
        let least = poor.least_rate(&film).expect("1200 bit/s are too few");
        assert_eq!(read(&format!("bitrate = {least}")).expect("valid").least_rate(&film), None, "{least}");
        let tiny = read("size_bytes = 1_000_000").expect("valid");
        let least = tiny.least_size(&timed).expect("too small");
        let enough = read(&format!("size_bytes = {least}")).expect("valid");
        assert_eq!(enough.least_size(&timed), None, "{least}");
        assert!(enough.mean_rates(&timed).into_iter().min() >= Some(crate::ladder::LEAST_MEAN_BPS));
        let of_factor = read("crf = 20").expect("valid").rungs(&film);
        assert_eq!(of_factor[0].cap.expect("a bound").max_bps, 5_000_000, "the ladder's own bound");
    }

    #[test]
    fn what_cannot_be_is_told_with_its_field_and_what_can() {
        for (lines, word) in [
            ("crf = 20\nbitrate = '2M'", "stream.crf: a bit rate decides the bits"),
            (
                "rate = 'vbr'\nmore = [{ codec = 'hevc', crf = 20 }]",
                "stream.crf: a bit rate decides the bits",
            ),
            ("rate = 'crf'\nbitrate = '2M'", "stream.bitrate: a rate factor decides the bits"),
            ("rate = 'cbr'", "stream.rate: a set has no constant rate; use crf or vbr"),
            (
                "bitrate = '2M'\nsize_bytes = 200000",
                "stream.size_bytes: decides the bits, and so does bitrate",
            ),
            ("rate = 'crf'\nsize_bytes = 200000", "stream.size_bytes: a rate factor decides the bits"),
            ("crf = 20\nsize_bytes = 200000", "stream.crf: a bit rate decides the bits"),
            ("size_bytes = 99999", "stream.size_bytes: should be 100000 to"),
            ("bitrate = '1k'", "stream.bitrate: should be 10000 to 1000000000"),
        ] {
            let refused = read(lines).expect_err(lines);
            assert!(refused.contains(word), "{lines}: {refused}");
        }
    }
}
