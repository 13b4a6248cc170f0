//! The real store under load in a process that can be killed.
//!
//! `store-child drive ROOT SEED RECORDS` writes what it acknowledges to standard output;
//! `store-child check ROOT NOTES` reads that back and checks that the store keeps it.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use rushes_powercut::drive::{Failure, drive};
use rushes_powercut::load::{Promises, check};
use rushes_powercut::oplog::{self, Note, Op};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store-child: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["drive", root, seed, records] => drive(Path::new(root), seed.parse()?, records.parse()?, tell),
        ["check", root, notes] => {
            let mut promises = Promises::default();
            oplog::read(std::fs::File::open(notes)?)?.iter().for_each(|op| promises.note(op));
            let seen = check(Path::new(root), &promises)?;
            println!("confirmed up to {}, there up to {}", promises.confirmed, seen.tail);
            Ok(())
        }
        _ => Err("usage: store-child drive ROOT SEED RECORDS | check ROOT NOTES".into()),
    }
}

/// One write for each note, so that what was said before a kill is whole.
fn tell(note: Note) {
    let mut out = std::io::stdout().lock();
    let told = out.write_all(&Op::Note(note).to_bytes()).and_then(|()| out.flush());
    if told.is_err() {
        // Nobody listens any more.
        std::process::exit(1);
    }
}
