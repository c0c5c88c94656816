//! One event a line. Version 1 of the shape, described for people in `orchestrator/cli/events.md`:
//! names and meanings stay, keys and events are added.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use trainwire::Report;
use trainwire::record::{Ending, LastProgress, Metrics, Next, Record, Scalar};
use trainwire::{Event, What};

use crate::clock;

/// The line, without its end; `None` for records that are of no use outside.
pub(crate) fn line(event: &Event) -> Option<String> {
    let (name, fields) = match &event.what {
        What::Record(record) => record_fields(record)?,
        What::Progress(report) => ("progress", progress(report)),
        What::Lagged { progress_dropped, .. } => ("lagged", json!({ "progress_dropped": progress_dropped })),
        _ => return None,
    };
    let line = Line {
        v: VERSION,
        seq: event.seq.0,
        at: clock::rfc3339(event.at),
        job: event.job.as_str(),
        task: event.task.as_deref(),
        attempt: event.attempt,
        event: name,
        fields,
    };
    // A line holds text, numbers and maps with text as keys, which always serialize.
    serde_json::to_string(&line).ok()
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    seq: u64,
    at: String,
    job: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    event: &'static str,
    #[serde(flatten)]
    fields: Value,
}

/// The event's name and its own fields. The numbers of jobs, tasks and deliveries stay inside, and
/// so do the trainers' tokens and environment.
fn record_fields(record: &Record) -> Option<(&'static str, Value)> {
    let (name, mut fields) = match record {
        Record::JobSubmitted { spec, .. } => (
            "job_submitted",
            json!({ "command": spec.command, "trainers": spec.trainers, "script": spec.script }),
        ),
        Record::TaskSubmitted { model_name, max_epochs, size_bytes, .. } => (
            "task_submitted",
            json!({ "model_name": model_name, "max_epochs": max_epochs, "size_bytes": size_bytes }),
        ),
        Record::TrainerSpawning { trainer, slots, .. } => {
            let slots = (!slots.is_empty()).then_some(slots);
            ("trainer_starting", json!({ "trainer": trainer, "slots": slots }))
        }
        Record::SlotsFreed { trainer } => ("slots_freed", json!({ "trainer": trainer })),
        Record::TrainerSpawned { trainer, pid, log, .. } => {
            ("trainer_started", json!({ "trainer": trainer, "pid": pid, "log": log }))
        }
        Record::TrainerBound { trainer, pid, attached, restart, .. } => {
            let restart = (*restart > 0).then_some(restart);
            let shown = json!({ "trainer": trainer, "pid": pid, "attached": attached, "restart": restart });
            ("trainer_connected", shown)
        }
        Record::TrainerNoticed { trainer, condition } => {
            ("trainer_noticed", json!({ "trainer": trainer, "condition": condition }))
        }
        Record::TrainerEnded { trainer, exit, start_failed } => {
            ("trainer_ended", json!({ "trainer": trainer, "exit": exit, "start_failed": start_failed }))
        }
        Record::Delivered { trainer, .. } => ("delivered", json!({ "trainer": trainer })),
        Record::Started { .. } => ("started", json!({})),
        Record::Checkpointed { path, step, epoch, metrics, .. } => (
            "checkpoint",
            json!({ "path": path, "step": step, "epoch": epoch, "metrics": metrics_object(metrics) }),
        ),
        Record::Stopping { reason, rung, .. } => ("stopping", json!({ "reason": reason, "rung": rung })),
        Record::Stuck { .. } => ("stuck", json!({})),
        Record::Ended { ending, next, last_progress, .. } => {
            let mut fields = ended(Some(ending), next);
            if let Some(last) = last_progress {
                fields["last_progress"] = self::last_progress(last);
            }
            ("ended", fields)
        }
        Record::Closed { next, .. } => ("ended", ended(None, next)),
        Record::Requeued { .. } => ("requeued", json!({})),
        Record::JobEnded { .. } => ("job_ended", json!({})),
        // Nothing was changed by what was superseded.
        _ => return None,
    };
    if let Value::Object(fields) = &mut fields {
        fields.retain(|_, value| !value.is_null());
    }
    Some((name, fields))
}

/// What ended a delivery.
pub(crate) fn ending(ending: &Ending) -> Value {
    match ending {
        Ending::Succeeded { metrics } => json!({ "ending": "succeeded", "metrics": metrics_object(metrics) }),
        Ending::Failed { error, exit } => json!({ "ending": "failed", "error": error, "exit": exit }),
        Ending::Retry { error, .. } => json!({ "ending": "retry", "error": error }),
        Ending::Crashed { exit } => json!({ "ending": "crashed", "exit": exit }),
        Ending::Lost => json!({ "ending": "lost" }),
        Ending::Stalled => json!({ "ending": "stalled" }),
        Ending::Stopped { reason, metrics, rung } => {
            json!({ "ending": "stopped", "reason": reason, "rung": rung, "metrics": metrics_object(metrics) })
        }
        Ending::Returned { code } => json!({ "ending": "returned", "code": code }),
    }
}

fn ended(ended_by: Option<&Ending>, next: &Next) -> Value {
    let mut fields = ended_by.map_or_else(|| json!({ "ending": "closed" }), ending);
    let state = match next {
        Next::Queued { .. } => "waiting",
        Next::Succeeded => "succeeded",
        Next::Cancelled => "cancelled",
        Next::Stopped => "stopped",
        Next::Dead { .. } => "failed",
    };
    fields["state"] = state.into();
    match next {
        Next::Queued { after } => fields["retry_after_ms"] = millis(*after),
        Next::Dead { cause, log_tail } => {
            fields["cause"] = (**cause).into();
            fields["log_tail"] = (**log_tail).into();
        }
        _ => {}
    }
    fields
}

/// The last row an attempt reported.
pub(crate) fn last_progress(last: &LastProgress) -> Value {
    json!({
        "at": clock::rfc3339(clock::from_micros(last.time_us)),
        "step": last.step,
        "epoch": last.epoch,
        "metrics": metrics_object(&last.metrics),
    })
}

fn progress(report: &Report) -> Value {
    let columns = report.names.len();
    let rows = report.times_us.iter().enumerate().map(|(row, time_us)| {
        let mut fields = Map::new();
        fields.insert("at".into(), clock::rfc3339(clock::from_micros(*time_us)).into());
        if let Some(step) = report.steps.as_ref().and_then(|steps| steps.get(row)) {
            fields.insert("step".into(), (*step).into());
        }
        if let Some(epoch) = report.epochs.as_ref().and_then(|epochs| epochs.get(row)) {
            fields.insert("epoch".into(), json!(epoch));
        }
        let values = report.values.get(row * columns..(row + 1) * columns).unwrap_or_default();
        let metrics: Map<_, _> =
            report.names.iter().cloned().zip(values.iter().map(|value| json!(value))).collect();
        fields.insert("metrics".into(), metrics.into());
        Value::Object(fields)
    });
    let rows: Vec<_> = rows.collect();
    json!({ "rows": rows, "thinned": report.thinned })
}

/// Not a number and the infinities, which JSON does not have, are null.
pub(crate) fn metrics_object(metrics: &Metrics) -> Value {
    let object: Map<_, _> = metrics
        .iter()
        .map(|(name, value)| match value {
            Scalar::Number(number) => (name.clone(), json!(number)),
            Scalar::Text(text) => (name.clone(), text.as_str().into()),
        })
        .collect();
    object.into()
}

fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// Rises when an existing key changes its meaning, which is not planned.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
