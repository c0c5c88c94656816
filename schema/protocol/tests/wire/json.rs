//! Messages and msgpack values as JSON, for the golden vectors. Fields are called as in
//! `messages.fbs`; what is absent is left out.

use std::time::Duration;

use serde_json::{Map, Value, json};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{
    AckKind, CheckpointRef, FromTrainer, InHandState, Metric, MetricValue, Outcome, Place, Role, ToTrainer,
    TrainerError,
};
use trainwire_protocol::msgpack::{MsgpackError, Token, Walker};
use trainwire_protocol::task::VerifiedTask;

use crate::messages::Received;

pub(crate) fn received(received: &Received) -> Value {
    match received {
        Received::FromTrainer(message) => with_kind(&format!("{:?}", message.kind()), from_trainer(message)),
        Received::ToTrainer(message, task) => {
            let mut value = with_kind(&format!("{:?}", message.kind()), to_trainer(message));
            if let Some(task) = task {
                value["task"] = json!(hex(task));
            }
            value
        }
    }
}

pub(crate) fn task(task: &VerifiedTask) -> Value {
    json!({
        "task_id": task.task_id(),
        "model_name": task.model_name(),
        "hyperparams": hex(task.hyperparams()),
        "max_epochs": task.max_epochs(),
    })
}

/// JSON has no bytes, extensions, non-finite numbers or keys that are not texts: these are objects
/// whose one key starts with `$`.
pub(crate) fn msgpack(bytes: &[u8]) -> Result<Value, MsgpackError> {
    let mut walker = Walker::new(bytes);
    let value = msgpack_value(&mut walker)?;
    match walker.next() {
        Some(Err(error)) => Err(error),
        more => {
            assert_eq!(more, None);
            Ok(value)
        }
    }
}

fn msgpack_value(walker: &mut Walker<'_>) -> Result<Value, MsgpackError> {
    Ok(match walker.next().expect("a value is missing, so there is a token or an error")? {
        Token::Nil => Value::Null,
        Token::Bool(value) => json!(value),
        Token::Int(value) => json!(value),
        Token::Uint(value) => json!(value),
        Token::F32(value) => number(value.into()),
        Token::F64(value) => number(value),
        Token::Str(text) => json!(text),
        Token::Bin(bytes) => json!({ "$bin": hex(bytes) }),
        Token::Ext(kind, bytes) => json!({ "$ext": [kind, hex(bytes)] }),
        Token::Array(count) => (0..count).map(|_| msgpack_value(walker)).collect::<Result<Value, _>>()?,
        Token::Map(pairs) => {
            let pairs = (0..pairs).map(|_| Ok((msgpack_value(walker)?, msgpack_value(walker)?)));
            let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
            if pairs.iter().all(|(key, _)| key.is_string()) {
                let text = |key: Value| key.as_str().unwrap_or_default().to_owned();
                Value::Object(pairs.into_iter().map(|(key, value)| (text(key), value)).collect())
            } else {
                json!({ "$map": pairs.into_iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>() })
            }
        }
    })
}

fn from_trainer(message: &FromTrainer) -> Value {
    match message {
        FromTrainer::Hello(hello) => json!({
            "protocol_min": hello.protocol_min,
            "protocol_max": hello.protocol_max,
            "job_id": hello.job_id.as_str(),
            "version": hello.version,
            "token": hello.token.map(|token| token.to_hex()),
            "instance": format!("{:032x}", hello.instance.0),
            "connection": hello.connection,
            "role": match hello.role { Role::Primary => "Primary", Role::Replica => "Replica" },
            "rank": hello.rank,
            "world_size": (hello.world_size > 0).then_some(hello.world_size),
            "restart": (hello.restart > 0).then_some(hello.restart),
            "in_hand": hello.in_hand.iter().map(|entry| json!({
                "delivery": entry.delivery.0,
                "last_seq": entry.last_seq,
                "state": match entry.state {
                    InHandState::Queued => "Queued",
                    InHandState::Running => "Running",
                    InHandState::Finished => "Finished",
                },
            })).collect::<Value>(),
            "can_dump_stacks": hello.can_dump_stacks,
            "held": some_numbers(&hello.held),
        }),
        FromTrainer::Started(delivery) => json!({ "delivery": delivery.0 }),
        FromTrainer::Report(report) => json!({
            "delivery": report.delivery.0,
            "names": report.names[..],
            "times_us": report.times_us,
            "steps": report.steps,
            "epochs": report.epochs.as_ref().map(|epochs| numbers(epochs)),
            "values": numbers(&report.values),
            "thinned": report.thinned,
        }),
        FromTrainer::Checkpoint(checkpoint) => {
            let mut value = checkpoint_ref(&checkpoint.at);
            value["delivery"] = json!(checkpoint.delivery.0);
            value["seq"] = json!(checkpoint.seq);
            value["metrics"] = metrics(&checkpoint.metrics);
            value
        }
        FromTrainer::Result(result) => {
            let (outcome, error, after, code) = match &result.outcome {
                Outcome::Succeeded => ("Succeeded", None, None, None),
                Outcome::Failed(error) => ("Failed", Some(error), None, None),
                Outcome::Stopped => ("Stopped", None, None, None),
                Outcome::Retry { error, after } => ("Retry", Some(error), *after, None),
                Outcome::Returned { code } => ("Returned", None, None, Some(code)),
            };
            json!({
                "delivery": result.delivery.0,
                "seq": result.seq,
                "outcome": outcome,
                "metrics": metrics(&result.metrics),
                "error": error.map(trainer_error),
                "retry_after_ms": after.map(milliseconds),
                "code": code,
            })
        }
        FromTrainer::Heartbeat(heartbeat) => json!({
            "delivery": heartbeat.running.map_or(0, |delivery| delivery.0),
            "progress_age_ms": milliseconds(heartbeat.progress_age),
        }),
        FromTrainer::Release(deliveries) => json!({ "deliveries": plain(deliveries) }),
        FromTrainer::Bye(bye) => json!({ "code": bye.code, "text": bye.text }),
    }
}

fn plain(deliveries: &[Delivery]) -> Value {
    deliveries.iter().map(|delivery| delivery.0).collect()
}

/// As on the wire, where none are absent.
fn some_numbers(deliveries: &[Delivery]) -> Value {
    if deliveries.is_empty() { Value::Null } else { plain(deliveries) }
}

fn to_trainer(message: &ToTrainer) -> Value {
    match message {
        ToTrainer::Welcome(welcome) => json!({
            "protocol": welcome.protocol,
            "heartbeat_ms": milliseconds(welcome.heartbeat),
            "recv_timeout_ms": milliseconds(welcome.recv_timeout),
            "orphan_timeout_ms": milliseconds(welcome.orphan_timeout),
            "spool": welcome.spool,
            "in_hand": welcome.in_hand.iter().map(|(delivery, keep)| json!({
                "delivery": delivery.0, "keep": keep,
            })).collect::<Value>(),
            "poll_us": match welcome.poll {
                Duration::ZERO => Value::Null,
                poll => json!(u64::try_from(poll.as_micros()).unwrap()),
            },
        }),
        ToTrainer::Refused(refused) => json!({
            "code": refused.code,
            "text": refused.text,
            "retry": if refused.retry_later { "Later" } else { "Never" },
            "protocol_min": refused.protocol_min,
            "protocol_max": refused.protocol_max,
        }),
        ToTrainer::Slab(slab) => json!({ "slab": slab.slab.0, "size": slab.size }),
        ToTrainer::Deliver(deliver) => json!({
            "delivery": deliver.delivery.0,
            "attempt": deliver.attempt,
            "task_size": deliver.task_size,
            "place": match deliver.place {
                Place::Inline => "Inline",
                Place::Descriptor => "Descriptor",
                Place::Slab { .. } => "Slab",
            },
            "slab": match deliver.place { Place::Slab { slab, .. } => json!(slab.0), _ => Value::Null },
            "offset": match deliver.place { Place::Slab { offset, .. } => json!(offset), _ => Value::Null },
            "work": deliver.work,
            "last_checkpoint": deliver.last_checkpoint.as_ref().map(|at| without_nulls(checkpoint_ref(at))),
            "traceparent": deliver.traceparent,
            "time_left_ms": deliver.time_left.map(milliseconds),
        }),
        ToTrainer::Ack(entries) => json!({
            "entries": entries.iter().map(|entry| json!({
                "delivery": entry.delivery.0,
                "seq": entry.seq,
                "kind": match entry.kind { AckKind::Stored => "Stored", AckKind::Superseded => "Superseded" },
            })).collect::<Value>(),
        }),
        ToTrainer::Stop(stop) => json!({
            "delivery": stop.delivery.0,
            "reason": stop.reason,
            "time_left_ms": milliseconds(stop.time_left),
            "want_checkpoint": stop.want_checkpoint,
            "dump_stacks": stop.dump_stacks,
        }),
        ToTrainer::Bye(bye) => json!({ "code": bye.code, "text": bye.text }),
    }
}

fn checkpoint_ref(at: &CheckpointRef) -> Value {
    json!({ "path": at.path, "step": at.step, "epoch": at.epoch.map(number) })
}

fn trainer_error(error: &TrainerError) -> Value {
    without_nulls(json!({
        "type": error.kind,
        "text": error.text,
        "traceback": error.traceback,
        "fatal": error.fatal,
        "restarts": error.restarts.then_some(true),
    }))
}

fn metrics(metrics: &[Metric]) -> Value {
    let metric = |metric: &Metric| match &metric.value {
        MetricValue::Number(value) => json!({ "name": metric.name, "value": number(*value) }),
        MetricValue::Text(text) => json!({ "name": metric.name, "text": text }),
    };
    metrics.iter().map(metric).collect()
}

fn numbers(numbers: &[f64]) -> Value {
    numbers.iter().map(|value| number(*value)).collect()
}

fn number(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!({ "$float": value.to_string().replace("inf", "Infinity") })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn with_kind(kind: &str, fields: Value) -> Value {
    let mut value = Map::from_iter([("kind".to_owned(), json!(kind))]);
    if let Value::Object(fields) = without_nulls(fields) {
        value.extend(fields);
    }
    Value::Object(value)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
