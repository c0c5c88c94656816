//! What a restart makes of trainers, tasks and stops that were under way, and what is forgotten.

use super::*;

impl World {
    /// Another orchestrator takes over; the processes of `gone` are not found.
    fn restart(&mut self, gone: &[u64], change: impl FnOnce(&mut Adoption)) {
        let before = std::mem::replace(&mut self.scheduler, Scheduler::new(7));
        std::mem::swap(&mut self.scheduler.state, &mut self.replica.state);
        let records = std::mem::take(&mut self.records);
        self.replica = Scheduler::new(0);
        records.iter().for_each(|record| self.replica.replay(record));
        self.records = records;
        assert!(*before.state() == *self.scheduler.state());
        let mut adoption = Adoption {
            payloads: payloads_of(&before),
            lost: before.lost,
            gone: gone.iter().copied().map(TrainerNo).collect(),
            ..Adoption::default()
        };
        change(&mut adoption);
        let decision = self.scheduler.adopt(self.now(), adoption);
        self.decided(decision);
        for trainer in gone {
            let exit = Exit::Unknown;
            let trainer = TrainerNo(*trainer);
            self.input(Input::Exited { trainer, exit, log_tail: "last words".into(), failure: None });
        }
    }
}

#[test]
fn a_trainer_that_comes_back_goes_on_and_what_it_does_not_list_comes_back_too() {
    let (mut world, connection) = World::joined(spec(|spec| spec.window = 2), &["a", "b", "c"]);
    world.start(connection, 1);
    world.finish(connection, 1, Outcome::Succeeded);
    world.start(connection, 2);
    world.lines.clear();
    world.restart(&[], |_| ());
    world.expect(&["T1 Detached", "> bind"]);
    let mut hello = world.hello(TrainerNo(1));
    hello.in_hand = vec![in_hand(2, InHandState::Running)];
    world.connect(hello);
    assert!(matches!(world.state(2), TaskState::Running(_)));
    let lines = world.lines();
    assert!(lines.contains(&"T1 Responsive".to_owned()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("welcome keep D2")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("not_in_hand")), "{lines:#?}");
}

#[test]
fn one_that_does_not_come_back_is_lost() {
    let (mut world, _) = World::running(spec(|_| ()), &["a"]);
    world.restart(&[], |_| ());
    world.lines.clear();
    world.pass(seconds(59));
    world.expect(&[]);
    world.pass(seconds(1));
    let lines = world.lines();
    assert!(lines.contains(&"> T1 Kill".to_owned()), "{lines:#?}");
    world.exit(1, sigkill());
    assert_eq!(world.state(1), TaskState::Queued);
}

#[test]
fn one_that_is_gone_is_no_failed_start_and_no_word_of_it_counts() {
    for started in [false, true] {
        let mut world = World::new(spec(|_| ()), &["a"]);
        if started {
            world.spawn();
        }
        let hello = world.hello(TrainerNo(1));
        world.restart(&[1], |_| ());
        let job = world.scheduler.state().job(JOB).unwrap();
        assert!(job.start_failures == 0 && job.trainers.len() == 1, "the next one is started at once");
        world.lines.clear();
        world.connect(hello);
        world.expect(&["> C1 refuse bad_token"]);
    }
}

#[test]
fn a_spooled_result_counts_before_the_death_of_its_trainer_and_once() {
    let (mut world, _) = World::running(spec(|_| ()), &["a", "b"]);
    world.restart(&[], |_| ());
    let spooled = |delivery| {
        let at = CheckpointRef { path: "model".into(), step: None, epoch: None };
        let delivery_no = Delivery(delivery);
        let checkpoint = Checkpoint { delivery: delivery_no, seq: 1, at, metrics: Vec::new() };
        let outcome = Outcome::Succeeded;
        let result = TaskResult { delivery: delivery_no, seq: 2, outcome, metrics: Vec::new() };
        let spooled = vec![Spooled::Checkpoint(checkpoint), Spooled::Result(result)];
        Input::Spooled { job: JOB, delivery, spooled }
    };
    world.lines.clear();
    world.input(spooled(1));
    let lines = world.lines();
    assert!(lines.contains(&"> unspool D1".to_owned()), "{lines:#?}");
    assert_eq!(world.state(1), TaskState::Succeeded);
    assert!(world.scheduler.state().task(TaskNo(1)).unwrap().checkpoint.is_some());
    world.input(spooled(1));
    world.expect(&["superseded D1/2", "> unspool D1"]);
    world.input(spooled(9));
    world.expect(&["> unspool D9"]);
    let mut of_another = spooled(1);
    if let Input::Spooled { job, .. } = &mut of_another {
        *job = JobNo(2);
    }
    world.input(of_another);
    world.expect(&["> unspool D1"]);
}

#[test]
fn waits_go_on_with_what_is_left_and_lost_bytes_end_what_waits() {
    let mut world = World::new(spec(|spec| spec.trainers = 1), &["a", "b"]);
    world.restart(&[1], |adoption| {
        adoption.waits.insert(TaskNo(1), seconds(5));
        adoption.payloads.remove(&TaskNo(2));
        adoption.lost.insert(TaskNo(2), "payload_lost: gone".into());
    });
    assert!(world.lines().contains(&"b closed -> dead: payload_lost: gone".to_owned()));
    assert_eq!(world.state(2), TaskState::Dead);
    assert_eq!(world.state(1), TaskState::Queued);
    assert!(world.spawns.len() == 1, "{:?}", world.spawns);
    world.pass(seconds(5));
    assert_eq!(world.spawns.len(), 2);
}

#[test]
fn lost_bytes_do_not_disturb_a_task_that_runs_but_it_is_not_tried_again() {
    let spec_ = || spec(|spec| spec.max_failures = 5);
    let (mut world, _) = World::running(spec_(), &["a"]);
    world.restart(&[], |adoption| {
        adoption.payloads.clear();
        adoption.lost.insert(TaskNo(1), "payload_lost: gone".into());
    });
    let mut hello = world.hello(TrainerNo(1));
    hello.in_hand = vec![in_hand(1, InHandState::Running)];
    let connection = world.connect(hello);
    assert!(matches!(world.state(1), TaskState::Running(_)));
    world.finish(connection, 1, failed());
    assert_eq!(world.state(1), TaskState::Dead);
}

#[test]
fn a_stop_goes_on_from_its_rung() {
    let (mut world, _) = World::running(spec(|_| ()), &["a"]);
    world.stop(None, StopReason::Interrupted, false);
    world.restart(&[], |_| ());
    let mut hello = world.hello(TrainerNo(1));
    hello.in_hand = vec![in_hand(1, InHandState::Running)];
    world.lines.clear();
    world.connect(hello);
    let lines = world.lines();
    assert!(lines.iter().any(|line| line.contains("stop D1: interrupted")), "{lines:#?}");
    world.pass(seconds(30));
    assert!(world.lines().contains(&"> T1 Terminate".to_owned()));
    world.restart(&[], |_| ());
    assert!(world.lines().contains(&"> T1 Terminate".to_owned()));
    world.pass(seconds(5));
    assert!(world.lines().contains(&"> T1 Kill".to_owned()));
    world.pass(seconds(30));
    assert!(matches!(world.state(1), TaskState::Stuck { .. }));
    world.restart(&[], |_| ());
    assert!(matches!(world.state(1), TaskState::Stuck { .. }), "what is stuck stays stuck");
    world.exit(1, sigkill());
    assert_eq!(world.state(1), TaskState::Stopped);
}

#[test]
fn a_script_goes_on_without_a_word() {
    let mut world = World::new(spec(|spec| spec.script = true), &["a"]);
    world.spawn();
    world.restart(&[], |_| ());
    world.pass(seconds(100_000));
    assert!(matches!(world.state(1), TaskState::Running(_)));
    world.exit(1, code(0));
    assert_eq!(world.state(1), TaskState::Succeeded);
    assert!(world.scheduler.state().job(JOB).unwrap().ended);
}

#[test]
fn a_job_that_had_only_to_be_ended_is_ended() {
    let (mut world, connection) = World::running(spec(|_| ()), &["a"]);
    world.finish(connection, 1, Outcome::Succeeded);
    world.restart(&[1], |_| ());
    let lines = world.lines();
    let place = |line: &str| lines.iter().rposition(|seen| seen == line);
    assert!(place("> bind") < place("> unbind"), "its name is taken before it is removed: {lines:#?}");
    assert!(world.scheduler.state().job(JOB).unwrap().ended);
}

#[test]
fn what_is_forgotten_is_gone_and_its_numbers_are_not_given_again() {
    let (mut world, connection) = World::running(spec(|_| ()), &["a", "b"]);
    world.input(Input::Forget { job: JOB });
    assert!(world.scheduler.state().job(JOB).is_some(), "it has not ended");
    world.finish(connection, 1, Outcome::Succeeded);
    world.start(connection, 2);
    world.finish(connection, 2, Outcome::Succeeded);
    world.exit(1, code(0));
    assert!(world.scheduler.state().job(JOB).unwrap().ended);
    let of_the_first = world.records.len();
    world.submit(spec(|spec| spec.job_id = "other".into()), &["c"]);
    world.lines.clear();
    world.input(Input::Forget { job: JOB });
    world.expect(&["job 1 forgotten"]);
    let state = world.scheduler.state();
    assert!(state.job(JOB).is_none() && state.task(TaskNo(1)).is_none() && state.delivery(1).is_none());
    assert!(state.trainer(TrainerNo(1)).is_none() && state.job_no("job").is_none());
    world.input(Input::Forget { job: JOB });
    world.expect(&[]);
    // Its id is free, its numbers are not.
    world.submit(spec(|_| ()), &["a"]);
    assert_eq!(world.scheduler.state().job_no("job"), Some(JobNo(3)));
    // Its records need not be there any more.
    let mut again = Scheduler::new(0);
    world.records[of_the_first..].iter().for_each(|record| again.replay(record));
    assert!(*again.state() == *world.scheduler.state());
}
