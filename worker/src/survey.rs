//! Finds out at start what this node's task processes can do: whether the sandbox stands and which encoders work.
//!
//! Both are tried in a task process, never here. What was found out about encoders is remembered for as long as
//! GStreamer, its plugins and this program stay the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rushes_shared::failure::Failure;
use rushes_shared::node::EncoderFact;
use rushes_shared::task::TaskLimits;
use rushes_shared::units::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::facts::Surveyed;
use crate::process::child::TRYING;
use crate::process::ending::{self, End};
use crate::process::ledger::Ledger;
use crate::process::nursery::Nursery;
use crate::process::pool::{self, StartError};
use crate::process::protocol::{LocalResult, LocalWork, TaskProcessJob, Walls};
use crate::process::running::{ProcessEvent, Watch};
use crate::settings::{Media, Settings};
use crate::state_dir::{StateDir, make_private, read_json};

/// Where distributions keep GStreamer's plugins.
const PLUGIN_DIRS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/gstreamer-1.0",
    "/usr/lib/aarch64-linux-gnu/gstreamer-1.0",
    "/usr/lib/riscv64-linux-gnu/gstreamer-1.0",
    "/usr/lib64/gstreamer-1.0",
    "/usr/lib/gstreamer-1.0",
    "/usr/local/lib/gstreamer-1.0",
];

/// Encoders that were tried, and for what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    key: String,
    encoders: Vec<EncoderFact>,
}

/// Runs the survey. Failures are logged and leave their facts out: a worker without encoders says so and gets no
/// encodes, which is better than a worker that is not there.
pub async fn run(
    settings: &Settings,
    state: &StateDir,
    nursery: &Result<Nursery, StartError>,
    ledger: &Ledger,
) -> Surveyed {
    match survey(settings, state, nursery, ledger).await {
        Ok(surveyed) => surveyed,
        Err(failure) => {
            warn!(%failure, detail = failure.detail, "this node's task processes do not work");
            Surveyed { sandbox: format!("unfit: {}", failure.message), ..Surveyed::default() }
        }
    }
}

async fn survey(
    settings: &Settings,
    state: &StateDir,
    nursery: &Result<Nursery, StartError>,
    ledger: &Ledger,
) -> Result<Surveyed, Failure> {
    let nursery = nursery.as_ref().map_err(StartError::failure)?;
    let process = pool::start(nursery, ledger).await.map_err(|e| e.failure())?;
    let key = cache_key(nursery.media(), &settings.media);
    let remembered: Option<Remembered> = read_json(&state.encoders()).unwrap_or_else(|error| {
        warn!(%error, "what was known of encoders is lost, they are tried again");
        None
    });
    let known = remembered
        .filter(|r| r.key == key && !settings.media.rediscover && !ran_out_of_time(&r.encoders))
        .map(|r| r.encoders);

    let discover = LocalWork::Discover { hardware: settings.media.hardware.clone() };
    let work_dir = state.scratch().join("survey");
    let made = make_private(&work_dir);
    let limits = limits(settings);
    let job = TaskProcessJob {
        walls: Walls {
            require_landlock: settings.sandbox.require,
            read: settings.sandbox.read.clone(),
            write: settings.sandbox.write.clone(),
            work_dir: work_dir.clone(),
            limits,
        },
        frame_rate: None,
        work: if known.is_some() { LocalWork::Nothing } else { discover },
    };
    let watch = Watch {
        deadline: Instant::now() + Duration::from_millis(limits.wall_ms),
        stall: Duration::from_millis(limits.stall_ms),
        stop: CancellationToken::new(),
        memory: Bytes(u64::MAX),
    };
    if known.is_none() {
        let seconds = limits.wall_ms / 1000;
        info!(
            "encoders are tried before this worker connects, for at most {seconds} s (media.discover_timeout_ms)"
        );
    }
    let mut sandbox = String::new();
    let tail = process.tail();
    let (end, usage) = process
        .run(&job, &watch, &mut |event| match event {
            ProcessEvent::Contained(walls) => sandbox = walls,
            ProcessEvent::Log(text) => tell(&text),
            ProcessEvent::Progress(_) | ProcessEvent::File(_) | ProcessEvent::Head(_) => {}
        })
        .await;
    if let Err(error) = made.and_then(|()| std::fs::remove_dir_all(&work_dir)) {
        warn!(%error, "the survey's directory could not be made or removed");
    }
    let encoders = match end {
        End::Answered(LocalResult::Discovered(encoders)) => {
            if ran_out_of_time(&encoders) {
                let slow =
                    too_slow(&encoders).map(|encoder| encoder.element.as_str()).collect::<Vec<_>>().join(" ");
                let reason = rushes_media::TOO_SLOW;
                warn!(encoders = slow, "{reason}: not used until the next start, which tries all again");
            } else {
                remember(state, &Remembered { key, encoders: encoders.clone() });
            }
            encoders
        }
        End::Answered(LocalResult::Failed(failure)) => return Err(failure),
        End::Answered(_) => known.unwrap_or_default(),
        End::Died(status) => return Err(ending::death(status, usage, &limits, &tail.text())),
        End::Stalled(_) | End::OutOfTime | End::OutOfMemory(_) | End::Stopped => {
            return Err(ending::out_of_time(&limits, &tail.text()));
        }
    };
    let working: Vec<&str> = encoders.iter().filter(|e| e.works).map(|e| e.element.as_str()).collect();
    info!(encoders = working.join(" "), sandbox, "task processes work");
    Ok(Surveyed { encoders, sandbox })
}

fn limits(settings: &Settings) -> TaskLimits {
    let wall_ms = settings.media.discover_timeout_ms;
    TaskLimits {
        wall_ms,
        cpu_s: wall_ms / 1000,
        address_space: Bytes(0),
        file_size: Bytes(64 << 20),
        stall_ms: wall_ms,
    }
}

/// Tells which encoder is tried; what libraries write beside that is of no use to anybody who starts a worker.
fn tell(text: &str) {
    for line in text.lines() {
        match line.strip_prefix(TRYING) {
            Some(encoder) => info!(encoder, "trying an encoder"),
            None => debug!(line, "written while encoders were tried"),
        }
    }
}

/// Encoders that were given up for their slowness alone: on a busy machine that says nothing about the encoder.
fn too_slow(encoders: &[EncoderFact]) -> impl Iterator<Item = &EncoderFact> {
    encoders.iter().filter(|encoder| !encoder.works && encoder.reason == rushes_media::TOO_SLOW)
}

fn ran_out_of_time(encoders: &[EncoderFact]) -> bool {
    too_slow(encoders).next().is_some()
}

fn remember(state: &StateDir, remembered: &Remembered) {
    let written = serde_json::to_vec_pretty(remembered)
        .map_err(std::io::Error::other)
        .and_then(|text| rushes_net::identity::write_secret(&state.encoders(), &text));
    if let Err(error) = written {
        warn!(%error, "what was found out about encoders could not be remembered");
    }
}

/// Changes with GStreamer, this program, the plugins that are installed, and what is used as hardware.
fn cache_key(media: &str, settings: &Media) -> String {
    let plugin_path = &settings.plugin_path;
    let mut key = format!("{media}; rushes {}", rushes_shared::build::long_version());
    for element in &settings.hardware {
        key.push_str(&format!("; {element}"));
    }
    let system = PLUGIN_DIRS.iter().map(Path::new);
    for dir in plugin_path.iter().map(PathBuf::as_path).chain(system) {
        let modified = std::fs::metadata(dir).and_then(|m| m.modified()).ok();
        if let Some(age) = modified.and_then(|m| m.duration_since(UNIX_EPOCH).ok()) {
            key.push_str(&format!("; {} {}", dir.display(), age.as_millis()));
        }
    }
    key
}
