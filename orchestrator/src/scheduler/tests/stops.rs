//! Stopping, Stuck, and the ladder between.

use super::*;

#[test]
fn running_to_stopping_asks_and_the_trainer_ends_it() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    world.stop(Some(1), StopReason::Cancelled, false);
    world.expect(&["stopping D1: Cancelled, Asked", "> C1 stop D1: cancelled, 30s left", "> answer"]);
    world.finish(c, 1, Outcome::Stopped);
    world.expect(&[
        "D1 stopped (Cancelled, Asked) -> cancelled",
        "delivered D2: b to T1, attempt 1",
        "> C1 ack D1/1 Stored",
        "> C1 deliver D2",
    ]);
    world.pass(seconds(100));
    world.expect(&[]);
}

#[test]
fn delivered_to_stopping_and_back_by_returned() {
    let (mut world, c) = World::joined(spec(|_| {}), &["a"]);
    world.stop(Some(1), StopReason::Cancelled, false);
    world.finish(c, 1, Outcome::Returned { code: "stopped_before_start".into() });
    assert_eq!(world.lines()[3], "D1 returned (stopped_before_start) -> cancelled");
}

#[test]
fn stopping_takes_a_success_that_was_in_flight() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.stop(None, StopReason::Interrupted, false);
    world.finish(c, 1, Outcome::Succeeded);
    assert_eq!(world.lines()[3], "D1 succeeded -> succeeded");
}

#[test]
fn stopping_failed_ends_as_the_stop_says() {
    let (mut world, c) = World::running(spec(|spec| spec.max_failures = 9), &["a"]);
    world.stop(None, StopReason::Interrupted, false);
    world.finish(c, 1, failed());
    assert_eq!(world.lines()[3], "D1 failed (ValueError: bad lr) -> stopped");
}

#[test]
fn the_ladder_from_stop_to_stuck() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    world.stop(Some(1), StopReason::Cancelled, false);
    world.lines.clear();
    world.pass(seconds(29));
    world.expect(&[]);
    world.pass(seconds(1));
    world.expect(&["> C1 drain", "stopping D1: Cancelled, Terminated", "> T1 Terminate"]);
    world.pass(seconds(5));
    world.expect(&["> C1 drain", "stopping D1: Cancelled, Killed", "> T1 Kill"]);
    world.pass(seconds(30));
    world.expect(&["> C1 drain", "stuck D1"]);
    world.pass(seconds(1000));
    world.expect(&[]);
    world.exit(1, sigkill());
    assert_eq!(world.lines()[1], "D1 stopped (Cancelled, Killed) -> cancelled");
}

#[test]
fn a_result_found_while_draining_disarms_the_next_rung() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    world.stop(Some(1), StopReason::Cancelled, false);
    world.drains = false;
    world.pass(seconds(30));
    world.lines.clear();
    world.finish(c, 1, Outcome::Stopped);
    world.input(Input::Drained { connection: c });
    world.expect(&[
        "D1 stopped (Cancelled, Asked) -> cancelled",
        "delivered D2: b to T1, attempt 1",
        "> C1 ack D1/1 Stored",
        "> C1 deliver D2",
    ]);
}

#[test]
fn a_result_after_sigterm_disarms_sigkill_and_the_trainer_leaves() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    world.stop(Some(1), StopReason::Cancelled, false);
    world.pass(seconds(30));
    world.lines.clear();
    world.finish(c, 1, Outcome::Stopped);
    world.expect(&[
        "D1 stopped (Cancelled, Terminated) -> cancelled",
        "> C1 ack D1/1 Stored",
        "> C1 bye stopped",
    ]);
    world.pass(seconds(29));
    world.expect(&[]);
    world.pass(seconds(1));
    world.expect(&["> C1 drain", "> T1 Terminate"]);
}

#[test]
fn without_a_connection_the_ladder_begins_at_sigterm() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.disconnect(c);
    world.stop(None, StopReason::Interrupted, false);
    world.expect(&["T1 Detached", "stopping D1: Interrupted, Terminated", "> T1 Terminate", "> answer"]);
}

#[test]
fn a_kill_is_sigkill_at_once() {
    let (mut world, _) = World::running(spec(|_| {}), &["a", "b"]);
    world.stop(None, StopReason::Interrupted, true);
    world.expect(&["b closed -> stopped", "stopping D1: Interrupted, Killed", "> T1 Kill", "> answer"]);
    world.exit(1, sigkill());
    assert_eq!(world.lines()[1], "D1 stopped (Interrupted, Killed) -> stopped");
}

#[test]
fn a_second_stop_with_kill_hurries_the_first() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    world.stop(None, StopReason::Interrupted, false);
    world.lines.clear();
    world.stop(None, StopReason::Cancelled, true);
    world.expect(&["stopping D1: Interrupted, Killed", "> T1 Kill", "> answer"]);
}

#[test]
fn deliveries_that_fall_with_a_killed_one_are_not_charged() {
    let (mut world, c) = World::joined(spec(|spec| spec.window = 2), &["a", "b", "c"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.start(c, 2);
    world.lines.clear();
    world.stop(Some(2), StopReason::Cancelled, true);
    world.exit(1, sigkill());
    let lines = world.lines();
    assert!(lines.contains(&"D2 stopped (Cancelled, Killed) -> cancelled".into()), "{lines:?}");
    assert!(lines.contains(&"D3 returned (trainer_gone) -> queued".into()), "{lines:?}");

    let (mut world, c) = World::joined(spec(|spec| spec.window = 2), &["a", "b", "c"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.start(c, 2);
    world.stop(Some(3), StopReason::Cancelled, true);
    world.exit(1, sigkill());
    let lines = world.lines();
    assert!(lines.contains(&"D2 returned (fell_with_another) -> queued".into()), "{lines:?}");
}

#[test]
fn an_interrupted_job_ends_its_queued_tasks_as_stopped() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b", "c"]);
    world.stop(None, StopReason::Interrupted, false);
    world.expect(&[
        "b closed -> stopped",
        "c closed -> stopped",
        "stopping D1: Interrupted, Asked",
        "> C1 stop D1: interrupted, 30s left",
        "> answer",
    ]);
    world.finish(c, 1, Outcome::Stopped);
    world.expect(&[
        "D1 stopped (Interrupted, Asked) -> stopped",
        "> C1 ack D1/1 Stored",
        "> C1 bye job_done",
    ]);
}

#[test]
fn a_stop_is_repeated_over_a_new_connection_with_the_time_that_is_left() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.stop(None, StopReason::Interrupted, false);
    world.disconnect(c);
    world.pass(seconds(10));
    world.lines.clear();
    let held = vec![in_hand(1, InHandState::Running)];
    let hello = Hello { connection: 2, in_hand: held, ..world.hello(TrainerNo(1)) };
    world.connect(hello);
    world.expect(&["T1 Responsive", "> C2 welcome keep D1", "> C2 stop D1: interrupted, 20s left"]);
}

#[test]
fn stalled_dumps_stacks_stops_and_is_a_loss() {
    let spec = spec(|spec| (spec.stall_timeout, spec.max_losses) = (Some(seconds(60)), 1));
    let (mut world, c) = World::running(spec, &["a"]);
    world.heartbeat(c, 1, seconds(59));
    world.expect(&[]);
    world.heartbeat(c, 1, seconds(60));
    world.expect(&["> C1 drain", "stopping D1: Stalled, Asked", "> C1 stop D1: stalled, 30s left, stacks"]);
    world.heartbeat(c, 1, seconds(61));
    world.expect(&[]);
    world.finish(c, 1, Outcome::Stopped);
    assert_eq!(world.lines()[0], "D1 stalled -> dead: lost once: no progress for 60s; max_losses is 1");
}

#[test]
fn progress_found_while_draining_is_no_stall() {
    let (mut world, c) = World::running(spec(|spec| spec.stall_timeout = Some(seconds(60))), &["a"]);
    world.drains = false;
    world.heartbeat(c, 1, seconds(60));
    world.input(Input::Progress { connection: c, delivery: 1 });
    world.input(Input::Drained { connection: c });
    world.expect(&["> C1 drain"]);
}

#[test]
fn a_cancel_outranks_a_stall() {
    let (mut world, c) = World::running(spec(|spec| spec.stall_timeout = Some(seconds(60))), &["a"]);
    world.heartbeat(c, 1, seconds(60));
    world.stop(Some(1), StopReason::Cancelled, false);
    world.finish(c, 1, Outcome::Stopped);
    assert_eq!(world.state(1), TaskState::Cancelled);
}
