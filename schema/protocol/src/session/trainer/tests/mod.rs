#![allow(clippy::disallowed_methods, reason = "virtual time starts somewhere")]

mod connection;
mod work;

use super::*;
use crate::message::{
    AckKind, FromTrainer, Heartbeat, InHand, InHandState, Outcome, TaskResult, ToTrainer, TrainerError,
};
use crate::session::outbox::{Row, RowBuffer, RowLimits};
use crate::session::testing::{SECOND, decode_from_trainer, deliver, hello, ms, to_trainer, welcome};

struct End {
    now: Instant,
    session: TrainerSession,
}

impl End {
    fn detached() -> Self {
        let identity = Identity {
            job_id: hello().job_id,
            token: None,
            instance: hello().instance,
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: hello().version,
            can_dump_stacks: false,
        };
        Self { now: Instant::now(), session: TrainerSession::new(identity, OutboxLimits::default()) }
    }

    fn open() -> Self {
        let mut end = Self::detached();
        end.reconnect(welcome());
        end
    }

    /// Connects, and returns the Hello's list.
    fn reconnect(&mut self, welcome: Welcome) -> Vec<InHand> {
        self.session.connected(self.now);
        let sent = self.sent();
        let [FromTrainer::Hello(hello)] = sent.as_slice() else { panic!("{sent:?}") };
        let in_hand = hello.in_hand.clone();
        assert_eq!(self.sent(), [], "nothing follows before the Welcome");
        self.receive(&ToTrainer::Welcome(welcome.clone())).unwrap();
        assert_eq!(self.session.poll_event(), Some(TrainerEvent::Welcomed(welcome)));
        in_hand
    }

    fn receive(&mut self, message: &ToTrainer) -> Result<(), ProtocolError> {
        let mut reader = to_trainer(message);
        self.session.handle_frame(self.now, &reader.next().unwrap().unwrap())
    }

    fn sent(&mut self) -> Vec<FromTrainer> {
        let mut writer = FrameWriter::default();
        self.session.poll_transmit(self.now, &mut writer).unwrap();
        decode_from_trainer(&mut writer)
    }

    fn events(&mut self) -> Vec<TrainerEvent> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn deliver(&mut self, delivery: u64) {
        self.receive(&ToTrainer::Deliver(deliver(delivery))).unwrap();
        assert!(matches!(self.events().as_slice(), [TrainerEvent::Delivered(_)]));
    }

    fn run(&mut self, delivery: u64) {
        self.deliver(delivery);
        assert!(self.session.start(self.now, Delivery(delivery)));
        assert_eq!(self.sent(), [FromTrainer::Started(Delivery(delivery))]);
    }

    fn finish(&mut self, delivery: u64) -> Option<u64> {
        self.session.finish(self.now, Delivery(delivery), Outcome::Succeeded, Vec::new()).unwrap()
    }

    fn report(&mut self, delivery: u64) {
        let mut rows = RowBuffer::new(RowLimits::default());
        let row = Row { time_us: 1, step: None, epoch: None, metrics: &[("loss", 0.5)] };
        assert_eq!(rows.push_row(Delivery(delivery), row), 0);
        self.session.report(self.now, &mut rows);
    }

    fn ack(&mut self, delivery: u64, seq: u64) -> AckEntry {
        let entry = AckEntry { delivery: Delivery(delivery), seq, kind: AckKind::Stored };
        self.receive(&ToTrainer::Ack(vec![entry])).unwrap();
        entry
    }
}

fn succeeded(delivery: u64, seq: u64) -> FromTrainer {
    result(delivery, seq, Outcome::Succeeded)
}

fn result(delivery: u64, seq: u64, outcome: Outcome) -> FromTrainer {
    FromTrainer::Result(TaskResult { delivery: Delivery(delivery), seq, outcome, metrics: Vec::new() })
}

fn stop(delivery: u64) -> Stop {
    Stop {
        delivery: Delivery(delivery),
        reason: "cancelled".to_owned(),
        time_left: 30 * SECOND,
        want_checkpoint: true,
        dump_stacks: false,
    }
}

fn heartbeat(running: u64, progress_age: Duration) -> FromTrainer {
    FromTrainer::Heartbeat(Heartbeat { running: Some(Delivery(running)), progress_age })
}
