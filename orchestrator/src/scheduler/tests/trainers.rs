//! "A trainer's life", row by row.

use super::*;

#[test]
fn spawning_exit_is_a_failed_start_and_three_in_a_row_fail_the_job() {
    let mut world = World::new(spec(|_| {}), &["a", "b"]);
    for trainer in 1..=2 {
        world.spawn();
        world.exit(trainer, code(1));
        assert_eq!(world.lines().last().unwrap(), &format!("> T{trainer} forget"));
        world.pass(seconds(2));
    }
    world.spawn();
    world.lines.clear();
    world.exit(3, code(1));
    let cause = "3 trainers in a row failed to start; the last ended before it said Hello: exit code 1";
    world.expect(&[
        "T3 start failed: exit code 1",
        &format!("a closed -> dead: {cause}"),
        &format!("b closed -> dead: {cause}"),
        "job ended",
        "> T3 forget",
        "> unbind",
    ]);
}

#[test]
fn spawning_hello_forgives_earlier_failed_starts() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    for trainer in 1..=2 {
        world.spawn();
        world.exit(trainer, code(1));
        world.pass(seconds(2));
    }
    world.join();
    assert_eq!(world.scheduler.state().job(JOB).unwrap().start_failures, 0);
}

#[test]
fn spawning_that_never_was() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    let error = "No such file or directory".to_owned();
    for trainer in 1..=3 {
        world.exit(trainer, Exit::NotStarted { error: error.clone(), hopeless: false });
        world.pass(seconds(2));
    }
    let lines = world.lines();
    assert!(
        lines.contains(
            &"a closed -> dead: 3 trainers in a row failed to start; the last could not be started: No such \
              file or directory"
                .into()
        ),
        "{lines:?}"
    );
}

#[test]
fn a_command_that_cannot_be_started_fails_the_job_at_once_unless_it_has_worked() {
    let missing = || Exit::NotStarted { error: "no such program".into(), hopeless: true };
    let mut world = World::new(spec(|_| {}), &["a"]);
    world.exit(1, missing());
    let lines = world.lines();
    let dead = "a closed -> dead: the trainer could not be started: no such program";
    assert!(lines.contains(&dead.into()) && lines.contains(&"job ended".into()), "{lines:?}");

    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    world.finish(c, 1, failed());
    world.exit(1, code(0));
    world.exit(2, missing());
    assert_eq!(world.state(2), TaskState::Queued);
}

#[test]
fn a_version_mismatch_fails_the_job_at_once() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    world.spawn();
    world.input(Input::VersionMismatch { job: JOB, text: "it speaks 2 to 3, we speak 1".into() });
    world.exit(1, code(1));
    let lines = world.lines();
    assert!(
        lines.contains(&"a closed -> dead: the trainer was refused: it speaks 2 to 3, we speak 1".into()),
        "{lines:?}"
    );
}

#[test]
fn ready_idle_and_nothing_queued_is_draining_then_signalled() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.lines.clear();
    world.pass(seconds(30));
    world.expect(&["> C1 drain", "> T1 Terminate"]);
    world.pass(seconds(5));
    world.expect(&["> C1 drain", "> T1 Kill"]);
}

#[test]
fn an_idle_trainer_waits_for_a_task_in_its_backoff() {
    let (mut world, c) =
        World::running(spec(|spec| (spec.max_failures, spec.replace_after_failure) = (2, false)), &["a"]);
    world.finish(c, 1, failed());
    world.expect(&["D1 failed (ValueError: bad lr) -> queued, later", "> C1 ack D1/1 Stored"]);
    world.pass(seconds(1));
    world.expect(&["delivered D2: a to T1, attempt 2", "> C1 deliver D2"]);
}

#[test]
fn idle_trainers_beyond_the_queue_are_let_go() {
    let (mut world, _) = World::running(spec(|spec| spec.trainers = 2), &["a", "b"]);
    let second = world.join();
    world.lines.clear();
    world.finish(second, 2, Outcome::Succeeded);
    world.expect(&["D2 succeeded -> succeeded", "> C2 ack D2/1 Stored", "> C2 bye job_done"]);
}

#[test]
fn a_trainer_that_leaves_gives_back_what_it_has_not_begun() {
    let (mut world, c) = World::joined(spec(|spec| spec.window = 2), &["a", "b", "c"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.start(c, 2);
    world.lines.clear();
    world.bye(c);
    world.expect(&["D3 returned (exiting) -> queued, later"]);
    world.finish(c, 2, Outcome::Succeeded);
    world.expect(&["D2 succeeded -> succeeded", "> C1 ack D2/1 Stored"]);
}

#[test]
fn draining_gives_a_running_task_its_time() {
    let (mut world, c) = World::joined(spec(|spec| spec.window = 2), &["a", "b", "c"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.start(c, 2);
    world.bye(c);
    world.lines.clear();
    world.pass(seconds(1000));
    // The third task has come back meanwhile; the slot is taken.
    world.expect(&[]);
    world.finish(c, 2, Outcome::Succeeded);
    world.lines.clear();
    world.pass(seconds(30));
    world.expect(&["> C1 drain", "> T1 Terminate"]);
}
