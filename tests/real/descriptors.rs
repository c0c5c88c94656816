//! No descriptor is left for whoever connects: they wait, nobody spins, and they are let in later.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::time::TimeValLike;
use tokio::time::sleep;
use trainwire::{Job, TrainingTask};
use trainwire_protocol::message::FromTrainer;
use trainwire_tests::{Stage, frames, hello};

/// The limit is the process's, so the test is one of its own.
#[test]
fn who_finds_no_descriptor_left_waits_and_is_let_in_later() {
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "descriptors::without_descriptors", "--ignored", "--nocapture"])
        .status()
        .expect("a process");
    assert!(status.success());
}

#[tokio::test]
#[ignore = "lowers the limit of its process; the test above runs it"]
async fn without_descriptors() {
    let stage = Stage::new().await;
    let mut sockets = Vec::new();
    for job_id in ["a", "b", "c"] {
        let job = Job::new(job_id).expect("a job id").attach(true).task(TrainingTask::new("t", "m"));
        let job = stage.submit(job).await;
        let flags = SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a socket");
        sockets.push((job_id, client, UnixAddr::new(job.socket_path()).expect("a path")));
    }
    while !sockets.iter().all(|(_, _, address)| address.path().is_some_and(std::path::Path::exists)) {
        sleep(Duration::from_millis(5)).await;
    }
    let (limit, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    // No number below it is free: the lowest free one is the limit.
    let next_free = std::fs::File::open("/dev/null").expect("a descriptor").as_raw_fd();
    setrlimit(Resource::RLIMIT_NOFILE, u64::from(next_free.unsigned_abs()), hard).expect("a lower limit");

    let mut clients = Vec::new();
    for (job_id, client, address) in sockets {
        connect(client.as_raw_fd(), &address).expect("room in the backlog");
        clients.push((job_id, UnixStream::from(client)));
    }
    let before = cpu_time();
    sleep(Duration::from_secs(1)).await;
    let spent = cpu_time() - before;
    assert!(spent < Duration::from_millis(500), "it spins: {spent:?} of CPU time in a second of waiting");

    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("the limit as it was");
    for (job_id, mut client) in clients {
        client.write_all(&frames(&[FromTrainer::Hello(hello(job_id, None))])).expect("room for a frame");
        let welcomed = tokio::task::spawn_blocking(move || client.read(&mut [0; 8]));
        assert_eq!(welcomed.await.expect("a thread").expect("a Welcome"), 8, "{job_id}");
    }
}

fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).expect("time passed"))
}
