//! A map from numbers of ours, which are given in order: the jobs, trainers, tasks and connections of one
//! orchestrator.
//!
//! They lie side by side in chunks. A hash table would be half empty and would guard against keys that
//! somebody chose; a tree of the single ones is half empty, too, when it only grows at its end.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Bound;

use crate::record::{JobNo, TaskNo, TrainerNo};
use crate::scheduler::ConnectionNo;

/// See the module.
#[derive(Debug, PartialEq)]
pub(crate) struct ByNumber<K, T> {
    /// None is empty.
    chunks: BTreeMap<u64, Box<Chunk<T>>>,
    kind: PhantomData<K>,
}

/// What things are known by.
pub(crate) trait Number: Copy {
    fn of(number: u64) -> Self;
    fn number(self) -> u64;
}

type Chunk<T> = [Option<T>; CHUNK];

/// Enough that the tree above them weighs nothing; few enough that a small orchestrator stays small.
const CHUNK: usize = 16;

impl<K, T> Default for ByNumber<K, T> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), kind: PhantomData }
    }
}

impl<K: Number, T> ByNumber<K, T> {
    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        let (chunk, at) = place(*key);
        self.chunks.get(&chunk)?[at].as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let (chunk, at) = place(*key);
        self.chunks.get_mut(&chunk)?[at].as_mut()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Gives what had the number before.
    pub(crate) fn insert(&mut self, key: K, item: T) -> Option<T> {
        let (chunk, at) = place(key);
        let chunk = self.chunks.entry(chunk).or_insert_with(|| Box::new([const { None }; CHUNK]));
        chunk[at].replace(item)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<T> {
        let (number, at) = place(*key);
        let chunk = self.chunks.get_mut(&number)?;
        let item = chunk[at].take();
        if chunk.iter().all(Option::is_none) {
            self.chunks.remove(&number);
        }
        item
    }

    /// Counts them.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
    }

    /// In order, as are the others below.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        in_order(self.chunks.iter())
    }

    /// Those with higher numbers than this.
    pub(crate) fn iter_after(&self, key: K) -> impl Iterator<Item = (K, &T)> {
        let (first, _) = place(key);
        let chunks = self.chunks.range((Bound::Included(first), Bound::Unbounded));
        in_order(chunks).skip_while(move |(number, _): &(K, &T)| number.number() <= key.number())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.values_mut().flat_map(|chunk| chunk.iter_mut().flatten())
    }
}

fn in_order<'a, K: Number, T: 'a>(
    chunks: impl Iterator<Item = (&'a u64, &'a Box<Chunk<T>>)>,
) -> impl Iterator<Item = (K, &'a T)> {
    let places = |chunk: u64| (chunk * CHUNK as u64)..;
    chunks
        .flat_map(move |(number, chunk)| places(*number).zip(chunk.iter()))
        .filter_map(|(number, item)| Some((K::of(number), item.as_ref()?)))
}

impl<K: Number, T> FromIterator<(K, T)> for ByNumber<K, T> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(items: I) -> Self {
        let mut map = Self::default();
        for (key, item) in items {
            map.insert(key, item);
        }
        map
    }
}

/// The chunk, and where in it.
fn place<K: Number>(key: K) -> (u64, usize) {
    let at = usize::try_from(key.number() % CHUNK as u64).expect("less than a chunk");
    (key.number() / CHUNK as u64, at)
}

macro_rules! number {
    ($($kind:ident),*) => {$(
        impl Number for $kind {
            fn of(number: u64) -> Self {
                Self(number)
            }

            fn number(self) -> u64 {
                self.0
            }
        }
    )*};
}

number!(JobNo, TaskNo, TrainerNo, ConnectionNo);

/// Of deliveries.
impl Number for u64 {
    fn of(number: u64) -> Self {
        number
    }

    fn number(self) -> u64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_leaves_no_memory_and_the_rest_stays_in_order() {
        let mut map: ByNumber<u64, u64> = (1..=40).rev().map(|number| (number, number)).collect();
        assert_eq!(map.insert(40, 40), Some(40));
        for number in 16..32 {
            assert_eq!(map.remove(&number), Some(number));
            assert_eq!((map.remove(&number), map.get(&number)), (None, None));
        }
        assert_eq!(map.chunks.len(), 2);
        let left: Vec<u64> = (1..16).chain(32..=40).collect();
        assert_eq!(map.keys().collect::<Vec<_>>(), left);
        assert_eq!(map.iter_after(14).map(|(number, _)| number).take(2).collect::<Vec<_>>(), [15, 32]);
        assert_eq!(map.iter_after(20).count(), 9);
        map.values_mut().for_each(|item| *item += 1);
        assert!(map.iter().all(|(number, item)| *item == number + 1));
    }
}
