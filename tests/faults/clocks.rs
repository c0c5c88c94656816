//! A wall clock that is set by hours and years while jobs run, between two starts, and between two boots. Only in
//! a machine of our own may a test do that. What counts is what nobody can set, so nothing comes too early or too late.

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use trainwire::record::{Ending, Next, Record};
use trainwire::status::{TaskCondition, Wait};
use trainwire::{Config, Job, JobHandle, Orchestrator, Retention, StopReason, TaskEnd, TrainingTask};
use trainwire_tests::{Watch, within};

use crate::power::guest;
use crate::power::machine::{Data, Machine};
use crate::random::Random;
use crate::trainer;

#[test]
fn a_wall_clock_that_jumps_brings_no_deadline_about_and_holds_none_up() {
    let Some(mut machine) = Machine::find(Data::Ordered) else { return };
    for run in ["clocks::while_the_clock_jumps", "clocks::after_a_boot_in_another_year"] {
        let mut boot = machine.boot(run, &[]);
        while boot.line() != "well" {}
        boot.cut();
    }
}

#[tokio::test]
#[ignore = "run in the machine"]
async fn while_the_clock_jumps() {
    let Some(folder) = guest::folder() else { return };
    let orchestrator = start(&folder, Some(HOUR)).await;
    // Nothing of this is over within a test, unless somebody believes the clock.
    let mut holds =
        Job::new("holds").expect("an id").attach(true).max_losses(1).task(TrainingTask::new("stop", "m"));
    holds.spec.recv_timeout = HOUR;
    holds.spec.lost_timeout = HOUR;
    holds.spec.stall_timeout = Some(HOUR);
    holds.spec.stop_grace = HOUR;
    let holds = orchestrator.submit(holds).await.expect("a job");
    let _trainer =
        Ended(trainer::command(&folder.join("ai-task-sock-holds"), "holds").spawn().expect("a process"));
    let mut held = Watch::new(&holds);
    held.record(|record| matches!(record, Record::Started { .. }).then_some(())).await;
    let over = orchestrator.submit(failing("over", 0, Duration::ZERO)).await.expect("a job");
    within(over.outcome()).await.expect("an outcome");
    let waits = orchestrator.submit(failing("waits", 1, HOUR)).await.expect("a job");
    Watch::new(&waits).record(wait_of).await;

    let jumping = Jumping::start();
    let began = Instant::now();
    let mut tries = Watch::new(&orchestrator.submit(failing("tries", 1, SHORT)).await.expect("a job"));
    let outcome = tries.outcome().await;
    assert!(matches!(outcome.tasks[0].state, TaskEnd::Dead { .. }), "{outcome:#?}");
    let waited: Duration = tries.records().filter_map(wait_of).sum();
    assert!(waited >= SHORT && began.elapsed() >= waited, "{waited:?} of waits in {:?}", began.elapsed());
    drop(jumping);

    assert_eq!(orchestrator.jobs().await.expect("jobs").len(), 4, "a job was forgotten");
    holds.stop(StopReason::Cancelled).await.expect("a stop");
    let outcome = held.outcome().await;
    assert_eq!(outcome.tasks[0].attempts, 1, "{outcome:#?}");
    assert!(matches!(held.endings()[..], [Ending::Stopped { .. }]), "{:#?}", held.seen);
    drop((over, holds, held, tries));
    let before = left_of(&waits).await;
    drop(waits);
    orchestrator.shutdown().await;

    // The same boot: the wait goes on.
    for by in [3 * DAY_SECONDS, -7 * DAY_SECONDS] {
        set_clock(by);
        let orchestrator = start(&folder, None).await;
        let left = left_of(&waits_of(&orchestrator).await).await;
        assert!(left <= before && left > before / 2, "{left:?} of {before:?} after {by} s");
        orchestrator.shutdown().await;
    }
    guest::tell("well");
}

#[tokio::test]
#[ignore = "run in the machine"]
async fn after_a_boot_in_another_year() {
    let Some(folder) = guest::folder() else { return };
    // As with an empty battery: before everything that is in the journal.
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(DAY_SECONDS, 0)).expect("a clock");
    let orchestrator = start(&folder, Some(HOUR)).await;
    assert_eq!(orchestrator.jobs().await.expect("jobs").len(), 4, "a job was forgotten");
    let waits = waits_of(&orchestrator).await;
    assert!(left_of(&waits).await <= HOUR, "longer than decided");
    waits.stop(StopReason::Cancelled).await.expect("a stop");
    assert_eq!(within(waits.outcome()).await.expect("an outcome").tasks.len(), 1);
    let later = orchestrator.submit(failing("later", 0, Duration::ZERO)).await.expect("a job");
    assert!(within(later.outcome()).await.expect("an outcome").succeeded());
    drop((waits, later));
    orchestrator.shutdown().await;
    guest::tell("well");
}

async fn start(folder: &Path, forget_after: Option<Duration>) -> Orchestrator {
    let mut retention = Retention::default();
    retention.age = forget_after;
    let state_dir = Some(folder.join("state"));
    let config = Config { state_dir, socket_dir: folder.to_owned(), retention, ..Config::default() };
    Orchestrator::start(config).await.expect("an orchestrator")
}

/// A job of one script that ends with this code, three times at most.
fn failing(id: &str, code: u8, backoff: Duration) -> Job {
    let script = format!("exit {code}");
    let mut job =
        Job::new(id).expect("an id").command(["/bin/sh", "-c", &script]).script(true).max_failures(3);
    (job.spec.backoff_min, job.spec.backoff_max) = (backoff, backoff);
    job.task(TrainingTask::new("t", "m"))
}

fn wait_of(record: &Record) -> Option<Duration> {
    match record {
        Record::Ended { next: Next::Queued { after }, .. } => Some(*after),
        _ => None,
    }
}

async fn waits_of(orchestrator: &Orchestrator) -> JobHandle {
    orchestrator.job(&"waits".parse().expect("an id")).await.expect("jobs").expect("the job")
}

/// Of the wait of its only task.
async fn left_of(job: &JobHandle) -> Duration {
    match job.task("t").await.expect("a task").condition {
        TaskCondition::Waiting(Wait::Backoff { left }) => left,
        other => panic!("it does not wait any more: {other:?}"),
    }
}

/// Sets the clock all the time, by hours and by years.
struct Jumping(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Jumping {
    fn start() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut random = Random::new(1);
            while !asked.load(Ordering::Relaxed) {
                let most = if random.chance(50) { DAY_SECONDS } else { 1_000 * DAY_SECONDS };
                let by = i64::try_from(random.below(most.cast_unsigned())).expect("small");
                set_clock(if random.chance(50) { by } else { -by });
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self(end, Some(thread))
    }
}

impl Drop for Jumping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let ended = self.1.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the clock cannot be set");
    }
}

/// By so many seconds.
fn set_clock(by: i64) {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("a clock");
    let then = TimeSpec::new(now.tv_sec().saturating_add(by).max(DAY_SECONDS), now.tv_nsec());
    clock_settime(ClockId::CLOCK_REALTIME, then).expect("a clock");
}

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(400);
const DAY_SECONDS: i64 = 86_400;
