//! The two ends of a connection as state machines, without IO and without a clock.
//!
//! Both have one vocabulary. `handle_*` takes what happened, `poll_*` gives what follows; an extra
//! call of either does no harm. A shell is a loop without decisions:
//!
//! ```text
//!   ┌─► read ──► FrameReader::next ──► handle_frame, at a partial frame handle_partial
//!   │                                        │ commands of the shell's own caller
//!   │                                        ▼
//!   │            handle_timeout ◄─┐    poll_event until None
//!   │                             │          ▼
//!   └── wait for the socket ◄─────┴─── poll_transmit ──► write ──► poll_transmit while it takes more
//!       or for poll_timeout
//! ```
//!
//! After a pause of its own process a shell reads the sockets before it calls `handle_timeout`: what
//! is in them arrived in time.
//!
//! An `Err` is the end of the connection. The session gives nothing more for it; the shell calls
//! `poll_transmit` once more, for the parting word, writes what the socket takes at once, and closes.

mod link;
mod orchestrator;
mod outbox;
mod trainer;

#[cfg(test)]
mod testing;

pub use link::Timeouts;
pub use orchestrator::{OrchestratorEvent, OrchestratorSession};
pub use outbox::{Look, Numbers, OutboxLimits, Row, RowBuffer, RowLimits, Shape, Then};
pub use trainer::{Delivered, Identity, TrainerEvent, TrainerSession};
