//! How rows of metrics come into an outbox, are thinned in it, and leave it.

use std::time::Instant;

use super::rows::{self, Row};
use super::size::Size;
use super::{FLUSH_INTERVAL, Flush, Outbox};
use crate::error::ProtocolError;
use crate::frame::FrameWriter;
use crate::id::Delivery;
use crate::limits::META_SIZE_BYTES_MAX;
use crate::message::{FromTrainer, Report};

impl Outbox {
    /// Takes a row. Returns how many metrics were left out because of their names' length.
    pub(in crate::session) fn push_row(
        &mut self,
        now: Instant,
        delivery: Delivery,
        row: Row<'_>,
        first: bool,
    ) -> usize {
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

    pub(super) fn send_report(
        &mut self,
        mut report: Report,
        writer: &mut FrameWriter,
    ) -> Result<(), ProtocolError> {
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
            && report.times_us.capacity().max(report.values.capacity()) <= SPARE_COLUMN_MAX
        {
            rows::clear(&mut report);
            self.spares.push(report);
        }
        Ok(())
    }

    pub(super) fn take_left_out(&mut self, delivery: Delivery) -> u64 {
        let at = self.left_out.iter().position(|(of, _)| *of == delivery);
        at.map_or(0, |at| self.left_out.swap_remove(at).1)
    }
}

fn add_left_out(left_out: &mut Vec<(Delivery, u64)>, delivery: Delivery, rows: u64) {
    match left_out.iter_mut().find(|(of, _)| *of == delivery) {
        Some((_, sum)) => *sum += rows,
        None => left_out.push((delivery, rows)),
    }
}

/// Shapes of rows told apart between two flushes; more of them only cost more frames.
const SHAPES_MAX: usize = 32;

/// Numbers the columns of a spare report have room for, at most: twice what fits a frame. What a
/// backlog has blown up is given back.
const SPARE_COLUMN_MAX: usize = 2 * META_SIZE_BYTES_MAX / size_of::<f64>();
