//! The life-cycle tables row by row, in virtual time: what goes in, and what is recorded and done.
//!
//! [`World`] plays the driver and the trainers. It answers Bind, keeps the Scheduler in tokens and
//! says Drained at once unless told otherwise, replays every record into a second Scheduler, and
//! writes down what it sees, a line each: records as they are, effects after `>`.

mod adopted;
mod attached;
mod connections;
mod groups;
mod jobs;
mod lines;
mod moves;
mod open;
mod performance;
mod properties;
mod requeue;
mod retries;
mod scripts;
mod slots;
mod status;
mod stops;
mod tasks;
mod trainers;

use std::time::{Duration, Instant};

use trainwire_protocol::id::{Delivery, Instance, JobId, Token};
use trainwire_protocol::message::{
    Bye, Checkpoint, CheckpointRef, Heartbeat, Hello, InHand, InHandState, Outcome, Role, TaskResult,
    TrainerError,
};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use super::*;
use crate::job::StopReason;
use crate::record::*;

use lines::effect_line;

struct World {
    scheduler: Scheduler,
    replica: Scheduler,
    records: Vec<Record>,
    now: Instant,
    lines: Vec<String>,
    /// Trainers to be started, in order.
    spawns: Vec<TrainerNo>,
    connections: u64,
    tokens: u128,
    /// Whether Drain is answered at once.
    drains: bool,
}

const JOB: JobNo = JobNo(1);
const TICKET: Ticket = Ticket(1);

fn spec(change: impl FnOnce(&mut JobSpec)) -> JobSpec {
    let mut spec = JobSpec { job_id: "job".into(), command: vec!["python".into()], ..JobSpec::default() };
    change(&mut spec);
    spec
}

fn task(task_id: &str) -> VerifiedTask {
    TaskBuilder::new(task_id, "model").build().unwrap()
}

/// What a restart finds of the tasks that have not ended.
fn payloads_of(before: &Scheduler) -> BTreeMap<TaskNo, VerifiedTask> {
    before.payloads.iter().map(|(task, payload)| (task, payload.clone())).collect()
}

#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
fn epoch() -> Instant {
    Instant::now()
}

impl World {
    /// A Scheduler with tokens.
    fn empty() -> Self {
        let mut world = Self {
            scheduler: Scheduler::new(7),
            replica: Scheduler::new(0),
            records: Vec::new(),
            now: epoch(),
            lines: Vec::new(),
            spawns: Vec::new(),
            connections: 0,
            tokens: 0,
            drains: true,
        };
        world.input(Input::Tokens(Vec::new()));
        world
    }

    /// With a job of these tasks, its socket bound; the lines of that are forgotten.
    fn new(spec: JobSpec, tasks: &[&str]) -> Self {
        let mut world = Self::empty();
        world.submit(spec, tasks);
        world.lines.clear();
        world
    }

    /// As [`World::new`], with its first trainer connected.
    fn joined(spec: JobSpec, tasks: &[&str]) -> (Self, ConnectionNo) {
        let mut world = Self::new(spec, tasks);
        let connection = world.join();
        world.lines.clear();
        (world, connection)
    }

    /// As [`World::joined`], with its first delivery started.
    fn running(spec: JobSpec, tasks: &[&str]) -> (Self, ConnectionNo) {
        let (mut world, connection) = Self::joined(spec, tasks);
        world.start(connection, 1);
        world.lines.clear();
        (world, connection)
    }

    fn submit(&mut self, spec: JobSpec, tasks: &[&str]) {
        let job_id = JobId::new(&spec.job_id).unwrap();
        let tasks = tasks.iter().map(|id| task(id)).collect();
        self.input(Input::Submit { ticket: TICKET, spec: Box::new(spec), tasks, job_id });
    }

    fn input(&mut self, input: Input) {
        let decision = self.scheduler.handle(self.now(), input);
        self.decided(decision);
    }

    fn now(&self) -> Now {
        Now { monotonic: self.now, wall: std::time::UNIX_EPOCH }
    }

    fn decided(&mut self, Decision { records, effects }: Decision) {
        for record in &records {
            self.replica.replay(record);
            self.lines.push(self.record_line(record));
        }
        self.records.extend(records);
        let mut answers = Vec::new();
        for effect in effects {
            self.lines.push(effect_line(&effect));
            match effect {
                Effect::Bind { job } => answers.push(Input::Bound { job }),
                Effect::Drain { connection } if self.drains => answers.push(Input::Drained { connection }),
                Effect::Spawn { trainer, .. } => self.spawns.push(trainer),
                _ => {}
            }
        }
        assert!(*self.replica.state() == *self.scheduler.state(), "a replay gives another state");
        for answer in answers {
            self.input(answer);
        }
        let wanted = self.scheduler.tokens_wanted();
        if wanted > 0 {
            let tokens = (0..wanted).map(|_| self.token()).collect();
            self.input(Input::Tokens(tokens));
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens.to_be_bytes())
    }

    /// The lines since the last call.
    fn lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        pretty_eq(&self.lines(), expected);
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(next) = self.scheduler.poll_timeout()
            && next <= end
        {
            self.now = self.now.max(next);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    /// The next trainer to be started runs.
    fn spawn(&mut self) -> TrainerNo {
        let trainer = self.spawns.remove(0);
        self.input(Input::Spawned {
            trainer,
            pid: 1000,
            start_ticks: 1,
            boot_id: "".into(),
            log: String::new(),
        });
        trainer
    }

    /// The next trainer to be started runs and connects.
    fn join(&mut self) -> ConnectionNo {
        let trainer = self.spawn();
        self.connect(self.hello(trainer))
    }

    /// The first Hello of a trainer.
    fn hello(&self, trainer: TrainerNo) -> Hello {
        let token = match self.scheduler.state().trainer(trainer).unwrap().state {
            TrainerState::Spawning { token, .. } => Some(token),
            TrainerState::Bound { token, .. } => token,
            TrainerState::Ended { .. } => None,
        };
        hello(token, u128::from(trainer.0))
    }

    /// A Hello over a new connection.
    fn connect(&mut self, hello: Hello) -> ConnectionNo {
        self.connections += 1;
        let connection = ConnectionNo(self.connections);
        self.input(Input::Hello { connection, job: JOB, hello: Box::new(hello), pid: 1000 });
        connection
    }

    fn start(&mut self, connection: ConnectionNo, delivery: u64) {
        self.input(Input::Started { connection, delivery });
    }

    fn finish(&mut self, connection: ConnectionNo, delivery: u64, outcome: Outcome) {
        let result = TaskResult { delivery: Delivery(delivery), seq: 1, outcome, metrics: Vec::new() };
        self.input(Input::Result { connection, result });
    }

    fn checkpoint(&mut self, connection: ConnectionNo, delivery: u64, seq: u64) {
        let at = CheckpointRef { path: format!("epoch-{seq}.pt"), step: None, epoch: None };
        let checkpoint = Checkpoint { delivery: Delivery(delivery), seq, at, metrics: Vec::new() };
        self.input(Input::Checkpoint { connection, checkpoint });
    }

    fn heartbeat(&mut self, connection: ConnectionNo, delivery: u64, progress_age: Duration) {
        let heartbeat = Heartbeat { running: Some(Delivery(delivery)), progress_age };
        self.input(Input::Heartbeat { connection, heartbeat });
    }

    fn bye(&mut self, connection: ConnectionNo) {
        self.input(Input::Bye { connection, bye: Bye { code: "exiting".into(), text: String::new() } });
    }

    fn exit(&mut self, trainer: u64, exit: Exit) {
        self.input(Input::Exited {
            trainer: TrainerNo(trainer),
            exit,
            log_tail: "last words".into(),
            failure: None,
        });
    }

    fn add(&mut self, tasks: &[&str]) {
        self.input(Input::Add { ticket: TICKET, job: JOB, tasks: tasks.iter().map(|id| task(id)).collect() });
    }

    fn close(&mut self) {
        self.input(Input::Close { ticket: TICKET, job: JOB });
    }

    fn stop(&mut self, task: Option<u64>, reason: StopReason, kill: bool) {
        self.input(Input::Stop { ticket: TICKET, job: JOB, task: task.map(TaskNo), reason, kill });
    }

    fn disconnect(&mut self, connection: ConnectionNo) {
        self.input(Input::Disconnected { connection, code: None });
    }

    fn state(&self, task: u64) -> TaskState {
        self.scheduler.state().task(TaskNo(task)).unwrap().state
    }

    fn task_id(&self, task: TaskNo) -> &str {
        &self.scheduler.state().task(task).unwrap().task_id
    }
}

fn hello(token: Option<Token>, instance: u128) -> Hello {
    Hello {
        version: "test".into(),
        token,
        can_dump_stacks: true,
        ..Hello::new(JobId::new("job").unwrap(), Instance(instance))
    }
}

fn in_hand(delivery: u64, state: InHandState) -> InHand {
    InHand { delivery: Delivery(delivery), last_seq: 0, state }
}

fn failed() -> Outcome {
    Outcome::Failed(TrainerError {
        kind: "ValueError".into(),
        text: "bad lr".into(),
        ..TrainerError::default()
    })
}

fn returned() -> Outcome {
    Outcome::Returned { code: "descriptor_missing".into() }
}

fn code(code: i32) -> Exit {
    Exit::Code { code }
}

fn sigkill() -> Exit {
    Exit::Signal { signal: 9, core_dumped: false, out_of_memory: false }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn pretty_eq(seen: &[String], expected: &[&str]) {
    assert!(
        seen == expected,
        "seen:\n    {}\nexpected:\n    {}",
        seen.join("\n    "),
        expected.join("\n    ")
    );
}
