//! What Python tells the orchestrator, and waits for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use pyo3::prelude::*;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{Bye, CheckpointRef, Deliver, Metric, Outcome};
use trainwire_protocol::session::Row;
use trainwire_protocol::task::VerifiedTask;

use crate::connection::{Connection, Flush, SHORT_TASK, State};
use crate::end::End;
use crate::rows::Sender;
use crate::stop::Run;

/// A task to give to Python.
pub(crate) struct Started {
    pub(crate) buffer: VerifiedTask,
    pub(crate) deliver: Deliver,
    pub(crate) run: Arc<Run>,
}

impl Connection {
    /// The next task; `None` when there is no more work.
    pub(crate) fn next(&self, py: Python<'_>) -> PyResult<Option<Started>> {
        loop {
            let taken = self.wait(py, |state| {
                // Nothing is begun for an orchestrator that has gone for good; after a Bye, what
                // came before it still counts.
                if state.no_ack_comes().is_some() {
                    return state.end.for_next();
                }
                if state.session.may_take_more()
                    && let Some(queued) = state.queued.pop_front()
                {
                    return Some(Ok(Some(queued)));
                }
                if state.queued.is_empty() { state.end.for_next() } else { None }
            })?;
            let Some(queued) = taken.map_err(|failure| failure.into_py(py))? else { return Ok(None) };
            let (deliver, read) = queued.read();
            match read {
                Ok(buffer) => {
                    if let Some(run) = self.start(deliver.delivery) {
                        return Ok(Some(Started { buffer, deliver, run }));
                    }
                }
                Err(code) => {
                    let mut state = self.lock();
                    state.session.return_delivery(deliver.delivery, code);
                    self.after_command(&mut state, Instant::now(), Flush::Now);
                }
            }
        }
    }

    /// `None` if the delivery was stopped or dropped while its task was looked at.
    fn start(&self, delivery: Delivery) -> Option<Arc<Run>> {
        let mut state = self.lock();
        let now = Instant::now();
        if !state.session.start(now, delivery) {
            return None;
        }
        let run = Arc::new(Run::new(delivery));
        state.runs.push(Arc::clone(&run));
        state.started_at = Some(now);
        self.after_command(&mut state, now, Flush::Later);
        if !state.last_task_short {
            self.arm(&mut state);
        }
        Some(run)
    }

    /// Any row; those of plain numbers need not come here.
    pub(crate) fn report(&self, run: &Run, step: Option<i64>, epoch: Option<f64>, row: &[(&str, f64)]) {
        let (time_us, first) = (now_us(), run.reports_first());
        let Ok(()) = self.rows.report(time_us, first, self, |rows, _| {
            rows.push_row(run.delivery, Row { time_us, step, epoch, metrics: row });
            Ok::<(), Infallible>(())
        });
        if first {
            run.has_reported();
        }
    }

    /// What was reported before goes before whatever the session is given next.
    pub(crate) fn take_rows(&self, state: &mut State, now: Instant) {
        self.rows.take(|rows| state.session.report(now, rows));
    }

    pub(crate) fn tick(&self) {
        self.lock().session.tick(Instant::now());
    }

    pub(crate) fn busy(&self, time: Duration) {
        self.lock().session.busy(Instant::now(), time);
    }

    /// Returns when the checkpoint is stored. An orchestrator that is away or silent is not waited
    /// for: the checkpoint is on disk, and said again until it is acknowledged.
    pub(crate) fn checkpoint(
        &self,
        py: Python<'_>,
        delivery: Delivery,
        at: CheckpointRef,
        metrics: Vec<Metric>,
    ) -> PyResult<bool> {
        let taken = {
            let mut state = self.lock();
            let now = Instant::now();
            self.take_rows(&mut state, now);
            let taken = state.session.checkpoint(now, delivery, at, metrics);
            self.after_command(&mut state, now, Flush::Now);
            taken
        };
        let seq = taken.map_err(|error| End::caller_error(py, &error))?;
        let Some(seq) = seq else { return Ok(false) };
        self.wait(py, |state| {
            let away = state.quiet || !state.session.is_open();
            let stored = !state.session.is_unacknowledged(delivery, seq);
            (away || stored).then_some(stored)
        })
    }

    /// Returns when the result is acknowledged or in the spool, or another task waits already.
    ///
    /// # Errors
    /// The connection is over for good, and there is no spool to keep the result in.
    pub(crate) fn finish(
        &self,
        py: Python<'_>,
        run: &Run,
        outcome: Outcome,
        metrics: Vec<Metric>,
    ) -> PyResult<()> {
        let delivery = run.delivery;
        let taken = self.send_result(delivery, outcome, metrics).map_err(|error| {
            run.reopen();
            End::caller_error(py, &error)
        })?;
        let Some(seq) = taken else { return Ok(()) };
        let end = self.wait(py, |state| {
            if !state.session.is_unacknowledged(delivery, seq) || !state.queued.is_empty() {
                return Some(Ok(()));
            }
            state.no_ack_comes().map(|end| self.spool(state).map_err(|error| (end, error)))
        })?;
        end.map_err(|(end, error)| end.with_lost_result(py, &error))
    }

    /// As [`finish`](Self::finish), for a replica: nobody waits for its result, and nothing is lost without
    /// it. An error is waited for, so that it is known before the others fall over it.
    pub(crate) fn part(&self, py: Python<'_>, run: &Run, outcome: Outcome) -> PyResult<()> {
        let delivery = run.delivery;
        let failed = matches!(outcome, Outcome::Failed(_) | Outcome::Retry { .. });
        let taken = self.send_result(delivery, outcome, Vec::new());
        let seq = taken.map_err(|error| End::caller_error(py, &error))?;
        let Some(seq) = seq.filter(|_| failed) else { return Ok(()) };
        self.wait(py, |state| {
            let away = state.quiet || !state.session.is_open();
            (away || !state.session.is_unacknowledged(delivery, seq)).then_some(())
        })
    }

    /// Ends the delivery. Gives the number its Ack will name.
    ///
    /// # Errors
    /// The result fits no frame; the delivery has not ended.
    pub(crate) fn send_result(
        &self,
        delivery: Delivery,
        outcome: Outcome,
        metrics: Vec<Metric>,
    ) -> Result<Option<u64>, ProtocolError> {
        let mut state = self.lock();
        let now = Instant::now();
        self.take_rows(&mut state, now);
        let taken = state.session.finish(now, delivery, outcome, metrics)?;
        state.runs.retain(|run| run.delivery != delivery);
        let lasted = state.started_at.map(|started_at| now.duration_since(started_at));
        state.last_task_short = lasted.is_some_and(|lasted| lasted < SHORT_TASK);
        let flush = if state.queued.is_empty() { Flush::Now } else { Flush::WithCompany };
        self.after_command(&mut state, now, flush);
        Ok(taken)
    }

    /// Takes no more work. What is queued goes back.
    pub(crate) fn leave(&self, code: &str) {
        let mut state = self.lock();
        if state.end.is_leaving() {
            return;
        }
        let now = Instant::now();
        state.end.leave();
        self.take_rows(&mut state, now);
        state.session.bye(Bye { code: code.to_owned(), text: String::new() });
        self.after_command(&mut state, now, Flush::Now);
    }

    /// Waits until nothing is unacknowledged, for `limit` at most or until Ctrl-C, then writes the
    /// rest into the spool.
    pub(crate) fn settle(&self, py: Python<'_>, limit: Duration) -> PyResult<()> {
        let until = Instant::now() + limit;
        let settled = self.wait(py, |state| {
            if state.session.unacknowledged().next().is_none() {
                return Some(Ok(()));
            }
            let over = state.no_ack_comes().is_some() || until <= Instant::now();
            over.then(|| self.spool(state))
        });
        let settled = settled.or_else(|interrupt| {
            let mut state = self.lock();
            let spooled = self.spool(&mut state);
            if spooled.is_ok() { Err(interrupt) } else { Ok(spooled) }
        })?;
        settled.map_err(|error| End::NotYet.with_lost_result(py, &error))
    }
}

impl Sender for Connection {
    fn try_send(&self) -> bool {
        let Some(mut state) = self.try_lock() else { return false };
        let now = Instant::now();
        self.take_rows(&mut state, now);
        self.after_command(&mut state, now, Flush::Later);
        true
    }

    fn wake(&self) {
        self.poller.wake();
    }
}

/// The time of a row, in microseconds since 1970: the kernel's finest clock, read without a system
/// call.
pub(crate) fn now_us() -> u64 {
    // CLOCK_REALTIME exists on every Linux; before 1970 there were no rows.
    let now = clock_gettime(ClockId::CLOCK_REALTIME).unwrap_or(TimeSpec::new(0, 0));
    u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000).unwrap_or(0)
}
