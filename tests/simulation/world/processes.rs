//! The processes of trainers: how they start, connect, talk, get signals and die.

use std::time::Duration;

use trainwire::record::{Exit, TrainerNo};
use trainwire::scheduler::{Input, Signal};
use trainwire_protocol::message::FromTrainer;

use super::{KEPT, NOTICE, World};
use crate::reader::Promise;
use crate::trainer::{Process, Seen};
use crate::wire::Wire;

impl World {
    pub(super) fn start_processes(&mut self) {
        let (now, mut due) = (self.now, Vec::new());
        self.starting.retain_mut(|starting| {
            let is_due = starting.at <= now;
            if is_due {
                due.push((
                    starting.trainer,
                    starting.job_id.clone(),
                    starting.token,
                    starting.kind,
                    starting.signal,
                ));
            }
            !is_due
        });
        for (trainer, job_id, token, kind, signal) in due {
            if self.random.chance(2) {
                let exit = Exit::NotStarted { error: "no memory".to_owned(), hopeless: false };
                self.decide(Input::Exited { trainer, exit, log_tail: String::new(), failure: None });
                continue;
            }
            self.last_pid += 1;
            let pid = self.last_pid;
            let process = Process::new(pid, &job_id, Some(token), kind, now, &mut self.random);
            self.processes.insert(pid, process);
            self.watched.insert(trainer, pid);
            self.decide(Input::Spawned {
                trainer,
                pid,
                start_ticks: u64::from(pid.unsigned_abs()),
                boot_id: "boot".into(),
                log: String::new(),
            });
            if let Some(signal) = signal {
                self.signal(trainer, signal);
            }
        }
    }

    pub(super) fn connect(&mut self) {
        let pids: Vec<i32> = self
            .processes
            .values()
            .filter(|process| process.wants_connection(self.now))
            .map(|process| process.pid)
            .collect();
        for pid in pids {
            let Some(process) = self.processes.get_mut(&pid) else { continue };
            let Some(job) = self.orchestrator.listens(&process.job_id) else {
                process.not_connected(self.now, &mut self.random);
                continue;
            };
            self.last_wire += 1;
            self.wires.insert(self.last_wire, Wire::default());
            process.connected(self.now, self.last_wire);
            let wire = self.last_wire;
            self.with_orchestrator(|orchestrator, _, around| orchestrator.accept(around, job, wire, pid));
        }
    }

    pub(super) fn signal(&mut self, trainer: TrainerNo, signal: Signal) {
        if let Some(starting) = self.starting.iter_mut().find(|starting| starting.trainer == trainer) {
            if starting.signal != Some(Signal::Kill) {
                starting.signal = Some(signal);
            }
            return;
        }
        let process = self.watched.get(&trainer).and_then(|pid| self.processes.get_mut(pid));
        match (process, signal) {
            (Some(process), Signal::Terminate) => process.terminate(self.now, &mut self.random),
            (Some(process), Signal::Kill) => process.kill(self.now, &mut self.random),
            (None, _) => {}
        }
    }

    pub(super) fn act(&mut self) {
        let mut seen = Vec::new();
        let pids: Vec<i32> = self.processes.keys().copied().collect();
        for pid in pids {
            let Some(process) = self.processes.get_mut(&pid) else { continue };
            process.act(self.now, &mut self.wires, self.latency, &mut self.random, &mut seen);
            for seen in seen.drain(..) {
                if let Some(log) = &mut self.log {
                    log.push(format!("process {pid}: {seen:?}"));
                }
                self.see(pid, seen);
            }
        }
        let (wires, processes) = (&mut self.wires, &mut self.processes);
        let watched = &self.watched;
        let now = self.now;
        // Who connected and died has still to be found out about.
        processes.retain(|pid, process| {
            let is_recent = process.dead.as_ref().is_none_or(|(at, _)| *at + KEPT > now);
            is_recent || watched.values().any(|watched| watched == pid)
        });
        let used: Vec<u64> =
            self.orchestrator.wires().chain(processes.values().filter_map(|process| process.wire)).collect();
        wires.retain(|wire, _| used.contains(wire));
    }

    pub(super) fn see(&mut self, pid: i32, seen: Seen) {
        match seen {
            Seen::Began { task_id } => {
                let job_id = self.processes[&pid].job_id.clone();
                let others = self.processes.values().filter(|process| process.pid != pid);
                let twice = others.clone().find(|process| process.runs(&job_id, &task_id));
                assert!(
                    twice.is_none(),
                    "seed {}: {job_id}/{task_id} runs in {pid} and in {:?}",
                    self.seed,
                    twice.map(|process| process.pid)
                );
            }
            Seen::Over { .. } => {}
            Seen::Spooled(said) => {
                let job_id = &self.processes[&pid].job_id;
                for message in said {
                    let delivery = match &message {
                        FromTrainer::Checkpoint(checkpoint) => checkpoint.delivery.0,
                        FromTrainer::Result(result) => result.delivery.0,
                        other => panic!("nobody keeps {other:?}"),
                    };
                    self.spool.entry((job_id.clone(), delivery)).or_default().push(message);
                }
            }
            Seen::Acknowledged(entry) => {
                let (delivery, seq) = (entry.delivery.0, entry.seq);
                let told = self.promises.iter().any(|promise| match promise {
                    Promise::Stored { delivery: of, seq: number }
                    | Promise::Superseded { delivery: of, seq: number } => (*of, *number) == (delivery, seq),
                    _ => false,
                });
                assert!(told, "seed {}: acknowledged out of nowhere: {entry:?}", self.seed);
            }
        }
    }

    pub(super) fn report_deaths(&mut self) {
        let gone: Vec<_> = self.going.extract_if(.., |(at, _)| *at <= self.now).collect();
        for (_, trainer) in gone {
            if self.sweep(trainer) {
                self.going.push((self.now + Duration::from_millis(100), trainer));
                continue;
            }
            self.slots.retain(|_, holder| *holder != trainer);
            self.decide(Input::Gone { trainer });
        }
        let is_due =
            |pid: &i32| self.processes[pid].dead.as_ref().is_some_and(|(at, _)| *at + NOTICE <= self.now);
        let dead: Vec<_> = self
            .watched
            .iter()
            .filter(|(_, pid)| is_due(pid))
            .map(|(trainer, pid)| (*trainer, *pid))
            .collect();
        for (trainer, pid) in dead {
            self.watched.remove(&trainer);
            let exit = self.processes[&pid].dead.clone().map_or(Exit::Unknown, |(_, exit)| exit);
            self.look_into_spool(trainer);
            self.decide(Input::Exited { trainer, exit, log_tail: String::new(), failure: None });
        }
    }
}
