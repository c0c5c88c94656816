//! A task whose hyperparameters are produced where the trainer will read them.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use trainwire_protocol::limits::TASK_SIZE_BYTES_MAX;
use trainwire_protocol::task::{TaskError, VerifiedTask};
use trainwire_protocol::task_builder::{MAX_EPOCHS_DEFAULT, task_head};
use trainwire_unix::{PayloadBuffer, SealedError};

use crate::error::BuildError;
use crate::payload::Payload;
use crate::slab::{JobSlab, SlabBuffer};
use crate::training_task::TrainingTask;

/// Memory for a task's hyperparameters, to be filled in place: what is written here is what
/// `numpy.frombuffer(task.hyperparams)` shows in the trainer, without a copy between.
///
/// ```
/// # use trainwire::{Job, TaskBuffer};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut buffer = TaskBuffer::new("fold-1", "resnet", 3 << 20)?.max_epochs(5);
/// for (place, sample) in buffer.as_mut_slice().chunks_exact_mut(4).zip([0.5_f32, 0.25]) {
///     place.copy_from_slice(&sample.to_le_bytes());
/// }
/// let job = Job::new("in-place")?.command(["python", "train.py"]).task(buffer.finish()?);
/// # Ok(()) }
/// ```
///
/// The hyperparameters begin at a page, in this process and in the trainer's. All of the memory is
/// there from the start, so writing never runs out of it; what is not written is zero, but in a
/// [slab](crate::JobHandle::task_buffer). Large buffers are made of huge pages where the kernel has any,
/// which costs a tenth of small ones.
///
/// Tasks up to [`Config::inline_task_size_max`](crate::Config::inline_task_size_max), the 4 KiB before
/// the hyperparameters included, travel through the socket like all others.
#[must_use]
pub struct TaskBuffer {
    task_id: String,
    model_name: String,
    max_epochs: i32,
    /// Before the hyperparameters; depends on the names alone.
    head_size: usize,
    /// Of the hyperparameters, through [`io::Write`].
    written: usize,
    memory: Memory,
}

/// Where the head and the hyperparameters lie.
enum Memory {
    /// By themselves; sealed at the end.
    Own(PayloadBuffer),
    /// Among others of the same job.
    Slab(SlabBuffer),
}

impl TaskBuffer {
    /// Allocates `len` bytes of hyperparameters, for 10 epochs.
    ///
    /// # Errors
    /// A name that no task can have, more than 2 GiB − 1 bytes together with the 4 KiB before the
    /// hyperparameters, or no memory for them: a full `/dev/shm` or a memory limit is noticed here.
    pub fn new(
        task_id: impl Into<String>,
        model_name: impl Into<String>,
        len: usize,
    ) -> Result<Self, BuildError> {
        Self::with(task_id.into(), model_name.into(), len, |head_size| {
            Ok(Memory::Own(PayloadBuffer::allocate(head_size + len)?))
        })
    }

    /// Reads the hyperparameters from a file, a pipe or a socket, from where it stands to its end. Their
    /// bytes go from there into the task's memory within the kernel. Waits as long as `source` does.
    ///
    /// ```
    /// # use trainwire::TaskBuffer;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("fold-1.npy");
    /// # std::fs::write(&path, b"numbers")?;
    /// let task = TaskBuffer::read_from("fold-1", "resnet", std::fs::File::open(path)?)?.finish()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new), and whatever reading says.
    pub fn read_from(
        task_id: impl Into<String>,
        model_name: impl Into<String>,
        source: impl AsFd,
    ) -> Result<Self, BuildError> {
        Self::with(task_id.into(), model_name.into(), 0, |head_size| {
            Ok(Memory::Own(PayloadBuffer::read_from(head_size, source.as_fd())?))
        })
    }

    /// In the slab where there is one with room for a task that is worth it.
    pub(crate) fn in_slab(
        task_id: String,
        model_name: String,
        len: usize,
        slab: Option<&Arc<JobSlab>>,
        inline_size_max: usize,
    ) -> Result<Self, BuildError> {
        Self::with(task_id, model_name, len, |head_size| {
            let size = head_size + len;
            let slab = slab.filter(|_| size > inline_size_max);
            match slab.and_then(|slab| slab.buffer(size)) {
                Some(buffer) => Ok(Memory::Slab(buffer)),
                None => Ok(Memory::Own(PayloadBuffer::allocate(size)?)),
            }
        })
    }

    fn with(
        task_id: String,
        model_name: String,
        len: usize,
        memory: impl FnOnce(usize) -> Result<Memory, SealedError>,
    ) -> Result<Self, BuildError> {
        let max_epochs = MAX_EPOCHS_DEFAULT;
        let head_size = task_head(&task_id, &model_name, max_epochs, len)?.len();
        let memory = memory(head_size).map_err(of_memory)?;
        Ok(Self { task_id, model_name, max_epochs, head_size, written: 0, memory })
    }

    /// The epochs the trainer's loop runs. Default 10.
    pub fn max_epochs(mut self, epochs: i32) -> Self {
        self.max_epochs = epochs;
        self
    }

    /// The hyperparameters, to be written in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Own(buffer) => &mut buffer.as_mut_slice()[self.head_size..],
            Memory::Slab(buffer) => &mut buffer.as_mut_slice()[self.head_size..],
        }
    }

    /// Bytes of hyperparameters, written or not.
    pub fn len(&self) -> usize {
        match &self.memory {
            Memory::Own(buffer) => buffer.len() - self.head_size,
            Memory::Slab(buffer) => buffer.len() - self.head_size,
        }
    }

    /// Whether there are no hyperparameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends writing for good and makes a task of it, to be submitted as any other. Nobody can change
    /// its bytes any more, and no attempt or trainer costs a copy of them.
    ///
    /// # Errors
    /// A negative `max_epochs`.
    pub fn finish(self) -> Result<TrainingTask, BuildError> {
        let head = task_head(&self.task_id, &self.model_name, self.max_epochs, self.len())?;
        match self.memory {
            Memory::Own(mut buffer) => {
                buffer.as_mut_slice()[..head.len()].copy_from_slice(&head);
                let memory = buffer.seal()?;
                let task = VerifiedTask::verify(memory.map()?)?;
                Ok(TrainingTask::produced(Payload::Sealed { task, memory: memory.into() }))
            }
            Memory::Slab(mut buffer) => {
                buffer.as_mut_slice()[..head.len()].copy_from_slice(&head);
                Ok(TrainingTask::produced(buffer.finish()?))
            }
        }
    }
}

/// Writes from the front; `Ok(0)` (for `write_all`: `WriteZero`) when the buffer is full. Where bytes
/// come in large pieces it is quicker than [`as_mut_slice`](TaskBuffer::as_mut_slice).
impl io::Write for TaskBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.memory {
            Memory::Own(buffer) => buffer.write_at(bytes, self.head_size + self.written)?,
            Memory::Slab(buffer) => {
                let room = &mut buffer.as_mut_slice()[self.head_size + self.written..];
                let count = bytes.len().min(room.len());
                room[..count].copy_from_slice(&bytes[..count]);
                count
            }
        };
        self.written += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TaskBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuffer")
            .field("task_id", &self.task_id)
            .field("model_name", &self.model_name)
            .field("max_epochs", &self.max_epochs)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// The limit of a payload is that of a task, which says what to do about it.
fn of_memory(error: SealedError) -> BuildError {
    match error {
        SealedError::TooLarge { len } => {
            let size_bytes = usize::try_from(len).unwrap_or(usize::MAX);
            TaskError::TooLarge { size_bytes, limit_bytes: TASK_SIZE_BYTES_MAX }.into()
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_written_is_the_task_wherever_it_came_from() {
        let mut buffer = TaskBuffer::new("t", "m", 10).unwrap().max_epochs(3);
        assert_eq!((buffer.len(), buffer.as_mut_slice().as_ptr().align_offset(4096)), (10, 0));
        buffer.write_all(b"01").unwrap();
        buffer.write_all(b"2345").unwrap();
        buffer.as_mut_slice()[8] = b'8';
        let payload = buffer.finish().unwrap().check().unwrap().place(0, None).unwrap();
        let task = payload.task();
        assert_eq!((task.task_id(), task.model_name(), task.max_epochs()), ("t", "m", 3));
        assert_eq!(task.hyperparams(), b"012345\x00\x008\0");
        assert!(payload.descriptor().is_some());

        let (pipe, mut into_pipe) = std::io::pipe().unwrap();
        into_pipe.write_all(b"piped").unwrap();
        drop(into_pipe);
        let piped = TaskBuffer::read_from("t", "m", pipe)
            .unwrap()
            .finish()
            .unwrap()
            .check()
            .unwrap()
            .place(0, None)
            .unwrap();
        assert_eq!((piped.task().hyperparams(), piped.task().max_epochs()), (&b"piped"[..], 10));
    }

    #[test]
    fn a_setter_of_the_finished_task_changes_a_copy() {
        let mut buffer = TaskBuffer::new("t", "m", 4).unwrap();
        buffer.write_all(b"data").unwrap();
        let changed =
            buffer.finish().unwrap().max_epochs(7).check().unwrap().place(usize::MAX, None).unwrap();
        assert_eq!((changed.task().hyperparams(), changed.task().max_epochs()), (&b"data"[..], 7));
        assert!(changed.descriptor().is_none());
    }

    #[test]
    fn what_cannot_be_is_said_before_anything_is_written() {
        let code = |task_id: &str, len| TaskBuffer::new(task_id, "m", len).unwrap_err();
        assert_eq!(code("", 1).code(), "task_field_empty");
        let error = code("t", TASK_SIZE_BYTES_MAX);
        assert_eq!(error.code(), "task_too_large");
        assert!(error.to_string().contains("2147483647"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        std::fs::File::create(&path).unwrap().set_len(TASK_SIZE_BYTES_MAX as u64).unwrap();
        let error = TaskBuffer::read_from("t", "m", std::fs::File::open(&path).unwrap()).unwrap_err();
        assert_eq!(error.code(), "task_too_large");
        let error = TaskBuffer::read_from("t", "m", std::fs::File::open(folder.path()).unwrap()).unwrap_err();
        assert_eq!(error.code(), "payload_source");
        let negative = TaskBuffer::new("t", "m", 1).unwrap().max_epochs(-1);
        assert_eq!(negative.finish().unwrap_err().code(), "bad_max_epochs");
    }
}
