//! What a trainer says.

use std::ops::Range;

use flatbuffers::WIPOffset;

use super::{Encoder, at_most, end_of, halves, milliseconds, part, start_of, unsendable};
use crate::error::ProtocolError;
use crate::generated::wire;
use crate::id::Delivery;
use crate::limits::{IN_HAND_MAX, METRICS_MAX, STRING_SIZE_BYTES_MAX, TRACEBACK_SIZE_BYTES_MAX};
use crate::message::{
    Checkpoint, Heartbeat, Hello, InHandState, Outcome, Report, Role, TaskResult, TrainerError,
};

impl Encoder {
    pub(super) fn hello(&mut self, hello: &Hello) -> Result<(), ProtocolError> {
        at_most("Hello.in_hand", hello.in_hand.len(), IN_HAND_MAX)?;
        let job_id = Some(self.builder.create_string(hello.job_id.as_str()));
        let version = Some(self.builder.create_string(start_of(&hello.version, STRING_SIZE_BYTES_MAX)));
        let token = hello.token.map(|token| self.builder.create_vector(&token.0));
        let in_hand = hello.in_hand.iter().map(|entry| {
            let state = match entry.state {
                InHandState::Queued => wire::InHandState::Queued,
                InHandState::Running => wire::InHandState::Running,
                InHandState::Finished => wire::InHandState::Finished,
            };
            wire::InHand::new(entry.delivery.0, entry.last_seq, state)
        });
        let in_hand = Some(self.builder.create_vector_from_iter(in_hand));
        let held = self.deliveries("Hello.held", &hello.held)?;
        let [high, low] = halves(hello.instance.0);
        let instance = wire::Instance::new(high, low);
        let args = wire::HelloArgs {
            protocol_min: hello.protocol_min,
            protocol_max: hello.protocol_max,
            job_id,
            version,
            token,
            instance: Some(&instance),
            connection: hello.connection,
            role: match hello.role {
                Role::Primary => wire::Role::Primary,
                Role::Replica => wire::Role::Replica,
            },
            rank: hello.rank,
            world_size: hello.world_size,
            restart: hello.restart,
            in_hand,
            can_dump_stacks: hello.can_dump_stacks,
            held,
        };
        let root = wire::Hello::create(&mut self.builder, &args);
        self.finish(root)
    }

    /// A Report of some of its rows. The first of them bring along what was said about rows before.
    pub(crate) fn report(&mut self, report: &Report, rows: Range<usize>) -> Result<(), ProtocolError> {
        self.builder.reset();
        self.rows(report, rows)
    }

    pub(super) fn rows(&mut self, report: &Report, rows: Range<usize>) -> Result<(), ProtocolError> {
        crate::message::report::check_shape(report).map_err(unsendable)?;
        let width = report.names.len();
        let values = rows.start.saturating_mul(width)..rows.end.saturating_mul(width);
        at_most("Report.names", report.names.len(), METRICS_MAX)?;
        self.names.clear();
        for name in &*report.names {
            let name = self.string("Report.names", name)?;
            self.names.push(name);
        }
        let builder = &mut self.builder;
        let args = wire::ReportArgs {
            delivery: report.delivery.0,
            names: Some(builder.create_vector(&self.names)),
            times_us: Some(builder.create_vector(part(&report.times_us, &rows))),
            steps: report.steps.as_ref().map(|steps| builder.create_vector(part(steps, &rows))),
            epochs: report.epochs.as_ref().map(|epochs| builder.create_vector(part(epochs, &rows))),
            values: Some(builder.create_vector(part(&report.values, &values))),
            thinned: if rows.start == 0 { report.thinned } else { 0 },
        };
        let root = wire::Report::create(builder, &args);
        self.finish(root)
    }

    pub(super) fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), ProtocolError> {
        let metrics = self.metrics("Checkpoint.metrics", &checkpoint.metrics)?;
        let path = Some(self.string("Checkpoint.path", &checkpoint.at.path)?);
        let args = wire::CheckpointArgs {
            delivery: checkpoint.delivery.0,
            seq: checkpoint.seq,
            path,
            step: checkpoint.at.step,
            epoch: checkpoint.at.epoch,
            metrics,
        };
        let root = wire::Checkpoint::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(super) fn result(&mut self, result: &TaskResult) -> Result<(), ProtocolError> {
        let metrics = self.metrics("TaskResult.metrics", &result.metrics)?;
        let (outcome, error, retry_after, code) = match &result.outcome {
            Outcome::Succeeded => (wire::Outcome::Succeeded, None, None, None),
            Outcome::Failed(error) => (wire::Outcome::Failed, Some(error), None, None),
            Outcome::Stopped => (wire::Outcome::Stopped, None, None, None),
            Outcome::Retry { error, after } => (wire::Outcome::Retry, Some(error), *after, None),
            Outcome::Returned { code } => (wire::Outcome::Returned, None, None, Some(code.as_str())),
        };
        let error = error.map(|error| self.trainer_error(error));
        let code = self.optional_string("TaskResult.code", code)?;
        let args = wire::TaskResultArgs {
            delivery: result.delivery.0,
            seq: result.seq,
            outcome,
            metrics,
            error,
            retry_after_ms: retry_after.map(milliseconds),
            code,
        };
        let root = wire::TaskResult::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<(), ProtocolError> {
        let args = wire::HeartbeatArgs {
            delivery: heartbeat.running.map_or(0, |delivery| delivery.0),
            progress_age_ms: milliseconds(heartbeat.progress_age),
        };
        let root = wire::Heartbeat::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(super) fn release(&mut self, deliveries: &[Delivery]) -> Result<(), ProtocolError> {
        let deliveries = self.deliveries("Release.deliveries", deliveries)?;
        let deliveries = deliveries.or_else(|| Some(self.builder.create_vector::<u64>(&[])));
        let root = wire::Release::create(&mut self.builder, &wire::ReleaseArgs { deliveries });
        self.finish(root)
    }

    fn trainer_error(&mut self, error: &TrainerError) -> WIPOffset<wire::TrainerError<'static>> {
        let builder = &mut self.builder;
        let args = wire::TrainerErrorArgs {
            type_: Some(builder.create_string(start_of(&error.kind, STRING_SIZE_BYTES_MAX))),
            text: Some(builder.create_string(start_of(&error.text, STRING_SIZE_BYTES_MAX))),
            traceback: Some(builder.create_string(end_of(&error.traceback, TRACEBACK_SIZE_BYTES_MAX))),
            fatal: error.fatal,
            restarts: error.restarts,
        };
        wire::TrainerError::create(builder, &args)
    }
}
