//! The verbs that ask the daemon: one request each, over its control socket.

mod connection;
mod text;
mod verbs;

pub(crate) use verbs::{dead_letters, logs, ls, retry, show, stack, stop, submit, wait};
