//! Owned messages into meta FlatBuffers.
//!
//! Limits the other end would refuse a message for are checked here, by field. Only texts for people
//! are shortened: no error message is worth losing a result for.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};

use super::{
    AckEntry, AckKind, Bye, Checkpoint, CheckpointRef, Deliver, FromTrainer, Heartbeat, Hello, InHandState,
    Metric, MetricValue, Outcome, Place, Refused, Report, Role, Slab, Stop, TaskResult, ToTrainer,
    TrainerError, Welcome,
};
use crate::error::ProtocolError;
use crate::generated::wire;
use crate::id::Delivery;
use crate::limits::{HELD_MAX, IN_HAND_MAX, METRICS_MAX, STRING_SIZE_BYTES_MAX, TRACEBACK_SIZE_BYTES_MAX};

/// Builds one message after the other in the same memory.
#[derive(Default)]
pub(crate) struct Encoder {
    builder: FlatBufferBuilder<'static>,
    // Scratch for vectors, whose parts FlatBuffers wants finished before the vector begins.
    names: Vec<WIPOffset<&'static str>>,
    metrics: Vec<WIPOffset<wire::Metric<'static>>>,
}

type Encoded<T> = Result<WIPOffset<T>, ProtocolError>;
type Numbers = Option<WIPOffset<Vector<'static, u64>>>;
type Text = Option<WIPOffset<&'static str>>;
type Metrics = Option<WIPOffset<Vector<'static, ForwardsUOffset<wire::Metric<'static>>>>>;

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// The message encoded last.
    pub(crate) fn meta(&self) -> &[u8] {
        self.builder.finished_data()
    }

    pub(crate) fn encode_from_trainer(&mut self, message: &FromTrainer) -> Result<(), ProtocolError> {
        self.builder.reset();
        match message {
            FromTrainer::Hello(hello) => self.hello(hello),
            FromTrainer::Started(delivery) => {
                let args = wire::StartedArgs { delivery: delivery.0 };
                let started = wire::Started::create(&mut self.builder, &args);
                self.finish(started)
            }
            FromTrainer::Report(report) => self.rows(report, 0..report.times_us.len()),
            FromTrainer::Checkpoint(checkpoint) => self.checkpoint(checkpoint),
            FromTrainer::Result(result) => self.result(result),
            FromTrainer::Heartbeat(heartbeat) => self.heartbeat(heartbeat),
            FromTrainer::Release(deliveries) => self.release(deliveries),
            FromTrainer::Bye(bye) => self.bye(bye),
        }
    }

    pub(crate) fn encode_to_trainer(&mut self, message: &ToTrainer) -> Result<(), ProtocolError> {
        self.builder.reset();
        match message {
            ToTrainer::Welcome(welcome) => self.welcome(welcome),
            ToTrainer::Refused(refused) => self.refused(refused),
            ToTrainer::Slab(slab) => self.slab(slab),
            ToTrainer::Deliver(deliver) => self.deliver(deliver),
            ToTrainer::Ack(entries) => self.ack(entries),
            ToTrainer::Stop(stop) => self.stop(stop),
            ToTrainer::Bye(bye) => self.bye(bye),
        }
    }

    pub(crate) fn slab(&mut self, slab: &Slab) -> Result<(), ProtocolError> {
        self.builder.reset();
        let args = wire::SlabArgs { slab: slab.slab.0, size: slab.size };
        let root = wire::Slab::create(&mut self.builder, &args);
        self.finish(root)
    }

    pub(crate) fn deliver(&mut self, deliver: &Deliver) -> Result<(), ProtocolError> {
        self.builder.reset();
        let work = self.optional_string("Deliver.work", deliver.work.as_deref())?;
        let last_checkpoint = match &deliver.last_checkpoint {
            Some(checkpoint) => Some(self.checkpoint_ref(checkpoint)?),
            None => None,
        };
        let traceparent = self.optional_string("Deliver.traceparent", deliver.traceparent.as_deref())?;
        let (place, slab, offset) = match deliver.place {
            Place::Inline => (wire::Place::Inline, 0, 0),
            Place::Descriptor => (wire::Place::Descriptor, 0, 0),
            Place::Slab { slab, offset } => (wire::Place::Slab, slab.0, offset),
        };
        let args = wire::DeliverArgs {
            delivery: deliver.delivery.0,
            attempt: deliver.attempt,
            task_size: deliver.task_size,
            place,
            work,
            last_checkpoint,
            traceparent,
            time_left_ms: deliver.time_left.map(milliseconds),
            slab,
            offset,
        };
        let root = wire::Deliver::create(&mut self.builder, &args);
        self.finish(root)
    }

    fn hello(&mut self, hello: &Hello) -> Result<(), ProtocolError> {
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

    fn welcome(&mut self, welcome: &Welcome) -> Result<(), ProtocolError> {
        at_most("Welcome.in_hand", welcome.in_hand.len(), IN_HAND_MAX)?;
        let spool = self.optional_string("Welcome.spool", welcome.spool.as_deref())?;
        let in_hand =
            welcome.in_hand.iter().map(|(delivery, keep)| wire::KeptDelivery::new(delivery.0, *keep));
        let in_hand = Some(self.builder.create_vector_from_iter(in_hand));
        let args = wire::WelcomeArgs {
            protocol: welcome.protocol,
            heartbeat_ms: short_milliseconds(welcome.heartbeat),
            recv_timeout_ms: short_milliseconds(welcome.recv_timeout),
            orphan_timeout_ms: milliseconds(welcome.orphan_timeout),
            spool,
            in_hand,
            poll_us: u32::try_from(welcome.poll.as_micros()).unwrap_or(u32::MAX),
        };
        let root = wire::Welcome::create(&mut self.builder, &args);
        self.finish(root)
    }

    fn refused(&mut self, refused: &Refused) -> Result<(), ProtocolError> {
        let code = Some(self.string("Refused.code", &refused.code)?);
        let text = Some(self.builder.create_string(start_of(&refused.text, STRING_SIZE_BYTES_MAX)));
        let args = wire::RefusedArgs {
            code,
            text,
            retry: if refused.retry_later { wire::RetryAdvice::Later } else { wire::RetryAdvice::Never },
            protocol_min: refused.protocol_min,
            protocol_max: refused.protocol_max,
        };
        let root = wire::Refused::create(&mut self.builder, &args);
        self.finish(root)
    }

    /// A Report of some of its rows. The first of them bring along what was said about rows before.
    pub(crate) fn report(&mut self, report: &Report, rows: Range<usize>) -> Result<(), ProtocolError> {
        self.builder.reset();
        self.rows(report, rows)
    }

    fn rows(&mut self, report: &Report, rows: Range<usize>) -> Result<(), ProtocolError> {
        super::report::check_shape(report).map_err(unsendable)?;
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

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), ProtocolError> {
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

    fn result(&mut self, result: &TaskResult) -> Result<(), ProtocolError> {
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

    fn ack(&mut self, entries: &[AckEntry]) -> Result<(), ProtocolError> {
        let entries = entries.iter().map(|entry| {
            let kind = match entry.kind {
                AckKind::Stored => wire::AckKind::Stored,
                AckKind::Superseded => wire::AckKind::Superseded,
            };
            wire::AckEntry::new(entry.delivery.0, entry.seq, kind)
        });
        let entries = Some(self.builder.create_vector_from_iter(entries));
        let root = wire::Ack::create(&mut self.builder, &wire::AckArgs { entries });
        self.finish(root)
    }

    fn stop(&mut self, stop: &Stop) -> Result<(), ProtocolError> {
        let reason = Some(self.string("Stop.reason", &stop.reason)?);
        let args = wire::StopArgs {
            delivery: stop.delivery.0,
            reason,
            time_left_ms: milliseconds(stop.time_left),
            want_checkpoint: stop.want_checkpoint,
            dump_stacks: stop.dump_stacks,
        };
        let root = wire::Stop::create(&mut self.builder, &args);
        self.finish(root)
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat) -> Result<(), ProtocolError> {
        let args = wire::HeartbeatArgs {
            delivery: heartbeat.running.map_or(0, |delivery| delivery.0),
            progress_age_ms: milliseconds(heartbeat.progress_age),
        };
        let root = wire::Heartbeat::create(&mut self.builder, &args);
        self.finish(root)
    }

    fn release(&mut self, deliveries: &[Delivery]) -> Result<(), ProtocolError> {
        let deliveries = self.deliveries("Release.deliveries", deliveries)?;
        let deliveries = deliveries.or_else(|| Some(self.builder.create_vector::<u64>(&[])));
        let root = wire::Release::create(&mut self.builder, &wire::ReleaseArgs { deliveries });
        self.finish(root)
    }

    fn bye(&mut self, bye: &Bye) -> Result<(), ProtocolError> {
        let code = Some(self.string("Bye.code", &bye.code)?);
        let text = Some(self.builder.create_string(start_of(&bye.text, STRING_SIZE_BYTES_MAX)));
        let root = wire::Bye::create(&mut self.builder, &wire::ByeArgs { code, text });
        self.finish(root)
    }

    fn checkpoint_ref(&mut self, checkpoint: &CheckpointRef) -> Encoded<wire::CheckpointRef<'static>> {
        let path = Some(self.string("CheckpointRef.path", &checkpoint.path)?);
        let args = wire::CheckpointRefArgs { path, step: checkpoint.step, epoch: checkpoint.epoch };
        Ok(wire::CheckpointRef::create(&mut self.builder, &args))
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

    fn metrics(&mut self, field: &'static str, metrics: &[Metric]) -> Result<Metrics, ProtocolError> {
        if metrics.is_empty() {
            return Ok(None);
        }
        at_most(field, metrics.len(), METRICS_MAX)?;
        self.metrics.clear();
        for metric in metrics {
            let name = Some(self.string("Metric.name", &metric.name)?);
            let (value, text) = match &metric.value {
                MetricValue::Number(value) => (*value, None),
                MetricValue::Text(text) => (0.0, Some(self.string("Metric.text", text)?)),
            };
            // What equals the default is left out, and -0.0 equals 0.0.
            self.builder.force_defaults(value == 0.0 && value.is_sign_negative());
            let metric = wire::Metric::create(&mut self.builder, &wire::MetricArgs { name, value, text });
            self.builder.force_defaults(false);
            self.metrics.push(metric);
        }
        Ok(Some(self.builder.create_vector(&self.metrics)))
    }

    /// `None` for none.
    fn deliveries(&mut self, field: &'static str, deliveries: &[Delivery]) -> Result<Numbers, ProtocolError> {
        at_most(field, deliveries.len(), HELD_MAX)?;
        let numbers = deliveries.iter().map(|delivery| delivery.0);
        Ok((!deliveries.is_empty()).then(|| self.builder.create_vector_from_iter(numbers)))
    }

    fn string(&mut self, field: &'static str, text: &str) -> Encoded<&'static str> {
        if text.len() > STRING_SIZE_BYTES_MAX {
            return Err(unsendable(ProtocolError::StringTooLong {
                field,
                size_bytes: text.len(),
                limit_bytes: STRING_SIZE_BYTES_MAX,
            }));
        }
        Ok(self.builder.create_string(text))
    }

    fn optional_string(&mut self, field: &'static str, text: Option<&str>) -> Result<Text, ProtocolError> {
        text.map(|text| self.string(field, text)).transpose()
    }

    fn finish<T>(&mut self, root: WIPOffset<T>) -> Result<(), ProtocolError> {
        self.builder.finish_minimal(root);
        Ok(())
    }
}

fn at_most(field: &'static str, count: usize, limit: usize) -> Result<(), ProtocolError> {
    if count > limit {
        return Err(unsendable(ProtocolError::TooMany { field, count, limit }));
    }
    Ok(())
}

/// Of a column as long as the report, or absent.
fn part<'a, T>(column: &'a [T], rows: &Range<usize>) -> &'a [T] {
    column.get(rows.clone()).unwrap_or_default()
}

fn unsendable(error: ProtocolError) -> ProtocolError {
    ProtocolError::Unsendable(Box::new(error))
}

/// The longest start of a text that fits.
fn start_of(text: &str, size_bytes_max: usize) -> &str {
    let mut end = text.len().min(size_bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The longest end of a text that fits.
fn end_of(text: &str, size_bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(size_bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

/// Whole milliseconds, as they travel.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn short_milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[allow(clippy::cast_possible_truncation)] // that is how a number is halved
fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}
