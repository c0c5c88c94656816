//! A run of the Scheduler, checked at every step.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A run, with what the records must add up to.
pub(super) struct Run {
    pub(super) scheduler: Scheduler,
    replica: Scheduler,
    records: Vec<Record>,
    now: Instant,
    tokens: u128,
    connections: u64,
    /// What a decent driver still has to answer.
    binds: Vec<JobNo>,
    spawns: Vec<TrainerNo>,
    hellos: Vec<TrainerNo>,
    drains: Vec<ConnectionNo>,
    /// Processes that exist.
    alive: BTreeSet<TrainerNo>,
    connected: BTreeSet<ConnectionNo>,
    ended: BTreeMap<DeliveryNo, u32>,
    pub(super) closed: BTreeMap<TaskNo, u32>,
    jobs_ended: BTreeMap<JobNo, u32>,
    /// Slots by whom has them, as trainers are told.
    pub(super) held: BTreeMap<String, TrainerNo>,
    /// Dead, and something may be left of them.
    remains: Vec<TrainerNo>,
}

impl Run {
    pub(super) fn new() -> Self {
        Self {
            scheduler: scheduler(),
            replica: Scheduler::new(3),
            records: Vec::new(),
            now: epoch(),
            tokens: 0,
            connections: 0,
            binds: Vec::new(),
            spawns: Vec::new(),
            hellos: Vec::new(),
            drains: Vec::new(),
            alive: BTreeSet::new(),
            connected: BTreeSet::new(),
            ended: BTreeMap::new(),
            closed: BTreeMap::new(),
            jobs_ended: BTreeMap::new(),
            held: BTreeMap::new(),
            remains: Vec::new(),
        }
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
            self.check(record);
        }
        self.records.extend(records);
        assert!(*self.replica.state() == *self.scheduler.state(), "a replay gives another state");
        self.check_limits();
        for effect in effects {
            match effect {
                Effect::Bind { job } => self.binds.push(job),
                Effect::Spawn { trainer, slots, .. } => {
                    self.spawns.push(trainer);
                    for slot in slots {
                        let before = self.held.insert(slot, trainer);
                        assert_eq!(before, None, "a slot is held twice");
                    }
                }
                Effect::Forget { trainer } => self.remains.push(trainer),
                Effect::Drain { connection } => self.drains.push(connection),
                Effect::Welcome { connection, .. } => drop(self.connected.insert(connection)),
                Effect::Close { connection } => drop(self.connected.remove(&connection)),
                _ => {}
            }
        }
        let wanted = self.scheduler.tokens_wanted();
        if wanted > 0 {
            let tokens = (0..wanted as u128).map(|n| Token((self.tokens + n + 1).to_be_bytes())).collect();
            self.tokens += wanted as u128;
            self.input(Input::Tokens(tokens));
        }
    }

    /// Another orchestrator takes over. `lost` says whose bytes it does not find.
    fn restart(&mut self, lost: u64) {
        let before = std::mem::replace(&mut self.scheduler, scheduler());
        self.records.iter().for_each(|record| self.scheduler.replay(record));
        assert!(*self.scheduler.state() == *before.state(), "a replay gives another state");
        (self.binds, self.spawns, self.hellos) = Default::default();
        (self.drains, self.connected) = Default::default();
        let state = self.scheduler.state();
        let left: Vec<TrainerNo> = state.jobs.iter().flat_map(|(_, job)| &job.trainers).copied().collect();
        let mut gone = BTreeSet::new();
        for number in left {
            let trainer = state.trainer(number).unwrap();
            let unheard_of = matches!(trainer.state, TrainerState::Spawning { pid: None, .. });
            if unheard_of || !(trainer.is_attached() || self.alive.contains(&number)) {
                self.alive.remove(&number);
                gone.insert(number);
            } else {
                self.hellos.push(number);
            }
        }
        let mut adoption =
            Adoption { payloads: payloads_of(&before), lost: before.lost, ..Adoption::default() };
        let is_lost = |task: &TaskNo| lost >> (task.0 % 64) & 1 == 1;
        for task in adoption.payloads.keys().copied().filter(is_lost).collect::<Vec<_>>() {
            adoption.payloads.remove(&task);
            adoption.lost.insert(task, "lost".into());
        }
        adoption.waits = adoption.payloads.keys().map(|task| (*task, seconds(task.0 % 3))).collect();
        adoption.gone = gone.clone();
        let decision = self.scheduler.adopt(self.now(), adoption);
        self.decided(decision);
        for trainer in gone {
            self.exit(trainer, 3);
        }
    }

    /// No delivery ends twice, no task gets two terminal states, no job ends twice.
    fn check(&mut self, record: &Record) {
        match record {
            Record::Ended { delivery, next, .. } => {
                let times = self.ended.entry(*delivery).or_default();
                *times += 1;
                assert_eq!(*times, 1, "D{delivery} ended twice");
                if !matches!(next, Next::Queued { .. }) {
                    self.close(self.scheduler.state().delivery(*delivery).unwrap().task);
                }
            }
            Record::Closed { task, .. } => self.close(*task),
            Record::Requeued { task } => {
                assert_eq!(self.closed.remove(task), Some(1), "a task is tried again that has not ended");
                let job = self.scheduler.state().task(*task).unwrap().job;
                self.jobs_ended.remove(&job);
            }
            Record::JobEnded { job } => {
                let times = self.jobs_ended.entry(*job).or_default();
                *times += 1;
                assert_eq!(*times, 1, "a job ended twice");
            }
            _ => {}
        }
    }

    fn close(&mut self, task: TaskNo) {
        let times = self.closed.entry(task).or_default();
        *times += 1;
        assert_eq!(*times, 1, "a task ended twice");
    }

    fn check_limits(&self) {
        let state = self.scheduler.state();
        for (_, job) in state.jobs.iter() {
            let alive =
                job.trainers.iter().filter(|trainer| !state.trainer(**trainer).unwrap().is_attached());
            assert!(alive.count() <= job.spec.trainers as usize, "more trainers than slots");
            let unfinished =
                job.tasks.iter().filter(|task| !state.task(**task).unwrap().state.is_terminal()).count();
            assert_eq!(unfinished, job.unfinished);
            assert!(!(job.open && job.ended), "a job ended that takes tasks");
        }
        for (_, trainer) in state.trainers.iter() {
            let window = state.job(trainer.job).unwrap().spec.window as usize;
            assert!(trainer.in_hand.len() <= window, "more in hand than the window");
            for delivery in &trainer.in_hand {
                assert!(state.open_delivery(*delivery).is_some(), "a delivery in hand is over");
            }
        }
        for (number, live) in self.scheduler.jobs.iter() {
            let of_job = self.scheduler.trainers.iter().filter(|(_, trainer)| trainer.job == number);
            let ahead: usize = of_job.map(|(_, trainer)| trainer.delivered_at.len().saturating_sub(1)).sum();
            assert_eq!(live.ahead, ahead, "work that waits behind other work is counted wrongly");
        }
        for (_, task) in state.tasks.iter() {
            let spec = &state.job(task.job).unwrap().spec;
            assert!(task.failures <= spec.max_failures && task.losses <= spec.max_losses, "over budget");
            assert!(task.failures + task.losses <= task.starts, "charged without a start");
            let waits = matches!(task.state, TaskState::Queued);
            let spent = task.failures >= spec.max_failures || task.losses >= spec.max_losses;
            assert!(!(waits && spent), "queued without a budget");
        }
    }

    /// Answers the oldest open question as it should be.
    fn answer(&mut self) {
        if let Some(job) = self.binds.pop() {
            self.input(Input::Bound { job });
        } else if !self.spawns.is_empty() {
            let trainer = self.spawns.remove(0);
            self.spawned(trainer);
        } else if !self.hellos.is_empty() {
            let trainer = self.hellos.remove(0);
            self.hello(trainer, 1, Vec::new(), true);
        } else if !self.drains.is_empty() {
            let connection = self.drains.remove(0);
            self.input(Input::Drained { connection });
        }
    }

    fn spawned(&mut self, trainer: TrainerNo) {
        self.alive.insert(trainer);
        self.hellos.push(trainer);
        let (boot_id, log) = ("".into(), String::new());
        self.input(Input::Spawned { trainer, pid: 1, start_ticks: 0, boot_id, log });
    }

    fn hello(&mut self, trainer: TrainerNo, connection: u32, in_hand: Vec<InHand>, own: bool) {
        let token = match self.scheduler.state().trainer(trainer).map(|trainer| &trainer.state) {
            Some(TrainerState::Spawning { token, .. }) if own => Some(*token),
            Some(TrainerState::Bound { token, .. }) if own => *token,
            _ => None,
        };
        let hello = Hello { connection, in_hand, ..hello(token, u128::from(trainer.0)) };
        self.say(hello);
    }

    /// As [`hello`](Self::hello), of one of three processes.
    fn rank(&mut self, trainer: u64, rank: u32, restart: u32, connection: u32, in_hand: Vec<InHand>) {
        let known = self.scheduler.state().trainer(TrainerNo(trainer));
        let Some(token) = known.and_then(|trainer| trainer.token().copied()) else { return };
        let role = if rank == 0 { Role::Primary } else { Role::Replica };
        let instance = u128::from(trainer) + 100 * u128::from(rank) + 1000 * u128::from(restart);
        let known = hello(Some(token), instance);
        self.say(Hello { role, rank, world_size: 3, restart, connection, in_hand, ..known });
    }

    fn say(&mut self, hello: Hello) {
        self.connections += 1;
        let connection = ConnectionNo(self.connections);
        self.input(Input::Hello { connection, job: JOB, hello: Box::new(hello), pid: 1 });
    }

    pub(super) fn perform(&mut self, op: Op) {
        let connection = |number| ConnectionNo(number);
        match op {
            Op::Answer => self.answer(),
            Op::Spawned(trainer) => self.spawned(TrainerNo(trainer)),
            Op::Hello { trainer, connection, in_hand: bits, own } => {
                self.hello(TrainerNo(trainer), connection, held(bits), own);
            }
            Op::Rank { trainer, rank, restart, connection, in_hand: bits } => {
                self.rank(trainer, rank, restart, connection, held(bits));
            }
            Op::Started(c, delivery) => self.input(Input::Started { connection: connection(c), delivery }),
            Op::Result { connection: c, delivery, outcome } => {
                let error = TrainerError {
                    fatal: outcome == 7,
                    restarts: delivery % 3 == 1,
                    ..TrainerError::default()
                };
                let outcome = match outcome {
                    0 | 1 => Outcome::Succeeded,
                    2 => Outcome::Stopped,
                    3 => returned(),
                    4 => Outcome::Retry { error, after: None },
                    5 => Outcome::Retry { error, after: Some(seconds(3)) },
                    _ => Outcome::Failed(error),
                };
                let delivery = Delivery(delivery);
                let result = TaskResult { delivery, seq: 1, outcome, metrics: Vec::new() };
                self.input(Input::Result { connection: connection(c), result });
            }
            Op::Checkpoint(c, delivery, seq) => {
                let at = CheckpointRef { path: "x".into(), step: Some(1), epoch: None };
                let checkpoint = Checkpoint { delivery: Delivery(delivery), seq, at, metrics: Vec::new() };
                self.input(Input::Checkpoint { connection: connection(c), checkpoint });
            }
            Op::Heartbeat(c, delivery) => {
                let heartbeat = Heartbeat { running: Some(Delivery(delivery)), progress_age: seconds(20) };
                self.input(Input::Heartbeat { connection: connection(c), heartbeat });
            }
            Op::Progress(c, delivery) => self.input(Input::Progress { connection: connection(c), delivery }),
            Op::Bye(c) => {
                let bye = Bye { code: "exiting".into(), text: String::new() };
                self.input(Input::Bye { connection: connection(c), bye });
            }
            Op::Quiet(c) => self.input(Input::Quiet { connection: connection(c) }),
            Op::Heard(c) => self.input(Input::Heard { connection: connection(c) }),
            Op::Disconnected(c) => {
                self.connected.remove(&connection(c));
                self.input(Input::Disconnected { connection: connection(c), code: None });
            }
            Op::Drained(c) => self.input(Input::Drained { connection: connection(c) }),
            Op::Exited { trainer, exit } => self.exit(TrainerNo(trainer), exit),
            Op::Stop { task, reason, kill } => {
                let reason = if reason { StopReason::Cancelled } else { StopReason::Interrupted };
                let task = (task > 0).then_some(TaskNo(task));
                self.input(Input::Stop { ticket: TICKET, job: JOB, task, reason, kill });
            }
            Op::Mismatch => self.input(Input::VersionMismatch { job: JOB, text: "old".into() }),
            Op::BindFailed if self.binds.is_empty() => {}
            Op::BindFailed => {
                let job = self.binds.remove(0);
                self.input(Input::BindFailed { job, code: "name_taken", text: String::new() });
            }
            Op::Pass(ms) => {
                self.now += Duration::from_millis(ms);
                self.input(Input::Timeout);
            }
            Op::Submit(tasks) => self.submit(spec(|_| {}), tasks),
            Op::Add { from, count, other } => self.add(from, count, other),
            Op::Gone if self.remains.is_empty() => {}
            Op::Gone => {
                let trainer = self.remains.remove(0);
                self.held.retain(|_, holder| *holder != trainer);
                self.input(Input::Gone { trainer });
            }
            Op::Forget => self.input(Input::Forget { job: JOB }),
            Op::Restart { lost } => self.restart(lost),
            Op::Spooled { delivery, outcome } => {
                let delivery_no = delivery;
                let delivery = Delivery(delivery);
                let outcome = if outcome { Outcome::Succeeded } else { returned() };
                let result = TaskResult { delivery, seq: 1, outcome, metrics: Vec::new() };
                let spooled = vec![Spooled::Result(result)];
                self.input(Input::Spooled { job: JOB, delivery: delivery_no, spooled });
            }
            Op::Requeue { tasks } => self.requeue(tasks),
            Op::Close => self.input(Input::Close { ticket: TICKET, job: JOB }),
        }
    }

    pub(super) fn submit(&mut self, spec: JobSpec, tasks: u8) {
        let tasks = (0..tasks).map(|number| task(&number.to_string())).collect();
        let job_id = JobId::new(&spec.job_id).unwrap();
        self.input(Input::Submit { ticket: TICKET, spec: Box::new(spec), tasks, job_id });
    }

    /// All are taken, if none of them is there with other content, or nothing changes.
    fn add(&mut self, from: u8, count: u8, other: bool) {
        let model = if other { "other" } else { "model" };
        let tasks: Vec<_> = (from..from + count)
            .map(|number| TaskBuilder::new(number.to_string(), model).build().unwrap())
            .collect();
        let Some(job) = self.scheduler.state().job(JOB) else { return };
        let known = |task: &VerifiedTask| job.task_ids.as_ref()?.get(task.task_id()).copied();
        let same = |task: TaskNo| *self.scheduler.state().task(task).unwrap().model_name == *model;
        let fits = tasks.iter().all(|task| known(task).map_or(job.open, same));
        let new = tasks.iter().filter(|task| known(task).is_none()).count();
        let before = self.scheduler.state().tasks.last();
        self.input(Input::Add { ticket: TICKET, job: JOB, tasks });
        let added = self.scheduler.state().tasks.last() - before;
        assert_eq!(added, if fits { new as u64 } else { 0 });
    }

    /// Those that are dead or stopped are taken, and no others.
    fn requeue(&mut self, chosen: u64) {
        let state = self.scheduler.state();
        let is_chosen = |number: &TaskNo| chosen >> (number.0 % 64) & 1 == 1;
        let Some(job) = state.job(JOB) else { return };
        let numbers: Vec<TaskNo> = job.tasks.iter().copied().filter(is_chosen).collect();
        let may = |number: &&TaskNo| {
            matches!(state.task(**number).unwrap().state, TaskState::Dead | TaskState::Stopped)
        };
        let expected = numbers.iter().filter(may).count();
        let tasks = numbers.iter().map(|number| (*number, task(&state.task(*number).unwrap().task_id)));
        let tasks = tasks.collect();
        let before = self.records.len();
        self.input(Input::Requeue { ticket: TICKET, job: JOB, tasks });
        let requeued =
            self.records[before..].iter().filter(|record| matches!(record, Record::Requeued { .. }));
        assert_eq!(requeued.count(), expected);
    }

    fn exit(&mut self, trainer: TrainerNo, exit: u8) {
        let exit = match exit {
            0 => code(0),
            1 => code(1),
            2 => sigkill(),
            3 => Exit::Unknown,
            _ => Exit::NotStarted { error: "no".into(), hopeless: false },
        };
        self.alive.remove(&trainer);
        self.spawns.retain(|spawn| *spawn != trainer);
        self.hellos.retain(|hello| *hello != trainer);
        self.input(Input::Exited { trainer, exit, log_tail: String::new(), failure: None });
    }

    /// Questions are answered, what runs dies or delivers, and time passes.
    pub(super) fn end_fairly(&mut self, exit: u8, succeed: bool) {
        self.perform(Op::Close);
        for _ in 0..1000 {
            while !(self.binds.is_empty() && self.spawns.is_empty() && self.hellos.is_empty()) {
                self.answer();
            }
            for connection in self.connected.clone() {
                let Some(trainer) = self.scheduler.trainer_of(connection) else { continue };
                let held = self.scheduler.state().trainer(trainer).unwrap().in_hand.clone();
                for delivery in held.into_iter().filter(|_| succeed) {
                    self.perform(Op::Result { connection: connection.0, delivery, outcome: 0 });
                }
            }
            // Also those that were never told of: started by hand.
            let trainers: Vec<_> =
                self.scheduler.state().jobs.iter().flat_map(|(_, job)| &job.trainers).copied().collect();
            for trainer in trainers {
                self.exit(trainer, exit);
            }
            while !self.remains.is_empty() {
                self.perform(Op::Gone);
            }
            while let Some(connection) = self.drains.pop() {
                self.input(Input::Drained { connection });
            }
            self.now += seconds(100);
            self.input(Input::Timeout);
            if self.scheduler.jobs.is_empty() && self.remains.is_empty() {
                return;
            }
        }
    }
}

/// What a Hello lists, by the bits of a number.
fn held(bits: u64) -> Vec<InHand> {
    let states = [InHandState::Queued, InHandState::Running, InHandState::Finished];
    let held = (0..8_u64).filter(|bit| bits >> bit & 1 == 1);
    held.map(|bit| in_hand(bit, states[(bit % 3) as usize])).collect()
}

fn scheduler() -> Scheduler {
    Scheduler::new(3).with_slots(["0", "1", "2"].map(str::to_owned).to_vec())
}
