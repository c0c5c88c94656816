//! Tasks: what is built is read, what is not a task is refused.

use bytes::Bytes;
use proptest::prelude::*;
use trainwire_protocol::limits::{STRING_SIZE_BYTES_MAX, TASK_SIZE_BYTES_MAX};
use trainwire_protocol::task::{TaskError, VerifiedTask};
use trainwire_protocol::task_builder::{TASK_HEAD_ALIGNMENT_BYTES, TaskBuilder, task_head};

/// Copied behind their head, or left where they are.
fn hyperparams() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..500),
        (4_090_usize..4_110).prop_map(|size_bytes| vec![7; size_bytes]),
        (4_090_usize..9_000, any::<u8>()).prop_map(|(size_bytes, byte)| vec![byte; size_bytes]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_built_is_read(
        task_id in "[^\0]{1,50}",
        model_name in "[^\0]{1,50}",
        hyperparams in hyperparams(),
        max_epochs in 0..=i32::MAX,
    ) {
        let task = TaskBuilder::new(task_id.clone(), model_name.clone())
            .hyperparams(hyperparams.clone())
            .max_epochs(max_epochs)
            .build()
            .unwrap();
        for task in [&VerifiedTask::verify(task.as_bytes().to_bytes()).unwrap(), &task] {
            prop_assert_eq!(task.task_id(), &task_id);
            prop_assert_eq!(task.model_name(), &model_name);
            prop_assert_eq!(task.hyperparams(), &hyperparams);
            prop_assert_eq!(task.hyperparams_bytes(), &hyperparams);
            prop_assert_eq!(task.max_epochs(), max_epochs);
        }
    }

    #[test]
    fn tasks_are_the_same_if_their_bytes_are(
        hyperparams in hyperparams(),
        another in any::<prop::sample::Index>(),
    ) {
        let build = |hyperparams: &[u8]| TaskBuilder::new("t", "m").hyperparams(hyperparams).build().unwrap();
        let task = build(&hyperparams);
        let whole = VerifiedTask::verify(task.as_bytes().to_bytes()).unwrap();
        prop_assert_eq!(&task, &whole);
        prop_assert_eq!(&whole, &task);
        if !hyperparams.is_empty() {
            let mut other = hyperparams.clone();
            other[another.index(hyperparams.len())] ^= 1;
            let longer = [&*hyperparams, &[0]].concat();
            let shorter = &hyperparams[1..];
            for other in [&*other, &longer, shorter].map(build) {
                for (one, another) in [(&task, &other), (&other, &task), (&whole, &other), (&other, &whole)] {
                    prop_assert_ne!(one, another);
                }
            }
        }
    }

    #[test]
    fn a_head_and_what_follows_it_are_the_same_task(
        task_id in "[^\0]{1,50}",
        model_name in prop_oneof!["[^\0]{1,5}", "[a-zé]{2000,2048}"],
        hyperparams in proptest::collection::vec(any::<u8>(), 0..500),
        max_epochs in 0..=i32::MAX,
    ) {
        let built = TaskBuilder::new(task_id.clone(), model_name.clone())
            .hyperparams(hyperparams.clone())
            .max_epochs(max_epochs)
            .build()
            .unwrap();
        let mut bytes = task_head(&task_id, &model_name, max_epochs, hyperparams.len()).unwrap();
        let head_size = bytes.len();
        prop_assert_eq!(head_size % TASK_HEAD_ALIGNMENT_BYTES, 0);
        prop_assert_eq!(task_head(&task_id, &model_name, 0, 1 << 30).unwrap().len(), head_size);
        bytes.extend_from_slice(&hyperparams);
        let task = VerifiedTask::verify(Bytes::from(bytes)).unwrap();
        prop_assert_eq!(task.task_id(), built.task_id());
        prop_assert_eq!(task.model_name(), built.model_name());
        prop_assert_eq!(task.hyperparams(), built.hyperparams());
        prop_assert_eq!(task.max_epochs(), built.max_epochs());
        let all = task.as_bytes().to_bytes();
        prop_assert!(hyperparams.is_empty() || task.hyperparams().as_ptr() == all[head_size..].as_ptr());
    }

    #[test]
    fn mutated_tasks_are_refused_or_read_without_harm(
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<prop::sample::Index>(),
    ) {
        let task = TaskBuilder::new("lr-0.1", "sgd").hyperparams([7; 100]).build().unwrap();
        let mut bytes = task.as_bytes().to_bytes().to_vec();
        for (at, byte) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - keep.index(bytes.len()) / 8);
        if let Ok(task) = VerifiedTask::verify(Bytes::from(bytes)) {
            let _ = format!("{task:?} {:?}", task.hyperparams_bytes());
        }
    }
}

#[test]
fn hyperparameters_share_the_tasks_memory() {
    let task = TaskBuilder::new("a", "b").hyperparams([1, 2, 3]).build().unwrap();
    let hyperparams = task.hyperparams_bytes();
    assert_eq!(hyperparams.as_ptr(), task.hyperparams().as_ptr());
    drop(task);
    assert_eq!(hyperparams, [1, 2, 3].as_slice());
}

#[test]
fn absent_fields_have_their_defaults() {
    let task = TaskBuilder::new("a", "b").build().unwrap();
    assert_eq!((task.max_epochs(), task.hyperparams()), (10, [].as_slice()));
    assert!(task.hyperparams_bytes().is_empty());
}

#[test]
fn impossible_fields_are_refused_before_the_generated_code_can_panic() {
    let error = |task_id: &str, max_epochs| {
        TaskBuilder::new(task_id, "sgd").max_epochs(max_epochs).build().unwrap_err()
    };
    let long = "x".repeat(STRING_SIZE_BYTES_MAX + 1);
    assert_eq!(error("", 1), TaskError::Empty { field: "task_id" });
    assert_eq!(error("a\0b", 1), TaskError::Nul { field: "task_id", at: 1 });
    assert_eq!(error("a", -1), TaskError::NegativeEpochs { max_epochs: -1 });
    assert_eq!(
        error(&long, 1),
        TaskError::TooLong { field: "task_id", size_bytes: long.len(), limit_bytes: STRING_SIZE_BYTES_MAX }
    );
    assert_eq!(TaskBuilder::new("a", "").build().unwrap_err(), TaskError::Empty { field: "model_name" });
    assert_eq!(task_head("a", "", 1, 0).unwrap_err(), TaskError::Empty { field: "model_name" });
    assert_eq!(task_head("a", "b", -1, 0).unwrap_err().code(), "bad_max_epochs");
}

#[test]
#[cfg_attr(miri, ignore = "2 GiB of zeros")]
fn a_task_flatbuffers_cannot_address_is_refused_by_name() {
    // Zeroed pages nobody touches: this needs address space, not memory.
    let error = TaskBuilder::new("a", "b").hyperparams(vec![0; TASK_SIZE_BYTES_MAX]).build().unwrap_err();
    assert_eq!(error.code(), "task_too_large");
    assert!(error.to_string().contains("2147483647"), "{error}");
    for size in [TASK_SIZE_BYTES_MAX - TASK_HEAD_ALIGNMENT_BYTES + 1, usize::MAX] {
        assert_eq!(task_head("a", "b", 1, size).unwrap_err().code(), "task_too_large");
    }
    task_head("a", "b", 1, TASK_SIZE_BYTES_MAX - TASK_HEAD_ALIGNMENT_BYTES).unwrap();
    let error = VerifiedTask::verify(Bytes::from(vec![0; TASK_SIZE_BYTES_MAX + 1])).unwrap_err();
    assert_eq!(error.code(), "task_too_large");
}
