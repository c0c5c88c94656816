//! Several processes that work on each delivery together: what replicas get, and what becomes of errors,
//! launchers that start ranks anew, and ranks that go astray.

use super::*;

/// Two ranks, both let in and neither given a task yet.
fn group(change: impl FnOnce(&mut JobSpec), tasks: &[&str]) -> (World, ConnectionNo, ConnectionNo) {
    let mut world = World::new(spec(change), tasks);
    let trainer = world.spawn();
    let replica = world.connect(rank(&world, 1));
    let primary = world.connect(Hello { world_size: 2, ..world.hello(trainer) });
    (world, primary, replica)
}

/// Both at work.
fn at_work(change: impl FnOnce(&mut JobSpec)) -> (World, ConnectionNo, ConnectionNo) {
    let (mut world, primary, replica) = group(change, &["a"]);
    world.start(primary, 1);
    world.start(replica, 1);
    world.lines.clear();
    (world, primary, replica)
}

/// The first Hello of a replica of the first trainer.
fn rank(world: &World, rank: u32) -> Hello {
    let role = Role::Replica;
    Hello {
        role,
        rank,
        world_size: 3,
        instance: Instance(100 + u128::from(rank)),
        ..world.hello(TrainerNo(1))
    }
}

/// Both ranks after the launcher has started them anew.
fn anew(world: &World, restart: u32) -> (Hello, Hello) {
    let known = world.hello(TrainerNo(1));
    let primary = Hello { instance: Instance(50), restart, world_size: 2, ..known };
    (primary, Hello { instance: Instance(151), restart, ..rank(world, 1) })
}

fn restarting() -> Outcome {
    Outcome::Failed(TrainerError { kind: "ValueError".into(), restarts: true, ..TrainerError::default() })
}

#[test]
fn a_replica_waits_for_its_primary_and_gets_the_same() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    let trainer = world.spawn();
    world.lines.clear();
    let replica = world.connect(rank(&world, 1));
    world.expect(&["> C1 welcome"]);
    let primary = world.connect(Hello { world_size: 3, ..world.hello(trainer) });
    world.expect(&[
        "bound T1",
        "delivered D1: a to T1, attempt 1",
        "> C2 welcome",
        "> C2 deliver D1",
        "> C1 deliver D1",
    ]);
    world.start(primary, 1);
    world.start(replica, 1);
    world.checkpoint(primary, 1, 1);
    world.lines.clear();
    // One that comes late begins where the others began.
    world.connect(rank(&world, 2));
    world.expect(&["> C3 welcome", "> C3 deliver D1"]);
}

#[test]
fn what_a_replica_says_changes_nothing() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.checkpoint(replica, 1, 1);
    world.heartbeat(replica, 1, seconds(1000));
    world.input(Input::Progress { connection: replica, delivery: 1 });
    world.input(Input::Quiet { connection: replica });
    world.finish(replica, 1, Outcome::Succeeded);
    world.bye(replica);
    world.disconnect(replica);
    world.expect(&["> C1 ack D1/1 Superseded", "> C1 ack D1/1 Superseded"]);
    world.finish(primary, 1, Outcome::Succeeded);
    assert_eq!(world.lines()[0], "D1 succeeded -> succeeded");
}

#[test]
fn a_stop_goes_to_every_rank_that_works_on_it() {
    let (mut world, _, replica) = group(|_| {}, &["a"]);
    world.lines.clear();
    world.stop(None, StopReason::Cancelled, false);
    world.expect(&["stopping D1: Cancelled, Asked", "> C2 stop D1: cancelled, 30s left", "> answer"]);
    // A rank that has not begun would give the task back while the others wait for it.
    world.start(replica, 1);
    world.expect(&["> C1 stop D1: cancelled, 30s left"]);
    world.pass(seconds(30));
    world.expect(&["> C1 drain", "> C2 drain", "stopping D1: Cancelled, Terminated", "> T1 Terminate"]);
}

#[test]
fn a_replica_comes_back_with_what_it_has() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.disconnect(replica);
    let listed = vec![in_hand(1, InHandState::Running), in_hand(9, InHandState::Running)];
    let again = world.connect(Hello { connection: 2, in_hand: listed, ..rank(&world, 1) });
    world.expect(&["> C3 welcome keep D1, drop D9"]);
    world.finish(again, 1, Outcome::Succeeded);
    world.disconnect(again);
    world.lines.clear();
    // It has done with it: it does not begin again.
    world.connect(Hello { connection: 3, ..rank(&world, 1) });
    world.expect(&["> C4 welcome"]);
    world.finish(primary, 1, Outcome::Succeeded);
}

#[test]
fn the_first_error_of_a_rank_is_the_cause() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.finish(replica, 1, failed());
    world.expect(&["> C1 ack D1/1 Superseded"]);
    let second = TrainerError { text: "connection closed by peer".into(), ..TrainerError::default() };
    world.finish(primary, 1, Outcome::Failed(second));
    assert_eq!(
        world.lines()[0],
        "D1 failed (ValueError: rank 1: bad lr) -> dead: failed once: ValueError: rank 1: bad lr; max_failures is 1"
    );
}

#[test]
fn the_death_of_the_launcher_has_the_error_of_the_rank_that_caused_it() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.finish(replica, 1, failed());
    world.disconnect(primary);
    world.exit(1, code(1));
    let seen = world.lines().join("\n");
    assert!(seen.contains("D1 failed (ValueError: rank 1: bad lr)"), "{seen}");
}

#[test]
fn a_rank_that_is_gone_without_a_word_is_named() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.disconnect(replica);
    let second = TrainerError { text: "connection closed by peer".into(), ..TrainerError::default() };
    world.finish(primary, 1, Outcome::Failed(second));
    let seen = world.lines().join("\n");
    assert!(seen.contains("rank 1 ended without a word; then: connection closed by peer"), "{seen}");
}

#[test]
fn ranks_that_hang_after_a_failure_are_ended() {
    let (mut world, _, replica) = at_work(|_| {});
    world.finish(replica, 1, failed());
    world.lines.clear();
    world.pass(seconds(30));
    world.expect(&["> C1 drain", "> C2 drain", "> T1 Terminate"]);
    world.exit(1, code(1));
    let seen = world.lines().join("\n");
    assert!(seen.contains("D1 failed (ValueError: rank 1: bad lr)"), "{seen}");
}

#[test]
fn a_group_that_succeeds_all_the_same_has_succeeded() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.finish(replica, 1, failed());
    world.finish(primary, 1, Outcome::Succeeded);
    assert_eq!(world.lines()[1], "D1 succeeded -> succeeded");
    world.pass(seconds(29));
    assert!(!world.lines().iter().any(|line| line.contains("Terminate")));
}

#[test]
fn a_group_that_is_started_anew_goes_on_with_the_same_attempt() {
    let (mut world, primary, replica) = at_work(|_| {});
    world.checkpoint(primary, 1, 1);
    world.finish(replica, 1, restarting());
    world.finish(primary, 1, restarting());
    world.bye(primary);
    world.lines.clear();
    let (first, second) = anew(&world, 1);
    world.disconnect(primary);
    world.disconnect(replica);
    // A replica that is back before its primary does not get what the old one was given.
    let replica = world.connect(second);
    world.expect(&["> C3 welcome"]);
    let primary = world.connect(first);
    world.expect(&[
        "bound T1",
        "T1 Responsive",
        "> C4 welcome",
        "> C4 deliver D1 from epoch-1.pt",
        "> C3 deliver D1 from epoch-1.pt",
    ]);
    world.start(primary, 1);
    world.start(replica, 1);
    world.expect(&[]);
    // It counts its checkpoints from 1 again, and they count.
    world.checkpoint(primary, 1, 1);
    world.expect(&["checkpoint D1/1", "> C4 ack D1/1 Stored"]);
    world.finish(primary, 1, Outcome::Succeeded);
    assert_eq!(world.lines()[0], "D1 succeeded -> succeeded");
    assert_eq!(world.scheduler.state().task(TaskNo(1)).unwrap().failures, 0);
}

#[test]
fn only_a_later_restart_takes_the_place_of_a_primary() {
    let (mut world, primary, _) = at_work(|_| {});
    let (first, second) = anew(&world, 1);
    world.connect(Hello { restart: 0, ..first.clone() });
    world.expect(&["> C3 refuse token_in_use"]);
    world.connect(first);
    world.lines.clear();
    world.finish(primary, 1, Outcome::Succeeded);
    world.connect(Hello { restart: 0, ..second });
    world.expect(&["> C5 refuse rank_in_use"]);
}

#[test]
fn ranks_that_were_to_be_started_anew_and_are_not_have_failed() {
    let (mut world, primary, _) = at_work(|_| {});
    world.finish(primary, 1, restarting());
    world.expect(&["> C2 ack D1/1 Superseded"]);
    world.disconnect(primary);
    world.lines.clear();
    // start_timeout and lost_timeout
    world.pass(seconds(119));
    world.expect(&[]);
    world.pass(seconds(1));
    assert!(world.lines().contains(&"> T1 Terminate".to_owned()));
    world.exit(1, sigkill());
    assert!(world.lines()[0].starts_with("D1 failed (ValueError"));
}

#[test]
fn a_replica_that_cannot_read_the_task_ends_the_group_uncharged() {
    let (mut world, _, replica) = at_work(|_| {});
    world.finish(replica, 1, returned());
    world.expect(&["> C1 ack D1/1 Superseded", "> T1 Kill"]);
    world.exit(1, sigkill());
    let seen = world.lines().join("\n");
    assert!(seen.contains("D1 returned (fell_with_another) -> queued"), "{seen}");
}

#[test]
fn a_replica_at_work_on_what_the_primary_gave_back_goes_with_it() {
    let (mut world, primary, replica) = group(|_| {}, &["a"]);
    world.start(replica, 1);
    world.lines.clear();
    world.finish(primary, 1, returned());
    world.expect(&["D1 returned (descriptor_missing) -> queued, later", "> T1 Kill", "> C2 ack D1/1 Stored"]);
}

#[test]
fn a_task_that_no_replica_has_begun_is_taken_back_from_them() {
    let (mut world, primary, _) = group(|_| {}, &["a"]);
    world.lines.clear();
    world.finish(primary, 1, returned());
    world.expect(&[
        "D1 returned (descriptor_missing) -> queued, later",
        "> C1 stop D1: superseded, 0ns left",
        "> C2 ack D1/1 Stored",
    ]);
}

#[test]
fn refusals_of_replicas_have_names() {
    let (mut world, _, replica) = at_work(|_| {});
    let good = rank(&world, 1);
    world.connect(Hello { token: None, ..good.clone() });
    world.connect(Hello { token: Some(Token([9; 16])), ..good.clone() });
    world.connect(Hello { rank: 0, ..good.clone() });
    world.connect(Hello { rank: 3, ..good.clone() });
    world.connect(Hello { rank: 2000, world_size: 5000, ..good.clone() });
    world.connect(good.clone());
    world.connect(Hello { instance: Instance(7), ..good.clone() });
    world.expect(&[
        "> C3 refuse replica_without_token",
        "> C4 refuse bad_token",
        "> C5 refuse bad_rank",
        "> C6 refuse bad_rank",
        "> C7 refuse bad_rank",
        "> C8 refuse stale_connection",
        "> C9 refuse rank_in_use",
    ]);
    world.disconnect(replica);
    world.connect(Hello { instance: Instance(7), ..good });
    world.expect(&["> C10 welcome", "> C10 deliver D1"]);
}

#[test]
fn the_end_of_the_trainer_is_that_of_its_replicas() {
    let (mut world, primary, _) = at_work(|_| {});
    world.finish(primary, 1, Outcome::Succeeded);
    world.expect(&[
        "D1 succeeded -> succeeded",
        "> C2 ack D1/1 Stored",
        "> C2 bye job_done",
        "> C1 bye job_done",
    ]);
    world.exit(1, code(0));
    assert!(world.lines().contains(&"> C1 close".to_owned()));
}

#[test]
fn after_a_restart_of_the_orchestrator_all_ranks_go_on() {
    let (mut world, _, _) = at_work(|_| {});
    let records = std::mem::take(&mut world.records);
    let mut again = Scheduler::new(7);
    records.iter().for_each(|record| again.replay(record));
    world.scheduler = again;
    let adoption = Adoption { payloads: [(TaskNo(1), task("a"))].into(), ..Adoption::default() };
    let decision = world.scheduler.adopt(world.now(), adoption);
    world.decided(decision);
    world.lines.clear();
    let listed = vec![in_hand(1, InHandState::Running)];
    world.connect(Hello { connection: 2, in_hand: listed.clone(), ..rank(&world, 1) });
    world.expect(&["> C3 welcome keep D1"]);
    let known = world.hello(TrainerNo(1));
    world.connect(Hello { connection: 2, world_size: 2, in_hand: listed, ..known });
    world.expect(&["T1 Responsive", "> C4 welcome keep D1"]);
    world.stop(None, StopReason::Cancelled, false);
    assert_eq!(
        world.lines()[1..3],
        ["> C4 stop D1: cancelled, 30s left", "> C3 stop D1: cancelled, 30s left"]
    );
}
