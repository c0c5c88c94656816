//! The life of jobs with real trainers: Python processes that end well, fail, die, hang, ignore
//! everything, and are started by hand.

mod attached;
mod crashes;
mod deaths;
mod descriptors;
mod disk;
mod endings;
mod evidence;
mod inline;
mod oom;
mod open;
mod pauses;
mod payloads;
mod polling;
mod ranks;
mod retries;
mod silence;
mod slab;
mod slots;
mod sockets;
mod starts;
mod stops;
mod trees;
