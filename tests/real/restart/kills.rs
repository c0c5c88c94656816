//! Kills of the orchestrator at every record, and a little after it.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use trainwire::record::{DeliveryNo, Next, Record, TaskNo};

use super::Folder;

/// Each task ends once, nothing runs twice at a time, nothing is left over, however often the orchestrator
/// is killed, and wherever.
#[test]
fn a_job_survives_kills_at_every_record() {
    let folder = Folder::new();
    let program = "
for task in trainwire.tasks():
    with task:
        for epoch in range(2):
            Path('checkpoint').write_text('x')
            task.checkpoint('checkpoint', epoch=epoch)
            time.sleep(0.02)
        task.finish(ok=1)
";
    let tasks = [("a", 10), ("b", 100_000), ("c", 10), ("d", 10)];
    let job = folder.job("job", program, &tasks, |spec| {
        (spec.trainers, spec.max_losses) = (2, 1_000);
    });
    let mut kills = 0;
    loop {
        let before = folder.records().len();
        let orchestrator = folder.launch(std::slice::from_ref(&job));
        // Each time a few records further, and at another point after the commit.
        let target = before + 1 + kills % 7;
        let ended = |records: &[Record]| matches!(records.last(), Some(Record::JobEnded { .. }));
        let mut records = folder.records();
        while records.len() < target && !ended(&records) {
            records = folder.records();
        }
        thread::sleep(Duration::from_micros(300 * (kills as u64 % 5)));
        orchestrator.kill();
        kills += 1;
        if ended(&records) {
            break;
        }
    }
    let outcome = folder.start(std::slice::from_ref(&job)).outcome();
    assert!(outcome.iter().all(|line| line.ends_with("succeeded")), "{outcome:?}");
    let records = folder.records();
    let mut ends: HashMap<TaskNo, u32> = HashMap::new();
    let mut deliveries: HashMap<DeliveryNo, TaskNo> = HashMap::new();
    let mut over: HashMap<DeliveryNo, u32> = HashMap::new();
    for record in &records {
        match record {
            Record::Delivered { delivery, task, .. } => drop(deliveries.insert(*delivery, *task)),
            Record::Ended { delivery, next, .. } => {
                *over.entry(*delivery).or_default() += 1;
                let end = !matches!(next, Next::Queued { .. });
                *ends.entry(deliveries[delivery]).or_default() += u32::from(end);
            }
            _ => {}
        }
    }
    assert!(ends.len() == 4 && ends.values().all(|count| *count == 1), "{ends:?}");
    assert!(over.len() == deliveries.len() && over.values().all(|count| *count == 1), "{over:?}");
    folder.expect_nothing_left();
}
