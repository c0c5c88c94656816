//! Descriptors sent to an orchestrator, with every kind of message: none ever arrives. Alone in its
//! process, because it counts the process's descriptors.
#![allow(unsafe_code)] // makes the kernel act as one before 6.16

#[allow(dead_code, reason = "the other attacks use all of it")]
mod connector;

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use connector::Connector;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::AcceptConn;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, getsockname, getsockopt, sendmsg};
use tokio::io::Interest;
use trainwire::{Job, TrainingTask};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{
    Bye, Checkpoint, CheckpointRef, FromTrainer, Heartbeat, Report, TaskResult, ToTrainer,
};
use trainwire_tests::{Heard, Peer, Stage, Watch, frames, hello, result, within};
use trainwire_unix::descriptors::refuse_descriptors;

const MESSAGES: usize = 100_000;

/// Connections that end by what they say, with descriptors attached to it.
const CONNECTIONS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_descriptors_leave_nothing_in_an_orchestrator() {
    let stage = Stage::with(|config| config.state_dir = None).await;
    let tasks = ["one", "other"].map(|id| TrainingTask::new(id, "m"));
    let mut job = Job::new("victim").expect("an id").attach(true).tasks(tasks);
    // Nobody sends heartbeats meanwhile.
    job.spec.lost_timeout = Duration::from_secs(600);
    let job = stage.submit(job).await;
    let mut watch = Watch::new(&job);
    within(async {
        while !job.socket_path().exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut connector = Connector::new(job.socket_path());
    let crowd = Crowd::new();
    let mut peer = connector.connect();
    peer.join("victim").await;
    let (deliver, _) = peer.delivered().await.expect("a task");
    let kinds = every_kind(deliver.delivery);

    // Where the kernel can, it says no to the sender.
    if refuse_descriptors(&peer.stream).expect("a socket") {
        for bytes in &kinds {
            let error = attach(&peer, bytes, &crowd.rights(1)).await.expect_err("refused");
            assert_eq!(error.raw_os_error(), Some(Errno::EPERM as i32));
        }
    }
    // From here on it acts as it did before it could.
    let before = open_descriptors();
    accept_descriptors(job.socket_path());

    for number in 0..CONNECTIONS {
        let mut peer = connector.connect();
        let (bytes, code) = match number % 4 {
            0 => (kinds[0].clone(), "hello_expected"),
            1 => (frames(&[FromTrainer::Hello(hello("other", None))]), "wrong_job"),
            2 => (vec![0xfc, 0xff, 0xff, 0xff, 12, 0, 0, 0], "bad_length"),
            // Bit 0: a descriptor belongs to it.
            _ => (vec![4, 0, 0, 0, 12, 1, 0, 0], "bad_flags"),
        };
        attach(&peer, &bytes, &crowd.rights(number)).await.expect("the kernel takes them");
        assert_eq!(peer.parting_code().await, code);
    }
    let mut again = connector.connect();
    again.join("victim").await;
    let (others, _) = again.delivered().await.expect("the other task");
    for number in 0..MESSAGES {
        let sent = attach(&again, &kinds[number % kinds.len()], &crowd.rights(number)).await;
        sent.expect("the orchestrator reads on");
        if number % 100 == 99 {
            hear_acks(&mut again, 100 * 2 / kinds.len()).await;
        }
    }
    again.send(&[result(others.delivery, 1)]).await;
    hear_acks(&mut again, 1).await;
    // Or it would be expected back.
    again.send(&[FromTrainer::Bye(Bye { code: "leaving".to_owned(), text: String::new() })]).await;
    drop(again);
    settled(&before).await;

    peer.send(&[result(deliver.delivery, 1)]).await;
    assert!(watch.outcome().await.succeeded());
    within(stage.orchestrator.shutdown()).await;
}

/// A frame of each kind a trainer may send but Hello, about a delivery that is somebody else's.
fn every_kind(delivery: Delivery) -> Vec<Vec<u8>> {
    let at = CheckpointRef { path: "/tmp/model".to_owned(), step: None, epoch: None };
    let heartbeat = Heartbeat { running: Some(delivery), progress_age: Duration::ZERO };
    let report = Report {
        delivery,
        names: ["loss".to_owned()].into(),
        times_us: vec![1],
        steps: None,
        epochs: None,
        values: vec![0.5],
        thinned: 0,
    };
    let FromTrainer::Result(TaskResult { outcome, metrics, .. }) = result(delivery, 1) else {
        unreachable!()
    };
    let messages = [
        FromTrainer::Started(delivery),
        FromTrainer::Report(report),
        FromTrainer::Heartbeat(heartbeat),
        FromTrainer::Checkpoint(Checkpoint { delivery, seq: 1, at, metrics: Vec::new() }),
        FromTrainer::Result(TaskResult { delivery, seq: 2, outcome, metrics }),
    ];
    messages.map(|message| frames(&[message])).to_vec()
}

/// What is attached: memory, pipes, and sockets.
struct Crowd(Vec<OwnedFd>);

impl Crowd {
    fn new() -> Self {
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        let (here, there) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let file = tempfile::tempfile().expect("a file");
        Self(vec![read, write, here.into(), there.into(), file.into()])
    }

    /// One, two, or now and then as many as the kernel takes.
    fn rights(&self, number: usize) -> Vec<RawFd> {
        let count = if number % 50 == 49 { 253 } else { 1 + number % 2 };
        (0..count).map(|place| self.0[(number + place) % self.0.len()].as_raw_fd()).collect()
    }
}

async fn attach(peer: &Peer, bytes: &[u8], rights: &[RawFd]) -> io::Result<()> {
    let stream = &peer.stream;
    let control = [ControlMessage::ScmRights(rights)];
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    within(async {
        loop {
            stream.writable().await?;
            let sent = stream.try_io(Interest::WRITABLE, || {
                Ok(sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], &control, flags, None)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // As many are on their way as a user may have.
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                sent => return sent.map(|sent| assert_eq!(sent, bytes.len(), "short frames leave whole")),
            }
        }
    })
    .await
}

/// Checkpoints and results are answered, whoever sends them.
async fn hear_acks(peer: &mut Peer, mut count: usize) {
    while count > 0 {
        match peer.hear().await {
            Heard::Message(ToTrainer::Ack(entries), _) => count = count.saturating_sub(entries.len()),
            Heard::Message(..) => {}
            Heard::End => panic!("the connection ended"),
        }
    }
}

/// Undoes, for a listener in this process and those it accepts, what `refuse_descriptors` did.
fn accept_descriptors(path: &Path) {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).expect("four");
    let is_the_listener = |descriptor: &RawFd| {
        // SAFETY: it is open, and nobody closes it while it is looked at.
        let socket = unsafe { BorrowedFd::borrow_raw(*descriptor) };
        getsockopt(&socket, AcceptConn).unwrap_or(false)
            && getsockname::<UnixAddr>(*descriptor).is_ok_and(|name| name.path() == Some(path))
    };
    let listener = open_descriptors().into_iter().find(is_the_listener).expect("it listens");
    // SAFETY: the option's value is one int.
    let answer =
        unsafe { libc::setsockopt(listener, libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const on).cast(), size) };
    let older = answer == -1 && Errno::last() == Errno::ENOPROTOOPT;
    assert!(answer == 0 || older, "{}", Errno::last());
}

/// Until the orchestrator has closed what it served.
async fn settled(before: &[RawFd]) {
    for _ in 0..500 {
        if open_descriptors().len() <= before.len() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let name = |number: &RawFd| std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    let left: Vec<_> =
        open_descriptors().iter().filter(|number| !before.contains(number)).map(name).collect();
    panic!("left behind: {left:?}");
}

/// Without the one that reads them.
fn open_descriptors() -> Vec<RawFd> {
    let listing = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let names = listing.map(|entry| entry.expect("an entry").file_name());
    let mut numbers: Vec<RawFd> =
        names.map(|name| name.to_str().and_then(|name| name.parse().ok()).expect("a number")).collect();
    numbers.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers
}

/// Not in libc for this architecture yet.
const SO_PASSRIGHTS: libc::c_int = 83;
