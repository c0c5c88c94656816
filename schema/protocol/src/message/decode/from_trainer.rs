//! What a trainer says.

use std::time::Duration;

use super::{Decoded, UNKNOWN, at_most, bad, deliveries, delivery, limited_string, metrics, seq, string};
use crate::generated::wire;
use crate::id::{Delivery, Instance, JobId, Token};
use crate::limits::{IN_HAND_MAX, METRICS_MAX, PROTOCOL_VERSION, TRACEBACK_SIZE_BYTES_MAX};
use crate::message::{
    Checkpoint, CheckpointRef, Heartbeat, Hello, InHand, InHandState, Outcome, Report, Role, TaskResult,
    TrainerError,
};

pub(super) fn hello(hello: wire::Hello<'_>) -> Decoded<Hello> {
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

pub(super) fn report(report: wire::Report<'_>) -> Decoded<Report> {
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
    crate::message::report::check_shape(&decoded)?;
    Ok(decoded)
}

/// A vector of numbers, at the speed of a copy.
fn column<T>(bytes: &[u8], number: fn([u8; 8]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|bytes| number(*bytes)).collect()
}

pub(super) fn checkpoint(checkpoint: wire::Checkpoint<'_>) -> Decoded<Checkpoint> {
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

pub(super) fn result(result: wire::TaskResult<'_>) -> Decoded<TaskResult> {
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

pub(super) fn heartbeat(heartbeat: wire::Heartbeat<'_>) -> Heartbeat {
    let delivery = heartbeat.delivery();
    Heartbeat {
        running: (delivery != 0).then_some(Delivery(delivery)),
        progress_age: Duration::from_millis(heartbeat.progress_age_ms()),
    }
}

pub(super) fn release(release: wire::Release<'_>) -> Decoded<Vec<Delivery>> {
    deliveries("Release.deliveries", Some(release.deliveries()))
}
