//! A trainer without Python: the Session of every trainer, on a thread, with code that takes milliseconds.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use trainwire::JobId;
use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Delivery, Instance};
use trainwire_protocol::message::{AckKind, Bye, CheckpointRef, Outcome, Role};
use trainwire_protocol::session::{
    Identity, OutboxLimits, Row, RowBuffer, RowLimits, TrainerEvent, TrainerSession,
};
use trainwire_unix::Wait;
use trainwire_unix::descriptors::{receive, send};

use crate::proxy::{Plan, Proxy};
use crate::reader::Promise;

/// Trainers of one job, one after the other, until they are told to end: processes, because whoever falls
/// silent is killed.
pub(crate) struct Trainers {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What trainers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) promises: Vec<Promise>,
    /// The planned loss came about.
    pub(crate) lost: bool,
}

impl Trainers {
    /// They connect to `socket` as soon as somebody listens there, and again and again; through a proxy that
    /// loses one frame, where that is planned.
    pub(crate) fn start(socket: PathBuf, job_id: &str, mut plan: Option<Plan>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (asked, job_id) = (Arc::clone(&end), job_id.to_owned());
        let thread = spawn(move || {
            let mut seen = Seen::default();
            while !asked.load(Ordering::Relaxed) {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                command.args([
                    "--exact",
                    "trainer::a_trainer",
                    "--ignored",
                    "--nocapture",
                    "--test-threads=1",
                ]);
                command.env(SOCKET, &socket).env(JOB_ID, &job_id).stdin(Stdio::null());
                command.stdout(Stdio::piped()).stderr(Stdio::null());
                if let Some(plan) = plan {
                    command.env(PLAN, plan.to_string());
                }
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
                for line in reader.join().expect("no panic") {
                    seen.lost |= line == "told: lost";
                    seen.promises.extend(promise(&line));
                }
                plan = plan.filter(|_| !seen.lost);
            }
            seen
        });
        Self { end, thread }
    }

    /// Ends what is left of them, and gives what they saw.
    pub(crate) fn end(self) -> Seen {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// One of them, to its own end.
#[test]
#[ignore = "run by the other tests"]
fn a_trainer() {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
    let job_id = std::env::var(JOB_ID).expect("a job");
    let plan = std::env::var(PLAN).ok().map(|plan| plan.parse::<Plan>().expect("a plan"));
    let proxy = plan.map(|plan| Proxy::start(socket.clone(), plan));
    let socket = proxy.as_ref().map_or(socket.as_path(), Proxy::path);
    Trainer::new(JobId::new(&job_id).expect("an id")).run(socket);
    if proxy.is_some_and(|proxy| proxy.has_happened()) {
        // What is late still comes.
        sleep(Duration::from_millis(30));
    }
}

fn promise(line: &str) -> Option<Promise> {
    let mut words = line.strip_prefix("told: ")?.split(' ');
    let kind = words.next()?;
    let mut number = || words.next()?.parse().ok();
    let (delivery, seq) = (number()?, number()?);
    Some(match kind {
        "stored" => Promise::Stored { delivery, seq },
        "superseded" => Promise::Superseded { delivery, seq },
        other => panic!("{other}"),
    })
}

/// In one write, so that no line is half there; on a line of its own, whatever the test harness has said.
pub(crate) fn tell(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(format!("\ntold: {line}\n").as_bytes()).and_then(|()| stdout.flush());
    written.expect("somebody reads");
}

struct Trainer {
    session: TrainerSession,
    reader: FrameReader,
    writer: FrameWriter,
    descriptors: Vec<OwnedFd>,
    queue: VecDeque<(Delivery, bool)>,
    /// A delivery, until when its code has it, and whether it waits for a Stop.
    running: Option<(Delivery, Instant, bool)>,
    /// How many it has worked off.
    worked: u32,
    over: bool,
}

impl Trainer {
    fn new(job_id: JobId) -> Self {
        let mut instance = [0; 16];
        let random = std::fs::File::open("/dev/urandom");
        random.and_then(|mut file| std::io::Read::read_exact(&mut file, &mut instance)).expect("randomness");
        let identity = Identity {
            job_id,
            token: None,
            instance: Instance(u128::from_le_bytes(instance)),
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: "test".to_owned(),
            can_dump_stacks: false,
        };
        Self {
            session: TrainerSession::new(identity, OutboxLimits::default()),
            reader: FrameReader::new(ReaderLimits::default()),
            writer: FrameWriter::default(),
            descriptors: Vec::new(),
            queue: VecDeque::new(),
            running: None,
            worked: 0,
            over: false,
        }
    }

    fn run(mut self, socket: &Path) {
        while !self.over {
            let Ok(stream) = UnixStream::connect(socket) else {
                sleep(Duration::from_millis(3));
                continue;
            };
            stream.set_read_timeout(Some(Duration::from_millis(2))).expect("a socket");
            self.reader = FrameReader::new(ReaderLimits::default());
            self.writer.clear();
            self.session.connected(now());
            while self.talk(&stream) {}
            self.session.disconnected(now());
            sleep(Duration::from_millis(2));
        }
    }

    /// One turn; `false` at the end of the connection.
    fn talk(&mut self, stream: &UnixStream) -> bool {
        self.work();
        if self.session.poll_transmit(now(), &mut self.writer).is_err() {
            return false;
        }
        while !self.writer.is_empty() {
            let slices: Vec<Vec<u8>> = self.writer.io_slices().iter().map(|slice| slice.to_vec()).collect();
            let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            match send(stream, &slices, None, Wait::Block) {
                Ok(sent) => self.writer.advance(sent),
                Err(_) => return false,
            }
        }
        match receive(stream, self.reader.spare(), &mut self.descriptors, Wait::Block) {
            Ok(received) if received.bytes == 0 => return false,
            Ok(received) => self.reader.advance(received.bytes),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
        while let Ok(Some(frame)) = self.reader.next() {
            if self.session.handle_frame(now(), &frame).is_err() {
                return false;
            }
        }
        if self.session.handle_timeout(now()).is_err() {
            return false;
        }
        self.take_events() && !self.over
    }

    fn take_events(&mut self) -> bool {
        while let Some(event) = self.session.poll_event() {
            match event {
                TrainerEvent::Delivered(delivered) => {
                    let task = delivered.inline.map(trainwire_protocol::task::VerifiedTask::verify);
                    let waits = task.is_some_and(|task| task.expect("a task").task_id().starts_with("stop"));
                    self.queue.push_back((delivered.deliver.delivery, waits));
                }
                TrainerEvent::Stop(stop) => {
                    if let Some((delivery, _, true)) = self.running
                        && delivery == stop.delivery
                    {
                        self.running = None;
                        let _ = self.session.finish(now(), delivery, Outcome::Stopped, Vec::new());
                    }
                }
                TrainerEvent::Acknowledged(entry) => {
                    let (delivery, seq) = (entry.delivery.0, entry.seq);
                    let kind = if entry.kind == AckKind::Stored { "stored" } else { "superseded" };
                    tell(&format!("{kind} {delivery} {seq}"));
                }
                TrainerEvent::Dropped(delivery) => {
                    self.queue.retain(|(queued, _)| *queued != delivery);
                    self.running.take_if(|(running, ..)| *running == delivery);
                }
                TrainerEvent::Refused(refused) => {
                    self.over = !refused.retry_later;
                    return false;
                }
                TrainerEvent::Bye(_) => self.worked = u32::MAX,
                TrainerEvent::Quiet => return false,
                _ => {}
            }
        }
        true
    }

    fn work(&mut self) {
        if let Some((delivery, until, waits)) = self.running {
            if waits || now() < until {
                return;
            }
            self.running = None;
            self.worked = self.worked.saturating_add(1);
            let _ = self.session.finish(now(), delivery, Outcome::Succeeded, Vec::new());
        }
        while self.worked < BYE_AFTER {
            let Some((delivery, waits)) = self.queue.pop_front() else { return };
            if self.session.start(now(), delivery) {
                self.running = Some((delivery, now() + Duration::from_millis(6), waits));
                let mut rows = RowBuffer::new(RowLimits::default());
                let metrics = [("loss", 0.5)];
                rows.push_row(delivery, Row { time_us: 1, step: None, epoch: None, metrics: &metrics });
                self.session.report(now(), &mut rows);
                let at = CheckpointRef { path: "a.pt".to_owned(), step: None, epoch: None };
                let _ = self.session.checkpoint(now(), delivery, at, Vec::new());
                return;
            }
        }
        if (BYE_AFTER..u32::MAX).contains(&self.worked) {
            self.worked = u32::MAX;
            self.session.bye(Bye { code: "leaving".to_owned(), text: String::new() });
        } else if self.worked == u32::MAX && self.session.unacknowledged().next().is_none() {
            self.over = true;
        }
    }
}

fn now() -> Instant {
    Instant::now()
}

/// So many tasks, and another trainer takes its place.
const BYE_AFTER: u32 = 2;

/// Of a trainer's environment.
const SOCKET: &str = "TRAINWIRE_TEST_SOCKET";
const JOB_ID: &str = "TRAINWIRE_TEST_JOB";
const PLAN: &str = "TRAINWIRE_TEST_PLAN";
