//! One media operation for `rushes media`, behind the walls of a task process.
//!
//! The command line gives one order and reads the replies (see [`rushes_shared::at_hand`]). GStreamer is brought up
//! first, while its plugins can still be read; then this process closes itself in and only then opens the file. At the
//! end of its standard input it ends, whatever it does.

mod work;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rushes_media as media;
use rushes_shared::at_hand::{LINE_LIMIT, Order, Reply, Work};
use rushes_shared::sequence::Pattern;

use crate::process::child;
use crate::process::protocol::Walls;
use crate::sandbox;
use crate::settings::Settings;

/// Runs the one operation.
///
/// # Errors
/// What went wrong before the order could be answered.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut replies = File::from(child::own_stdout()?);
    let mut control = File::from(rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
    let order: Order = serde_json::from_slice(&line(&mut control)?)?;
    let mut send = |reply: &Reply| -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        replies.write_all(&line)
    };
    if let Err(failure) = start(settings) {
        send(&Reply::Failed(failure))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(error) = sandbox::enter(&walls(settings, &order)) {
        send(&Reply::Failed(error.failure()))?;
        return Ok(ExitCode::SUCCESS);
    }
    child::watch(control);
    media::set_stall(Duration::from_millis(order.limits.stall_ms));
    if let Some(rate) = order.frame_rate {
        media::set_frame_rate(rate);
    }
    let done = work::perform(&order, &mut |progress| {
        // Nobody listens any more: the watcher ends this process.
        drop(send(&Reply::Progress(progress)));
    });
    send(&done.map_or_else(Reply::Failed, Reply::Done))?;
    Ok(ExitCode::SUCCESS)
}

/// One line, byte by byte: what follows it is not this function's.
fn line(control: &mut File) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while control.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
        if line.len() as u64 > LINE_LIMIT {
            anyhow::bail!("the order is longer than {LINE_LIMIT} bytes");
        }
    }
    Ok(line)
}

fn start(settings: &Settings) -> Result<(), rushes_shared::failure::Failure> {
    media::init()?;
    for folder in &settings.media.plugin_path {
        gstreamer::Registry::get().scan_path(folder);
    }
    media::preload();
    Ok(())
}

/// What has to be readable for a file: of the pattern of an image sequence, the directory of its files.
fn readable(input: &Path) -> PathBuf {
    let is_pattern = || input.file_name().and_then(|name| Pattern::of(name.to_str()?)).is_some();
    match input.parent() {
        Some(parent) if !input.exists() && is_pattern() => parent.to_owned(),
        _ => input.to_owned(),
    }
}

fn walls(settings: &Settings, order: &Order) -> Walls {
    let mut read = settings.sandbox.read.clone();
    read.push(readable(&order.input));
    match &order.work {
        Work::Compare { other, .. } => read.push(readable(other)),
        Work::Package { rungs, sound, .. } => read.extend(rungs.iter().chain(sound).cloned()),
        _ => {}
    }
    Walls {
        require_landlock: settings.sandbox.require,
        read,
        write: settings.sandbox.write.clone(),
        work_dir: order.directory.clone(),
        limits: order.limits,
    }
}
