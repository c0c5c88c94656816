use std::sync::Arc;
use std::time::Duration;

use trainwire::job::{JobSpec, StopReason};
use trainwire::record::{Condition, Exit, JobNo, LastProgress, Rung, TaskNo, TrainerFailure, TrainerNo};
use trainwire_protocol::id::Delivery;

use super::*;

/// One of each, with everything that may be in it.
fn records() -> Vec<Record> {
    let metrics =
        vec![("loss".to_owned(), Scalar::Number(f64::NAN)), ("best".to_owned(), Scalar::Text("a.pt".into()))];
    let error =
        TrainerFailure { kind: "ValueError".into(), text: "lr".into(), traceback: "…".into(), fatal: true };
    let killed = Exit::Signal { signal: 9, core_dumped: false, out_of_memory: true };
    let dead = || Next::Dead { cause: "failed once".into(), log_tail: "last\n".into() };
    let ended = |ending, next| Record::Ended {
        delivery: 7,
        seq: None,
        ending: Box::new(ending),
        next,
        last_progress: None,
        waits_since: None,
    };
    let mut spec = JobSpec::default();
    spec.environment.insert("SECRET".into(), "s3cret".into());
    vec![
        Record::JobSubmitted { job: JobNo(1), spec: Arc::new(spec) },
        Record::TaskSubmitted {
            task: TaskNo(1),
            job: JobNo(1),
            task_id: "a".into(),
            model_name: "sgd".into(),
            max_epochs: 3,
            size_bytes: 100,
        },
        Record::TrainerSpawning {
            trainer: TrainerNo(1),
            job: JobNo(1),
            token: "s3cret".into(),
            slots: Vec::new(),
        },
        Record::TrainerSpawning {
            trainer: TrainerNo(2),
            job: JobNo(1),
            token: "s3cret".into(),
            slots: vec!["0".into()],
        },
        Record::SlotsFreed { trainer: TrainerNo(2) },
        Record::TrainerSpawned {
            trainer: TrainerNo(1),
            pid: 42,
            start_ticks: 1,
            boot_id: "b".into(),
            log: "/x/trainer-1.log".into(),
        },
        Record::TrainerBound {
            trainer: TrainerNo(1),
            job: JobNo(1),
            instance: "s3cret".into(),
            pid: 43,
            attached: false,
            start_ticks: None,
            boot_id: None,
            restart: 0,
        },
        Record::TrainerNoticed { trainer: TrainerNo(1), condition: Condition::Unresponsive },
        Record::TrainerEnded { trainer: TrainerNo(1), exit: Exit::Code { code: 3 }, start_failed: false },
        Record::Delivered {
            delivery: 7,
            task: TaskNo(1),
            trainer: TrainerNo(1),
            attempt: 1,
            log_from: Some(0),
        },
        Record::Ended {
            delivery: 7,
            seq: None,
            ending: Box::new(Ending::Lost),
            next: Next::Queued { after: Duration::ZERO },
            last_progress: Some(Box::new(LastProgress {
                time_us: 1_500_000,
                step: Some(3),
                epoch: None,
                metrics: vec![("loss".to_owned(), Scalar::Number(0.5))],
            })),
            waits_since: None,
        },
        Record::Started { delivery: 7 },
        Record::Checkpointed {
            delivery: 7,
            seq: 1,
            path: "/c".into(),
            step: Some(5),
            epoch: None,
            metrics: metrics.clone(),
        },
        Record::Stopping { delivery: 7, reason: StopReason::Interrupted, rung: Rung::Asked },
        Record::Stuck { delivery: 7 },
        ended(Ending::Succeeded { metrics: metrics.clone() }, Next::Succeeded),
        ended(Ending::Failed { error: error.clone(), exit: None }, dead()),
        ended(Ending::Retry { error, after: None }, Next::Queued { after: Duration::from_millis(1500) }),
        ended(Ending::Crashed { exit: killed }, dead()),
        ended(Ending::Lost, dead()),
        ended(Ending::Stalled, dead()),
        ended(Ending::Stopped { reason: StopReason::Cancelled, metrics, rung: Rung::Killed }, Next::Stopped),
        ended(Ending::Returned { code: "trainer_gone".into() }, Next::Queued { after: Duration::ZERO }),
        Record::Closed { task: TaskNo(1), next: Next::Cancelled },
        Record::JobEnded { job: JobNo(1) },
    ]
}

#[test]
fn the_shapes_of_version_1() {
    let lines: Vec<_> = records()
        .iter()
        .map(|record| {
            let (name, fields) = record_fields(record).unwrap();
            format!("{name} {fields}\n")
        })
        .collect();
    // What others read: a change here is a change of the version, unless it only adds.
    let golden = include_str!("events_v1.txt");
    assert_eq!(lines.concat(), golden);
    assert!(!golden.contains("s3cret"));
}

#[test]
fn every_event_and_key_is_described() {
    let described = include_str!("../../../events.md");
    for record in records() {
        let (name, fields) = record_fields(&record).unwrap();
        assert!(described.contains(&format!("| `{name}` |")), "{name}");
        for key in fields.as_object().unwrap().keys() {
            assert!(described.contains(&format!("`{key}`")), "{key} of {name}");
        }
        if let Some(ending) = fields.get("ending") {
            assert!(described.contains(&format!("`{}`", ending.as_str().unwrap())), "{ending}");
        }
    }
}

#[test]
fn rows_of_a_report() {
    let report = Report {
        delivery: Delivery(7),
        names: ["loss".into(), "acc".into()].into(),
        times_us: vec![1_795_466_830_000_001, 1_795_466_831_000_000],
        steps: None,
        epochs: Some(vec![0.0, 1.0]),
        values: vec![0.5, f64::INFINITY, 0.25, 1.0],
        thinned: 3,
    };
    assert_eq!(
        progress(&report).to_string(),
        "{\"rows\":[\
         {\"at\":\"2026-11-23T20:47:10.000001Z\",\"epoch\":0.0,\"metrics\":{\"acc\":null,\"loss\":0.5}},\
         {\"at\":\"2026-11-23T20:47:11.000000Z\",\"epoch\":1.0,\"metrics\":{\"acc\":1.0,\"loss\":0.25}}],\
         \"thinned\":3}"
    );
}

#[test]
fn what_a_line_begins_with() {
    let line = Line {
        v: VERSION,
        seq: 12,
        at: "2026-11-23T20:47:10.000000Z".into(),
        job: "digits",
        task: Some("lr=0.1\n\u{1b}[2J"),
        attempt: Some(2),
        event: "started",
        fields: json!({}),
    };
    assert_eq!(
        serde_json::to_string(&line).unwrap(),
        "{\"v\":1,\"seq\":12,\"at\":\"2026-11-23T20:47:10.000000Z\",\"job\":\"digits\",\
         \"task\":\"lr=0.1\\n\\u001b[2J\",\"attempt\":2,\"event\":\"started\"}"
    );
}
