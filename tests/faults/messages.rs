//! Every message of the protocol: lost, its reply lost, and on its way while it is said again.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use trainwire::record::Record;
use trainwire::{Config, Job, JobHandle, Orchestrator, StopReason, TaskEnd, TrainingTask};
use trainwire_protocol::frame::Kind;
use trainwire_tests::{Watch, within};

use crate::proxy::{self, Loss, Plan, Towards};
use crate::trainer::{self, Seen, Trainers};
use crate::{Extent, journal};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_is_missed_however_it_is_lost() {
    let rounds = if Extent::asked() == Extent::Full { 10 } else { 1 };
    let mut running = tokio::task::JoinSet::new();
    let mut happened = std::collections::BTreeMap::new();
    let mut count = |ran: Option<Result<(String, bool), tokio::task::JoinError>>| {
        if let Some(ran) = ran {
            let (name, did) = ran.expect("no panic");
            *happened.entry(name).or_insert(0) += u32::from(did);
        }
    };
    for round in 0..rounds {
        for (towards, kind, places) in messages() {
            for loss in [Loss::Lost, Loss::ReplyLost, Loss::Late] {
                let plan = Plan { towards, kind: kind as u8, after: round % places, loss };
                running.spawn(async move { (format!("{kind:?} {loss:?} {towards:?}"), lose(plan).await) });
                if running.len() >= 8 {
                    count(running.join_next().await);
                }
            }
        }
    }
    while let Some(ran) = running.join_next().await {
        count(Some(ran));
    }
    let missed: Vec<_> = happened.iter().filter(|(_, times)| **times < rounds).collect();
    eprintln!("messages: {} ways to lose one, {rounds} times each", happened.len());
    assert!(missed.is_empty(), "not as often as wanted: {missed:?}");
}

/// Which flow where, and how many of a kind a trainer sees at least.
fn messages() -> Vec<(Towards, Kind, u32)> {
    vec![
        (Towards::Orchestrator, Kind::Hello, 1),
        (Towards::Orchestrator, Kind::Started, 2),
        (Towards::Orchestrator, Kind::Report, 2),
        (Towards::Orchestrator, Kind::Checkpoint, 2),
        (Towards::Orchestrator, Kind::Result, 2),
        (Towards::Orchestrator, Kind::Heartbeat, 2),
        (Towards::Orchestrator, Kind::Release, 2),
        (Towards::Orchestrator, Kind::Bye, 1),
        (Towards::Trainer, Kind::Welcome, 1),
        (Towards::Trainer, Kind::Refused, 1),
        (Towards::Trainer, Kind::Slab, 1),
        (Towards::Trainer, Kind::Deliver, 2),
        (Towards::Trainer, Kind::Ack, 2),
        (Towards::Trainer, Kind::Stop, 1),
        (Towards::Trainer, Kind::Bye, 1),
    ]
}

/// One job, with one loss; whether there was such a frame.
async fn lose(plan: Plan) -> bool {
    let folder = tempfile::Builder::new().prefix("tw-").tempdir().expect("a folder");
    let state = folder.path().join("state");
    let config =
        Config { state_dir: Some(state.clone()), socket_dir: folder.path().to_owned(), ..Config::default() };
    let orchestrator = Orchestrator::start(config).await.expect("an orchestrator");
    let is = |kinds: &[Kind]| kinds.iter().any(|kind| *kind as u8 == plan.kind);
    let (in_slab, refused) = (is(&[Kind::Slab, Kind::Release]), is(&[Kind::Refused]));
    let size = |id: &str| if in_slab && id != "stop" { 100_000 } else { 10 };
    let tasks = ["a", "b", "c", "stop"].map(|id| TrainingTask::new(id, "m").hyperparams(vec![7; size(id)]));
    let mut job = Job::new("lossy").expect("an id").window(2).tasks(tasks);
    job = if in_slab { trainer::started(job, plan).slab(1 << 20) } else { job.attach(true) };
    job.spec.recv_timeout = Duration::from_millis(400);
    job.spec.max_losses = 10;
    job.spec.backoff_min = Duration::from_millis(1);
    job.spec.backoff_max = Duration::from_millis(5);
    let job = orchestrator.submit(job).await.expect("a job");
    let start = |job_id, plan| Trainers::start(job.socket_path().to_owned(), job_id, plan);
    let trainers = (!in_slab).then(|| start("lossy", (!refused).then_some(plan)));
    let stranger = refused.then(|| start("another", Some(plan)));

    let mut watch = Watch::new(&job);
    await_stoppable(&mut watch).await;
    // Time for heartbeats.
    tokio::time::sleep(Duration::from_millis(250)).await;
    if in_slab {
        within(all_released(&job)).await;
    }
    job.stop_task("stop", StopReason::Interrupted).await.expect("a stop");
    let outcome = watch.outcome().await;
    let wanted = outcome.tasks.iter().all(|task| match &*task.task_id {
        "stop" => matches!(task.state, TaskEnd::Stopped { .. }),
        _ => matches!(task.state, TaskEnd::Succeeded { .. }),
    });
    assert!(wanted, "{plan:?}: {outcome:#?} {:#?}", watch.seen);
    let seen = tokio::task::spawn_blocking(|| trainers.map(Trainers::end)).await.expect("no panic");
    let stranger = tokio::task::spawn_blocking(|| stranger.map(Trainers::end)).await.expect("no panic");
    within(orchestrator.shutdown()).await;
    let seen = seen.unwrap_or_else(|| Seen::read(&state.join("jobs/lossy/logs")));
    assert!(stranger.is_none_or(|stranger| stranger.refused), "{plan:?}: it was never told");
    journal::check(&state, &seen.promises, true);
    assert_eq!(left(&folder), Vec::<String>::new(), "{plan:?}");
    proxy::note(folder.path()).exists()
}

/// Until the task that waits for a stop is with its trainer.
async fn await_stoppable(watch: &mut Watch) {
    let (mut stop, mut deliveries) = (None, Vec::new());
    watch
        .record(|record| {
            match record {
                Record::TaskSubmitted { task, task_id, .. } if &**task_id == "stop" => stop = Some(*task),
                Record::Delivered { task, delivery, .. } if Some(*task) == stop => deliveries.push(*delivery),
                Record::Started { delivery } if deliveries.contains(delivery) => return Some(()),
                _ => {}
            }
            None
        })
        .await;
}

/// Until the slab is free again: no Release is missed for good.
async fn all_released(job: &JobHandle) {
    while job.slab_usage().is_some_and(|usage| usage.used_bytes > 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(job.slab_usage().map(|usage| usage.fallbacks), Some(0), "not in the slab");
}

/// Sockets that are still there.
fn left(folder: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| Path::new(name).extension().is_none() && name.starts_with("ai-")).collect()
}
