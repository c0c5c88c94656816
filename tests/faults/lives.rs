//! Lives of orchestrators, one after the other, and what must hold after each.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use trainwire::record::Next;
use trainwire::{Config, Orchestrator, Record};

use crate::reader::Promise;
use crate::trainer::Trainers;
use crate::{journal, life};

/// Lives of orchestrators in one folder, and trainers that outlive them.
pub(crate) struct Lives {
    pub(crate) folder: TempDir,
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

    /// Ends the trainers, and gives the state folder and all that clients and trainers were told.
    pub(crate) fn end(self) -> (TempDir, Vec<Promise>) {
        let Self { folder, trainers, mut promises } = self;
        promises.extend(trainers.end().promises);
        (folder, promises)
    }

    /// The next life is undisturbed, and after it everything is over and nothing left.
    pub(crate) fn end_well(mut self, after: &str) {
        let output = self.live(patient);
        assert!(output.status.success(), "{after}: {output:?}");
        let state = self.state();
        self.promises.extend(self.trainers.end().promises);
        journal::check(&state, &self.promises, true);
        let records = journal::records(&state);
        assert!(!records.iter().any(is_given_up), "{after}: {records:#?}");
        assert_eq!(sockets(self.folder.path()), Vec::<String>::new(), "{after}");
        // What was still being removed at its end, the next start removes.
        start_and_end(&state);
        assert_eq!(payloads(&state), (Vec::new(), Vec::new()), "{after}: {:#?}", journal::records(&state));
    }
}

/// Only a script's process can be lost too often: it is killed along. A task that no trainer has begun is never given up.
fn is_given_up(record: &Record) -> bool {
    let (Record::Ended { next, .. } | Record::Closed { next, .. }) = record else { return false };
    matches!(next, Next::Dead { cause, .. } if cause.starts_with("came back unfinished"))
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
