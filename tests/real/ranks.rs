//! Several processes that train together, started by a launcher that does as torchrun does. The same with
//! torchrun itself is in `tests/frameworks`.

use trainwire::record::{Ending, Record};
use trainwire::{Event, Job, StopReason, TaskEnd, TrainingTask, What};
use trainwire_tests::{LAUNCHER, Stage, Watch, python};

/// A job of two ranks.
fn job(stage: &Stage, job_id: &str, restarts: u32, program: &str) -> Job {
    // The ranks' own script; the command is the launcher's.
    let _ = stage.job(job_id, program);
    let (launcher, script) = (stage.path("launcher.py"), stage.path(&format!("{job_id}.py")));
    std::fs::write(&launcher, LAUNCHER).expect("a script");
    let restarts = restarts.to_string();
    stage.command(job_id, [python(), launcher, restarts.into(), script])
}

fn task() -> TrainingTask {
    TrainingTask::new("t", "m").max_epochs(1_000_000)
}

#[tokio::test]
async fn every_rank_has_the_same_bytes_and_one_of_them_speaks() {
    let stage = Stage::new().await;
    let program = "
import hashlib
for task in trainwire.tasks():
    with task:
        assert task.is_primary == (os.environ['RANK'] == '0') == (task.rank == 0) and task.world_size == 2
        digest = hashlib.sha256(task.hyperparams).hexdigest()
        (task.workdir / f'{task.rank}.part').write_text(digest)
        (task.workdir / f'{task.rank}.part').rename(task.workdir / f'{task.rank}')
        while not all((task.workdir / f'{rank}').exists() for rank in range(2)):
            time.sleep(0.01)
        same = (task.workdir / '0').read_text() == (task.workdir / '1').read_text()
        task.report({f'rank{task.rank}': 1})
        task.checkpoint(task.workdir / '0' if task.is_primary else 'nowhere')
        task.finish(same=same, rank=task.rank)
";
    for (job_id, slab) in [("sealed", false), ("slab", true)] {
        let sizes = [100, 300_000, 2 << 20, 100];
        let tasks = sizes.iter().enumerate().map(|(number, size)| {
            TrainingTask::new(format!("t{number}"), "m")
                .hyperparams(vec![u8::try_from(number).expect("few"); *size])
        });
        let mut job = job(&stage, job_id, 0, program).tasks(tasks);
        if slab {
            job = job.slab(16 << 20);
        }
        let mut watch = Watch::new(&stage.submit(job).await);
        for task in watch.outcome().await.tasks {
            let TaskEnd::Succeeded { metrics } = &task.state else { panic!("{task:?}: {:#?}", watch.seen) };
            assert_eq!(format!("{metrics:?}").matches("Number(1.0)").count(), 1, "{metrics:?}");
        }
        let names = |event: &Event| match &event.what {
            What::Progress(report) => report.names.clone(),
            _ => [].into(),
        };
        let mut names: Vec<_> = watch.seen.iter().flat_map(|event| names(event).to_vec()).collect();
        names.dedup();
        assert_eq!(names, ["rank0"]);
        assert_eq!(watch.pids().len(), 1, "one trainer for all tasks");
    }
}

#[tokio::test]
async fn a_stop_reaches_both() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        Path(f'begun-{task.rank}').touch()
        wait_for('begun-0')
        wait_for('begun-1')
        for epoch in task.epochs():
            task.report(here=1, epoch=epoch)
            time.sleep(0.01)
        Path(f'stopped-{task.rank}').touch()
";
    let job = stage.submit(job(&stage, "stopped", 0, program).task(task())).await;
    let mut watch = Watch::new(&job);
    watch.reported("here").await;
    job.stop(StopReason::Interrupted).await.expect("a stop");
    assert!(matches!(watch.only().await, TaskEnd::Stopped { .. }), "{:#?}", watch.seen);
    for rank in 0..2 {
        assert!(stage.path(&format!("stopped-{rank}")).exists(), "rank {rank} goes on");
    }
}

#[tokio::test]
async fn the_cause_is_the_error_of_the_rank_that_failed_first() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.rank == 1:
            wait_for('others')
            raise ValueError('bad batch')
        Path('others').touch()
        if task.task_id == 'falls-too':
            wait_for('never') if task.params.get('hangs') else time.sleep(0.5)
            raise RuntimeError('connection closed by peer')
        wait_for('never')
";
    let tasks = ["falls-too", "hangs"].map(|id| TrainingTask::new(id, "m"));
    let mut watch = Watch::new(&stage.submit(job(&stage, "first", 0, program).tasks(tasks)).await);
    for task in watch.outcome().await.tasks {
        let TaskEnd::Dead { cause, evidence, .. } = task.state else { panic!("{task:?}") };
        assert!(cause.contains("failed once: ValueError: rank 1: bad batch"), "{cause}");
        let [Ending::Failed { error, .. }] = &evidence[..] else { panic!("{evidence:?}") };
        assert!(error.traceback.contains("raise ValueError('bad batch')"), "{}", error.traceback);
    }
}

#[tokio::test]
async fn ranks_that_are_started_anew_go_on_with_the_same_attempt() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        first = task.last_checkpoint is None
        path = task.workdir / 'model'
        if first and task.is_primary:
            path.write_text('weights')
            task.checkpoint(path, epoch=3)
            wait_for('replica')
            raise ValueError('once')
        if first:
            Path('replica').touch()
            wait_for('never')
        (task.workdir / f'from-{task.rank}').write_text(str(task.last_checkpoint.epoch))
        while not all((task.workdir / f'from-{rank}').exists() for rank in range(2)):
            time.sleep(0.01)
        task.checkpoint(path, epoch=4)
        task.finish(attempt=task.attempt, sum=sum(float((task.workdir / f'from-{rank}').read_text()) for rank in range(2)))
";
    let mut watch = Watch::new(&stage.submit(job(&stage, "anew", 1, program).task(task())).await);
    let TaskEnd::Succeeded { metrics } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(
        format!("{metrics:?}").contains("Number(1.0)") && format!("{metrics:?}").contains("Number(6.0)"),
        "{metrics:?}"
    );
    assert_eq!(watch.endings().len(), 1, "one attempt");
    let bound: Vec<_> = watch
        .records()
        .filter_map(|record| match record {
            Record::TrainerBound { restart, .. } => Some(*restart),
            _ => None,
        })
        .collect();
    assert_eq!(bound, [0, 1]);
    let checkpoints = watch.records().filter(|record| matches!(record, Record::Checkpointed { .. }));
    assert_eq!(checkpoints.count(), 2, "the second life's count, too");
}

#[tokio::test]
async fn a_launcher_that_gives_up_has_failed_by_the_last_error() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        raise ValueError('life ' + os.environ['TORCHELASTIC_RESTART_COUNT'])
";
    let mut watch = Watch::new(&stage.submit(job(&stage, "again", 1, program).task(task())).await);
    let TaskEnd::Dead { cause, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.starts_with("failed once: ValueError: ") && cause.contains("life 1"), "{cause}");
}

#[tokio::test]
async fn a_rank_that_was_killed_is_named() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for('never')
";
    let mut watch = Watch::new(&stage.submit(job(&stage, "killed", 0, program).task(task())).await);
    let TaskEnd::Dead { cause, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("rank 1 ended without a word"), "{cause}");
}
