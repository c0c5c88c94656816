//! Jobs whose command need not know trainwire.

use super::*;

#[test]
fn a_script_is_its_delivery_and_its_exit_code_the_outcome() {
    let mut world = World::empty();
    world.submit(spec(|spec| spec.script = true), &["a"]);
    world.spawn();
    world.pass(seconds(100_000));
    world.exit(1, code(0));
    world.expect(&[
        "submitted job",
        "submitted a",
        "> bind",
        "> answer",
        "spawning T1",
        "> spawn T1 for task 1, attempt 1",
        "spawned T1",
        "delivered D1: a to T1, attempt 1",
        "started D1",
        "D1 succeeded -> succeeded",
        "T1 ended: exit code 0",
        "job ended",
        "> T1 forget",
        "> unbind",
    ]);
}

#[test]
fn a_script_that_fails_or_crashes() {
    for (exit, line) in [
        (code(3), "D1 failed (exit code 3) -> dead: failed once: exit code 3; max_failures is 1"),
        (sigkill(), "D1 crashed (killed by SIGKILL) -> queued, later"),
    ] {
        let mut world = World::new(spec(|spec| spec.script = true), &["a"]);
        world.spawn();
        world.lines.clear();
        world.exit(1, exit);
        assert_eq!(world.lines()[0], line);
    }
}

#[test]
fn a_script_that_connects_gets_its_own_delivery_and_then_more() {
    let mut world = World::new(spec(|spec| spec.script = true), &["a", "b"]);
    let c = world.join();
    world.start(c, 1);
    world.finish(c, 1, Outcome::Succeeded);
    world.expect(&[
        "spawned T1",
        "delivered D1: a to T1, attempt 1",
        "started D1",
        "bound T1",
        "> C1 welcome",
        "> C1 deliver D1",
        "D1 succeeded -> succeeded",
        "delivered D2: b to T1, attempt 1",
        "> C1 ack D1/1 Stored",
        "> C1 deliver D2",
    ]);
}

#[test]
fn a_script_whose_hello_overtakes_its_spawn() {
    let mut world = World::new(spec(|spec| spec.script = true), &["a"]);
    let trainer = world.spawns[0];
    world.connect(world.hello(trainer));
    world.spawn();
    world.expect(&[
        "bound T1",
        "delivered D1: a to T1, attempt 1",
        "> C1 welcome",
        "> C1 deliver D1",
        "spawned T1",
    ]);
}

#[test]
fn a_script_cancelled_while_it_starts() {
    let mut world = World::new(spec(|spec| spec.script = true), &["a", "b"]);
    world.stop(Some(1), StopReason::Cancelled, false);
    world.spawn();
    world.expect(&["a closed -> cancelled", "> answer", "spawned T1", "> T1 Kill"]);
    world.exit(1, sigkill());
    assert_eq!(world.lines().last().unwrap(), "> spawn T2 for task 2, attempt 1");
}

#[test]
fn a_script_is_stopped_by_signals() {
    let mut world = World::new(spec(|spec| spec.script = true), &["a"]);
    world.spawn();
    world.lines.clear();
    world.stop(None, StopReason::Interrupted, false);
    world.expect(&["stopping D1: Interrupted, Terminated", "> T1 Terminate", "> answer"]);
    world.exit(1, code(143));
    assert_eq!(world.lines()[0], "D1 stopped (Interrupted, Terminated) -> stopped");
}

#[test]
fn a_script_whose_arguments_name_its_task_gets_no_other() {
    let template = |spec: &mut JobSpec| {
        spec.script = true;
        spec.command = ["python", "--lr", "{lr}"].map(String::from).to_vec();
    };
    let mut world = World::new(spec(template), &["a", "b"]);
    let c = world.join();
    world.start(c, 1);
    world.finish(c, 1, Outcome::Succeeded);
    world.expect(&[
        "spawned T1",
        "delivered D1: a to T1, attempt 1",
        "started D1",
        "bound T1",
        "> C1 welcome",
        "> C1 deliver D1",
        "D1 succeeded -> succeeded",
        "> C1 ack D1/1 Stored",
        "> C1 bye one_task",
    ]);
    world.exit(1, code(0));
    assert!(world.lines().contains(&"> spawn T2 for task 2, attempt 1".to_owned()));
}

#[test]
fn a_hello_that_overtakes_its_spawn_gets_the_task_of_its_arguments() {
    let template = |spec: &mut JobSpec| {
        spec.script = true;
        spec.trainers = 2;
        spec.command = ["python", "{task_id}"].map(String::from).to_vec();
    };
    let mut world = World::new(spec(template), &["a", "b"]);
    let second = world.spawns[1];
    world.connect(world.hello(second));
    world.expect(&["bound T2", "delivered D1: b to T2, attempt 1", "> C1 welcome", "> C1 deliver D1"]);
}
