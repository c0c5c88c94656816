//! The driver in miniature: collect inputs, handle each, commit the batch, perform its effects in order.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant, SystemTime};

use trainwire::Record;
use trainwire::record::{JobNo, TrainerNo};
use trainwire::scheduler::{
    Adoption, Answer, ConnectionNo, Decision, Effect, Input, Now, Scheduler, Signal, Ticket,
};
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter};
use trainwire_protocol::id::Token;
use trainwire_protocol::message::{AckKind, Place};
use trainwire_protocol::session::{OrchestratorEvent, OrchestratorSession, Timeouts};

use crate::bytes::{Fed, bytes_of, feed, reader};
use crate::disk::{Disk, Written};
use crate::random::Random;
use crate::reader::Promise;
use crate::trainer::Kind;
use crate::wire::{Read, Towards, Wire};

/// See the module.
pub(crate) struct Orchestrator {
    pub(crate) scheduler: Scheduler,
    connections: BTreeMap<ConnectionNo, Connection>,
    last_connection: u64,
    bound: BTreeMap<JobNo, String>,
    followups: VecDeque<Followup>,
    collecting: Group,
    committing: Option<(Group, Instant)>,
    /// A commit found no room.
    waits_for_room: bool,
    /// To be done by the world.
    pub(crate) orders: Vec<Order>,
}

struct Connection {
    session: OrchestratorSession,
    reader: FrameReader,
    writer: FrameWriter,
    wire: u64,
    job: JobNo,
    pid: i32,
    forward_heartbeats: bool,
}

#[derive(Default)]
struct Group {
    records: Vec<Record>,
    effects: Vec<Effect>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.effects.is_empty()
    }
}

enum Followup {
    Input(Input),
    Drain(ConnectionNo),
}

/// What the orchestrator has the operating system do.
#[derive(Debug)]
pub(crate) enum Order {
    Spawn {
        trainer: TrainerNo,
        job_id: String,
        token: Token,
        slots: Vec<String>,
        kind: Kind,
    },
    Signal {
        trainer: TrainerNo,
        signal: Signal,
    },
    /// It has ended; what is left of its group goes too.
    Forget {
        trainer: TrainerNo,
    },
    /// One that was started by hand is watched from now on.
    Watch {
        trainer: TrainerNo,
        pid: i32,
    },
    Unspool {
        job_id: String,
        delivery: u64,
    },
    Answer {
        ticket: Ticket,
        answer: Answer,
    },
}

/// What everything here happens in.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
    pub(crate) latency: Duration,
    pub(crate) random: &'a mut Random,
    pub(crate) wires: &'a mut BTreeMap<u64, Wire>,
    pub(crate) promises: &'a mut Vec<Promise>,
    pub(crate) log: &'a mut Option<Vec<String>>,
    pub(crate) events: &'a mut u64,
}

impl Surroundings<'_> {
    fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = self.log {
            log.push(line());
        }
    }
}

impl Orchestrator {
    pub(crate) fn new(scheduler: Scheduler, connections: u64) -> Self {
        Self {
            scheduler,
            connections: BTreeMap::new(),
            last_connection: connections,
            bound: BTreeMap::new(),
            followups: VecDeque::new(),
            collecting: Group::default(),
            committing: None,
            waits_for_room: false,
            orders: Vec::new(),
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        let sessions = self.connections.values().filter_map(|connection| connection.session.poll_timeout());
        let commit = self.committing.as_ref().map(|(_, due)| *due);
        sessions.chain(commit).chain(self.scheduler.poll_timeout()).min()
    }

    /// The wires it reads.
    pub(crate) fn wires(&self) -> impl Iterator<Item = u64> {
        self.connections.values().map(|connection| connection.wire)
    }

    pub(crate) fn listens(&self, job_id: &str) -> Option<JobNo> {
        self.bound.iter().find(|(_, bound)| *bound == job_id).map(|(job, _)| *job)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.committing.is_none() && self.collecting.is_empty()
    }

    pub(crate) fn last_connection(&self) -> u64 {
        self.last_connection
    }

    /// What is being written while it dies.
    pub(crate) fn under_way(self) -> Vec<Record> {
        self.committing.map(|(group, _)| group.records).unwrap_or_default()
    }

    /// Takes up what the records left unfinished.
    pub(crate) fn adopt(&mut self, around: &mut Surroundings<'_>, adoption: Adoption) {
        around.say(|| format!("adopt {adoption:?}"));
        let now = Now { monotonic: around.now, wall: around.wall };
        let decision = self.scheduler.adopt(now, adoption);
        self.decided(around, decision);
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.waits_for_room
    }

    pub(crate) fn accept(&mut self, around: &Surroundings<'_>, job: JobNo, wire: u64, pid: i32) {
        let Some(spec) = self.scheduler.state().job(job).map(|job| &job.spec) else { return };
        self.last_connection += 1;
        let timeouts = Timeouts { recv_timeout: spec.recv_timeout, ..Timeouts::default() };
        let connection = Connection {
            session: OrchestratorSession::new(around.now, timeouts),
            reader: reader(),
            writer: FrameWriter::default(),
            wire,
            job,
            pid,
            forward_heartbeats: spec.stall_timeout.is_some(),
        };
        self.connections.insert(ConnectionNo(self.last_connection), connection);
    }

    pub(crate) fn decide(&mut self, around: &mut Surroundings<'_>, input: Input) {
        *around.events += 1;
        around.say(|| format!("{input:?}"));
        let now = Now { monotonic: around.now, wall: around.wall };
        let decision = self.scheduler.handle(now, input);
        self.decided(around, decision);
    }

    fn decided(&mut self, around: &mut Surroundings<'_>, decision: Decision) {
        let Decision { records, effects } = decision;
        for record in &records {
            around.say(|| format!("    {record:?}"));
            if let Record::TrainerBound { trainer, pid, attached: true, .. } = record {
                self.orders.push(Order::Watch { trainer: *trainer, pid: *pid });
            }
        }
        self.collecting.records.extend(records);
        self.collecting.effects.extend(effects);
    }

    /// Everything there is to do at this instant; `false` if a commit failed, and with it the orchestrator.
    pub(crate) fn act(&mut self, around: &mut Surroundings<'_>, disk: &mut Disk) -> bool {
        let numbers: Vec<_> = self.connections.keys().copied().collect();
        for number in numbers {
            self.read(around, number, false);
            self.time_out(around, number);
        }
        if self.scheduler.poll_timeout().is_some_and(|at| at <= around.now) {
            self.decide(around, Input::Timeout);
        }
        if let Some((group, _)) = self.committing.take_if(|(_, due)| *due <= around.now) {
            match disk.commit(around.now, &group.records, around.random) {
                Written::Done => {
                    self.waits_for_room = false;
                    self.perform_all(around, group);
                }
                Written::NoRoom(again) => {
                    self.waits_for_room = true;
                    self.committing = Some((group, again));
                }
                Written::Failed => return false,
            }
        }
        self.settle(around, disk);
        true
    }

    fn settle(&mut self, around: &mut Surroundings<'_>, disk: &Disk) {
        loop {
            while let Some(followup) = self.followups.pop_front() {
                match followup {
                    Followup::Input(input) => self.decide(around, input),
                    Followup::Drain(connection) => {
                        self.read(around, connection, true);
                        self.decide(around, Input::Drained { connection });
                    }
                }
            }
            let wanted = self.scheduler.tokens_wanted();
            if wanted > 0 {
                let tokens = (0..wanted).map(|_| token(around.random)).collect();
                self.decide(around, Input::Tokens(tokens));
            }
            if self.committing.is_none() && !self.collecting.is_empty() {
                let group = mem::take(&mut self.collecting);
                if group.records.is_empty() {
                    self.perform_all(around, group);
                } else {
                    let due = around.now + disk.takes(around.random);
                    self.committing = Some((group, due));
                }
            }
            self.flush(around);
            if self.followups.is_empty() {
                return;
            }
        }
    }

    fn read(&mut self, around: &mut Surroundings<'_>, number: ConnectionNo, drain: bool) {
        while let Some(connection) = self.connections.get_mut(&number) {
            let Some(wire) = around.wires.get_mut(&connection.wire) else { return };
            match wire.read(around.now, Towards::Orchestrator, drain) {
                Read::Nothing => return,
                Read::End => return self.end(around, number),
                Read::Bytes(bytes) => {
                    let (now, session) = (around.now, &mut connection.session);
                    let handled = feed(&mut connection.reader, &bytes, |fed| match fed {
                        Fed::Frame(frame) => session.handle_frame(now, frame),
                        Fed::Partial => {
                            session.handle_partial(now);
                            Ok(())
                        }
                    });
                    assert!(handled.is_ok() || connection.session.is_over(), "{handled:?}");
                    self.take_events(around, number);
                }
            }
        }
    }

    fn time_out(&mut self, around: &mut Surroundings<'_>, number: ConnectionNo) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        // An error makes it over, which the next flush sees.
        let _ = connection.session.handle_timeout(around.now);
        self.take_events(around, number);
    }

    fn take_events(&mut self, around: &mut Surroundings<'_>, number: ConnectionNo) {
        let connection = number;
        while let Some(of) = self.connections.get_mut(&number) {
            let Some(event) = of.session.poll_event() else { return };
            let (job, pid, forward) = (of.job, of.pid, of.forward_heartbeats);
            let input = match event {
                OrchestratorEvent::Hello(hello) => {
                    Input::Hello { connection, job, hello: Box::new(hello), pid }
                }
                OrchestratorEvent::Started(delivery) => Input::Started { connection, delivery: delivery.0 },
                OrchestratorEvent::Report(report) => {
                    Input::Progress { connection, delivery: report.delivery.0 }
                }
                OrchestratorEvent::Checkpoint(checkpoint) => Input::Checkpoint { connection, checkpoint },
                OrchestratorEvent::Result(result) => Input::Result { connection, result },
                OrchestratorEvent::Heartbeat(heartbeat) if forward => {
                    Input::Heartbeat { connection, heartbeat }
                }
                OrchestratorEvent::Heartbeat(_) | OrchestratorEvent::Released(_) => continue,
                OrchestratorEvent::Bye(bye) => Input::Bye { connection, bye },
                OrchestratorEvent::Quiet => Input::Quiet { connection },
                OrchestratorEvent::Heard => Input::Heard { connection },
            };
            self.decide(around, input);
        }
    }

    fn end(&mut self, around: &mut Surroundings<'_>, number: ConnectionNo) {
        self.close(around, number);
        self.decide(around, Input::Disconnected { connection: number, code: None });
    }

    fn close(&mut self, around: &mut Surroundings<'_>, number: ConnectionNo) {
        let Some(mut connection) = self.connections.remove(&number) else { return };
        if let Some(wire) = around.wires.get_mut(&connection.wire) {
            let _ = connection.session.poll_transmit(around.now, &mut connection.writer);
            wire.write(around.now, around.latency, Towards::Trainer, bytes_of(&mut connection.writer));
            wire.close(around.now, Towards::Trainer);
        }
    }

    fn flush(&mut self, around: &mut Surroundings<'_>) {
        let mut over = Vec::new();
        for (number, connection) in &mut self.connections {
            let Some(wire) = around.wires.get_mut(&connection.wire) else { continue };
            let _ = connection.session.poll_transmit(around.now, &mut connection.writer);
            wire.write(around.now, around.latency, Towards::Trainer, bytes_of(&mut connection.writer));
            if connection.session.is_over() {
                over.push(*number);
            }
        }
        for number in over {
            self.end(around, number);
        }
    }

    fn perform_all(&mut self, around: &mut Surroundings<'_>, group: Group) {
        for effect in group.effects {
            around.say(|| format!("    > {effect:?}"));
            self.perform(around, effect);
        }
    }

    fn perform(&mut self, around: &mut Surroundings<'_>, effect: Effect) {
        let now = around.now;
        match effect {
            Effect::Answer { ticket, answer } => self.orders.push(Order::Answer { ticket, answer }),
            Effect::Bind { job } => {
                let Some(job_id) = self.job_id(job) else { return };
                let input = if around.random.chance(1) {
                    Input::BindFailed { job, code: "socket_name_taken", text: "somebody has it".to_owned() }
                } else {
                    self.bound.insert(job, job_id);
                    Input::Bound { job }
                };
                self.followups.push_back(Followup::Input(input));
            }
            Effect::Unbind { job } => drop(self.bound.remove(&job)),
            Effect::Spawn { trainer, job, token, slots, script_task } => {
                let Some(job_id) = self.job_id(job) else { return };
                // Some scripts know trainwire after all.
                let kind = match script_task {
                    None => Kind::Trainer,
                    Some(_) if around.random.chance(60) => Kind::Script,
                    Some(_) => Kind::ScriptThatConnects,
                };
                self.orders.push(Order::Spawn { trainer, job_id, token, slots, kind });
            }
            Effect::Welcome { connection, welcome } => {
                let trainer = self.scheduler.trainer_of(connection);
                let pid = self.connections.get(&connection).map(|connection| connection.pid);
                let is_attached = |trainer: &TrainerNo| {
                    self.scheduler.state().trainer(*trainer).is_some_and(|trainer| trainer.is_attached())
                };
                // After a restart its death would be no news else.
                if let (Some(trainer), Some(pid)) = (trainer.filter(is_attached), pid) {
                    self.orders.push(Order::Watch { trainer, pid });
                }
                self.on(connection, |session| session.welcome(now, (*welcome).clone()));
            }
            Effect::Refuse { connection, refused } => {
                self.on(connection, |session| session.refuse(refused.clone()));
            }
            Effect::Deliver { connection, task, mut deliver } => {
                let Some(payload) = self.scheduler.payload(task) else { return };
                let bytes = payload.as_bytes().clone();
                deliver.task_size = bytes.len() as u64;
                deliver.place = Place::Inline;
                self.on(connection, |session| {
                    session.deliver((*deliver).clone(), DeliverPayload::Inline(bytes.clone()));
                });
            }
            Effect::Ack { connection, entry } => {
                let (delivery, seq) = (entry.delivery.0, entry.seq);
                around.promises.push(match entry.kind {
                    AckKind::Stored => Promise::Stored { delivery, seq },
                    AckKind::Superseded => Promise::Superseded { delivery, seq },
                });
                self.on(connection, |session| session.ack(entry));
            }
            Effect::Stop { connection, stop } => self.on(connection, |session| session.stop(stop.clone())),
            Effect::Bye { connection, bye } => self.on(connection, |session| session.bye(bye.clone())),
            Effect::Close { connection } => self.close(around, connection),
            Effect::Unspool { job, delivery } => {
                let Some(job_id) = self.job_id(job) else { return };
                self.orders.push(Order::Unspool { job_id, delivery });
            }
            Effect::Drain { connection } => self.followups.push_back(Followup::Drain(connection)),
            Effect::Signal { trainer, signal } => self.orders.push(Order::Signal { trainer, signal }),
            Effect::Forget { trainer } => self.orders.push(Order::Forget { trainer }),
            // No trainer here leaves anything in a spool.
        }
    }

    fn on(&mut self, connection: ConnectionNo, tell: impl FnOnce(&mut OrchestratorSession)) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            tell(&mut connection.session);
        }
    }

    fn job_id(&self, job: JobNo) -> Option<String> {
        self.scheduler.state().job(job).map(|job| job.spec.job_id.clone())
    }
}

fn token(random: &mut Random) -> Token {
    let mut token = [0; 16];
    token[..8].copy_from_slice(&random.next().to_le_bytes());
    token[8..].copy_from_slice(&random.next().to_le_bytes());
    Token(token)
}
