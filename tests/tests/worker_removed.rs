//! A worker that an operator removes: refused from then on, and what it held goes elsewhere.

use std::process::Command;

use rushes_shared::view::WorkerView;
use rushes_tests::program::{fail, succeed};
use rushes_tests::{Farm, FarmPlan, SOON, binaries, media, tasks, until};

fn rushes(farm: &Farm, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::cli());
    command.env("RUSHES_URL", &farm.book().api_url).env("RUSHES_TOKEN", farm.token()).args(arguments);
    command
}

fn named(farm: &Farm, name: &str) -> Option<WorkerView> {
    farm.api().workers().into_iter().find(|worker| worker.name == name)
}

#[test]
fn a_removed_worker_is_refused_and_its_work_goes_elsewhere() {
    let clip = media::long();
    let mut farm = FarmPlan::new(1).set_worker("link.refusals_max=2").start();
    let id = farm.connected(1)[0].id;
    let job = farm.api().submit(&farm.encode(&clip, "film.mp4", "veryslow"));
    let task = farm.api().encoding(job);
    assert_eq!(task.worker, Some(id));
    let _second = farm.add_worker();
    let _both = farm.connected(2);

    let said = succeed(rushes(&farm, &["worker", "remove", "w0"]));
    assert!(said.starts_with("w0 is removed") && said.contains("another worker"), "{said}");
    assert!(named(&farm, "w0").is_none(), "it is not listed any more");
    farm.worker_program(0).hear("it was removed by an operator");
    farm.worker_program(0).hear("what runs here is stopped");
    until("nothing of it is worked on any longer", SOON, || {
        tasks::at_work(&farm.worker(0).dir).is_empty().then_some(())
    });
    let elsewhere = until("the task runs elsewhere", SOON, || {
        let task = farm.api().encoding(job);
        (task.worker != Some(id)).then_some(task)
    });
    assert_eq!(elsewhere.worker_name.as_deref(), Some("w1"));

    let done = farm.api().succeeded(job);
    assert_eq!(farm.delivered(), ["film.mp4"]);
    assert!(done.tasks.iter().all(|t| t.worker != Some(id) || t.kind != task.kind), "{:#?}", done.tasks);
    let ended = farm.worker_program(0).ended(SOON);
    assert_eq!(ended.code(), Some(3), "with nothing left to do it gives up: {}", farm.worker_log(0));
    assert!(farm.worker_log(0).contains("join with a new join token"), "{}", farm.worker_log(0));
    assert!(farm.coordinator_log().contains("was removed at"), "the refusal is logged");

    let (code, said) = fail(rushes(&farm, &["worker", "remove", &id.to_string()]));
    assert!(code == Some(3) && said.contains("there is no worker"), "{said}");
    let (code, said) = fail(rushes(&farm, &["worker", "drain", &id.to_string()]));
    assert!(code == Some(3) && said.contains("there is no worker"), "{said}");
    let (code, said) = fail(rushes(&farm, &["worker", "remove", "w0"]));
    assert!(code == Some(2) && said.contains("no worker has the name or id 'w0'"), "{said}");

    // Also after a restart, and a worker is also removed while no coordinator runs.
    let other = named(&farm, "w1").expect("it is there").id;
    farm.stop_coordinator();
    let said = succeed(farm.coordinator_command(&["worker", "remove", &other.to_string()]));
    assert!(said.contains("w1 is removed"), "{said}");
    farm.start_coordinator();
    farm.worker_program(1).hear("was removed at");
    assert!(farm.api().workers().is_empty(), "{:?}", farm.api().workers());
}
