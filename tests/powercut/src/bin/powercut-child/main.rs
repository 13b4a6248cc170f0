//! The real store under load, with every file call written down: `powercut-child ROOT LOG SEED RECORDS [deaf]`.
//!
//! Prints nothing; what it acknowledges is in the log, between the calls.

mod shim;

use std::fs::File;
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::process::ExitCode;

use rushes_powercut::drive::{Failure, drive};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("powercut-child: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or_else(|| format!("missing: {what}"));
    let root = PathBuf::from(next("ROOT")?).canonicalize()?;
    let log = File::create(next("LOG")?)?.into_raw_fd();
    let (seed, records) = (next("SEED")?.parse()?, next("RECORDS")?.parse()?);
    let deaf = args.next().is_some_and(|word| word == "deaf");
    shim::watch(root.to_str().ok_or("a root that is no text")?, log, deaf);
    drive(&root, seed, records, shim::note)
}
