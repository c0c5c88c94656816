//! Where rows of metrics wait before the session gets them: apart from it, so that putting one in
//! need not wait for whoever is at the session.

use super::columns::{self, Row};
use super::left_out::LeftOut;
use super::pace::{Look, Pace, Then};
use super::size::Size;
use crate::id::Delivery;
use crate::message::Report;

/// Rows on their way from the trainer's code to its session, in columns, with the rules of when they
/// go on. Put rows in with [`push`](Self::push) or [`push_row`](Self::push_row), then ask
/// [`then`](Self::then) what follows.
#[derive(Debug)]
pub struct RowBuffer {
    limits: RowLimits,
    /// One a shape and delivery. Those without rows keep their memory for the next ones.
    groups: Vec<Group>,
    groups_made: u64,
    /// Of the groups that have rows.
    size: Size,
    left_out: LeftOut,
    pace: Pace,
}

/// What a [`RowBuffer`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// Rows; at half of it they shall leave at once, above it they are thinned. 8,192: half of them
    /// are about what a socket takes at once.
    pub rows_max: usize,
    /// The memory of these rows, with the same consequences. 2 MiB.
    pub size_bytes_max: usize,
}

/// A place for rows of one shape: the same names, all or none with a step, all or none with an epoch.
/// Good until [`RowBuffer::push`] says that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    at: usize,
    number: u64,
}

/// The numbers of a row whose names are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers<'a> {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// Present if the shape says so.
    pub step: Option<i64>,
    /// Present if the shape says so.
    pub epoch: Option<f64>,
    /// As many as the shape has names, in pieces.
    pub values: [&'a [f64]; 3],
}

#[derive(Debug)]
struct Group {
    number: u64,
    report: Report,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self { rows_max: 8 << 10, size_bytes_max: 2 << 20 }
    }
}

impl RowBuffer {
    /// Without rows.
    pub fn new(limits: RowLimits) -> Self {
        Self {
            limits,
            groups: Vec::new(),
            groups_made: 0,
            size: Size::default(),
            left_out: LeftOut::default(),
            pace: Pace::default(),
        }
    }

    /// The place for rows of this shape; the row's numbers do not matter. `None` if such a row has to
    /// be taken apart, or loses metrics: leave it to [`push_row`](Self::push_row).
    pub fn shape_of(&mut self, delivery: Delivery, row: &Row<'_>) -> Option<Shape> {
        let whole = columns::split_metrics(row.metrics).1.is_empty();
        let nameable = row.metrics.iter().all(|(name, _)| columns::is_nameable(name));
        (whole && nameable).then(|| self.find_or_make(delivery, row))
    }

    /// Appends a row at its place. `false`, and nothing done, if it is not the place of the shape and
    /// delivery any more, or the numbers are not of that shape: ask for a new one.
    pub fn push(&mut self, shape: Shape, delivery: Delivery, row: Numbers<'_>) -> bool {
        let Some(group) = self.groups.get_mut(shape.at) else { return false };
        let report = &mut group.report;
        let width: usize = row.values.iter().map(|piece| piece.len()).sum();
        if group.number != shape.number
            || report.delivery != delivery
            || report.names.len() != width
            || report.steps.is_some() != row.step.is_some()
            || report.epochs.is_some() != row.epoch.is_some()
        {
            return false;
        }
        if report.times_us.is_empty() {
            self.size.bytes += columns::shape_size_bytes(report);
        }
        report.times_us.push(row.time_us);
        if let (Some(steps), Some(step)) = (&mut report.steps, row.step) {
            steps.push(step);
        }
        if let (Some(epochs), Some(epoch)) = (&mut report.epochs, row.epoch) {
            epochs.push(epoch);
        }
        row.values.iter().for_each(|piece| report.values.extend_from_slice(piece));
        self.size += Size { count: 1, bytes: columns::row_size_bytes(report) };
        if self.size.exceeds(self.limits.rows_max, self.limits.size_bytes_max) {
            self.thin();
        }
        true
    }

    /// Appends a row. Of names longer than 4 KiB the metrics are left out; returns how many.
    pub fn push_row(&mut self, delivery: Delivery, row: Row<'_>) -> usize {
        let too_long = row.metrics.iter().filter(|(name, _)| !columns::is_nameable(name)).count();
        if too_long == 0 {
            self.push_nameable(delivery, row);
        } else {
            let metrics: Vec<_> =
                row.metrics.iter().copied().filter(|(name, _)| columns::is_nameable(name)).collect();
            self.push_nameable(delivery, Row { metrics: &metrics, ..row });
        }
        too_long
    }

    /// What follows from the row that was put in last. `first` of its delivery, it leaves at once.
    pub fn then(&mut self, time_us: u64, first: bool) -> Then {
        let half_full = self.size.exceeds(self.limits.rows_max / 2, self.limits.size_bytes_max / 2);
        self.pace.after_row(time_us, first || half_full)
    }

    /// After [`Then::Send`], when somebody else is at the session: the watcher shall do it. Whether he
    /// has to be woken.
    pub fn hurry(&mut self) -> bool {
        self.pace.hurry()
    }

    /// The watcher's look, whenever he is awake.
    pub fn watch(&mut self, time_us: u64) -> Look {
        let empty = self.is_empty();
        self.pace.look(time_us, empty)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|group| columns::is_empty(&group.report))
    }

    /// Hands all rows to `take`, which has to leave its report without any.
    pub(in crate::session) fn take(&mut self, mut take: impl FnMut(&mut Report)) {
        for Group { report, .. } in &mut self.groups {
            report.thinned += self.left_out.take(report.delivery);
            if !columns::is_empty(report) {
                take(report);
                debug_assert!(columns::is_empty(report));
            }
        }
        for (delivery, rows) in self.left_out.drain() {
            take(&mut columns::without_rows(delivery, rows));
        }
        self.size = Size::default();
        let surplus = self.groups.len().saturating_sub(SHAPES_MAX);
        self.groups.drain(..surplus);
    }

    fn push_nameable(&mut self, delivery: Delivery, row: Row<'_>) {
        let mut rest = row.metrics;
        loop {
            let (fitting, left) = columns::split_metrics(rest);
            let part = Row { metrics: fitting, ..row };
            let shape = self.find_or_make(delivery, &part);
            // Not worth a scratch buffer: rows of known shapes do not come here.
            let values: Vec<f64> = fitting.iter().map(|(_, value)| *value).collect();
            let Row { time_us, step, epoch, .. } = part;
            let pushed =
                self.push(shape, delivery, Numbers { time_us, step, epoch, values: [&values, &[], &[]] });
            debug_assert!(pushed);
            if left.is_empty() {
                return;
            }
            rest = left;
        }
    }

    fn find_or_make(&mut self, delivery: Delivery, row: &Row<'_>) -> Shape {
        let free = |report: &Report| report.delivery == delivery || columns::is_empty(report);
        let recent = self.groups.len().saturating_sub(SHAPES_MAX)..self.groups.len();
        let known = recent.rev().find(|at| {
            self.groups
                .get(*at)
                .is_some_and(|group| free(&group.report) && columns::has_shape_of(&group.report, row))
        });
        let at = known.unwrap_or_else(|| {
            self.groups_made += 1;
            let report = columns::with_shape_of(row, delivery);
            self.groups.push(Group { number: self.groups_made, report });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.report.delivery = delivery;
        Shape { at, number: group.number }
    }

    /// Makes room: first every other row of each group goes, then, if there are so many shapes that
    /// this is not enough, the oldest groups.
    fn thin(&mut self) {
        let mut size = Size::default();
        for Group { report, .. } in &mut self.groups {
            columns::thin(report);
            if !report.times_us.is_empty() {
                size += columns::size(report);
            }
        }
        let (count, bytes) = (self.limits.rows_max / 4 * 3, self.limits.size_bytes_max / 4 * 3);
        let left_out = &mut self.left_out;
        self.groups.retain(|Group { report, .. }| {
            if report.times_us.is_empty() || !size.exceeds(count, bytes) {
                return true;
            }
            size -= columns::size(report);
            left_out.add(report.delivery, report.thinned + report.times_us.len() as u64);
            false
        });
        self.size = size;
    }
}

/// Shapes of rows told apart; more of them only cost more frames.
pub(super) const SHAPES_MAX: usize = 32;

#[cfg(test)]
mod tests;
