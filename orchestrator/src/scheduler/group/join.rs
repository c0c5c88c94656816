//! Ranks that come: replicas beside their primary, and those that a launcher has started anew.

use std::collections::BTreeMap;
use std::time::Instant;

use trainwire_protocol::message::{Hello, InHandState};

use super::{Part, Replica};
use crate::record::{DeliveryNo, TrainerNo};
use crate::scheduler::Scheduler;
use crate::scheduler::decision::Effect;
use crate::scheduler::input::ConnectionNo;
use crate::scheduler::ladder::bye;
use crate::scheduler::live::{Service, Step};
use crate::scheduler::state::TrainerState;

impl Scheduler {
    /// Which trainer's replica it is.
    pub(in crate::scheduler) fn admit_replica(
        &self,
        known: Option<TrainerNo>,
        hello: &Hello,
    ) -> Result<TrainerNo, (&'static str, String)> {
        let Some(trainer) = known else {
            return Err(match hello.token {
                Some(_) => ("bad_token", "no living trainer of this job was given that token".to_owned()),
                None => (
                    "replica_without_token",
                    "ranks find each other by the token of their launcher; let the orchestrator start that"
                        .to_owned(),
                ),
            });
        };
        let Hello { rank, world_size, restart, .. } = *hello;
        if rank == 0 || rank >= world_size || world_size > WORLD_SIZE_MAX {
            let text = format!(
                "a replica of rank {rank} among {world_size} cannot be: ranks go from 1 below the world size, which is at most {WORLD_SIZE_MAX}"
            );
            return Err(("bad_rank", text));
        }
        let Some(live) = self.trainers.get(&trainer).filter(|live| live.death.is_none()) else {
            return Err(("trainer_gone", "the process of this trainer has ended".to_owned()));
        };
        let known = live.group.as_ref().and_then(|group| group.replicas.get(&rank));
        let in_use = || ("rank_in_use", format!("another process is rank {rank} of this trainer"));
        match known {
            _ if self.restart_of(trainer).is_some_and(|bound| restart < bound) => Err(in_use()),
            Some(known) if known.instance == hello.instance => {
                if hello.connection <= known.connection_number {
                    let text = "a connection of this replica came after this one; count upwards";
                    return Err(("stale_connection", text.to_owned()));
                }
                Ok(trainer)
            }
            Some(known) if known.connection.is_some() && restart <= known.restart => Err(in_use()),
            _ => Ok(trainer),
        }
    }

    /// A replica is let in. It has what its primary has as soon as that is the case.
    pub(in crate::scheduler) fn replica_joins(
        &mut self,
        trainer: TrainerNo,
        connection: ConnectionNo,
        hello: &Hello,
    ) {
        let ahead = self.restart_of(trainer).is_none_or(|bound| bound < hello.restart);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        // One that was started anew waits for its primary to be.
        let (job, draining) = (live.job, live.service == Service::Draining && !ahead);
        let group = live.group.get_or_insert_default();
        let before = group.replicas.remove(&hello.rank);
        let listed = hello.in_hand.iter().map(|held| {
            let part = match held.state {
                InHandState::Queued => Part::Sent,
                InHandState::Running => Part::Started,
                InHandState::Finished => Part::Done,
            };
            (held.delivery.0, part)
        });
        let mut deliveries: BTreeMap<DeliveryNo, Part> = listed.collect();
        if let Some(before) = before {
            if before.instance == hello.instance {
                let done = before.deliveries.into_iter().filter(|(_, part)| *part == Part::Done);
                deliveries.extend(done);
            }
            if let Some(old) = before.connection {
                self.replicas.remove(&old);
                self.out.effects.push(Effect::Close { connection: old });
            }
        }
        let replica = Replica {
            instance: hello.instance,
            restart: hello.restart,
            connection: Some(connection),
            connection_number: hello.connection,
            deliveries,
        };
        group.replicas.insert(hello.rank, replica);
        self.replicas.insert(connection, (trainer, hello.rank));
        self.let_in(job, trainer, connection, hello);
        self.hand_to_replicas(trainer);
        if draining {
            self.effect(Effect::Bye { connection, bye: bye("job_done") });
        }
    }

    /// Remembers that there will be replicas, so that all begin alike.
    pub(in crate::scheduler) fn gather(&mut self, trainer: TrainerNo, hello: &Hello) {
        if let Some(live) = self.trainers.get_mut(&trainer)
            && hello.world_size > 1
        {
            live.group.get_or_insert_default();
        }
    }

    /// The launcher has started all ranks anew: those of before are nobody's any more.
    pub(in crate::scheduler) fn starts_anew(&mut self, now: Instant, trainer: TrainerNo) {
        self.forget_tear(trainer);
        let Some(live) = self.trainers.get_mut(&trainer) else { return };
        let asked = live.ladder.is_some_and(|ladder| ladder.step == Step::Asked);
        let restart = self.state.trainer(trainer).map(|trainer| &trainer.state);
        let Some(TrainerState::Bound { restart: before, .. }) = restart else { return };
        if let Some(group) = &mut live.group {
            group.silent = None;
            group.handed.clear();
            group.replicas.retain(|_, replica| {
                let stays = replica.restart > *before;
                if let (false, Some(connection)) = (stays, replica.connection) {
                    self.replicas.remove(&connection);
                    self.out.effects.push(Effect::Close { connection });
                }
                stays
            });
        }
        if asked {
            self.set_ladder(now, trainer, None);
        }
    }
}

/// More processes than a machine has use for.
const WORLD_SIZE_MAX: u32 = 1_024;
