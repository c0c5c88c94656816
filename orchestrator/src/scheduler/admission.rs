//! Who may connect: tokens, trainers started by hand, reconnects.

use std::time::{Duration, Instant};

use trainwire_protocol::limits::PROTOCOL_VERSION;
use trainwire_protocol::message::{Hello, InHand, InHandState, Refused, Role, Welcome};

use super::Scheduler;
use super::decision::Effect;
use super::input::ConnectionNo;
use super::ladder::bye;
use super::live::{LiveTrainer, Service};
use super::retry::NOT_IN_HAND;
use super::state::{TaskState, TrainerState};
use crate::planted;
use crate::record::{DeliveryNo, Ending, JobNo, Record, TrainerNo};

/// What a Hello turned out to be.
enum Admission {
    /// The first of a trainer we started.
    First(TrainerNo),
    /// The first of one that was started by hand.
    Attached,
    /// Of one that was here before.
    Again(TrainerNo),
    /// Of one that the launcher of its group has started anew.
    Restarted(TrainerNo),
    /// Of another rank of this trainer's group.
    Replica(TrainerNo),
}

impl Scheduler {
    pub(super) fn hello(
        &mut self,
        now: Instant,
        connection: ConnectionNo,
        job: JobNo,
        hello: &Hello,
        pid: i32,
    ) {
        if self.connections.contains_key(&connection) || self.is_replica(connection) {
            return;
        }
        let (trainer, first) = match self.admit(job, hello) {
            Ok(Admission::First(trainer)) => (trainer, true),
            Ok(Admission::Attached) => (TrainerNo(self.state.trainers.next()), true),
            Ok(Admission::Again(trainer)) => (trainer, false),
            Ok(Admission::Restarted(trainer)) => {
                self.starts_anew(now, trainer);
                (trainer, true)
            }
            Ok(Admission::Replica(trainer)) => return self.replica_joins(trainer, connection, hello),
            Err((code, text)) => return self.refuse(connection, code, text),
        };
        if first {
            let attached = hello.token.is_none();
            if attached {
                self.trainers.insert(trainer, LiveTrainer::new(job, Service::Serving));
            }
            let instance = format!("{:032x}", hello.instance.0).into();
            self.record(Record::TrainerBound {
                trainer,
                job,
                instance,
                pid,
                attached,
                start_ticks: None,
                boot_id: None,
                restart: hello.restart,
            });
            if let Some(obstacles) = self.jobs.get_mut(&job).and_then(|live| live.obstacles.as_mut()) {
                obstacles.version_mismatch = None;
            }
            // Hello overtook the news that the process runs: the task it was started for is still queued, unless
            // it was cancelled.
            if let Some(Service::Starting { script_task: Some(task), .. }) =
                self.trainers.get(&trainer).map(|live| live.service)
                && self.state.task(task).is_some_and(|task| task.state == TaskState::Queued)
            {
                self.assign(now, task, trainer);
            }
            let closing = self.jobs.get(&job).is_some_and(|live| live.closing);
            if !closing || self.trainers.get(&trainer).is_some_and(|live| live.is_starting()) {
                self.set_service(trainer, Service::Serving);
            }
        }
        self.gather(trainer, hello);
        self.connect(trainer, connection, hello);
        self.welcome(now, job, trainer, connection, hello, first);
        self.hand_to_replicas(trainer);
        self.refill(now, trainer);
        self.settle(now, job);
    }

    fn admit(&self, job_no: JobNo, hello: &Hello) -> Result<Admission, (&'static str, String)> {
        let over = || ("job_over", format!("job {} is over; there is nothing left to do", hello.job_id));
        let bound = self.jobs.get(&job_no).is_some_and(|live| live.bound);
        let (Some(job), true) = (self.state.job(job_no), bound) else {
            return Err(over());
        };
        if hello.job_id.as_str() != job.spec.job_id {
            let text = format!(
                "this socket is of job {}, the trainer asks for {}; set TRAINWIRE_SOCKET to the other job's",
                job.spec.job_id, hello.job_id
            );
            return Err(("wrong_job", text));
        }
        let known = job.trainers.iter().copied().find(|trainer| self.introduces(*trainer, hello));
        if hello.role == Role::Replica {
            return self.admit_replica(known, hello).map(Admission::Replica);
        }
        let Some(trainer) = known else {
            return match hello.token {
                Some(_) => Err((
                    "bad_token",
                    "no living trainer of this job was given that token; let the orchestrator start the trainer"
                        .to_owned(),
                )),
                None if job.is_done() => Err(over()),
                None if job.spec.attach || job.spec.command.is_empty() => Ok(Admission::Attached),
                None => Err((
                    "token_required",
                    "this job takes only trainers the orchestrator starts; set attach in its limits to change that"
                        .to_owned(),
                )),
            };
        };
        let Some(live) = self.trainers.get(&trainer) else { return Err(over()) };
        match self.state.trainer(trainer).map(|trainer| &trainer.state) {
            Some(TrainerState::Spawning { .. }) if live.signalled() && live.is_starting() => Err((
                "start_timeout",
                "the trainer took longer than start_timeout and is being ended".to_owned(),
            )),
            Some(TrainerState::Spawning { .. }) if live.service == Service::Draining => Err(over()),
            Some(TrainerState::Spawning { .. }) => Ok(Admission::First(trainer)),
            Some(TrainerState::Bound { token: Some(_), restart, .. })
                if hello.restart > *restart && live.death.is_none() =>
            {
                Ok(Admission::Restarted(trainer))
            }
            Some(TrainerState::Bound { instance, .. })
                if u128::from_str_radix(instance, 16) != Ok(hello.instance.0)
                    && !planted::is("token-for-anyone") =>
            {
                let text =
                    "another process has connected with this token; a child cannot take its parent's place";
                Err(("token_in_use", text.to_owned()))
            }
            Some(TrainerState::Bound { .. }) if hello.connection <= live.connection_number => Err((
                "stale_connection",
                format!(
                    "connection {} of this trainer came after its connection {}; count upwards",
                    hello.connection, live.connection_number
                ),
            )),
            Some(TrainerState::Bound { .. }) if live.death.is_none() => Ok(Admission::Again(trainer)),
            _ => Err(("trainer_gone", "the process of this trainer has ended".to_owned())),
        }
    }

    /// Whether a Hello shows this trainer's token, or, of one started by hand, its instance.
    fn introduces(&self, trainer: TrainerNo, hello: &Hello) -> bool {
        match (self.state.trainer(trainer).map(|trainer| &trainer.state), &hello.token) {
            (
                Some(TrainerState::Spawning { token, .. } | TrainerState::Bound { token: Some(token), .. }),
                Some(shown),
            ) => token == shown,
            (Some(TrainerState::Bound { token: None, instance, .. }), None) => {
                u128::from_str_radix(instance, 16) == Ok(hello.instance.0)
            }
            _ => false,
        }
    }

    pub(super) fn refuse(&mut self, connection: ConnectionNo, code: &'static str, text: String) {
        self.effect(Effect::Refuse {
            connection,
            refused: Refused {
                code: code.to_owned(),
                text,
                retry_later: false,
                protocol_min: PROTOCOL_VERSION,
                protocol_max: PROTOCOL_VERSION,
            },
        });
    }

    fn connect(&mut self, trainer: TrainerNo, connection: ConnectionNo, hello: &Hello) {
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        live.connection_number = hello.connection;
        live.can_dump_stacks = hello.can_dump_stacks;
        if let Some(pending) = &mut live.pending {
            pending.asked_back.clear();
        }
        if let Some(old) = live.connection.replace(connection) {
            self.connections.remove(&old);
            self.out.effects.push(Effect::Close { connection: old });
        }
        self.connections.insert(connection, trainer);
        self.hear(trainer);
        // What waited for the old connection's socket: the trainer sends again what was in it.
        let live = self.trainers.get(&trainer);
        if live.is_some_and(|live| !live.pending().awaiting.is_empty()) {
            self.effect(Effect::Drain { connection });
        }
    }

    /// Answers a Hello, and puts both sides' lists of what is in hand together.
    fn welcome(
        &mut self,
        now: Instant,
        job: JobNo,
        trainer: TrainerNo,
        connection: ConnectionNo,
        hello: &Hello,
        first: bool,
    ) {
        for in_hand in &hello.in_hand {
            let has = self.held(trainer, in_hand.delivery.0);
            if in_hand.state != InHandState::Queued && has.is_some_and(|(_, task)| !task.state.is_started()) {
                self.record(Record::Started { delivery: in_hand.delivery.0 });
            }
        }
        let listed = |delivery: DeliveryNo| hello.in_hand.iter().any(|held| held.delivery.0 == delivery);
        let ours: Vec<(DeliveryNo, bool)> =
            self.in_hand(trainer).map(|(delivery, _)| (delivery, listed(delivery))).collect();
        if !first {
            for (delivery, _) in ours.iter().filter(|(_, listed)| !listed) {
                let ending = Ending::Returned { code: NOT_IN_HAND.into() };
                self.conclude(now, *delivery, None, ending, "");
            }
        }
        self.let_in(job, trainer, connection, hello);
        for (delivery, listed) in ours {
            if listed {
                self.ask_again(now, trainer, delivery);
            } else if first {
                // A script that connects gets the task it was started for.
                self.send(trainer, delivery);
                self.ask_again(now, trainer, delivery);
            }
        }
        if self.trainers.get(&trainer).is_some_and(|live| live.service == Service::Draining) {
            self.effect(Effect::Bye { connection, bye: bye("job_done") });
            self.bye_to_replicas(trainer, "job_done");
            self.watch_drain(now, trainer);
        }
    }

    /// Says what holds, and which of the deliveries that the Hello lists go on.
    pub(super) fn let_in(&mut self, job: JobNo, trainer: TrainerNo, connection: ConnectionNo, hello: &Hello) {
        let Some(spec) = self.spec(job) else { return };
        let keep = |held: &InHand| (held.delivery, self.held(trainer, held.delivery.0).is_some());
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            heartbeat: (spec.recv_timeout / 4).clamp(HEARTBEAT_MIN, HEARTBEAT_MAX),
            recv_timeout: spec.recv_timeout,
            orphan_timeout: spec.orphan_timeout,
            spool: None,
            in_hand: hello.in_hand.iter().map(keep).collect(),
            poll: Duration::from_micros(spec.poll_us.into()),
        };
        self.effect(Effect::Welcome { connection, welcome: Box::new(welcome) });
    }
}

/// How often a trainer says that it lives, unless `recv_timeout` wants it oftener.
const HEARTBEAT_MAX: Duration = Duration::from_secs(1);

/// What a Welcome can say.
const HEARTBEAT_MIN: Duration = Duration::from_millis(1);
