//! Who may connect, who comes back, and what silence means.

use super::*;

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
    world.expect(&[
        "> C2 refuse token_required",
        "> C3 refuse bad_token",
        "> C4 refuse token_in_use",
        "> C5 refuse wrong_job",
    ]);
    world.stop(None, StopReason::Cancelled, true);
    world.exit(1, sigkill());
    world.lines.clear();
    world.connect(hello(known, 1));
    world.expect(&["> C6 refuse job_over"]);
}
