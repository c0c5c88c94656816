//! What is sent, and how its arrival is proven.

use serde::{Deserialize, Serialize};

/// A task to send. Its bytes differ from those of every other number, so that stale memory is noticed.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub number: u64,
    /// Of the hyperparams, a multiple of 8.
    pub size_bytes: usize,
    pub work: Work,
}

/// What the receiver does with the view after it has taken the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Reads the first and the last word.
    Look,
    /// Touches every page, then sums all words.
    Sum,
}

/// What the receiver says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the four fields were read and a NumPy view existed; [`now_ns`](crate::now_ns)'s clock.
    pub read_ns: u64,
    /// When every page was touched; 0 for [`Work::Look`].
    pub touched_ns: u64,
    /// Number, epochs, length and words, added up; see [`Task::check`].
    pub check: u64,
}

/// Of every task.
pub const EPOCHS: i32 = 20;

/// Odd, with its bits spread: every byte of a word changes from word to word.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What every number a receiver can answer with holds: integers in doubles are exact up to 2⁵³.
const CHECK_MASK: u64 = (1 << 52) - 1;

impl Task {
    pub fn task_id(&self) -> String {
        format!("task-{:08}", self.number)
    }

    /// Tells the receiver its work.
    pub fn model_name(&self) -> &'static str {
        match self.work {
            Work::Look => "look",
            Work::Sum => "sum",
        }
    }

    /// Writes the hyperparams.
    pub fn fill(&self, buffer: &mut [u8]) {
        assert_eq!(buffer.len(), self.size_bytes, "the buffer is as long as the task");
        let mut word = self.first_word();
        for place in buffer.as_chunks_mut::<8>().0 {
            *place = word.to_le_bytes();
            word = word.wrapping_add(STEP);
        }
    }

    /// The hyperparams in fresh memory of the heap, as a producer would have them.
    pub fn produce(&self) -> Vec<u8> {
        let mut buffer = vec![0; self.size_bytes];
        self.fill(&mut buffer);
        buffer
    }

    /// Panics unless the receiver saw what was sent.
    pub fn verify(&self, answer: &Answer) {
        assert_eq!(
            answer.check,
            self.check(),
            "task {} of {} bytes arrived wrong",
            self.number,
            self.size_bytes
        );
    }

    /// What the receiver answers if all arrived.
    pub fn check(&self) -> u64 {
        let count = (self.size_bytes / 8) as u64;
        let first = self.first_word();
        let words = match self.work {
            Work::Look => first.wrapping_mul(2).wrapping_add((count - 1).wrapping_mul(STEP)),
            // n·first + STEP·n(n−1)/2, modulo 2⁶⁴; n(n−1) is even.
            Work::Sum => {
                let steps = u128::from(count) * u128::from(count - 1) / 2;
                count.wrapping_mul(first).wrapping_add((steps as u64).wrapping_mul(STEP))
            }
        };
        let fields = self.number + EPOCHS as u64 + self.size_bytes as u64;
        words.wrapping_add(fields) & CHECK_MASK
    }

    fn first_word(&self) -> u64 {
        self.number.wrapping_mul(0xd134_2543_de82_ef95)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_the_sum() {
        for (number, size_bytes) in [(1, 8), (7, 4096), (123_456, 80_008)] {
            for work in [Work::Look, Work::Sum] {
                let task = Task { number, size_bytes, work };
                let buffer = task.produce();
                let words: Vec<u64> =
                    buffer.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
                let words = match work {
                    Work::Look => words[0].wrapping_add(words[words.len() - 1]),
                    Work::Sum => words.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)),
                };
                let expected = words.wrapping_add(number + 20 + size_bytes as u64) & ((1 << 52) - 1);
                assert_eq!(task.check(), expected);
            }
        }
    }
}
