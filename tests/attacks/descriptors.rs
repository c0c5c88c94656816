//! Descriptors that are not what they should be, sent to a trainer without end; and what a trainer may
//! try with the good one it was given.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, SealFlag, fallocate, fcntl, splice};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use trainwire_protocol::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{
    AckEntry, AckKind, Bye, Deliver, FromTrainer, Outcome, Place, ToTrainer, Welcome,
};
use trainwire_protocol::task::VerifiedTask;
use trainwire_protocol::task_builder::TaskBuilder;
use trainwire_tests::python;
use trainwire_unix::descriptors::send;
use trainwire_unix::{SealedPayload, Wait};

use crate::Arena;

const MESSAGES: u64 = 100_000;

/// In each burst; fewer than a trainer may have in hand.
const BURST: u64 = 250;

const TRAINER: &str = "
import os, trainwire

def descriptors():
    return set(os.listdir('/proc/self/fd'))

tasks = trainwire.tasks()
before = descriptors()
honest = 0
print('ready', flush=True)
for task in tasks:
    with task:
        honest += 1
print(honest, len(descriptors() - before))
";

#[test]
fn a_hundred_thousand_bad_descriptors_leave_nothing_in_a_trainer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ai-task-sock-hostile");
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut trainer = Command::new(python())
        .args(["-c", TRAINER])
        .env("TRAINWIRE_SOCKET", &path)
        .env("TRAINWIRE_JOB_ID", "hostile")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a trainer");
    let mut words = BufReader::new(trainer.stdout.take().expect("a pipe"));
    let mut orchestrator = Orchestrator::welcoming(listener.accept().expect("a trainer").0);
    let mut line = String::new();
    words.read_line(&mut line).expect("a word");
    assert_eq!(line, "ready\n");

    let task = TaskBuilder::new("t", "m").hyperparams(vec![7; 10_000]).build().expect("a task");
    let impostors = impostors(&task.as_bytes().to_bytes());
    let choose = |delivery: u64| {
        let place = usize::try_from(delivery).expect("few") % impostors.len();
        &impostors[place]
    };
    let mut honest = 0;
    for burst in 0..MESSAGES / BURST {
        let deliveries = burst * BURST + 1..=(burst + 1) * BURST;
        for delivery in deliveries.clone() {
            let (_, size, descriptor) = choose(delivery);
            orchestrator.deliver(delivery, *size, descriptor.as_ref());
        }
        for (delivery, outcome) in deliveries.zip(orchestrator.results(BURST)) {
            let (code, ..) = choose(delivery);
            match outcome {
                Outcome::Returned { code: returned } => assert_eq!(returned, *code, "delivery {delivery}"),
                outcome => {
                    assert_eq!((outcome, *code), (Outcome::Succeeded, ""), "delivery {delivery}");
                    honest += 1;
                }
            }
        }
    }
    orchestrator.say(&ToTrainer::Bye(Bye { code: "job_done".to_owned(), text: String::new() }));
    line.clear();
    words.read_line(&mut line).expect("a word");
    assert_eq!(line, format!("{honest} 0\n"));
    assert!(trainer.wait().expect("an end").success());
}

/// The code, the size to announce and the descriptor, if any. The code of an honest one is empty.
fn impostors(task: &[u8]) -> Vec<(&'static str, u64, Option<OwnedFd>)> {
    let size = task.len() as u64;
    let all = SealFlag::from_iter(SEALS);
    let partly = (0..15_u32).map(|chosen| {
        let seals = SEALS.into_iter().enumerate().filter(|(index, _)| chosen & (1 << index) != 0);
        ("not_sealed", size, Some(memfd(task, seals.map(|(_, seal)| seal).collect())))
    });
    let (pipe, _) = nix::unistd::pipe().expect("a pipe");
    let unsealed = memfd(task, SealFlag::empty());
    let write_only = reopen(&unsealed, OpenOptions::new().write(true));
    fcntl(&unsealed, FcntlArg::F_ADD_SEALS(all)).expect("seals");
    let sealed = memfd(task, all);
    let place = reopen(&sealed, OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()));
    let sparse = File::from(memfd(&[], SealFlag::empty()));
    sparse.set_len(size).expect("a size");
    fcntl(&sparse, FcntlArg::F_ADD_SEALS(all)).expect("seals");
    let others = [
        ("payload_not_memory", size, Some(pipe)),
        ("payload_not_memory", size, Some(tempfile::tempfile().expect("a file").into())),
        ("payload_not_memory", size, Some(UnixStream::pair().expect("a pair").0.into())),
        ("payload_not_readable", size, Some(write_only)),
        ("payload_not_readable", size, Some(place)),
        ("payload_not_allocated", size, Some(sparse.into())),
        ("payload_too_large", u64::MAX, Some(memfd(task, all))),
        ("size_mismatch", size + 1, Some(memfd(task, all))),
        ("size_mismatch", size - 1, Some(memfd(task, all))),
        ("bad_task", size, Some(memfd(&vec![0xff; task.len()], all))),
        ("", size, Some(sealed)),
    ];
    partly.chain(others).collect()
}

fn memfd(bytes: &[u8], seals: SealFlag) -> OwnedFd {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut memory = File::from(memfd_create(c"hostile", flags).expect("a memfd"));
    memory.write_all(bytes).expect("memory");
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).expect("seals");
    memory.into()
}

fn reopen(memory: &OwnedFd, options: &OpenOptions) -> OwnedFd {
    let opened = options.open(format!("/proc/self/fd/{}", memory.as_raw_fd()));
    opened.expect("our own").into()
}

/// The other end of a trainer's connection.
struct Orchestrator {
    socket: UnixStream,
    reader: FrameReader,
    writer: FrameWriter,
}

impl Orchestrator {
    fn welcoming(socket: UnixStream) -> Self {
        let reader = FrameReader::new(ReaderLimits::default());
        let mut orchestrator = Self { socket, reader, writer: FrameWriter::default() };
        assert!(matches!(orchestrator.hear(), FromTrainer::Hello(_)));
        orchestrator.say(&ToTrainer::Welcome(Welcome::default()));
        orchestrator
    }

    fn say(&mut self, message: &ToTrainer) {
        self.writer.push_to_trainer(message).expect("a message");
        self.flush(None);
    }

    fn deliver(&mut self, delivery: u64, task_size: u64, descriptor: Option<&OwnedFd>) {
        let deliver = Deliver::new(Delivery(delivery), task_size, Place::Descriptor);
        let payload = DeliverPayload::Descriptor { token: delivery };
        self.writer.push_deliver(&deliver, payload).expect("a Deliver");
        self.flush(descriptor);
    }

    fn flush(&mut self, descriptor: Option<&OwnedFd>) {
        let descriptor = descriptor.map(OwnedFd::as_fd);
        let sent = send(&self.socket, &self.writer.io_slices(), descriptor, Wait::Block).expect("a trainer");
        self.writer.advance(sent);
        assert!(self.writer.is_empty(), "short frames leave whole");
    }

    fn hear(&mut self) -> FromTrainer {
        loop {
            if let Some(frame) = self.reader.next().expect("a frame") {
                return frame.decode_from_trainer().expect("a message");
            }
            let read = io::Read::read(&mut self.socket, self.reader.spare()).expect("a trainer");
            assert_ne!(read, 0, "the trainer has gone");
            self.reader.advance(read);
        }
    }

    /// The outcomes of the next results, in order, once they are acknowledged.
    fn results(&mut self, count: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut acks = Vec::new();
        while (outcomes.len() as u64) < count {
            if let FromTrainer::Result(result) = self.hear() {
                let kind = AckKind::Stored;
                acks.push(AckEntry { delivery: result.delivery, seq: result.seq, kind });
                outcomes.push(result.outcome);
            }
            // The trainer waits for the Ack of a success.
            if outcomes.last().is_some_and(|outcome| *outcome == Outcome::Succeeded)
                || outcomes.len() as u64 == count
            {
                self.say(&ToTrainer::Ack(std::mem::take(&mut acks)));
            }
        }
        outcomes
    }
}

#[tokio::test]
async fn a_trainer_cannot_change_what_the_next_one_gets() {
    let mut arena = Arena::with(1, |config| config.inline_task_size_max = 0).await;
    let mut first = arena.attach().await;
    let (deliver, _) = first.delivered().await.expect("a task");
    let given = first.descriptors.pop_front().expect("its descriptor");
    let view = SealedPayload::receive(given.try_clone().expect("a copy"), deliver.task_size)
        .and_then(|payload| payload.map())
        .expect("an honest payload");
    let before = view.to_vec();
    change(&given, before.len());
    assert!(view == before, "bytes changed under the view");
    let bye = Bye { code: "exiting".to_owned(), text: String::new() };
    first.send(&[FromTrainer::Bye(bye)]).await;

    let mut second = arena.attach().await;
    let (again, _) = second.delivered().await.expect("the task again");
    assert!(again.delivery > deliver.delivery);
    let memory =
        SealedPayload::receive(second.descriptors.pop_front().expect("a descriptor"), again.task_size);
    let received = memory.and_then(|payload| payload.map()).expect("as honest as before");
    assert!(received == before);
    assert_eq!(VerifiedTask::verify(received).expect("a task").task_id(), "task-0");
    let bye = Bye { code: "exiting".to_owned(), text: String::new() };
    second.send(&[FromTrainer::Bye(bye)]).await;
    drop((first, second));
    arena.stands().await;
}

/// Every way to write to sealed memory there is; each must fail.
fn change(memory: &OwnedFd, size: usize) {
    let noise = vec![0xee; size];
    let file = File::from(memory.try_clone().expect("a copy"));
    let by_name = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let len = i64::try_from(size).expect("a size");
    let (read, write) = nix::unistd::pipe().expect("a pipe");
    nix::unistd::write(&write, b"noise").expect("room");
    let source = File::from(memfd(&noise, SealFlag::empty()));
    let attempts: [(&str, io::Result<()>); 11] = [
        ("write", file.write_all_at(&noise, 0)),
        ("shrink", file.set_len(0)),
        ("grow", file.set_len(1 << 20)),
        ("append", file.write_all_at(b"more", size as u64)),
        ("open and write", write_to(OpenOptions::new().write(true), &by_name)),
        ("open and truncate", write_to(OpenOptions::new().write(true).truncate(true), &by_name)),
        ("open to append", write_to(OpenOptions::new().append(true), &by_name)),
        (
            "punch a hole",
            fallocate(
                memory,
                FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
                0,
                len,
            )
            .map_err(io::Error::from),
        ),
        (
            "splice",
            splice(&read, None, memory, Some(&mut 0), 5, nix::fcntl::SpliceFFlags::empty())
                .map(drop)
                .map_err(io::Error::from),
        ),
        ("sendfile", sendfile(memory, &source, Some(&mut 0), size).map(drop).map_err(io::Error::from)),
        (
            "unseal",
            fcntl(memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_FUTURE_WRITE))
                .map(drop)
                .map_err(io::Error::from),
        ),
    ];
    for (name, answer) in attempts {
        assert!(answer.is_err(), "{name} succeeded");
    }
}

fn write_to(options: &OpenOptions, path: &str) -> io::Result<()> {
    options.open(path)?.write_all(b"noise")
}

const SEALS: [SealFlag; 4] =
    [SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_WRITE, SealFlag::F_SEAL_SEAL];
