//! The orchestrator's death, the machine's, and what comes after.

use std::collections::{BTreeMap, BTreeSet};

use trainwire::Record;
use trainwire::record::{Ending, Exit, TrainerNo};
use trainwire::scheduler::{Adoption, Input, Scheduler, Spooled};
use trainwire_protocol::message::FromTrainer;
use trainwire_protocol::task_builder::TaskBuilder;

use super::World;
use crate::orchestrator::Orchestrator;
use crate::reader::Reader;
use crate::trainer::Process;
use crate::wire::Towards;

/// What dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The orchestrator alone: trainers go on, and what it wrote is written.
    Process,
    /// The machine: nothing is left but what was synced, and some of the rest.
    Machine,
}

impl World {
    pub(super) fn die(&mut self, death: Death) {
        let now = self.now;
        let heir = Orchestrator::new(Scheduler::new(0), self.orchestrator.last_connection());
        let dead = std::mem::replace(&mut self.orchestrator, heir);
        for wire in dead.wires() {
            let Some(wire) = self.wires.get_mut(&wire) else { continue };
            // What was sent arrives, or does not.
            if self.random.chance(50) { wire.close(now, Towards::Trainer) } else { wire.cut(now) }
        }
        let under_way = dead.under_way();
        if self.random.chance(50) {
            self.disk.write(&under_way);
        }
        for starting in std::mem::take(&mut self.starting) {
            // It runs, and nobody knows.
            if self.random.chance(50) {
                self.last_pid += 1;
                let (pid, token) = (self.last_pid, Some(starting.token));
                let process =
                    Process::new(pid, &starting.job_id, token, starting.kind, now, &mut self.random);
                self.processes.insert(pid, process);
            }
        }
        if death == Death::Machine {
            for process in self.processes.values_mut() {
                process.vanish(now);
            }
            self.wires.clear();
            self.slots.clear();
            self.disk.cut_power(&mut self.random);
        }
        self.going.clear();
        self.watched.clear();
        for client in &mut self.clients {
            client.unanswered(now, &mut self.random);
        }
        let patience = if self.random.chance(10) { 900_000 } else { 20_000 };
        self.down_until = Some(now + self.random.ms(1, patience));
        Reader::read(&self.disk.records).check(&self.promises);
    }

    /// Another orchestrator finds what the first one left.
    pub(super) fn rise(&mut self) {
        self.down_until = None;
        let mut scheduler = super::scheduler(&mut self.random);
        self.disk.records.iter().for_each(|record| scheduler.replay(record));
        // What was only written is read, and so it counts.
        self.disk.sync();
        let past = Past::read(&self.disk.records);
        let state = scheduler.state();
        let mut adoption = Adoption { failed: past.failed, ..Adoption::default() };
        let (mut gone, mut spooled) = (Vec::new(), Vec::new());
        for (number, job) in past.jobs.iter().filter_map(|number| Some((*number, state.job(*number)?))) {
            if job.ended {
                continue;
            }
            for task in &job.tasks {
                if let Some(known) = state.task(*task).filter(|task| !task.state.is_terminal()) {
                    let bytes = TaskBuilder::new(&*known.task_id, "model").build().expect("a task");
                    adoption.payloads.insert(*task, bytes);
                }
            }
            for trainer in &job.trainers {
                let is_alive =
                    |pid: &i32| self.processes.get(pid).is_some_and(|process| process.dead.is_none());
                match past.pids.get(trainer).copied().filter(is_alive) {
                    Some(pid) => drop(self.watched.insert(*trainer, pid)),
                    None => gone.push(*trainer),
                }
            }
            let of_job = self.spool.iter().filter(|((job_id, _), _)| *job_id == job.spec.job_id);
            spooled.extend(
                of_job.map(|((_, delivery), said)| (number, *delivery, said.iter().map(read).collect())),
            );
        }
        adoption.gone.extend(gone.iter().copied());
        let leftovers = scheduler.slots();
        for trainer in leftovers.iter().filter(|slot| slot.leftover).filter_map(|slot| slot.trainer) {
            self.going.push((self.now + self.random.ms(0, 3_000), trainer));
        }
        self.orchestrator = Orchestrator::new(scheduler, self.orchestrator.last_connection());
        self.with_orchestrator(|orchestrator, _, around| orchestrator.adopt(around, adoption));
        for (job, delivery, spooled) in spooled {
            self.decide(Input::Spooled { job, delivery, spooled });
        }
        for trainer in gone {
            self.decide(Input::Exited {
                trainer,
                exit: Exit::Unknown,
                log_tail: String::new(),
                failure: None,
            });
        }
        self.decide(Input::Tokens(Vec::new()));
    }

    /// What a dead trainer left of its deliveries.
    pub(super) fn look_into_spool(&mut self, trainer: TrainerNo) {
        let state = self.orchestrator.scheduler.state();
        let Some(known) = state.trainer(trainer) else { return };
        let Some(job) = state.job(known.job) else { return };
        let (number, job_id) = (known.job, job.spec.job_id.clone());
        let deliveries: Vec<u64> = known.in_hand.iter().copied().collect();
        for delivery in deliveries {
            if let Some(said) = self.spool.get(&(job_id.clone(), delivery)) {
                let spooled = said.iter().map(read).collect();
                self.decide(Input::Spooled { job: number, delivery, spooled });
            }
        }
    }

    /// Of the processes a trainer has left, those that still run are killed; whether there were any.
    pub(super) fn sweep(&mut self, trainer: TrainerNo) -> bool {
        let Some(token) = self.tokens.get(&trainer).copied() else { return false };
        let mut left = false;
        for process in self.processes.values_mut() {
            if process.dead.is_none() && process.token == Some(token) {
                process.kill(self.now, &mut self.random);
                left = true;
            }
        }
        left
    }
}

/// What the records say beside the Scheduler's state.
#[derive(Default)]
struct Past {
    jobs: Vec<trainwire::record::JobNo>,
    pids: BTreeMap<TrainerNo, i32>,
    /// Trainers whose last delivery failed.
    failed: BTreeSet<TrainerNo>,
}

impl Past {
    fn read(records: &[Record]) -> Self {
        let mut past = Self::default();
        let mut holders = BTreeMap::new();
        for record in records {
            match record {
                Record::JobSubmitted { job, .. } => past.jobs.push(*job),
                Record::TrainerSpawned { trainer, pid, .. }
                | Record::TrainerBound { trainer, pid, attached: true, .. } => {
                    past.pids.insert(*trainer, *pid);
                }
                Record::TrainerEnded { trainer, .. } => {
                    past.pids.remove(trainer);
                    past.failed.remove(trainer);
                }
                Record::Delivered { delivery, trainer, .. } => drop(holders.insert(*delivery, *trainer)),
                Record::Ended { delivery, ending, .. } => {
                    let Some(holder) = holders.remove(delivery) else { continue };
                    match **ending {
                        Ending::Failed { .. } => past.failed.insert(holder),
                        _ => past.failed.remove(&holder),
                    };
                }
                _ => {}
            }
        }
        past
    }
}

fn read(said: &FromTrainer) -> Spooled {
    match said.clone() {
        FromTrainer::Checkpoint(checkpoint) => Spooled::Checkpoint(checkpoint),
        FromTrainer::Result(result) => Spooled::Result(result),
        other => panic!("nobody keeps {other:?}"),
    }
}
