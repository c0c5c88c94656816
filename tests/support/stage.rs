//! An orchestrator with folders of its own, and jobs whose trainers are Python text.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use trainwire::{Config, Job, JobHandle, Orchestrator, TrainingTask};

/// The folder goes with it.
pub struct Stage {
    pub orchestrator: Orchestrator,
    folder: TempDir,
}

impl Stage {
    /// With a journal on disk.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// With changed settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::Builder::new().prefix("tw-").tempdir().expect("a folder");
        let mut config = Config {
            state_dir: Some(folder.path().join("state")),
            socket_dir: folder.path().to_owned(),
            ..Config::default()
        };
        change(&mut config);
        let orchestrator = Orchestrator::start(config).await.expect("an orchestrator");
        Self { orchestrator, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets trainers that wait for this name go on: they run in the stage's folder.
    pub fn open(&self, gate: &str) {
        fs::write(self.path(gate), "").expect("a file");
    }

    /// A job of the trainer `program`. Waits between attempts are short.
    pub fn job(&self, job_id: &str, program: &str) -> Job {
        let script = self.path(&format!("{job_id}.py"));
        fs::write(&script, format!("{PRELUDE}\n{program}")).expect("a script");
        self.command(job_id, [python(), script])
    }

    /// The same with a command of any kind.
    pub fn command<T: AsRef<Path>>(&self, job_id: &str, command: impl IntoIterator<Item = T>) -> Job {
        let words = command.into_iter().map(|word| word.as_ref().to_str().expect("UTF-8").to_owned());
        let mut job = Job::new(job_id).expect("a job id").command(words).working_dir(self.folder.path());
        job.spec.backoff_min = Duration::from_millis(10);
        job.spec.backoff_max = Duration::from_millis(50);
        job
    }

    pub async fn submit(&self, job: Job) -> JobHandle {
        self.orchestrator.submit(job).await.expect("a job that is taken")
    }

    /// A job beside the one that is tested, whose two tasks must end well whatever happens there.
    /// The second waits until [`Stage::open`]`("neighbour")`.
    pub async fn neighbour(&self) -> JobHandle {
        let program = "
for task in trainwire.tasks():
    with task:
        if task.task_id == 'second':
            wait_for('neighbour')
        task.finish(ok=1)
";
        let job = self.job("neighbour", program);
        self.submit(job.task(TrainingTask::new("first", "m")).task(TrainingTask::new("second", "m"))).await
    }
}

/// `$TRAINWIRE_TEST_PYTHON`, or that of the repository's `.venv`; the package must be installed there.
pub fn python() -> PathBuf {
    match std::env::var_os("TRAINWIRE_TEST_PYTHON") {
        Some(python) => python.into(),
        None => {
            let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
            assert!(python.exists(), "{} is missing; run `make test`", python.display());
            python
        }
    }
}

/// What every trainer begins with.
pub const PRELUDE: &str = "
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path

import trainwire


def wait_for(gate):
    while not Path(gate).exists():
        if not Path(__file__).exists():
            os._exit(1)  # the test is over, and failed
        time.sleep(0.01)
";

/// Starts two ranks as torchrun does, in sessions of their own; the first that fails ends the other, and both are
/// started anew as often as is allowed. Its arguments are that number and the ranks' script.
pub const LAUNCHER: &str = "
import os, subprocess, sys, time

allowed = int(sys.argv[1])
for restart in range(allowed + 1):
    ranks = [
        subprocess.Popen(
            [sys.executable, sys.argv[2]],
            start_new_session=True,
            env=os.environ | {
                'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': '2', 'TORCHELASTIC_RUN_ID': 'none',
                'TORCHELASTIC_RESTART_COUNT': str(restart), 'TORCHELASTIC_MAX_RESTARTS': str(allowed),
            },
        )
        for rank in range(2)
    ]
    codes = [None, None]
    while None in codes and not any(codes):
        time.sleep(0.01)
        codes = [rank.poll() for rank in ranks]
    if not any(codes):
        sys.exit(0)
    for rank in ranks:
        rank.terminate()
    for rank in ranks:
        rank.wait()
sys.exit(1)
";
