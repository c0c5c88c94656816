//! A trainer's process: its Session, its code, and how it comes to its end.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use trainwire::JobId;
use trainwire::record::Exit;
use trainwire_protocol::frame::{FrameReader, FrameWriter};
use trainwire_protocol::id::{Delivery, Instance, Token};
use trainwire_protocol::message::{
    AckEntry, Bye, CheckpointRef, FromTrainer, Outcome, Role, Stop, TrainerError,
};
use trainwire_protocol::session::{
    Identity, OutboxLimits, Row, RowBuffer, RowLimits, TrainerEvent, TrainerSession,
};
use trainwire_protocol::task::VerifiedTask;

use crate::bytes::{Fed, bytes_of, feed, reader};
use crate::random::Random;
use crate::wire::{Read, Towards, Wire};

/// A process of its own: it outlives the orchestrator.
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) job_id: String,
    /// In its environment, and in that of all it starts.
    pub(crate) token: Option<Token>,
    session: TrainerSession,
    reader: FrameReader,
    writer: FrameWriter,
    pub(crate) wire: Option<u64>,
    connect_at: Option<Instant>,
    refused_connects: u32,
    /// Delivered, and not with its code yet.
    queue: VecDeque<(Delivery, String)>,
    code: Option<Code>,
    /// It takes no more work.
    leaving: bool,
    /// Neither reads nor writes nor ends, but by SIGKILL.
    frozen_until: Option<Instant>,
    /// It ends then, like this.
    quits: Option<(Instant, Exit)>,
    pub(crate) dead: Option<(Instant, Exit)>,
    ignores_term: bool,
}

/// The trainer's code, working on a task.
struct Code {
    delivery: Delivery,
    task_id: String,
    /// What it does when, latest first.
    plan: Vec<(Instant, Deed)>,
    /// It ends when it sees a Stop.
    obeys: bool,
    /// Its result, until that is acknowledged.
    result_seq: Option<u64>,
    /// Nobody waits for its result.
    dropped: bool,
}

#[derive(Clone, Debug)]
enum Deed {
    Report,
    Checkpoint,
    Finish(Outcome),
    Exit(Exit),
}

/// What was started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Trainer,
    /// Nobody but people starts it again.
    ByHand,
    /// It knows nothing of trainwire, and works on the task it was started for.
    Script,
    ScriptThatConnects,
}

/// What the trainer's code and its owner see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Began {
        task_id: String,
    },
    /// The code is through with it, or need not go on.
    Over {
        task_id: String,
    },
    Acknowledged(AckEntry),
    /// What nobody would take, on the disk.
    Spooled(Vec<FromTrainer>),
}

impl Process {
    pub(crate) fn new(
        pid: i32,
        job_id: &str,
        token: Option<Token>,
        kind: Kind,
        now: Instant,
        random: &mut Random,
    ) -> Self {
        let identity = Identity {
            job_id: JobId::new(job_id).expect("an id"),
            token,
            instance: Instance(u128::from(random.next()) << 32 | u128::from(pid.unsigned_abs())),
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: "simulated".to_owned(),
            can_dump_stacks: random.chance(50),
        };
        let quits = match kind {
            Kind::Script => {
                let exit = if random.chance(60) { Exit::Code { code: 0 } } else { exit(random) };
                Some((now + random.ms(10, 30_000), exit))
            }
            _ if random.chance(3) => Some((now + random.ms(1, 4_000), exit(random))),
            _ => None,
        };
        // Some never get so far.
        let connects = quits.is_none() && !(kind == Kind::Trainer && random.chance(1));
        Self {
            pid,
            job_id: job_id.to_owned(),
            token,
            session: TrainerSession::new(identity, OutboxLimits::default()),
            reader: reader(),
            writer: FrameWriter::default(),
            wire: None,
            connect_at: connects.then(|| now + random.ms(20, 3_000)),
            refused_connects: 0,
            queue: VecDeque::new(),
            code: None,
            leaving: false,
            frozen_until: None,
            quits,
            dead: None,
            ignores_term: random.chance(20),
        }
    }

    /// When something is to be done, if nothing comes.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.dead.is_some() {
            return None;
        }
        if self.frozen_until.is_some() {
            return self.frozen_until;
        }
        let deed = self.code.as_ref().and_then(|code| code.plan.last()).map(|(at, _)| *at);
        let quits = self.quits.as_ref().map(|(at, _)| *at);
        [self.session.poll_timeout(), self.connect_at, deed, quits].into_iter().flatten().min()
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen_until.is_some()
    }

    /// Its code works on this task, and somebody waits for the result.
    pub(crate) fn runs(&self, job_id: &str, task_id: &str) -> bool {
        let has = |code: &Code| code.task_id == task_id && code.result_seq.is_none();
        self.dead.is_none() && self.job_id == job_id && self.code.as_ref().is_some_and(has)
    }

    pub(crate) fn wants_connection(&self, now: Instant) -> bool {
        self.dead.is_none() && !self.is_frozen() && self.connect_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn connected(&mut self, now: Instant, wire: u64) {
        self.connect_at = None;
        self.refused_connects = 0;
        self.wire = Some(wire);
        self.reader = reader();
        self.writer.clear();
        self.session.connected(now);
    }

    /// Nobody listens.
    pub(crate) fn not_connected(&mut self, now: Instant, random: &mut Random) {
        self.connect_at = Some(now + random.ms(50, 1_000));
        self.refused_connects += 1;
        // As with any limit of this kind, nobody is left to care.
        if self.refused_connects > CONNECTS_MAX {
            self.quits.get_or_insert((now, Exit::Code { code: 1 }));
        }
    }

    pub(crate) fn freeze(&mut self, until: Instant) {
        self.frozen_until = Some(until);
    }

    pub(crate) fn terminate(&mut self, now: Instant, random: &mut Random) {
        if !self.ignores_term && self.quits.is_none() {
            self.quits = Some((now + random.ms(1, 300), signal(15)));
        }
    }

    /// SIGKILL. Some take long to go: the kernel waits for a device.
    pub(crate) fn kill(&mut self, now: Instant, random: &mut Random) {
        self.frozen_until = None;
        let after = if random.chance(3) { random.ms(25_000, 50_000) } else { random.ms(0, 20) };
        let at = self.quits.take().map_or(now + after, |(at, _)| at.min(now + after));
        self.quits = Some((at, signal(9)));
        self.code = None;
        self.connect_at = None;
    }

    /// It says that it takes no more work, and goes once it is through.
    pub(crate) fn leave(&mut self) {
        if !self.leaving {
            self.leaving = true;
            self.session.bye(Bye { code: "leaving".to_owned(), text: String::new() });
        }
    }

    /// The next thing it does; `false` if there was nothing.
    pub(crate) fn act(
        &mut self,
        now: Instant,
        wires: &mut BTreeMap<u64, Wire>,
        latency: Duration,
        random: &mut Random,
        seen: &mut Vec<Seen>,
    ) {
        if self.dead.is_some() || self.frozen_until.is_some_and(|until| until > now) {
            return;
        }
        self.frozen_until = None;
        if self.quits.as_ref().is_some_and(|(at, _)| *at <= now) {
            let (_, exit) = self.quits.take().expect("it quits");
            self.transmit(now, wires, latency);
            return self.die(now, exit, wires, seen);
        }
        self.read(now, wires, random);
        if let Err(error) = self.session.handle_timeout(now) {
            self.session.handle_error(now, error);
            self.transmit(now, wires, latency);
            self.hang_up(now, wires, random);
        }
        self.take_events(now, wires, random, seen);
        self.work(now, random, seen);
        self.transmit(now, wires, latency);
    }

    fn read(&mut self, now: Instant, wires: &mut BTreeMap<u64, Wire>, random: &mut Random) {
        while let Some(wire) = self.wire.and_then(|wire| wires.get_mut(&wire)) {
            match wire.read(now, Towards::Trainer, false) {
                Read::Nothing => return,
                Read::End => self.hang_up(now, wires, random),
                Read::Bytes(bytes) => {
                    let session = &mut self.session;
                    let handled = feed(&mut self.reader, &bytes, |fed| match fed {
                        Fed::Frame(frame) => session.handle_frame(now, frame),
                        Fed::Partial => {
                            session.handle_partial(now);
                            Ok(())
                        }
                    });
                    handled.expect("the orchestrator keeps to the protocol");
                }
            }
        }
    }

    fn hang_up(&mut self, now: Instant, wires: &mut BTreeMap<u64, Wire>, random: &mut Random) {
        if let Some(wire) = self.wire.take().and_then(|wire| wires.get_mut(&wire)) {
            wire.close(now, Towards::Orchestrator);
            self.session.disconnected(now);
        }
        if self.quits.is_none() {
            self.connect_at = Some(now + random.ms(50, 1_000));
        }
    }

    fn take_events(
        &mut self,
        now: Instant,
        wires: &mut BTreeMap<u64, Wire>,
        random: &mut Random,
        seen: &mut Vec<Seen>,
    ) {
        while let Some(event) = self.session.poll_event() {
            match event {
                TrainerEvent::Delivered(delivered) => {
                    let bytes = delivered.inline.expect("tasks travel inline");
                    let task = VerifiedTask::verify(bytes).expect("a task");
                    self.queue.push_back((delivered.deliver.delivery, task.task_id().to_owned()));
                }
                TrainerEvent::Stop(stop) => self.stop(now, &stop, random),
                TrainerEvent::Acknowledged(entry) => {
                    seen.push(Seen::Acknowledged(entry));
                    let done = |code: &mut Code| {
                        code.delivery == entry.delivery && code.result_seq == Some(entry.seq)
                    };
                    self.code.take_if(done);
                }
                TrainerEvent::Dropped(delivery) => {
                    self.queue.retain(|(queued, _)| *queued != delivery);
                    if let Some(code) = self.code.as_mut().filter(|code| code.delivery == delivery) {
                        code.dropped = true;
                        seen.push(Seen::Over { task_id: code.task_id.clone() });
                    }
                    self.code.take_if(|code| code.delivery == delivery);
                }
                TrainerEvent::Refused(refused) => {
                    if !refused.retry_later {
                        self.quits = Some((now + random.ms(0, 100), Exit::Code { code: 1 }));
                    }
                    self.hang_up(now, wires, random);
                }
                TrainerEvent::Quiet => self.hang_up(now, wires, random),
                TrainerEvent::Bye(_) => self.leaving = true,
                TrainerEvent::Orphaned => self.give_up(now, wires, random, seen),
                TrainerEvent::Welcomed(_) | TrainerEvent::Heard | TrainerEvent::Slab(_) => {}
            }
        }
    }

    /// There has been no orchestrator for too long: it ends, and leaves what it has for the next.
    fn give_up(
        &mut self,
        now: Instant,
        wires: &mut BTreeMap<u64, Wire>,
        random: &mut Random,
        seen: &mut Vec<Seen>,
    ) {
        self.hang_up(now, wires, random);
        if let Some(code) = self.code.take().filter(|code| code.result_seq.is_none()) {
            seen.push(Seen::Over { task_id: code.task_id });
            let outcome = if code.obeys { Outcome::Stopped } else { Outcome::Succeeded };
            self.session.finish(now, code.delivery, outcome, Vec::new()).expect("it fits");
        }
        seen.push(Seen::Spooled(self.session.unacknowledged().cloned().collect()));
        self.session.forget_unacknowledged();
        self.connect_at = None;
        self.quits.get_or_insert((now + random.ms(0, 1_000), Exit::Code { code: 0 }));
    }

    /// The power fails.
    pub(crate) fn vanish(&mut self, now: Instant) {
        self.wire = None;
        self.code = None;
        self.dead.get_or_insert((now, Exit::Unknown));
    }

    fn stop(&mut self, now: Instant, stop: &Stop, random: &mut Random) {
        let Some(code) = self.code.as_mut() else { return };
        if code.delivery == stop.delivery && code.obeys && code.result_seq.is_none() {
            let at = now + random.ms(1, 3_000);
            code.plan.retain(|(planned, _)| *planned <= at);
            code.plan.splice(0..0, [(at, Deed::Finish(Outcome::Stopped))]);
        }
    }

    fn work(&mut self, now: Instant, random: &mut Random, seen: &mut Vec<Seen>) {
        while let Some(code) = self.code.as_mut() {
            let Some((_, deed)) = code.plan.pop_if(|(at, _)| *at <= now) else { return };
            let delivery = code.delivery;
            match deed {
                Deed::Report => {
                    let mut rows = RowBuffer::new(RowLimits::default());
                    let metrics = [("loss", 0.5)];
                    rows.push_row(
                        delivery,
                        Row { time_us: 1, step: Some(1), epoch: None, metrics: &metrics },
                    );
                    self.session.report(now, &mut rows);
                }
                Deed::Checkpoint => {
                    let at = CheckpointRef { path: format!("{}.pt", code.task_id), step: None, epoch: None };
                    self.session.checkpoint(now, delivery, at, Vec::new()).expect("it fits");
                }
                Deed::Finish(outcome) => {
                    seen.push(Seen::Over { task_id: code.task_id.clone() });
                    code.plan.clear();
                    code.result_seq =
                        self.session.finish(now, delivery, outcome, Vec::new()).expect("it fits");
                    if code.result_seq.is_none() {
                        self.code = None;
                    }
                }
                Deed::Exit(exit) => {
                    code.plan.clear();
                    self.quits = Some((now, exit));
                }
            }
        }
        if self.quits.is_some() {
            return;
        }
        while let Some((delivery, task_id)) = self.queue.pop_front() {
            if self.session.start(now, delivery) {
                seen.push(Seen::Began { task_id: task_id.clone() });
                self.code = Some(Code::new(delivery, task_id, now, random));
                return;
            }
        }
        if self.leaving && self.session.unacknowledged().next().is_none() {
            self.quits = Some((now + random.ms(0, 500), Exit::Code { code: 0 }));
        }
    }

    fn transmit(&mut self, now: Instant, wires: &mut BTreeMap<u64, Wire>, latency: Duration) {
        if let Some(wire) = self.wire.and_then(|wire| wires.get_mut(&wire)) {
            self.session.poll_transmit(now, &mut self.writer).expect("it fits");
            wire.write(now, latency, Towards::Orchestrator, bytes_of(&mut self.writer));
        }
    }

    fn die(&mut self, now: Instant, exit: Exit, wires: &mut BTreeMap<u64, Wire>, seen: &mut Vec<Seen>) {
        if let Some(code) = self.code.take() {
            seen.push(Seen::Over { task_id: code.task_id });
        }
        if let Some(wire) = self.wire.take().and_then(|wire| wires.get_mut(&wire)) {
            wire.close(now, Towards::Orchestrator);
        }
        self.dead = Some((now, exit));
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let task_id = self.code.as_ref().map(|code| &code.task_id);
        let (pid, job_id, wire) = (self.pid, &self.job_id, self.wire);
        write!(f, "process {pid} of {job_id} on {wire:?} with {task_id:?}, quits {:?}", self.quits)
    }
}

impl Code {
    fn new(delivery: Delivery, task_id: String, now: Instant, random: &mut Random) -> Self {
        let mut at = now + random.ms(0, 50);
        let mut plan = Vec::new();
        let pause = if random.chance(50) { 50 } else { 8_000 };
        for _ in 0..random.below(5) {
            plan.push((at, if random.chance(50) { Deed::Report } else { Deed::Checkpoint }));
            at += random.ms(1, pause);
        }
        // It hangs for so long that somebody may lose patience.
        if random.chance(5) {
            at += random.ms(30_000, 600_000);
        }
        let error = || TrainerError { kind: "ValueError".to_owned(), ..TrainerError::default() };
        plan.push((
            at,
            match random.below(20) {
                0..12 => Deed::Finish(Outcome::Succeeded),
                12..14 => Deed::Finish(Outcome::Failed(error())),
                14 => Deed::Finish(Outcome::Retry {
                    error: error(),
                    after: random.chance(50).then(|| random.ms(0, 5_000)),
                }),
                15..17 => Deed::Exit(signal(9)),
                17 => Deed::Exit(Exit::Code { code: 0 }),
                18 => Deed::Exit(Exit::Code { code: 3 }),
                _ => Deed::Exit(signal(11)),
            },
        ));
        plan.reverse();
        Self { delivery, task_id, plan, obeys: random.chance(80), result_seq: None, dropped: false }
    }
}

fn exit(random: &mut Random) -> Exit {
    match random.below(3) {
        0 => Exit::Code { code: 1 },
        1 => signal(9),
        _ => Exit::Code { code: 0 },
    }
}

fn signal(signal: i32) -> Exit {
    Exit::Signal { signal, core_dumped: false, out_of_memory: false }
}

/// In vain, one after the other: ten minutes at the least.
const CONNECTS_MAX: u32 = 1_200;
