//! Named Unix stream sockets: binding without stealing, connecting with errors told apart, options.

mod address;
mod bind;
mod connect;
mod occupant;
mod options;

pub use address::{SOCKET_PATH_LEN_MAX, SocketPathError};
pub use bind::{BindError, SocketName, bind_private, rebind_private};
pub use connect::{ConnectError, connect};
pub use occupant::{NameTaken, Occupant, Owner};
pub use options::{
    set_nonblocking, set_receive_buffer, set_receive_timeout, set_send_buffer, set_send_timeout,
};
