//! trainwire

pub mod job;
pub mod record;
pub mod scheduler;
