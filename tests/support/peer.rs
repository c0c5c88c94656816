//! A peer that speaks the wire by hand, well or badly.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::{Delivery, Instance, JobId, Token};
use trainwire_protocol::message::{
    AckEntry, Deliver, FromTrainer, Hello, Outcome, Refused, TaskResult, ToTrainer, Welcome,
};
use trainwire_unix::Wait;
use trainwire_unix::descriptors::receive;

use crate::within;

/// One connection to a job's socket.
pub struct Peer {
    pub stream: UnixStream,
    /// Heard and not looked at.
    pub acks: Vec<AckEntry>,
    /// Received and not looked at.
    pub descriptors: VecDeque<OwnedFd>,
    reader: FrameReader,
}

/// What came next.
#[derive(Debug)]
pub enum Heard {
    Message(ToTrainer, Option<Bytes>),
    /// The orchestrator closed the connection.
    End,
}

impl Peer {
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            acks: Vec::new(),
            descriptors: VecDeque::new(),
            reader: FrameReader::new(ReaderLimits::default()),
        }
    }

    pub async fn connect(socket: &Path) -> Self {
        Self::new(UnixStream::connect(socket).await.expect("somebody listens"))
    }

    /// As an honest trainer started by hand, and let in.
    pub async fn join(&mut self, job_id: &str) -> Welcome {
        self.send(&[FromTrainer::Hello(hello(job_id, None))]).await;
        self.welcome().await
    }

    /// Messages as the protocol wants them.
    pub async fn send(&mut self, messages: &[FromTrainer]) {
        self.send_bytes(&frames(messages)).await.expect("the orchestrator reads");
    }

    /// Any bytes at all. An error says that the orchestrator has closed the connection.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.stream.write_all(bytes)).await
    }

    /// The next message.
    pub async fn hear(&mut self) -> Heard {
        loop {
            if let Some(frame) = self.reader.next().expect("the orchestrator keeps to the protocol") {
                let (message, task) =
                    frame.decode_to_trainer().expect("the orchestrator keeps to the protocol");
                return Heard::Message(message, task);
            }
            match within(self.receive()).await {
                Ok(read @ 1..) => self.reader.advance(read),
                // Closed with bytes of ours unread, the kernel says "reset".
                Ok(0) | Err(_) => return Heard::End,
            }
        }
    }

    async fn receive(&mut self) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let (stream, spare, descriptors) = (&self.stream, self.reader.spare(), &mut self.descriptors);
            let received =
                stream.try_io(Interest::READABLE, || receive(stream, spare, descriptors, Wait::DontWait));
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received.map(|received| received.bytes),
            }
        }
    }

    pub async fn welcome(&mut self) -> Welcome {
        match self.hear().await {
            Heard::Message(ToTrainer::Welcome(welcome), _) => welcome,
            other => panic!("no Welcome but {other:?}"),
        }
    }

    /// The next Deliver and its task, past whatever else comes; `None` at the end of the connection.
    pub async fn delivered(&mut self) -> Option<(Deliver, Bytes)> {
        loop {
            match self.hear().await {
                Heard::Message(ToTrainer::Deliver(deliver), task) => {
                    return Some((deliver, task.unwrap_or_default()));
                }
                Heard::Message(ToTrainer::Bye(_), _) | Heard::End => return None,
                Heard::Message(..) => {}
            }
        }
    }

    /// Says nothing more, and listens on.
    pub async fn end(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown().await;
    }

    /// What is said at the end of the connection, if anything is.
    pub async fn parting(&mut self) -> Option<Refused> {
        let mut last = None;
        loop {
            match self.hear().await {
                Heard::Message(ToTrainer::Refused(refused), _) => last = Some(refused),
                Heard::Message(..) => {}
                Heard::End => return last,
            }
        }
    }

    /// The code the connection ends with; empty for none.
    pub async fn parting_code(&mut self) -> String {
        self.parting().await.map(|refused| refused.code).unwrap_or_default()
    }
}

/// The first word of a new trainer.
pub fn hello(job_id: &str, token: Option<Token>) -> Hello {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Hello {
        version: "peer".to_owned(),
        token,
        ..Hello::new(
            JobId::new(job_id).expect("a job id"),
            Instance(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        )
    }
}

/// A success.
pub fn result(delivery: Delivery, seq: u64) -> FromTrainer {
    FromTrainer::Result(TaskResult { delivery, seq, outcome: Outcome::Succeeded, metrics: Vec::new() })
}

/// As the protocol writes them.
pub fn frames(messages: &[FromTrainer]) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    for message in messages {
        writer.push_from_trainer(message).expect("a message that can be sent");
    }
    writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect()
}
