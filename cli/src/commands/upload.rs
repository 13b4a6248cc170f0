//! `rushes upload`.

use std::path::PathBuf;

use serde::Serialize;

use super::{client, print};
use crate::args::FarmArgs;
use crate::board::Board;
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;
use crate::transfer;

/// A file and its place.
#[derive(Debug, Serialize)]
struct Uploaded<'a> {
    file: &'a PathBuf,
    location: String,
}

pub(super) fn run(farm: &FarmArgs, files: &[PathBuf]) -> Result<Ending, Fault> {
    let client = client(farm)?;
    let interrupt = Interrupt::watch()?;
    let mut uploaded = Vec::new();
    for file in files {
        let board = Board::for_results(farm);
        uploaded.push(Uploaded { file, location: transfer::upload(&client, file, &board, &interrupt)? });
    }
    print(farm, &uploaded, || uploaded.iter().map(|done| format!("{}\n", done.location)).collect());
    Ok(Ending::Ok)
}
