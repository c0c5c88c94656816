//! Another chance for what has ended.

use super::*;
use crate::scheduler::Input;

fn requeue(world: &mut World, task_id: &str, number: u64) {
    let tasks = vec![(TaskNo(number), task(task_id))];
    world.input(Input::Requeue { ticket: TICKET, job: JobNo(1), tasks });
}

#[test]
fn a_dead_task_of_a_job_that_has_ended_goes_on_with_new_budgets() {
    let (mut world, c) = World::running(spec(|_| {}), &["a"]);
    world.finish(c, 1, failed());
    world.exit(1, code(1));
    assert!(world.lines().contains(&"job ended".into()));
    requeue(&mut world, "a", 1);
    world.expect(&["a requeued", "> bind", "> answer", "spawning T2", "> spawn T2"]);
    let state = world.scheduler.state();
    let (job, task) = (state.job(JobNo(1)).unwrap(), state.task(TaskNo(1)).unwrap());
    assert!(!job.ended && job.unfinished == 1);
    assert_eq!((task.failures, task.starts), (0, 1), "budgets are new, attempts go on to be counted");
}

#[test]
fn what_goes_on_or_has_ended_well_is_left_alone() {
    let (mut world, c) = World::running(spec(|_| {}), &["a", "b"]);
    requeue(&mut world, "a", 1);
    world.expect(&["> answer"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.lines.clear();
    requeue(&mut world, "a", 1);
    world.expect(&["> answer"]);
}

#[test]
fn only_limits_can_be_changed() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    let change = |world: &mut World, spec: JobSpec| {
        world.input(Input::Change { ticket: TICKET, job: JobNo(1), spec: Box::new(spec) });
    };
    change(&mut world, spec(|spec| spec.max_failures = 7));
    world.expect(&["limits changed", "> answer"]);
    assert_eq!(world.scheduler.state().job(JobNo(1)).unwrap().spec.max_failures, 7);
    change(&mut world, spec(|spec| spec.command.push("--other".into())));
    world.expect(&["> rejected not_a_limit"]);
    change(&mut world, spec(|spec| (spec.max_failures, spec.trainers) = (7, 0)));
    world.expect(&["> rejected bad_spec"]);
    change(&mut world, spec(|spec| spec.max_failures = 7));
    world.expect(&["> answer"]);
}

#[test]
fn whoever_submits_the_job_again_means_the_one_whose_limits_were_changed() {
    let (mut world, _) = World::running(spec(|_| {}), &["a"]);
    let limits = Box::new(spec(|spec| spec.max_failures = 7));
    world.input(Input::Change { ticket: TICKET, job: JobNo(1), spec: limits });
    world.lines.clear();
    world.submit(spec(|_| {}), &["a"]);
    world.expect(&["> existing"]);
}
