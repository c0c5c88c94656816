//! Out of the session, into the socket, without waiting.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use trainwire_unix::{Wait, descriptors};

use crate::connection::{Connection, State};
use crate::end::End;

/// Sends what is due until the socket takes no more; the rest is for the IO thread.
pub(crate) fn transmit(connection: &Connection, state: &mut State, now: Instant) {
    let Some(socket) = state.socket.as_ref().map(Arc::clone) else { return };
    loop {
        if let Err(error) = state.session.poll_transmit(now, &mut state.writer) {
            state.end = End::broken(&error);
            connection.disconnect(state, now);
            return;
        }
        if state.send_broken {
            state.writer.clear();
        }
        // The IO thread is told when the socket takes more; until then asking is a call for nothing.
        if state.writer.is_empty() || state.want_write {
            return;
        }
        match descriptors::send(&*socket, &state.writer.io_slices(), None, Wait::DontWait) {
            Ok(sent) => state.writer.advance(sent),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                state.want_write = true;
                connection.poller.watch(state);
                return;
            }
            Err(_) => {
                // What the peer sent before it closed is still to be read; the end comes after it.
                state.send_broken = true;
                state.writer.clear();
                connection.poller.wake();
                return;
            }
        }
    }
}
