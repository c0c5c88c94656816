//! Things that are numbered from 1 on in the order in which they came. Some of them are forgotten later; their
//! numbers are never given again.

use crate::by_number::ByNumber;

/// See the module.
#[derive(Debug, PartialEq)]
pub(super) struct Numbered<T> {
    last: u64,
    items: ByNumber<u64, T>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { last: 0, items: ByNumber::default() }
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
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_what_is_forgotten_is_not_given_again() {
        let mut numbered = Numbered::default();
        for number in 1..=40 {
            assert_eq!(numbered.next(), number);
            numbered.add(number, number).unwrap();
        }
        assert_eq!(numbered.add(40, 0), None);
        for number in 16..32 {
            assert_eq!(numbered.forget(number), Some(number));
            assert_eq!((numbered.forget(number), numbered.get(number)), (None, None));
        }
        let left: Vec<u64> = numbered.iter().map(|(number, item)| number.min(*item)).collect();
        assert_eq!(left, (1..16).chain(32..=40).collect::<Vec<_>>());
        *numbered.get_mut(33).unwrap() = 7;
        assert_eq!((numbered.get(33), numbered.last()), (Some(&7), 40));
        // Without what is forgotten it is the same as one that never had it.
        let mut other = Numbered::default();
        for number in (1..16).chain(32..=40) {
            other.add(number, if number == 33 { 7 } else { number }).unwrap();
        }
        assert_eq!(numbered, other);
    }
}
