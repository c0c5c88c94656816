//! The orchestrator's own death, at every step of a large task that reaches the disk: a row never
//! names a file that is missing or short, and what no row names goes at the next start.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rusqlite::Connection;
use tempfile::TempDir;
use trainwire::{Config, Job, Orchestrator, StopReason, TrainingTask};
use trainwire_tests::Strace;

#[test]
fn wherever_it_is_killed_rows_and_files_agree() {
    let Some(strace) = Strace::find() else { return };
    // Of the calls that change what is on the disk each in turn, until there is no further one.
    for call in ["mkdir", "openat", "sendfile", "fdatasync", "fsync", "pwrite64", "unlink"] {
        let mut killed = 0;
        loop {
            let folder = tempfile::tempdir().expect("a folder");
            let kill = format!("inject={call}:signal=KILL:when={}", killed + 1);
            let traced = format!("trace={call}");
            let path = matches!(call, "openat").then(|| folder.path().join("state"));
            if live(strace, &folder, &["-o", "/dev/null", "-e", &traced, "-e", &kill], path.as_deref())
                .success()
            {
                break;
            }
            killed += 1;
            check(&folder.path().join("state"), &kill);
        }
        assert!(killed > 0 || call == "openat", "{call} is not called any more");
    }
}

#[test]
fn what_a_row_names_was_synced_before_the_row_was_written() {
    let Some(strace) = Strace::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let calls = ["-e", "trace=sendfile,fdatasync,fsync,pwrite64,unlink", "-y", "-o"];
    let arguments: Vec<_> = calls.into_iter().chain(log.to_str()).collect();
    assert!(live(strace, &folder, &arguments, None).success());
    let calls = Call::parse(&fs::read_to_string(&log).expect("a log"));
    let find = |name: &str, path: &str, after: usize| {
        let mut later = calls.iter().filter(|call| call.start >= after);
        let found = later.find(|call| call.name == name && call.path.contains(path));
        found.unwrap_or_else(|| panic!("no {name} of {path} after line {after}: {calls:#?}"))
    };
    let written = find("sendfile", "/payloads/", 0);
    let synced = find("fdatasync", "/payloads/", written.end);
    // The names of the file, and of each folder that may be new, up to the state folder.
    let folders =
        ["/payloads>", "/jobs/crash>", "/jobs>", "/state>"].map(|path| find("fsync", path, synced.end));
    let last = folders.iter().map(|folder| folder.end).max().expect("folders");
    let is_log = |call: &&Call| call.path.contains("journal.sqlite-wal");
    // And the name of the state folder itself, before there is anything in it.
    let named = find("fsync", &format!("{}>", folder.path().display()), 0);
    let first = calls.iter().find(is_log).expect("a log");
    assert!(named.end < first.start, "the state folder is used before its name is synced: {calls:#?}");
    let between = calls.iter().filter(is_log).filter(|call| call.end > written.start && call.start < last);
    assert_eq!(between.count(), 0, "the row is written too early: {calls:#?}");

    let removed = find("unlink", "/payloads/", last);
    let before =
        calls.iter().filter(is_log).filter(|call| call.end < removed.start).max_by_key(|call| call.end);
    assert_eq!(before.expect("commits").name, "fsync", "the file goes before its row: {calls:#?}");
}

/// What the tests above run, trace and kill: a submission, and its end.
#[tokio::test]
#[ignore = "run by the other tests"]
async fn a_life_of_a_large_task() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let config =
        Config { state_dir: Some(folder.join("state")), socket_dir: folder.clone(), ..Config::default() };
    let orchestrator = Orchestrator::start(config).await.expect("an orchestrator");
    let task = TrainingTask::new("t", "m").hyperparams(hyperparams());
    let job = Job::new("crash").expect("an id").attach(true).task(task);
    let job = orchestrator.submit(job).await.expect("a job");
    job.stop(StopReason::Cancelled).await.expect("a stop");
    job.outcome().await.expect("an outcome");
    orchestrator.shutdown().await;
}

/// What is left of a life that ended somewhere.
fn check(state: &Path, killed_at: &str) {
    if !state.join("journal.sqlite").exists() {
        return;
    }
    let named = named(state, killed_at);
    for file in &named {
        let bytes = fs::read(file).unwrap_or_else(|error| panic!("{killed_at}: {}: {error}", file.display()));
        let task = TrainingTask::from_buffer(bytes);
        assert!(task.is_ok(), "{killed_at}: {} is not whole", file.display());
        let length = fs::metadata(file).expect("a file").len();
        assert!(length > hyperparams().len() as u64, "{killed_at}: {length} bytes");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        // Refused if the job is unfinished; it looks at the files all the same.
        let config = Config { state_dir: Some(state.to_owned()), ..Config::default() };
        if let Ok(orchestrator) = Orchestrator::start(config).await {
            orchestrator.shutdown().await;
        }
    });
    let mut files: Vec<_> = fs::read_dir(state.join("jobs/crash/payloads"))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert_eq!(files, named, "{killed_at}");
}

/// The files that rows name; a task that is submitted and not over has one.
fn named(state: &Path, killed_at: &str) -> Vec<PathBuf> {
    let journal = Connection::open(state.join("journal.sqlite")).expect("a database");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'payload_files'";
    if journal.query_row(tables, [], |row| row.get::<_, i64>(0)).expect("SQL") == 0 {
        return Vec::new();
    }
    let count = |event: &str| -> i64 {
        let count = "SELECT count(*) FROM records WHERE event = ?1";
        journal.query_row(count, [event], |row| row.get(0)).expect("SQL")
    };
    let unfinished = count("task_submitted") - count("closed");
    let mut rows = journal.prepare("SELECT file FROM payload_files").expect("SQL");
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let mut named: Vec<_> = rows.map(|name| state.join(name.expect("a name"))).collect();
    assert_eq!(i64::try_from(named.len()), Ok(unfinished), "{killed_at}");
    named.sort();
    named
}

/// Large, and nothing a short file could pass for.
fn hyperparams() -> Vec<u8> {
    (0..300_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A life of [`a_life_of_a_large_task`] in this folder, followed by strace with these arguments.
fn live(strace: Strace, folder: &TempDir, arguments: &[&str], only: Option<&Path>) -> ExitStatus {
    let mut life = Command::new(std::env::current_exe().expect("this program"));
    life.args(["--exact", "crashes::a_life_of_a_large_task", "--ignored"]).env(FOLDER, folder.path());
    let only = only.map(|path| path.to_str().expect("UTF-8"));
    let arguments: Vec<&str> =
        only.into_iter().flat_map(|path| ["-P", path]).chain(arguments.iter().copied()).collect();
    strace.follow(&life, &arguments).stdout(Stdio::null()).status().expect("strace")
}

/// One line or two of strace's log.
#[derive(Debug)]
struct Call {
    name: String,
    /// Of the first descriptor, or the first text.
    path: String,
    /// The lines at which it began and returned.
    start: usize,
    end: usize,
}

impl Call {
    fn parse(log: &str) -> Vec<Self> {
        let mut calls: Vec<Self> = Vec::new();
        // By thread.
        let mut unfinished = HashMap::new();
        for (number, line) in log.lines().enumerate() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if call.starts_with("<...") {
                if let Some(begun) = unfinished.remove(thread) {
                    let begun: &mut Self = &mut calls[begun];
                    begun.end = number;
                }
                continue;
            }
            let Some((name, arguments)) = call.split_once('(') else { continue };
            if line.ends_with("<unfinished ...>") {
                unfinished.insert(thread, calls.len());
            }
            let path = arguments.split([',', ')']).next().unwrap_or_default();
            calls.push(Self { name: name.to_owned(), path: path.to_owned(), start: number, end: number });
        }
        calls
    }
}

/// Where the child lives.
const FOLDER: &str = "TRAINWIRE_TEST_FOLDER";
