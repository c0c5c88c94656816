//! The Scheduler: which task goes to which trainer, what becomes of it, and when to give up.
//!
//! Pure: inputs and the time come in, a [`Decision`] goes out. It never asks the time, never waits
//! and never touches a socket, a file or a process; the driver does, and only after the decision's
//! records are committed.

mod input;

pub use input::{Answer, ConnectionNo, Decision, Effect, Input, Now, Signal, Ticket};
