use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use trainwire_protocol::id::{Delivery, Instance};
use trainwire_protocol::limits::PROTOCOL_VERSION;
use trainwire_protocol::message::{AckKind, FromTrainer, Hello, Outcome, Place, Role, TaskResult, ToTrainer};
use trainwire_protocol::task_builder::TaskBuilder;
use trainwire_unix::{SealedPayload, Wait};

use super::*;

#[tokio::test]
async fn a_drain_brings_everything_that_was_sent_and_then_says_so() {
    let mut trainer = Trainer::welcomed().await;
    trainer.send((1..=500).map(result));
    trainer.commands.send(Command::Drain).unwrap();
    let mut seqs = Vec::new();
    loop {
        match trainer.arrival().await {
            Input::Result { result, .. } => seqs.push(result.seq),
            Input::Drained { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());

    trainer.send([result(501)]);
    drop(trainer.socket.take());
    assert!(matches!(trainer.arrival().await, Input::Result { .. }));
    assert!(matches!(trainer.arrival().await, Input::Disconnected { code: None, .. }));
}

#[tokio::test]
async fn a_trainer_that_never_reads_is_not_read_either() {
    let mut trainer = Trainer::welcomed().await;
    trainer.socket().set_nonblocking(true).unwrap();
    let mut writer = FrameWriter::default();
    writer.push_from_trainer(&result(1)).unwrap();
    let frame = writer.io_slices()[0].to_vec();
    let (mut sent, mut acknowledged, mut stuck) = (0, 0, 0);
    while stuck < 50 {
        match trainer.socket().write(&frame) {
            Ok(count) => {
                sent += count;
                stuck = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                stuck += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        while let Ok(message) = trainer.inbox.try_recv() {
            let Message::Arrived { arrivals, .. } = message else { continue };
            for _ in arrivals {
                acknowledged += 1;
                let entry = AckEntry { delivery: Delivery(1), seq: 1, kind: AckKind::Superseded };
                trainer.commands.send(Command::Ack(entry)).unwrap();
            }
        }
        tokio::task::yield_now().await;
    }
    assert!(acknowledged > 1_000, "{acknowledged}");
    assert!(sent < 64 << 20, "{sent} bytes were taken from a trainer that reads nothing");
}

#[tokio::test]
async fn a_large_task_travels_as_sealed_memory_between_other_frames() {
    let trainer = Trainer::welcomed().await;
    let large = TaskBuilder::new("large", "m").hyperparams(vec![7; 300_000]).build().unwrap();
    let small = TaskBuilder::new("small", "m").build().unwrap();
    for (number, task) in [(1, &small), (2, &large), (3, &large), (4, &small)] {
        let payload = Payload::new(task.clone(), 65_536).unwrap();
        let deliver = Deliver {
            delivery: Delivery(number),
            attempt: 1,
            task_size: payload.size_bytes(),
            place: payload.place(),
            work: None,
            last_checkpoint: None,
            traceparent: None,
            time_left: None,
        };
        trainer.commands.send(Command::Deliver { deliver, payload }).unwrap();
    }
    let received = tokio::task::spawn_blocking(move || trainer.receive_tasks(4)).await.unwrap();
    assert_eq!(received, [&small, &large, &large, &small].map(|task| task.as_bytes().to_vec()));
}

#[tokio::test]
async fn the_refused_are_told_why_and_closed() {
    let mut trainer = Trainer::connected().await;
    let refused = Refused {
        code: "bad_token".to_owned(),
        text: "no".to_owned(),
        retry_later: false,
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
    };
    trainer.commands.send(Command::Refuse(refused.clone())).unwrap();
    let mut socket = trainer.socket.take().unwrap();
    let bytes = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut reader = FrameReader::new(ReaderLimits::default());
    let bytes = bytes.await.unwrap().unwrap();
    reader.spare()[..bytes.len()].copy_from_slice(&bytes);
    reader.advance(bytes.len());
    let (answer, _) = reader.next().unwrap().unwrap().decode_to_trainer().unwrap();
    assert_eq!(answer, ToTrainer::Refused(refused));
}

/// The other end, and the driver's.
struct Trainer {
    socket: Option<StdStream>,
    commands: mpsc::UnboundedSender<Command>,
    inbox: mpsc::Receiver<Message>,
    arrived: std::collections::VecDeque<Arrival>,
}

impl Trainer {
    /// Its Hello has arrived.
    async fn connected() -> Self {
        let (ours, theirs) = StdStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (driver, mut inbox) = mpsc::channel(16);
        let connector = Connector {
            job: JobNo(1),
            job_id: JobId::new("a").unwrap(),
            attach: true,
            forward_heartbeats: false,
            timeouts: Timeouts::default(),
            limits: ReaderLimits { inline_task_size_bytes_max: 0 },
            driver,
            numbers: Arc::default(),
        };
        connector.connect(UnixStream::from_std(ours).unwrap(), Peer { pid: 1, pidfd: None });
        let Some(Message::Connected { commands, .. }) = inbox.recv().await else { panic!() };
        let arrived = std::collections::VecDeque::new();
        let mut trainer = Self { socket: Some(theirs), commands, inbox, arrived };
        trainer.send([FromTrainer::Hello(Hello {
            protocol_min: PROTOCOL_VERSION,
            protocol_max: PROTOCOL_VERSION,
            job_id: JobId::new("a").unwrap(),
            version: "test".to_owned(),
            token: None,
            instance: Instance(1),
            connection: 1,
            role: Role::Primary,
            rank: 0,
            in_hand: Vec::new(),
            can_dump_stacks: false,
            held: Vec::new(),
        })]);
        assert!(matches!(trainer.arrival().await, Input::Hello { .. }));
        trainer
    }

    async fn welcomed() -> Self {
        let trainer = Self::connected().await;
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            heartbeat: Duration::from_secs(1),
            recv_timeout: Duration::from_secs(5),
            orphan_timeout: Duration::from_secs(600),
            spool: None,
            in_hand: Vec::new(),
            poll: Duration::ZERO,
        };
        trainer.commands.send(Command::Welcome(welcome)).unwrap();
        trainer
    }

    fn socket(&mut self) -> &mut StdStream {
        self.socket.as_mut().unwrap()
    }

    /// In one write: many small ones would fill the socket.
    fn send(&mut self, messages: impl IntoIterator<Item = FromTrainer>) {
        let mut writer = FrameWriter::default();
        for message in messages {
            writer.push_from_trainer(&message).unwrap();
        }
        let slices: Vec<u8> = writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect();
        self.socket().write_all(&slices).unwrap();
    }

    async fn arrival(&mut self) -> Input {
        loop {
            match self.arrived.pop_front() {
                Some(Arrival::Input(input)) => return input,
                Some(Arrival::Report(_)) => {}
                None => {
                    let Some(Message::Arrived { arrivals, .. }) = self.inbox.recv().await else { panic!() };
                    self.arrived.extend(arrivals);
                }
            }
        }
    }

    /// Blocks for so many Delivers.
    fn receive_tasks(mut self, count: usize) -> Vec<Vec<u8>> {
        let mut reader = FrameReader::new(ReaderLimits::default());
        let (mut descriptors, mut delivers) = (Vec::new(), Vec::new());
        while delivers.len() < count {
            let read = trainwire_unix::descriptors::receive(
                self.socket(),
                reader.spare(),
                &mut descriptors,
                Wait::Block,
            );
            reader.advance(read.unwrap().bytes);
            while let Some(frame) = reader.next().unwrap() {
                if let (ToTrainer::Deliver(deliver), inline) = frame.decode_to_trainer().unwrap() {
                    delivers.push((deliver, inline));
                }
            }
        }
        let mut descriptors = descriptors.into_iter();
        let tasks = delivers.into_iter().map(|(deliver, inline)| match deliver.place {
            Place::Inline => inline.unwrap().to_vec(),
            Place::Descriptor => {
                let memory = SealedPayload::receive(descriptors.next().unwrap(), deliver.task_size).unwrap();
                memory.map().unwrap().to_vec()
            }
            Place::Slab { .. } => panic!("no slab was shared"),
        });
        tasks.collect()
    }
}

fn result(seq: u64) -> FromTrainer {
    let (outcome, metrics) = (Outcome::Succeeded, Vec::new());
    FromTrainer::Result(TaskResult { delivery: Delivery(1), seq, outcome, metrics })
}
