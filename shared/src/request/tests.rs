use super::*;
use crate::encode::{AudioCodec, Container, EncodeSettings, LoudnessTarget, RateControl, VideoCodec};
use crate::job::{Destination, StageWork, Work};
use crate::task::SlotKind;

const NOW: WallMs = WallMs(1_700_000_000_000);

fn parse(text: &str) -> Result<JobSpec, BadRequest> {
    let tenant = TenantId::default_tenant();
    let presets = Presets::embedded();
    JobRequest::parse(Format::guess(text), text, Asking { tenant: &tenant, now: NOW, presets: &presets })
}

fn refused(text: &str, expected: &str) {
    let error = parse(text).expect_err("it should be refused").to_string();
    assert!(error.contains(expected), "{text}\ngave: {error}\nexpected: {expected}");
    assert!(!error.contains('\n'), "one line: {error}");
}

#[test]
fn a_path_alone_is_a_whole_job() {
    let spec = parse("input = '/srv/in/my film.mov'").expect("valid");
    let Work::Encode { input, outputs } = spec.work else { panic!("an encode") };
    assert_eq!(
        (spec.name.as_str(), input.to_string().as_str()),
        ("my film.mov", "file:///srv/in/my%20film.mov")
    );
    assert_eq!((outputs.len(), outputs[0].name.as_str()), (1, "my film.mp4"));
    assert_eq!(
        (&outputs[0].settings, &outputs[0].destination),
        (&EncodeSettings::default(), &Destination::Depot)
    );
    assert_eq!(outputs[0].settings.audio.as_ref().map(|a| a.bitrate_bps), Some(128_000));
}

#[test]
fn every_field_is_understood_in_both_languages() {
    let toml = r#"
kind = "encode"
name = "Trailer"
priority = 80
deadline = "+1h 30m"
labels = { project = "x" }
input = "file:///srv/in/film.mov"
[[outputs]]
name = "hd.mp4"
destination = "/srv/out/"
container = "mp4"
video = { codec = "h264", crf = 20, preset = "slow", max_width = 1920, max_height = 1080 }
audio = { codec = "aac", bitrate = "192k" }
[[outputs]]
name = "mute.mp4"
audio = false
"#;
    let json = r#"{"name": "Trailer", "priority": 80, "deadline": "2023-11-14T23:43:20Z", "labels": {"project": "x"},
        "input": "/srv/in/film.mov", "outputs": [
        {"name": "hd.mp4", "destination": "file:///srv/out/hd.mp4", "video": {"crf": 20, "preset": "slow",
         "max_width": 1920, "max_height": 1080}, "audio": {"bitrate": 192000}},
        {"name": "mute.mp4", "audio": false}]}"#;
    let spec = parse(toml).expect("valid TOML");
    assert_eq!(Ok(&spec), parse(json).as_ref());
    assert_eq!(spec.deadline, Some(WallMs(NOW.0 + 5_400_000)));
    let Work::Encode { outputs, .. } = spec.work else { panic!("an encode") };
    assert_eq!(outputs[1].settings.audio, None);
}

#[test]
fn a_time_of_toml_is_a_deadline() {
    let spec = parse("kind = 'noop'\ndeadline = 2026-12-01T12:00:00Z").expect("valid");
    assert_eq!(spec.deadline.map(WallMs::to_rfc3339).as_deref(), Some("2026-12-01T12:00:00.000Z"));
}

#[test]
fn an_unknown_field_names_its_line_and_the_nearest_one() {
    refused(
        "input = '/a/b'\nprioritty = 3",
        "line 2: prioritty: there is no such field; did you mean 'priority'?",
    );
    refused(
        "input = '/a/b'\n[[outputs]]\nname = 'a.mp4'\n[outputs.video]\ncfr = 20",
        "line 5: outputs[0].video.cfr: there is no such field; did you mean 'crf'?",
    );
    refused(r#"{"input": "/a/b", "output": []}"#, "output: there is no such field; did you mean 'outputs'?");
}

#[test]
fn a_wrong_value_names_what_may_stand_there() {
    refused("input = '/a/b'\npriority = 101", "line 2: priority: should be 0 to 100, not 101");
    refused(
        "input = '/a/b'\npriority = 'high'",
        "line 2: priority: this is the text \"high\", where a whole number belongs",
    );
    refused(
        "input = '/a/b'\n[[outputs]]\nvideo.crf = 52",
        "line 3: outputs[0].video.crf: should be 0 to 51, not 52",
    );
    refused(
        "input = '/a/b'\n[[outputs]]\nvideo.codec = 'h265'",
        "outputs[0].video.codec: there is no `h265`; use one of `h264`",
    );
    refused("input = '/a/b'\n[[outputs]]\nvideo.preset = 'quick'", "use one of `ultrafast`");
    refused("input = '/a/b'\n[[outputs]]\naudio.bitrate = 'loud'", "'loud' is not a bit rate");
    refused("input = '/a/b'\n[[outputs]]\naudio.bitrate = 8", "should be 16000 to 512000, not 8");
    refused("input = '/a/b'\n[[outputs]]\naudio = 3", "audio settings, or false");
    refused("input = '/a/b'\noutputs = 3", "outputs: this is the number `3`, where a list belongs");
    refused("[1, 2]", "not valid TOML");
    refused("input = ", "line 1: not valid TOML");
    refused("{\"input\": }", "line 1: not valid JSON");
    refused("kind = 'noop'\ndeadline = 'soon'", "'soon' is neither a time");
    refused(
        "kind = 'noop'\npriority = 99999999999999999999",
        "line 2: priority: 99999999999999999999 is too large; at most 100",
    );
    refused(
        "kind = 'noop'\npriority = 1e30",
        "line 2: priority: should be a whole number from 0 to 100, not 1e+30",
    );
    refused(
        r#"{"kind": "noop", "priority": 99999999999999999999}"#,
        "priority: should be a whole number from 0 to 100, not 1e+20",
    );
    refused("kind = 'noop'\npriority = 300", "line 2: priority: should be 0 to 100, not 300");
    refused("kind = 'noop'\ndeadline = '2001-01-01T00:00:00Z'", "is in the past");
    refused("kind = 'noop'\ntasks = 0", "should be 1 to 10000, not 0");
    refused("kind = 'trial'\ntasks = 10001", "should be 1 to 10000, not 10001");
    refused("kind = 'trial'\ninput = '/a/b'", "a job of kind 'trial' has no such field");
}

#[test]
fn places_must_be_reachable_and_distinct() {
    refused("kind = 'encode'", "input: a job of kind 'encode' needs one");
    refused("input = 'film.mov'", "not an absolute path");
    refused("input = 's3://b/k'", "a scheme that this farm does not know");
    refused("input = '/srv/in/'", "is a directory");
    let hash = "0".repeat(64);
    refused(&format!("input = 'farm://uploads/other/{hash}'"), "belongs to another tenant");
    assert!(parse(&format!("input = 'farm://uploads/default/{hash}'")).is_ok());
    refused("input = '/a/b'\noutputs = [{}, {}]", "outputs[1].name: two outputs have the name 'b.mp4'");
    refused(
        "input = '/a/b'\noutputs = [{name='x', destination='/o/f'}, {name='y', destination='/o/f'}]",
        "is another output's too",
    );
    refused("input = '/a/b'\noutputs = [{destination='/a/b'}]", "is the input itself");
    refused("input = '/a/b'\noutputs = [{name='../x'}]", "cannot be a file's name");
    refused("kind = 'probe'\ninput = '/a/b'\noutputs = [{}]", "a job of kind 'probe' has no such field");
}

#[test]
fn limits_hold() {
    let many: String = (0..33).map(|i| format!("{{name='{i}'}},")).collect();
    refused(&format!("input = '/a/b'\noutputs = [{many}]"), "33 outputs are more than a job may have (32)");
    let labels: String = (0..33).map(|i| format!("l{i}='x',")).collect();
    refused(&format!("kind='noop'\nlabels = {{{labels}}}"), "33 labels are more than a job may have (32)");
    refused(
        &format!("kind='noop'\nname = '{}'", "n".repeat(201)),
        "201 characters are too many; at most 200",
    );
}

#[test]
fn a_request_that_is_written_reads_back() {
    let toml = "input = '/a/b'\n[[outputs]]\naudio = false\n[[outputs]]\nname='c.mp4'\naudio.bitrate = '96k'";
    let request = JobRequest::read(Format::Toml, toml).expect("valid");
    let json = serde_json::to_string(&request).expect("it serializes");
    assert_eq!(JobRequest::read(Format::Json, &json), Ok(request));
}

#[test]
fn a_graph_names_its_stages_and_what_is_wrong_with_one_is_told_with_its_line() {
    let toml = "kind = 'graph'\nclass = 'premium'\nvalue.creator_tier = 4\ntags = ['gpu', 'gpu']\nlimits = { dolby = 1 }\n\
                [[stages]]\nname = 'cut'\ncount = 3\nslot = 'encode'\nhold_ms = 500\n\
                [[stages]]\nname = 'join'\nafter = ['cut']\nslot = 'finish'\n";
    let spec = parse(toml).expect("valid");
    let Work::Graph { stages } = &spec.work else { panic!("a graph") };
    assert_eq!((stages[0].count, stages[0].slot, &stages[1].after[..]), (3, SlotKind::Encode, &[0][..]));
    assert_eq!(stages[0].work, StageWork::Noop { hold_ms: 500, cpu_ms: 500 });
    let needs = spec.needs.expect("tags and limits");
    assert_eq!((needs.tags, needs.limits["dolby"]), (vec!["gpu".to_owned()], 1));
    for (wrong, what) in [
        (
            toml.replace("after = ['cut']", "after = ['paste']"),
            "line 13: stages[1].after: there is no stage 'paste'",
        ),
        (toml.replace("name = 'join'", "name = 'cut'"), "two stages have the name 'cut'"),
        (toml.replace("count = 3", "count = 10000"), "more tasks together than a job may have"),
        (toml.replace("creator_tier = 4", "creator_tier = 6"), "value.creator_tier: should be 0 to 5, not 6"),
        (toml.replace("creator_tier", "creator_teir"), "did you mean 'creator_tier'?"),
        (toml.replace("hold_ms", "hold"), "did you mean 'hold_ms'?"),
        (format!("priority = 3\n{toml}"), "the priority is computed from 'value'"),
        (format!("floor.drop_optional = true\n{toml}"), "quality is given up only for a deadline"),
    ] {
        let error = parse(&wrong).expect_err(what).to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn the_schema_describes_every_field() {
    let schema = job_schema();
    for (name, keys) in keys::KEYS {
        let part = if *name == "JobRequest" { &schema } else { &schema["$defs"][name] };
        let properties = part["properties"].as_object().unwrap_or_else(|| panic!("{name} in {schema:#}"));
        let mut described: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut known = keys.to_vec();
        described.sort_unstable();
        known.sort_unstable();
        assert_eq!(described, known, "{name}");
        assert_eq!(part["additionalProperties"], serde_json::Value::Bool(false), "{name}");
    }
    let text = schema.to_string();
    assert!(!text.contains("#/components"), "{text}");
    for target in text.split("#/$defs/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(schema["$defs"].get(target).is_some(), "{target} is not defined");
    }
}

/// A graph with an encode; `more` goes into that stage, `before` into the one that looks into the film.
fn film_graph(before: &str, more: &str) -> String {
    format!(
        "kind = 'graph'\n[[stages]]\nname = 'look'\n{before}\n[[stages]]\nname = 'film'\n{more}\n[[stages]]\nname = 'end'\nslot = 'finish'\nafter = ['film']"
    )
}

#[test]
fn a_stage_of_a_graph_may_make_a_file_of_an_input_that_another_probes() {
    let text = film_graph(
        "input = '/in/a.mov'",
        "after = ['look']\ninput = '/in/a.mov'\noptional = true\noutput = { video = { crf = 19 }, destination = '/out/' }",
    );
    let spec = parse(&text).expect("valid");
    let outputs: Vec<_> = spec.work.outputs().collect();
    let (number, output) = outputs[0];
    assert_eq!((outputs.len(), number, output.name.as_str()), (1, 1, "a.mp4"));
    let video = output.settings.video.as_ref().expect("it has video");
    assert_eq!((video.rate, output.optional), (RateControl::Crf(19), true));
    let Work::Graph { stages } = &spec.work else { panic!("a graph") };
    assert_eq!((stages[1].slot, stages[1].count, &stages[1].after[..]), (SlotKind::Encode, 1, &[0][..]));
    assert_eq!(spec.work.inputs().count(), 2);
}

#[test]
fn what_is_wrong_with_an_encode_in_a_graph_is_said_with_its_place() {
    let look = "input = '/in/a.mov'";
    let stage = |more: &str| film_graph(look, &format!("{more}\noutput = {{ name = 'a.mp4' }}"));
    refused(&stage("after = ['look']"), "stages[1].input: a stage that makes a file needs the file");
    refused(&stage("input = '/in/a.mov'"), "stages[1].after: name a stage here that probes file:///in/a.mov");
    refused(
        &stage("after = ['look']\ninput = '/in/b.mov'"),
        "stages[1].after: name a stage here that probes",
    );
    let advice = format!("{look}\nslot = 'analyse'\noptional = true");
    let needs_it = "after = ['look']\ninput = '/in/a.mov'\noutput = { name = 'a.mp4' }";
    refused(
        &film_graph(&advice, needs_it),
        "stages[0].optional: what comes after a probe cannot do without it",
    );
    let sound = "after = ['look']\ninput = '/in/a.mov'";
    refused(&stage(&format!("{sound}\ncount = 2")), "stages[1].count: a stage that makes a file is one task");
    refused(&stage(&format!("{sound}\nhold_ms = 2")), "stages[1].hold_ms");
    refused(
        &stage(&format!("{sound}\nslot = 'light'")),
        "stages[1].slot: a stage that makes a file takes cores",
    );
    let with = |output: &str| film_graph(look, &format!("{sound}\noutput = {{ {output} }}"));
    refused(&with("optional = true"), "stages[1].output.optional: say it of the stage");
    refused(&with("video = { crf = 99 }"), "stages[1].output.video.crf: should be 0 to 51");
    refused(&with("vido = {}"), "stages[1].output.vido: there is no such field; did you mean 'video'?");
    refused(
        &with("destination = '/in/a.mov'"),
        "stages[1].output.destination: file:///in/a.mov is the input itself",
    );
    let twice =
        format!("{}\n[[stages]]\nname = 'again'\n{sound}\noutput = {{ name = 'a.mp4' }}", stage(sound));
    refused(&twice, "stages[3].output.name: two outputs have the name 'a.mp4'");
}

#[test]
fn an_output_takes_the_codecs_of_its_container() {
    let settings = |toml: &str| {
        let text = format!("input = '/a/film.mov'\n[[outputs]]\n{toml}");
        let spec = parse(&text).unwrap_or_else(|e| panic!("{toml}: {e}"));
        let Work::Encode { outputs, .. } = spec.work else { panic!("an encode") };
        (outputs[0].name.to_string(), outputs[0].settings.clone())
    };
    let codecs = |toml: &str| {
        let (name, settings) = settings(toml);
        (name, settings.video.map(|v| v.codec), settings.audio.map(|a| a.codec))
    };
    for (toml, name, video, audio) in [
        ("", "film.mp4", Some(VideoCodec::H264), Some(AudioCodec::Aac)),
        ("container = 'webm'", "film.webm", Some(VideoCodec::Vp9), Some(AudioCodec::Opus)),
        ("container = 'ogg'", "film.opus", None, Some(AudioCodec::Opus)),
        ("container = 'ogg'\naudio.codec = 'vorbis'", "film.ogg", None, Some(AudioCodec::Vorbis)),
        ("container = 'mpegts'\naudio = false", "film.ts", Some(VideoCodec::H264), None),
        (
            "container = 'mov'\nvideo.codec = 'prores'",
            "film.mov",
            Some(VideoCodec::ProRes),
            Some(AudioCodec::Pcm),
        ),
        ("container = 'mkv'\nvideo = false", "film.mkv", None, Some(AudioCodec::Aac)),
        (
            "container = 'mkv'\nvideo.codec = 'ffv1'",
            "film.mkv",
            Some(VideoCodec::Ffv1),
            Some(AudioCodec::Flac),
        ),
    ] {
        assert_eq!(codecs(toml), (name.to_owned(), video, audio), "{toml}");
    }
    let rate = |toml: &str| settings(toml).1.video.expect("it has video").rate;
    assert_eq!(rate("video.codec = 'hevc'"), RateControl::Crf(28));
    let peak_bps = 3_000_000;
    assert_eq!(
        rate("video = { crf = 20, max_bitrate = '3M' }"),
        RateControl::CappedCrf { crf: 20, peak_bps }
    );
    let mean = RateControl::TwoPass { bitrate_bps: 2_000_000, peak_bps: None };
    assert_eq!(rate("video.bitrate = '2M'"), mean);
    assert_eq!(rate("video = { bitrate = '2M', rate = 'cbr' }"), RateControl::Cbr { bitrate_bps: 2_000_000 });
    let sound = |toml: &str| settings(toml).1.audio.expect("it has sound");
    assert_eq!(sound("audio = { variant = 'high', codec = 'mp3' }").bitrate_bps, 320_000);
    assert_eq!(sound("audio = { codec = 'mp3', quality = 2 }").quality, Some(2));
    let target = LoudnessTarget { integrated: -230, true_peak: -10 };
    assert_eq!(sound("audio.loudness = -23").loudness, Some(target));
}

#[test]
fn what_does_not_go_together_says_what_does() {
    let check = |toml: &str, words: &str| refused(&format!("input = '/a/b'\n[[outputs]]\n{toml}"), words);
    check(
        "container = 'webm'\nvideo.codec = 'h264'",
        "outputs[0].video.codec: webm does not hold h264; it holds vp9 and av1, and h264 goes into mp4, fmp4, mov",
    );
    check("container = 'wav'\naudio.codec = 'aac'", "wav does not hold aac; it holds pcm");
    check("container = 'mp3'\nvideo.crf = 20", "outputs[0].video: mp3 holds sound alone; leave video out");
    check("video = false\naudio = false", "an output without video and without audio is empty");
    check("video = { crf = 20, bitrate = '2M' }", "video.crf: a bit rate decides the bits");
    check("video.rate = 'cbr'", "video.bitrate: is needed");
    check("video = { bitrate = '2M', max_bitrate = '1M' }", "a peak below the mean rate cannot be kept");
    check("video.profile = 'hq'", "video.profile: the codecs prores and dnxhd alone have one");
    check("container = 'mov'\nvideo = { codec = 'prores', crf = 3 }", "video.crf: what this codec keeps");
    check("audio = { bitrate = '128k', variant = 'low' }", "each decide the bits; give one of them");
    check("audio = { codec = 'mp3', bitrate = '130k' }", "mp3 has 8k, 16k");
    check("audio = { true_peak = -1 }", "set loudness as well");
    check("audio = { loudness = 3 }", "audio.loudness: should be -70 to -5, not 3");
    check("audio = { channels = 3 }", "aac has 1, 2 and 6 channels, not 3");
}

#[test]
fn presets_say_what_a_job_leaves_out() {
    let outputs = |text: &str| match parse(text).expect("valid").work {
        Work::Encode { outputs, .. } => outputs,
        other => panic!("{other:?}"),
    };
    let proxy = outputs("input = '/srv/in/film.mxf'\npreset = 'proxy'");
    assert_eq!((proxy.len(), proxy[0].name.as_str()), (1, "film-proxy.mov"));
    let two = outputs(
        "input = '/srv/in/film.mxf'\noutputs = [{ preset = 'web' }, { preset = 'web', suffix = '-480p', video = { max_height = 480 } }]",
    );
    let heights = two.iter().map(|o| (o.name.as_str(), o.settings.video.as_ref().and_then(|v| v.max_height)));
    assert_eq!(heights.collect::<Vec<_>>(), [("film.mp4", Some(1920)), ("film-480p.mp4", Some(480))]);
    refused(
        "input = '/a/b'\npreset = 'wbe'",
        "line 2: preset: there is no preset 'wbe'; did you mean 'web'?",
    );
    refused("input = '/a/b'\npreset = 'web'\n[[outputs]]", "line 2: preset: says which files to make");
    refused("kind = 'noop'\npreset = 'web'", "preset: a job of kind 'noop' has no such field");
    refused("input = '/a/b'\n[[outputs]]\npreset = 'x'", "line 3: outputs[0].preset: there is no preset 'x'");
    refused(
        "input = '/a/b'\n[[outputs]]\nsuffix = 'a/b'",
        "line 3: outputs[0].suffix: is part of a file's name",
    );
}

#[test]
fn the_rate_of_an_image_sequence_goes_with_its_input() {
    let input = |text: &str| match parse(text).map(|spec| spec.work) {
        Ok(Work::Probe { input }) => input.to_string(),
        other => panic!("{other:?}"),
    };
    let place = "file:///srv/shot.%2504d.exr#frame_rate=";
    let said = input("kind = 'probe'\ninput = '/srv/shot.%04d.exr'\nframe_rate = 23.976");
    assert_eq!(said, format!("{place}24000/1001"));
    assert_eq!(input("kind = 'probe'\ninput = '/srv/shot.%04d.exr'"), format!("{place}24"), "the usual rate");
    assert_eq!(input("kind = 'probe'\ninput = '/srv/film.mov'"), "file:///srv/film.mov");
    let spec = parse("input = '/srv/shot.####.exr'\nframe_rate = '25'").expect("an encode");
    let Work::Encode { outputs, .. } = spec.work else { panic!("an encode") };
    assert_eq!(outputs[0].name.as_str(), "shot.mp4");
    assert!(parse("input = '/srv/shot.tar'\nframe_rate = 0").is_err());
    refused("kind = 'noop'\nframe_rate = 24", "frame_rate: a job of kind 'noop' has no such field");
    refused(
        "input = '/srv/shot.%04d.exr'\n[[outputs]]\ndestination = '/srv/shot.%04d.exr'",
        "outputs[0].destination: file:///srv/shot.%2504d.exr is the input itself",
    );
}

#[test]
fn the_container_follows_the_names_ending_and_a_contradiction_is_refused() {
    let made = |fields: &str| {
        let spec = parse(&format!("input = '/a/b.mov'\n[[outputs]]\n{fields}"))?;
        let Work::Encode { outputs, .. } = spec.work else { panic!("an encode job") };
        Ok::<_, BadRequest>((outputs[0].settings.container, outputs[0].name.to_string()))
    };
    let container = |fields: &str| made(fields).expect(fields).0;
    assert_eq!(container("name = 'x.webm'"), Container::Webm);
    assert_eq!(container("name = 'x.MKV'"), Container::Mkv);
    assert_eq!(container("destination = '/out/talk.opus'"), Container::Ogg);
    assert_eq!(container("destination = '/out.webm/'"), Container::Mp4);
    assert_eq!(container("name = 'x.v2'"), Container::Mp4);
    assert_eq!(container("name = 'x.mp4'\ncontainer = 'fmp4'"), Container::FragmentedMp4);
    assert_eq!(made("container = 'webm'").expect("valid").1, "b.webm");
    let refused = made("name = 'x.webm'\ncontainer = 'mp4'").expect_err("they differ").to_string();
    assert!(
        refused
            .contains("line 4: outputs[0].container: is mp4, and the name's ending '.webm' stands for webm"),
        "{refused}"
    );
}
