//! Who submits, asks for ends, and asks again if no answer comes.

use std::time::{Duration, Instant};

use trainwire::scheduler::{Answer, Input, Ticket};
use trainwire::{JobId, JobSpec, StopReason};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use trainwire::record::{JobNo, TaskNo};

use crate::random::Random;
use crate::reader::Promise;

/// One job and who wants it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) spec: JobSpec,
    tasks: u64,
    /// Of those, how many come later.
    later: u64,
    /// When it does what comes next.
    due: Option<Instant>,
    asked: Option<(Ticket, Ask)>,
    /// Known from the answer.
    pub(crate) job: Option<JobNo>,
    added: u64,
    closed: bool,
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Submit,
    Add { count: u64 },
    Close,
    Stop,
}

impl Client {
    pub(crate) fn new(number: u64, now: Instant, random: &mut Random) -> Self {
        let mut spec = JobSpec::default();
        spec.job_id = format!("job-{number}");
        spec.command = vec!["python".to_owned()];
        match random.below(10) {
            0 => spec.script = true,
            1 => {
                spec.attach = true;
                spec.command.clear();
            }
            _ => {}
        }
        spec.trainers = u32::try_from(random.between(1, 3)).expect("small");
        spec.window = u32::try_from(random.between(1, 4)).expect("small");
        spec.max_failures = u32::try_from(random.between(1, 3)).expect("small");
        spec.max_losses = u32::try_from(random.between(1, 4)).expect("small");
        spec.replace_after_failure = random.chance(50);
        spec.stall_timeout = random.chance(40).then(|| Duration::from_secs(20));
        spec.lost_timeout = Duration::from_secs(random.between(6, 60));
        spec.stop_grace = Duration::from_secs(random.between(0, 20));
        spec.slots =
            u32::try_from(random.below(3)).expect("small") * u32::from(!spec.attach && random.chance(30));
        spec.open = random.chance(40);
        let tasks = random.between(1, 8);
        let later = if spec.open { random.between(0, tasks) } else { 0 };
        Self {
            spec,
            tasks,
            later,
            due: Some(now + random.ms(0, 20_000)),
            asked: None,
            job: None,
            added: 0,
            closed: false,
            refused: false,
        }
    }

    /// When it says something.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.filter(|_| self.asked.is_none())
    }

    /// What it says now, if anything.
    pub(crate) fn say(&mut self, now: Instant, ticket: Ticket, random: &mut Random) -> Option<Input> {
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        self.due = None;
        let (ask, input) = match self.job {
            None => {
                let job_id = JobId::new(&self.spec.job_id).expect("an id");
                let tasks = self.built(0..self.tasks - self.later);
                (Ask::Submit, Input::Submit { ticket, spec: Box::new(self.spec.clone()), tasks, job_id })
            }
            Some(job) if self.added < self.later => {
                let count = random.between(1, self.later - self.added);
                let first = self.tasks - self.later + self.added;
                (Ask::Add { count }, Input::Add { ticket, job, tasks: self.built(first..first + count) })
            }
            Some(job) => (Ask::Close, Input::Close { ticket, job }),
        };
        self.asked = Some((ticket, ask));
        Some(input)
    }

    /// Asks for an end of a task or of all.
    pub(crate) fn stop(
        &mut self,
        ticket: Ticket,
        task: Option<TaskNo>,
        random: &mut Random,
    ) -> Option<Input> {
        let job = self.job.filter(|_| self.asked.is_none())?;
        self.asked = Some((ticket, Ask::Stop));
        let reason = if random.chance(50) { StopReason::Cancelled } else { StopReason::Interrupted };
        Some(Input::Stop { ticket, job, task, reason, kill: random.chance(20) })
    }

    /// Takes an answer, and gives what it promises.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        ticket: Ticket,
        answer: &Answer,
        random: &mut Random,
    ) -> Option<Promise> {
        let (_, ask) = self.asked.take_if(|(asked, _)| *asked == ticket)?;
        self.due = (!self.is_done()).then(|| now + random.ms(1, 10_000));
        let job_id = self.spec.job_id.clone();
        match (ask, answer) {
            (Ask::Submit, Answer::Submitted { job, .. }) => {
                self.job = Some(*job);
                let task_ids = names(0..self.tasks - self.later);
                Some(Promise::Submitted { job_id, task_ids })
            }
            (Ask::Add { count }, Answer::Added { added, existing }) => {
                assert_eq!((added + existing) as u64, count);
                let first = self.tasks - self.later + self.added;
                self.added += count;
                Some(Promise::Added { job_id, task_ids: names(first..first + count) })
            }
            // Somebody has stopped the job meanwhile.
            (Ask::Add { .. }, Answer::Rejected { code: "job_closed", .. }) => {
                self.refused = true;
                None
            }
            (Ask::Close, Answer::Done) => {
                self.closed = true;
                None
            }
            (Ask::Stop, Answer::Done) => None,
            other => panic!("no answer to this: {other:?}"),
        }
    }

    /// Nobody will answer: it asks again, the same.
    pub(crate) fn unanswered(&mut self, now: Instant, random: &mut Random) {
        self.asked = None;
        self.due = (!self.is_done()).then(|| now + random.ms(1, 3_000));
    }

    /// Wants nothing more.
    pub(crate) fn is_done(&self) -> bool {
        let asked = self.job.is_some() && (!self.spec.open || self.closed);
        (asked || self.refused) && self.asked.is_none()
    }

    fn built(&self, numbers: std::ops::Range<u64>) -> Vec<VerifiedTask> {
        names(numbers).iter().map(|id| TaskBuilder::new(id, "model").build().expect("a task")).collect()
    }
}

fn names(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("task-{number}")).collect()
}
