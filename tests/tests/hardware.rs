//! A hardware encoder, and software where it fails.
//!
//! There is no graphics card here. OpenH264 stands in, an encoder that is not x264: a worker is told to use it as
//! hardware, tries it at its start as it would any, and its orders name it. It encodes no picture of less than 16 pixels
//! a side, so that it truly fails on a small film, which x264 can encode. For HEVC and VP9 GStreamer's own elements stand in,
//! which are driven by their properties as hardware is and not by what Rushes knows of their libraries. For AV1 it is rav1e, which is
//! part of the worker and may be named so.

use std::path::{Path, PathBuf};
use std::process::Command;

use rushes_shared::failure::FailureCode;
use rushes_tests::media::{self, Facts};
use rushes_tests::program::succeed;
use rushes_tests::{Farm, FarmPlan, SOON, until};
use serde_json::{Value, json};

fn farm(elements: &[&str]) -> Farm {
    FarmPlan::new(1)
        .set("engine.health.encoder_failures=2")
        .set_worker(&format!("media.hardware={elements:?}"))
        .set_worker("media.hardware_sessions=1")
        .start()
}

fn encode(input: &Path, name: &str, farm: &Farm) -> Value {
    let video = json!({"preset": "ultrafast", "codec": "h264_hardware", "crf": 30});
    json!({"input": input, "outputs": [{"name": name, "destination": farm.out().join(name), "video": video}]})
}

/// A film that x264 encodes and OpenH264 does not.
fn tiny(farm: &Farm) -> PathBuf {
    drawn(farm, "testsrc=size=14x14:rate=25:duration=2")
}

fn drawn(farm: &Farm, pictures: &str) -> PathBuf {
    let path = farm.input("drawn.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y", "-f", "lavfi", "-i", pictures]);
    command.args(["-pix_fmt", "yuv420p"]).arg(&path);
    let _silent = succeed(command);
    path
}

fn shown(farm: &Farm, id: rushes_shared::id::JobId) -> String {
    let mut command = Command::new(rushes_tests::binaries::cli());
    command.args(["job", "show", &id.to_string()]);
    command.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token());
    succeed(command)
}

#[test]
fn an_encoder_that_the_worker_has_proven_encodes_and_software_takes_over_where_it_fails() {
    let farm = farm(&["openh264enc"]);
    let offers = || farm.api().workers().into_iter().find(|worker| worker.encoder_sessions == 1);
    let worker = until("the worker offers its hardware", SOON, offers);
    let stand_in = worker.encoders.first().expect("it was tried");
    assert_eq!((stand_in.element.as_str(), stand_in.hardware, stand_in.works), ("openh264enc", true, true));

    let job = farm.api().succeeded(farm.api().submit(&encode(&media::short(), "short.mp4", &farm)));
    let made_by = job.outputs[0].encoder.clone().unwrap_or_default();
    assert!(made_by.starts_with("openh264enc "), "{made_by}");
    let facts = Facts::of(&farm.out().join("short.mp4"));
    assert_eq!(
        (facts.frames(), facts.size(), facts.of_stream("video", "codec_name").as_str()),
        (75, (320, 180), "h264")
    );

    for n in 0..2 {
        let name = format!("tiny{n}.mp4");
        let id = farm.api().submit(&encode(&tiny(&farm), &name, &farm));
        let job = farm.api().succeeded(id);
        let made_by = job.outputs[0].encoder.clone().unwrap_or_default();
        assert!(made_by.starts_with("x264enc "), "{made_by}");
        assert_eq!(Facts::of(&farm.out().join(&name)).frames(), 50);
        let task = &job.tasks[1];
        assert_eq!((task.attempts, task.failures, task.fell_back), (2, 1, true), "{task:#?}");
        let failure = task.last_failure.as_ref().expect("it failed once");
        assert_eq!(failure.code, FailureCode::EncoderFailed, "{failure:#?}");
        assert!(failure.message.contains("openh264enc"), "{failure:#?}");
        assert!(shown(&farm, id).contains("in software, as hardware failed"));
    }
    let decisions =
        |name: &str| farm.api().metrics().sum("rushes_decisions_total", &[&format!("decision=\"{name}\"")]);
    assert_eq!((decisions("encoder_fell_back"), decisions("encoder_shut")), (2.0, 1.0));

    // What it can do goes to x264 as well, as long as it is not trusted; nothing fails for that.
    assert!(farm.api().workers()[0].encoder_shut);
    let job = farm.api().succeeded(farm.api().submit(&encode(&media::short(), "again.mp4", &farm)));
    assert!(job.outputs[0].encoder.as_ref().is_some_and(|e| e.starts_with("x264enc ")));
    assert!(job.tasks.iter().all(|task| task.failures == 0 && !task.fell_back));
}

#[test]
fn other_codecs_have_hardware_as_well_each_by_the_first_element_that_makes_it() {
    let farm = farm(&["noSuchEncoder", "x265enc", "openh264enc", "vp9enc", "rav1enc"]);
    let offers = || farm.api().workers().into_iter().find(|worker| worker.encoder_sessions == 1);
    until("the worker offers its hardware", SOON, offers);
    for (codec, element, name, kind) in [
        ("hevc_hardware", "x265enc", "hevc.mp4", "hevc"),
        ("vp9_hardware", "vp9enc", "vp9.webm", "vp9"),
        ("av1_hardware", "rav1enc", "av1.mp4", "av1"),
        ("hevc_hardware", "x265enc", "hevc.mkv", "hevc"),
        ("vp9_hardware", "vp9enc", "vp9.mp4", "vp9"),
    ] {
        let path = farm.out().join(name);
        let video = json!({"preset": "ultrafast", "codec": codec, "crf": 40, "keyframe_ms": 1000});
        let output = json!({"name": name, "destination": path, "video": video});
        let job = json!({"input": media::short(), "outputs": [output]});
        let job = farm.api().succeeded(farm.api().submit(&job));
        let made_by = job.outputs[0].encoder.clone().unwrap_or_default();
        assert!(made_by.starts_with(&format!("{element} ")), "{name}: {made_by}, not {element}");
        assert!(job.tasks.iter().all(|task| task.failures == 0 && !task.fell_back), "{name}");
        if codec == "hevc_hardware" {
            // x265 says how it was set up: by a constant quantizer, which is not what it gets as software.
            let file = std::fs::read(&path).expect("the output is there");
            assert!(file.windows(6).any(|word| word == b"rc=cqp"), "{name}");
        }
        let facts = Facts::of(&path);
        let found = (facts.frames(), facts.size(), facts.of_stream("video", "codec_name"));
        assert_eq!(found, (75, (320, 180), kind.to_owned()), "{name}");
    }
}
