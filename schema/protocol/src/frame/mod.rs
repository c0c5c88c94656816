//! Frames: what the bytes of a connection are cut into.
//!
//! ```text
//!  byte 0               4        5        6             8                     8 + 8·meta_words
//!  ┌────────────────────┬────────┬────────┬─────────────┬─────────────────────┬───────────────┬─────────┐
//!  │ length: u32        │ kind   │ flags  │ meta_words  │ meta                │ task          │ padding │
//!  │ of what follows it │ u8     │ u8     │ u16         │ a FlatBuffer, then  │ inline        │ zeros,  │
//!  │                    │        │        │             │ zeros up to 8·words │ Deliver only  │ 0 to 7  │
//!  └────────────────────┴────────┴────────┴─────────────┴─────────────────────┴───────────────┴─────────┘
//!    all numbers little endian; a frame is a multiple of 8 bytes long
//! ```
//!
//! [`FrameReader`] finds them in what a socket gives, [`FrameWriter`] lines them up for it. Neither
//! knows the socket.

mod block;
mod header;
mod reader;
mod writer;

pub use header::Kind;
pub use reader::{Frame, FrameReader, ReaderLimits, SharedBlock};
pub use writer::{DeliverPayload, FrameWriter, IO_SLICES_MAX, IoSlices};
