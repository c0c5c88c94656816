//! The orchestrator, killed at any of its system calls and started again, and killed at any call of that start.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lives::Lives;
use crate::{Extent, journal, life};
use trainwire_tests::Strace;

#[test]
fn wherever_it_is_killed_the_next_one_keeps_every_promise() {
    let Some(strace) = Strace::find() else { return };
    let (first, mut again) = (Points::of(&calls(strace)), Points::of(&calls_again(strace)));
    // The more was done before, the less is done again: late ones would be missed.
    again.forget_late();
    let full = Extent::asked() == Extent::Full;
    let (wanted, every) = if full { (KILLS, first.steps.len()) } else { (40, 0) };
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= every && killed.load(Ordering::Relaxed) >= wanted {
                return;
            }
            assert!(number < every + wanted, "most points are not reached");
            let mut lives = Lives::new();
            let restarts = (0..RESTARTS).map(|restart| again.get(number * RESTARTS + restart, full));
            let points: Vec<_> = [first.get(number, full)].into_iter().chain(restarts).collect();
            for Point { call, nth } in &points {
                let ended =
                    lives.live(|command| strace.inject(command, call, &format!("signal=KILL:when={nth}")));
                let killed_now = was_killed(&ended);
                assert!(killed_now || ended.status.success(), "{points:?}: {ended:?}");
                killed.fetch_add(usize::from(killed_now), Ordering::Relaxed);
            }
            lives.end_well(&format!("{points:?}"));
        }
    };
    std::thread::scope(|scope| {
        (0..WORKERS).map(|_| scope.spawn(work)).for_each(drop);
    });
    eprintln!(
        "kills: {} of the orchestrator, in {} folders; {} steps that write or send, each of them in a first life, \
         {} other calls; as it starts again {} and {}",
        killed.into_inner(),
        next.into_inner() - WORKERS,
        first.steps.len(),
        first.others.len(),
        again.steps.len(),
        again.others.len()
    );
}

#[test]
fn of_two_that_start_at_once_exactly_one_has_the_state_folder() {
    for _ in 0..if Extent::asked() == Extent::Full { 50 } else { 3 } {
        let lives = Lives::new();
        let commands: Vec<_> = (0..4)
            .map(|_| {
                let mut command = life::command(lives.folder.path());
                command.stdout(Stdio::piped()).stderr(Stdio::null());
                command.spawn().expect("a process")
            })
            .collect();
        let outputs: Vec<_> =
            commands.into_iter().map(|child| child.wait_with_output().expect("a process")).collect();
        let state = lives.state();
        let (_folder, mut promises) = lives.end();
        let locked = |output: &&Output| String::from_utf8_lossy(&output.stdout).contains("state_dir_locked");
        // One that comes when the first is through finds everything over.
        let well = outputs.iter().filter(|output| output.status.success()).count();
        assert_eq!(well + outputs.iter().filter(locked).count(), outputs.len(), "{outputs:#?}");
        assert!(well >= 1, "{outputs:#?}");
        promises.extend(outputs.iter().flat_map(life::promises));
        journal::check(&state, &promises, true);
    }
}

/// Which calls a life makes, and how many of each a thread makes at most.
pub(crate) fn calls(strace: Strace) -> BTreeMap<String, u32> {
    counted(strace, &Lives::new())
}

/// The same of a life that goes on with what another was killed at.
fn calls_again(strace: Strace) -> BTreeMap<String, u32> {
    let mut lives = Lives::new();
    let first = lives.live(|command| strace.inject(command, "fsync", "signal=KILL:when=12"));
    assert!(was_killed(&first), "{first:?}");
    counted(strace, &lives)
}

fn counted(strace: Strace, lives: &Lives) -> BTreeMap<String, u32> {
    strace.calls(&life::command(lives.folder.path()), &lives.folder.path().join("log"))
}

/// `strace` and `timeout` end as what they run.
fn was_killed(output: &Output) -> bool {
    output.status.signal() == Some(9)
}

/// Where a life can be killed.
struct Points {
    /// At every step to the disk or to a trainer.
    steps: Vec<Point>,
    others: Vec<Point>,
}

/// The nth of these calls in whichever thread comes to it first.
#[derive(Clone, Debug)]
struct Point {
    call: String,
    nth: u32,
}

impl Points {
    fn of(calls: &BTreeMap<String, u32>) -> Self {
        let all =
            calls.iter().flat_map(|(call, most)| (1..=*most).map(|nth| Point { call: call.clone(), nth }));
        let (steps, others) = all.partition(|point| STEPS.contains(&point.call.as_str()));
        Self { steps, others }
    }

    fn forget_late(&mut self) {
        for points in [&mut self.steps, &mut self.others] {
            let last = |call: &str| points.iter().filter(|point| point.call == call).count().div_ceil(4);
            let kept: Vec<_> =
                points.iter().filter(|point| point.nth as usize <= last(&point.call)).cloned().collect();
            *points = kept;
        }
    }

    /// One after the other: where all are wanted the steps first, else some of all.
    fn get(&self, number: usize, all: bool) -> Point {
        let count = self.steps.len() + self.others.len();
        // A prime that is no divisor of so few: all come, in an order without a pattern.
        let number = if all && number < self.steps.len() { number } else { number * 7919 % count };
        self.steps.iter().chain(&self.others).nth(number).expect("within").clone()
    }
}

/// Calls that change the disk, and those that send.
const STEPS: [&str; 14] = [
    "fallocate",
    "fdatasync",
    "fsync",
    "ftruncate",
    "linkat",
    "mkdir",
    "pwrite64",
    "rename",
    "sendfile",
    "sendmsg",
    "unlink",
    "write",
    "writev",
    "sendto",
];

/// After the first life.
const RESTARTS: usize = 3;

/// In full.
const KILLS: usize = 2_000;

/// Much of a life is waiting.
const WORKERS: usize = 4;
