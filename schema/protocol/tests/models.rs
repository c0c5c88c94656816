//! What Python's threads and the IO thread of a trainer share, through every interleaving of them:
//! the extension's own `rows.rs`, with loom's lock in place of the standard library's.
#![cfg(not(miri))] // loom has stacks of its own
#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

mod common;
#[path = "../../../bindings/src/rows.rs"]
#[allow(dead_code, reason = "what callers keep beside the rows is Python's")]
mod rows;

mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

use std::convert::Infallible;
use std::time::Instant;

use common::{DELIVERY, running};
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use rows::{Rows, Sender};
use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::message::{FromTrainer, Outcome};
use trainwire_protocol::session::{Row, RowBuffer, RowLimits, TrainerSession};

/// A connection: rows, a session behind its lock, and an eventfd.
struct Connection {
    begin: Instant,
    rows: Rows<()>,
    session: Mutex<TrainerSession>,
    woken: AtomicBool,
}

impl Connection {
    fn new() -> Arc<Self> {
        let begin = Instant::now();
        let rows = Rows::new(RowLimits { rows_max: 4, ..RowLimits::default() });
        let session = Mutex::new(running(begin));
        Arc::new(Self { begin, rows, session, woken: AtomicBool::new(false) })
    }

    fn report(&self, time_us: u64) {
        let row = Row { time_us, step: None, epoch: None, metrics: &[("a", 1.0)] };
        let Ok(()) = self.rows.report(time_us, false, self, |rows, ()| {
            rows.push_row(DELIVERY, row);
            Ok::<(), Infallible>(())
        });
    }

    /// One turn of the IO thread. Whether it will come back of its own accord.
    fn turn(&self, time_us: u64) -> bool {
        self.woken.store(false, Ordering::SeqCst);
        let mut session = self.session.lock().unwrap();
        self.rows.watch(time_us, |rows| session.report(self.begin, rows)).is_some()
    }

    /// `task.finish()`: what was reported before goes first.
    fn finish(&self) {
        let mut session = self.session.lock().unwrap();
        self.take(&mut session);
        session.finish(self.begin, DELIVERY, Outcome::Succeeded, Vec::new()).unwrap();
    }

    fn take(&self, session: &mut TrainerSession) {
        self.rows.take(|rows: &mut RowBuffer| session.report(self.begin, rows));
    }

    /// The times of all rows that are sent, and those left out; 0 stands for the result.
    fn sent(&self) -> (Vec<u64>, u64) {
        let mut writer = FrameWriter::default();
        self.session.lock().unwrap().poll_transmit(self.begin, &mut writer).unwrap();
        let mut reader = FrameReader::new(ReaderLimits::default());
        for slice in writer.io_slices().iter() {
            reader.spare()[..slice.len()].copy_from_slice(slice);
            reader.advance(slice.len());
        }
        let (mut times, mut thinned) = (Vec::new(), 0);
        while let Some(frame) = reader.next().unwrap() {
            match frame.decode_from_trainer().unwrap() {
                FromTrainer::Report(report) => {
                    times.extend_from_slice(&report.times_us);
                    thinned += report.thinned;
                }
                FromTrainer::Result(_) => times.push(0),
                _ => {}
            }
        }
        (times, thinned)
    }
}

impl Sender for Connection {
    fn try_send(&self) -> bool {
        let Ok(mut session) = self.session.try_lock() else { return false };
        self.take(&mut session);
        true
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
    }
}

/// The first of them leaves at once, the others are not due.
const TIMES_US: [u64; 3] = [1_000_000, 1_000_001, 1_000_002];

/// When whatever waits is due.
const LATER_US: u64 = 2_000_000;

#[test]
fn no_row_is_forgotten() {
    // The last of them has none after it that would see to it.
    for times_us in [&TIMES_US[..1], &TIMES_US[..2], &TIMES_US] {
        loom::model(move || {
            let connection = Connection::new();
            let io_thread = thread::spawn({
                let connection = Arc::clone(&connection);
                move || connection.turn(TIMES_US[1])
            });
            times_us.iter().for_each(|time_us| connection.report(*time_us));
            let comes_back = io_thread.join().unwrap();
            // Woken, or by itself, the IO thread comes once more; otherwise nothing may be left.
            if comes_back || connection.woken.load(Ordering::SeqCst) {
                connection.turn(LATER_US);
            }
            assert_eq!(connection.sent(), (times_us.to_vec(), 0));
        });
    }
}

#[test]
fn two_threads_report_and_each_row_is_sent_or_counted() {
    loom::model(|| {
        let connection = Connection::new();
        let other = thread::spawn({
            let connection = Arc::clone(&connection);
            move || TIMES_US.iter().for_each(|time_us| connection.report(*time_us))
        });
        TIMES_US.iter().for_each(|time_us| connection.report(*time_us));
        other.join().unwrap();
        if connection.woken.load(Ordering::SeqCst) {
            connection.turn(LATER_US);
        }
        let (times, thinned) = connection.sent();
        assert_eq!(times.len() as u64 + thinned, 2 * TIMES_US.len() as u64);
    });
}

#[test]
fn a_result_comes_after_the_rows_before_it() {
    loom::model(|| {
        let connection = Connection::new();
        let io_thread = thread::spawn({
            let connection = Arc::clone(&connection);
            move || connection.turn(LATER_US)
        });
        TIMES_US.iter().for_each(|time_us| connection.report(*time_us));
        connection.finish();
        io_thread.join().unwrap();
        let mut wanted = TIMES_US.to_vec();
        wanted.push(0);
        assert_eq!(connection.sent(), (wanted, 0));
    });
}
