//! The orchestrator, killed at any of its system calls, and started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use trainwire::{Config, Orchestrator};

use crate::reader::Promise;
use crate::trainer::Trainers;
use crate::{Extent, journal, life};
use trainwire_tests::Strace;

#[test]
fn wherever_it_is_killed_the_next_one_keeps_every_promise() {
    let Some(strace) = Strace::find() else { return };
    let calls = calls(strace);
    let points: Vec<_> = calls.iter().flat_map(|(call, most)| (1..=*most).map(move |n| (call, n))).collect();
    // Spread over all calls alike.
    let wanted = if Extent::asked() == Extent::Full { POINTS } else { 40 };
    let step = points.len().div_ceil(wanted).max(1);
    let (next, killed) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while let Some((call, n)) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
            .ok()
            .and_then(|place| points.get(place * step))
        {
            let mut lives = Lives::new();
            let first = lives.live(|command| strace.inject(command, call, &format!("signal=KILL:when={n}")));
            killed.fetch_add(u64::from(!first.status.success()), Ordering::Relaxed);
            lives.end_well(&format!("killed at {call} {n}"));
        }
    };
    std::thread::scope(|scope| {
        (0..4).map(|_| scope.spawn(work)).for_each(drop);
    });
    let killed = killed.into_inner();
    eprintln!("{} points of {}, {killed} of them deadly", points.len() / step, points.len());
    assert!(killed * 3 > (points.len() / step) as u64, "most points are not reached");
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
        let (state, mut promises) = (lives.state(), lives.trainers.end().promises);
        let locked = |output: &&Output| String::from_utf8_lossy(&output.stdout).contains("state_dir_locked");
        // One that comes when the first is through finds everything over.
        let well = outputs.iter().filter(|output| output.status.success()).count();
        assert_eq!(well + outputs.iter().filter(locked).count(), outputs.len(), "{outputs:#?}");
        assert!(well >= 1, "{outputs:#?}");
        promises.extend(outputs.iter().flat_map(life::promises));
        journal::check(&state, &promises, true);
    }
}

/// Which calls a life makes, and how many of each.
pub(crate) fn calls(strace: Strace) -> std::collections::BTreeMap<String, u32> {
    let lives = Lives::new();
    let calls = strace.calls(&life::command(lives.folder.path()), &lives.folder.path().join("log"));
    lives.trainers.end();
    calls
}

/// Lives of orchestrators in one folder, and trainers that outlive them.
pub(crate) struct Lives {
    folder: TempDir,
    trainers: Trainers,
    promises: Vec<Promise>,
}

impl Lives {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("tw-").tempdir().expect("a folder");
        let socket = folder.path().join(format!("ai-task-sock-{}", life::ATTACHED));
        let trainers = Trainers::start(socket, life::ATTACHED, None);
        Self { folder, trainers, promises: Vec::new() }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// One life, to whatever end.
    pub(crate) fn live(&mut self, wrap: impl FnOnce(&Command) -> Command) -> Output {
        let command = wrap(&life::command(self.folder.path()));
        let output = patient(&command).output().expect("a process");
        assert_ne!(output.status.code(), Some(TIMED_OUT), "it hangs: {command:?} {output:?}");
        self.promises.extend(life::promises(&output));
        journal::check(&self.state(), &self.promises, false);
        output
    }

    /// The next life is undisturbed, and after it everything is over and nothing left.
    pub(crate) fn end_well(mut self, after: &str) {
        let output = self.live(patient);
        assert!(output.status.success(), "{after}: {output:?}");
        let state = self.state();
        self.promises.extend(self.trainers.end().promises);
        journal::check(&state, &self.promises, true);
        assert_eq!(sockets(self.folder.path()), Vec::<String>::new(), "{after}");
        // What was still being removed at its end, the next start removes.
        start_and_end(&state);
        assert_eq!(payloads(&state), (Vec::new(), Vec::new()), "{after}: {:#?}", journal::records(&state));
    }
}

/// A guard against hanging.
fn patient(command: &Command) -> Command {
    let mut patient = Command::new("timeout");
    patient.arg("120").arg(command.get_program()).args(command.get_args());
    patient.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    patient.stdin(Stdio::null()).stderr(Stdio::null());
    patient
}

/// Of jobs that are over, or half made.
fn sockets(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("ai-task-sock-")).collect()
}

fn start_and_end(state: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = Config { state_dir: Some(state.to_owned()), ..Config::default() };
        Orchestrator::start(config).await.expect("an orchestrator").shutdown().await;
    });
}

/// The files of tasks, and those that rows name.
fn payloads(state: &Path) -> (Vec<String>, Vec<String>) {
    let folder = state.join("jobs").join(life::ATTACHED).join("payloads");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    (files, journal::payload_files(state))
}

/// What `timeout` ends with.
const TIMED_OUT: i32 = 124;

/// Of `make faults`.
const POINTS: usize = 2_100;
