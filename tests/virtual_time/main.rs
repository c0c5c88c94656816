//! The two Sessions of the protocol, joined in memory, under virtual time: every timeout and every
//! race of the specification, without a socket and without a sleep.

mod bytes;
mod dialogue;
mod ends;
mod opening;
mod pair;
mod pipe;
mod random;
mod resending;
mod silence;
mod stopping;
mod sweep;
