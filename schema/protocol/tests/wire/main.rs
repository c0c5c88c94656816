//! The wire, seen from outside: frames cut anywhere, golden vectors, hostile bytes, memory.
#![allow(clippy::cast_possible_truncation)] // the numbers of these tests are small

mod allocations;
mod attacks;
mod codes;
mod frames;
mod json;
mod messages;
mod raw;
mod tasks;
mod vectors;
