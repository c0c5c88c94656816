//! Both ends with somebody behind them: a scheduler in miniature that hands out tasks, and a trainer's
//! code in miniature that works them off. Whatever happens to the connections, in the end every task
//! must have been run once and its result be here.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{
    AckEntry, AckKind, CheckpointRef, Hello, Metric, MetricValue, Outcome, TaskResult, TrainerError,
};
use trainwire_protocol::session::{OrchestratorEvent, Row, RowBuffer, RowLimits, TrainerEvent};

use crate::pair::{Pair, ms, seconds, welcome};
use crate::pipe::{Cut, Towards};

pub(crate) struct Dialogue {
    pub(crate) pair: Pair,
    pub(crate) window: usize,
    /// For how long the trainer's code has each task.
    pub(crate) task_duration: Duration,
    /// Of the next connections, in order; later ones are not cut.
    pub(crate) cuts: VecDeque<Cut>,
    tasks: Vec<Task>,
    next_delivery: u64,
    /// Checkpoints by delivery and sequence number.
    checkpoints: BTreeMap<(Delivery, u64), CheckpointRef>,
    /// Rows that came and rows that were left out, by task.
    rows: BTreeMap<u64, u64>,
    queue: VecDeque<(Delivery, u64)>,
    running: Option<(Delivery, u64, Instant)>,
    /// Which tasks the trainer's code was given, in order.
    pub(crate) started: Vec<u64>,
    reconnect_at: Option<Instant>,
}

enum Task {
    Queued,
    Delivered(Delivery),
    Done(TaskResult),
}

/// What has to be the same, however often the connection was lost.
#[derive(Debug, PartialEq)]
pub(crate) struct Conclusion {
    /// Outcome and metrics of each task.
    results: Vec<(Outcome, Vec<Metric>)>,
    checkpoints: Vec<CheckpointRef>,
    /// The tasks the trainer's code was given, in order of their numbers.
    started: Vec<u64>,
}

impl Dialogue {
    pub(crate) fn new(tasks: usize, window: usize) -> Self {
        let mut pair = Pair::new();
        pair.connect(None);
        Self {
            pair,
            window,
            task_duration: ms(20),
            cuts: VecDeque::new(),
            tasks: (0..tasks).map(|_| Task::Queued).collect(),
            next_delivery: 1,
            checkpoints: BTreeMap::new(),
            rows: BTreeMap::new(),
            queue: VecDeque::new(),
            running: None,
            started: Vec::new(),
            reconnect_at: None,
        }
    }

    /// Starts over with connections that are cut like this.
    pub(crate) fn cut(mut self, cuts: impl IntoIterator<Item = Cut>) -> Self {
        self.cuts.extend(cuts);
        let first = self.cuts.pop_front();
        self.pair.connect(first);
        self
    }

    /// Runs until everything is done and acknowledged.
    pub(crate) fn conclude(&mut self) -> Conclusion {
        let deadline = self.pair.now + seconds(3_600);
        while !self.is_concluded() {
            assert!(self.pair.now < deadline, "the dialogue does not come to an end");
            self.pair.act();
            self.schedule();
            self.train();
            self.pair.act();
            let timer = [self.running.map(|(_, _, ends_at)| ends_at), self.reconnect_at];
            let until = timer.into_iter().flatten().min().unwrap_or(self.pair.now + seconds(1));
            self.pair.step(until);
        }
        self.conclusion()
    }

    pub(crate) fn arrived_bytes(&self, towards: Towards) -> u64 {
        self.pair.arrived_bytes(towards)
    }

    fn is_concluded(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task, Task::Done(_)))
            && self.pair.trainer.session.unacknowledged().next().is_none()
    }

    fn conclusion(&self) -> Conclusion {
        let result = |task: &Task| match task {
            Task::Done(result) => (result.outcome.clone(), result.metrics.clone()),
            Task::Queued | Task::Delivered(_) => panic!("not concluded"),
        };
        let mut started = self.started.clone();
        started.sort_unstable();
        let mut checkpoints: Vec<_> = self.checkpoints.values().cloned().collect();
        checkpoints.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(self.pair.trainer.errors, []);
        assert_eq!(self.pair.orchestrator.errors, []);
        Conclusion { results: self.tasks.iter().map(result).collect(), checkpoints, started }
    }

    /// The orchestrator's side: one decision an event.
    fn schedule(&mut self) {
        for event in self.pair.orchestrator_events() {
            match event {
                OrchestratorEvent::Hello(hello) => self.admit(&hello),
                OrchestratorEvent::Result(result) => self.take_result(result),
                OrchestratorEvent::Checkpoint(checkpoint) => {
                    let (delivery, seq) = (checkpoint.delivery, checkpoint.seq);
                    let known = self.checkpoints.insert((delivery, seq), checkpoint.at.clone());
                    assert!(
                        known.is_none_or(|known| known == checkpoint.at),
                        "the same number, another checkpoint"
                    );
                    self.pair.orchestrator.session.ack(AckEntry { delivery, seq, kind: AckKind::Stored });
                }
                OrchestratorEvent::Report(report) => {
                    if let Some(task) = self.task_of(report.delivery) {
                        *self.rows.entry(task as u64).or_default() +=
                            report.times_us.len() as u64 + report.thinned;
                    }
                }
                _ => {}
            }
        }
        if self.pair.trainer.session.is_open() {
            self.hand_out();
        }
    }

    fn admit(&mut self, hello: &Hello) {
        let listed = |delivery: Delivery| hello.in_hand.iter().any(|in_hand| in_hand.delivery == delivery);
        for task in &mut self.tasks {
            if matches!(task, Task::Delivered(delivery) if !listed(*delivery)) {
                *task = Task::Queued;
            }
        }
        let keep = |delivery| (delivery, self.task_of(delivery).is_some());
        let in_hand = hello.in_hand.iter().map(|in_hand| keep(in_hand.delivery)).collect();
        self.pair.orchestrator.session.welcome(self.pair.now, welcome(in_hand));
    }

    fn take_result(&mut self, result: TaskResult) {
        let (delivery, seq) = (result.delivery, result.seq);
        let kind = match self.task_of(delivery) {
            Some(task) => {
                self.tasks[task] = Task::Done(result);
                AckKind::Stored
            }
            None => AckKind::Superseded,
        };
        self.pair.orchestrator.session.ack(AckEntry { delivery, seq, kind });
    }

    fn hand_out(&mut self) {
        let out = self.tasks.iter().filter(|task| matches!(task, Task::Delivered(_))).count();
        for task in 0..self.tasks.len() {
            let busy = self.tasks.iter().filter(|task| matches!(task, Task::Delivered(_))).count();
            if busy >= self.window.max(out) {
                return;
            }
            if matches!(self.tasks[task], Task::Queued) {
                self.pair.deliver(self.next_delivery, task as u64);
                self.tasks[task] = Task::Delivered(Delivery(self.next_delivery));
                self.next_delivery += 1;
            }
        }
    }

    fn task_of(&self, delivery: Delivery) -> Option<usize> {
        self.tasks.iter().position(|task| matches!(task, Task::Delivered(current) if *current == delivery))
    }

    /// The trainer's side: the code that trains, and its reconnects.
    fn train(&mut self) {
        for event in self.pair.trainer_events() {
            match event {
                TrainerEvent::Delivered(delivered) => {
                    let bytes = delivered.inline.expect("all tasks travel inline");
                    let task = u64::from_le_bytes(bytes.as_ref().try_into().expect("eight bytes"));
                    self.queue.push_back((delivered.deliver.delivery, task));
                }
                TrainerEvent::Refused(refused) => panic!("{refused:?}"),
                _ => {}
            }
        }
        let now = self.pair.now;
        if let Some((delivery, task, ends_at)) = self.running
            && ends_at <= now
        {
            self.running = None;
            self.end(delivery, task);
        }
        if self.running.is_none() && self.pair.trainer.session.may_take_more() {
            self.begin();
        }
        if self.pair.is_connected() {
            self.reconnect_at = None;
        } else if self.reconnect_at.is_some_and(|at| at <= now) {
            let cut = self.cuts.pop_front();
            self.pair.connect(cut);
        } else {
            self.reconnect_at.get_or_insert(now + ms(50));
        }
    }

    fn begin(&mut self) {
        while let Some((delivery, task)) = self.queue.pop_front() {
            if self.pair.trainer.session.start(self.pair.now, delivery) {
                self.started.push(task);
                self.running = Some((delivery, task, self.pair.now + self.task_duration));
                return;
            }
        }
    }

    fn end(&mut self, delivery: Delivery, task: u64) {
        let (now, session) = (self.pair.now, &mut self.pair.trainer.session);
        for epoch in 0..3 {
            let metrics = [("val/loss", 1.0 / f64::from(epoch + 1))];
            let mut rows = RowBuffer::new(RowLimits::default());
            rows.push_row(
                delivery,
                Row { time_us: 1, step: None, epoch: Some(epoch.into()), metrics: &metrics },
            );
            session.report(now, &mut rows);
        }
        let at = CheckpointRef { path: format!("task-{task}"), step: Some(3), epoch: None };
        session.checkpoint(now, delivery, at, Vec::new()).unwrap();
        let outcome = match task % 3 {
            2 => Outcome::Failed(TrainerError { kind: "ValueError".to_owned(), ..TrainerError::default() }),
            _ => Outcome::Succeeded,
        };
        let answer = Metric { name: "answer".to_owned(), value: MetricValue::Number(task as f64) };
        session.finish(now, delivery, outcome, vec![answer]).unwrap();
    }

    /// Rows of a task, those left out counted as well.
    pub(crate) fn rows(&self, task: u64) -> u64 {
        self.rows.get(&task).copied().unwrap_or(0)
    }
}
