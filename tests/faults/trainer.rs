//! Trainers without Python: processes, because whoever falls silent is killed.

mod talk;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use trainwire::{Job, JobId};

use crate::proxy::{Plan, Proxy};
use crate::reader::Promise;
use crate::told;
use talk::Trainer;

/// Trainers of one job, one after the other, until they are told to end.
pub(crate) struct Trainers {
    end: Arc<AtomicBool>,
    /// Until their end.
    thread: Option<JoinHandle<Seen>>,
}

/// What trainers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) promises: Vec<Promise>,
    /// Somebody was told to stay away.
    pub(crate) refused: bool,
}

impl Trainers {
    /// They connect to `socket` as soon as somebody listens there, and again and again; through a proxy that
    /// loses one frame, where that is planned.
    pub(crate) fn start(socket: PathBuf, job_id: &str, plan: Option<Plan>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (asked, job_id) = (Arc::clone(&end), job_id.to_owned());
        let thread = spawn(move || {
            let mut seen = Seen::default();
            while !asked.load(Ordering::Relaxed) {
                let mut command = command(&socket, &job_id);
                command.envs(plan.map(|plan| (PLAN, plan.to_string())));
                command.stdout(Stdio::piped()).stderr(Stdio::null());
                let mut process = command.spawn().expect("a process");
                let told = process.stdout.take().expect("a pipe");
                let reader =
                    spawn(move || BufReader::new(told).lines().map_while(Result::ok).collect::<Vec<_>>());
                while process.try_wait().expect("a process").is_none() {
                    if asked.load(Ordering::Relaxed) {
                        // What it was told is in the pipe.
                        process.kill().expect("a process");
                    }
                    sleep(Duration::from_millis(1));
                }
                reader.join().expect("no panic").iter().for_each(|line| seen.take(line));
            }
            seen
        });
        Self { end, thread: Some(thread) }
    }

    /// Ends what is left of them, and gives what they saw.
    pub(crate) fn end(mut self) -> Seen {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().expect("not ended before").join().expect("no panic")
    }
}

/// A test that fails leaves none behind.
impl Drop for Trainers {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// The command of one of them, which says on standard output what it was told.
pub(crate) fn command(socket: &Path, job_id: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(ARGUMENTS).env(SOCKET, socket).env(JOB_ID, job_id).stdin(Stdio::null());
    command
}

/// Makes them a job's own, started by its orchestrator.
pub(crate) fn started(job: Job, plan: Plan) -> Job {
    let program = std::env::current_exe().expect("this program").to_str().expect("UTF-8").to_owned();
    let mut job = job.command([program].into_iter().chain(ARGUMENTS.map(str::to_owned)));
    job.spec.environment.insert(PLAN.to_owned(), plan.to_string());
    job
}

impl Seen {
    /// What is in the logs in this folder.
    pub(crate) fn read(logs: &Path) -> Self {
        let mut seen = Self::default();
        for log in std::fs::read_dir(logs).expect("a folder").flatten() {
            let log = std::fs::read_to_string(log.path()).expect("a log");
            log.lines().for_each(|line| seen.take(line));
        }
        seen
    }

    fn take(&mut self, line: &str) {
        match line {
            "told: refused" => self.refused = true,
            line => self.promises.extend(told::promise(line)),
        }
    }
}

/// One of them, to its own end.
#[test]
#[ignore = "run by the other tests"]
fn a_trainer() {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
    let job_id = JobId::new(&std::env::var(JOB_ID).expect("a job")).expect("an id");
    let token = std::env::var("TRAINWIRE_TOKEN").ok();
    let plan = std::env::var(PLAN).ok().map(|plan| plan.parse::<Plan>().expect("a plan"));
    let proxy = plan.and_then(|plan| Proxy::start(socket.clone(), plan));
    let socket = proxy.as_ref().map_or(socket.as_path(), Proxy::path);
    Trainer::new(job_id, token.as_deref()).run(socket);
    if proxy.is_some_and(|proxy| proxy.has_happened()) {
        // What is late still comes.
        sleep(Duration::from_millis(30));
    }
}

fn tell(line: &str) {
    told::say(&format!("told: {line}")).expect("somebody reads");
}

const ARGUMENTS: [&str; 5] =
    ["--exact", "trainer::a_trainer", "--ignored", "--nocapture", "--test-threads=1"];

/// Of a trainer's environment.
const SOCKET: &str = "TRAINWIRE_SOCKET";
const JOB_ID: &str = "TRAINWIRE_JOB_ID";
const PLAN: &str = "TRAINWIRE_TEST_PLAN";
