//! Trainers that end, stop and hang in every way, at every step of a task.

use std::time::Duration;

use trainwire::TrainingTask;
use trainwire::record::Record;
use trainwire_tests::{Stage, Watch, gone, within};

use crate::{Extent, journal};

#[tokio::test]
async fn whatever_a_trainer_does_and_when_its_task_ends_well_at_last() {
    let stage = Stage::new().await;
    let mut tasks = Vec::new();
    for step in STEPS {
        for deed in DEEDS {
            tasks.push(format!("{step}.{deed}"));
        }
    }
    if Extent::asked() == Extent::Sample {
        // Each step and each deed, not each with each.
        tasks =
            tasks.into_iter().enumerate().filter(|(place, _)| place % 7 == 0).map(|(_, task)| task).collect();
    }
    let mut job = stage.job("deeds", PROGRAM).trainers(4).max_failures(4).max_losses(4);
    job.spec.recv_timeout = Duration::from_millis(500);
    job.spec.lost_timeout = Duration::from_secs(2);
    job.spec.stall_timeout = Some(Duration::from_secs(3));
    job.spec.stop_grace = Duration::from_millis(500);
    job.spec.term_grace = Duration::from_millis(500);
    let job = job.tasks(tasks.iter().map(|task| TrainingTask::new(task, "m")));
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    let outcome = watch.outcome().await;
    for task in &outcome.tasks {
        assert!(matches!(task.state, trainwire::TaskEnd::Succeeded { .. }), "{task:#?}");
        let deed_done = stage.path(&format!("{}.did", task.task_id)).exists();
        assert!(deed_done, "{} did not come to it", task.task_id);
    }
    let pids: Vec<i32> = watch
        .records()
        .filter_map(|record| match record {
            Record::TrainerSpawned { pid, .. } => Some(*pid),
            _ => None,
        })
        .collect();
    for pid in pids {
        gone(pid).await;
    }
    within(stage.orchestrator.shutdown()).await;
    journal::check(&stage.path("state"), &[], true);
    eprintln!("trainers: {} deeds at a step of a task", tasks.len());
}

/// Where in its life a task is then.
const STEPS: [&str; 5] = ["delivered", "reported", "checkpointed", "finished", "between"];

/// What happens there, in the first attempt.
const DEEDS: [&str; 10] = [
    "kill",
    "stop-and-go-on",
    "stop",
    "exit-0",
    "exit-3",
    "raise",
    "hang",
    "hang-with-the-lock",
    "fork",
    "setsid",
];

const PROGRAM: &str = r#"
def deed(task_id, step):
    if not task_id.startswith(step + '.') or Path(task_id + '.did').exists():
        return
    Path(task_id + '.did').touch()
    what = task_id.split('.')[1]
    if what == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == 'stop-and-go-on':
        subprocess.Popen(['sh', '-c', f'sleep 1; kill -CONT {os.getpid()}'], start_new_session=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == 'stop':
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == 'exit-0':
        os._exit(0)
    elif what == 'exit-3':
        os._exit(3)
    elif what == 'raise':
        raise ValueError('once')
    elif what == 'hang':
        time.sleep(60)
    elif what == 'hang-with-the-lock':
        ctypes.PyDLL(None).sleep(60)
    elif what == 'fork':
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    elif what == 'setsid':
        subprocess.Popen(['sleep', '60'], start_new_session=True)


for task in trainwire.tasks():
    with task:
        deed(task.task_id, 'delivered')
        task.report(loss=0.5)
        deed(task.task_id, 'reported')
        path = Path(task.task_id + '.pt')
        path.touch()
        task.checkpoint(path)
        deed(task.task_id, 'checkpointed')
        task.finish(ok=1)
        deed(task.task_id, 'finished')
    deed(task.task_id, 'between')
"#;
