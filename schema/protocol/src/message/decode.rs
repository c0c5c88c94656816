//! Meta FlatBuffers into owned messages. Everything is checked here: whoever holds a message need not
//! ask again.

use std::time::Duration;

use flatbuffers::{Follow, ForwardsUOffset, Vector, Verifiable, VerifierOptions, root_with_opts};

use super::{
    AckEntry, AckKind, Bye, Checkpoint, CheckpointRef, Deliver, FromTrainer, Heartbeat, Hello, InHand,
    InHandState, Metric, MetricValue, Outcome, Place, Refused, Report, Role, Slab, Stop, TaskResult,
    ToTrainer, TrainerError, Welcome,
};
use crate::error::ProtocolError;
use crate::frame::Kind;
use crate::generated::wire;
use crate::id::{Delivery, Instance, JobId, SlabId, Token};
use crate::limits::{
    HELD_MAX, IN_HAND_MAX, METRICS_MAX, PROTOCOL_VERSION, STRING_SIZE_BYTES_MAX, TRACEBACK_SIZE_BYTES_MAX,
    VERIFIER_APPARENT_SIZE_FACTOR, VERIFIER_DEPTH_MAX,
};

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

fn hello(hello: wire::Hello<'_>) -> Decoded<Hello> {
    let job_id = JobId::new(hello.job_id()).map_err(|_| bad("Hello.job_id", "is not a job id"))?;
    let version = string("Hello.version", hello.version().unwrap_or_default())?;
    let instance = hello.instance();
    let mut decoded = Hello {
        protocol_min: hello.protocol_min(),
        protocol_max: hello.protocol_max(),
        job_id,
        version,
        token: None,
        instance: Instance(u128::from(instance.high()) << 64 | u128::from(instance.low())),
        connection: hello.connection(),
        role: Role::Primary,
        rank: hello.rank(),
        world_size: hello.world_size(),
        restart: hello.restart(),
        in_hand: Vec::new(),
        can_dump_stacks: hello.can_dump_stacks(),
        held: Vec::new(),
    };
    if decoded.protocol_min > decoded.protocol_max {
        return Err(bad("Hello.protocol_min", "is above protocol_max"));
    }
    if !(decoded.protocol_min..=decoded.protocol_max).contains(&PROTOCOL_VERSION) {
        // Of a version this one does not know, only the frozen fields mean anything; they are enough
        // to refuse it with words.
        return Ok(decoded);
    }
    decoded.token = match hello.token() {
        Some(token) => {
            let token = token.bytes().try_into().map_err(|_| bad("Hello.token", "does not have 16 bytes"))?;
            Some(Token(token))
        }
        None => None,
    };
    decoded.role = match hello.role() {
        wire::Role::Primary => Role::Primary,
        wire::Role::Replica => Role::Replica,
        _ => return Err(bad("Hello.role", UNKNOWN)),
    };
    let in_hand = hello.in_hand().unwrap_or_default();
    at_most("Hello.in_hand", in_hand.len(), IN_HAND_MAX)?;
    decoded.in_hand = in_hand.iter().map(in_hand_entry).collect::<Decoded<_>>()?;
    decoded.held = deliveries("Hello.held", hello.held())?;
    Ok(decoded)
}

fn in_hand_entry(entry: &wire::InHand) -> Decoded<InHand> {
    Ok(InHand {
        delivery: delivery("Hello.in_hand", entry.delivery())?,
        last_seq: entry.last_seq(),
        state: match entry.state() {
            wire::InHandState::Queued => InHandState::Queued,
            wire::InHandState::Running => InHandState::Running,
            wire::InHandState::Finished => InHandState::Finished,
            _ => return Err(bad("Hello.in_hand", UNKNOWN)),
        },
    })
}

fn welcome(welcome: wire::Welcome<'_>) -> Decoded<Welcome> {
    if welcome.heartbeat_ms() == 0 {
        return Err(bad("Welcome.heartbeat_ms", "must be at least 1"));
    }
    if welcome.recv_timeout_ms() == 0 {
        return Err(bad("Welcome.recv_timeout_ms", "must be at least 1"));
    }
    let in_hand = welcome.in_hand().unwrap_or_default();
    at_most("Welcome.in_hand", in_hand.len(), IN_HAND_MAX)?;
    let kept =
        |entry: &wire::KeptDelivery| Ok((delivery("Welcome.in_hand", entry.delivery())?, entry.keep()));
    Ok(Welcome {
        protocol: welcome.protocol(),
        heartbeat: Duration::from_millis(welcome.heartbeat_ms().into()),
        recv_timeout: Duration::from_millis(welcome.recv_timeout_ms().into()),
        orphan_timeout: Duration::from_millis(welcome.orphan_timeout_ms()),
        spool: optional_string("Welcome.spool", welcome.spool())?,
        in_hand: in_hand.iter().map(kept).collect::<Decoded<_>>()?,
        poll: Duration::from_micros(welcome.poll_us().into()),
    })
}

fn refused(refused: wire::Refused<'_>) -> Decoded<Refused> {
    Ok(Refused {
        code: string("Refused.code", refused.code())?,
        text: string("Refused.text", refused.text())?,
        // Advice a later version may add is taken as the safe one: do not come back.
        retry_later: refused.retry() == wire::RetryAdvice::Later,
        protocol_min: refused.protocol_min(),
        protocol_max: refused.protocol_max(),
    })
}

fn slab(slab: wire::Slab<'_>) -> Decoded<Slab> {
    Ok(Slab { slab: slab_id("Slab.slab", slab.slab())?, size: slab.size() })
}

fn deliver(deliver: wire::Deliver<'_>, descriptor: bool) -> Decoded<Deliver> {
    let place = match deliver.place() {
        wire::Place::Inline => Place::Inline,
        wire::Place::Descriptor => Place::Descriptor,
        wire::Place::Slab => {
            Place::Slab { slab: slab_id("Deliver.slab", deliver.slab())?, offset: deliver.offset() }
        }
        _ => return Err(bad("Deliver.place", UNKNOWN)),
    };
    if descriptor != (place == Place::Descriptor) {
        let flags = u8::from(descriptor);
        return Err(ProtocolError::BadFlags { flags, kind: Kind::Deliver });
    }
    let last_checkpoint = match deliver.last_checkpoint() {
        Some(checkpoint) => Some(CheckpointRef {
            path: string("CheckpointRef.path", checkpoint.path())?,
            step: checkpoint.step(),
            epoch: checkpoint.epoch(),
        }),
        None => None,
    };
    Ok(Deliver {
        delivery: delivery("Deliver.delivery", deliver.delivery())?,
        attempt: deliver.attempt(),
        task_size: deliver.task_size(),
        place,
        work: optional_string("Deliver.work", deliver.work())?,
        last_checkpoint,
        traceparent: optional_string("Deliver.traceparent", deliver.traceparent())?,
        time_left: deliver.time_left_ms().map(Duration::from_millis),
    })
}

fn report(report: wire::Report<'_>) -> Decoded<Report> {
    let names = report.names().unwrap_or_default();
    at_most("Report.names", names.len(), METRICS_MAX)?;
    let rows = report.times_us().unwrap_or_default();
    let decoded = Report {
        delivery: delivery("Report.delivery", report.delivery())?,
        names: names.iter().map(|name| string("Report.names", name)).collect::<Decoded<_>>()?,
        times_us: column(rows.bytes(), u64::from_le_bytes),
        // "Empty" and "absent" are the same on the wire; without rows neither means anything.
        steps: report
            .steps()
            .filter(|steps| !steps.is_empty())
            .map(|steps| column(steps.bytes(), i64::from_le_bytes)),
        epochs: report
            .epochs()
            .filter(|epochs| !epochs.is_empty())
            .map(|epochs| column(epochs.bytes(), f64::from_le_bytes)),
        values: column(report.values().unwrap_or_default().bytes(), f64::from_le_bytes),
        thinned: report.thinned(),
    };
    super::report::check_shape(&decoded)?;
    Ok(decoded)
}

/// A vector of numbers, at the speed of a copy.
fn column<T>(bytes: &[u8], number: fn([u8; 8]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

fn checkpoint(checkpoint: wire::Checkpoint<'_>) -> Decoded<Checkpoint> {
    Ok(Checkpoint {
        delivery: delivery("Checkpoint.delivery", checkpoint.delivery())?,
        seq: seq("Checkpoint.seq", checkpoint.seq())?,
        at: CheckpointRef {
            path: string("Checkpoint.path", checkpoint.path())?,
            step: checkpoint.step(),
            epoch: checkpoint.epoch(),
        },
        metrics: metrics("Checkpoint.metrics", checkpoint.metrics())?,
    })
}

fn result(result: wire::TaskResult<'_>) -> Decoded<TaskResult> {
    let error = || match result.error() {
        Some(error) => trainer_error(error),
        None => Err(bad("TaskResult.error", "is missing")),
    };
    let outcome = match result.outcome() {
        wire::Outcome::Succeeded => Outcome::Succeeded,
        wire::Outcome::Failed => Outcome::Failed(error()?),
        wire::Outcome::Stopped => Outcome::Stopped,
        wire::Outcome::Retry => {
            Outcome::Retry { error: error()?, after: result.retry_after_ms().map(Duration::from_millis) }
        }
        wire::Outcome::Returned => match result.code() {
            Some(code) => Outcome::Returned { code: string("TaskResult.code", code)? },
            None => return Err(bad("TaskResult.code", "is missing")),
        },
        _ => return Err(bad("TaskResult.outcome", UNKNOWN)),
    };
    Ok(TaskResult {
        delivery: delivery("TaskResult.delivery", result.delivery())?,
        seq: seq("TaskResult.seq", result.seq())?,
        outcome,
        metrics: metrics("TaskResult.metrics", result.metrics())?,
    })
}

fn trainer_error(error: wire::TrainerError<'_>) -> Decoded<TrainerError> {
    let traceback = error.traceback().unwrap_or_default();
    Ok(TrainerError {
        kind: string("TrainerError.type", error.type_())?,
        text: string("TrainerError.text", error.text().unwrap_or_default())?,
        traceback: limited_string("TrainerError.traceback", traceback, TRACEBACK_SIZE_BYTES_MAX)?,
        fatal: error.fatal(),
        restarts: error.restarts(),
    })
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

fn ack(ack: wire::Ack<'_>) -> Decoded<Vec<AckEntry>> {
    let entry = |entry: &wire::AckEntry| {
        let kind = match entry.kind() {
            wire::AckKind::Stored => AckKind::Stored,
            wire::AckKind::Superseded => AckKind::Superseded,
            _ => return Err(bad("Ack.entries", UNKNOWN)),
        };
        Ok(AckEntry { delivery: delivery("Ack.entries", entry.delivery())?, seq: entry.seq(), kind })
    };
    ack.entries().iter().map(entry).collect()
}

fn stop(stop: wire::Stop<'_>) -> Decoded<Stop> {
    Ok(Stop {
        delivery: delivery("Stop.delivery", stop.delivery())?,
        reason: string("Stop.reason", stop.reason())?,
        time_left: Duration::from_millis(stop.time_left_ms()),
        want_checkpoint: stop.want_checkpoint(),
        dump_stacks: stop.dump_stacks(),
    })
}

fn heartbeat(heartbeat: wire::Heartbeat<'_>) -> Heartbeat {
    let delivery = heartbeat.delivery();
    Heartbeat {
        running: (delivery != 0).then_some(Delivery(delivery)),
        progress_age: Duration::from_millis(heartbeat.progress_age_ms()),
    }
}

fn release(release: wire::Release<'_>) -> Decoded<Vec<Delivery>> {
    deliveries("Release.deliveries", Some(release.deliveries()))
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
