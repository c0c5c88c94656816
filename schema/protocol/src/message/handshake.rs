//! How a connection begins.

use std::time::Duration;

use crate::id::{Delivery, Instance, JobId, Token};
use crate::limits::PROTOCOL_VERSION;

/// See [`FromTrainer::Hello`](super::FromTrainer::Hello).
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The lowest protocol version the trainer speaks.
    pub protocol_min: u16,
    /// The highest protocol version the trainer speaks.
    pub protocol_max: u16,
    /// The job the trainer believes it belongs to.
    pub job_id: JobId,
    /// Name and version of the trainer's software, for people.
    pub version: String,
    /// Absent for trainers attached by hand.
    pub token: Option<Token>,
    /// Chosen at random when the trainer's process first connects.
    pub instance: Instance,
    /// 1, 2, … for each connection of this instance; a higher number replaces a lower one.
    pub connection: u32,
    /// Replicas get what their primary gets, and decide nothing.
    pub role: Role,
    /// Its place in its group; 0 elsewhere.
    pub rank: u32,
    /// How many processes its group has, all of which show one token; 0 or 1 where it is alone.
    pub world_size: u32,
    /// How often the launcher of its group has started it anew.
    pub restart: u32,
    /// All deliveries in hand.
    pub in_hand: Vec<InHand>,
    /// Whether it writes the stacks of all threads to its standard error when a Stop asks for them, and at
    /// the signal SIGRTMAX − 1.
    pub can_dump_stacks: bool,
    /// Deliveries whose bytes in a slab may still be looked at.
    pub held: Vec<Delivery>,
}

impl Hello {
    /// Of a trainer that comes for the first time, by hand and alone.
    pub fn new(job_id: JobId, instance: Instance) -> Self {
        Self {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            job_id,
            version: String::new(),
            token: None,
            instance,
            connection: 1,
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            in_hand: Vec::new(),
            can_dump_stacks: false,
            held: Vec::new(),
        }
    }
}

/// A trainer's part in a distributed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reports and ends deliveries.
    Primary,
    /// Reads the same delivery.
    Replica,
}

/// One delivery a trainer has in hand when it says Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InHand {
    /// Which.
    pub delivery: Delivery,
    /// The highest sequence number used for a checkpoint or result of it; 0 for none.
    pub last_seq: u64,
    /// How far it is.
    pub state: InHandState,
}

/// How far a delivery in hand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InHandState {
    /// Not given to the trainer's code yet.
    Queued,
    /// With the trainer's code.
    Running,
    /// Its result waits for an Ack.
    Finished,
}

/// See [`ToTrainer::Welcome`](super::ToTrainer::Welcome).
#[derive(Clone, Debug, PartialEq)]
pub struct Welcome {
    /// The version both will speak.
    pub protocol: u16,
    /// How often the trainer sends a heartbeat.
    pub heartbeat: Duration,
    /// Silence for which the other end is called unresponsive, and the time a frame may take.
    pub recv_timeout: Duration,
    /// How long a trainer goes on without an orchestrator before it checkpoints and exits.
    pub orphan_timeout: Duration,
    /// Folder for results that cannot be acknowledged.
    pub spool: Option<String>,
    /// For every delivery the Hello listed: `true` to go on, `false` to drop it.
    pub in_hand: Vec<(Delivery, bool)>,
    /// How long a trainer that waits polls its socket before it sleeps, in whole microseconds; zero for
    /// not at all.
    pub poll: Duration,
}

/// For a trainer with nothing in hand, of a job that sets no times of its own.
impl Default for Welcome {
    fn default() -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            heartbeat: Duration::from_secs(1),
            recv_timeout: Duration::from_secs(5),
            orphan_timeout: Duration::from_secs(600),
            spool: None,
            in_hand: Vec::new(),
            poll: Duration::ZERO,
        }
    }
}

/// See [`ToTrainer::Refused`](super::ToTrainer::Refused).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable, for programs, e.g. `token_in_use`.
    pub code: String,
    /// For people: what was wrong and what to do.
    pub text: String,
    /// Whether trying again can help.
    pub retry_later: bool,
    /// The lowest protocol version the orchestrator speaks.
    pub protocol_min: u16,
    /// The highest protocol version the orchestrator speaks.
    pub protocol_max: u16,
}
