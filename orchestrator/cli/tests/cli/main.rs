//! The real binary, driven as people and programs drive it: real processes, sockets and signals.

mod exit_codes;
mod interrupts;
mod json;
mod restarts;
mod sandbox;
mod socket_names;
mod specs;
mod terminal;
