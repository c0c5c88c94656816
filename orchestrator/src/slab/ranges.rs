//! Which parts of a slab are free. Nothing but arithmetic.
//!
//! ```text
//!   0        8 KiB      20 KiB                 64 KiB
//!   ├────────┼───────────┼───────┬───────┬──────┤
//!   │  task  │   free    │ task  │ task  │ free │      first fit, whole pages,
//!   └────────┴───────────┴───────┴───────┴──────┘      free neighbours are one
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

/// See the module.
#[derive(Debug)]
pub(super) struct Ranges {
    /// End by start, in bytes, of every part that is free: whole pages, none empty, no two touching.
    free: BTreeMap<usize, usize>,
}

impl Ranges {
    /// All of `size_bytes` is free, down to a whole page.
    pub(super) fn new(size_bytes: usize) -> Self {
        let end = size_bytes - size_bytes % PAGE_SIZE_BYTES;
        let free = if end > 0 { BTreeMap::from([(0, end)]) } else { BTreeMap::new() };
        Self { free }
    }

    /// The first part in which `len` bytes have room, up to a whole page. `None` where there is no such
    /// part, or nothing to have room for.
    pub(super) fn take(&mut self, len: usize) -> Option<Range<usize>> {
        let len = len.checked_next_multiple_of(PAGE_SIZE_BYTES).filter(|len| *len > 0)?;
        let (&start, &end) = self.free.iter().find(|(start, end)| *end - *start >= len)?;
        self.free.remove(&start);
        if start + len < end {
            self.free.insert(start + len, end);
        }
        Some(start..start + len)
    }

    /// Gives back what [`take`](Self::take) gave.
    pub(super) fn give_back(&mut self, range: Range<usize>) {
        let Range { mut start, mut end } = range;
        if let Some((&after, &its_end)) = self.free.range(start..).next() {
            assert!(end <= after, "{start}..{end} was free");
            if after == end {
                self.free.remove(&after);
                end = its_end;
            }
        }
        if let Some((&before, &its_end)) = self.free.range(..start).next_back() {
            assert!(its_end <= start, "{start}..{end} was free");
            if its_end == start {
                start = before;
            }
        }
        self.free.insert(start, end);
    }

    /// Bytes that are free, in however many parts.
    pub(super) fn free_bytes(&self) -> usize {
        self.free.iter().map(|(start, end)| end - start).sum()
    }
}

/// The smallest page of any machine, and what hyperparameters produced in place are aligned to.
const PAGE_SIZE_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_are_whole_and_the_first_gap_that_fits_is_taken() {
        let mut ranges = Ranges::new(5 * PAGE_SIZE_BYTES + 17);
        let page = |page: usize| page * PAGE_SIZE_BYTES;
        assert_eq!(ranges.take(0), None);
        assert_eq!(ranges.take(usize::MAX), None);
        assert_eq!(ranges.take(1), Some(0..page(1)));
        assert_eq!(ranges.take(page(1) + 1), Some(page(1)..page(3)));
        assert_eq!(ranges.take(page(1)), Some(page(3)..page(4)));
        ranges.give_back(0..page(1));
        ranges.give_back(page(3)..page(4));
        assert_eq!(ranges.take(page(2)), Some(page(3)..page(5)));
        assert_eq!(ranges.take(page(2)), None);
        assert_eq!(ranges.free_bytes(), page(1));
        assert_eq!(Ranges::new(PAGE_SIZE_BYTES - 1).take(1), None);
    }

    #[test]
    #[should_panic(expected = "was free")]
    fn nothing_is_given_back_twice() {
        let mut ranges = Ranges::new(PAGE_SIZE_BYTES);
        let range = ranges.take(1).unwrap();
        ranges.give_back(range.clone());
        ranges.give_back(range);
    }

    proptest! {
        /// Against a list that says of each page whether it is taken.
        #[test]
        fn ranges_never_overlap_and_nothing_is_lost(
            pages in 0..40_usize,
            steps in prop::collection::vec((any::<bool>(), 0..6 * PAGE_SIZE_BYTES, any::<prop::sample::Index>()), 0..200),
        ) {
            let mut ranges = Ranges::new(pages * PAGE_SIZE_BYTES);
            let mut taken = vec![false; pages];
            let mut held: Vec<Range<usize>> = Vec::new();
            let of = |range: &Range<usize>| range.start / PAGE_SIZE_BYTES..range.end / PAGE_SIZE_BYTES;
            for (take, len, index) in steps {
                if take {
                    let count = len.div_ceil(PAGE_SIZE_BYTES);
                    let fits = |start: &usize| taken[*start..*start + count].iter().all(|taken| !taken);
                    let first = (0..(pages + 1).saturating_sub(count)).find(fits).filter(|_| count > 0);
                    let range = ranges.take(len);
                    prop_assert_eq!(range.as_ref().map(|range| range.start / PAGE_SIZE_BYTES), first);
                    if let Some(range) = range {
                        prop_assert!(range.len() >= len && range.len() < len + PAGE_SIZE_BYTES);
                        taken[of(&range)].fill(true);
                        held.push(range);
                    }
                } else if !held.is_empty() {
                    let range = held.swap_remove(index.index(held.len()));
                    taken[of(&range)].fill(false);
                    ranges.give_back(range);
                }
                let free = taken.iter().filter(|taken| !**taken).count();
                prop_assert_eq!(ranges.free_bytes(), free * PAGE_SIZE_BYTES);
                let gaps: Vec<_> = ranges.free.iter().collect();
                prop_assert!(gaps.windows(2).all(|pair| pair[0].1 < pair[1].0), "two gaps touch: {:?}", gaps);
            }
            for range in held {
                ranges.give_back(range);
            }
            prop_assert_eq!(ranges.take(pages * PAGE_SIZE_BYTES), (pages > 0).then_some(0..pages * PAGE_SIZE_BYTES));
        }
    }
}
