//! The Scheduler alone: what it decides, and what it takes to decide it.

use std::time::{Instant, SystemTime};

use trainwire::JobSpec;
use trainwire::record::JobNo;
use trainwire::scheduler::{ConnectionNo, Input, Now, Scheduler, Ticket};
use trainwire_protocol::id::JobId;
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::Run;
use crate::wire::{hello, job_id, result, task as small_task};

const TICKET: Ticket = Ticket(1);

/// One more task of an open job, until its result is in.
pub(crate) fn task() -> Run {
    let mut world = World::new();
    let (job, connection) = world.join(job_id(), true, Vec::new());
    let mut number = 0;
    Box::new(move || {
        number += 1;
        world.input(Input::Add { ticket: TICKET, job, tasks: vec![named(number)] });
        world.input(Input::Started { connection, delivery: number });
        let records = world.input(Input::Result { connection, result: result(number) });
        assert_eq!(records, 1);
    })
}

/// A job of one task: submitted, joined by a trainer that was started by hand, and over.
pub(crate) fn job() -> Run {
    let mut world = World::new();
    let mut number = 0;
    Box::new(move || {
        number += 1;
        let job_id = JobId::new(&format!("job-{number}")).expect("a job id");
        let (_, connection) = world.join(job_id, false, vec![small_task()]);
        world.input(Input::Started { connection, delivery: number });
        let records = world.input(Input::Result { connection, result: result(number) });
        assert!(records >= 1);
        world.input(Input::Disconnected { connection, code: None });
    })
}

struct World {
    scheduler: Scheduler,
    now: Now,
    jobs: u64,
}

impl World {
    fn new() -> Self {
        let now = Now { monotonic: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        Self { scheduler: Scheduler::new(1), now, jobs: 0 }
    }

    /// How many records were decided.
    fn input(&mut self, input: Input) -> usize {
        self.scheduler.handle(self.now, input).records.len()
    }

    /// A job with its trainer.
    fn join(&mut self, job_id: JobId, open: bool, tasks: Vec<VerifiedTask>) -> (JobNo, ConnectionNo) {
        self.jobs += 1;
        let (job, connection) = (JobNo(self.jobs), ConnectionNo(self.jobs));
        let mut spec = JobSpec::default();
        spec.job_id = job_id.as_str().to_owned();
        (spec.attach, spec.open) = (true, open);
        let mut hello = hello();
        hello.job_id = job_id.clone();
        self.input(Input::Submit { ticket: TICKET, spec: Box::new(spec), tasks, job_id });
        self.input(Input::Bound { job });
        let records = self.input(Input::Hello { connection, job, hello: Box::new(hello), pid: 1 });
        assert!(records >= 1, "the trainer was let in");
        (job, connection)
    }
}

/// Building it is part of a submission.
fn named(number: u64) -> VerifiedTask {
    TaskBuilder::new(format!("task-{number:08}"), "model").hyperparams([7; 160]).build().expect("a task")
}
