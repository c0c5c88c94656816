//! Jobs coming in and going; windows and slots.

use super::*;

#[test]
fn the_same_job_again_is_the_same_job() {
    let mut world = World::new(spec(|_| {}), &["a", "b"]);
    world.submit(spec(|_| {}), &["a", "b"]);
    world.expect(&["> existing"]);
    world.submit(spec(|_| {}), &["a"]);
    world.submit(spec(|_| {}), &["a", "c"]);
    world.submit(spec(|spec| spec.trainers = 2), &["a", "b"]);
    world.expect(&["> rejected job_conflict"; 3]);
    world.stop(None, StopReason::Cancelled, true);
    world.spawn();
    world.exit(1, sigkill());
    world.lines.clear();
    world.submit(spec(|_| {}), &["a", "b"]);
    world.submit(spec(|_| {}), &["b"]);
    world.expect(&["> existing", "> rejected job_conflict"]);
}

#[test]
fn what_cannot_be_a_job_is_rejected_without_a_record() {
    let mut world = World::empty();
    world.submit(spec(|_| {}), &[]);
    world.submit(spec(|_| {}), &["a", "a"]);
    world.submit(spec(|spec| spec.trainers = 0), &["a"]);
    world.expect(&["> rejected no_tasks", "> rejected duplicate_task", "> rejected bad_spec"]);
}

#[test]
fn a_socket_that_cannot_be_bound_fails_the_job() {
    let mut world = World::empty();
    let job_id = JobId::new("job").unwrap();
    let submit =
        Input::Submit { ticket: TICKET, spec: Box::new(spec(|_| {})), tasks: vec![task("a")], job_id };
    world.scheduler.handle(Now { monotonic: world.now, wall: std::time::UNIX_EPOCH }, submit);
    world.replica = Scheduler::new(0);
    let failed = Input::BindFailed { job: JOB, code: "name_taken", text: "it is a folder".into() };
    let decision = world.scheduler.handle(Now { monotonic: world.now, wall: std::time::UNIX_EPOCH }, failed);
    let lines: Vec<String> = decision.records.iter().map(|record| world.record_line(record)).collect();
    pretty_eq(
        &lines,
        &["a closed -> dead: the job's socket could not be made (name_taken): it is a folder", "job ended"],
    );
}

#[test]
fn nobody_comes_in_before_there_is_a_socket() {
    let mut world = World::new(spec(|spec| spec.command.clear()), &["a"]);
    world.scheduler.jobs.get_mut(&JOB).unwrap().bound = false;
    world.connect(hello(None, 5));
    world.expect(&["> C1 refuse job_over"]);
}

#[test]
fn no_more_trainers_than_slots_or_tasks() {
    let mut world = World::new(spec(|spec| spec.trainers = 2), &["a", "b", "c"]);
    assert_eq!(world.spawns.len(), 2);
    world.exit(1, code(1));
    world.pass(seconds(2));
    assert_eq!(world.spawns.len(), 3);
    assert_eq!(World::new(spec(|spec| spec.trainers = 8), &["a"]).spawns.len(), 1);
}

#[test]
fn trainers_start_when_there_are_tokens() {
    let mut scheduler = Scheduler::new(1);
    let now = Now { monotonic: epoch(), wall: std::time::UNIX_EPOCH };
    let job_id = JobId::new("job").unwrap();
    let submit =
        Input::Submit { ticket: TICKET, spec: Box::new(spec(|_| {})), tasks: vec![task("a")], job_id };
    scheduler.handle(now, submit);
    assert!(scheduler.handle(now, Input::Bound { job: JOB }).effects.is_empty());
    assert!(scheduler.tokens_wanted() > 0);
    let decision = scheduler.handle(now, Input::Tokens(vec![Token([1; 16])]));
    assert!(matches!(decision.effects[..], [Effect::Spawn { .. }]));
}

#[test]
fn the_window_grows_while_tasks_are_short_and_closes_after_a_long_one() {
    let names: Vec<String> = (1..=40).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut world, c) = World::joined(spec(|spec| spec.window = 4), &names);
    let held = |world: &World| world.scheduler.state().trainer(TrainerNo(1)).unwrap().in_hand.len();
    let mut seen = vec![held(&world)];
    for delivery in 1..=3 {
        world.finish(c, delivery, Outcome::Succeeded);
        seen.push(held(&world));
    }
    assert_eq!(seen, [1, 2, 4, 4]);
    world.pass(Duration::from_millis(100));
    for delivery in 4..=7 {
        world.finish(c, delivery, Outcome::Succeeded);
        seen.push(held(&world));
    }
    assert_eq!(seen[4..], [3, 2, 1, 1]);
}

#[test]
fn a_window_is_bounded_in_bytes() {
    let mut world = World::empty();
    let large = |id: &str| TaskBuilder::new(id, "model").hyperparams(vec![0; 5 << 20]).build().unwrap();
    let tasks = ["a", "b", "c"].map(large).into();
    let job_id = JobId::new("job").unwrap();
    let spec = Box::new(spec(|spec| spec.window = 4));
    world.input(Input::Submit { ticket: TICKET, spec, tasks, job_id });
    let c = world.join();
    world.finish(c, 1, Outcome::Succeeded);
    assert_eq!(world.scheduler.state().trainer(TrainerNo(1)).unwrap().in_hand.len(), 1);
}

#[test]
fn towards_the_end_trainers_share_what_is_left() {
    let names = ["a", "b", "c", "d", "e"];
    let (mut world, first) = World::joined(spec(|spec| (spec.window, spec.trainers) = (64, 2)), &names);
    let second = world.join();
    world.finish(first, 1, Outcome::Succeeded);
    let held = |trainer| world.scheduler.state().trainer(TrainerNo(trainer)).unwrap().in_hand.len();
    assert_eq!((held(1), held(2)), (2, 1));
    world.finish(second, 2, Outcome::Succeeded);
    let held = |trainer| world.scheduler.state().trainer(TrainerNo(trainer)).unwrap().in_hand.len();
    assert_eq!((held(1), held(2)), (2, 1));
}

#[test]
fn two_jobs_do_not_notice_each_other() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.submit(spec(|spec| spec.job_id = "other".into()), &["a"]);
    assert!(world.lines().contains(&"> spawn T2".into()));
    world.finish(c, 1, Outcome::Succeeded);
    world.exit(1, code(0));
    assert_eq!(world.lines().last().unwrap(), "> unbind");
    assert!(!world.scheduler.state().job(JobNo(2)).unwrap().ended);
}
