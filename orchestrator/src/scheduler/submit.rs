//! Jobs coming in, and tasks coming to those that are open. What was taken before is taken again as
//! the same, so that whoever did not hear the answer can ask once more.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};
use trainwire_protocol::id::JobId;
use trainwire_protocol::task::VerifiedTask;

use super::decision::{Answer, Effect};
use super::input::Ticket;
use super::live::LiveJob;
use super::{Job, Scheduler};
use crate::job::JobSpec;
use crate::record::{JobNo, Record, TaskNo};

/// A stable code, and words.
type Rejection = (&'static str, String);

impl Scheduler {
    pub(super) fn submit(&mut self, ticket: Ticket, spec: JobSpec, tasks: Vec<VerifiedTask>, job_id: &JobId) {
        let answer = self.take(spec, tasks, job_id);
        self.answer(ticket, answer);
    }

    pub(super) fn add(&mut self, now: Instant, ticket: Ticket, job: JobNo, tasks: Vec<VerifiedTask>) {
        let answer = self.take_more(job, tasks);
        self.answer(ticket, answer);
        self.settle(now, job);
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Rejection>) {
        let answer = answer.unwrap_or_else(|(code, text)| Answer::Rejected { code, text });
        self.effect(Effect::Answer { ticket, answer });
    }

    fn take(&mut self, spec: JobSpec, tasks: Vec<VerifiedTask>, job_id: &JobId) -> Result<Answer, Rejection> {
        match spec.validate() {
            Ok(valid) if valid == *job_id => {}
            Ok(valid) => {
                return Err(("bad_job_id", format!("the job is called {job_id}, its limits say {valid}")));
            }
            Err(error) => return Err((error.code(), error.to_string())),
        }
        if tasks.is_empty() && !spec.open {
            return Err(("no_tasks", format!("job {job_id} has no tasks; give it at least one")));
        }
        if let Some(&job) = self.state.job_ids.get(job_id.as_str()) {
            return self.compare(job, &spec, &tasks, job_id);
        }
        all_different(&tasks, job_id.as_str())?;
        let (needed, total) = (spec.slots_of_trainer() as usize, self.slots_total());
        if needed > total {
            let text = format!(
                "a trainer of job {job_id} needs {needed} slots, and there are {total}; ask for fewer, or start the orchestrator with more (--slots names them)"
            );
            return Err(("too_few_slots", text));
        }

        let job = JobNo(self.state.jobs.next());
        self.record(Record::JobSubmitted { job, spec: Arc::new(spec) });
        self.jobs.insert(job, LiveJob::default());
        for task in tasks {
            self.queue_new(job, task);
        }
        self.effect(Effect::Bind { job });
        Ok(Answer::Submitted { job, existing: false })
    }

    /// A job id that was used before: the same job again, or another one. An open job has grown since.
    fn compare(
        &self,
        job_no: JobNo,
        spec: &JobSpec,
        tasks: &[VerifiedTask],
        job_id: &JobId,
    ) -> Result<Answer, Rejection> {
        let mut differs = Vec::new();
        if let Some(job) = self.state.job(job_no) {
            let same_tasks = if spec.open {
                tasks.iter().all(|task| self.known(job, task).is_some_and(|known| self.is_same(known, task)))
            } else {
                let mut pairs = job.tasks.iter().zip(tasks);
                job.tasks.len() == tasks.len() && pairs.all(|(known, task)| self.is_same(*known, task))
            };
            if *job.submitted != *spec {
                differs = differences(&job.submitted, spec);
            }
            differs.extend((!same_tasks).then(|| "tasks".to_owned()));
        }
        if differs.is_empty() {
            return Ok(Answer::Submitted { job: job_no, existing: true });
        }
        let differs = differs.join(", ");
        let text = format!("job {job_id} exists already with another {differs}; give the new one another id");
        Err(("job_conflict", text))
    }

    /// Tasks for an open job. One that is there already is the same one or a mistake, also when the
    /// job takes no more.
    fn take_more(&mut self, job_no: JobNo, tasks: Vec<VerifiedTask>) -> Result<Answer, Rejection> {
        let Some(job) = self.state.job(job_no) else {
            return Err(("no_such_job", "there is no such job".to_owned()));
        };
        let job_id = &job.spec.job_id;
        all_different(&tasks, job_id)?;
        let mut new = Vec::new();
        let submitted = tasks.len();
        for task in tasks {
            match self.known(job, &task) {
                Some(known) if self.is_same(known, &task) => {}
                Some(_) => {
                    let text = format!(
                        "job {job_id} has a task {:?} of other content; give the new one another id",
                        task.task_id()
                    );
                    return Err(("task_conflict", text));
                }
                None => new.push(task),
            }
        }
        if !new.is_empty() && !job.open {
            return Err(if job.spec.open {
                (
                    "job_closed",
                    format!("job {job_id} was closed, stopped or has failed; it takes no more tasks"),
                )
            } else {
                (
                    "job_not_open",
                    format!("job {job_id} was not submitted as open; it has the tasks it came with"),
                )
            });
        }
        let added = new.len();
        for task in new {
            self.queue_new(job_no, task);
        }
        Ok(Answer::Added { added, existing: submitted - added })
    }

    /// A task of the same id.
    fn known(&self, job: &Job, task: &VerifiedTask) -> Option<TaskNo> {
        job.task_ids.as_ref()?.get(task.task_id()).copied()
    }

    /// Whether it is the task of that number. Of a task that has ended the bytes are gone, so id, model,
    /// epochs and size stand for them.
    fn is_same(&self, known: TaskNo, task: &VerifiedTask) -> bool {
        self.state.task(known).is_some_and(|known| {
            *known.task_id == *task.task_id()
                && *known.model_name == *task.model_name()
                && known.max_epochs == task.max_epochs()
                && known.size_bytes == task.as_bytes().len() as u64
        }) && self.payload(known).is_none_or(|held| held.as_bytes() == task.as_bytes())
    }

    fn queue_new(&mut self, job: JobNo, payload: VerifiedTask) {
        let task = TaskNo(self.state.tasks.next());
        self.record(Record::TaskSubmitted {
            task,
            job,
            task_id: payload.task_id().into(),
            model_name: payload.model_name().into(),
            max_epochs: payload.max_epochs(),
            size_bytes: payload.as_bytes().len() as u64,
        });
        self.payloads.insert(task, payload);
        if let Some(live) = self.jobs.get_mut(&job) {
            live.ready.insert(task);
        }
    }
}

/// Names of the fields that are not the same; of the environment its variables.
fn differences(one: &JobSpec, other: &JobSpec) -> Vec<String> {
    let fields = |spec: &JobSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let differing = |one: &Map<String, Value>, other: &Map<String, Value>| -> Vec<String> {
        let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
    };
    let (one, other) = (fields(one), fields(other));
    let differing_variables = || match (&one["environment"], &other["environment"]) {
        (Value::Object(one), Value::Object(other)) => differing(one, other).join(", "),
        _ => String::new(),
    };
    let in_full = |name: String| match name.as_str() {
        "environment" => format!("environment ({})", differing_variables()),
        _ => name,
    };
    differing(&one, &other).into_iter().map(in_full).collect()
}

fn all_different(tasks: &[VerifiedTask], job_id: &str) -> Result<(), Rejection> {
    let mut task_ids = HashSet::with_capacity(tasks.len());
    match tasks.iter().find(|task| !task_ids.insert(task.task_id())) {
        Some(twice) => Err((
            "duplicate_task",
            format!("job {job_id} has two tasks called {:?}; name each differently", twice.task_id()),
        )),
        None => Ok(()),
    }
}
