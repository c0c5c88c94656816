#![doc = include_str!("../SPECIFICATION.md")]

pub mod error;
pub mod frame;
mod generated;
pub mod id;
pub mod limits;
pub mod message;
pub mod msgpack;
pub mod session;
pub mod task;
pub mod task_builder;
