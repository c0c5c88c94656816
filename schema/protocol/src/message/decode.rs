//! Meta FlatBuffers into owned messages. Everything is checked here: whoever holds a message need not
//! ask again.

mod from_trainer;
mod to_trainer;

use flatbuffers::{Follow, ForwardsUOffset, Vector, Verifiable, VerifierOptions, root_with_opts};

use super::{Bye, FromTrainer, Metric, MetricValue, ToTrainer};
use crate::error::ProtocolError;
use crate::frame::Kind;
use crate::generated::wire;
use crate::id::{Delivery, SlabId};
use crate::limits::{
    HELD_MAX, METRICS_MAX, STRING_SIZE_BYTES_MAX, VERIFIER_APPARENT_SIZE_FACTOR, VERIFIER_DEPTH_MAX,
};

use from_trainer::{checkpoint, heartbeat, hello, release, report, result};
use to_trainer::{ack, deliver, refused, slab, stop, welcome};

type Decoded<T> = Result<T, ProtocolError>;
type Metrics<'a> = Option<Vector<'a, ForwardsUOffset<wire::Metric<'a>>>>;

pub(crate) fn from_trainer(kind: Kind, meta: &[u8]) -> Decoded<FromTrainer> {
    Ok(match kind {
        Kind::Hello => FromTrainer::Hello(hello(root::<wire::Hello<'_>>(kind, meta)?)?),
        Kind::Started => {
            let started = root::<wire::Started<'_>>(kind, meta)?;
            FromTrainer::Started(delivery("Started.delivery", started.delivery())?)
        }
        Kind::Report => FromTrainer::Report(report(root::<wire::Report<'_>>(kind, meta)?)?),
        Kind::Checkpoint => FromTrainer::Checkpoint(checkpoint(root::<wire::Checkpoint<'_>>(kind, meta)?)?),
        Kind::Result => FromTrainer::Result(result(root::<wire::TaskResult<'_>>(kind, meta)?)?),
        Kind::Heartbeat => FromTrainer::Heartbeat(heartbeat(root::<wire::Heartbeat<'_>>(kind, meta)?)),
        Kind::Release => FromTrainer::Release(release(root::<wire::Release<'_>>(kind, meta)?)?),
        Kind::Bye => FromTrainer::Bye(bye(root::<wire::Bye<'_>>(kind, meta)?)?),
        Kind::Welcome | Kind::Refused | Kind::Slab | Kind::Deliver | Kind::Ack | Kind::Stop => {
            return Err(ProtocolError::WrongDirection { kind });
        }
    })
}

/// `descriptor` is the frame's flag, which has to agree with the Deliver.
pub(crate) fn to_trainer(kind: Kind, descriptor: bool, meta: &[u8]) -> Decoded<ToTrainer> {
    Ok(match kind {
        Kind::Welcome => ToTrainer::Welcome(welcome(root::<wire::Welcome<'_>>(kind, meta)?)?),
        Kind::Refused => ToTrainer::Refused(refused(root::<wire::Refused<'_>>(kind, meta)?)?),
        Kind::Slab => ToTrainer::Slab(slab(root::<wire::Slab<'_>>(kind, meta)?)?),
        Kind::Deliver => ToTrainer::Deliver(deliver(root::<wire::Deliver<'_>>(kind, meta)?, descriptor)?),
        Kind::Ack => ToTrainer::Ack(ack(root::<wire::Ack<'_>>(kind, meta)?)?),
        Kind::Stop => ToTrainer::Stop(stop(root::<wire::Stop<'_>>(kind, meta)?)?),
        Kind::Bye => ToTrainer::Bye(bye(root::<wire::Bye<'_>>(kind, meta)?)?),
        Kind::Hello
        | Kind::Started
        | Kind::Report
        | Kind::Checkpoint
        | Kind::Result
        | Kind::Heartbeat
        | Kind::Release => {
            return Err(ProtocolError::WrongDirection { kind });
        }
    })
}

/// The bounds of every verification: what a buffer of this size can honestly need.
pub(crate) fn verifier_options(size_bytes: usize) -> VerifierOptions {
    VerifierOptions {
        max_depth: VERIFIER_DEPTH_MAX,
        max_tables: size_bytes,
        max_apparent_size: size_bytes.saturating_mul(VERIFIER_APPARENT_SIZE_FACTOR),
        ignore_missing_null_terminator: false,
    }
}

fn root<'a, T>(kind: Kind, meta: &'a [u8]) -> Decoded<T::Inner>
where
    T: Follow<'a> + Verifiable + 'a,
{
    root_with_opts::<T>(&verifier_options(meta.len()), meta)
        .map_err(|cause| ProtocolError::BadMeta { kind, cause })
}

fn metrics(field: &'static str, metrics: Metrics<'_>) -> Decoded<Vec<Metric>> {
    let metrics = metrics.unwrap_or_default();
    at_most(field, metrics.len(), METRICS_MAX)?;
    let metric = |metric: wire::Metric<'_>| {
        let value = match metric.text() {
            Some(text) => MetricValue::Text(string("Metric.text", text)?),
            None => MetricValue::Number(metric.value()),
        };
        Ok(Metric { name: string("Metric.name", metric.name())?, value })
    };
    metrics.iter().map(metric).collect()
}

fn bye(bye: wire::Bye<'_>) -> Decoded<Bye> {
    Ok(Bye {
        code: string("Bye.code", bye.code())?,
        text: string("Bye.text", bye.text().unwrap_or_default())?,
    })
}

fn delivery(field: &'static str, number: u64) -> Decoded<Delivery> {
    match number {
        0 => Err(bad(field, "is 0, deliveries are numbered from 1")),
        _ => Ok(Delivery(number)),
    }
}

fn deliveries(field: &'static str, numbers: Option<Vector<'_, u64>>) -> Decoded<Vec<Delivery>> {
    let numbers = numbers.unwrap_or_default();
    at_most(field, numbers.len(), HELD_MAX)?;
    numbers.iter().map(|number| delivery(field, number)).collect()
}

fn slab_id(field: &'static str, number: u64) -> Decoded<SlabId> {
    match number {
        0 => Err(bad(field, "is 0, slabs are numbered from 1")),
        _ => Ok(SlabId(number)),
    }
}

fn seq(field: &'static str, number: u64) -> Decoded<u64> {
    match number {
        0 => Err(bad(field, "is 0, sequence numbers start at 1")),
        _ => Ok(number),
    }
}

fn string(field: &'static str, text: &str) -> Decoded<String> {
    limited_string(field, text, STRING_SIZE_BYTES_MAX)
}

fn optional_string(field: &'static str, text: Option<&str>) -> Decoded<Option<String>> {
    text.map(|text| string(field, text)).transpose()
}

fn limited_string(field: &'static str, text: &str, limit_bytes: usize) -> Decoded<String> {
    if text.len() > limit_bytes {
        return Err(ProtocolError::StringTooLong { field, size_bytes: text.len(), limit_bytes });
    }
    Ok(text.to_owned())
}

fn at_most(field: &'static str, count: usize, limit: usize) -> Decoded<()> {
    if count > limit {
        return Err(ProtocolError::TooMany { field, count, limit });
    }
    Ok(())
}

fn bad(field: &'static str, problem: &'static str) -> ProtocolError {
    ProtocolError::BadValue { field, problem }
}

/// Enumerations only grow with the protocol's version.
const UNKNOWN: &str = "has a value protocol version 1 does not know";
