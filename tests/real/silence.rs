//! Trainers that live and say nothing, or say that they live and do nothing.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trainwire::record::{Condition, Ending, Record};
use trainwire::{Job, TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch};

#[tokio::test]
async fn a_stopped_process_is_noticed_others_go_on_and_in_the_end_it_is_lost_and_retried() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.task_id == 'frozen' and task.attempt == 1:
            task.report(pid=os.getpid())
            wait_for('never')
        if task.task_id == 'other':
            wait_for('noticed')
        task.finish()
";
    let job = quick(stage.job("frozen", program)).trainers(2).lost_timeout(Duration::from_secs(3));
    let tasks = ["frozen", "other"].map(|id| TrainingTask::new(id, "m"));
    let mut watch = Watch::new(&stage.submit(job.tasks(tasks)).await);
    let pid = watch.reported_pid("pid").await;
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it lives");
    noticed(&mut watch, Condition::Unresponsive).await;
    stage.open("noticed");
    assert!(watch.outcome().await.succeeded(), "{:#?}", watch.seen);
    let lost = watch.endings().into_iter().filter(|ending| matches!(ending, Ending::Lost)).count();
    assert_eq!(lost, 1, "{:?}", watch.endings());
    assert!(kill(Pid::from_raw(pid), None).is_err(), "a stopped process can be killed, and was");
}

#[tokio::test]
async fn a_process_that_goes_on_in_time_is_heard_again_and_its_result_counts() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.report(pid=os.getpid())
        wait_for('go')
        task.finish(attempt=task.attempt)
";
    let job = quick(stage.job("thaws", program)).task(TrainingTask::new("t", "m"));
    let mut watch = Watch::new(&stage.submit(job).await);
    let pid = Pid::from_raw(watch.reported_pid("pid").await);
    kill(pid, Signal::SIGSTOP).expect("it lives");
    noticed(&mut watch, Condition::Unresponsive).await;
    kill(pid, Signal::SIGCONT).expect("it lives");
    noticed(&mut watch, Condition::Responsive).await;
    stage.open("go");
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    assert_eq!(watch.endings().len(), 1);
}

#[tokio::test]
async fn a_c_call_that_holds_the_gil_is_no_silence() {
    let stage = Stage::new().await;
    let program = "
libc = ctypes.PyDLL(None)  # PyDLL: without giving the GIL away
for task in trainwire.tasks():
    with task:
        left = libc.sleep(6)
        task.finish(left=left)
";
    let job = stage.job("holds", program).recv_timeout(Duration::from_secs(2));
    let mut watch = Watch::new(&stage.submit(job.task(TrainingTask::new("t", "m"))).await);
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    let noticed = watch.records().any(|record| matches!(record, Record::TrainerNoticed { .. }));
    assert!(!noticed, "{:#?}", watch.seen);
}

#[tokio::test]
async fn heartbeats_without_progress_are_a_stall_and_the_stacks_are_in_the_log() {
    let stage = Stage::new().await;
    let program = "
def wait_for_a_batch_that_never_comes(task):
    while task.attempt == 1:
        time.sleep(0.05)

for task in trainwire.tasks():
    with task:
        wait_for_a_batch_that_never_comes(task)
        task.finish()
";
    let mut job = stage.job("stalls", program).stall_timeout(Duration::from_secs(1));
    job = job.recv_timeout(Duration::from_secs(2)).stop_grace(Duration::from_millis(500));
    let mut watch = Watch::new(&stage.submit(job.task(TrainingTask::new("t", "m"))).await);
    let logs = watch.record(|record| match record {
        Record::TrainerSpawned { log, .. } => Some(log.clone()),
        _ => None,
    });
    let log = logs.await;
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    let [Ending::Stalled, Ending::Succeeded { .. }] = watch.endings()[..] else {
        panic!("{:?}", watch.endings())
    };
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains("wait_for_a_batch_that_never_comes"), "{log}");
}

#[tokio::test]
async fn who_hangs_with_the_gil_held_leaves_its_stacks_too() {
    let stage = Stage::new().await;
    let program = "
import re, threading

def match_for_ever():
    re.match('(a+)+$', 'a' * 64 + 'b')

def wait_in_the_background():
    time.sleep(1000)

for task in trainwire.tasks():
    with task:
        if task.attempt == 1:
            threading.Thread(target=wait_in_the_background, daemon=True).start()
            match_for_ever()
        task.finish()
";
    let mut job = stage.job("gil", program).stall_timeout(Duration::from_secs(1));
    job = job.recv_timeout(Duration::from_secs(2)).stop_grace(Duration::from_millis(500));
    let mut watch = Watch::new(&stage.submit(job.task(TrainingTask::new("t", "m"))).await);
    let outcome = watch.outcome().await;
    let [Ending::Stalled, Ending::Succeeded { .. }] = watch.endings()[..] else {
        panic!("{:?}", watch.endings())
    };
    let first = &outcome.tasks[0].history[0];
    let log = std::fs::read_to_string(first.log.as_ref().expect("a log")).expect("a log");
    for function in ["match_for_ever", "wait_in_the_background"] {
        assert!(log.contains(function), "{function} in {log}");
    }
}

#[tokio::test]
async fn stacks_can_be_had_without_an_end() {
    let stage = Stage::new().await;
    let program = "
def wait_for_the_test():
    task.report(here=1)
    wait_for('go')

for task in trainwire.tasks():
    with task:
        wait_for_the_test()
        task.finish(attempt=task.attempt)
";
    let mut jobs = [stage.job("direct", program), stage.job("in-bash", program)];
    let trainer = jobs[1].spec.command.join(" ");
    jobs[1].spec.command = vec!["bash".into(), "-c".into(), format!("{trainer}; exit $?")];
    let mut watches = Vec::new();
    for job in jobs {
        let job = stage.submit(job.task(TrainingTask::new("t", "m"))).await;
        let mut watch = Watch::new(&job);
        watch.reported("here").await;
        let stacks = job.dump_stacks("t").await.expect("stacks");
        assert!(stacks.text.contains("wait_for_the_test"), "{stacks:?}");
        assert!(stacks.text.contains("(most recent call first):"), "{stacks:?}");
        let log = std::fs::read_to_string(stacks.log.expect("a log")).expect("a log");
        assert!(log.contains(&stacks.text), "{log}");
        watches.push((job, watch));
    }
    stage.open("go");
    for (job, mut watch) in watches {
        assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
        assert_eq!(watch.endings().len(), 1);
        let error = job.dump_stacks("t").await.expect_err("it has ended");
        assert_eq!(error.code(), "not_running");
        let error = job.dump_stacks("other").await.expect_err("there is none");
        assert_eq!(error.code(), "no_such_task");
    }
    let script = stage.command("script", ["sleep", "1000"]).script(true).task(TrainingTask::new("t", "m"));
    let job = stage.submit(script).await;
    Watch::new(&job).record(|record| matches!(record, Record::Started { .. }).then_some(())).await;
    let error = job.dump_stacks("t").await.expect_err("sleep has no stacks");
    assert_eq!(error.code(), "stacks_unable");
    job.kill().await.expect("an orchestrator");
    job.outcome().await.expect("an outcome");
}

#[tokio::test]
async fn a_trainer_that_says_it_is_busy_does_not_stall() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.busy(60)
        time.sleep(2.5)
        task.finish()
";
    let job = stage.job("busy", program).stall_timeout(Duration::from_secs(1));
    let mut watch = Watch::new(&stage.submit(job.task(TrainingTask::new("t", "m"))).await);
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    assert_eq!(watch.endings().len(), 1);
}

fn quick(job: Job) -> Job {
    job.recv_timeout(Duration::from_millis(500))
}

async fn noticed(watch: &mut Watch, what: Condition) {
    watch
        .record(|record| match record {
            Record::TrainerNoticed { condition, .. } if *condition == what => Some(()),
            _ => None,
        })
        .await;
}
