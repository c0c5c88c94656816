//! Everything together, under a clock that only moves when nothing is left to do.

mod mischief;
mod processes;
mod restart;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trainwire::Record;
use trainwire::record::TrainerNo;
use trainwire::scheduler::{Input, Scheduler, Signal, Ticket};
use trainwire_protocol::id::Token;
use trainwire_protocol::message::FromTrainer;

use crate::chaos::Mischief;
use crate::client::Client;
use crate::disk::Disk;
use crate::orchestrator::{Orchestrator, Order, Surroundings};
use crate::random::Random;
use crate::reader::{Promise, Reader};
use crate::trainer::{Kind, Process};
use crate::wire::{Towards, Wire};
use restart::Death;

/// See the module.
pub(crate) struct World {
    seed: u64,
    started: Instant,
    now: Instant,
    wall: SystemTime,
    latency: Duration,
    pace_ms: u64,
    /// When something goes wrong next; `None` once it is quiet.
    mischief_at: Option<Instant>,
    /// Inputs so far.
    events: u64,
    /// From here on nothing goes wrong, and nobody new comes.
    events_max: u64,
    random: Random,
    orchestrator: Orchestrator,
    disk: Disk,
    /// There is no orchestrator until then.
    down_until: Option<Instant>,
    /// What trainers could get nobody to acknowledge, by job and delivery.
    spool: BTreeMap<(String, u64), Vec<FromTrainer>>,
    /// Of all trainers that were started.
    tokens: BTreeMap<TrainerNo, Token>,
    wires: BTreeMap<u64, Wire>,
    last_wire: u64,
    processes: BTreeMap<i32, Process>,
    last_pid: i32,
    starting: Vec<Starting>,
    /// Whose remains are being removed, until when.
    going: Vec<(Instant, TrainerNo)>,
    /// As given out, until nothing is left of their holders.
    slots: BTreeMap<String, TrainerNo>,
    /// Whose death the orchestrator is told of.
    watched: BTreeMap<TrainerNo, i32>,
    clients: Vec<Client>,
    last_ticket: u64,
    promises: Vec<Promise>,
    log: Option<Vec<String>>,
}

/// A process that is being started.
struct Starting {
    at: Instant,
    trainer: TrainerNo,
    job_id: String,
    token: Token,
    kind: Kind,
    signal: Option<Signal>,
}

/// What a run was.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) events: u64,
    pub(crate) records: Vec<Record>,
}

impl World {
    pub(crate) fn new(seed: u64, told: bool) -> Self {
        let mut random = Random::new(seed);
        let now = Instant::now();
        let pace_ms = random.pick(&[200, 2_000, 20_000]).unwrap_or(2_000);
        let mut world = Self {
            seed,
            started: now,
            now,
            wall: UNIX_EPOCH,
            latency: random.ms(0, 20),
            pace_ms,
            mischief_at: Some(now + random.ms(1, pace_ms)),
            events: 0,
            events_max: 1_000,
            orchestrator: Orchestrator::new(scheduler(&mut random), 0),
            disk: Disk::new(3),
            down_until: None,
            spool: BTreeMap::new(),
            tokens: BTreeMap::new(),
            wires: BTreeMap::new(),
            last_wire: 0,
            processes: BTreeMap::new(),
            last_pid: 100,
            starting: Vec::new(),
            going: Vec::new(),
            slots: BTreeMap::new(),
            watched: BTreeMap::new(),
            clients: Vec::new(),
            last_ticket: 0,
            promises: Vec::new(),
            log: told.then(Vec::new),
            random,
        };
        world.decide(Input::Tokens(Vec::new()));
        world
    }

    /// To the end of everything.
    pub(crate) fn run(mut self) -> Ran {
        let told = Told(self.log.is_some());
        let mut calm_since = None;
        let mut turns_here = 0;
        loop {
            self.turn();
            self.tell(&told);
            if self.events >= self.events_max {
                let since = *calm_since.get_or_insert(self.now);
                self.mischief_at = None;
                assert!(
                    self.now < since + PATIENCE,
                    "seed {}: it does not come to an end: {:?} {:?}",
                    self.seed,
                    self.clients,
                    self.processes.values().filter(|process| process.dead.is_none()).collect::<Vec<_>>()
                );
                if self.is_over() {
                    break;
                }
            }
            let next = self.next();
            turns_here = if next > self.now { 0 } else { turns_here + 1 };
            assert!(turns_here < 1_000, "seed {}: it spins", self.seed);
            self.now = self.now.max(next);
        }
        self.check();
        Ran { events: self.events, records: self.disk.records }
    }

    /// Everything that is to be done at this instant, once.
    fn turn(&mut self) {
        if self.mischief_at.is_some_and(|at| at <= self.now) {
            self.mischief_at = Some(Mischief::next(self.now, self.pace_ms, &mut self.random));
            let mischief = Mischief::pick(&mut self.random);
            self.happen(mischief);
        }
        if self.down_until.is_some_and(|until| until <= self.now) {
            self.rise();
        }
        if self.down_until.is_none() {
            self.come_and_go();
            self.start_processes();
        }
        self.connect();
        if self.down_until.is_none() {
            self.orchestrate();
        }
        self.act();
        self.report_deaths();
    }

    fn orchestrate(&mut self) {
        if self.with_orchestrator(|orchestrator, disk, around| orchestrator.act(around, disk)) {
            self.obey();
        } else {
            self.die(Death::Process);
        }
    }

    fn next(&self) -> Instant {
        let (up, has_room) = (self.down_until.is_none(), self.orchestrator.has_room());
        let clients = self.clients.iter().filter(|client| up && (has_room || client.job.is_some()));
        let clients = clients.filter_map(Client::next);
        let read =
            self.orchestrator.wires().filter_map(|wire| self.wires.get(&wire)?.next(Towards::Orchestrator));
        let awake = self.processes.values().filter(|process| process.dead.is_none());
        let written = awake.clone().filter(|process| !process.is_frozen());
        let written = written.filter_map(|process| self.wires.get(&process.wire?)?.next(Towards::Trainer));
        let times = read.chain(written).chain(awake.filter_map(Process::next)).chain(clients);
        let times = times.chain(self.starting.iter().map(|starting| starting.at));
        let times = times.chain(self.going.iter().map(|(at, _)| *at));
        let times = times.chain(self.down_until).chain(self.mischief_at).chain(self.orchestrator.next());
        let deaths = self.watched.values().filter_map(|pid| self.processes[pid].dead.as_ref());
        let times = times.chain(deaths.map(|(at, _)| *at + NOTICE));
        times.min().unwrap_or(self.now + Duration::from_secs(1)).min(self.now + Duration::from_secs(1))
    }

    /// Jobs that come, and trainers that people start by hand.
    fn come_and_go(&mut self) {
        let busy = self.clients.iter().filter(|client| !client.is_done()).count();
        let unfinished = self.orchestrator.scheduler.state();
        let jobs_open = self.clients.iter().filter_map(|client| client.job);
        let jobs_open = jobs_open.filter(|job| unfinished.job(*job).is_some_and(|job| !job.ended)).count();
        if self.events < self.events_max && busy == 0 && jobs_open < 2 {
            let number = self.clients.len() as u64;
            self.clients.push(Client::new(number, self.now, &mut self.random));
        }
        for place in 0..self.clients.len() {
            let ticket = Ticket(self.last_ticket + 1);
            // The driver turns submissions away while the disk is full.
            if self.clients[place].job.is_none() && !self.orchestrator.has_room() {
                continue;
            }
            if let Some(input) = self.clients[place].say(self.now, ticket, &mut self.random) {
                self.last_ticket += 1;
                self.decide(input);
            }
            let client = &self.clients[place];
            let Some(job) = client.job.filter(|_| client.spec.attach) else { continue };
            let state = self.orchestrator.scheduler.state();
            let wanted = state.job(job).is_some_and(|job| !job.ended);
            let job_id = client.spec.job_id.clone();
            let there =
                self.processes.values().filter(|process| process.dead.is_none() && process.job_id == job_id);
            if wanted && there.count() == 0 {
                self.last_pid += 1;
                let process =
                    Process::new(self.last_pid, &job_id, None, Kind::ByHand, self.now, &mut self.random);
                self.processes.insert(self.last_pid, process);
            }
        }
    }

    /// What the orchestrator wants done.
    fn obey(&mut self) {
        for order in std::mem::take(&mut self.orchestrator.orders) {
            match order {
                Order::Spawn { trainer, job_id, token, slots, kind } => {
                    for slot in slots {
                        let holder = self.slots.insert(slot, trainer);
                        assert_eq!(holder, None, "seed {}: a slot of two trainers, {trainer:?}", self.seed);
                    }
                    self.tokens.insert(trainer, token);
                    let at = self.now + self.random.ms(0, 500);
                    self.starting.push(Starting { at, trainer, job_id, token, kind, signal: None });
                }
                Order::Signal { trainer, signal } => self.signal(trainer, signal),
                Order::Forget { trainer } => {
                    self.watched.remove(&trainer);
                    let at = self.now + self.random.ms(0, 3_000);
                    self.going.push((at, trainer));
                }
                Order::Watch { trainer, pid } => {
                    if self.processes.contains_key(&pid) {
                        self.watched.insert(trainer, pid);
                    }
                }
                Order::Unspool { job_id, delivery } => drop(self.spool.remove(&(job_id, delivery))),
                Order::Answer { ticket, answer } => {
                    for client in &mut self.clients {
                        let promise = client.answered(self.now, ticket, &answer, &mut self.random);
                        self.promises.extend(promise);
                    }
                }
            }
        }
    }

    fn decide(&mut self, input: Input) {
        self.with_orchestrator(|orchestrator, _, around| orchestrator.decide(around, input));
    }

    fn with_orchestrator<T>(
        &mut self,
        act: impl FnOnce(&mut Orchestrator, &mut Disk, &mut Surroundings<'_>) -> T,
    ) -> T {
        let mut around = Surroundings {
            now: self.now,
            wall: self.wall,
            latency: self.latency,
            random: &mut self.random,
            wires: &mut self.wires,
            promises: &mut self.promises,
            log: &mut self.log,
            events: &mut self.events,
        };
        act(&mut self.orchestrator, &mut self.disk, &mut around)
    }

    fn is_over(&self) -> bool {
        let state = self.orchestrator.scheduler.state();
        let ended = |client: &Client| {
            client.is_done() && client.job.is_none_or(|job| state.job(job).is_some_and(|job| job.ended))
        };
        self.down_until.is_none()
            && self.clients.iter().all(ended)
            && self.orchestrator.is_idle()
            && self.starting.is_empty()
            && self.going.is_empty()
            && self.processes.values().all(|process| process.dead.is_some())
    }

    /// Every promise is kept, and the records alone give the state that was lived.
    fn check(&self) {
        let reader = Reader::read(&self.disk.records);
        reader.check(&self.promises);
        reader.check_end();
        let mut replica = Scheduler::new(0);
        self.disk.records.iter().for_each(|record| replica.replay(record));
        assert!(replica.state() == self.orchestrator.scheduler.state(), "a replay gives another state");
    }

    #[expect(clippy::print_stderr, reason = "a run that is looked at alone is told")]
    fn tell(&mut self, told: &Told) {
        if let Some(log) = self.log.as_mut().filter(|_| told.0) {
            let at = self.now - self.started;
            log.drain(..).for_each(|line| eprintln!("{:>10.3} {line}", at.as_secs_f64()));
        }
    }
}

/// One with two slots.
fn scheduler(random: &mut Random) -> Scheduler {
    Scheduler::new(random.next()).with_slots(vec!["0".to_owned(), "1".to_owned()])
}

/// Whether what happens is printed.
struct Told(bool);

/// From a death to the news of it.
const NOTICE: Duration = Duration::from_millis(2);

/// Of processes that are dead and not watched.
const KEPT: Duration = Duration::from_secs(60);

/// Longer than any limit and any code takes.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);
