use std::time::Duration;

use trainwire::job::StopReason;
use trainwire::record::{Ending, Exit, JobNo, Next, Rung, TaskNo};
use trainwire_protocol::id::Delivery;

use super::*;

struct Run {
    board: Board,
    seconds: u64,
}

impl Run {
    fn with_tasks(ids: &[&str]) -> Self {
        let mut board = Board::new("job", 3, "/logs".into(), SystemTime::UNIX_EPOCH);
        for id in ids {
            board.submitted(id, 10);
        }
        Self { board, seconds: 0 }
    }

    /// A second later.
    fn then(&mut self, task: Option<&str>, record: Record) -> &mut Self {
        self.seconds += 1;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds);
        self.board.record(&record, task, Some(1), at);
        self
    }

    fn begin(&mut self, task: &str) -> &mut Self {
        let (trainer, job) = (TrainerNo(1), JobNo(1));
        self.then(None, Record::TrainerSpawning { trainer, job, token: String::new(), slots: Vec::new() });
        let log = "/logs/trainer-1.log".into();
        self.then(None, Record::TrainerSpawned { trainer, pid: 1, start_ticks: 1, boot_id: "".into(), log });
        self.then(
            Some(task),
            Record::Delivered { delivery: 1, task: TaskNo(1), trainer, attempt: 1, log_from: None },
        );
        self.then(Some(task), Record::Started { delivery: 1 })
    }

    fn end(&mut self, task: &str, ending: Ending, next: Next) -> &mut Self {
        let ending = Box::new(ending);
        self.then(
            Some(task),
            Record::Ended { delivery: 1, seq: None, ending, next, last_progress: None, waits_since: None },
        )
    }

    fn trouble(&self, task: &str) -> Option<Trouble> {
        match &self.board.task(task).unwrap().state {
            State::Running(running) => running.trouble,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_task_that_is_tried_twice() {
    let mut run = Run::with_tasks(&["a", "b"]);
    run.begin("a");
    assert_eq!(run.board.totals(), Totals { running: 1, waiting: 1, ..Totals::default() });
    let killed = Exit::Signal { signal: 9, core_dumped: false, out_of_memory: false };
    run.end("a", Ending::Crashed { exit: killed }, Next::Queued { after: Duration::from_secs(1) });
    assert_eq!(run.board.totals(), Totals { waiting: 2, ..Totals::default() });
    run.begin("a").end("a", Ending::Succeeded { metrics: Vec::new() }, Next::Succeeded);
    assert_eq!(run.board.totals(), Totals { succeeded: 1, waiting: 1, ..Totals::default() });
    let task = run.board.task("a").unwrap();
    assert_eq!(task.log.as_deref(), Some("/logs/trainer-1.log".as_ref()));
    assert_eq!(task.duration(), Some(Duration::from_secs(6)), "from the first start, the pause included");
}

#[test]
fn a_trainer_in_trouble_is_shown_at_its_task() {
    let mut run = Run::with_tasks(&["a"]);
    run.begin("a");
    let notice = |condition| Record::TrainerNoticed { trainer: TrainerNo(1), condition };
    run.then(None, notice(Condition::Unresponsive));
    assert!(matches!(run.trouble("a"), Some(Trouble::Unresponsive(_))));
    run.then(None, notice(Condition::Responsive));
    assert_eq!(run.trouble("a"), None);
    let stopping = Record::Stopping { delivery: 1, reason: StopReason::Interrupted, rung: Rung::Asked };
    run.then(Some("a"), stopping).then(None, notice(Condition::Responsive));
    assert_eq!(run.trouble("a"), Some(Trouble::Stopping(Rung::Asked)), "being stopped is the greater news");
}

#[test]
fn the_last_row_is_shown() {
    let mut run = Run::with_tasks(&["a"]);
    run.begin("a");
    let report = Report {
        delivery: Delivery(1),
        names: ["loss".into()].into(),
        times_us: vec![1, 2],
        steps: None,
        epochs: Some(vec![0.0, 1.0]),
        values: vec![0.5, 0.25],
        thinned: 0,
    };
    run.board.progress(&report, Some("a"), SystemTime::UNIX_EPOCH);
    run.board.progress(&report, Some("unknown"), SystemTime::UNIX_EPOCH);
    let State::Running(running) = &run.board.tasks[0].state else { panic!("not running") };
    assert_eq!(running.latest, [("loss".to_owned(), 0.25)]);
    assert_eq!(running.pace.done(10), Some(2.0));
}

#[test]
fn a_job_that_never_had_a_trainer_did_not_start() {
    let dead = || Next::Dead { cause: "the name is taken".into(), log_tail: "".into() };
    let mut run = Run::with_tasks(&["a"]);
    run.then(Some("a"), Record::Closed { task: TaskNo(1), next: dead() });
    assert_eq!(run.board.start_failure(), Some("the name is taken"));
    let mut run = Run::with_tasks(&["a"]);
    run.begin("a").then(Some("a"), Record::Closed { task: TaskNo(1), next: dead() });
    assert_eq!(run.board.start_failure(), None);
}
