//! Things that are numbered from 1 on in the order in which they came. Some of them are forgotten later; their
//! numbers are never given again.

use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, PartialEq)]
pub(super) struct Numbered<T> {
    last: u64,
    items: BTreeMap<u64, T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { last: 0, items: BTreeMap::new() }
    }
}

impl<T> Numbered<T> {
    /// The number of the next one.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    /// The highest number there ever was.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.items.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.items.get_mut(&number)
    }

    /// Adds one with a number that none had; `None` if that cannot be.
    pub(super) fn add(&mut self, number: u64, item: T) -> Option<()> {
        if !self.is_new(number) {
            return None;
        }
        self.last = number;
        self.items.insert(number, item);
        Some(())
    }

    /// Of numbers that were given before a restart to what is forgotten by now there may be gaps.
    pub(super) fn is_new(&self, number: u64) -> bool {
        number > self.last
    }

    /// No number up to this one will be given.
    pub(super) fn skip(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    pub(super) fn forget(&mut self, number: u64) -> Option<T> {
        self.items.remove(&number)
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.items.iter().map(|(number, item)| (*number, item))
    }
}
