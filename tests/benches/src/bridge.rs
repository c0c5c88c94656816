//! trainwire itself, through its public API: an open job with one warm trainer; tasks are submitted, and
//! their results read from the job's events.

use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};
use trainwire::record::{Ending, Metrics, Record, Scalar};
use trainwire::{Config, EventStream, Job, JobHandle, Orchestrator, TrainingTask, What};
use trainwire_bench_harness::{
    Answer, Contestant, EPOCHS, STREAM_WINDOW, Setup, Task, Transfer, next_line, now_ns, pin,
};

/// Where results are kept before they are acknowledged.
#[derive(Clone, Copy)]
pub enum Journal {
    Memory,
    Disk,
}

/// How a job is set up.
#[derive(Clone, Copy)]
pub struct Variant {
    pub journal: Journal,
    /// Its large tasks share memory, rather than have sealed memory of their own.
    pub slab: bool,
}

pub struct Bridge {
    runtime: Runtime,
    job: JobHandle,
    events: EventStream,
    trainer_pid: u32,
    _folder: tempfile::TempDir,
}

impl Bridge {
    pub fn start(setup: &Setup, variant: Variant) -> Self {
        pin(0);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir_in(scratch()).expect("a temporary folder");
        let (job, events, trainer_pid) = runtime.block_on(start(setup, variant, folder.path()));
        Self { runtime, job, events, trainer_pid, _folder: folder }
    }
}

async fn start(setup: &Setup, variant: Variant, folder: &Path) -> (JobHandle, EventStream, u32) {
    let orchestrator = Orchestrator::start(Config {
        state_dir: match variant.journal {
            Journal::Memory => None,
            Journal::Disk => Some(folder.join("state")),
        },
        socket_dir: folder.to_owned(),
        unfinished_bytes_max: 8 << 30,
        ..Config::default()
    })
    .await
    .expect("the orchestrator starts");
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let command =
        [path(&setup.python), path(&setup.receivers.join("trainer.py")), setup.cores.worker().to_string()];
    let mut job = Job::new("bench")
        .expect("a job id")
        .command(command)
        .window(u32::try_from(STREAM_WINDOW).expect("small"))
        .open();
    if variant.slab {
        job = job.slab(SLAB_SIZE_BYTES);
    }
    let job = orchestrator.submit(job).await.expect("the job is taken");
    let mut events = job.events();
    // An open job starts its trainer with its first task.
    let warm_up = Task { number: 0, size_bytes: 8, work: trainwire_bench_harness::Work::Look };
    job.submit(on_heap(&warm_up, warm_up.produce())).await.expect("the task is taken");
    let mut trainer_pid = None;
    loop {
        match events.next().await.expect("the job is open").what {
            What::Record(Record::TrainerBound { pid, .. }) => trainer_pid = Some(pid),
            What::Record(Record::Ended { ending, .. }) => {
                warm_up.verify(&answer(&ending));
                let pid = trainer_pid.expect("bound before it can end a task");
                return (job, events, u32::try_from(pid).expect("a process"));
            }
            _ => {}
        }
    }
}

impl Bridge {
    async fn next_answer(events: &mut EventStream) -> Answer {
        loop {
            if let What::Record(Record::Ended { ending, .. }) =
                events.next().await.expect("the job is open").what
            {
                return answer(&ending);
            }
        }
    }
}

impl Contestant for Bridge {
    fn transfer(&mut self, task: Task, in_place: bool) -> Transfer {
        self.runtime.block_on(async {
            let asked_ns = now_ns();
            let (produced_ns, task) =
                if in_place { produce_in_place(&self.job, &task) } else { produce_on_heap(&task) };
            self.job.submit(task).await.expect("the task is taken");
            let answer = Self::next_answer(&mut self.events).await;
            Transfer { asked_ns, produced_ns, answer, answered_ns: now_ns() }
        })
    }

    fn stream(&mut self, tasks: &[Task]) {
        self.runtime.block_on(async {
            let mut unanswered = tasks.iter();
            for (sent, batch) in tasks.chunks(STREAM_BATCH).enumerate() {
                if (sent + 1) * STREAM_BATCH > STREAM_WINDOW {
                    for task in unanswered.by_ref().take(STREAM_BATCH) {
                        task.verify(&Self::next_answer(&mut self.events).await);
                    }
                }
                let batch = batch.iter().map(|task| on_heap(task, task.produce()));
                self.job.submit_all(batch).await.expect("the tasks are taken");
            }
            for task in unanswered {
                task.verify(&Self::next_answer(&mut self.events).await);
            }
        });
    }

    fn receiver_pid(&self) -> u32 {
        self.trainer_pid
    }

    /// The orchestrator goes on while the other contestants have their turns.
    fn next_line(&mut self) -> Option<String> {
        let line = async { tokio::task::spawn_blocking(next_line).await };
        self.runtime.block_on(line).expect("reading does not panic")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(usage) = self.job.slab_usage() {
            assert_eq!(usage.fallbacks, 0, "every large task found room in the slab");
        }
        let ended = self.runtime.block_on(async {
            self.job.close().await?;
            self.job.outcome().await
        });
        ended.expect("the trainer ends with its job");
    }
}

fn produce_in_place(job: &JobHandle, task: &Task) -> (u64, TrainingTask) {
    let buffer = job.task_buffer(task.task_id(), task.model_name(), task.size_bytes);
    let mut buffer = buffer.expect("memory for it").max_epochs(EPOCHS);
    task.fill(buffer.as_mut_slice());
    let produced_ns = now_ns();
    (produced_ns, buffer.finish().expect("a task"))
}

fn produce_on_heap(task: &Task) -> (u64, TrainingTask) {
    let hyperparams = task.produce();
    (now_ns(), on_heap(task, hyperparams))
}

fn on_heap(task: &Task, hyperparams: Vec<u8>) -> TrainingTask {
    TrainingTask::new(task.task_id(), task.model_name()).hyperparams(hyperparams).max_epochs(EPOCHS)
}

/// A wrong answer fails the run.
fn answer(ending: &Ending) -> Answer {
    let Ending::Succeeded { metrics } = ending else {
        panic!("a task ended as {ending:?}");
    };
    Answer {
        read_ns: number(metrics, "read_ns"),
        touched_ns: number(metrics, "touched_ns"),
        check: number(metrics, "check"),
    }
}

fn number(metrics: &Metrics, name: &str) -> u64 {
    let value = metrics.iter().find_map(|(key, value)| (key == name).then_some(value));
    match value {
        Some(Scalar::Number(number)) => *number as u64,
        other => panic!("{name} is {other:?}"),
    }
}

/// Submitted at a time.
const STREAM_BATCH: usize = STREAM_WINDOW / 4;

/// On a disk, so that the journal's share is real; `/tmp` may be memory.
pub fn scratch() -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    std::fs::create_dir_all(&folder).expect("the target folder");
    folder
}

/// Two of the largest tasks, as the trainer looks at one until it is given the next, and what smaller ones
/// leave between them.
const SLAB_SIZE_BYTES: u64 = 3 << 30;
