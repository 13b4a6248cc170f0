//! The words that table tests are written in. Everything here comes to rest before the next word.

use rushes_core::event::Event;
use rushes_core::policy::Policy;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::job::{JobChange, JobSpec};
use rushes_shared::media::MediaFacts;
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{TaskKind, TaskOutcome, TaskValue, Usage};
use rushes_shared::units::Millicores;

use super::world::{Ask, World};
use super::{laws, samples, tell};

/// A farm after `given`; what `event` makes visible must be `expect`, in order.
#[track_caller]
pub(crate) fn check(
    given: impl FnOnce(&mut Scene),
    event: impl FnOnce(&mut Scene),
    expect: &[&str],
) -> Scene {
    check_with(Policy::default(), given, event, expect)
}

/// The same under other settings.
#[track_caller]
pub(crate) fn check_with(
    policy: Policy,
    given: impl FnOnce(&mut Scene),
    event: impl FnOnce(&mut Scene),
    expect: &[&str],
) -> Scene {
    let source = samples::facts(1920, 1080);
    let mut scene = Scene { world: World::new(policy), source, mute: Vec::new() };
    scene.rest();
    given(&mut scene);
    scene.world.trace.clear();
    event(&mut scene);
    let seen: Vec<&str> = scene.world.trace.iter().map(String::as_str).collect();
    assert_eq!(seen, expect, "\nseen:   {seen:#?}\nexpect: {expect:#?}");
    scene
}

pub(crate) struct Scene {
    pub(crate) world: World,
    /// What probes find.
    pub(crate) source: MediaFacts,
    /// Workers that send no heartbeats.
    pub(crate) mute: Vec<WorkerId>,
}

impl Scene {
    /// Lets everything that is on its way arrive.
    pub(crate) fn rest(&mut self) {
        self.world.settle();
        laws::hold(&self.world);
    }

    pub(crate) fn submit(&mut self, spec: JobSpec) {
        self.ask(Ask::of(spec));
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.world.submit(ask);
        self.rest();
    }

    pub(crate) fn cancel(&mut self, job: u128) {
        self.world.cancel(rushes_shared::id::JobId(job));
        self.rest();
    }

    pub(crate) fn amend(&mut self, job: u128, change: JobChange) {
        self.world.amend(rushes_shared::id::JobId(job), change);
        self.rest();
    }

    pub(crate) fn set_limit(&mut self, name: &str, most: Option<u32>) {
        self.world.set_limit(name, most);
        self.rest();
    }

    pub(crate) fn dry_run(&mut self, spec: JobSpec) {
        self.world.dry_run(spec);
        self.rest();
    }

    /// A node of so many cores and as many light slots.
    pub(crate) fn join_with_cores(&mut self, name: char, cores: u32) {
        let cpu = Millicores(cores * 1_000);
        self.join_as(name, NodeFacts { cpu, light_slots: cores, ..samples::node(&name.to_string()) });
    }

    pub(crate) fn drain(&mut self, name: char, draining: bool) {
        self.world.drain(tell::worker(name), draining);
        self.rest();
    }

    /// A node of four cores that encodes so many tasks in hardware at once.
    pub(crate) fn join_with_hardware(&mut self, name: char, sessions: u32) {
        let facts = samples::with_hardware(samples::node(&name.to_string()));
        self.world.add_worker(tell::worker(name), facts);
        self.world.workers.get_mut(&tell::worker(name)).expect("just added").sessions = Some(sessions);
        self.connect(name);
    }

    /// The hardware encoder that a running task was ordered to use.
    #[track_caller]
    pub(crate) fn hardware(&self, name: char, task: &str) -> Option<&str> {
        let attempt = self.attempt(name, task);
        self.world.workers[&tell::worker(name)].held[&attempt].order.work.hardware()
    }

    /// New workers connect.
    pub(crate) fn join(&mut self, names: &str) {
        for name in names.chars() {
            self.join_as(name, samples::node(&name.to_string()));
        }
    }

    pub(crate) fn join_as(&mut self, name: char, facts: NodeFacts) {
        self.world.add_worker(tell::worker(name), facts);
        self.connect(name);
    }

    pub(crate) fn connect(&mut self, name: char) {
        self.world.connect(tell::worker(name));
        self.rest();
    }

    /// The link breaks, after all that was said has arrived.
    pub(crate) fn cut(&mut self, name: char) {
        self.world.cut(tell::worker(name), true);
        self.rest();
    }

    /// The worker's process is killed and another one started; it does not connect yet.
    pub(crate) fn restart(&mut self, name: char) {
        self.kill(name);
        self.world.revive(tell::worker(name));
    }

    pub(crate) fn kill(&mut self, name: char) {
        self.world.kill(tell::worker(name), true);
        self.rest();
    }

    pub(crate) fn leave(&mut self, name: char) {
        self.world.leave(tell::worker(name));
        self.rest();
    }

    /// The attempt of a task that runs on a worker.
    #[track_caller]
    pub(crate) fn attempt(&self, name: char, task: &str) -> AttemptId {
        let task = tell::task(task);
        let mut held = self.world.workers[&tell::worker(name)].held.iter();
        let found = held.find(|(_, h)| h.order.task == task && h.outcome.is_none());
        *found.unwrap_or_else(|| panic!("{name} does not run {task}")).0
    }

    /// Whether a worker runs a task.
    pub(crate) fn runs(&self, name: char, task: &str) -> bool {
        let task = tell::task(task);
        let held = &self.world.workers[&tell::worker(name)].held;
        held.values().any(|h| h.order.task == task && h.outcome.is_none())
    }

    /// The worker that runs a task.
    #[track_caller]
    pub(crate) fn runner(&self, task: &str) -> char {
        let found = ('a'..='h')
            .find(|name| self.world.workers.contains_key(&tell::worker(*name)) && self.runs(*name, task));
        found.unwrap_or_else(|| panic!("nobody runs {task}"))
    }

    #[track_caller]
    pub(crate) fn done(&mut self, name: char, task: &str) {
        let attempt = self.attempt(name, task);
        let order = &self.world.workers[&tell::worker(name)].held[&attempt].order;
        let value = samples::value_of(order, &self.source);
        self.ends_with(name, task, value);
    }

    #[track_caller]
    pub(crate) fn ends_with(&mut self, name: char, task: &str, value: TaskValue) {
        let attempt = self.attempt(name, task);
        let stages = self.world.workers[&tell::worker(name)].held[&attempt].order.work.output().is_some();
        let outcome = TaskOutcome::Succeeded { value, usage: Usage::default() };
        self.world.end(tell::worker(name), attempt, outcome, stages);
        self.rest();
    }

    #[track_caller]
    pub(crate) fn fail(&mut self, name: char, task: &str, code: FailureCode) {
        let failure = Failure::new(code, "it failed", "try it otherwise");
        self.end(name, task, TaskOutcome::Failed { failure, usage: Usage::default() });
    }

    #[track_caller]
    pub(crate) fn end(&mut self, name: char, task: &str, outcome: TaskOutcome) {
        let attempt = self.attempt(name, task);
        self.world.end(tell::worker(name), attempt, outcome, false);
        self.rest();
    }

    /// Time passes; workers that are there send their heartbeats.
    pub(crate) fn wait(&mut self, ms: u64) {
        let until = self.world.now.mono.plus(ms);
        while self.world.now.mono < until {
            let left = until.since(self.world.now.mono);
            let alarm = self.world.engine.as_ref().and_then(rushes_core::engine::Engine::next_wake);
            let alarm = alarm.map_or(left, |at| at.since(self.world.now.mono));
            self.world.pass(alarm.clamp(1, left.min(1_000)));
            let ids: Vec<WorkerId> = self.world.workers.keys().copied().collect();
            for id in ids.into_iter().filter(|id| !self.mute.contains(id)) {
                self.world.beat(id);
            }
            self.rest();
        }
    }

    /// The coordinator is killed with nothing on its way to the disk.
    pub(crate) fn crash(&mut self) {
        self.world.crash(0, false);
        laws::hold(&self.world);
    }

    pub(crate) fn start(&mut self) {
        self.world.start();
        self.rest();
    }

    /// An event straight to the engine, as a confused or late sender would make it.
    pub(crate) fn tell(&mut self, event: Event) {
        self.world.tell(event);
        self.rest();
    }

    /// How often an attempt at tasks of this kind was started, over all reigns.
    pub(crate) fn starts(&self, kind: TaskKind) -> usize {
        use rushes_core::event::FarmNews;
        let is_start =
            |what: &FarmNews| matches!(what, FarmNews::TaskDispatched { kind: k, .. } if *k == kind);
        self.world.news.iter().filter(|n| is_start(&n.what)).count()
    }
}
