//! The nursery's inside: `rushes-worker nursery`, started only by a worker. It loads the media library once, or nothing
//! (`--plain`), and then makes a task process of itself whenever it is asked to. It parses nothing, and has one thread for ever.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rushes_media as media;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getpid, getppid, pidfd_open, setpgid, setrlimit,
};

use super::fork::{self, Side};
use super::line::{self, Fork, Word};
use super::slim;
use crate::process::child;

/// Runs the nursery. `parent` is the worker's process id; with `plain` nothing is loaded.
///
/// # Errors
/// What went wrong before the first order; the worker finds it at the end of standard error.
pub fn run(parent: i32, plain: bool) -> anyhow::Result<ExitCode> {
    // The second line: the first is the end of the line to the worker.
    die_with(parent)?;
    rustix::thread::set_name(c"rushes-nursery")?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    child::close_inherited()?;
    let line = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;

    let media = if plain {
        slim::leave_media_out()?;
        String::new()
    } else {
        media::init().map_err(anyhow::Error::new)?;
        media::preload();
        gstreamer::version_string().to_string()
    };
    line::send(line.as_fd(), &Word::Ready { media }, &[])?;

    let mut children = HashMap::new();
    while wait(&line, &children)? {
        reap(&line, &mut children)?;
        if !is_readable(&line)? {
            continue;
        }
        let Some((Fork, files)) = line::recv::<Fork>(line.as_fd())? else { break };
        match bear(files) {
            Ok(None) => {
                drop((line, children));
                return if plain { child::run_plain() } else { child::run() };
            }
            Ok(Some((pid, handle))) => {
                let word = Word::Born { pid: pid.as_raw_nonzero().get() };
                line::send(line.as_fd(), &word, &[handle.as_fd()])?;
                children.insert(pid, handle);
            }
            Err(error) => {
                line::send(line.as_fd(), &Word::Stillborn { reason: error.to_string() }, &[])?;
            }
        }
    }
    // The children end as this process does.
    Ok(ExitCode::SUCCESS)
}

/// Has the kernel kill this process when its parent ends.
pub(crate) fn die_with(parent: i32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended just before.
    if getppid().map(|p| p.as_raw_nonzero().get()) != Some(parent) {
        anyhow::bail!("a task process is started by its worker only");
    }
    Ok(())
}

/// Waits until something happens; false when the worker is gone.
fn wait(line: &OwnedFd, children: &HashMap<Pid, OwnedFd>) -> io::Result<bool> {
    let files = std::iter::once(line).chain(children.values());
    let mut polled: Vec<PollFd<'_>> = files.map(|file| PollFd::new(file, PollFlags::IN)).collect();
    match poll(&mut polled, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = PollFlags::HUP | PollFlags::ERR;
    Ok(!polled[0].revents().intersects(gone) || polled[0].revents().contains(PollFlags::IN))
}

fn is_readable(line: &OwnedFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(line, PollFlags::IN)];
    Ok(poll(&mut polled, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}

/// Tells the worker of children that have ended.
fn reap(line: &OwnedFd, children: &mut HashMap<Pid, OwnedFd>) -> io::Result<()> {
    let mut ended = Vec::new();
    for pid in children.keys() {
        if let Some(reaped) = fork::reap(*pid)? {
            ended.push((*pid, reaped));
        }
    }
    for (pid, reaped) in ended {
        children.remove(&pid);
        let fork::Reaped { status, cpu_us, max_rss_bytes } = reaped;
        let word = Word::Ended { pid: pid.as_raw_nonzero().get(), status, cpu_us, max_rss_bytes };
        line::send(line.as_fd(), &word, &[])?;
    }
    Ok(())
}

/// Makes a task process. `None` in that process; its id and handle here.
fn bear(files: Vec<OwnedFd>) -> anyhow::Result<Option<(Pid, OwnedFd)>> {
    let own = getpid().as_raw_nonzero().get();
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(files)
        .map_err(|_| anyhow::anyhow!("an order came without its three pipes"))?;
    match fork::fork()? {
        // Not reaped yet, so the id is the child's own, even if that has ended by now.
        Side::Parent(pid) => Ok(Some((pid, pidfd_open(pid, PidfdFlags::empty())?))),
        Side::Child => {
            if let Err(error) = become_task([stdin, stdout, stderr], own) {
                eprintln!("{error}");
                fork::leave(1);
            }
            Ok(None)
        }
    }
}

fn become_task([stdin, stdout, stderr]: [OwnedFd; 3], nursery: i32) -> anyhow::Result<()> {
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    die_with(nursery)?;
    setpgid(None, None)?;
    rustix::thread::set_name(c"rushes-task")?;
    Ok(())
}
