//! How a trainer's code ends, and what is told of it.

use trainwire::record::{Ending, Exit, Record, Scalar};
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch};

#[tokio::test]
async fn tasks_are_worked_off_by_one_trainer_and_their_results_kept() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        for epoch in task.epochs():
            task.report(loss=1 / (epoch + 1), epoch=epoch)
        task.finish(lr=task.params['lr'], model=task.model_name, pid=os.getpid())
";
    let task = |id: &str, lr: f64| {
        let params = [("lr", lr)].into_iter().collect::<std::collections::BTreeMap<_, _>>();
        TrainingTask::new(id, "mlp").params(&params).expect("params").max_epochs(3)
    };
    let job = stage.job("normal", program).task(task("a", 0.1)).task(task("b", 0.01));
    let mut watch = Watch::new(&stage.submit(job).await);
    assert!(watch.reported("loss").await > 0.0);
    let outcome = watch.outcome().await;
    assert!(outcome.succeeded(), "{:#?}", watch.seen);
    let results: Vec<_> = outcome
        .tasks
        .iter()
        .map(|task| match &task.state {
            TaskEnd::Succeeded { metrics } => metrics.as_slice(),
            other => panic!("{other:?}"),
        })
        .collect();
    let [[lr_a, model, pid_a], [lr_b, _, pid_b]] = results[..] else { panic!("{results:?}") };
    assert_eq!((&lr_a.1, &lr_b.1), (&Scalar::Number(0.1), &Scalar::Number(0.01)));
    assert_eq!(model, &("model".to_owned(), Scalar::Text("mlp".to_owned())));
    assert_eq!(pid_a, pid_b, "one warm trainer for both");
    assert_eq!(outcome.tasks.iter().map(|task| task.attempts).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn an_exception_is_a_failure_with_its_traceback() {
    let stage = Stage::new().await;
    let program = "
def train_one_epoch():
    raise ValueError('the loss is nan')

for task in trainwire.tasks():
    with task:
        print('epoch 0 begins')
        train_one_epoch()
";
    let job = stage.submit(stage.job("raises", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let TaskEnd::Dead { cause, evidence, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("ValueError: the loss is nan"), "{cause}");
    let [Ending::Failed { error, .. }] = &evidence[..] else { panic!("{evidence:?}") };
    assert_eq!((error.kind.as_str(), error.text.as_str()), ("ValueError", "the loss is nan"));
    assert!(error.traceback.contains("in train_one_epoch"), "{}", error.traceback);
}

#[tokio::test]
async fn an_exit_code_is_a_failure_that_names_it() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        sys.exit(3)
";
    let job = stage.submit(stage.job("exits", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let TaskEnd::Dead { cause, evidence, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains('3'), "{cause}");
    assert!(matches!(&evidence[..], [Ending::Failed { .. }]), "{evidence:?}");
}

#[tokio::test]
async fn an_exit_without_a_word_is_a_failure_that_names_the_code() {
    let stage = Stage::new().await;
    let program = "
task = trainwire.connect()
os._exit(3)
";
    let job = stage.submit(stage.job("vanishes", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let TaskEnd::Dead { cause, evidence, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("exit code 3"), "{cause}");
    let [Ending::Failed { exit: Some(Exit::Code { code: 3 }), .. }] = &evidence[..] else {
        panic!("{evidence:?}")
    };
}

#[tokio::test]
async fn an_end_without_finish_is_a_failure_that_says_so() {
    let stage = Stage::new().await;
    let program = "
task = trainwire.connect()
sys.exit(0)
";
    let job = stage.submit(stage.job("forgets", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let TaskEnd::Dead { cause, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("exited without finish()"), "{cause}");
}

#[tokio::test]
async fn leaving_the_with_block_is_success_also_by_sys_exit_0() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        sys.exit(0)
";
    let job = stage.submit(stage.job("leaves", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    assert_eq!(watch.only().await, TaskEnd::Succeeded { metrics: Vec::new() });
}

#[tokio::test]
async fn a_script_that_knows_nothing_of_trainwire_ends_by_its_exit_code() {
    let stage = Stage::new().await;
    let script = r#"test "$TRAINWIRE_PARAMS" = '{"code":0}' || exit 7"#;
    let params = |code: i32| std::collections::BTreeMap::from([("code", code)]);
    let task = |id, code| TrainingTask::new(id, "m").params(&params(code)).expect("params");
    let job = stage.command("script", ["sh", "-c", script]).script(true);
    let mut watch = Watch::new(&stage.submit(job.task(task("good", 0)).task(task("bad", 1))).await);
    let outcome = watch.outcome().await;
    assert_eq!(outcome.tasks[0].state, TaskEnd::Succeeded { metrics: Vec::new() });
    let TaskEnd::Dead { cause, .. } = &outcome.tasks[1].state else { panic!("{outcome:?}") };
    assert!(cause.contains("exit code 7"), "{cause}");
}

#[tokio::test]
async fn a_trainer_is_replaced_after_a_failure_unless_the_job_says_otherwise() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks(keep_going=True):
    with task:
        assert task.task_id != 'first', 'not this one'
        task.finish()
";
    for (job_id, replace, processes) in [("fresh", true, 2), ("kept", false, 1)] {
        let mut job = stage.job(job_id, program);
        job.spec.replace_after_failure = replace;
        let tasks = ["first", "second"].map(|id| TrainingTask::new(id, "m"));
        let mut watch = Watch::new(&stage.submit(job.tasks(tasks)).await);
        let outcome = watch.outcome().await;
        assert!(matches!(outcome.tasks[0].state, TaskEnd::Dead { .. }), "{outcome:?}");
        assert!(matches!(outcome.tasks[1].state, TaskEnd::Succeeded { .. }), "{outcome:?}");
        let mut pids = watch.pids();
        pids.dedup();
        assert_eq!(pids.len(), processes, "{job_id}: {pids:?}");
        let ended = watch.records().filter(|record| matches!(record, Record::TrainerEnded { .. })).count();
        assert_eq!(ended, processes);
    }
}
