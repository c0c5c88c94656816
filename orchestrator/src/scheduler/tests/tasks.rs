//! "A task's life", row by row.

use super::*;

#[test]
fn queued_to_delivered_when_a_window_is_free() {
    let mut world = World::empty();
    world.submit(spec(|_| {}), &["a"]);
    world.expect(&["submitted job", "submitted a", "> bind", "> answer", "spawning T1", "> spawn T1"]);
    world.join();
    world.expect(&[
        "spawned T1",
        "bound T1",
        "delivered D1: a to T1, attempt 1",
        "> C1 welcome",
        "> C1 deliver D1",
    ]);
}

#[test]
fn queued_to_cancelled() {
    let (mut world, _) = World::running(spec(|_| {}), &["a", "b"]);
    world.stop(Some(2), StopReason::Cancelled, false);
    world.expect(&["b closed -> cancelled", "> answer"]);
    assert!(world.scheduler.payload(TaskNo(2)).is_none());
    world.stop(Some(2), StopReason::Cancelled, false);
    world.expect(&["> answer"]);
}

#[test]
fn delivered_to_running_on_started() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    world.start(c, 1);
    world.start(c, 1);
    world.expect(&["started D1"]);
}

#[test]
fn delivered_to_queued_when_returned() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    world.finish(c, 1, returned());
    world.expect(&["D1 returned (descriptor_missing) -> queued, later", "> C1 ack D1/1 Stored"]);
    world.pass(seconds(1));
    world.expect(&["delivered D2: a to T1, attempt 1", "> C1 deliver D2"]);
}

#[test]
fn delivered_to_queued_when_its_trainer_dies() {
    let (mut world, _) = World::joined(spec(|_| {}), &["a"]);
    world.exit(1, code(1));
    world.expect(&[
        "> C1 drain",
        "D1 returned (trainer_gone) -> queued",
        "T1 ended: exit code 1",
        "spawning T2",
        "> C1 close",
        "> T1 forget",
        "> spawn T2",
    ]);
}

#[test]
fn delivered_to_queued_when_absent_from_hello() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    world.disconnect(c);
    let hello = Hello { connection: 2, ..world.hello(TrainerNo(1)) };
    world.connect(hello);
    world.expect(&[
        "T1 Detached",
        "T1 Responsive",
        "D1 returned (not_in_hand) -> queued",
        "delivered D2: a to T1, attempt 1",
        "> C2 welcome",
        "> C2 deliver D2",
    ]);
}

#[test]
fn ten_returns_in_a_row_are_the_end() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    for delivery in 1..10 {
        world.finish(c, delivery, returned());
        world.pass(seconds(60));
    }
    world.lines.clear();
    world.finish(c, 10, returned());
    let lines = world.lines();
    assert_eq!(
        lines[0],
        "D10 returned (descriptor_missing) -> dead: came back unfinished 10 times in a row, the last: \
         descriptor_missing; none was charged"
    );
}

#[test]
fn delivered_takes_a_result_as_running() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.expect(&["D1 succeeded -> succeeded", "> C1 ack D1/1 Stored", "> C1 bye job_done"]);
    assert_eq!(world.scheduler.state().task(TaskNo(1)).unwrap().starts, 1);
}

#[test]
fn running_stores_a_checkpoint_once_and_gives_it_to_the_next_attempt() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.checkpoint(c, 1, 1);
    world.checkpoint(c, 1, 1);
    world.checkpoint(c, 1, 2);
    world.expect(&[
        "checkpoint D1/1",
        "> C1 ack D1/1 Stored",
        "> C1 ack D1/1 Superseded",
        "checkpoint D1/2",
        "> C1 ack D1/2 Stored",
    ]);
    world.exit(1, sigkill());
    world.pass(seconds(1));
    world.lines.clear();
    world.join();
    assert_eq!(world.lines().last().unwrap(), "> C2 deliver D2 from epoch-2.pt");
}

#[test]
fn a_delivery_is_in_the_trace_of_its_job() {
    for (trace, said) in [("00-ab-cd-01".to_owned(), " in 00-ab-cd-01"), ("x".repeat(129), "")] {
        let spec = spec(|spec| drop(spec.environment.insert("TRACEPARENT".to_owned(), trace)));
        let mut world = World::new(spec, &["a"]);
        world.join();
        assert_eq!(world.lines().last().unwrap(), &format!("> C1 deliver D1{said}"));
    }
}

#[test]
fn running_to_succeeded_ends_the_job() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.exit(1, code(0));
    world.expect(&[
        "D1 succeeded -> succeeded",
        "> C1 ack D1/1 Stored",
        "> C1 bye job_done",
        "> C1 drain",
        "T1 ended: exit code 0",
        "job ended",
        "> C1 close",
        "> T1 forget",
        "> unbind",
    ]);
    assert!(world.scheduler.payload(TaskNo(1)).is_none());
    assert_eq!(world.scheduler.poll_timeout(), None);
}

#[test]
fn running_failed_is_charged_and_drains_the_trainer() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    world.finish(c, 1, failed());
    world.expect(&[
        "D1 failed (ValueError: bad lr) -> dead: failed once: ValueError: bad lr; max_failures is 1",
        "> C1 ack D1/1 Stored",
        "> C1 bye replaced",
    ]);
    world.exit(1, code(1));
    world.expect(&[
        "> C1 drain",
        "T1 ended: exit code 1",
        "spawning T2",
        "> C1 close",
        "> T1 forget",
        "> spawn T2",
    ]);
}

#[test]
fn running_failed_keeps_the_trainer_where_the_job_says_so() {
    let (mut world, c) = World::running(spec(|spec| spec.replace_after_failure = false), &["a", "b"]);
    world.finish(c, 1, failed());
    assert_eq!(world.lines().last().unwrap(), "> C1 deliver D2");
}

#[test]
fn running_retry_keeps_the_trainer_and_waits() {
    let (mut world, c) = World::running(spec(|spec| spec.max_failures = 2), &["a"]);
    let error = TrainerError { kind: "Busy".into(), ..TrainerError::default() };
    world.finish(c, 1, Outcome::Retry { error: error.clone(), after: Some(seconds(600)) });
    world.expect(&["D1 retry (Busy) -> queued, later", "> C1 ack D1/1 Stored"]);
    world.pass(seconds(599));
    world.expect(&[]);
    world.pass(seconds(1));
    world.expect(&["delivered D2: a to T1, attempt 2", "> C1 deliver D2"]);
    world.finish(c, 2, Outcome::Retry { error, after: None });
    world.expect(&[
        "D2 retry (Busy) -> dead: asked for a retry twice, the last: Busy; max_failures is 2",
        "> C1 ack D2/1 Stored",
        "> C1 bye job_done",
    ]);
}

#[test]
fn running_death_is_a_verdict_only_after_the_socket_is_drained() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.drains = false;
    world.exit(1, sigkill());
    world.expect(&["> C1 drain"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.input(Input::Drained { connection: c });
    let lines = world.lines();
    assert_eq!(lines[0], "D1 succeeded -> succeeded");
    assert_eq!(lines.last().unwrap(), "> unbind");
}

#[test]
fn running_death_by_signal_is_a_loss_and_by_code_a_failure() {
    let cases = [
        (sigkill(), "D1 crashed (killed by SIGKILL) -> queued, later"),
        (Exit::Unknown, "D1 crashed (ended, how is unknown) -> queued, later"),
        (
            Exit::Signal { signal: 9, core_dumped: false, out_of_memory: true },
            "D1 crashed (killed by SIGKILL (out of memory)) -> queued, later",
        ),
        (code(3), "D1 failed (exit code 3) -> dead: failed once: exit code 3; max_failures is 1"),
        (
            code(0),
            "D1 failed (exited without a result (exit code 0)) -> dead: failed once: exited without a \
             result (exit code 0); max_failures is 1",
        ),
    ];
    for (exit, line) in cases {
        let (mut world, _) = World::running(spec(|_| {}), &["a"]);
        world.exit(1, exit);
        assert_eq!(world.lines()[1], line);
    }
}

#[test]
fn a_dead_letter_carries_the_last_words() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    let now = Now { monotonic: world.now, wall: std::time::UNIX_EPOCH };
    let exit =
        Input::Exited { trainer: TrainerNo(1), exit: code(1), log_tail: "Traceback".into(), failure: None };
    world.scheduler.handle(now, exit);
    let decision = world.scheduler.handle(now, Input::Drained { connection: ConnectionNo(1) });
    let Record::Ended { next: Next::Dead { log_tail, .. }, .. } = &decision.records[0] else {
        panic!("{decision:?}");
    };
    assert_eq!(&**log_tail, "Traceback");
}

#[test]
fn what_comes_for_a_delivery_that_is_over_changes_nothing() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.lines.clear();
    world.finish(c, 1, failed());
    world.checkpoint(c, 1, 9);
    world.start(c, 1);
    world.expect(&[
        "superseded D1/1",
        "> C1 ack D1/1 Superseded",
        "superseded D1/9",
        "> C1 ack D1/9 Superseded",
    ]);
    // Never made: acknowledged, so that it is not sent for ever, and no fact.
    world.finish(c, 77, Outcome::Succeeded);
    world.expect(&["> C1 ack D77/1 Superseded"]);
}

#[test]
fn a_delivery_of_another_trainer_is_fenced() {
    let (mut world, _) = World::running(spec(|spec| spec.trainers = 2), &["a", "b"]);
    let other = world.join();
    world.lines.clear();
    world.finish(other, 1, Outcome::Succeeded);
    world.expect(&["> C2 ack D1/1 Superseded"]);
    world.finish(ConnectionNo(99), 1, Outcome::Succeeded);
    world.expect(&[]);
}

#[test]
fn what_the_trainer_wrote_about_its_end_is_the_cause() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    let failure =
        TrainerFailure { kind: "ValueError".into(), text: "bad lr".into(), ..TrainerFailure::default() };
    let (log_tail, exit) = (String::new(), code(1));
    world.input(Input::Exited { trainer: TrainerNo(1), exit, log_tail, failure: Some(failure) });
    assert_eq!(
        world.lines()[1],
        "D1 failed (ValueError: bad lr) -> dead: failed once: ValueError: bad lr; max_failures is 1"
    );
}

#[test]
fn a_stop_nobody_asked_for_is_an_interrupt() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.finish(c, 1, Outcome::Stopped);
    assert_eq!(world.lines()[0], "D1 stopped (Interrupted, Asked) -> stopped");
}
