//! The bytes of a task, wherever they lie.

use bytes::Bytes;

/// The bytes of a task: in one piece, or in two where hyperparameters were not copied behind the head that was
/// made for them. Equal if the bytes are, however they are cut. Cloning shares them.
#[derive(Clone, Debug)]
pub struct TaskBytes {
    front: Bytes,
    /// Empty if `front` is all.
    behind: Bytes,
}

impl TaskBytes {
    pub(super) fn joined(head: Bytes, hyperparams: Bytes) -> Self {
        Self { front: head, behind: hyperparams }
    }

    /// Of both pieces together.
    #[allow(clippy::len_without_is_empty)] // no task is
    pub fn len(&self) -> usize {
        self.front.len() + self.behind.len()
    }

    /// The pieces, in their order. The second is empty if the first is all.
    pub fn pieces(&self) -> [&Bytes; 2] {
        [&self.front, &self.behind]
    }

    /// In one piece: shared if they lie in one, else copied.
    pub fn to_bytes(&self) -> Bytes {
        match self.behind.is_empty() {
            true => self.front.clone(),
            false => [&*self.front, &self.behind].concat().into(),
        }
    }

    /// The second piece, if there is one.
    pub(super) fn behind(&self) -> Option<&Bytes> {
        Some(&self.behind).filter(|behind| !behind.is_empty())
    }

    pub(super) fn front(&self) -> &Bytes {
        &self.front
    }
}

impl From<Bytes> for TaskBytes {
    fn from(bytes: Bytes) -> Self {
        Self { front: bytes, behind: Bytes::new() }
    }
}

impl PartialEq for TaskBytes {
    fn eq(&self, other: &Self) -> bool {
        let (short, long) = if self.front.len() <= other.front.len() { (self, other) } else { (other, self) };
        // `long` is cut later, so what is between the two cuts is behind the cut of `short`.
        let (front, between) = long.front.split_at(short.front.len());
        self.len() == other.len()
            && short.front == front
            && short.behind.starts_with(between)
            && short.behind.ends_with(&long.behind)
    }
}

impl Eq for TaskBytes {}

/// Up to this, copying is cheaper than a piece of its own.
pub(crate) const COPIED_SIZE_BYTES_MAX: usize = 4 << 10;
