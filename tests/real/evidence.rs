//! What is known afterwards of an attempt that did not succeed.

use std::time::Duration;

use trainwire::record::{Ending, Exit, Scalar};
use trainwire::{TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch, python};

/// As `torch.distributed.elastic.multiprocessing.errors.record` does it, without torch.
const RECORD: &str = r#"
import json, os, sys, time, traceback

def record(function):
    try:
        function()
    except Exception as e:
        data = {
            "message": {
                "message": f"{type(e).__name__}: {e}",
                "extraInfo": {
                    "py_callstack": traceback.format_exc(),
                    "timestamp": str(int(time.time())),
                },
            }
        }
        with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as fp:
            json.dump(data, fp)
        sys.exit(1)

def train():
    raise ZeroDivisionError(f"rank {os.environ.get('RANK', '-')}: the batch is empty")
"#;

#[tokio::test]
async fn the_first_error_that_torchrun_found_is_the_cause() {
    let stage = Stage::new().await;
    let script = stage.path("elastic.py");
    // The parent ends as torchrun does when a rank fails: with the rank's file copied, and code 1.
    let program = format!(
        "{RECORD}
if 'RANK' in os.environ:
    record(train)
import shutil, subprocess
own = os.environ['TORCHELASTIC_ERROR_FILE']
rank = dict(os.environ, RANK='3', TORCHELASTIC_ERROR_FILE=own + '.3')
subprocess.run([sys.executable, __file__], env=rank)
data = json.load(open(own + '.3'))
data['message']['errorCode'] = 1
json.dump(data, open(own, 'w'))
print('ChildFailedError', file=sys.stderr)
sys.exit(1)
"
    );
    std::fs::write(&script, program).expect("a script");
    let job = stage.command("elastic", [python(), script]).script(true).max_failures(2);
    let mut watch = Watch::new(&stage.submit(job.task(TrainingTask::new("t", "m"))).await);
    let TaskEnd::Dead { cause, log_tail, evidence } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(
        cause.contains("failed twice, the last: ZeroDivisionError: rank 3: the batch is empty"),
        "{cause}"
    );
    assert!(log_tail.contains("ChildFailedError"), "{log_tail}");
    assert_eq!(evidence.len(), 2);
    for ending in evidence {
        let Ending::Failed { error, exit: Some(Exit::Code { code: 1 }) } = ending else {
            panic!("{ending:?}")
        };
        assert!(error.traceback.contains("in train\n"), "{}", error.traceback);
    }
}

#[tokio::test]
async fn a_trainer_that_wants_the_file_elsewhere_has_it_there() {
    let stage = Stage::new().await;
    let script =
        "echo $TORCHELASTIC_ERROR_FILE; echo '{\"message\": \"mine\"}' > $TORCHELASTIC_ERROR_FILE; exit 4";
    let mine = stage.path("mine.json").to_str().expect("UTF-8").to_owned();
    let job = stage.command("elsewhere", ["sh", "-c", script]).script(true);
    let job = job.environment("TORCHELASTIC_ERROR_FILE", &mine).task(TrainingTask::new("t", "m"));
    let mut watch = Watch::new(&stage.submit(job).await);
    let TaskEnd::Dead { cause, log_tail, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert_eq!(log_tail, mine);
    assert!(cause.contains("exit code 4"), "nobody knows when that file was written: {cause}");
}

#[tokio::test]
async fn a_dead_letter_has_the_story_of_each_attempt() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        print('attempt', task.attempt, 'begins')
        for epoch in range(3):
            task.report({'loss': 1.0 / (epoch + task.attempt)}, epoch=epoch)
        if task.attempt == 1:
            task.report(told=1)
            wait_for('told')
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError('lr is negative')
";
    let job = stage.job("letter", program).max_losses(2).task(TrainingTask::new("t", "m"));
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    watch.reported("told").await;
    stage.open("told");
    assert!(matches!(watch.only().await, TaskEnd::Dead { .. }), "{:#?}", watch.seen);

    let letters = job.dead_letters();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    let TaskEnd::Dead { log_tail, .. } = &letter.state else { panic!("{letter:?}") };
    assert!(log_tail.starts_with("attempt 2 begins"), "{log_tail}");
    let [killed, raised] = &letter.history[..] else { panic!("{letter:#?}") };
    assert_eq!([killed.number, raised.number], [1, 2]);
    assert!(matches!(killed.ending, Ending::Crashed { exit: Exit::Signal { signal: 9, .. } }));
    let Ending::Failed { error, .. } = &raised.ending else { panic!("{raised:?}") };
    assert!(error.traceback.contains("raise ValueError('lr is negative')"), "{}", error.traceback);
    let last = raised.last_progress.as_ref().expect("rows were reported");
    assert_eq!(
        (last.epoch, &last.metrics[..]),
        (Some(2.0), &[("loss".to_owned(), Scalar::Number(0.25))][..])
    );
    let told = killed.last_progress.as_ref().expect("rows were reported");
    assert_eq!(told.metrics, [("told".to_owned(), Scalar::Number(1.0))]);
    for attempt in [killed, raised] {
        assert!(attempt.duration > Duration::ZERO);
        let log = std::fs::read_to_string(attempt.log.as_ref().expect("a log")).expect("a log");
        let from = usize::try_from(attempt.log_from).expect("a length");
        assert!(log[from..].starts_with(&format!("attempt {} begins", attempt.number)), "{log}");
    }
    assert!(raised.began >= killed.began + killed.duration);
}

#[tokio::test]
async fn a_shell_whose_child_was_killed_says_so() {
    let stage = Stage::new().await;
    let script = "sh -c 'kill -KILL $$'; exit $?";
    let job = stage.command("shell", ["bash", "-c", script]).script(true).task(TrainingTask::new("t", "m"));
    let mut watch = Watch::new(&stage.submit(job).await);
    let TaskEnd::Dead { cause, .. } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert!(cause.contains("exit code 137 (from a shell: its child was killed by SIGKILL)"), "{cause}");
}
