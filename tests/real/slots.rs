//! Slots with real processes: nobody else has them, also not for a moment, also not what is left of somebody.

use trainwire::record::Record;
use trainwire::{Job, TrainingTask};
use trainwire_tests::{Stage, Watch, within};

/// Fails if anybody is alive who had the slot before; leaves a child behind that would be found.
const EXCLUSIVE: &str = "
[ \"$CUDA_VISIBLE_DEVICES\" = \"$TRAINWIRE_SLOTS\" ] || exit 8
mkdir -p slot-$TRAINWIRE_SLOTS; cd slot-$TRAINWIRE_SLOTS
for before in *.pid; do [ -e $before ] && grep -qs ') [^Z] ' /proc/$(cat $before)/stat && exit 9; done
me=$TRAINWIRE_TRAINER
setsid sh -c \"setsid sh -c 'trap \\\"\\\" TERM HUP; echo \\$\\$ > $me.tmp; mv $me.tmp $me.pid; while :; do sleep 1; done' &\"
while [ ! -e $me.pid ]; do sleep 0.01; done
";

#[tokio::test]
async fn two_jobs_share_two_gpus_and_never_one_at_a_time() {
    let stage = Stage::with(|config| config.slots = Some(vec!["0".into(), "GPU-1".into()])).await;
    let job = |job_id| {
        let job: Job = stage.command(job_id, ["sh", "-c", EXCLUSIVE]).script(true).trainers(2).gpus(1);
        job.tasks((0..8).map(|n| TrainingTask::new(format!("t{n}"), "m")))
    };
    let jobs = [stage.submit(job("one")).await, stage.submit(job("two")).await];
    for job in &jobs {
        let mut watch = Watch::new(job);
        assert!(watch.outcome().await.succeeded(), "{:#?}", watch.seen);
        let mut slots: Vec<_> = watch.records().filter_map(slots).collect();
        assert_eq!(slots.len(), 8);
        slots.sort();
        slots.dedup();
        assert_eq!(slots, [["0"], ["GPU-1"]], "{:#?}", watch.seen);
    }
    within(async {
        while stage.orchestrator.slots().await.expect("an answer").iter().any(|slot| slot.trainer.is_some()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn trainers_of_two_jobs_take_turns_on_one_gpu() {
    let stage = Stage::with(|config| config.slots = Some(vec!["7".into()])).await;
    let program = "
for task in trainwire.tasks():
    with task:
        task.finish(gpu=os.environ['CUDA_VISIBLE_DEVICES'])
";
    let first = stage.job("first", program).gpus(1).open().task(TrainingTask::new("a", "m"));
    let first = stage.submit(first).await;
    within(first.task_ended("a")).await.expect("an outcome");
    // Its trainer is idle and waits for more; the second job's needs the GPU.
    let second = stage.job("second", program).gpus(1).tasks(["x", "y"].map(|id| TrainingTask::new(id, "m")));
    let second = stage.submit(second).await;
    assert!(within(second.outcome()).await.expect("an outcome").succeeded());
    first.submit(TrainingTask::new("b", "m")).await.expect("it is open");
    first.close().await.expect("an orchestrator");
    let outcome = within(first.outcome()).await.expect("an outcome");
    assert!(outcome.succeeded(), "{outcome:#?}");
}

fn slots(record: &Record) -> Option<Vec<String>> {
    match record {
        Record::TrainerSpawning { slots, .. } => Some(slots.clone()),
        _ => None,
    }
}
