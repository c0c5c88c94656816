//! A connection in memory: bytes take a while, and it can be lost after any of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Towards which end bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Orchestrator,
    Trainer,
}

/// The connection is lost when this many bytes have arrived at that end. Whatever is under way then,
/// in either direction, is lost with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) towards: Towards,
    pub(crate) after_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    to_orchestrator: Lane,
    to_trainer: Lane,
    latency: Duration,
    cut: Option<Cut>,
}

#[derive(Debug, Default)]
struct Lane {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// The sender has closed: this is when the receiver sees the end.
    ends_at: Option<Instant>,
    arrived_bytes: u64,
}

/// What a read gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    Nothing,
    /// The other end has closed, or the connection is lost.
    End,
}

impl Pipe {
    pub(crate) fn new(latency: Duration, cut: Option<Cut>) -> Self {
        Self { to_orchestrator: Lane::default(), to_trainer: Lane::default(), latency, cut }
    }

    pub(crate) fn write(&mut self, now: Instant, towards: Towards, bytes: Vec<u8>) {
        let arrives = now + self.latency;
        let lane = self.lane(towards);
        if lane.ends_at.is_none() && !bytes.is_empty() {
            lane.under_way.push_back((arrives, bytes));
        }
    }

    /// What was written before still arrives.
    pub(crate) fn close(&mut self, now: Instant, towards: Towards) {
        let arrives = now + self.latency;
        self.lane(towards).ends_at.get_or_insert(arrives);
    }

    /// At most `max_bytes` of what has arrived.
    pub(crate) fn read(&mut self, now: Instant, towards: Towards, max_bytes: usize) -> Read {
        if self.is_lost() {
            return Read::End;
        }
        let cut = self.cut.filter(|cut| cut.towards == towards);
        let lane = self.lane(towards);
        let left = cut.map_or(u64::MAX, |cut| cut.after_bytes - lane.arrived_bytes);
        let max_bytes = max_bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
        match lane.under_way.front_mut() {
            Some((arrives, bytes)) if *arrives <= now => {
                let rest = bytes.split_off(bytes.len().min(max_bytes));
                let taken = std::mem::replace(bytes, rest);
                if bytes.is_empty() {
                    lane.under_way.pop_front();
                }
                lane.arrived_bytes += taken.len() as u64;
                Read::Bytes(taken)
            }
            None if lane.ends_at.is_some_and(|at| at <= now) => Read::End,
            _ => Read::Nothing,
        }
    }

    /// When something arrives next. What has arrived already waits for its reader.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let lanes = [&self.to_orchestrator, &self.to_trainer].into_iter();
        let arrivals = lanes.flat_map(|lane| lane.under_way.iter().map(|(at, _)| *at).chain(lane.ends_at));
        arrivals.filter(|at| *at > now).min()
    }

    pub(crate) fn arrived_bytes(&self, towards: Towards) -> u64 {
        match towards {
            Towards::Orchestrator => self.to_orchestrator.arrived_bytes,
            Towards::Trainer => self.to_trainer.arrived_bytes,
        }
    }

    fn is_lost(&self) -> bool {
        self.cut.is_some_and(|cut| self.arrived_bytes(cut.towards) >= cut.after_bytes)
    }

    fn lane(&mut self, towards: Towards) -> &mut Lane {
        match towards {
            Towards::Orchestrator => &mut self.to_orchestrator,
            Towards::Trainer => &mut self.to_trainer,
        }
    }
}
