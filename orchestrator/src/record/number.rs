//! What records are about, by number. All are counted from 1 on across the journal, and none is given twice.

use serde::{Deserialize, Serialize};

/// The place of a record in the journal, from 1 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first record.
    pub const START: Self = Self(0);
}

/// A job's number, from 1 on across the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobNo(pub u64);

/// A task's number, from 1 on across the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskNo(pub u64);

/// A trainer's number, from 1 on across the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrainerNo(pub u64);

/// The number of a delivery, from 1 on across the journal; see
/// [`trainwire_protocol::id::Delivery`].
pub type DeliveryNo = u64;
