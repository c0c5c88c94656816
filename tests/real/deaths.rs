//! Processes that die under their task, alone or with others around them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trainwire::record::{Ending, Exit, Record};
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch, gone, within};

#[tokio::test]
async fn a_killed_trainer_is_a_loss_and_the_next_attempt_goes_on_from_the_checkpoint() {
    let stage = Stage::new().await;
    let neighbour = stage.neighbour().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.last_checkpoint is None:
            path = task.workdir / 'epoch-4.pt'
            path.write_text('weights')
            task.checkpoint(path, epoch=4)
            wait_for('never')
        saved = Path(task.last_checkpoint).read_text()
        task.finish(saved=saved, epoch=task.last_checkpoint.epoch, attempt=task.attempt)
";
    let job = stage.submit(stage.job("killed", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    watch.record(|record| matches!(record, Record::Checkpointed { .. }).then_some(())).await;
    kill(Pid::from_raw(watch.pids()[0]), Signal::SIGKILL).expect("it lives");
    stage.open("neighbour");

    let TaskEnd::Succeeded { metrics } = watch.only().await else { panic!("{:#?}", watch.seen) };
    let told: Vec<_> = metrics.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    assert_eq!(told, [r#"saved=Text("weights")"#, "epoch=Number(4.0)", "attempt=Number(2.0)"]);
    let endings = watch.endings();
    let [Ending::Crashed { exit: Exit::Signal { signal: 9, .. } }, Ending::Succeeded { .. }] = endings[..]
    else {
        panic!("{endings:?}")
    };
    assert!(within(neighbour.outcome()).await.expect("an outcome").succeeded());
}

#[tokio::test]
async fn losses_have_a_budget_of_their_own() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        print('about to crash')
        os.kill(os.getpid(), signal.SIGSEGV)
";
    let job = stage.job("crashes", program).max_losses(2).task(TrainingTask::new("t", "m"));
    let mut watch = Watch::new(&stage.submit(job).await);
    let TaskEnd::Dead { cause, log_tail, evidence } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("SIGSEGV") && cause.contains("max_losses is 2"), "{cause}");
    assert!(log_tail.contains("about to crash"), "{log_tail}");
    assert_eq!(evidence.len(), 2);
}

#[tokio::test]
async fn a_death_is_seen_though_a_forked_child_keeps_the_socket_open() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.attempt == 1:
            child = os.fork()
            if child == 0:
                time.sleep(1000)
            task.report(child=child)
            wait_for('told')
            os.kill(os.getpid(), signal.SIGKILL)
        task.finish()
";
    let job = stage.submit(stage.job("forks", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let child = watch.reported_pid("child").await;
    stage.open("told");
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    assert!(matches!(watch.endings()[0], Ending::Crashed { .. }), "{:?}", watch.endings());
    gone(child).await;
}

const IN_BASH: &str = "
for task in trainwire.tasks():
    with task:
        if task.attempt == 1:
            task.report(here=1)
            wait_for('never')
        task.finish()
";

#[tokio::test]
async fn a_trainer_inside_a_shell_is_another_process_and_its_death_is_seen() {
    let stage = Stage::new().await;
    let job = in_bash(&stage, "inside");
    let mut watch = Watch::new(&stage.submit(job.max_failures(2)).await);
    watch.reported("here").await;
    let (bash, python) = (spawned(&watch), watch.pids()[0]);
    assert_ne!(bash, python);
    kill(Pid::from_raw(python), Signal::SIGKILL).expect("it lives");
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    // The shell lives to tell, in its own way, how its child died.
    let first = watch.endings()[0];
    assert!(matches!(first, Ending::Failed { exit: Some(Exit::Code { code: 137 }), .. }), "{first:?}");
}

#[tokio::test]
async fn when_the_shell_around_a_trainer_dies_the_trainer_goes_with_it() {
    let stage = Stage::new().await;
    let job = in_bash(&stage, "around");
    let mut watch = Watch::new(&stage.submit(job).await);
    watch.reported("here").await;
    let (bash, python) = (spawned(&watch), watch.pids()[0]);
    kill(Pid::from_raw(bash), Signal::SIGKILL).expect("it lives");
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    assert!(matches!(watch.endings()[0], Ending::Crashed { .. }), "{:?}", watch.endings());
    gone(python).await;
}

/// The command after the trainer keeps bash from becoming it.
fn in_bash(stage: &Stage, job_id: &str) -> trainwire::Job {
    let mut job = stage.job(job_id, IN_BASH).task(TrainingTask::new("t", "m"));
    let trainer = job.spec.command.join(" ");
    job.spec.command = vec!["bash".into(), "-c".into(), format!("{trainer}; exit $?")];
    job
}

fn spawned(watch: &Watch) -> i32 {
    let pid =
        |record: &Record| if let Record::TrainerSpawned { pid, .. } = record { Some(*pid) } else { None };
    watch.records().find_map(pid).expect("a trainer")
}
