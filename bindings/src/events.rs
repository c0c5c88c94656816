//! What the session has to say, and how connections begin and end.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::session::TrainerEvent;
use trainwire_unix::socket::set_receive_timeout;

use crate::connection::{Connection, State};
use crate::delivered::Queued;
use crate::end::End;
use crate::errors::Class;
use crate::reader::Reader;
use crate::stacks;
use crate::stop::ORPHANED;
use crate::wait::SLICE;

impl Connection {
    /// One try to connect.
    ///
    /// # Errors
    /// What to tell whoever waits for it, and whether trying again can help.
    pub(crate) fn connect(&self) -> Result<(), (End, TryAgain)> {
        let failed =
            |code: &str, text: String| End::Failed { class: Class::Connect, code: code.to_owned(), text };
        let system = |error: std::io::Error| (failed("socket_system", error.to_string()), TryAgain::No);
        let socket = trainwire_unix::connect(&self.environment.socket).map_err(|error| {
            let again = matches!(error, trainwire_unix::ConnectError::QueueFull { .. });
            (failed(error.code(), error.to_string()), if again { TryAgain::Yes } else { TryAgain::No })
        })?;
        // Before a byte is read.
        trainwire_unix::require_same_uid(&socket)
            .map_err(|error| (failed("other_uid", error.to_string()), TryAgain::No))?;
        set_receive_timeout(&socket, Some(SLICE)).map_err(system)?;

        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        let socket = Arc::new(socket);
        self.poller.add(&socket).map_err(system)?;
        *reader = Reader::new();
        let now = Instant::now();
        state.socket = Some(socket);
        state.session.connected(now);
        self.transmit(&mut state, now);
        self.arm(&mut state);
        drop(reader);
        self.changed.notify_all();
        Ok(())
    }

    /// Closes the socket. The session lives on.
    pub(crate) fn disconnect(&self, state: &mut State, now: Instant) {
        let Some(socket) = state.socket.take() else { return };
        self.poller.remove(&socket);
        // Whoever sleeps in recv holds the descriptor too, and wakes by this.
        let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        state.session.disconnected(now);
        state.slabs.disconnected();
        state.writer.clear();
        state.send_broken = false;
        state.want_write = false;
        state.armed = false;
        self.drain_events(state, None);
        self.notify(state);
        self.poller.wake();
    }

    /// Ends a connection that is of no more use.
    pub(crate) fn break_off(&self, state: &mut State, error: &ProtocolError, now: Instant) {
        let late =
            matches!(error, ProtocolError::HandshakeTimeout { .. } | ProtocolError::FrameTimeout { .. });
        // An orchestrator that was stopped in the middle of a frame deserves a second connection.
        if !(late && state.welcomed) {
            state.end = End::broken(error);
        }
        // The session's parting word, which it knows already if the error is its own; what does not
        // leave at once never does.
        state.session.handle_error(now, error.clone());
        self.transmit(state, now);
        self.disconnect(state, now);
    }

    /// Gives the session what the reader has.
    pub(crate) fn feed_locked(&self, state: &mut State, reader: &mut Reader, now: Instant) {
        loop {
            match reader.feed_frame(&mut state.session, now) {
                // After every frame, while it is clear whose the descriptor is.
                Ok(Some(descriptor)) => self.drain_events(state, descriptor),
                Ok(None) => return,
                Err(error) => {
                    reader.clear();
                    return self.break_off(state, &error, now);
                }
            }
        }
    }

    /// `descriptor` came with the frame whose events these are.
    pub(crate) fn drain_events(&self, state: &mut State, mut descriptor: Option<OwnedFd>) {
        while let Some(event) = state.session.poll_event() {
            match event {
                TrainerEvent::Welcomed(welcome) => {
                    state.welcomed = true;
                    state.poll = welcome.poll;
                    state.spool = welcome.spool.map(PathBuf::from);
                }
                TrainerEvent::Refused(refused) => {
                    if !(refused.retry_later && state.welcomed) {
                        state.end = End::Refused(refused);
                    }
                    self.disconnect(state, Instant::now());
                }
                TrainerEvent::Slab(slab) => state.slabs.receive(&slab, descriptor.take()),
                TrainerEvent::Delivered(delivered) => {
                    let queued = Queued::new(delivered, descriptor.take(), state);
                    state.queued.push_back(queued);
                }
                TrainerEvent::Stop(stop) => {
                    if stop.dump_stacks {
                        stacks::dump();
                    }
                    for run in state.runs.iter().filter(|run| run.delivery == stop.delivery) {
                        run.ask_to_stop(stop.reason.clone(), stop.time_left, stop.want_checkpoint);
                    }
                }
                TrainerEvent::Dropped(delivery) => {
                    state.queued.retain(|queued| queued.deliver.delivery != delivery);
                    for run in state.runs.iter().filter(|run| run.delivery == delivery) {
                        run.ask_to_stop("superseded".to_owned(), Duration::ZERO, false);
                    }
                }
                TrainerEvent::Bye(bye) => state.end = End::Bye(bye),
                TrainerEvent::Quiet => state.quiet = true,
                TrainerEvent::Heard => state.quiet = false,
                TrainerEvent::Orphaned => {
                    state.end = End::Orphaned;
                    for run in &state.runs {
                        run.ask_to_stop(ORPHANED.to_owned(), Duration::ZERO, true);
                    }
                }
                // Waiting threads ask the session itself.
                TrainerEvent::Acknowledged(_) => {}
            }
        }
    }
}

/// Whether a connection that failed may succeed in a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TryAgain {
    Yes,
    No,
}
