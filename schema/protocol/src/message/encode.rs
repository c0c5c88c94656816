//! Owned messages into meta FlatBuffers.
//!
//! Limits the other end would refuse a message for are checked here, by field. Only texts for people
//! are shortened: no error message is worth losing a result for.

mod from_trainer;
mod to_trainer;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector, WIPOffset};

use super::{Bye, CheckpointRef, FromTrainer, Metric, MetricValue, ToTrainer};
use crate::error::ProtocolError;
use crate::generated::wire;
use crate::id::Delivery;
use crate::limits::{HELD_MAX, METRICS_MAX, STRING_SIZE_BYTES_MAX};

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
