//! What comes from trainers, and what they are told.

use std::cmp::Reverse;
use std::mem;
use std::time::Instant;

use trainwire_protocol::error::ProtocolError;

use super::Driver;
use crate::clock;
use crate::connection::{Arrival, Connection, Depth, Over};
use crate::readiness::Source;
use crate::scheduler::{ConnectionNo, Input};

impl Driver {
    /// Takes what the sockets, listeners and processes have, each a bounded share. Whether there was
    /// anything.
    pub(super) fn look_around(&mut self) -> bool {
        let mut sources = mem::take(&mut self.sources);
        self.readiness.take(&mut sources);
        let any = !sources.is_empty();
        for source in sources.drain(..) {
            match source {
                Source::Listener(job) => self.accept(job),
                Source::Connection(connection) => self.hear(connection),
                Source::Process(trainer) => self.died(trainer),
            }
        }
        self.sources = sources;
        any
    }

    /// Reads what a connection has.
    fn hear(&mut self, number: ConnectionNo) {
        if let Err(over) = self.read(number, Depth::Turn) {
            self.end(number, &over);
        }
    }

    /// Reads all that a connection's socket holds, then says so.
    pub(super) fn drain(&mut self, number: ConnectionNo) {
        let read = self.read(number, Depth::Drain);
        self.decide(Input::Drained { connection: number });
        if let Err(over) = read {
            self.end(number, &over);
        }
    }

    /// Reads and decides.
    fn read(&mut self, number: ConnectionNo, depth: Depth) -> Result<(), Over> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let read = connection.read(self.now.monotonic, depth, &mut self.buffers, &mut self.arrivals);
        if connection.has_unsent() {
            // It is watched for room, too.
            self.command(number, |_, _| {});
        }
        self.set_alarm(number);
        self.arrived(number);
        read
    }

    fn arrived(&mut self, connection: ConnectionNo) {
        let mut progress_of = None;
        let mut arrivals = mem::take(&mut self.arrivals);
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Input(input) => self.decide(input),
                Arrival::Released(deliveries) => self.released(connection, &deliveries),
                Arrival::Held(deliveries) => self.held(connection, &deliveries),
                Arrival::Report(report) => {
                    let delivery = report.delivery.0;
                    if progress_of != Some(delivery) {
                        progress_of = Some(delivery);
                        self.decide(Input::Progress { connection, delivery });
                    }
                    self.report(connection, report);
                }
            }
        }
        self.arrivals = arrivals;
    }

    /// Tells a connection something; it leaves with the next [`flush`](Self::flush). One that ended
    /// meanwhile says `Disconnected` last, if it has not been heard yet.
    pub(super) fn command(&mut self, number: ConnectionNo, what: impl FnOnce(&mut Connection, Instant)) {
        if let Some(connection) = self.connections.get_mut(&number) {
            what(connection, self.now.monotonic);
            if !mem::replace(&mut connection.has_news, true) {
                self.with_news.push(number);
            }
        }
    }

    /// Sends what connections were told, as far as their sockets take it: in one call for each.
    pub(super) fn flush(&mut self) {
        let mut with_news = mem::take(&mut self.with_news);
        for number in with_news.drain(..) {
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            connection.has_news = false;
            let written = connection.write(self.now.monotonic, &mut self.buffers);
            if let Some(wanted) = connection.watch_anew() {
                self.readiness.change(&**connection, Source::Connection(number), wanted);
            }
            // With the clock read anew: the turn may have been long.
            if let Some(until) = connection.answer_due(clock::monotonic()) {
                self.polls_until = self.polls_until.max(Some(until));
            }
            match written {
                Ok(()) => self.set_alarm(number),
                Err(over) => self.end(number, &over),
            }
        }
        self.with_news = with_news;
    }

    /// Looks again instead of sleeping, until an answer is here or has taken too long.
    pub(super) fn poll(&mut self) {
        self.now = clock::now();
        let too_long = self.polls_until.is_some_and(|until| until <= self.now.monotonic);
        if too_long || self.look_around() {
            self.polls_until = None;
        }
    }

    /// A newer one took its place.
    pub(super) fn close_connection(&mut self, number: ConnectionNo) {
        if let Some(mut connection) = self.connections.remove(&number) {
            // The parting word, as far as the socket takes it.
            let _ = connection.write(self.now.monotonic, &mut self.buffers);
            self.readiness.remove(&*connection);
        }
    }

    fn end(&mut self, number: ConnectionNo, over: &Over) {
        let Some(connection) = self.connections.get(&number) else { return };
        if let Over::Protocol(error) = over {
            let (job, pid) = (connection.job(), connection.pid());
            let job_id = self.jobs.get(&job).map(|slot| slot.feed.job_id.as_str()).unwrap_or_default();
            tracing::warn!(job = job_id, pid, code = error.code(), %error, "a connection ended");
            if let ProtocolError::Version { .. } = error {
                self.decide(Input::VersionMismatch { job, text: error.to_string() });
            }
        }
        self.close_connection(number);
        self.decide(Input::Disconnected { connection: number, code: over.code() });
    }

    /// After whatever may have brought a connection's deadline forward.
    pub(super) fn set_alarm(&mut self, number: ConnectionNo) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        if let Some(alarm) = connection.earlier_alarm() {
            self.alarms.push(Reverse((alarm, number)));
        }
    }

    /// Connections whose deadline may have passed.
    pub(super) fn time_out_connections(&mut self) {
        let now = self.now.monotonic;
        while let Some(Reverse((at, number))) = self.alarms.peek().copied().filter(|alarm| alarm.0.0 <= now) {
            self.alarms.pop();
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            if connection.alarm != Some(at) {
                continue;
            }
            connection.alarm = None;
            if connection.is_due(now) {
                self.time_out_connection(number);
            }
            self.set_alarm(number);
        }
    }

    /// What is in the socket came in time, however late we are.
    fn time_out_connection(&mut self, number: ConnectionNo) {
        if let Err(over) = self.read(number, Depth::Turn) {
            return self.end(number, &over);
        }
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let concluded = connection.time_out(self.now.monotonic, &mut self.arrivals);
        self.arrived(number);
        if let Err(over) = concluded {
            self.end(number, &over);
        }
    }

    /// Reads every socket to its end.
    pub(super) fn catch_up(&mut self) {
        let numbers: Vec<ConnectionNo> = self.connections.keys().collect();
        for number in numbers {
            if let Err(over) = self.read(number, Depth::Drain) {
                self.end(number, &over);
            }
        }
    }
}
