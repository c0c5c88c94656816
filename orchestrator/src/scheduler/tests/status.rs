//! What is answered to the question why a task waits.

use super::*;
use crate::status::{JobStatus, TaskCondition, TrainerCondition, Wait};

impl World {
    fn status(&self) -> JobStatus {
        let now = Now { monotonic: self.now, wall: std::time::UNIX_EPOCH };
        self.scheduler.job_status(now, JOB, Default::default()).unwrap()
    }

    fn condition(&self, task: u64) -> TaskCondition {
        let now = Now { monotonic: self.now, wall: std::time::UNIX_EPOCH };
        self.scheduler.task_statuses(now, JOB, &[TaskNo(task)]).pop().unwrap().condition
    }

    #[track_caller]
    fn waits(&self, task: u64, wait: Wait) {
        assert_eq!(self.condition(task), TaskCondition::Waiting(wait));
    }
}

#[test]
fn for_a_trainer_that_starts_and_one_that_is_busy() {
    let mut world = World::new(spec(|_| {}), &["a", "b"]);
    world.waits(1, Wait::TrainerStarting);
    assert_eq!(world.status().trainers[0].condition, TrainerCondition::Starting);
    let connection = world.join();
    assert!(matches!(world.condition(1), TaskCondition::Delivered(with) if with.attempt == 1));
    world.start(connection, 1);
    assert!(matches!(world.condition(1), TaskCondition::Running(with) if with.trainer == TrainerNo(1)));
    world.waits(2, Wait::TrainersBusy { trainers: 1 });
    let status = world.status();
    assert_eq!(status.wait, Some(Wait::TrainersBusy { trainers: 1 }));
    assert_eq!((status.trainers[0].condition, &*status.trainers[0].tasks[0]), (TrainerCondition::Busy, "a"));
}

#[test]
fn for_a_trainer_that_is_silent_or_gone() {
    let (mut world, connection) = World::running(spec(|_| {}), &["a", "b"]);
    world.input(Input::Quiet { connection });
    world.waits(2, Wait::TrainersUnavailable { unresponsive: 1, disconnected: 0, leaving: 0 });
    world.input(Input::Heard { connection });
    world.disconnect(connection);
    world.waits(2, Wait::TrainersUnavailable { unresponsive: 0, disconnected: 1, leaving: 0 });
}

#[test]
fn for_its_next_attempt() {
    let limits = spec(|spec| {
        (spec.max_failures, spec.replace_after_failure) = (2, false);
        (spec.backoff_min, spec.backoff_max) = (seconds(10), seconds(10));
    });
    let (mut world, connection) = World::running(limits, &["a"]);
    world.finish(connection, 1, failed());
    let TaskCondition::Waiting(Wait::Backoff { left }) = world.condition(1) else { panic!() };
    assert!((seconds(5)..=seconds(10)).contains(&left), "{left:?}");
    world.now += left / 2;
    assert_eq!(world.status().wait, Some(Wait::Backoff { left: left - left / 2 }));
}

#[test]
fn for_the_next_try_to_start_a_trainer() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    world.spawn();
    world.exit(1, code(3));
    let TaskCondition::Waiting(Wait::NextStart { left }) = world.condition(1) else { panic!() };
    assert!(left > Duration::ZERO);
    world.pass(left);
    world.waits(1, Wait::TrainerStarting);
}

#[test]
fn for_a_trainer_started_by_hand() {
    let world = World::new(spec(|spec| spec.command.clear()), &["a"]);
    world.waits(1, Wait::TrainerByHand);
}

#[test]
fn for_the_process_of_a_script() {
    let mut world = World::new(spec(|spec| spec.script = true), &["a", "b"]);
    world.waits(1, Wait::TrainerStarting);
    world.spawn();
    assert!(matches!(world.condition(1), TaskCondition::Running(_)));
    world.waits(2, Wait::TrainersBusy { trainers: 1 });
    assert_eq!(world.status().trainers[0].condition, TrainerCondition::Busy);
}

#[test]
fn nobody_is_told_of_other_jobs_tasks() {
    let world = World::new(spec(|_| {}), &["a"]);
    let now = Now { monotonic: world.now, wall: std::time::UNIX_EPOCH };
    assert_eq!(world.scheduler.task_statuses(now, JobNo(2), &[TaskNo(1)]), []);
    assert_eq!(world.scheduler.task_statuses(now, JOB, &[TaskNo(7)]), []);
    assert_eq!(world.scheduler.job_status(now, JobNo(2), Default::default()), None);
}
