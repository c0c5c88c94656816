//! Whatever a trainer started ends with it, wherever it went.

use trainwire::record::Exit;
use trainwire::record::Record;
use trainwire::{StopReason, TaskEnd, TrainingTask};
use trainwire_tests::{Stage, Watch, gone, within};

/// Starts a grandchild in each of the ways a process can get away, and names it in a file.
const GENERATIONS: &str = r#"
def pids():
    return [int(path.read_text()) for path in sorted(Path().glob('*.pid'))]

def sleeper(name):
    return f'echo $$ > {name}.tmp; mv {name}.tmp {name}.pid; while :; do sleep 1; done'

def start_all():
    # In the group.
    subprocess.Popen(['sh', '-c', f"sh -c '{sleeper('group')}' & wait"])
    # In a session of its own, with its parent alive.
    subprocess.Popen(['setsid', 'sh', '-c', f"sh -c '{sleeper('session')}' & wait"])
    # A daemon: its parents are gone, its session is its own, its signals are ignored.
    subprocess.run(['setsid', 'sh', '-c', f"trap '' HUP TERM INT; setsid sh -c '{sleeper('daemon')}' &"])
    # A fork without exec, away from everything.
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path('fork.tmp').write_text(str(os.getpid()))
            os.rename('fork.tmp', 'fork.pid')
            while True:
                time.sleep(1)
        os._exit(0)
    # Nothing in its environment says whose it is, but its parents live.
    subprocess.Popen(['setsid', 'env', '-i', 'PATH=' + os.environ['PATH'], 'sh', '-c',
                      f"sh -c '{sleeper('nameless')}' & wait"])
    while len(pids()) < 5:
        time.sleep(0.01)
"#;

#[tokio::test]
async fn a_stop_ends_three_generations_wherever_they_went() {
    let stage = Stage::new().await;
    let program = format!(
        "{GENERATIONS}
for task in trainwire.tasks():
    with task:
        start_all()
        task.report(here=1)
        wait_for('never')
"
    );
    let mut job = stage.job("generations", &program).stop_grace(std::time::Duration::from_millis(100));
    job.spec.term_grace = std::time::Duration::from_millis(100);
    let job = stage.submit(job.task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    watch.reported("here").await;
    let pids = pids(&stage, 5);
    job.stop(StopReason::Cancelled).await.expect("a stop");
    assert_eq!(watch.only().await, TaskEnd::Cancelled);
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn what_a_trainer_leaves_behind_at_a_clean_end_goes_too() {
    let stage = Stage::new().await;
    let neighbour = stage.neighbour().await;
    let program = format!(
        "{GENERATIONS}
for task in trainwire.tasks():
    with task:
        start_all()
        task.finish()
"
    );
    let job = stage.submit(stage.job("leaves", &program).task(TrainingTask::new("t", "m"))).await;
    let mut watch = Watch::new(&job);
    assert!(matches!(watch.only().await, TaskEnd::Succeeded { .. }), "{:#?}", watch.seen);
    // In the order of their names: daemon, fork, group, nameless, session.
    let pids = pids(&stage, 5);
    for known in [0, 1, 2, 4] {
        gone(pids[known]).await;
    }
    // Nobody could know whose it is: its parents were not looked at while they lived.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pids[3]), nix::sys::signal::Signal::SIGKILL).ok();
    stage.open("neighbour");
    assert!(within(neighbour.outcome()).await.expect("an outcome").succeeded());
}

#[tokio::test]
async fn a_program_that_knows_nothing_of_trainwire_leaves_nothing_either() {
    let stage = Stage::new().await;
    let script =
        "setsid sh -c 'setsid sh -c \"echo \\$\\$ > a.tmp; mv a.tmp a.pid; while :; do sleep 1; done\" &'
        while [ ! -e a.pid ]; do sleep 0.01; done; exit 3";
    let job = stage.command("script", ["sh", "-c", script]).script(true).task(TrainingTask::new("t", "m"));
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    assert!(matches!(watch.only().await, TaskEnd::Dead { .. }), "{:#?}", watch.seen);
    let ended = |record: &Record| matches!(record, Record::TrainerEnded { exit: Exit::Code { code: 3 }, .. });
    assert!(watch.records().any(ended));
    gone(pids(&stage, 1)[0]).await;
}

#[tokio::test]
async fn a_shutdown_right_after_the_end_leaves_nothing() {
    let stage = Stage::new().await;
    let script = "setsid sh -c 'echo $$ > a.tmp; mv a.tmp a.pid; while :; do sleep 1; done' &
        while [ ! -e a.pid ]; do sleep 0.01; done";
    let job = stage.command("script", ["sh", "-c", script]).script(true).task(TrainingTask::new("t", "m"));
    let job = stage.submit(job).await;
    within(job.outcome()).await.expect("an outcome");
    stage.orchestrator.shutdown().await;
    gone(pids(&stage, 1)[0]).await;
}

#[test]
fn a_kill_reaches_everybody_although_the_program_ends_right_after_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let pids = runtime.block_on(async {
        let stage = Stage::new().await;
        let script = "setsid sh -c 'echo $$ > a.tmp; mv a.tmp a.pid; while :; do sleep 1; done' &
            echo $$ > b.tmp; mv b.tmp b.pid; while :; do sleep 1; done";
        let job =
            stage.command("script", ["sh", "-c", script]).script(true).task(TrainingTask::new("t", "m"));
        let job = stage.submit(job).await;
        within(async {
            while !(stage.path("a.pid").exists() && stage.path("b.pid").exists()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let pids = pids(&stage, 2);
        job.kill().await.expect("an orchestrator");
        stage.orchestrator.shutdown().await;
        pids
    });
    runtime.shutdown_background();
    let gone = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for pid in pids {
        gone.block_on(trainwire_tests::gone(pid));
    }
}

fn pids(stage: &Stage, count: usize) -> Vec<i32> {
    let files = std::fs::read_dir(stage.path(".")).expect("a folder").flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "pid")).collect();
    files.sort();
    assert_eq!(files.len(), count);
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    files.iter().map(|path| read(path).expect("a pid")).collect()
}
