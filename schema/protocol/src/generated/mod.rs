//! What flatc made of `schema/*.fbs`. `make gen` writes it anew; nobody edits it.
#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    deprecated,
    dead_code,
    unused_imports,
    rust_2018_idioms,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

#[rustfmt::skip]
#[path = "messages_generated.rs"]
mod messages;
#[rustfmt::skip]
#[path = "training_task_generated.rs"]
mod training_task;

pub(crate) use messages::trainwire::wire;
pub(crate) use training_task::{TrainingTask, TrainingTaskArgs};
