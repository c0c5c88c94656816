//! The trainers' processes, as the driver holds them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use trainwire_protocol::id::Token;
use trainwire_unix::ProcessIdentity;

use super::{Driver, Followup, Message};
use crate::clock;
use crate::error::StacksError;
use crate::process::{self, Log, Order, ScriptTask, TrainerProcess};
use crate::readiness::{Source, Wanted};
use crate::record::{DeliveryNo, Exit, JobNo, TaskNo, TrainerNo};
use crate::scheduler::{Input, Signal};

/// A trainer's process.
pub(super) enum TrainerSlot {
    /// Being started; the strongest signal that was meant for it meanwhile.
    Starting { signal: Option<Signal> },
    /// Started, and not forgotten yet.
    Started {
        process: TrainerProcess,
        /// Where in its log each delivery it has begins, oldest first.
        marks: VecDeque<(DeliveryNo, u64)>,
        /// Where its log ended when it had given the last of them back.
        idle_from: Option<u64>,
    },
}

impl Driver {
    pub(super) fn job_of(&self, trainer: TrainerNo) -> Option<JobNo> {
        self.scheduler.state().trainer(trainer).map(|trainer| trainer.job)
    }

    pub(super) fn spawn(
        &mut self,
        trainer: TrainerNo,
        job: JobNo,
        token: Token,
        slots: Vec<String>,
        script_task: Option<(TaskNo, u32)>,
    ) {
        let Some(slot) = self.jobs.get(&job) else { return };
        let job_id = slot.feed.job_id.clone();
        let script = script_task.and_then(|(task, attempt)| {
            let task_id = &self.scheduler.state().task(task)?.task_id;
            let work = self.layout.work(&job_id, task, task_id);
            Some(ScriptTask { task: self.payloads.get(&task)?.task().clone(), attempt, work })
        });
        let order = Order {
            spec: Arc::clone(&slot.spec),
            token,
            socket: self.layout.socket(&job_id),
            log: self.layout.log(&job_id, trainer),
            slots,
            script,
            job_id,
        };
        self.trainers.insert(trainer, TrainerSlot::Starting { signal: None });
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let started = tokio::task::spawn_blocking(move || process::spawn(&order)).await;
            let panicked =
                |_| Err(Exit::NotStarted { error: "starting it panicked".to_owned(), hopeless: false });
            let started = started.unwrap_or_else(panicked);
            // Nobody listens once the driver has ended; the trainer finds that out by itself.
            let _ = sender.send(Message::Spawned { trainer, started }).await;
        });
    }

    pub(super) fn spawned(
        &mut self,
        trainer: TrainerNo,
        started: Result<(TrainerProcess, ProcessIdentity), Exit>,
    ) {
        let signal = match self.trainers.remove(&trainer) {
            Some(TrainerSlot::Starting { signal }) => signal,
            _ => None,
        };
        let (process, identity) = match started {
            Ok(started) => started,
            Err(exit) => {
                let log_tail = String::new();
                return self.decide(Input::Exited { trainer, exit, log_tail, failure: None });
            }
        };
        if let Some(signal) = signal {
            process.signal(signal);
        }
        let log = process.log().map(|log| log.path().to_string_lossy().into_owned()).unwrap_or_default();
        self.watch(trainer, process, VecDeque::new());
        self.decide(Input::Spawned {
            trainer,
            pid: i32::try_from(identity.pid).unwrap_or(0),
            start_ticks: identity.start_time_ticks,
            boot_id: clock::boot_id_text(identity.boot_id),
            log,
        });
    }

    /// A trainer that was started by hand has joined: from now on its death is news. Gives who it is, so that
    /// it is news after a restart too.
    pub(super) fn watch_attached(&mut self, trainer: TrainerNo) -> Option<ProcessIdentity> {
        let connection = self.scheduler.connection_of(trainer)?;
        // Without one (it died at once) its silence has to tell.
        let pidfd = self.connections.get_mut(&connection)?.take_pidfd()?;
        // Asked of /proc, which takes longer than all the rest of letting it in: only where there can be a restart.
        let pid = pidfd.pid().filter(|_| self.writer.is_some());
        let identity = pid.and_then(|pid| ProcessIdentity::of(pid).ok());
        // It lives: nobody else had its number when that was read.
        let identity = identity.filter(|_| pidfd.is_dead().is_ok_and(|dead| !dead));
        self.watch(trainer, TrainerProcess::attached(Arc::new(pidfd)), VecDeque::new());
        identity
    }

    pub(super) fn watch(
        &mut self,
        trainer: TrainerNo,
        process: TrainerProcess,
        marks: VecDeque<(DeliveryNo, u64)>,
    ) {
        if let Err(error) = self.readiness.add(process.pidfd(), Source::Process(trainer), Wanted::BYTES) {
            tracing::error!(pid = process.pidfd().pid(), %error, "a trainer cannot be watched");
            let (exit, log_tail) = (Exit::Unknown, String::new());
            let exited = Input::Exited { trainer, exit, log_tail, failure: None };
            self.followups.push_back(Followup::Input(exited));
        }
        self.trainers.insert(trainer, TrainerSlot::Started { process, marks, idle_from: None });
    }

    /// Its pidfd is readable.
    pub(super) fn died(&mut self, trainer: TrainerNo) {
        let Some(TrainerSlot::Started { process, .. }) = self.trainers.get(&trainer) else { return };
        self.readiness.remove(process.pidfd());
        let exit = process.exit();
        if exit != Exit::Unknown {
            return self.ended(trainer, exit);
        }
        // Not our child: the kernel tells once its parent has reaped it, or never.
        let (process, sender) = (process.clone(), self.sender.clone());
        tokio::spawn(async move {
            let mut exit = process.exit();
            for _ in 0..REAPED_LOOKS {
                if exit != Exit::Unknown {
                    break;
                }
                tokio::time::sleep(REAPED_INTERVAL).await;
                exit = process.exit();
            }
            let _ = sender.send(Message::Died { trainer, exit }).await;
        });
    }

    /// It is dead, and all is known of how that will be.
    pub(super) fn ended(&mut self, trainer: TrainerNo, exit: Exit) {
        let Some(TrainerSlot::Started { process, marks, .. }) = self.trainers.get(&trainer) else { return };
        let from = marks.front().map_or(0, |(_, from)| *from);
        let log_tail = process.log().map(|log| log.tail(from)).unwrap_or_default();
        let failure = match exit {
            Exit::Code { code: 1.. } => process.failure(&log_tail),
            _ => None,
        };
        let known = self.scheduler.state().trainer(trainer);
        if let Some((job, in_hand)) = known.map(|known| (known.job, known.in_hand.clone())) {
            self.look_into_spool(job, &in_hand);
        }
        self.decide(Input::Exited { trainer, exit, log_tail, failure });
    }

    /// The end of what a delivery has written so far, where its trainer has a log.
    pub(super) fn log_tail_of(&self, trainer: TrainerNo, delivery: DeliveryNo) -> String {
        let Some(TrainerSlot::Started { process, marks, .. }) = self.trainers.get(&trainer) else {
            return String::new();
        };
        let mark = marks.iter().find(|(marked, _)| *marked == delivery);
        let tail = process.log().zip(mark).map(|(log, (_, from))| log.tail(*from));
        tail.unwrap_or_default()
    }

    /// Where in its log they will begin.
    pub(super) fn ask_for_stacks(
        &self,
        trainer: TrainerNo,
        pid: i32,
    ) -> Result<Option<(PathBuf, u64)>, StacksError> {
        let Some(TrainerSlot::Started { process, .. }) = self.trainers.get(&trainer) else {
            return Err(StacksError::Gone);
        };
        let log = process.log().map(|log| (log.path().to_owned(), log.len()));
        process.ask_for_stacks(pid.unsigned_abs()).then_some(log).ok_or(StacksError::Gone)
    }

    pub(super) fn signal(&mut self, trainer: TrainerNo, signal: Signal) {
        match self.trainers.get_mut(&trainer) {
            Some(TrainerSlot::Started { process, .. }) => {
                let process = process.clone();
                self.run_errand(move || process.signal(signal));
            }
            Some(TrainerSlot::Starting { signal: meant }) if *meant != Some(Signal::Kill) => {
                *meant = Some(signal);
            }
            Some(TrainerSlot::Starting { .. }) => {}
            // Of before a restart, started by hand, and not seen since: there is nobody to be ended.
            None => {
                let exited =
                    Input::Exited { trainer, exit: Exit::Unknown, log_tail: String::new(), failure: None };
                self.followups.push_back(Followup::Input(exited));
            }
        }
    }

    /// Does what takes some milliseconds elsewhere.
    pub(super) fn run_errand(&mut self, errand: impl FnOnce() + Send + 'static) {
        while self.errands.try_join_next().is_some() {}
        self.errands.spawn_blocking(errand);
    }

    /// Where the output of this delivery begins: with what the trainer has written since it had given the one
    /// before back. While it has an earlier one, that one's mark serves both, so that a round of short
    /// tasks costs one look at the file.
    pub(super) fn mark_log(&mut self, trainer: TrainerNo, delivery: DeliveryNo) -> Option<u64> {
        let connected = self.scheduler.connection_of(trainer).is_some();
        let Some(TrainerSlot::Started { process, marks, idle_from }) = self.trainers.get_mut(&trainer) else {
            return None;
        };
        let log = process.log()?;
        let from = match marks.back() {
            Some((_, from)) => *from,
            None if connected => idle_from.take().unwrap_or_else(|| log.len()),
            // A process that was started for this one delivery.
            None => 0,
        };
        marks.push_back((delivery, from));
        Some(from)
    }

    pub(super) fn forget_delivery(&mut self, delivery: DeliveryNo) {
        let Some(delivered) = self.scheduler.state().delivery(delivery) else { return };
        if let Some(TrainerSlot::Started { process, marks, idle_from }) =
            self.trainers.get_mut(&delivered.trainer)
            && let Some(place) = marks.iter().position(|(marked, _)| *marked == delivery)
        {
            marks.remove(place);
            if marks.is_empty() {
                // Looked at now, because nobody waits for a task yet.
                *idle_from = process.log().map(Log::len);
            }
        }
    }
}

/// For an exit status that is not there yet: a parent mostly reaps at once, and some never do.
const REAPED_INTERVAL: Duration = Duration::from_millis(10);
const REAPED_LOOKS: u32 = 20;
