//! Things that are numbered from 1 on in the order in which they came. Some of them are forgotten later; their
//! numbers are never given again.
//!
//! They lie side by side in chunks. A tree of the single ones would be half empty, as trees are that only grow at
//! their end.

use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, PartialEq)]
pub(super) struct Numbered<T> {
    last: u64,
    /// None is empty.
    chunks: BTreeMap<u64, Box<Chunk<T>>>,
}

type Chunk<T> = [Option<T>; CHUNK];

/// Enough that the tree above them weighs nothing; few enough that a small orchestrator stays small.
const CHUNK: usize = 16;

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { last: 0, chunks: BTreeMap::new() }
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
        let (chunk, at) = place(number);
        self.chunks.get(&chunk)?[at].as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (chunk, at) = place(number);
        self.chunks.get_mut(&chunk)?[at].as_mut()
    }

    /// Adds one with a number that none had; `None` if that cannot be.
    pub(super) fn add(&mut self, number: u64, item: T) -> Option<()> {
        if !self.is_new(number) {
            return None;
        }
        self.last = number;
        let (chunk, at) = place(number);
        self.chunks.entry(chunk).or_insert_with(|| Box::new([const { None }; CHUNK]))[at] = Some(item);
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
        let (number, at) = place(number);
        let chunk = self.chunks.get_mut(&number)?;
        let item = chunk[at].take();
        if chunk.iter().all(Option::is_none) {
            self.chunks.remove(&number);
        }
        item
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let places = |chunk: u64| (chunk * CHUNK as u64)..;
        self.chunks
            .iter()
            .flat_map(move |(number, chunk)| places(*number).zip(chunk.iter()))
            .filter_map(|(number, item)| Some((number, item.as_ref()?)))
    }
}

/// The chunk, and where in it.
fn place(number: u64) -> (u64, usize) {
    let at = usize::try_from(number % CHUNK as u64).expect("less than a chunk");
    (number / CHUNK as u64, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_leaves_no_memory_and_its_number_is_not_given_again() {
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
        assert_eq!(numbered.chunks.len(), 2);
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
