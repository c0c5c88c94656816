//! Memory that a task cannot have is an error of its submission, and of nothing else. Alone in its process,
//! because the limit is the process's.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use trainwire::{Config, Job, Orchestrator, SubmitError, TaskBuffer, TrainingTask};

#[test]
fn a_task_that_finds_no_memory_is_refused_when_it_is_submitted() {
    // The limit of file sizes is the one that a memory file meets without privilege. It comes with a signal,
    // which the runtime's threads inherit as blocked.
    SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, LIMIT_BYTES as u64, LIMIT_BYTES as u64).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { socket_dir: folder.path().to_owned(), ..Config::default() };
        let orchestrator = Orchestrator::start(config).await.unwrap();

        let large = || TrainingTask::new("large", "m").hyperparams(vec![7; LIMIT_BYTES]);
        let refused = orchestrator.submit(job().task(large())).await.unwrap_err();
        check(&refused);
        let refused = orchestrator.submit(job().slab(2 * LIMIT_BYTES as u64)).await.unwrap_err();
        assert_eq!((refused.code(), refused.is_backpressure()), ("slab_out_of_memory", true), "{refused}");
        assert_eq!(TaskBuffer::new("large", "m", LIMIT_BYTES).unwrap_err().code(), "payload_out_of_memory");

        // Nothing is left of them, and what finds room is taken.
        let job = orchestrator.submit(job()).await.unwrap();
        check(&job.submit(large()).await.unwrap_err());
        job.submit(TrainingTask::new("small", "m").hyperparams(vec![7; LIMIT_BYTES / 2])).await.unwrap();
        assert_eq!(job.tasks(0..9).await.unwrap().len(), 1);
        job.kill().await.unwrap();
    });
}

fn job() -> Job {
    Job::new("job").unwrap().attach(true).open()
}

fn check(refused: &SubmitError) {
    assert_eq!((refused.code(), refused.is_backpressure()), ("payload_out_of_memory", true), "{refused}");
}

const LIMIT_BYTES: usize = 1 << 20;
