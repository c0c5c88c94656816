//! Another chance: tasks that ended without a result are queued again, and limits are changed, both by
//! somebody's wish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trainwire_protocol::task::VerifiedTask;

use super::decision::{Answer, Effect};
use super::input::Ticket;
use super::live::LiveJob;
use super::{Scheduler, TaskState};
use crate::job::JobSpec;
use crate::record::{JobNo, Record, TaskNo};

impl Scheduler {
    /// Those of the tasks that are dead or stopped get new budgets; the job is there again if it had ended.
    pub(super) fn requeue(
        &mut self,
        now: Instant,
        ticket: Ticket,
        job: JobNo,
        tasks: Vec<(TaskNo, VerifiedTask)>,
    ) {
        let had_ended = self.state.job(job).is_some_and(|job| job.ended);
        let mut requeued = 0;
        for (number, payload) in tasks {
            let may = self.state.task(number).is_some_and(|task| {
                task.job == job && matches!(task.state, TaskState::Dead | TaskState::Stopped)
            });
            if !may {
                continue;
            }
            if had_ended && requeued == 0 {
                self.jobs.insert(job, LiveJob::default());
                self.effect(Effect::Bind { job });
            }
            requeued += 1;
            self.record(Record::Requeued { task: number });
            self.payloads.insert(number, payload);
            self.queue(now, number, Duration::ZERO);
        }
        if requeued > 0 {
            if let Some(live) = self.jobs.get_mut(&job) {
                live.closing = false;
                // What kept the trainers from starting may be what was put right.
                if let Some(obstacles) = &mut live.obstacles {
                    obstacles.version_mismatch = None;
                }
            }
            self.settle(now, job);
        }
        self.effect(Effect::Answer { ticket, answer: Answer::Requeued { tasks: requeued } });
    }

    /// The limits hold from now on: for what is decided next, not for deadlines that run.
    pub(super) fn change(&mut self, now: Instant, ticket: Ticket, job: JobNo, spec: JobSpec) {
        let answer = match self.check_change(job, &spec) {
            Ok(true) => {
                self.record(Record::LimitsChanged { job, spec: Arc::new(spec) });
                self.settle(now, job);
                Answer::Done
            }
            Ok(false) => Answer::Done,
            Err((code, text)) => Answer::Rejected { code, text },
        };
        self.effect(Effect::Answer { ticket, answer });
    }

    /// Whether it is a change, and one that can be.
    fn check_change(&self, job: JobNo, spec: &JobSpec) -> Result<bool, (&'static str, String)> {
        let Some(present) = self.spec(job) else {
            return Err(("no_such_job", "there is no such job".to_owned()));
        };
        spec.validate().map_err(|error| (error.code(), error.to_string()))?;
        if !spec.differs_in_limits_alone(present) {
            let text = "the command and what it runs with stay as they were submitted, only limits can be changed; submit a job of another id instead";
            return Err(("not_a_limit", text.to_owned()));
        }
        let (needed, total) = (spec.slots_of_trainer() as usize, self.slots_total());
        if needed > total {
            let text = format!("a trainer would need {needed} slots, and there are {total}");
            return Err(("too_few_slots", text));
        }
        Ok(spec != &**present)
    }
}
