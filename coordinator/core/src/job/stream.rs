//! What the tasks of a streaming set work on: its settings, the film, and what other tasks of it have left in staging.

use rushes_shared::artifact::Artifact;
use rushes_shared::id::AttemptId;
use rushes_shared::job::Work;
use rushes_shared::ladder::{LadderRate, LadderSettings, Scan};
use rushes_shared::measure::VmafTally;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{PackageWork, PartMade, StreamStep, StreamWork, TaskValue, TaskWork, Took, Usage};

use super::{Job, Step};

impl Job {
    /// The work of a task of a streaming set. `None` where what it depends on is not known yet.
    pub(super) fn stream_work(&self, task: u32, step: StreamStep) -> Option<TaskWork> {
        let Work::Stream { settings, .. } = &self.spec.work else { return None };
        let (input, source) = self.probed()?;
        let (input, source, ladder) = (input.clone(), source.clone(), &settings.ladder);
        let work = match step {
            StreamStep::Sound => {
                let number = (task - self.first_of(step)?) as usize;
                let bitrate_bps = *ladder.sounds(&source).get(number)?;
                let settings = ladder.sound_of(&source, bitrate_bps);
                StreamWork::Sound { input, source, settings }
            }
            StreamStep::Stills => StreamWork::Stills { input, source },
            StreamStep::Scan => {
                let range = *ladder.scans(&source).get((task - self.first_of(step)?) as usize)?;
                StreamWork::Scan { input, source, range }
            }
            StreamStep::Chunk => {
                let scans = self.scans(ladder, &source)?;
                let cuts: Vec<u64> = scans.iter().flat_map(|scan| scan.cuts.iter().copied()).collect();
                let ranges = ladder.chunks(&source, &cuts);
                let number = (task - self.first_of(step)?) as usize;
                let (range, rungs) = (*ranges.get(number)?, ladder.rungs_of_chunks(&source, &ranges));
                let settings = ladder.clone();
                let bits = ladder.budget(&source, &scans, &ranges, number);
                match ladder.keys_at_cuts(&source, &range, &cuts) {
                    Some(cuts) => StreamWork::CutChunk { input, range, settings, rungs, bits, cuts, source },
                    None if ladder.rate == LadderRate::Factor => {
                        StreamWork::Chunk { input, range, settings, rungs, source }
                    }
                    None => StreamWork::MeanChunk { input, range, settings, rungs, bits, source },
                }
            }
            StreamStep::Package => StreamWork::Package(self.package_work()?),
        };
        Some(TaskWork::Stream { work: Box::new(work), output: step.output() })
    }

    /// What was found in the cells of a set whose chunks follow from them. `None` while a scan is missing: the chunks follow from
    /// all of them, and so are the same whenever they are asked for.
    fn scans(&self, ladder: &LadderSettings, source: &MediaFacts) -> Option<Vec<Scan>> {
        // A set that was planned without scans has its chunks on the grid.
        let Some(first) = self.first_of(StreamStep::Scan).map(|first| first as usize) else {
            return Some(Vec::new());
        };
        let mut scans = Vec::new();
        for at in 0..ladder.scans(source).len() {
            let success = self.tasks.get(first + at)?.success.as_ref()?;
            let TaskValue::Scanned(scan) = &**success.value.as_ref()? else { return None };
            scans.push(scan.clone());
        }
        Some(scans)
    }

    fn package_work(&self) -> Option<PackageWork> {
        let Work::Stream { settings, .. } = &self.spec.work else { return None };
        let (_, source) = self.probed()?;
        let made = |step| self.parts(step).map(|(part, usage)| (part.clone(), *usage)).collect::<Vec<_>>();
        let (sound, stills, chunks) =
            (made(StreamStep::Sound), made(StreamStep::Stills), made(StreamStep::Chunk));
        // Workers say these numbers.
        let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
        let run_ms = |parts: &[(PartMade, Usage)]| sum(&mut parts.iter().map(|(_, usage)| usage.run_ms));
        let took = Took {
            sound_ms: run_ms(&sound),
            stills_ms: run_ms(&stills),
            chunks_ms: run_ms(&chunks),
            chunks_cpu_ms: sum(&mut chunks.iter().map(|(_, usage)| usage.cpu_ms)),
            package_ms: 0,
        };
        let rungs = settings.ladder.rungs(source);
        let vmaf = pooled(rungs.len(), chunks.iter().map(|(part, _)| &part.vmaf[..]));
        let files = |parts: Vec<(PartMade, Usage)>| parts.into_iter().map(|(part, _)| part.artifact);
        let mut sounds = files(sound);
        Some(PackageWork {
            rungs,
            source: source.clone(),
            settings: settings.ladder.clone(),
            frames: sum(&mut chunks.iter().map(|(part, _)| part.frames)),
            sound: sounds.next(),
            stills: files(stills).next(),
            chunks: files(chunks).collect(),
            took,
            more_sounds: sounds.collect(),
            vmaf,
        })
    }

    fn parts(&self, step: StreamStep) -> impl Iterator<Item = (&PartMade, &Usage)> + '_ {
        self.parts_of(Step::Stream(step))
    }

    /// What the tasks of a step have left in staging, in their order, and what they used.
    pub(super) fn parts_of(&self, step: Step) -> impl Iterator<Item = (&PartMade, &Usage)> + '_ {
        let first = self.first_task_of(step).unwrap_or(0) as usize;
        let count = self.stages.iter().find(|s| s.step == step).map_or(0, |s| s.count);
        let tasks = self.tasks.iter().skip(first).take(count as usize);
        tasks.filter_map(|task| {
            let success = task.success.as_ref()?;
            match &**success.value.as_ref()? {
                TaskValue::Part(part) => Some((part, &success.usage)),
                _ => None,
            }
        })
    }

    fn first_of(&self, step: StreamStep) -> Option<u32> {
        self.first_task_of(Step::Stream(step))
    }

    pub(super) fn first_task_of(&self, step: Step) -> Option<u32> {
        let mut first = 0;
        for stage in self.stages.iter() {
            if stage.step == step {
                return Some(first);
            }
            first += stage.count;
        }
        None
    }

    /// Attempts whose staged files nobody needs any more: the parts of a set whose package is made.
    #[must_use]
    pub fn spent_parts(&self) -> Vec<AttemptId> {
        if !matches!(self.spec.work, Work::Stream { .. }) {
            return self.spent_pieces();
        }
        if self.made(0).is_none() {
            return Vec::new();
        }
        [StreamStep::Sound, StreamStep::Stills, StreamStep::Chunk]
            .into_iter()
            .flat_map(|step| self.parts(step))
            .filter_map(|(part, _)| part.artifact.attempt)
            .collect()
    }

    /// The staged file of what a job publishes, once an attempt has made it.
    #[must_use]
    pub fn made(&self, output: u32) -> Option<&Artifact> {
        let task = self.task_of_output(output)?;
        match &**self.tasks.get(task as usize)?.success.as_ref()?.value.as_ref()? {
            TaskValue::Encoded(encoded) => Some(&encoded.artifact),
            TaskValue::Set(set) => Some(&set.artifact),
            TaskValue::ProbedFiles(found) => Some(&found.artifact),
            TaskValue::Nothing | TaskValue::Probed { .. } | TaskValue::Part(_) | TaskValue::Scanned(_) => {
                None
            }
        }
    }
}

/// The scores of each rung over all chunks; none where none were measured.
fn pooled<'a>(rungs: usize, chunks: impl Iterator<Item = &'a [VmafTally]>) -> Vec<VmafTally> {
    let mut whole: Vec<VmafTally> = Vec::new();
    for scores in chunks {
        // Workers say how many there are.
        let known = scores.len().min(rungs);
        whole.resize(whole.len().max(known), VmafTally::default());
        whole.iter_mut().zip(scores).for_each(|(whole, part)| whole.merge(part));
    }
    whole
}
