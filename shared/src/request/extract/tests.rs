use super::*;
use crate::id::TenantId;
use crate::job::{Destination, OutputSpec, Work};
use crate::request::{Asking, Format, JobRequest, Preset, Presets};
use crate::units::WallMs;

fn outputs(outputs: &str) -> Result<Vec<OutputSpec>, String> {
    let (tenant, presets) = (TenantId::default_tenant(), Presets::embedded());
    let asking = Asking { tenant: &tenant, now: WallMs(0), presets: &presets };
    let text = format!("input = '/in/film.mov'\n{outputs}");
    match JobRequest::parse(Format::Toml, &text, asking).map_err(|bad| bad.to_string())?.work {
        Work::Encode { outputs, .. } => Ok(outputs),
        other => panic!("{other:?}"),
    }
}

fn extract(output: &OutputSpec) -> &Extract {
    output.settings.extract.as_deref().expect("it is no rendition")
}

#[test]
fn outputs_of_all_kinds_stand_beside_each_other_with_names_of_their_own() {
    let made = outputs(
        "[[outputs]]\nsuffix = '-720p'\npreset = 'web'\nvideo = { max_height = 720 }\ncheck = { min_vmaf = 80 }\n\
         [[outputs]]\nsuffix = '-low'\ncontainer = 'mp3'\naudio = { variant = 'low' }\n\
         [[outputs]]\nsuffix = '-poster'\nposter = { at = 1.5, max_width = 640, format = 'png' }\ncheck.max_bytes = 90000\n\
         [[outputs]]\nsuffix = '-thumbs'\nthumbnails = { every = 2 }\n\
         [[outputs]]\nsuffix = '-sprite'\nsprite = { every = 0.5 }\noptional = true\n\
         [[outputs]]\npreview = {}\n[[outputs]]\nwaveform = {}\n[[outputs]]\nwaveform = { width = 640 }",
    )
    .expect("valid");
    let names: Vec<&str> = made.iter().map(|output| output.name.as_str()).collect();
    let expected = [
        "film-720p.mp4",
        "film-low.mp3",
        "film-poster.png",
        "film-thumbs.zip",
        "film-sprite.jpg",
        "film-sprite.vtt",
        "film.gif",
        "film.json",
        "film.png",
    ];
    assert_eq!(names, expected);
    let poster = ThumbnailSettings {
        moment: Moment::At(1_500_000_000),
        max_width: Some(640),
        max_height: None,
        format: StillFormat::Png,
    };
    assert_eq!(extract(&made[2]), &Extract { what: Extracted::Stills(poster), max_bytes: Some(90_000) });
    let [Extracted::Sprite(sheet), Extracted::SpriteIndex(index)] =
        [&made[4], &made[5]].map(|o| &extract(o).what)
    else {
        panic!("{made:?}")
    };
    assert_eq!((sheet, sheet.every_ns, sheet.name.as_str()), (index, Some(500_000_000), "film-sprite.jpg"));
    assert!(made[4].optional && made[5].optional && !made[3].optional);
    let Extracted::Waveform(wave) = extract(&made[8]).what.clone() else { panic!("{made:?}") };
    assert_eq!(wave.picture, Some((640, 250)));
}

#[test]
fn an_index_stands_beside_its_sheet_and_names_it_as_it_is_called_there() {
    for (place, sheet, index, named) in [
        ("/out/", "/out/film.jpg", "/out/film.vtt", "film.jpg"),
        ("/out/a.b/sheet.jpeg", "/out/a.b/sheet.jpeg", "/out/a.b/sheet.vtt", "sheet.jpeg"),
        ("/out/a.b/sheet", "/out/a.b/sheet", "/out/a.b/sheet.vtt", "sheet"),
    ] {
        let made = outputs(&format!("[[outputs]]\nsprite = {{}}\ndestination = '{place}'")).expect("valid");
        let places: Vec<&Destination> = made.iter().map(|output| &output.destination).collect();
        let file = |path: &str| Destination::Place(crate::artifact::Location::File(path.to_owned()));
        assert_eq!(places, [&file(sheet), &file(index)]);
        let Extracted::SpriteIndex(settings) = &extract(&made[1]).what else { panic!("{made:?}") };
        assert_eq!(settings.name, named);
    }
}

#[test]
fn what_cannot_be_is_told_with_its_line() {
    for (output, expected) in [
        ("poster = { tim = 3 }", "line 3: outputs[0].poster.tim: there is no such field"),
        ("[outputs.sprite]\nwidth = 0", "line 4: outputs[0].sprite.width: should be 1 to 4096, not 0"),
        ("poster = { at = -1 }", "should be 0 to 604800 seconds, not -1"),
        ("poster = { at = nan }", "line 3: outputs[0].poster.at"),
        ("poster = 3", "line 3: outputs[0].poster: this is"),
        ("poster = { format = 'bmp' }", "there is no `bmp`; use `jpeg` or `png`"),
        ("poster = { format = 'png', quality = 80 }", "outputs[0].poster.quality: png is lossless"),
        ("thumbnails = { every = 0 }", "should be 0.1 to 86400 seconds, not 0"),
        ("thumbnails = { quality = 101 }", "outputs[0].thumbnails.quality: should be 1 to 100, not 101"),
        ("preview = { fps = 51 }", "outputs[0].preview.fps: should be 1 to 50, not 51"),
        ("preview = { length = 100, fps = 11 }", "more than 1000 frames; make it shorter"),
        ("waveform = { bits = 12 }", "outputs[0].waveform.bits: should be 8 or 16, not 12"),
        ("waveform = { height = 5000 }", "outputs[0].waveform.height: should be 1 to 4096"),
        (
            "poster = {}\nsprite = {}",
            "line 4: outputs[0].sprite: one output is one file, and this one is a poster",
        ),
        ("poster = {}\nvideo = { crf = 20 }", "line 4: outputs[0].video: a poster has no such settings"),
        ("container = 'mp4'\nsprite = {}", "line 3: outputs[0].container: a sprite has no such settings"),
        (
            "poster = {}\ncheck = { min_vmaf = 80 }",
            "line 4: outputs[0].check.min_vmaf: is a limit of renditions",
        ),
        ("poster = {}\ncheck = { max_bytes = 0 }", "line 4: outputs[0].check.max_bytes: should be 1 to"),
        ("check = { max_bytes = 9 }", "line 3: outputs[0].check.max_bytes: is a limit of posters"),
        ("poster = {}\npreset = 'web'", "a poster has no such settings"),
        ("sprite = {}\nname = 'a.vtt'", "two outputs have the name 'a.vtt'"),
        ("sprite = {}\n[[outputs]]\nposter = {}", "two outputs have the name 'film.jpg'"),
    ] {
        let said = outputs(&format!("[[outputs]]\n{output}")).expect_err(output);
        assert!(said.contains(expected), "{output}\ngave: {said}\nexpected: {expected}");
    }
    let many: String = (0..20).map(|n| format!("[[outputs]]\nsuffix = '{n}'\nsprite = {{}}\n")).collect();
    let said = outputs(&many).expect_err("40 with their indexes");
    assert!(said.contains("these are 40 outputs, more than a job may have (32)"), "{said}");
}

#[test]
fn presets_have_them_too_and_an_outputs_own_words_go_first() {
    let text = "[[outputs]]\nposter = { at = 3, max_width = 640 }\ncheck = { max_bytes = 100 }";
    let mut presets = Presets::embedded();
    presets.add(Preset::read("still", text).expect("valid")).expect("there is room");
    let own = r#"{"preset": "still", "poster": {"max_width": 320}, "check": {"max_bytes": 200}}"#;
    let own: OutputRequest = serde_json::from_str(own).expect("valid");
    let made = own.settings(&presets).expect("valid").extract.expect("a poster");
    let Extracted::Stills(still) = made.what else { panic!("{made:?}") };
    assert_eq!(
        (still.moment, still.max_width, made.max_bytes),
        (Moment::At(3_000_000_000), Some(320), Some(200))
    );
    let said =
        Preset::read("still", "[[outputs]]\nsprite = {}\n[[outputs]]\nposter = {}").expect_err("one name");
    assert!(said.to_string().contains("an output before has the same ending"), "{said}");
}
