//! Slots that are taken stay taken through a restart, also by what is left of the dead.

use trainwire::record::Record;

use super::Folder;
use super::folder::sigkill;
use super::reunions::{WAITS, came_back, started};

/// Leaves a child behind that holds the GPU; fails if another's still does.
const HOLDS: &str = "
def holder(name):
    return f'echo $$ > {name}.tmp; mv {name}.tmp {name}.holder; while :; do sleep 1; done'

for before in Path().glob('*.holder'):
    stat = Path('/proc') / before.read_text().strip() / 'stat'
    if stat.exists() and ') Z ' not in stat.read_text():
        os._exit(9)
name = str(os.getpid())
subprocess.Popen(['setsid', 'sh', '-c', holder(name)])
wait_for(name + '.holder')
for task in trainwire.tasks():
    with task:
        if task.attempt == 1 and task.task_id == 'a':
            wait_for('never')
        task.finish(gpu=os.environ['CUDA_VISIBLE_DEVICES'])
";

#[test]
fn a_trainer_that_went_on_has_its_gpu_for_itself() {
    let folder = Folder::new();
    let job = folder.job("job", WAITS, &[("a", 10), ("b", 10)], |spec| (spec.gpus, spec.trainers) = (1, 2));
    let gpus = [("CUDA_VISIBLE_DEVICES", "5")];
    let orchestrator = folder.start_with(std::slice::from_ref(&job), &gpus);
    folder.until(1, started);
    orchestrator.kill();
    let orchestrator = folder.start_with(std::slice::from_ref(&job), &gpus);
    folder.until(1, came_back);
    folder.open("a");
    folder.open("b");
    assert_eq!(orchestrator.outcome(), ["job a 1 succeeded", "job b 1 succeeded"]);
    assert_eq!(given(&folder), [(1, "5".to_owned())], "the second trainer had none");
    folder.expect_nothing_left();
}

#[test]
fn the_gpu_of_a_trainer_that_died_meanwhile_is_given_when_its_children_are_dead() {
    let folder = Folder::new();
    let job = folder.job("job", HOLDS, &[("a", 10), ("b", 10)], |spec| spec.gpus = 1);
    let gpus = [("CUDA_VISIBLE_DEVICES", "5")];
    let orchestrator = folder.start_with(std::slice::from_ref(&job), &gpus);
    folder.until(1, started);
    orchestrator.kill();
    sigkill(folder.pids()[0]);
    let outcome = folder.start_with(std::slice::from_ref(&job), &gpus).outcome();
    assert_eq!(outcome, ["job a 2 succeeded", "job b 1 succeeded"]);
    assert_eq!(given(&folder), [(1, "5".to_owned()), (2, "5".to_owned())]);
    let order: Vec<_> = folder.records().iter().filter_map(of_slots).collect();
    assert_eq!(order[..3], ["spawning 1", "freed 1", "spawning 2"]);
    folder.expect_nothing_left();
}

fn given(folder: &Folder) -> Vec<(u64, String)> {
    let slots = |record: Record| match record {
        Record::TrainerSpawning { trainer, slots, .. } => Some((trainer.0, slots.join(","))),
        _ => None,
    };
    folder.records().into_iter().filter_map(slots).collect()
}

fn of_slots(record: &Record) -> Option<String> {
    match record {
        Record::TrainerSpawning { trainer, .. } => Some(format!("spawning {}", trainer.0)),
        Record::SlotsFreed { trainer } => Some(format!("freed {}", trainer.0)),
        _ => None,
    }
}
