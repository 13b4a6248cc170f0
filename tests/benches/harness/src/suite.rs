//! A suite: sections that make rows, a table of them, a file for programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::machine::Machine;
use crate::row::{HEADS, Row};

/// A part of a suite that can be run alone: its name and what it does.
pub type Section = (&'static str, fn(&mut Bench) -> Result<()>);

/// What sections work with.
#[derive(Debug)]
pub struct Bench {
    rows: Vec<Row>,
    asked_runs: Option<usize>,
    /// `target/bench`.
    dir: PathBuf,
}

impl Bench {
    /// How many runs a figure gets: what RUSHES_BENCH_RUNS says, else this.
    #[must_use]
    pub fn runs(&self, default: usize) -> usize {
        self.asked_runs.unwrap_or(default)
    }

    /// Adds a row, and shows at once that it is there: a suite takes minutes.
    pub fn add(&mut self, row: Row) {
        let [name, value, ..] = row.cells();
        println!("  {name}: {value}");
        self.rows.push(row);
    }

    /// A remark for who reads along.
    pub fn say(&self, text: &str) {
        println!("  {text}");
    }

    /// A directory that is removed when dropped, on the disk where the build is, as memory is no disk.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn scratch(&self) -> Result<TempDir> {
        tempfile::Builder::new().prefix("t").tempdir_in(&self.dir).context("make a directory in target/bench")
    }

    /// `target/bench`, where files that are worth keeping between runs go.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Runs a suite as a program. Arguments without dashes name the sections to run; all without any.
///
/// A section that fails does not keep the others from running; the rows that there are get written, and the exit code
/// is 1. A missed target is a row like others and no failure.
#[must_use]
pub fn suite(name: &str, sections: &[Section]) -> ExitCode {
    match run(name, sections) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, sections: &[Section]) -> Result<bool> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Some(unknown) = wanted.iter().find(|word| !sections.iter().any(|(section, _)| section == word)) {
        let known: Vec<&str> = sections.iter().map(|(section, _)| *section).collect();
        anyhow::bail!("there is no section '{unknown}'; the sections are {}", known.join(", "));
    }
    let dir = target_dir()?.join("bench");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let mut bench = Bench { rows: Vec::new(), asked_runs: asked_runs()?, dir };
    let machine = Machine::read();
    println!("\nsuite {name} on {machine}");
    let mut is_whole = true;
    for (section, work) in sections {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == section) {
            continue;
        }
        println!(" {section}");
        let began = Instant::now();
        if let Err(error) = work(&mut bench) {
            eprintln!("bench {name}, {section}: {error:#}");
            is_whole = false;
        }
        println!("  ({:.0} s)", began.elapsed().as_secs_f64());
    }
    print!("\n{}", table(&bench.rows));
    // Figures of some sections, or of a build that is not optimised, must not be taken for the suite's.
    let is_suite = wanted.is_empty() && machine.is_optimised;
    let stem = if is_suite { name.to_owned() } else { format!("{name}.partial") };
    let (rows, facts) =
        (bench.dir.join(format!("{stem}.json")), bench.dir.join("machine").join(format!("{stem}.json")));
    write(&rows, &serde_json::to_vec_pretty(&bench.rows)?)?;
    write(&facts, &serde_json::to_vec_pretty(&machine)?)?;
    println!("rows in {}\n", rows.display());
    Ok(is_whole)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

fn asked_runs() -> Result<Option<usize>> {
    let Ok(text) = std::env::var("RUSHES_BENCH_RUNS") else { return Ok(None) };
    let runs = text.parse().ok().filter(|runs| (1..=1000).contains(runs));
    runs.map(Some).with_context(|| format!("RUSHES_BENCH_RUNS is '{text}' and should be 1 to 1000"))
}

/// Where this build's programs are: `target/release` for `cargo bench`.
///
/// # Errors
/// Where this program does not lie in a target directory.
pub fn programs_dir() -> Result<PathBuf> {
    // target/<profile>/deps/<benchmark>
    let own = std::env::current_exe().context("find this program")?;
    let dir = own.parent().and_then(Path::parent).map(Path::to_owned);
    dir.with_context(|| format!("{} is not in a target directory", own.display()))
}

fn target_dir() -> Result<PathBuf> {
    let programs = programs_dir()?;
    programs.parent().map(Path::to_owned).with_context(|| format!("{} has no parent", programs.display()))
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEADS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
