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
//! `ready` is in causal order, so a delivery's rows leave before its result.

mod rows;

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::time::{Duration, Instant};

pub use rows::Row;

use crate::error::ProtocolError;
use crate::frame::FrameWriter;
use crate::id::Delivery;
use crate::limits::{UNACKNOWLEDGED_MAX, UNACKNOWLEDGED_SIZE_BYTES_MAX};
use crate::message::{AckEntry, Bye, FromTrainer, Metric, MetricValue, Outcome, Report};

/// What a trainer keeps in memory for an orchestrator that does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Rows of metrics; at half of it they are flushed, above it thinned. 16,384.
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
    last_flush: Option<Instant>,
    /// Reports that were sent, without their rows: names and columns for the next ones.
    spares: Vec<Report>,
    /// Rows left out of a delivery whose next report will say so.
    left_out: Vec<(Delivery, u64)>,
}

/// When `ready` leaves. The smaller, the sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flush {
    /// As soon as the writer takes it.
    Now,
    /// Rows and a held back Started wait for company until then.
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
            last_flush: None,
            spares: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn push_started(&mut self, now: Instant, delivery: Delivery, hold_back: bool) {
        self.ready.push_back(FromTrainer::Started(delivery));
        self.flush = self.flush.min(if hold_back { Flush::At(now + FLUSH_INTERVAL) } else { Flush::Now });
    }

    /// Takes a row. Returns how many metrics were left out because of their names' length.
    pub(super) fn push_row(&mut self, now: Instant, delivery: Delivery, row: Row<'_>, first: bool) -> usize {
        let too_long = row.metrics.iter().filter(|(name, _)| !rows::is_nameable(name)).count();
        if too_long == 0 {
            self.push_nameable(delivery, row);
        } else {
            let metrics: Vec<_> =
                row.metrics.iter().copied().filter(|(name, _)| rows::is_nameable(name)).collect();
            self.push_nameable(delivery, Row { metrics: &metrics, ..row });
        }
        if self.rows.exceeds(self.limits.rows_max, self.limits.rows_size_bytes_max) {
            self.thin();
        }
        let half_full = self.rows.exceeds(self.limits.rows_max / 2, self.limits.rows_size_bytes_max / 2);
        self.flush = self.flush.min(match self.last_flush {
            Some(last) if !first && !half_full => Flush::At(now.max(last + FLUSH_INTERVAL)),
            _ => Flush::Now,
        });
        too_long
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

    pub(super) fn push_bye(&mut self, bye: Bye) {
        self.ready.push_back(FromTrainer::Bye(bye));
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
        self.left_out.retain(|(of, _)| *of != delivery);
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
                self.last_flush = Some(now);
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

    fn push_nameable(&mut self, delivery: Delivery, row: Row<'_>) {
        let mut rest = row.metrics;
        loop {
            let (fitting, left) = rows::split_metrics(rest);
            self.push_fitting(delivery, Row { metrics: fitting, ..row });
            if left.is_empty() {
                return;
            }
            rest = left;
        }
    }

    fn push_fitting(&mut self, delivery: Delivery, row: Row<'_>) {
        let same_shape = self
            .ready
            .iter()
            .rev()
            .take(SHAPES_MAX)
            .map_while(|message| match message {
                FromTrainer::Report(report) if report.delivery == delivery => Some(report),
                _ => None,
            })
            .position(|report| rows::has_shape_of(report, &row));
        if same_shape.is_none() {
            let spare = self.spares.iter().position(|spare| rows::has_shape_of(spare, &row));
            let spare = spare.map(|at| self.spares.swap_remove(at)).or_else(|| self.spares.pop());
            let mut report = rows::with_shape_of(&row, delivery, spare);
            report.thinned = self.take_left_out(delivery);
            self.rows += rows::size(&report);
            self.ready.push_back(FromTrainer::Report(report));
        }
        let at = self.ready.len() - 1 - same_shape.unwrap_or(0);
        if let FromTrainer::Report(report) = &mut self.ready[at] {
            self.rows += rows::push(report, &row);
        }
    }

    /// Makes room: first every other row of each report goes, then, if there are so many shapes
    /// that this is not enough, the oldest reports.
    fn thin(&mut self) {
        let mut rows = Size::default();
        for message in &mut self.ready {
            if let FromTrainer::Report(report) = message {
                rows::thin(report);
                rows += rows::size(report);
            }
        }
        let (count, bytes) = (self.limits.rows_max / 4 * 3, self.limits.rows_size_bytes_max / 4 * 3);
        let left_out = &mut self.left_out;
        self.ready.retain(|message| match message {
            FromTrainer::Report(report) if rows.exceeds(count, bytes) => {
                rows -= rows::size(report);
                add_left_out(left_out, report.delivery, report.thinned + report.times_us.len() as u64);
                false
            }
            _ => true,
        });
        self.rows = rows;
    }

    /// A result says that its delivery was started, unless it says the opposite, and it is the last
    /// occasion to say how many rows were left out.
    fn before_result(&mut self, delivery: Delivery, returned: bool) {
        if !returned && self.ready.back() == Some(&FromTrainer::Started(delivery)) {
            self.ready.pop_back();
        }
        let thinned = self.take_left_out(delivery);
        if thinned > 0 {
            let report = rows::without_rows(delivery, thinned);
            self.rows += rows::size(&report);
            self.ready.push_back(FromTrainer::Report(report));
        }
    }

    fn send_report(&mut self, mut report: Report, writer: &mut FrameWriter) -> Result<(), ProtocolError> {
        self.rows -= rows::size(&report);
        if let Some(first) = rows::split_frame_off(&mut report) {
            self.rows += rows::size(&report);
            self.ready.push_front(FromTrainer::Report(report));
            return writer.push_from_trainer(&FromTrainer::Report(first));
        }
        let message = FromTrainer::Report(report);
        writer.push_from_trainer(&message)?;
        if let FromTrainer::Report(mut report) = message
            && self.spares.len() < SHAPES_MAX
        {
            rows::clear(&mut report);
            self.spares.push(report);
        }
        Ok(())
    }

    fn take_left_out(&mut self, delivery: Delivery) -> u64 {
        let at = self.left_out.iter().position(|(of, _)| *of == delivery);
        at.map_or(0, |at| self.left_out.swap_remove(at).1)
    }

    fn retain(&mut self, keep: impl Fn(&FromTrainer) -> bool) {
        self.waiting.retain(&keep);
        self.ready.retain(&keep);
        self.rows = Size::default();
        self.unacknowledged = Size::default();
        for message in self.waiting.iter().chain(&self.ready) {
            match message {
                FromTrainer::Report(report) => self.rows += rows::size(report),
                message => self.unacknowledged += unacknowledged_size(message),
            }
        }
    }
}

/// A number of things and the memory they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    count: usize,
    bytes: usize,
}

impl Size {
    fn exceeds(self, count: usize, bytes: usize) -> bool {
        self.count > count || self.bytes > bytes
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.count -= other.count;
        self.bytes -= other.bytes;
    }
}

fn add_left_out(left_out: &mut Vec<(Delivery, u64)>, delivery: Delivery, rows: u64) {
    match left_out.iter_mut().find(|(of, _)| *of == delivery) {
        Some((_, sum)) => *sum += rows,
        None => left_out.push((delivery, rows)),
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

/// About the memory a result or checkpoint takes, and at least what it takes in a frame.
pub(super) fn size_in_memory_bytes(message: &FromTrainer) -> usize {
    unacknowledged_size(message).bytes
}

/// Nothing for messages that are not kept.
fn unacknowledged_size(message: &FromTrainer) -> Size {
    let (metrics, texts) = match message {
        FromTrainer::Checkpoint(checkpoint) => (&checkpoint.metrics, checkpoint.at.path.len()),
        FromTrainer::Result(result) => (
            &result.metrics,
            match &result.outcome {
                Outcome::Failed(error) | Outcome::Retry { error, .. } => {
                    error.kind.len() + error.text.len() + error.traceback.len()
                }
                Outcome::Returned { code } => code.len(),
                Outcome::Succeeded | Outcome::Stopped => 0,
            },
        ),
        _ => return Size::default(),
    };
    Size {
        count: 1,
        bytes: size_of::<FromTrainer>() + texts + metrics.iter().map(metric_size_bytes).sum::<usize>(),
    }
}

fn metric_size_bytes(metric: &Metric) -> usize {
    let text = match &metric.value {
        MetricValue::Number(_) => 0,
        MetricValue::Text(text) => text.len(),
    };
    size_of::<Metric>() + metric.name.len() + text
}

/// The longest a row waits for company.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Above this the socket is the bottleneck, and rows are better off where they can be thinned.
pub(super) const WRITER_SIZE_BYTES_MAX: usize = 256 << 10;

/// Shapes of rows told apart between two flushes; more of them only cost more frames.
const SHAPES_MAX: usize = 32;
