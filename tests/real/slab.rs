//! Tasks in a job's slab, which is filled again as fast as it can be while trainers keep looking at what
//! was in it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trainwire::record::{Record, Scalar};
use trainwire::{Job, JobHandle, TaskBuffer, TaskEnd, TaskOutcome, TrainingTask};
use trainwire_tests::{Stage, Watch, python, within};

/// Keeps views of every task in a way of its own, and looks at all that it keeps again and again: all
/// bytes of a task are the same, and the task's parameters say which.
const KEEPING: &str = "
import collections, gc, hashlib, threading
import numpy as np

FAULTS, KEPT, MAPPED = [], collections.deque(), 0
gc.disable()


class Cycle:
    pass


def expected(task):
    return int(task.task_id.split('-')[1]) % 251


def look(kept):
    byte, view = kept
    if isinstance(view, Cycle):
        view = view.view
    view = np.asarray(view)
    if not (view == byte).all():
        FAULTS.append(f'{byte} became {np.unique(view)[:9]}')


def keep(task, nth):
    whole = memoryview(task.hyperparams)
    kinds = [
        lambda: whole[1000:90_000],
        lambda: whole[5:-5][::7],
        lambda: np.frombuffer(task.hyperparams, np.uint8),
        lambda: np.frombuffer(task.hyperparams, np.uint8)[::2].reshape(-1, 8)[1:, ::3].T,
        lambda: cycle(whole),
        lambda: task.hyperparams,
    ]
    return expected(task), kinds[nth % len(kinds)]()


def cycle(view):
    kept = Cycle()
    kept.me, kept.view = kept, view
    return kept


def watch(kept, rounds):
    for _ in range(rounds):
        look(kept)
        time.sleep(0.002)


def in_slab(task):
    start = np.frombuffer(task.hyperparams, np.uint8).ctypes.data
    for line in Path('/proc/self/maps').read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split('-'))
        if low <= start < high:
            return high - low >= 1 << 20
";

/// A task of each: 100 KiB that are all the same byte, by the number in its name.
const LEN: usize = 100 << 10;

#[tokio::test]
async fn no_byte_under_a_view_changes_however_it_is_kept() {
    let stage = Stage::new().await;
    let program = format!(
        "{KEEPING}
for nth, task in enumerate(trainwire.tasks()):
    with task:
        MAPPED += in_slab(task)
        KEPT.append(keep(task, nth))
        if nth % 5 == 0:
            threading.Thread(target=watch, args=(keep(task, nth), 20)).start()
        for kept in KEPT:
            look(kept)
        if len(KEPT) > 6:
            KEPT.popleft()
        if nth % 10 == 0:
            gc.collect()
        task.finish(faults=len(FAULTS), mapped=MAPPED, said=str(FAULTS[:3]))
"
    );
    let job = stage.job("recycled", &program).trainers(2).window(4).slab(4 << 20).open();
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    for nth in 0..400 {
        submit(&job, nth).await;
        // As many as have room, now and then one more.
        while nth % 40 != 0 && room_is_short(&job) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    job.close().await.expect("an orchestrator");
    let tasks = watch.outcome().await.tasks;
    assert_eq!(tasks.len(), 400);
    for task in &tasks {
        assert_eq!(number(task, "faults"), 0.0, "{task:?}");
    }
    let mapped: f64 = tasks.iter().map(|task| number(task, "mapped")).fold(0.0, f64::max);
    assert!(mapped > 80.0, "the slab was used again: {mapped}");
}

#[tokio::test]
async fn what_a_fork_took_along_stays_until_the_whole_group_is_gone() {
    let stage = Stage::new().await;
    // The child outlives its parent's views, and its parent; SIGKILL meets it last.
    let program = format!(
        "{KEEPING}
for task in trainwire.tasks():
    with task:
        if task.task_id == 'task-0':
            kept = keep(task, 2)
            ready, go = os.pipe()
            if os.fork() == 0:
                while not Path('enough').exists() and Path(__file__).exists():
                    look(kept)
                    if FAULTS:
                        Path('fault').write_text(str(FAULTS))
                    Path('looked').touch()
                os._exit(0)
            del kept
            wait_for('looked')
        task.finish(mapped=in_slab(task))
    if task.task_id == 'task-30':
        wait_for('die')
        os.kill(os.getpid(), signal.SIGKILL)
"
    );
    let job = stage.submit(stage.job("forked", &program).slab(1 << 20).open()).await;
    let mut watch = Watch::new(&job);
    for nth in 0..=30 {
        submit(&job, nth).await;
        ended(&mut watch).await;
    }
    // All is free again but what the child has, and the task the loop is at.
    until(|| job.slab_usage().is_some_and(|usage| usage.used_bytes == 2 * task_bytes())).await;
    stage.open("die");
    watch.record(|record| matches!(record, Record::TrainerEnded { .. }).then_some(())).await;
    until(|| job.slab_usage().is_some_and(|usage| usage.used_bytes == 0)).await;
    assert!(!stage.path("fault").exists(), "{:?}", std::fs::read_to_string(stage.path("fault")));
    stage.open("enough");
    job.close().await.expect("an orchestrator");
    let tasks = watch.outcome().await.tasks;
    let mapped = tasks.iter().filter(|task| number(task, "mapped") > 0.0).count();
    assert_eq!(mapped, tasks.len(), "{tasks:?}");
}

#[tokio::test]
async fn what_a_killed_trainer_held_is_free_again_and_its_task_is_not_copied() {
    let stage = Stage::new().await;
    let program = format!(
        "{KEEPING}
for task in trainwire.tasks():
    with task:
        kept = keep(task, 2)
        look(kept)
        if task.attempt == 1:
            task.report(pid=os.getpid())
            wait_for('never')
        task.finish(faults=len(FAULTS), mapped=in_slab(task))
    del task, kept
"
    );
    let job = stage.job("killed", &program).max_losses(3).slab(1 << 20).open();
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    submit(&job, 7).await;
    let pid = watch.reported_pid("pid").await;
    assert_eq!(job.slab_usage().map(|usage| usage.used_bytes), Some(task_bytes()));
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it waits");
    ended(&mut watch).await;
    ended(&mut watch).await;
    until(|| job.slab_usage().is_some_and(|usage| usage.used_bytes == 0)).await;
    job.close().await.expect("an orchestrator");
    let TaskEnd::Succeeded { .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    let outcome = job.outcome().await.expect("an orchestrator");
    assert_eq!((number(&outcome.tasks[0], "faults"), number(&outcome.tasks[0], "mapped")), (0.0, 1.0));
}

#[tokio::test]
async fn an_exhausted_slab_falls_back_and_so_do_trainers_started_by_hand() {
    let stage = Stage::new().await;
    let program = format!(
        "{KEEPING}
for task in trainwire.tasks():
    with task:
        KEPT.append(keep(task, 2))
        for kept in KEPT:
            look(kept)
        task.finish(faults=len(FAULTS), mapped=in_slab(task))
"
    );
    let job = stage.submit(stage.job("full", &program).slab(1 << 20).open()).await;
    let mut watch = Watch::new(&job);
    for nth in 0..15 {
        submit(&job, nth).await;
    }
    let usage = job.slab_usage().expect("a slab");
    // Nine have room, each with its page of head.
    assert_eq!((usage.size_bytes, usage.used_bytes, usage.fallbacks), (1 << 20, 9 * task_bytes(), 6));
    job.close().await.expect("an orchestrator");
    let tasks = watch.outcome().await.tasks;
    let mapped: Vec<_> = tasks.iter().map(|task| number(task, "mapped")).collect();
    assert_eq!(mapped, [[1.0; 9].as_slice(), &[0.0; 6]].concat());
    assert!(tasks.iter().all(|task| number(task, "faults") == 0.0), "{tasks:?}");
    until(|| job.slab_usage().is_none()).await;

    let job = stage.submit(Job::new("by-hand").expect("an id").attach(true).slab(1 << 20).open()).await;
    let mut watch = Watch::new(&job);
    submit(&job, 0).await;
    // From the heap: copied into the slab.
    job.submit(TrainingTask::new("task-3", "m").hyperparams(vec![3; LEN])).await.expect("an open job");
    assert_eq!(job.slab_usage().map(|usage| usage.used_bytes), Some(2 * task_bytes()));
    job.close().await.expect("an orchestrator");
    until(|| job.socket_path().exists()).await;
    let output = tokio::process::Command::new(python())
        .arg(stage.path("full.py"))
        .env("TRAINWIRE_SOCKET", job.socket_path())
        .current_dir(stage.path(""))
        .output();
    let output = within(output).await.expect("a process");
    assert!(output.status.success(), "{output:?}");
    for task in watch.outcome().await.tasks {
        assert_eq!((number(&task, "faults"), number(&task, "mapped")), (0.0, 0.0));
    }
}

async fn submit(job: &JobHandle, nth: u32) {
    let mut buffer: TaskBuffer = job.task_buffer(format!("task-{nth}"), "m", LEN).expect("memory");
    buffer.as_mut_slice().fill(u8::try_from(nth % 251).expect("a byte"));
    job.submit(buffer.finish().expect("a task")).await.expect("an open job");
}

fn room_is_short(job: &JobHandle) -> bool {
    job.slab_usage().is_some_and(|usage| usage.size_bytes - usage.used_bytes < 2 * task_bytes())
}

/// What a task takes of the slab.
fn task_bytes() -> u64 {
    4096 + LEN as u64
}

async fn ended(watch: &mut Watch) {
    watch.record(|record| matches!(record, Record::Ended { .. }).then_some(())).await;
}

async fn until(mut is: impl FnMut() -> bool) {
    within(async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn number(task: &TaskOutcome, name: &str) -> f64 {
    let TaskEnd::Succeeded { metrics } = &task.state else { panic!("{task:?}") };
    match metrics.iter().find(|(found, _)| *found == *name) {
        Some((_, Scalar::Number(number))) => *number,
        other => panic!("{name}: {other:?} of {metrics:?}"),
    }
}
