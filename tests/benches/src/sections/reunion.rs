//! How long it takes an orchestrator that was killed to have all its trainers back. They are Python processes
//! that go on meanwhile; none of them is started again.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use trainwire::record::{Condition, Record};
use trainwire::{Config, Job, Orchestrator, Seq, TrainingTask, What};

use crate::report::Reunion;

const TRAINERS: usize = 200;

/// Without an orchestrator.
const DOWN: Duration = Duration::from_secs(3);

/// Ends when the file is there.
const TRAINER: &str = "
import pathlib, sys, time, trainwire
for task in trainwire.tasks():
    with task:
        while not pathlib.Path(sys.argv[1]).exists():
            time.sleep(0.5)
        task.finish()
";

pub fn measure(python: &Path) -> Reunion {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut first, mut lines) = start(folder.path(), python);
    assert_eq!(next(&mut lines), "started");
    first.kill().and_then(|()| first.wait()).expect("a process");
    sleep(DOWN);
    let (mut second, mut lines) = start(folder.path(), python);
    let seconds = next(&mut lines).parse().expect("a number");
    std::fs::write(folder.path().join("go"), "").expect("a file");
    assert_eq!(next(&mut lines), "over", "each is done, in its first attempt");
    second.wait().expect("a process");
    Reunion { trainers: TRAINERS, down_seconds: DOWN.as_secs_f64(), seconds }
}

/// The other end: says when all trainers have started, or after how many seconds they were all back.
pub fn serve(folder: &Path, python: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let begin = Instant::now();
    runtime.block_on(async {
        let config = Config {
            state_dir: Some(folder.join("state")),
            socket_dir: folder.to_owned(),
            ..Config::default()
        };
        let orchestrator = Orchestrator::start(config).await.expect("an orchestrator");
        let again = !orchestrator.taken_up().is_empty();
        let gate = folder.join("go");
        let words = [python, Path::new("-c"), Path::new(TRAINER), &gate];
        let mut job = Job::new("reunion")
            .expect("an id")
            .command(words.map(|word| word.to_str().expect("UTF-8").to_owned()))
            .trainers(u32::try_from(TRAINERS).expect("small"));
        job.spec.start_timeout = Duration::from_secs(600);
        let tasks = (0..TRAINERS).map(|number| TrainingTask::new(number.to_string(), "m"));
        let job = orchestrator.submit(job.tasks(tasks)).await.expect("taken");
        let mut events = job.events_since(Seq::START);
        let mut missing = TRAINERS;
        while missing > 0 {
            let event = events.next().await.expect("it goes on");
            let counts = match &event.what {
                What::Record(Record::Started { .. }) => !again,
                What::Record(Record::TrainerNoticed { condition, .. }) => *condition == Condition::Responsive,
                _ => false,
            };
            missing -= usize::from(counts);
        }
        match again {
            true => println!("{}", begin.elapsed().as_secs_f64()),
            false => println!("started"),
        }
        let outcome = job.outcome().await.expect("an outcome");
        if outcome.succeeded() && outcome.tasks.iter().all(|task| task.attempts == 1) {
            println!("over");
        }
        orchestrator.shutdown().await;
    });
}

fn start(folder: &Path, python: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .arg("serve-reunion")
        .args([folder, python])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    (process, lines)
}

fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    lines.next().expect("a line").expect("text")
}
