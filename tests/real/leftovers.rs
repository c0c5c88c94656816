//! What is left of jobs that are over and of gifts nobody asked for: nothing. A test target of its own,
//! because it counts what the process has.

use std::fs;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::AsFd;

use tokio::sync::Mutex;
use trainwire::record::Record;
use trainwire::{Job, StopReason, TrainingTask};
use trainwire_protocol::message::{FromTrainer, Heartbeat};
use trainwire_tests::{Peer, Stage, Watch, frames, gone, result, within};
use trainwire_unix::Wait;
use trainwire_unix::descriptors::send;

#[tokio::test]
async fn descriptors_sent_to_the_orchestrator_go_nowhere() {
    let _alone = ALONE.lock().await;
    let stage = Stage::new().await;
    let task = TrainingTask::new("t", "m");
    let job = stage.submit(Job::new("given").expect("an id").attach(true).task(task)).await;
    let mut watch = Watch::new(&job);
    watch.record(|record| matches!(record, Record::TaskSubmitted { .. }).then_some(())).await;
    within(async {
        while !job.socket_path().exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut peer = Peer::connect(job.socket_path()).await;
    peer.join("given").await;
    let (deliver, _) = peer.delivered().await.expect("a task");
    let gift = fs::File::open("/dev/zero").expect("a file");
    let before = descriptors();
    let heartbeat = Heartbeat { running: None, progress_age: std::time::Duration::ZERO };
    let bytes = frames(&[FromTrainer::Heartbeat(heartbeat)]);
    let mut refused = 0;
    for _ in 0..500 {
        // From Linux 6.16 on the kernel refuses for the orchestrator: EPERM.
        match send(&peer.stream, &[IoSlice::new(&bytes)], Some(gift.as_fd()), Wait::Block) {
            Ok(sent) => assert_eq!(sent, bytes.len()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                peer.stream.writable().await.expect("a socket")
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                refused += 1;
            }
        }
    }
    // Everything before it has been read when this is answered.
    peer.send(&[result(deliver.delivery, 1)]).await;
    drop(peer);
    assert!(watch.outcome().await.succeeded(), "{:#?}", watch.seen);
    let zeros = |all: &[String]| all.iter().filter(|target| *target == "/dev/zero").count();
    assert_eq!(zeros(&descriptors()), zeros(&before), "{refused} of 500 were refused by the kernel");
}

#[tokio::test]
async fn no_descriptor_process_or_socket_is_left_of_jobs_that_are_over() {
    let _alone = ALONE.lock().await;
    let program = "
for task in trainwire.tasks():
    with task:
        if task.task_id == 'dies' and task.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.task_id == 'hangs':
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            task.report(here=1)
            wait_for('never')
        if task.task_id == 'forks' and os.fork() == 0:
            time.sleep(1000)
        task.finish()
";
    let mut after_first = None;
    for _ in 0..3 {
        let stage = Stage::new().await;
        let large = TrainingTask::new("large", "m").hyperparams(vec![7; 1 << 20]);
        let tasks = ["dies", "hangs", "forks"].map(|id| TrainingTask::new(id, "m"));
        let mut job =
            stage.job("over", program).trainers(4).stop_grace(std::time::Duration::from_millis(200));
        job.spec.term_grace = std::time::Duration::from_millis(200);
        let job = stage.submit(job.tasks(tasks).task(large)).await;
        let mut watch = Watch::new(&job);
        watch.reported("here").await;
        job.stop_task("hangs", StopReason::Cancelled).await.expect("a stop");
        watch.outcome().await;
        let spawned = |record: &Record| match record {
            Record::TrainerSpawned { pid, .. } => Some(*pid),
            _ => None,
        };
        let pids: Vec<_> = watch.records().filter_map(spawned).collect();
        assert!(pids.len() >= 4, "{pids:?}");
        for pid in pids {
            gone(pid).await;
            assert!(group_is_empty(pid), "a process of the group of {pid} is left");
        }
        assert!(!job.socket_path().exists());
        stage.orchestrator.shutdown().await;
        drop((watch, job, stage));
        // What is opened once and kept, the first round has opened.
        let expected = *after_first.get_or_insert_with(|| descriptors().len());
        within(async {
            while descriptors().len() > expected {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    assert_eq!(children(), Vec::<String>::new());
}

fn group_is_empty(group: i32) -> bool {
    let members = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok).filter(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name: state, parent, group.
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.get(2) == Some(&group.to_string().as_str()) && fields.first() != Some(&"Z")
    });
    members.count() == 0
}

fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc").filter_map(Result::ok);
    let mut targets: Vec<_> = entries
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|to| to.display().to_string())
        .collect();
    targets.sort();
    targets
}

/// Zombies count: somebody has to reap them.
fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc").filter_map(Result::ok);
    tasks
        .flat_map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// Two tests that count what one process has.
static ALONE: Mutex<()> = Mutex::const_new(());
