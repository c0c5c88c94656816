//! Both ends of a connection, with nothing between them.

use std::time::{Duration, Instant};

use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{AckEntry, AckKind, Outcome};
use trainwire_protocol::session::{
    Numbers, OrchestratorEvent, OrchestratorSession, OutboxLimits, Row, RowBuffer, RowLimits, Then, Timeouts,
    TrainerEvent, TrainerSession,
};
use trainwire_protocol::task::VerifiedTask;

use crate::Run;
use crate::wire::{carry, deliver, identity, inline, metrics, task as small_task, welcome};

/// Two sessions in an open connection.
struct Pair {
    now: Instant,
    trainer: TrainerSession,
    orchestrator: OrchestratorSession,
    to_trainer: FrameReader,
    from_trainer: FrameReader,
    writer: FrameWriter,
    task: VerifiedTask,
    delivery: u64,
}

/// As a trainer's loop does, with the sending every so often.
pub(crate) fn push_row() -> Run {
    let mut pair = Pair::new();
    pair.hand_over();
    let delivery = Delivery(pair.delivery);
    let mut rows = RowBuffer::new(RowLimits::default());
    let metrics = [("loss", 0.0), ("a", 0.0), ("b", 0.0), ("c", 0.0)];
    let like = Row { time_us: 0, step: Some(0), epoch: None, metrics: &metrics };
    let shape = rows.shape_of(delivery, &like).expect("a plain row");
    let mut step = 0;
    Box::new(move || {
        step += 1;
        let values = [&[0.5, 1.0][..], &[2.0, 3.0], &[]];
        let row = Numbers { time_us: step, step: Some(step as i64), epoch: None, values };
        assert!(rows.push(shape, delivery, row));
        if rows.then(step, false) == Then::Send {
            pair.trainer.report(pair.now, &mut rows);
            pair.trainer.poll_transmit(pair.now, &mut pair.writer).expect("it fits");
            pair.writer.clear();
        }
    })
}

pub(crate) fn heartbeat() -> Run {
    let mut pair = Pair::new();
    Box::new(move || {
        pair.now += Duration::from_secs(1);
        pair.trainer.handle_timeout(pair.now).expect("in time");
        pair.up();
        assert!(matches!(pair.orchestrator.poll_event(), Some(OrchestratorEvent::Heartbeat(_))));
    })
}

/// Deliver, its result, the acknowledgement.
pub(crate) fn task() -> Run {
    let mut pair = Pair::new();
    Box::new(move || {
        pair.hand_over();
        let delivery = Delivery(pair.delivery);
        let seq = pair.trainer.finish(pair.now, delivery, Outcome::Succeeded, metrics()).expect("it fits");
        pair.up();
        let mut results = 0;
        while let Some(event) = pair.orchestrator.poll_event() {
            results += usize::from(matches!(event, OrchestratorEvent::Result(_)));
        }
        assert_eq!(results, 1);
        let seq = seq.expect("it was in hand");
        pair.orchestrator.ack(AckEntry { delivery, seq, kind: AckKind::Stored });
        pair.down();
        assert!(matches!(pair.trainer.poll_event(), Some(TrainerEvent::Acknowledged(_))));
    })
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let mut pair = Self {
            now,
            trainer: TrainerSession::new(identity(), OutboxLimits::default()),
            orchestrator: OrchestratorSession::new(now, Timeouts::default()),
            to_trainer: FrameReader::new(ReaderLimits::default()),
            from_trainer: FrameReader::new(ReaderLimits { inline_task_size_bytes_max: 0 }),
            writer: FrameWriter::default(),
            task: small_task(),
            delivery: 0,
        };
        pair.trainer.connected(now);
        pair.up();
        assert!(matches!(pair.orchestrator.poll_event(), Some(OrchestratorEvent::Hello(_))));
        pair.orchestrator.welcome(now, welcome());
        pair.down();
        assert!(matches!(pair.trainer.poll_event(), Some(TrainerEvent::Welcomed(_))));
        pair
    }

    /// A task, until the trainer's code has it.
    fn hand_over(&mut self) {
        self.delivery += 1;
        let deliver = deliver(self.delivery, self.task.as_bytes().len());
        self.orchestrator.deliver(deliver, inline(&self.task));
        self.down();
        assert!(matches!(self.trainer.poll_event(), Some(TrainerEvent::Delivered(_))));
        assert!(self.trainer.start(self.now, Delivery(self.delivery)));
    }

    fn up(&mut self) {
        self.trainer.poll_transmit(self.now, &mut self.writer).expect("it fits");
        carry(&mut self.writer, &mut self.from_trainer);
        while let Some(frame) = self.from_trainer.next().expect("a frame") {
            self.orchestrator.handle_frame(self.now, &frame).expect("an honest trainer");
        }
    }

    fn down(&mut self) {
        self.orchestrator.poll_transmit(self.now, &mut self.writer).expect("it fits");
        carry(&mut self.writer, &mut self.to_trainer);
        while let Some(frame) = self.to_trainer.next().expect("a frame") {
            self.trainer.handle_frame(self.now, &frame).expect("an honest orchestrator");
        }
    }
}
