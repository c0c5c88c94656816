//! Tasks and their parameters.

use std::collections::BTreeMap;
use std::hint::black_box;

use serde::Serialize;
use trainwire_protocol::msgpack;
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;

use crate::Run;
use crate::wire;

pub(crate) fn build_task() -> Run {
    Box::new(|| assert_eq!(wire::task().hyperparams().len(), 160))
}

pub(crate) fn verify_small() -> Run {
    verify(160)
}

/// As much work as a small one.
pub(crate) fn verify_large() -> Run {
    verify(16 << 20)
}

pub(crate) fn walk_flat() -> Run {
    walk(&keys(100))
}

pub(crate) fn walk_nested() -> Run {
    let groups: BTreeMap<String, BTreeMap<String, f64>> =
        (0..100).map(|group| (format!("group_{group}"), keys(100))).collect();
    walk(&groups)
}

fn verify(size_bytes: usize) -> Run {
    let task = TaskBuilder::new("task-00000001", "model").hyperparams(vec![7; size_bytes]).build();
    let bytes = task.expect("a task").as_bytes().to_bytes();
    Box::new(move || drop(black_box(VerifiedTask::verify(bytes.clone()).expect("a task"))))
}

fn keys(count: usize) -> BTreeMap<String, f64> {
    (0..count).map(|key| (format!("parameter_{key}"), key as f64)).collect()
}

fn walk(params: &impl Serialize) -> Run {
    let bytes = rmp_serde::to_vec_named(params).expect("a map");
    Box::new(move || msgpack::check(black_box(&bytes)).expect("msgpack"))
}
