//! The servers: an orchestrator with a job for each socket, and the floor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use trainwire::{Config, Job, JobHandle, Orchestrator, SubmitError, TrainingTask};
use trainwire_bench_harness::{EPOCHS, pin, resident_bytes};

use super::{HEARTBEAT, job_id, socket_name, task};
use crate::bridge::scratch;

/// The other end of `serve-sockets`: says how many jobs it has, and never returns.
pub fn serve(name: &str, folder: &Path, jobs: usize) {
    pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match name {
        "floor" => runtime.block_on(serve_bare(folder, jobs)),
        _ => runtime.block_on(serve_orchestrator(name == "trainwire-disk", folder, jobs)),
    }
}

async fn serve_orchestrator(on_disk: bool, folder: &Path, jobs: usize) {
    let state = tempfile::tempdir_in(scratch()).expect("a temporary folder");
    let orchestrator = Orchestrator::start(Config {
        state_dir: on_disk.then(|| state.path().join("state")),
        socket_dir: folder.to_owned(),
        ..Config::default()
    });
    let orchestrator = orchestrator.await.expect("it starts");
    let empty_bytes = resident_bytes(std::process::id(), "VmRSS");
    let handles = submit(&orchestrator, jobs).await;
    // The submission is answered a little before the socket is bound.
    for handle in &handles {
        while !handle.socket_path().exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    println!("{} {empty_bytes}", handles.len());
    drop(handles);
    std::future::pending().await
}

/// Submits as many as there may be.
async fn submit(orchestrator: &Orchestrator, jobs: usize) -> Vec<JobHandle> {
    let mut handles = Vec::new();
    while handles.len() < jobs {
        let mut submitting = JoinSet::new();
        for number in handles.len()..jobs.min(handles.len() + AT_A_TIME) {
            let orchestrator = orchestrator.clone();
            submitting.spawn(async move { orchestrator.submit(job(number)).await });
        }
        let before = handles.len();
        while let Some(submitted) = submitting.join_next().await {
            match submitted.expect("no panic") {
                Ok(handle) => handles.push(handle),
                Err(SubmitError::Descriptors { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        if handles.len() < jobs.min(before + AT_A_TIME) {
            break;
        }
    }
    handles
}

fn job(number: usize) -> Job {
    let task = task(number);
    let task = TrainingTask::new(task.task_id(), task.model_name()).hyperparams(task.produce());
    let job = Job::new(&job_id(number)).expect("a job id").attach(true).task(task.max_epochs(EPOCHS));
    job.recv_timeout(4 * HEARTBEAT)
}

async fn serve_bare(folder: &Path, jobs: usize) {
    let empty_bytes = resident_bytes(std::process::id(), "VmRSS");
    for number in 0..jobs {
        tokio::spawn(serve_one(folder.join(socket_name(number)), number));
    }
    tokio::task::yield_now().await;
    while !folder.join(socket_name(jobs - 1)).exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("{jobs} {empty_bytes}");
    std::future::pending().await
}

async fn serve_one(path: PathBuf, number: usize) {
    let listener = UnixListener::bind(path).expect("a fresh path");
    let (mut stream, _) = listener.accept().await.expect("a connection");
    read(&stream).await; // the hello
    stream.write_all(&task(number).produce()).await.expect("room for a task");
    // The acknowledgement, then heartbeats.
    while read(&stream).await > 0 {}
}

/// Into memory that no connection keeps.
async fn read(stream: &UnixStream) -> usize {
    loop {
        stream.readable().await.expect("a socket");
        match stream.try_read(&mut [0; 512]) {
            Ok(count) => return count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Submissions that wait for one fsync together.
const AT_A_TIME: usize = 256;
