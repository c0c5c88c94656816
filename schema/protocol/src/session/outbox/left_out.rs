//! Rows left out whose delivery has not been told of them yet.

use crate::id::Delivery;

#[derive(Debug, Default)]
pub(super) struct LeftOut(Vec<(Delivery, u64)>);

impl LeftOut {
    pub(super) fn add(&mut self, delivery: Delivery, rows: u64) {
        match self.0.iter_mut().find(|(of, _)| *of == delivery) {
            _ if rows == 0 => {}
            Some((_, sum)) => *sum += rows,
            None => self.0.push((delivery, rows)),
        }
    }

    pub(super) fn take(&mut self, delivery: Delivery) -> u64 {
        let at = self.0.iter().position(|(of, _)| *of == delivery);
        at.map_or(0, |at| self.0.swap_remove(at).1)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Delivery, u64)> {
        self.0.drain(..)
    }
}
