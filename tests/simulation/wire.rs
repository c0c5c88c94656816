//! A connection in memory: bytes arrive late, and a cut loses all that is under way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Towards which end bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    Orchestrator,
    Trainer,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    lanes: [Lane; 2],
}

#[derive(Debug, Default)]
struct Lane {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// The writer has closed, or the wire is cut: when the reader sees it.
    ends_at: Option<Instant>,
    /// The reader is gone.
    deaf: bool,
}

/// What a read gives.
#[derive(Debug)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

impl Wire {
    pub(crate) fn write(&mut self, now: Instant, latency: Duration, towards: Towards, bytes: Vec<u8>) {
        let lane = self.lane(towards);
        if lane.ends_at.is_none() && !lane.deaf && !bytes.is_empty() {
            // In order, also when the latency has just become smaller.
            let earliest = lane.under_way.back().map_or(now, |(at, _)| *at);
            lane.under_way.push_back(((now + latency).max(earliest), bytes));
        }
    }

    /// One end closes: the other reads what is under way, then the end. What comes the other way is lost.
    pub(crate) fn close(&mut self, now: Instant, towards: Towards) {
        let lane = self.lane(towards);
        let at = lane.under_way.back().map_or(now, |(at, _)| *at);
        lane.ends_at.get_or_insert(at);
        let back = self.lane(match towards {
            Towards::Orchestrator => Towards::Trainer,
            Towards::Trainer => Towards::Orchestrator,
        });
        back.deaf = true;
        back.under_way.clear();
    }

    /// Everything under way is lost, and both ends see the end.
    pub(crate) fn cut(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.under_way.clear();
            lane.ends_at = Some(now);
        }
    }

    /// What has arrived; to drain, also what is still under way: the kernel has it already.
    pub(crate) fn read(&mut self, now: Instant, towards: Towards, drain: bool) -> Read {
        let lane = self.lane(towards);
        match lane.under_way.front() {
            Some((at, _)) if drain || *at <= now => {
                lane.under_way.pop_front().map_or(Read::Nothing, |(_, bytes)| Read::Bytes(bytes))
            }
            None if lane.ends_at.is_some_and(|at| drain || at <= now) => Read::End,
            _ => Read::Nothing,
        }
    }

    /// When something arrives next.
    pub(crate) fn next(&self, towards: Towards) -> Option<Instant> {
        let lane = &self.lanes[towards as usize];
        lane.under_way.front().map(|(at, _)| *at).or(lane.ends_at)
    }

    fn lane(&mut self, towards: Towards) -> &mut Lane {
        &mut self.lanes[towards as usize]
    }
}
