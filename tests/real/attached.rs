//! Trainers started by hand, where a job takes them and where it does not.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;
use trainwire::record::Record;
use trainwire::{Job, TaskEnd, TrainingTask};
use trainwire_protocol::id::Token;
use trainwire_protocol::message::FromTrainer;
use trainwire_tests::{Peer, Stage, Watch, Words, gone, hello, python, within};

const PROGRAM: &str = "
import trainwire

for task in trainwire.tasks():
    with task:
        task.finish(by='hand')
";

#[tokio::test]
async fn a_trainer_started_by_hand_works_off_a_job_that_takes_it() {
    let stage = Stage::new().await;
    let tasks = ["a", "b"].map(|id| TrainingTask::new(id, "m"));
    let job = stage.submit(Job::new("by-hand").expect("an id").attach(true).tasks(tasks)).await;
    let mut watch = Watch::new(&job);
    listens(job.socket_path()).await;
    let output = by_hand(job.socket_path()).await;
    assert!(output.status.success(), "{output:?}");
    assert!(watch.outcome().await.succeeded(), "{:#?}", watch.seen);
    let attached = |record: &Record| matches!(record, Record::TrainerBound { attached: true, .. });
    assert_eq!(watch.records().filter(|record| attached(record)).count(), 1);
}

#[tokio::test]
async fn a_job_that_starts_its_own_trainers_refuses_others_with_words_on_both_sides() {
    let words = Words::listen();
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        wait_for('go')
        task.finish()
";
    let job = stage.submit(stage.job("closed", program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    watch.record(|record| matches!(record, Record::Started { .. }).then_some(())).await;
    let output = by_hand(job.socket_path()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("RefusedError") && said.contains("only trainers the orchestrator starts"),
        "{said}"
    );
    assert!(words.contain("token_required"));

    let mut stranger = Peer::connect(job.socket_path()).await;
    stranger.send(&[FromTrainer::Hello(hello("closed", Some(Token([7; 16]))))]).await;
    assert_eq!(stranger.parting_code().await, "bad_token");
    assert!(words.contain("bad_token"));
    stage.open("go");
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
}

#[tokio::test]
async fn the_token_of_a_running_trainer_lets_nobody_else_in() {
    let stage = Stage::new().await;
    let program = "
for task in trainwire.tasks():
    with task:
        path = Path('token')
        path.with_suffix('.part').write_text(TOKEN)
        path.with_suffix('.part').rename(path)
        wait_for('go')
        task.finish(hidden='TRAINWIRE_TOKEN' not in os.environ)
";
    let program = format!("TOKEN = os.environ['TRAINWIRE_TOKEN']\n{program}");
    let job = stage.submit(stage.job("owned", &program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    let token = within(async {
        loop {
            match std::fs::read_to_string(stage.path("token")) {
                Ok(token) => break token,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    let token = Token::from_hex(&token).expect("a token");
    let mut thief = Peer::connect(job.socket_path()).await;
    thief.send(&[FromTrainer::Hello(hello("owned", Some(token)))]).await;
    let refused = thief.parting().await.expect("a word");
    assert_eq!((refused.code.as_str(), refused.retry_later), ("token_in_use", false));
    stage.open("go");
    let TaskEnd::Succeeded { metrics } = watch.only().await else { panic!("{:#?}", watch.seen) };
    assert_eq!(
        metrics[0].1,
        trainwire::record::Scalar::Number(1.0),
        "the token stays out of children's hands"
    );
}

#[tokio::test]
async fn a_child_that_inherits_the_environment_cannot_take_its_parents_task() {
    let stage = Stage::new().await;
    let program = "
BEFORE = dict(os.environ)
for task in trainwire.tasks():
    with task:
        child = subprocess.run(
            [sys.executable, '-c', 'import trainwire; trainwire.connect()'],
            env=os.environ if task.task_id == 'after' else BEFORE,
            capture_output=True, text=True,
        )
        task.finish(code=child.returncode, said=child.stderr.strip().splitlines()[-1])
";
    let tasks = ["after", "before"].map(|id| TrainingTask::new(id, "m"));
    let mut watch = Watch::new(&stage.submit(stage.job("inherits", program).tasks(tasks)).await);
    for task in watch.outcome().await.tasks {
        let TaskEnd::Succeeded { metrics } = &task.state else { panic!("{task:?}") };
        let said = format!("{metrics:?}");
        assert!(said.contains("Number(1.0)") && said.contains("Error"), "{said}");
    }
    assert_eq!(watch.pids().len(), 1);
}

#[tokio::test]
async fn a_trainer_started_by_hand_that_dies_gives_its_task_to_the_next() {
    let stage = Stage::new().await;
    let mut job = Job::new("hands").expect("an id").attach(true).task(TrainingTask::new("t", "m"));
    job.spec.backoff_min = std::time::Duration::from_millis(10);
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    listens(job.socket_path()).await;
    let mut dying = command(
        job.socket_path(),
        "
import os, signal, trainwire
task = trainwire.connect()
os.kill(os.getpid(), signal.SIGKILL)
",
    );
    let mut child = dying.spawn().expect("a trainer");
    let pid = watch.record(|record| match record {
        Record::TrainerBound { pid, .. } => Some(*pid),
        _ => None,
    });
    let pid = pid.await;
    within(child.wait()).await.expect("its end");
    gone(pid).await;
    assert!(by_hand(job.socket_path()).await.status.success());
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    assert_eq!(watch.endings().len(), 2);
}

fn command(socket: &Path, program: &str) -> Command {
    let mut command = Command::new(python());
    command.args(["-c", program]).env("TRAINWIRE_SOCKET", socket).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn by_hand(socket: &Path) -> Output {
    within(command(socket, PROGRAM).output()).await.expect("a trainer")
}

async fn listens(socket: &Path) {
    within(async {
        while !socket.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
