//! Work that waits behind other work, and somebody idle.

use trainwire_protocol::message::MOVED;

use super::*;

/// Tasks 1 to 8. The first trainer has 3 to 6 in hand and begins with 3; the second has just become idle.
fn one_has_four_and_one_has_none() -> (World, ConnectionNo, ConnectionNo) {
    let mut world = World::new(spec(|spec| (spec.trainers, spec.window) = (2, 4)), &TASKS);
    let first = world.join();
    world.finish(first, 1, Outcome::Succeeded);
    world.finish(first, 2, Outcome::Succeeded);
    world.start(first, 3);
    let second = world.join();
    for delivery in [7, 8] {
        world.finish(second, delivery, Outcome::Succeeded);
    }
    assert_eq!(held(&world), [vec![3, 4, 5, 6], vec![]]);
    world.lines.clear();
    (world, first, second)
}

const TASKS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

fn held(world: &World) -> [Vec<u64>; 2] {
    let of = |trainer| world.scheduler.state().trainer(TrainerNo(trainer)).unwrap();
    [1, 2].map(|trainer| of(trainer).in_hand.iter().copied().collect())
}

fn moved() -> Outcome {
    Outcome::Returned { code: MOVED.into() }
}

#[test]
fn the_newest_moves_once_somebody_has_been_idle_for_as_long_as_a_short_task_takes() {
    let (mut world, first, second) = one_has_four_and_one_has_none();
    world.pass(Duration::from_millis(99));
    world.expect(&[]);
    world.pass(Duration::from_millis(1));
    world.expect(&["> C1 stop D6: moved"]);
    assert_eq!(held(&world), [vec![3, 4, 5, 6], vec![]], "until it comes back it is not given away");
    world.pass(seconds(3));
    world.expect(&[]);
    world.finish(first, 6, moved());
    world.expect(&[
        "D6 returned (moved) -> queued",
        "delivered D9: 6 to T2, attempt 1",
        "> C1 ack D6/1 Stored",
        "> C2 deliver D9",
    ]);
    world.finish(second, 9, Outcome::Succeeded);
    world.lines.clear();
    world.pass(Duration::from_millis(100));
    world.expect(&["> C1 stop D5: moved"]);
}

#[test]
fn one_that_began_meanwhile_goes_on_and_another_is_asked_for() {
    let (mut world, first, _) = one_has_four_and_one_has_none();
    world.pass(Duration::from_millis(100));
    world.lines.clear();
    // Everything before it was short after all.
    for delivery in [3, 4, 5] {
        world.finish(first, delivery, Outcome::Succeeded);
    }
    world.start(first, 6);
    world.lines.clear();
    world.pass(seconds(1));
    world.expect(&[]);
    world.finish(first, 6, Outcome::Succeeded);
    let lines = world.lines();
    assert!(lines[0].starts_with("D6 succeeded"), "{lines:?}");
}

#[test]
fn who_is_idle_stays_as_long_as_something_waits_and_no_longer() {
    let (mut world, first, second) = one_has_four_and_one_has_none();
    world.pass(Duration::from_millis(100));
    world.finish(first, 6, moved());
    world.finish(first, 3, Outcome::Succeeded);
    world.finish(first, 4, Outcome::Succeeded);
    assert_eq!(held(&world), [vec![5], vec![9]]);
    world.lines.clear();
    world.finish(second, 9, Outcome::Succeeded);
    assert!(world.lines().contains(&"> C2 bye job_done".to_owned()), "the last one runs already");
    world.finish(first, 5, Outcome::Succeeded);
    world.exit(1, code(0));
    world.exit(2, code(0));
    assert!(world.lines().contains(&"job ended".to_owned()));
    assert_eq!(world.scheduler.poll_timeout(), None);
}

#[test]
fn a_question_that_was_lost_with_the_connection_is_asked_again() {
    let (mut world, first, _) = one_has_four_and_one_has_none();
    world.pass(Duration::from_millis(100));
    world.disconnect(first);
    world.lines.clear();
    world.pass(seconds(1));
    world.expect(&[]);
    let queued = [4, 5, 6].map(|delivery| in_hand(delivery, InHandState::Queued));
    let in_hand = [vec![in_hand(3, InHandState::Running)], queued.to_vec()].concat();
    world.connect(Hello { connection: 2, in_hand, ..world.hello(TrainerNo(1)) });
    world.lines.clear();
    world.pass(Duration::from_millis(100));
    world.expect(&["> C3 stop D6: moved"]);
}

#[test]
fn a_stop_of_one_that_is_asked_back_ends_it() {
    let (mut world, first, _) = one_has_four_and_one_has_none();
    world.pass(Duration::from_millis(100));
    world.stop(Some(6), StopReason::Cancelled, false);
    world.lines.clear();
    world.finish(first, 6, moved());
    assert_eq!(world.lines()[0], "D6 returned (moved) -> cancelled");
}
