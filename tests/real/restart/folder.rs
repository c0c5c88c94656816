//! A folder with a state folder, sockets, trainers and their gates, and the orchestrators that come and go in
//! it. What happened is read from the journal, which outlives them all.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use trainwire::JobSpec;
use trainwire::record::Record;
use trainwire_tests::{PRELUDE, python};

pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("tw-").tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Lets trainers that wait for this name go on.
    pub(crate) fn open(&self, gate: &str) {
        fs::write(self.path(gate), "").expect("a file");
    }

    /// A job of the trainer `program`, in a file. Tasks have ids and sizes in bytes.
    pub(crate) fn job(
        &self,
        job_id: &str,
        program: &str,
        tasks: &[(&str, usize)],
        change: impl FnOnce(&mut JobSpec),
    ) -> PathBuf {
        let script = self.path(&format!("{job_id}.py"));
        fs::write(&script, format!("{PRELUDE}\n{program}")).expect("a script");
        let command = [python(), script].map(|word| word.to_str().expect("UTF-8").to_owned());
        let mut spec = JobSpec::default();
        job_id.clone_into(&mut spec.job_id);
        spec.command = command.to_vec();
        spec.working_dir = Some(self.folder.path().to_owned());
        (spec.backoff_min, spec.backoff_max) = (Duration::from_millis(10), Duration::from_millis(50));
        change(&mut spec);
        let path = self.path(&format!("{job_id}.json"));
        fs::write(&path, serde_json::to_vec(&(spec, tasks)).expect("JSON")).expect("a file");
        path
    }

    /// An orchestrator of these jobs, which is ready.
    pub(crate) fn start(&self, jobs: &[PathBuf]) -> Process {
        self.start_with(jobs, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_with(&self, jobs: &[PathBuf], environment: &[(&str, &str)]) -> Process {
        let mut process = self.launch_with(jobs, environment);
        assert_eq!(process.line().as_deref(), Some("ready"));
        process
    }

    /// The same, from its first moment.
    pub(crate) fn launch(&self, jobs: &[PathBuf]) -> Process {
        self.launch_with(jobs, &[])
    }

    fn launch_with(&self, jobs: &[PathBuf], environment: &[(&str, &str)]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orchestrator-process"))
            .arg(self.state())
            .arg(self.folder.path())
            .args(jobs)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Process { child, lines }
    }

    /// Everything committed so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(journal) = Connection::open_with_flags(self.state().join("journal.sqlite"), flags) else {
            return Vec::new();
        };
        let Ok(mut rows) = journal.prepare("SELECT body FROM records ORDER BY seq") else {
            return Vec::new();
        };
        let bodies = rows.query_map([], |row| row.get::<_, String>(0)).expect("records");
        bodies.map_while(Result::ok).map(|body| serde_json::from_str(&body).expect("a record")).collect()
    }

    /// Waits until so many records are as `pick` says.
    pub(crate) fn until(&self, count: usize, pick: impl Fn(&Record) -> bool) {
        until(|| self.records().iter().filter(|record| pick(record)).count() >= count);
    }

    /// The pids of trainers that said Hello, in order.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let bound = |record: &Record| match record {
            Record::TrainerBound { pid, .. } => Some(*pid),
            _ => None,
        };
        self.records().iter().filter_map(bound).collect()
    }

    /// Fails if anything is left of the jobs but their files.
    pub(crate) fn expect_nothing_left(&self) {
        let is_socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
        let sockets: Vec<_> =
            fs::read_dir(self.folder.path()).expect("a folder").flatten().filter(is_socket).collect();
        assert!(sockets.is_empty(), "{sockets:?}");
        let spooled: Vec<_> = find(&self.state(), "spool");
        assert!(spooled.is_empty(), "{spooled:?}");
        // By their working folder, which nobody else has.
        let here = fs::canonicalize(self.folder.path()).expect("a folder");
        until(|| !processes().any(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == here)));
    }
}

/// An orchestrator. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("a pipe");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// All it says until it has ended, which it must by itself.
    pub(crate) fn outcome(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            lines.push(line);
        }
        assert_eq!(lines.pop().as_deref(), Some("over"), "{lines:?}");
        lines.retain(|line| line != "ready");
        lines
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("a process");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process that is not our child to be no more than a zombie.
pub(crate) fn await_end(pid: i32) {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    until(|| !fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")));
}

pub(crate) fn sigkill(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a process");
    await_end(pid);
}

pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Files in folders of this name, anywhere below.
pub(crate) fn find(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() == name {
            found.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if path.is_dir() {
            found.extend(find(&path, name));
        }
    }
    found
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
        .map(|entry| entry.path())
}

/// Longer than anything takes, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(90);
