//! How rows of metrics come into an outbox, are thinned in it, and leave it.

use std::sync::Arc;

use super::buffer::SHAPES_MAX;
use super::size::Size;
use super::{Flush, Outbox, WRITER_SIZE_BYTES_MAX, columns};
use crate::error::ProtocolError;
use crate::frame::FrameWriter;
use crate::message::{FromTrainer, Report};

impl Outbox {
    /// Takes all rows out of `report`, and leaves it memory for the next ones.
    pub(in crate::session) fn push_rows(&mut self, report: &mut Report) {
        report.thinned += self.left_out.take(report.delivery);
        let mut kept = self.ready.iter_mut().rev().take(SHAPES_MAX).map_while(|message| match message {
            FromTrainer::Report(kept) if kept.delivery == report.delivery => Some(kept),
            _ => None,
        });
        let size = columns::size(report);
        if let Some(kept) = kept.find(|kept| columns::same_shape(kept, report)) {
            columns::append(kept, report);
            self.rows += Size { bytes: size.bytes - columns::shape_size_bytes(report), ..size };
        } else {
            let spare = self.spare_for(report);
            self.ready.push_back(FromTrainer::Report(std::mem::replace(report, spare)));
            self.rows += size;
        }
        if self.rows.exceeds(self.limits.rows_max, self.limits.rows_size_bytes_max) {
            self.thin();
        }
        self.flush = Flush::Now;
    }

    /// Sends rows frame by frame as long as the writer has room; the rest stays ready.
    pub(super) fn send_report(
        &mut self,
        mut report: Report,
        writer: &mut FrameWriter,
    ) -> Result<(), ProtocolError> {
        self.rows -= columns::size(&report);
        let (rows, per_frame) = (report.times_us.len(), columns::rows_per_frame(&report));
        let mut sent = 0;
        loop {
            let end = rows.min(sent + per_frame);
            writer.push_rows(&report, sent..end)?;
            sent = end;
            if sent == rows {
                break;
            }
            if writer.len_bytes() >= WRITER_SIZE_BYTES_MAX {
                columns::remove_first(&mut report, sent);
                self.rows += columns::size(&report);
                self.ready.push_front(FromTrainer::Report(report));
                return Ok(());
            }
        }
        report.forget_rows();
        self.keep_as_spare(report);
        Ok(())
    }

    /// Makes room as [`RowBuffer`](super::RowBuffer) does.
    fn thin(&mut self) {
        let mut rows = Size::default();
        for message in &mut self.ready {
            if let FromTrainer::Report(report) = message {
                columns::thin(report);
                rows += columns::size(report);
            }
        }
        let (count, bytes) = (self.limits.rows_max / 4 * 3, self.limits.rows_size_bytes_max / 4 * 3);
        let left_out = &mut self.left_out;
        self.ready.retain(|message| match message {
            FromTrainer::Report(report) if rows.exceeds(count, bytes) => {
                rows -= columns::size(report);
                left_out.add(report.delivery, report.thinned + report.times_us.len() as u64);
                false
            }
            _ => true,
        });
        self.rows = rows;
    }

    /// An empty report of the same shape.
    fn spare_for(&mut self, report: &Report) -> Report {
        let at = self.spares.iter().position(|spare| columns::same_shape(spare, report));
        let mut spare = match at {
            Some(at) => self.spares.swap_remove(at),
            None => Report {
                steps: report.steps.as_ref().map(|_| Vec::new()),
                epochs: report.epochs.as_ref().map(|_| Vec::new()),
                ..columns::without_rows(report.delivery, 0)
            },
        };
        spare.names = Arc::clone(&report.names);
        spare.delivery = report.delivery;
        spare
    }

    fn keep_as_spare(&mut self, report: Report) {
        let kept_bytes: usize = self.spares.iter().map(columns::capacity_bytes).sum();
        let fits = kept_bytes + columns::capacity_bytes(&report) <= SPARES_SIZE_BYTES_MAX;
        if self.spares.len() < SHAPES_MAX && fits {
            self.spares.push(report);
        }
    }
}

/// The memory of sent reports that is kept for the next ones: what a flood of a few shapes needs.
const SPARES_SIZE_BYTES_MAX: usize = 4 << 20;
