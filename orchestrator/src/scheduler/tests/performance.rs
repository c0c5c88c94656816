//! No input costs more because there are more tasks, jobs or trainers: counted, not timed.

use super::*;

#[test]
fn a_hundred_thousand_queued_tasks_are_worked_off_through_one_window() {
    let names: Vec<String> = (1..=100_000).map(|number| number.to_string()).collect();
    let mut scheduler = Scheduler::new(1);
    let now = Now { monotonic: epoch(), wall: std::time::UNIX_EPOCH };
    let connection = ConnectionNo(1);
    let token = Token([1; 16]);
    let tasks = names.iter().map(|id| task(id)).collect();
    let spec = Box::new(spec(|spec| spec.window = 64));
    let job_id = JobId::new("job").unwrap();
    scheduler.handle(now, Input::Submit { ticket: TICKET, spec, tasks, job_id });
    scheduler.handle(now, Input::Tokens(vec![token]));
    scheduler.handle(now, Input::Bound { job: JOB });
    let hello = Box::new(hello(Some(token), 1));
    scheduler.handle(now, Input::Hello { connection, job: JOB, hello, pid: 1 });
    for delivery in 1..=100_000 {
        scheduler.handle(now, Input::Started { connection, delivery });
        let result = TaskResult {
            delivery: Delivery(delivery),
            seq: 1,
            outcome: Outcome::Succeeded,
            metrics: Vec::new(),
        };
        let decision = scheduler.handle(now, Input::Result { connection, result });
        assert!(decision.records.len() <= 1 + 64);
    }
    assert_eq!(scheduler.state().job(JOB).unwrap().unfinished, 0);
    // Nothing of a task is left behind but what the records say.
    assert!(scheduler.payloads.is_empty());
    assert_eq!(
        scheduler.deadlines.next(),
        scheduler.trainers.get(&TrainerNo(1)).unwrap().ladder.unwrap().due
    );
}
