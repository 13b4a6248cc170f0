//! What the farm costs on top of the encode: `rushes job submit --wait` against ffmpeg with the same settings and a
//! decode of its result, as the farm decodes what it made before it says that it is done.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rushes_bench::clip::{clip as clip_of, ffmpeg_decode, ffmpeg_encode, frames};
use rushes_bench::farm::{Farm, roots};
use rushes_bench::machine::version_of;
use rushes_bench::program::{self, Spent};
use rushes_bench::sample::{each, pairs};
use rushes_bench::{Bench, Better, Row};
use rushes_shared::view::JobView;
use serde_json::json;

/// Length of the clip in seconds.
const SECONDS: u32 = 60;

/// One run: what it took, and what came out.
struct Run {
    spent: Spent,
    bytes: u64,
    frames: u64,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let clip = clip_of(bench.dir(), SECONDS)?;
    bench.say(&format!("clip {}, {:.1} MB", clip.display(), fs::metadata(&clip)?.len() as f64 / 1e6));
    bench.say(&format!("peer {}", version_of("ffmpeg", "-version").context("ffmpeg is not installed")?));
    let scratch = bench.scratch()?;
    let (dir, out) = (scratch.path(), scratch.path().join("out"));
    fs::create_dir(&out).context("make the output root")?;
    let media = clip.parent().context("the clip lies in a directory")?;
    Farm::init(dir)?;
    let settings = [roots("depot.input_roots", &[media]), roots("depot.output_roots", &[&out])];
    let mut farm = Farm::start(dir, &settings)?;
    farm.add_worker()?;

    // Both have read the clip once before anything is timed.
    let warm = clip_of(bench.dir(), 5)?;
    farm_encode(&farm, &warm, &out, "warm.mp4")?;
    program::run(&mut ffmpeg_decode(&clip))?;

    let done = pairs(
        bench.runs(3),
        |number| farm_encode(&farm, &clip, &out, &format!("farm-{number}.mp4")),
        |number| peer_encode(&clip, &dir.join(format!("peer-{number}.mp4"))),
    )?;
    if let Some(pair) = done.iter().find(|pair| pair.ours.frames != pair.peer.frames) {
        bail!("the results differ: {} frames, and {} by ffmpeg", pair.ours.frames, pair.peer.frames);
    }
    let peer = "ffmpeg + decode";
    let wall = each(&done, |run| run.spent.wall.as_secs_f64());
    let cpu = each(&done, |run| run.spent.cpu.as_secs_f64());
    let size = each(&done, |run| run.bytes as f64 / 1e6);
    bench.add(
        Row::beside("encode a minute, submit to done", "s", Better::Lower, peer, &wall).target_ratio(1.03),
    );
    bench.add(Row::beside("encode a minute, CPU of the tasks", "s", Better::Lower, peer, &cpu));
    bench.add(Row::beside("encode a minute, size", "MB", Better::Lower, "ffmpeg", &size));
    Ok(())
}

fn farm_encode(farm: &Farm, input: &Path, out: &Path, name: &str) -> Result<Run> {
    let job = json!({
        "kind": "encode",
        "input": input,
        "outputs": [{
            "name": name,
            "destination": format!("{}/", out.display()),
            "video": { "codec": "h264", "crf": 23, "preset": "medium" },
            "audio": { "codec": "aac", "bitrate": "128k" },
        }],
    });
    let file = out.with_file_name("job.json");
    fs::write(&file, job.to_string()).context("write the job file")?;
    let mut command = farm.command()?;
    let spent = program::run(command.args(["job", "submit"]).arg(&file).args(["--wait", "--quiet"]))?;
    let result = out.join(name);
    let bytes = fs::metadata(&result).with_context(|| format!("find {}", result.display()))?.len();
    fs::remove_file(&result).context("remove a result")?;
    let job = farm.client().newest_job()?;
    let frames = job.outputs.first().and_then(|output| output.frames).unwrap_or_default();
    Ok(Run { spent: Spent { cpu: spent.cpu + tasks_cpu(&job), ..spent }, bytes, frames })
}

/// CPU time of the job's task processes: probe, encode, check.
fn tasks_cpu(job: &JobView) -> Duration {
    job.tasks
        .iter()
        .filter_map(|task| task.usage.as_ref())
        .map(|usage| Duration::from_millis(usage.cpu_ms))
        .sum()
}

fn peer_encode(input: &Path, output: &Path) -> Result<Run> {
    let spent = program::run(&mut ffmpeg_encode(input, output))? + program::run(&mut ffmpeg_decode(output))?;
    let run = Run { spent, bytes: fs::metadata(output)?.len(), frames: frames(output)? };
    fs::remove_file(output).context("remove a result")?;
    Ok(run)
}
