//! One trainer: the Session of every trainer, on a thread, with code that takes milliseconds.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trainwire::JobId;
use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Delivery, Instance, Token};
use trainwire_protocol::message::{AckKind, Bye, CheckpointRef, Outcome, Place, Role};
use trainwire_protocol::session::{
    Delivered, Identity, OutboxLimits, Row, RowBuffer, RowLimits, TrainerEvent, TrainerSession,
};
use trainwire_protocol::task::VerifiedTask;
use trainwire_unix::descriptors::{receive, send};
use trainwire_unix::slab::Leases;
use trainwire_unix::{ReceivedSlab, SealedPayload, Wait};

use super::tell;

pub(super) struct Trainer {
    session: TrainerSession,
    reader: FrameReader,
    writer: FrameWriter,
    descriptors: VecDeque<OwnedFd>,
    slab: Option<ReceivedSlab>,
    leases: Leases<Delivery>,
    queue: VecDeque<(Delivery, VerifiedTask)>,
    running: Option<Running>,
    /// How many it has worked off.
    worked: u32,
    over: bool,
}

/// What its code has.
struct Running {
    delivery: Delivery,
    /// Looked at to the end.
    task: VerifiedTask,
    until: Instant,
}

impl Running {
    fn waits_for_a_stop(&self) -> bool {
        self.task.task_id().starts_with("stop")
    }
}

impl Trainer {
    pub(super) fn new(job_id: JobId, token: Option<&str>) -> Self {
        let mut instance = [0; 16];
        let random = std::fs::File::open("/dev/urandom");
        random.and_then(|mut file| std::io::Read::read_exact(&mut file, &mut instance)).expect("randomness");
        let identity = Identity {
            job_id,
            token: token.map(|token| Token::from_hex(token).expect("a token")),
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
            descriptors: VecDeque::new(),
            slab: None,
            leases: Leases::default(),
            queue: VecDeque::new(),
            running: None,
            worked: 0,
            over: false,
        }
    }

    pub(super) fn run(mut self, socket: &Path) {
        while !self.over {
            let Ok(stream) = UnixStream::connect(socket) else {
                sleep(Duration::from_millis(3));
                continue;
            };
            stream.set_read_timeout(Some(Duration::from_millis(2))).expect("a socket");
            self.reader = FrameReader::new(ReaderLimits::default());
            self.writer.clear();
            self.descriptors.clear();
            self.session.connected(now());
            while self.talk(&stream) {}
            self.session.disconnected(now());
            self.slab = None;
            sleep(Duration::from_millis(2));
        }
    }

    /// One turn; `false` at the end of the connection.
    fn talk(&mut self, stream: &UnixStream) -> bool {
        self.work();
        self.leases.collect(|delivery| self.session.release(delivery));
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
            let has_descriptor = frame.descriptor;
            if self.session.handle_frame(now(), &frame).is_err() {
                return false;
            }
            let descriptor = if has_descriptor { self.descriptors.pop_front() } else { None };
            if !self.take_events(descriptor) {
                return false;
            }
        }
        if self.session.handle_timeout(now()).is_err() {
            return false;
        }
        self.take_events(None) && !self.over
    }

    /// `descriptor` came with the frame whose events these are.
    fn take_events(&mut self, mut descriptor: Option<OwnedFd>) -> bool {
        while let Some(event) = self.session.poll_event() {
            match event {
                TrainerEvent::Slab(slab) => {
                    let descriptor = descriptor.take().expect("a descriptor");
                    self.slab = Some(ReceivedSlab::receive(descriptor, slab.size).expect("a slab"));
                }
                TrainerEvent::Delivered(delivered) => {
                    let delivery = delivered.deliver.delivery;
                    let task = VerifiedTask::verify(self.bytes(delivered, descriptor.take()));
                    self.queue.push_back((delivery, task.expect("a task")));
                }
                TrainerEvent::Stop(stop) => {
                    let asked = |running: &mut Running| {
                        running.delivery == stop.delivery && running.waits_for_a_stop()
                    };
                    if let Some(Running { delivery, .. }) = self.running.take_if(asked) {
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
                    self.running.take_if(|running| running.delivery == delivery);
                }
                TrainerEvent::Refused(refused) => {
                    tell("refused");
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

    fn bytes(&mut self, delivered: Delivered, descriptor: Option<OwnedFd>) -> Bytes {
        let Delivered { deliver, inline } = delivered;
        match (deliver.place, inline) {
            (Place::Slab { offset, .. }, _) => {
                let slab = self.slab.as_ref().expect("a slab");
                let lent = self.leases.lend(deliver.delivery, slab, offset, deliver.task_size);
                lent.expect("within the slab")
            }
            (_, Some(bytes)) => bytes,
            (_, None) => {
                let payload = SealedPayload::receive(descriptor.expect("a descriptor"), deliver.task_size);
                payload.and_then(|payload| payload.map()).expect("sealed memory")
            }
        }
    }

    fn work(&mut self) {
        if let Some(running) = &self.running {
            let whole = running.task.hyperparams().iter().all(|byte| *byte == 7);
            if !whole {
                tell(&format!("spoiled {} 0", running.delivery.0));
            }
            if running.waits_for_a_stop() || now() < running.until {
                return;
            }
            let delivery = running.delivery;
            self.running = None;
            self.worked = self.worked.saturating_add(1);
            let _ = self.session.finish(now(), delivery, Outcome::Succeeded, Vec::new());
        }
        while self.worked < BYE_AFTER {
            let Some((delivery, task)) = self.queue.pop_front() else { return };
            if self.session.start(now(), delivery) {
                self.running = Some(Running { delivery, task, until: now() + Duration::from_millis(6) });
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
