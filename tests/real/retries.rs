//! Further attempts: how often, how soon, and the letter that is left when there are none.

use std::time::Duration;

use trainwire::record::{Ending, Next, Record};
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch};

#[tokio::test]
async fn failures_are_retried_with_growing_waits_to_a_dead_letter_with_all_the_evidence() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        print(f'this is attempt {task.attempt}')
        raise RuntimeError(f'failure {task.attempt}')
";
    let mut job = stage.job("letter", program).max_failures(3);
    job.spec.backoff_min = Duration::from_millis(100);
    job.spec.backoff_max = Duration::from_secs(10);
    let mut watch = Watch::new(&stage.submit(job.task(TrainingTask::new("t", "m"))).await);
    let outcome = watch.outcome().await;
    assert_eq!(outcome.tasks[0].attempts, 3);
    let TaskEnd::Dead { cause, evidence, .. } = &outcome.tasks[0].state else { panic!("{outcome:?}") };
    assert!(cause.contains("failure 3") && cause.contains("max_failures is 3"), "{cause}");
    let texts: Vec<_> = evidence
        .iter()
        .map(|ending| match ending {
            Ending::Failed { error, .. } => error.text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, ["failure 1", "failure 2", "failure 3"]);

    let waits: Vec<_> = watch
        .records()
        .filter_map(|record| match record {
            Record::Ended { next: Next::Queued { after }, .. } => Some(after.as_millis()),
            _ => None,
        })
        .collect();
    let [first, second] = waits[..] else { panic!("{waits:?}") };
    assert!((50..=100).contains(&first) && (100..=200).contains(&second), "{waits:?}");
    let log = outcome.tasks[0].log.as_ref().expect("a log");
    assert!(std::fs::read_to_string(log).expect("a log").contains("this is attempt 3"));
}

#[tokio::test]
async fn a_trainer_may_ask_for_another_attempt_and_say_when() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.attempt == 1:
            raise trainwire.Retry('the license server is away', after=0.05)
        task.finish(attempt=task.attempt)
";
    let job = stage.job("asks", program).max_failures(2).task(TrainingTask::new("t", "m"));
    let mut watch = Watch::new(&stage.submit(job).await);
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    let [Ending::Retry { error, after }, Ending::Succeeded { .. }] = watch.endings()[..] else {
        panic!("{:?}", watch.endings())
    };
    assert_eq!(error.text, "the license server is away");
    assert_eq!(*after, Some(Duration::from_millis(50)));
    assert_eq!(watch.pids().len(), 1, "asking for a retry costs no process");
}

#[tokio::test]
async fn a_fatal_failure_is_not_retried() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        raise trainwire.Fatal('the dataset is gone')
";
    let job = stage.job("fatal", program).max_failures(5).task(TrainingTask::new("t", "m"));
    let mut watch = Watch::new(&stage.submit(job).await);
    let TaskEnd::Dead { cause, evidence, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("the dataset is gone") && cause.contains("not to be retried"), "{cause}");
    let [Ending::Failed { error, .. }] = &evidence[..] else { panic!("{evidence:?}") };
    assert!(error.fatal);
}
