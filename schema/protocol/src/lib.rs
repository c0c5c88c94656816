//! The trainwire protocol.

pub mod id;
pub mod limits;
pub mod message;
