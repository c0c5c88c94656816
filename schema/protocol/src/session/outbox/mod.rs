//! What a trainer has to say and has not said for good: rows of metrics, which may be thinned, and
//! results and checkpoints, which are kept until acknowledged.
//!
//! ```text
//!                    push_*                flush                     acknowledge
//!   trainer's code ─────────► ready ─────────────────► waiting ──────────────────► gone
//!                               │     (rows: gone)        │
//!                               ◄─────────────────────────┘
//!                                 rewind: a new connection
//! ```
//!
//! `ready` is in causal order, so a delivery's rows leave before its result. Rows wait for company in
//! a [`RowBuffer`], and come here to leave.

mod buffer;
mod columns;
mod left_out;
mod pace;
mod reports;
mod size;

use std::collections::VecDeque;
use std::time::Instant;

pub use buffer::{Numbers, RowBuffer, RowLimits, Shape};
pub use columns::Row;
pub use pace::{Look, Then};
pub(super) use size::size_in_memory_bytes;

use crate::error::ProtocolError;
use crate::frame::FrameWriter;
use crate::id::Delivery;
use crate::limits::{UNACKNOWLEDGED_MAX, UNACKNOWLEDGED_SIZE_BYTES_MAX};
use crate::message::{AckEntry, Bye, FromTrainer, Outcome, Report};
use left_out::LeftOut;
use pace::FLUSH_INTERVAL;
use size::{Size, unacknowledged_size};

/// What a trainer keeps in memory for an orchestrator that does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Rows of metrics that cannot leave; above it they are thinned. 16,384.
    pub rows_max: usize,
    /// The memory of these rows. 4 MiB.
    pub rows_size_bytes_max: usize,
    /// Results and checkpoints not acknowledged; above it no new work is taken. 1,024.
    pub unacknowledged_max: usize,
    /// The memory of these results and checkpoints. 16 MiB.
    pub unacknowledged_size_bytes_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            rows_max: 16 << 10,
            rows_size_bytes_max: 4 << 20,
            unacknowledged_max: UNACKNOWLEDGED_MAX,
            unacknowledged_size_bytes_max: UNACKNOWLEDGED_SIZE_BYTES_MAX,
        }
    }
}

#[derive(Debug)]
pub(super) struct Outbox {
    limits: OutboxLimits,
    /// Sent on this connection, not acknowledged: results and checkpoints only.
    waiting: VecDeque<FromTrainer>,
    /// Not sent on this connection.
    ready: VecDeque<FromTrainer>,
    /// Of the reports in `ready`.
    rows: Size,
    /// Of the results and checkpoints in `waiting` and `ready`.
    unacknowledged: Size,
    flush: Flush,
    /// Reports that were sent, without their rows: columns for the next ones.
    spares: Vec<Report>,
    left_out: LeftOut,
}

/// When `ready` leaves. The smaller, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flush {
    /// As soon as the writer takes it.
    Now,
    /// A held back Started waits for company until then.
    At(Instant),
    /// Nothing is ready.
    Idle,
}

impl Outbox {
    pub(super) fn new(limits: OutboxLimits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            rows: Size::default(),
            unacknowledged: Size::default(),
            flush: Flush::Idle,
            spares: Vec::new(),
            left_out: LeftOut::default(),
        }
    }

    pub(super) fn push_started(&mut self, now: Instant, delivery: Delivery, hold_back: bool) {
        self.ready.push_back(FromTrainer::Started(delivery));
        self.flush = self.flush.min(if hold_back { Flush::At(now + FLUSH_INTERVAL) } else { Flush::Now });
    }

    /// Takes a result or checkpoint, and sends along what came before it.
    pub(super) fn push_unacknowledged(&mut self, message: FromTrainer) {
        if let FromTrainer::Result(result) = &message {
            self.before_result(result.delivery, matches!(result.outcome, Outcome::Returned { .. }));
        }
        self.unacknowledged += unacknowledged_size(&message);
        self.ready.push_back(message);
        self.flush = Flush::Now;
    }

    /// Once a connection is enough.
    pub(super) fn push_bye(&mut self, bye: Bye) {
        if !self.ready.iter().any(|message| matches!(message, FromTrainer::Bye(_))) {
            self.ready.push_back(FromTrainer::Bye(bye));
        }
        self.flush = Flush::Now;
    }

    /// Forgets what is acknowledged; `false` if it is not kept, as at a second Ack.
    pub(super) fn acknowledge(&mut self, entry: AckEntry) -> bool {
        let wanted = Some((entry.delivery, entry.seq));
        for queue in [&mut self.waiting, &mut self.ready] {
            let at = queue.iter().position(|message| key(message) == wanted);
            if let Some(message) = at.and_then(|at| queue.remove(at)) {
                self.unacknowledged -= unacknowledged_size(&message);
                return true;
            }
        }
        false
    }

    /// Whether this result or checkpoint is kept.
    pub(super) fn keeps(&self, delivery: Delivery, seq: u64) -> bool {
        self.unacknowledged().any(|message| key(message) == Some((delivery, seq)))
    }

    /// Forgets everything about a delivery.
    pub(super) fn drop_delivery(&mut self, delivery: Delivery) {
        self.retain(|message| delivery_of(message) != Some(delivery));
        self.left_out.take(delivery);
    }

    /// Forgets results and checkpoints that are safe elsewhere.
    pub(super) fn forget_unacknowledged(&mut self) {
        self.retain(|message| key(message).is_none());
    }

    /// A new connection: what was sent and not acknowledged is sent again, before the rest. Its
    /// Hello says which deliveries are started.
    pub(super) fn rewind(&mut self) {
        self.waiting.append(&mut self.ready);
        std::mem::swap(&mut self.waiting, &mut self.ready);
        self.retain(|message| !matches!(message, FromTrainer::Started(_) | FromTrainer::Bye(_)));
        self.flush = if self.ready.is_empty() { Flush::Idle } else { Flush::Now };
    }

    /// Moves what is due into the writer, as far as it has room.
    pub(super) fn flush(&mut self, now: Instant, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        if self.flush > Flush::At(now) {
            return Ok(());
        }
        self.flush = Flush::Now;
        while writer.len_bytes() < WRITER_SIZE_BYTES_MAX {
            let Some(message) = self.ready.pop_front() else {
                self.flush = Flush::Idle;
                return Ok(());
            };
            match message {
                FromTrainer::Report(report) => self.send_report(report, writer)?,
                FromTrainer::Result(_) | FromTrainer::Checkpoint(_) => {
                    writer.push_from_trainer(&message)?;
                    self.waiting.push_back(message);
                }
                _ => writer.push_from_trainer(&message)?,
            }
        }
        Ok(())
    }

    /// When `flush` has something to do of its own accord.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.flush {
            Flush::At(due) => Some(due),
            Flush::Now | Flush::Idle => None,
        }
    }

    /// Whether an Ack is owed for something that was sent on this connection.
    pub(super) fn awaits_ack(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Results and checkpoints, in the order they are sent.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &FromTrainer> {
        self.waiting.iter().chain(&self.ready).filter(|message| key(message).is_some())
    }

    /// Whether there is room for the results of further work.
    pub(super) fn has_room(&self) -> bool {
        self.unacknowledged.count < self.limits.unacknowledged_max
            && self.unacknowledged.bytes < self.limits.unacknowledged_size_bytes_max
    }

    /// A result says that its delivery was started, unless it says the opposite, and it is the last
    /// occasion to say how many rows were left out.
    fn before_result(&mut self, delivery: Delivery, returned: bool) {
        if !returned && self.ready.back() == Some(&FromTrainer::Started(delivery)) {
            self.ready.pop_back();
        }
        let thinned = self.left_out.take(delivery);
        if thinned > 0 {
            let report = columns::without_rows(delivery, thinned);
            self.rows += columns::size(&report);
            self.ready.push_back(FromTrainer::Report(report));
        }
    }

    fn retain(&mut self, keep: impl Fn(&FromTrainer) -> bool) {
        self.waiting.retain(&keep);
        self.ready.retain(&keep);
        self.rows = Size::default();
        self.unacknowledged = Size::default();
        for message in self.waiting.iter().chain(&self.ready) {
            match message {
                FromTrainer::Report(report) => self.rows += columns::size(report),
                message => self.unacknowledged += unacknowledged_size(message),
            }
        }
    }
}

/// What an Ack names, for what an Ack is needed for.
fn key(message: &FromTrainer) -> Option<(Delivery, u64)> {
    match message {
        FromTrainer::Checkpoint(checkpoint) => Some((checkpoint.delivery, checkpoint.seq)),
        FromTrainer::Result(result) => Some((result.delivery, result.seq)),
        _ => None,
    }
}

fn delivery_of(message: &FromTrainer) -> Option<Delivery> {
    match message {
        FromTrainer::Started(delivery) => Some(*delivery),
        FromTrainer::Report(report) => Some(report.delivery),
        message => key(message).map(|(delivery, _)| delivery),
    }
}

/// Above this the socket is the bottleneck, and rows are better off where they can be thinned.
pub(super) const WRITER_SIZE_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests;
