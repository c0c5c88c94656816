//! Trainers without Python: the protocol's own [`TrainerSession`]s on real sockets, many to a thread. As many
//! interpreters would measure the machine's memory.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits, SharedBlock};
use trainwire_protocol::id::{Instance, JobId};
use trainwire_protocol::message::Role;
use trainwire_protocol::session::{Delivered, Identity, OutboxLimits, TrainerEvent, TrainerSession};

/// One of them.
pub struct Trainer {
    stream: UnixStream,
    session: TrainerSession,
    reader: FrameReader,
}

/// What one trainer after the other uses.
#[derive(Default)]
pub struct Tools {
    block: SharedBlock,
    writer: FrameWriter,
}

impl Trainer {
    /// Connects as a trainer that was started by hand, and says Hello.
    pub fn connect(socket: &Path, job_id: &str, number: usize, tools: &mut Tools) -> Self {
        let stream = connect(socket);
        let identity = Identity {
            job_id: JobId::new(job_id).expect("a job id"),
            token: None,
            instance: Instance(number as u128 + 1),
            role: Role::Primary,
            rank: 0,
            world_size: 0,
            restart: 0,
            version: "bench".into(),
            can_dump_stacks: false,
        };
        let now = Instant::now();
        let mut session = TrainerSession::new(identity, OutboxLimits::default());
        session.connected(now);
        let mut trainer = Self { stream, session, reader: FrameReader::new(ReaderLimits::default()) };
        trainer.transmit(now, tools);
        trainer
    }

    /// Takes what has come and says what is due; gives the task, if one has come.
    pub fn turn(&mut self, now: Instant, tools: &mut Tools) -> Option<Delivered> {
        self.reader.borrow_block(&mut tools.block);
        while let Ok(count) = self.stream.read(self.reader.spare()) {
            assert!(count > 0, "the orchestrator hung up");
            self.reader.advance(count);
            while let Some(frame) = self.reader.next().expect("frames of our own orchestrator") {
                self.session.handle_frame(now, &frame).expect("messages of our own orchestrator");
            }
        }
        self.reader.return_block(&mut tools.block);
        let mut task = None;
        while let Some(event) = self.session.poll_event() {
            match event {
                TrainerEvent::Delivered(delivered) => {
                    self.session.start(now, delivered.deliver.delivery);
                    task = Some(delivered);
                }
                TrainerEvent::Refused(refused) => panic!("{}: {}", refused.code, refused.text),
                _ => {}
            }
        }
        self.session.handle_timeout(now).expect("in time");
        self.transmit(now, tools);
        task
    }

    /// When to come back at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    fn transmit(&mut self, now: Instant, tools: &mut Tools) {
        let writer = &mut tools.writer;
        self.session.poll_transmit(now, writer).expect("messages that fit");
        while !writer.is_empty() {
            let count = self.stream.write_vectored(&writer.io_slices()).expect("room for a heartbeat");
            writer.advance(count);
        }
    }
}

impl AsFd for Trainer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits for the socket to be there.
pub fn connect(socket: &Path) -> UnixStream {
    let stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{}: {error}", socket.display()),
        }
    };
    stream.set_nonblocking(true).expect("a socket");
    stream
}
