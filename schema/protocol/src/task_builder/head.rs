//! The front of a task whose hyperparameters are written, or lie, in place behind it.

use crate::limits::TASK_SIZE_BYTES_MAX;
use crate::task::{TaskError, check_fields};

/// Everything of a task but its hyperparameters, which follow it without a gap:
/// `head ‖ hyperparams` is the buffer of a `TrainingTask` for every FlatBuffers library.
///
/// A FlatBuffer can be laid out in any order as long as offsets point forwards, so the hyperparameters
/// can be last, and in front of them their length:
///
/// ```text
///  0       4        16      36                                          head - 4    head
///  ┌───────┬────────┬───────┬─────────┬────────────┬────────────────────┬───────────┬─────────────────
///  │ root  │ vtable │ table │ task_id │ model_name │ zeros              │ length    │ hyperparameters …
///  └───────┴────────┴───────┴─────────┴────────────┴────────────────────┴───────────┴─────────────────
/// ```
///
/// The head's size is a multiple of [`TASK_HEAD_ALIGNMENT_BYTES`] and depends on the names alone. In
/// page-aligned memory, then, so are the hyperparameters.
///
/// # Errors
///
/// As [`TaskBuilder::build`](super::TaskBuilder::build).
pub fn task_head(
    task_id: &str,
    model_name: &str,
    max_epochs: i32,
    hyperparams_size_bytes: usize,
) -> Result<Vec<u8>, TaskError> {
    let names = Names { task_id, model_name };
    let size_bytes = names.head_size_bytes(TASK_HEAD_ALIGNMENT_BYTES);
    names.check(max_epochs, size_bytes, hyperparams_size_bytes)?;
    let mut head = Vec::with_capacity(size_bytes);
    names.put_head(&mut head, size_bytes, max_epochs, hyperparams_size_bytes);
    Ok(head)
}

/// Of a task. The size of its head depends on them alone.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) task_id: &'a str,
    pub(super) model_name: &'a str,
}

impl Names<'_> {
    /// A multiple of the alignment, which is one of 4.
    pub(super) fn head_size_bytes(self, alignment_bytes: usize) -> usize {
        (self.end() + LENGTH_SIZE_BYTES).next_multiple_of(alignment_bytes)
    }

    fn end(self) -> usize {
        NAMES_AT + string_size_bytes(self.task_id) + string_size_bytes(self.model_name)
    }

    /// Whether a task can be like that. Gives its size.
    pub(super) fn check(
        self,
        max_epochs: i32,
        head_size_bytes: usize,
        hyperparams_size_bytes: usize,
    ) -> Result<usize, TaskError> {
        check_fields(self.task_id, self.model_name, max_epochs)?;
        let size_bytes = head_size_bytes.saturating_add(hyperparams_size_bytes);
        if size_bytes > TASK_SIZE_BYTES_MAX {
            return Err(TaskError::TooLarge { size_bytes, limit_bytes: TASK_SIZE_BYTES_MAX });
        }
        Ok(size_bytes)
    }

    /// Into an empty `head`, of what was [checked](Self::check).
    pub(super) fn put_head(
        self,
        head: &mut Vec<u8>,
        size_bytes: usize,
        max_epochs: i32,
        hyperparams_size_bytes: usize,
    ) {
        let task_id_at = NAMES_AT;
        let model_name_at = task_id_at + string_size_bytes(self.task_id);
        let length_at = size_bytes - LENGTH_SIZE_BYTES;
        put_u32(head, TABLE_AT);
        // The vtable: its size and the table's, then where in the table each field is, in the order of the
        // schema.
        for half in [VTABLE_SIZE_BYTES, TABLE_SIZE_BYTES, TASK_ID, MODEL_NAME, HYPERPARAMS, MAX_EPOCHS] {
            head.extend_from_slice(&half.to_le_bytes()[..2]);
        }
        // The table: how far back its vtable is, then offsets from where they stand.
        put_u32(head, TABLE_AT - VTABLE_AT);
        put_u32(head, task_id_at - (TABLE_AT + TASK_ID));
        put_u32(head, model_name_at - (TABLE_AT + MODEL_NAME));
        put_u32(head, length_at - (TABLE_AT + HYPERPARAMS));
        head.extend_from_slice(&max_epochs.to_le_bytes());
        for name in [self.task_id, self.model_name] {
            let end = head.len() + string_size_bytes(name);
            put_u32(head, name.len());
            head.extend_from_slice(name.as_bytes());
            // At least one: a string ends with a NUL.
            head.resize(end, 0);
        }
        head.resize(length_at, 0);
        put_u32(head, hyperparams_size_bytes);
    }
}

/// Every size and offset is below [`TASK_SIZE_BYTES_MAX`], so its lower half is all of it.
fn put_u32(head: &mut Vec<u8>, number: usize) {
    head.extend_from_slice(&number.to_le_bytes()[..4]);
}

/// Length, text, NUL, and zeros up to the next length.
fn string_size_bytes(text: &str) -> usize {
    (LENGTH_SIZE_BYTES + text.len() + 1).next_multiple_of(LENGTH_SIZE_BYTES)
}

/// The smallest page of any machine. Also more than any instruction asks of an array's alignment.
pub const TASK_HEAD_ALIGNMENT_BYTES: usize = 4 << 10;

const LENGTH_SIZE_BYTES: usize = 4;

const VTABLE_AT: usize = 4;
const VTABLE_SIZE_BYTES: usize = 4 + 4 * 2;

const TABLE_AT: usize = VTABLE_AT + VTABLE_SIZE_BYTES;
const TABLE_SIZE_BYTES: usize = 4 + 4 * 4;

const NAMES_AT: usize = TABLE_AT + TABLE_SIZE_BYTES;

// Of the table.
const TASK_ID: usize = 4;
const MODEL_NAME: usize = 8;
const HYPERPARAMS: usize = 12;
const MAX_EPOCHS: usize = 16;

const _: () = assert!(TABLE_AT.is_multiple_of(4), "offsets are read four bytes at a time");
const _: () = assert!(size_of::<usize>() >= 4);
