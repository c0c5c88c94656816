//! How far an attempt is and how long it will take, from the epochs it reports.

use std::time::{Duration, SystemTime};

/// The epochs of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    /// A fraction was seen, so that epochs are amounts (0.5, 1.0, …) and not numbers from 0 on.
    fractional: bool,
    first: Option<(f64, SystemTime)>,
    last: Option<(f64, SystemTime)>,
}

impl Pace {
    /// An epoch was reported. `report(epoch=0)` comes at the end of the first.
    pub(crate) fn epoch(&mut self, epoch: f64, at: SystemTime) {
        if !epoch.is_finite() || epoch < 0.0 {
            return;
        }
        self.fractional |= epoch.fract() != 0.0;
        if self.last.is_none_or(|(last, _)| epoch > last) {
            self.first.get_or_insert((epoch, at));
            self.last = Some((epoch, at));
        }
    }

    /// Epochs done of `max_epochs`.
    pub(crate) fn done(&self, max_epochs: i32) -> Option<f64> {
        let (last, _) = self.last?;
        Some((last + self.offset()).min(max_epochs.into()))
    }

    /// What is left, at the pace since the first report: what came before it may be start-up, and
    /// a resumed attempt does not begin with the first epoch.
    pub(crate) fn left(&self, max_epochs: i32, now: SystemTime) -> Option<Duration> {
        let ((first, first_at), (last, last_at)) = (self.first?, self.last?);
        if last <= first {
            return None;
        }
        let per_epoch = last_at.duration_since(first_at).ok()?.as_secs_f64() / (last - first);
        let epochs_left = (f64::from(max_epochs) - last - self.offset()).max(0.0);
        let left = Duration::try_from_secs_f64(per_epoch * epochs_left).ok()?;
        Some(left.saturating_sub(now.duration_since(last_at).unwrap_or_default()))
    }

    fn offset(&self) -> f64 {
        if self.fractional { 0.0 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn whole_epochs_count_from_nought() {
        let mut pace = Pace::default();
        assert_eq!(pace.done(10), None);
        pace.epoch(0.0, at(100));
        assert_eq!((pace.done(10), pace.left(10, at(100))), (Some(1.0), None));
        pace.epoch(1.0, at(102));
        pace.epoch(1.0, at(103));
        assert_eq!(pace.done(10), Some(2.0));
        assert_eq!(pace.left(10, at(102)), Some(Duration::from_secs(16)));
        assert_eq!(pace.left(10, at(103)), Some(Duration::from_secs(15)));
        pace.epoch(9.0, at(118));
        assert_eq!((pace.done(10), pace.left(10, at(200))), (Some(10.0), Some(Duration::ZERO)));
    }

    #[test]
    fn fractions_are_amounts() {
        let mut pace = Pace::default();
        pace.epoch(0.5, at(10));
        pace.epoch(1.0, at(20));
        assert_eq!(pace.done(2), Some(1.0));
        assert_eq!(pace.left(2, at(20)), Some(Duration::from_secs(20)));
    }

    #[test]
    fn odd_numbers_change_nothing() {
        let mut pace = Pace::default();
        for epoch in [f64::NAN, f64::INFINITY, -1.0] {
            pace.epoch(epoch, at(1));
        }
        assert_eq!(pace, Pace::default());
        pace.epoch(1e300, at(1));
        assert_eq!(pace.done(3), Some(3.0));
    }
}
