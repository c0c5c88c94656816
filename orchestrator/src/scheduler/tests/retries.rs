//! Budgets, waits and words.

use super::retry::backoff;
use super::*;

#[test]
fn losses_have_a_budget_of_their_own() {
    let (mut world, _) = World::running(spec(|spec| (spec.max_failures, spec.max_losses) = (2, 3)), &["a"]);
    world.exit(1, sigkill());
    world.pass(seconds(60));
    let c = world.join();
    world.start(c, 2);
    world.finish(c, 2, failed());
    world.exit(2, code(1));
    world.pass(seconds(60));
    let c = world.join();
    world.start(c, 3);
    world.exit(3, sigkill());
    world.pass(seconds(60));
    let c = world.join();
    world.start(c, 4);
    world.lines.clear();
    world.exit(4, sigkill());
    assert_eq!(
        world.lines()[1],
        "D4 crashed (killed by SIGKILL) -> dead: lost 3 times, the last: killed by SIGKILL; max_losses is 3"
    );
    let task = world.scheduler.state().task(TaskNo(1)).unwrap();
    assert_eq!((task.starts, task.failures, task.losses), (4, 1, 3));
}

#[test]
fn a_fatal_failure_is_the_last() {
    let (mut world, c) = World::running(spec(|spec| spec.max_failures = 9), &["a"]);
    let error = TrainerError { kind: "Fatal".into(), fatal: true, ..TrainerError::default() };
    world.finish(c, 1, Outcome::Failed(error));
    assert_eq!(
        world.lines()[0],
        "D1 failed (Fatal) -> dead: failed once: Fatal; the trainer asked not to be retried"
    );
}

#[test]
fn the_attempt_number_counts_what_reached_the_trainers_code() {
    let (mut world, _) = World::joined(spec(|_| {}), &["a"]);
    world.exit(1, sigkill());
    world.lines.clear();
    let c = world.join();
    assert!(world.lines().contains(&"delivered D2: a to T2, attempt 1".into()));
    world.start(c, 2);
    world.exit(2, sigkill());
    world.pass(seconds(1));
    world.join();
    assert!(world.lines().contains(&"delivered D3: a to T3, attempt 2".into()));
}

#[test]
fn a_retry_can_ask_for_a_week_at_most() {
    let (mut world, c) = World::running(spec(|spec| spec.max_failures = 2), &["a"]);
    let outcome = Outcome::Retry { error: TrainerError::default(), after: Some(Duration::MAX) };
    world.finish(c, 1, outcome);
    world.pass(seconds(7 * 24 * 60 * 60));
    assert_eq!(world.lines().last().unwrap(), "> C1 deliver D2");
}

#[test]
fn waits_double_up_to_their_limit_and_are_spread() {
    let spec = spec(|spec| (spec.backoff_min, spec.backoff_max) = (seconds(1), seconds(60)));
    for (charges, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (u32::MAX, 60)] {
        let waits: Vec<Duration> = (0..100).map(|seed| backoff(&spec, charges, seed)).collect();
        assert!(waits.iter().all(|wait| (seconds(full) / 2..=seconds(full)).contains(wait)));
        assert!(waits.iter().max() > waits.iter().min());
    }
    assert_eq!(backoff(&spec, 3, 5), backoff(&spec, 3, 5));
}
