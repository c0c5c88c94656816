//! The real binary, driven as people and programs drive it: real processes, sockets and signals.

mod control_socket;
mod daemon;
mod daemon_lives;
mod exit_codes;
mod interrupts;
mod json;
mod openapi;
mod restarts;
mod results;
mod sandbox;
mod serve;
mod socket_names;
mod specs;
mod terminal;
