//! GPUs and the like: one trainer's alone until nothing is left of it, and everybody's turn comes.

use super::*;
use crate::status::Wait;

fn world(slots: &[&str]) -> World {
    let mut world = World::empty();
    world.scheduler = Scheduler::new(7).with_slots(slots.iter().map(|name| (*name).to_owned()).collect());
    world.input(Input::Tokens(Vec::new()));
    world
}

fn job(job_id: &str, change: impl FnOnce(&mut JobSpec)) -> JobSpec {
    spec(|spec| {
        (spec.job_id, spec.gpus) = (job_id.to_owned(), 1);
        change(spec);
    })
}

impl World {
    /// The next trainer to be started runs and connects.
    fn join_any(&mut self) -> (TrainerNo, ConnectionNo) {
        let trainer = self.spawn();
        let state = self.scheduler.state();
        let job = state.trainer(trainer).unwrap().job;
        let job_id = JobId::new(&state.job(job).unwrap().spec.job_id).unwrap();
        let hello = Hello { job_id, ..self.hello(trainer) };
        self.connections += 1;
        let connection = ConnectionNo(self.connections);
        self.input(Input::Hello { connection, job, hello: Box::new(hello), pid: 1000 });
        (trainer, connection)
    }

    fn end(&mut self, trainer: TrainerNo) {
        self.exit(trainer.0, code(0));
        self.input(Input::Gone { trainer });
    }

    fn wait(&self, job: u64) -> Option<Wait> {
        let now = Now { monotonic: self.now, wall: std::time::UNIX_EPOCH };
        self.scheduler.job_status(now, JobNo(job), Default::default()).unwrap().wait
    }

    /// Job ids of those that have slots, by slot.
    fn holders(&self) -> Vec<String> {
        self.scheduler.slots().into_iter().map(|slot| slot.job_id.unwrap_or_default()).collect()
    }
}

#[test]
fn a_slot_is_given_again_when_nothing_is_left_of_its_trainer() {
    let mut world = world(&["0"]);
    world.submit(job("job", |spec| spec.script = true), &["a", "b"]);
    world.lines.clear();
    world.spawn();
    world.exit(1, code(0));
    world.expect(&[
        "spawned T1",
        "delivered D1: a to T1, attempt 1",
        "started D1",
        "D1 succeeded -> succeeded",
        "T1 ended: exit code 0",
        "> T1 forget",
    ]);
    assert_eq!(world.wait(1), Some(Wait::Slots { needed: 1, free: 0, ahead: 0 }));
    let slot = &world.scheduler.slots()[0];
    assert!(slot.leftover && slot.trainer == Some(TrainerNo(1)), "{slot:?}");
    world.input(Input::Gone { trainer: TrainerNo(1) });
    world.expect(&["slots of T1 freed", "spawning T2 with 0", "> spawn T2 for task 2, attempt 1"]);
}

#[test]
fn a_trainer_that_survives_sigkill_keeps_its_slot() {
    let mut world = world(&["0", "1"]);
    world.submit(job("job", |spec| (spec.script, spec.trainers) = (true, 2)), &["a", "b", "c"]);
    world.spawn();
    world.spawn();
    world.stop(Some(1), StopReason::Cancelled, true);
    world.pass(seconds(31));
    assert!(matches!(world.state(1), TaskState::Stuck { .. }));
    world.end(TrainerNo(2));
    let has: Vec<_> = world.scheduler.slots().iter().map(|slot| slot.trainer.unwrap().0).collect();
    assert_eq!(has, [1, 3], "the stuck one keeps its own");
    world.lines.clear();
    world.pass(seconds(1_000));
    world.input(Input::Gone { trainer: TrainerNo(1) });
    assert!(world.lines().iter().all(|line| !line.contains("freed")), "who has not ended is not gone");
}

#[test]
fn more_slots_than_there_are_cannot_be_asked_for() {
    let mut world = world(&["0"]);
    world.submit(job("job", |spec| spec.gpus = 2), &["a"]);
    world.expect(&["> rejected too_few_slots"]);
}

#[test]
fn a_large_want_is_not_starved_by_small_ones() {
    let mut world = world(&["0", "1"]);
    let script = |gpus| move |spec: &mut JobSpec| (spec.script, spec.gpus, spec.trainers) = (true, gpus, 2);
    world.submit(job("small", script(1)), &["a", "b", "c", "d", "e", "f"]);
    world.submit(job("large", script(2)), &["x"]);
    let mut order = Vec::new();
    while let Some(trainer) = world.spawns.first().copied() {
        order.push(world.scheduler.state().trainer(trainer).unwrap().job.0);
        world.spawn();
        if world.spawns.is_empty() {
            let running: Vec<_> = world.scheduler.state().slots.keys().copied().collect();
            running.into_iter().for_each(|trainer| world.end(trainer));
        }
    }
    assert_eq!(order, [1, 1, 2, 1, 1, 1, 1]);
}

#[test]
fn jobs_of_processes_take_turns() {
    let mut world = world(&["0"]);
    for job_id in ["a", "b", "c"] {
        world.submit(job(job_id, |spec| spec.script = true), &["1", "2"]);
    }
    let mut order = String::new();
    while let Some(trainer) = world.spawns.first().copied() {
        order += &world.holders()[0];
        world.spawn();
        world.end(trainer);
    }
    assert_eq!(order, "abcabc");
}

#[test]
fn a_job_that_has_more_gives_way_between_two_tasks() {
    let mut world = world(&["0", "1"]);
    world.submit(job("first", |spec| spec.trainers = 2), &["a", "b", "c", "d"]);
    let (one, connection) = world.join_any();
    let (two, other) = world.join_any();
    world.submit(job("second", |_| ()), &["x"]);
    assert_eq!(world.wait(2), Some(Wait::Slots { needed: 1, free: 0, ahead: 0 }));
    world.lines.clear();
    world.finish(connection, 1, Outcome::Succeeded);
    world.expect(&["D1 succeeded -> succeeded", "> C1 ack D1/1 Stored", "> C1 bye slots_wanted"]);
    world.finish(other, 2, Outcome::Succeeded);
    assert!(world.lines().contains(&"delivered D3: c to T2, attempt 1".to_owned()), "one is enough");
    world.end(one);
    assert_eq!(world.holders(), ["second", "first"]);
    // What is even stays so, and nobody waits.
    world.join_any();
    world.pass(seconds(1_000));
    world.lines.clear();
    world.finish(other, 3, Outcome::Succeeded);
    assert!(world.lines().iter().any(|line| line.starts_with("delivered")));
    assert_eq!(two, TrainerNo(2));
}

#[test]
fn where_there_is_one_slot_for_all_jobs_take_turns_of_a_minute() {
    let mut world = world(&["0"]);
    for job_id in ["a", "b"] {
        world.submit(job(job_id, |_| ()), &["1", "2", "3", "4", "5"]);
    }
    // Tasks of 25 s each.
    let mut order = String::new();
    let (mut trainer, mut connection) = world.join_any();
    for _ in 0..10 {
        order += &world.holders()[0];
        world.pass(seconds(25));
        let held = world.scheduler.state().trainer(trainer).unwrap().in_hand[0];
        world.finish(connection, held, Outcome::Succeeded);
        if world.scheduler.state().trainer(trainer).unwrap().in_hand.is_empty() {
            world.end(trainer);
            if !world.spawns.is_empty() {
                (trainer, connection) = world.join_any();
            }
        }
    }
    assert_eq!(order, "aaabbbaabb");
}

#[test]
fn an_idle_trainer_of_an_open_job_gives_its_slot_to_who_waits() {
    let mut world = world(&["0"]);
    world.submit(job("open", |spec| spec.open = true), &["a"]);
    let (trainer, connection) = world.join_any();
    world.finish(connection, 1, Outcome::Succeeded);
    world.lines.clear();
    world.submit(job("other", |_| ()), &["x"]);
    assert!(world.lines().contains(&"> C1 bye slots_wanted".to_owned()));
    world.end(trainer);
    assert_eq!(world.holders(), ["other"]);
}

#[test]
fn a_want_that_a_restart_has_made_impossible_keeps_nobody_waiting() {
    let mut world = world(&["0", "1"]);
    world.submit(job("large", |spec| (spec.script, spec.gpus) = (true, 2)), &["x"]);
    world.submit(job("small", |spec| spec.script = true), &["a"]);
    world.spawn();
    world.end(TrainerNo(1));
    assert_eq!(world.holders(), ["small", ""]);
    world.submit(job("again", |spec| (spec.script, spec.gpus) = (true, 2)), &["x"]);
    world.submit(job("last", |spec| spec.script = true), &["a"]);
    assert_eq!(world.holders(), ["small", ""], "the second stands before the last");
    // As a restart with one slot would have it.
    world.scheduler.slots = Slots::default();
    world.scheduler = world.scheduler.with_slots(vec!["0".into()]);
    world.scheduler.jobs.values_mut().for_each(|job| job.waits_for_slots = false);
    world.end(TrainerNo(2));
    for job in [3, 4] {
        world.scheduler.settle(world.now, JobNo(job));
    }
    world.input(Input::Timeout);
    assert_eq!(world.holders(), ["last"]);
    assert_eq!(world.wait(3), Some(Wait::Slots { needed: 2, free: 0, ahead: 0 }));
}

#[test]
fn a_replay_knows_who_has_which_slot() {
    let mut world = world(&["0", "1"]);
    world.submit(job("job", |spec| (spec.script, spec.trainers) = (true, 2)), &["a", "b"]);
    world.spawn();
    world.spawn();
    world.exit(1, code(0));
    let replica =
        std::mem::replace(&mut world.replica, Scheduler::new(0)).with_slots(vec!["1".into(), "2".into()]);
    let slots: Vec<_> = replica
        .slots()
        .into_iter()
        .map(|slot| (slot.name, slot.trainer.map(|t| t.0), slot.leftover))
        .collect();
    let of = |name: &str, trainer, leftover| (name.to_owned(), trainer, leftover);
    assert_eq!(slots, [of("1", Some(2), false), of("2", None, false), of("0", Some(1), true)]);
    assert_eq!(replica.state().leftovers().collect::<Vec<_>>(), [TrainerNo(1)]);
}
