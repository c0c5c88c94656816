//! "A trainer's life", row by row, and who may connect.

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
    let cause = "3 trainers in a row failed to start; the last did not say Hello within 60s: exit code 1";
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
        world.exit(trainer, Exit::NotStarted { error: error.clone() });
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
fn spawning_deadline_kills_and_a_late_hello_is_refused() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    let trainer = world.spawn();
    world.lines.clear();
    world.pass(seconds(60));
    world.expect(&["> T1 Kill"]);
    world.connect(world.hello(trainer));
    world.expect(&["> C1 refuse start_timeout"]);
    world.exit(1, sigkill());
    world.expect(&["T1 start failed: killed by SIGKILL", "> T1 forget"]);
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
fn busy_silent_is_shown_then_lost() {
    let (mut world, c) = World::running(spec(|spec| spec.max_losses = 1), &["a"]);
    world.pass(seconds(5));
    world.input(Input::Quiet { connection: c });
    world.expect(&["T1 Unresponsive"]);
    world.pass(seconds(54));
    world.expect(&[]);
    world.pass(seconds(1));
    world.expect(&["> C1 drain", "stopping D1: Lost, Killed", "> T1 Kill"]);
    world.exit(1, sigkill());
    assert_eq!(world.lines()[1], "D1 lost -> dead: lost once: nothing was heard for 60s; max_losses is 1");
}

#[test]
fn busy_silent_and_heard_again_is_nothing() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.input(Input::Quiet { connection: c });
    world.input(Input::Heard { connection: c });
    world.expect(&["T1 Unresponsive", "T1 Responsive"]);
    world.pass(seconds(1000));
    world.expect(&[]);
}

#[test]
fn heard_while_draining_is_not_lost() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.drains = false;
    world.input(Input::Quiet { connection: c });
    world.pass(seconds(55));
    world.input(Input::Heard { connection: c });
    world.input(Input::Drained { connection: c });
    world.expect(&["T1 Unresponsive", "> C1 drain", "T1 Responsive"]);
}

#[test]
fn a_quiet_trainer_gets_no_work() {
    let (mut world, c) = World::running(spec(|spec| spec.max_failures = 2), &["a"]);
    let error = TrainerError::default();
    world.finish(c, 1, Outcome::Retry { error, after: Some(seconds(10)) });
    world.input(Input::Quiet { connection: c });
    world.lines.clear();
    world.pass(seconds(10));
    world.expect(&[]);
    world.input(Input::Heard { connection: c });
    world.expect(&["T1 Responsive", "delivered D2: a to T1, attempt 2", "> C1 deliver D2"]);
}

#[test]
fn detached_comes_back_with_what_it_has() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.disconnect(c);
    let held = vec![in_hand(1, InHandState::Running), in_hand(9, InHandState::Finished)];
    let hello = Hello { connection: 2, in_hand: held, ..world.hello(TrainerNo(1)) };
    let again = world.connect(hello);
    world.expect(&["T1 Detached", "T1 Responsive", "> C2 welcome keep D1, drop D9"]);
    world.finish(again, 1, Outcome::Succeeded);
    assert_eq!(world.lines()[0], "D1 succeeded -> succeeded");
}

#[test]
fn detached_for_too_long_is_lost() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.disconnect(c);
    world.pass(seconds(60));
    world.expect(&["T1 Detached", "stopping D1: Lost, Killed", "> T1 Kill"]);
    world.exit(1, sigkill());
    assert_eq!(world.lines()[0], "D1 lost -> queued, later");
}

#[test]
fn a_hello_that_says_running_stands_for_a_lost_started() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    world.disconnect(c);
    world.lines.clear();
    let held = vec![in_hand(1, InHandState::Running)];
    let hello = Hello { connection: 2, in_hand: held, ..world.hello(TrainerNo(1)) };
    world.connect(hello);
    world.expect(&["T1 Responsive", "started D1", "> C2 welcome keep D1"]);
}

#[test]
fn a_higher_connection_replaces_a_lower_one_and_no_other() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    let held = vec![in_hand(1, InHandState::Running)];
    let hello = Hello { connection: 2, in_hand: held, ..world.hello(TrainerNo(1)) };
    world.connect(hello.clone());
    world.expect(&["> C1 close", "> C2 welcome keep D1"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.disconnect(c);
    world.connect(hello);
    world.expect(&["> C3 refuse stale_connection"]);
}

#[test]
fn refusals_have_names() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    let known = world.hello(TrainerNo(1)).token;
    let other_job = Hello { job_id: JobId::new("other").unwrap(), ..hello(known, 1) };
    world.connect(hello(None, 5));
    world.connect(hello(Some(Token([9; 16])), 5));
    world.connect(hello(known, 5));
    world.connect(other_job);
    world.connect(Hello { role: Role::Replica, ..hello(known, 1) });
    world.expect(&[
        "> C2 refuse token_required",
        "> C3 refuse bad_token",
        "> C4 refuse token_in_use",
        "> C5 refuse wrong_job",
        "> C6 refuse replica_unsupported",
    ]);
    world.stop(None, StopReason::Cancelled, true);
    world.exit(1, sigkill());
    world.lines.clear();
    world.connect(hello(known, 1));
    world.expect(&["> C7 refuse job_over"]);
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
