//! `rushes preset …`.

use rushes_shared::encode::{EncodeSettings, VideoCodec};
use rushes_shared::request::{Preset, Presets};
use rushes_shared::view::{PresetList, PresetView};

use super::{print, put};
use crate::args::{FarmArgs, Output, PresetCommand};
use crate::client::Client;
use crate::connection::Connection;
use crate::fault::{Ending, Fault};
use crate::presets;
use crate::table::{Cell, colours, table};

pub(super) fn run(farm: &FarmArgs, command: &PresetCommand) -> Result<Ending, Fault> {
    match command {
        PresetCommand::List => {
            let known = presets::known(client(farm)?.as_ref())?;
            let list = PresetList { items: known.iter().map(view).collect() };
            print(farm, &list, || listed(&known));
        }
        PresetCommand::Show { name } => {
            let preset = presets::find(name, client(farm)?.as_ref())?;
            match farm.output {
                Output::Json => print(farm, &view(&preset), String::new),
                Output::Text => put(preset.text.as_bytes()),
            }
        }
        PresetCommand::Check { files } => {
            let (mut read, mut ending) = (Vec::new(), Ending::Ok);
            for file in files {
                match presets::read(file) {
                    Ok(preset) => read.push(preset),
                    Err(fault) => {
                        fault.tell(farm.output, None);
                        ending = fault.ending();
                    }
                }
            }
            let list = PresetList { items: read.iter().map(view).collect() };
            print(farm, &list, || read.iter().map(|preset| format!("{}: good\n", preset.name)).collect());
            return Ok(ending);
        }
    }
    Ok(Ending::Ok)
}

/// The farm, where one is named.
fn client(farm: &FarmArgs) -> Result<Option<Client>, Fault> {
    Connection::find(farm)?.map(|connection| Client::new(&connection)).transpose()
}

fn view(preset: &Preset) -> PresetView {
    let Preset { name, description, text, .. } = preset.clone();
    PresetView { name, description, text }
}

fn listed(known: &Presets) -> String {
    let row = |preset: &Preset| {
        let made: Vec<String> = preset
            .outputs
            .iter()
            .filter_map(|output| output.settings(known).ok())
            .map(|settings| match &settings.extract {
                Some(extract) => format!("{} {}", extract.what.ending(), extract.what.name()),
                None => format!("{} {}", settings.container.name(), codecs(&settings)),
            })
            .collect();
        let made = match &preset.stream {
            Some(stream) => {
                let first = stream.codec.unwrap_or_default();
                let more = stream.more.iter().flatten().map(|more| more.codec);
                let video: Vec<&str> = std::iter::once(first).chain(more).map(VideoCodec::name).collect();
                format!("hls+dash {}+aac", video.join("+"))
            }
            None => made.join(", "),
        };
        [preset.name.clone(), made, preset.description.clone()].into_iter().map(Cell::from).collect()
    };
    let rows: Vec<Vec<Cell>> = known.iter().map(row).collect();
    table(&["PRESET", "MAKES", "FOR"], &rows, colours())
}

fn codecs(settings: &EncodeSettings) -> String {
    let video = settings.video.as_ref().map(|video| video.codec.name());
    let audio = settings.audio.as_ref().map(|audio| audio.codec.name());
    video.into_iter().chain(audio).collect::<Vec<_>>().join("+")
}
