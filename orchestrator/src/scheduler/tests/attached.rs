//! Trainers started by hand.

use super::*;

#[test]
fn an_attached_trainer_works_and_leaves_without_a_signal() {
    let mut world = World::new(spec(|spec| spec.command.clear()), &["a"]);
    let c = world.connect(hello(None, 5));
    world.finish(c, 1, Outcome::Succeeded);
    world.expect(&[
        "attached T1",
        "delivered D1: a to T1, attempt 1",
        "> C1 welcome",
        "> C1 deliver D1",
        "D1 succeeded -> succeeded",
        "> C1 ack D1/1 Stored",
        "> C1 bye job_done",
    ]);
    world.pass(seconds(30));
    world.expect(&[
        "> C1 drain",
        "T1 ended: ended, how is unknown",
        "job ended",
        "> C1 close",
        "> T1 forget",
        "> unbind",
    ]);
}

#[test]
fn an_attached_trainer_is_gone_with_its_connection_when_it_was_let_go() {
    let mut world = World::new(spec(|spec| spec.command.clear()), &["a"]);
    let c = world.connect(hello(None, 5));
    world.finish(c, 1, Outcome::Succeeded);
    world.lines.clear();
    world.disconnect(c);
    world.expect(&["T1 ended: ended, how is unknown", "job ended", "> T1 forget", "> unbind"]);
}

#[test]
fn an_attached_trainer_is_lost_like_any_other_while_it_has_a_delivery() {
    let mut world = World::new(spec(|spec| spec.command.clear()), &["a"]);
    let c = world.connect(hello(None, 5));
    world.start(c, 1);
    world.disconnect(c);
    world.lines.clear();
    world.pass(seconds(60));
    world.expect(&["stopping D1: Lost, Killed", "> T1 Kill"]);
    world.exit(1, Exit::Unknown);
    // Nobody is started in its place.
    world.expect(&["D1 lost -> queued, later", "T1 ended: ended, how is unknown", "> T1 forget"]);
    world.pass(seconds(60));
    world.expect(&[]);
}

#[test]
fn an_idle_attached_trainer_that_vanishes_is_forgotten_unharmed() {
    let mut world = World::new(spec(|spec| spec.attach = true), &["a"]);
    let c = world.join();
    world.start(c, 1);
    let attached = world.connect(hello(None, 5));
    world.lines.clear();
    world.disconnect(attached);
    world.expect(&["T2 ended: ended, how is unknown", "> T2 forget"]);
}

#[test]
fn an_idle_attached_trainer_stays_for_a_task_that_may_come_back() {
    let mut world = World::new(
        spec(|spec| {
            spec.command.clear();
            (spec.attach, spec.backoff_min) = (true, seconds(1));
        }),
        &["a"],
    );
    let dying = world.connect(hello(None, 5));
    world.start(dying, 1);
    let idle = world.connect(hello(None, 6));
    world.exit(1, sigkill());
    world.pass(seconds(2));
    assert!(matches!(world.state(1), TaskState::Delivered(_)), "{:?}", world.state(1));
    world.lines.clear();
    world.start(idle, 2);
    world.finish(idle, 2, Outcome::Succeeded);
    assert!(world.lines().iter().any(|line| line.contains("bye")), "the job is done");
}
