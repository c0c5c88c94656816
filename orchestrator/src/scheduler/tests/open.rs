//! Jobs that take tasks over time.

use super::*;

fn open_spec() -> JobSpec {
    spec(|spec| spec.open = true)
}

#[test]
fn a_job_may_begin_without_tasks_and_starts_its_trainer_with_the_first() {
    let mut world = World::empty();
    world.submit(open_spec(), &[]);
    world.expect(&["submitted job", "> bind", "> answer"]);
    world.add(&["a"]);
    world.expect(&["submitted a", "spawning T1", "> added 1, existing 0", "> spawn T1"]);
    world.join();
    let lines = world.lines();
    assert!(lines.contains(&"> C1 deliver D1".into()), "{lines:?}");
}

#[test]
fn an_idle_trainer_stays_and_gets_the_next_task_at_once() {
    let (mut world, c) = World::running(open_spec(), &["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.expect(&["D1 succeeded -> succeeded", "> C1 ack D1/1 Stored"]);
    world.pass(seconds(100_000));
    world.expect(&[]);
    world.add(&["b"]);
    world.expect(&[
        "submitted b",
        "delivered D2: b to T1, attempt 1",
        "> added 1, existing 0",
        "> C1 deliver D2",
    ]);
    world.close();
    world.expect(&["job closed", "> answer"]);
    world.finish(c, 2, Outcome::Succeeded);
    world.expect(&["D2 succeeded -> succeeded", "> C1 ack D2/1 Stored", "> C1 bye job_done"]);
    world.exit(1, code(0));
    world.expect(&[
        "> C1 drain",
        "T1 ended: exit code 0",
        "job ended",
        "> C1 close",
        "> T1 forget",
        "> unbind",
    ]);
}

#[test]
fn closing_an_idle_job_ends_it() {
    let (mut world, c) = World::running(open_spec(), &["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.lines.clear();
    world.close();
    world.close();
    world.expect(&["job closed", "> C1 bye job_done", "> answer", "> answer"]);
    let mut world = World::new(open_spec(), &[]);
    world.close();
    world.expect(&["job closed", "job ended", "> unbind", "> answer"]);
}

#[test]
fn the_same_task_again_is_the_same_task() {
    let (mut world, c) = World::running(open_spec(), &["a"]);
    world.add(&["b", "a"]);
    world.add(&["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.lines.clear();
    world.add(&["a", "b"]);
    world.expect(&["> added 0, existing 2"]);
    world.submit(open_spec(), &["a"]);
    world.submit(open_spec(), &[]);
    world.expect(&["> existing", "> existing"]);
    world.submit(open_spec(), &["c"]);
    world.expect(&["> rejected job_conflict"]);
    world.close();
    world.lines.clear();
    world.add(&["a"]);
    world.expect(&["> added 0, existing 1"]);
}

#[test]
fn other_content_under_a_known_id_is_a_conflict_and_nothing_is_taken() {
    let mut world = World::new(open_spec(), &["a"]);
    let other = TaskBuilder::new("a", "model").max_epochs(11).build().unwrap();
    world.input(Input::Add { ticket: TICKET, job: JOB, tasks: vec![task("b"), other] });
    world.expect(&["> rejected task_conflict"]);
    let other = TaskBuilder::new("a", "model").hyperparams([0]).build().unwrap();
    world.input(Input::Add { ticket: TICKET, job: JOB, tasks: vec![other] });
    world.expect(&["> rejected task_conflict"]);
    world.add(&["c", "c"]);
    world.expect(&["> rejected duplicate_task"]);
}

#[test]
fn a_job_that_takes_no_more_says_so() {
    let mut world = World::new(spec(|_| {}), &["a"]);
    world.add(&["b"]);
    world.close();
    world.expect(&["> rejected job_not_open", "> answer"]);
    let mut world = World::new(open_spec(), &[]);
    world.close();
    world.lines.clear();
    world.add(&["a"]);
    world.expect(&["> rejected job_closed"]);
    world.input(Input::Add { ticket: TICKET, job: JobNo(9), tasks: Vec::new() });
    world.expect(&["> rejected no_such_job"]);
}

#[test]
fn a_stop_of_the_job_closes_it_and_one_of_a_task_does_not() {
    let (mut world, c) = World::running(open_spec(), &["a", "b"]);
    world.stop(Some(2), StopReason::Cancelled, false);
    world.expect(&["b closed -> cancelled", "> answer"]);
    world.stop(None, StopReason::Cancelled, false);
    world.expect(&[
        "job closed",
        "stopping D1: Cancelled, Asked",
        "> C1 stop D1: cancelled, 30s left",
        "> answer",
    ]);
    world.finish(c, 1, Outcome::Stopped);
    world.add(&["c"]);
    assert!(world.lines().ends_with(&["> C1 bye job_done".into(), "> rejected job_closed".into()]));
}

#[test]
fn a_job_whose_trainers_do_not_start_fails_and_is_closed() {
    let mut world = World::new(open_spec(), &["a"]);
    for trainer in 1..=3 {
        world.spawn();
        world.exit(trainer, code(1));
        world.pass(seconds(10));
    }
    let lines = world.lines();
    let closed = lines.iter().position(|line| line == "job closed").unwrap();
    assert!(lines[closed + 1].starts_with("a closed -> dead: 3 trainers in a row"), "{lines:?}");
    assert!(world.scheduler.state().job(JOB).unwrap().ended);
}

#[test]
fn trainers_started_by_hand_may_wait_for_tasks() {
    let mut world = World::new(JobSpec { command: Vec::new(), ..open_spec() }, &[]);
    let c = world.connect(hello(None, 5));
    world.add(&["a"]);
    world.finish(c, 1, Outcome::Succeeded);
    world.close();
    let lines = world.lines();
    assert!(lines.contains(&"> C1 deliver D1".into()), "{lines:?}");
    assert!(lines.contains(&"> C1 bye job_done".into()), "{lines:?}");
}
