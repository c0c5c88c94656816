//! What the native threads and Python share about one running task: whether it should stop.
//!
//! Whoever reads the socket calls [`Run::ask_to_stop`]; Python only loads an atomic. Once Python has
//! *seen* the request, ending normally means `stopped`: before that, the task was simply done.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use pyo3::prelude::*;
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::Outcome;

/// One task, from its delivery to its end.
pub(crate) struct Run {
    pub(crate) delivery: Delivery,
    stop: AtomicU8,
    request: OnceLock<StopRequest>,
    ended: AtomicBool,
    reported: AtomicBool,
    /// Its `with` block says how it ends; else only `finish()` or `fail()` can.
    pub(crate) in_with: AtomicBool,
}

impl Run {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            stop: AtomicU8::new(NOT_ASKED),
            request: OnceLock::new(),
            ended: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            in_with: AtomicBool::new(false),
        }
    }

    /// The first request stays; later ones change nothing.
    pub(crate) fn ask_to_stop(&self, reason: String, time_left: Duration, want_checkpoint: bool) {
        let deadline = monotonic_seconds() + time_left.as_secs_f64();
        let _ = self.request.set(StopRequest { reason, deadline, want_checkpoint });
        let _ = self.stop.compare_exchange(NOT_ASKED, ASKED, Ordering::Release, Ordering::Relaxed);
    }

    /// For Python: from the first `true` on it counts as seen.
    pub(crate) fn should_stop(&self) -> bool {
        match self.stop.load(Ordering::Acquire) {
            NOT_ASKED => false,
            ASKED => {
                self.stop.store(SEEN, Ordering::Relaxed);
                true
            }
            _ => true,
        }
    }

    /// All ranks stop, this one too, asked or not.
    pub(crate) fn agreed(&self) {
        self.stop.store(SEEN, Ordering::Relaxed);
    }

    /// For Python; counts as seen.
    pub(crate) fn request(&self) -> Option<StopRequest> {
        if self.should_stop() { self.request.get().cloned() } else { None }
    }

    /// What a normal end means once Python has seen the request. Nobody wanted an orphan's end: whoever
    /// comes back hands its task out again.
    pub(crate) fn outcome_of_a_stop(&self) -> Option<Outcome> {
        if self.stop.load(Ordering::Relaxed) != SEEN {
            return None;
        }
        let orphaned = self.request.get().is_some_and(|request| request.reason == ORPHANED);
        Some(if orphaned { Outcome::Returned { code: ORPHANED.to_owned() } } else { Outcome::Stopped })
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// `true` for the one caller that may send the result.
    pub(crate) fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Whether the next row is the first one.
    pub(crate) fn reports_first(&self) -> bool {
        !self.reported.load(Ordering::Relaxed)
    }

    pub(crate) fn has_reported(&self) {
        self.reported.store(true, Ordering::Relaxed);
    }

    /// The result could not be sent, so it has not ended after all.
    pub(crate) fn reopen(&self) {
        self.ended.store(false, Ordering::Release);
    }
}

/// Why a task should stop, and how long it has.
#[pyclass(frozen, get_all, module = "trainwire")]
#[derive(Clone)]
pub(crate) struct StopRequest {
    pub(crate) reason: String,
    /// On the clock of `time.monotonic()`.
    deadline: f64,
    want_checkpoint: bool,
}

#[pymethods]
impl StopRequest {
    #[getter]
    fn time_left(&self) -> f64 {
        (self.deadline - monotonic_seconds()).max(0.0)
    }

    fn __repr__(&self) -> String {
        format!(
            "StopRequest(reason={:?}, time_left={:.1}, want_checkpoint={})",
            self.reason,
            self.time_left(),
            if self.want_checkpoint { "True" } else { "False" }
        )
    }
}

/// Python's `time.monotonic()`.
fn monotonic_seconds() -> f64 {
    // CLOCK_MONOTONIC exists on every Linux.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0.0, |now| Duration::from(now).as_secs_f64())
}

/// The reason of a stop that no orchestrator sent: there has been none for `orphan_timeout`.
pub(crate) const ORPHANED: &str = "orphaned";

const NOT_ASKED: u8 = 0;
const ASKED: u8 = 1;
const SEEN: u8 = 2;
