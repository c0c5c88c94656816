//! What every contestant of `make bench` does alike, so that only what is compared differs: the clock,
//! the payloads and their checks, the cores, and the dialogue with the benchmark.
//!
//! A contestant is a program with a Rust end that sends tasks and a Python end (its *receiver*) that
//! reads them and answers. The benchmark starts it, writes [`Command`]s to its standard input, one JSON
//! value a line, and reads [`Reply`]s from its standard output. All contestants of a section are alive
//! at once, with their connections warm, and are asked in turns.

mod clock;
mod command;
mod contestant;
mod cores;
mod process;
mod receiver;
mod task;

pub use clock::now_ns;
pub use command::{Command, Reply, Setup, Transfers};
pub use contestant::{Contestant, Duplex, STREAM_WINDOW, Transfer, next_line, serve};
pub use cores::{Cores, pin};
pub use process::{cpu_time, resident_bytes};
pub use receiver::Receiver;
pub use task::{Answer, EPOCHS, Task, Work};
