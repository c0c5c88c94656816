use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::id::{Delivery, Instance, JobId};
use trainwire_protocol::limits::PROTOCOL_VERSION;
use trainwire_protocol::message::{AckKind, FromTrainer, Hello, Outcome, Place, TaskResult, ToTrainer};
use trainwire_protocol::task_builder::TaskBuilder;
use trainwire_unix::{SealedPayload, Wait};

use super::*;
use crate::clock;

#[test]
fn a_drain_brings_everything_that_was_sent_and_then_the_end() {
    let mut pair = Pair::welcomed();
    pair.send((1..=500).map(result));
    assert_eq!(pair.read(Depth::Drain), Ok(()));
    let seqs: Vec<u64> = pair.arrived().map(seq_of).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());

    pair.send([result(501)]);
    drop(pair.trainer.take());
    assert_eq!(pair.read(Depth::Drain), Err(Over::Ended));
    assert_eq!(pair.arrived().map(seq_of).collect::<Vec<_>>(), [501]);
}

#[test]
fn many_connections_share_a_block_and_half_a_frame_stays_with_its_own() {
    let mut buffers = Buffers::default();
    let mut pairs: Vec<Pair> = (0..3).map(|_| Pair::welcomed()).collect();
    let mut writer = FrameWriter::default();
    writer.push_from_trainer(&result(7)).unwrap();
    let frame = writer.io_slices()[0].to_vec();
    for (at, byte) in frame.iter().enumerate() {
        for pair in &mut pairs {
            pair.trainer().write_all(&[*byte]).unwrap();
            let read =
                pair.connection.read(clock::monotonic(), Depth::Turn, &mut buffers, &mut pair.arrivals);
            assert_eq!(read, Ok(()));
            assert_eq!(pair.arrivals.len(), usize::from(at + 1 == frame.len()));
        }
    }
    for pair in &mut pairs {
        assert_eq!(pair.arrived().map(seq_of).collect::<Vec<_>>(), [7]);
    }
}

#[test]
fn a_trainer_that_never_reads_is_not_read_either() {
    let mut pair = Pair::welcomed();
    pair.trainer().set_nonblocking(true).unwrap();
    let mut writer = FrameWriter::default();
    writer.push_from_trainer(&result(1)).unwrap();
    let frame = writer.io_slices()[0].to_vec();
    let (mut sent, mut acknowledged) = (0, 0);
    loop {
        let written = pair.trainer().write(&frame);
        assert_eq!(pair.read(Depth::Turn), Ok(()));
        let arrived = pair.arrived().count();
        for _ in 0..arrived {
            acknowledged += 1;
            pair.connection.ack(AckEntry { delivery: Delivery(1), seq: 1, kind: AckKind::Superseded });
        }
        pair.write().unwrap();
        match written {
            Ok(count) => sent += count,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                if arrived == 0 {
                    break;
                }
            }
        }
    }
    assert_eq!(pair.connection.watch_anew(), Some(Wanted { bytes: false, room: true }));
    assert!(acknowledged > 1_000, "{acknowledged}");
    assert!(sent < 64 << 20, "{sent} bytes were taken from a trainer that reads nothing");

    // It reads after all.
    pair.trainer().set_nonblocking(false).unwrap();
    while pair.connection.has_unsent() {
        let _ = pair.trainer().read(&mut [0; 65_536]).unwrap();
        pair.write().unwrap();
    }
    assert_eq!(pair.connection.watch_anew(), Some(Wanted::BYTES));
}

#[test]
fn a_large_task_travels_as_sealed_memory_between_other_frames() {
    let mut pair = Pair::welcomed();
    let large = TaskBuilder::new("large", "m").hyperparams(vec![7; 300_000]).build().unwrap();
    let small = TaskBuilder::new("small", "m").build().unwrap();
    for (number, task) in [(1, &small), (2, &large), (3, &large), (4, &small)] {
        let payload = Payload::Inline(task.clone()).placed(65_536, None).unwrap();
        let deliver = Deliver::new(Delivery(number), payload.size_bytes(), payload.place());
        pair.connection.deliver(deliver, payload);
    }
    pair.write().unwrap();
    assert_eq!(
        pair.receive_tasks(4),
        [&small, &large, &large, &small].map(|task| task.as_bytes().to_bytes().to_vec())
    );
}

#[test]
fn the_refused_are_told_why() {
    let mut pair = Pair::connected();
    let refused = Refused {
        code: "bad_token".to_owned(),
        text: "no".to_owned(),
        retry_later: false,
        protocol_min: PROTOCOL_VERSION,
        protocol_max: PROTOCOL_VERSION,
    };
    pair.connection.refuse(refused.clone());
    assert_eq!(pair.write(), Err(Over::Ended));
    let mut reader = FrameReader::new(ReaderLimits::default());
    let read = pair.trainer().read(reader.spare()).unwrap();
    reader.advance(read);
    let (answer, _) = reader.next().unwrap().unwrap().decode_to_trainer().unwrap();
    assert_eq!(answer, ToTrainer::Refused(refused));
}

/// A connection and the trainer's end of it.
struct Pair {
    connection: Connection,
    trainer: Option<UnixStream>,
    buffers: Buffers,
    arrivals: Vec<Arrival>,
}

impl Pair {
    /// The Hello has arrived.
    fn connected() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let terms = Terms {
            job: JobNo(1),
            forward_heartbeats: false,
            timeouts: Timeouts::default(),
            poll: Duration::ZERO,
        };
        let peer = Peer { pid: 1, pidfd: None };
        let connection = Connection::new(ConnectionNo(1), terms, ours.into(), peer, clock::monotonic());
        let mut pair =
            Self { connection, trainer: Some(theirs), buffers: Buffers::default(), arrivals: Vec::new() };
        pair.send([FromTrainer::Hello(Hello {
            version: "test".to_owned(),
            ..Hello::new(JobId::new("a").unwrap(), Instance(1))
        })]);
        pair.read(Depth::Turn).unwrap();
        assert!(matches!(pair.arrived().next(), Some(Arrival::Input(Input::Hello { .. }))));
        pair
    }

    fn welcomed() -> Self {
        let mut pair = Self::connected();
        let welcome = Welcome::default();
        pair.connection.welcome(clock::monotonic(), welcome);
        pair.write().unwrap();
        pair
    }

    fn read(&mut self, depth: Depth) -> Result<(), Over> {
        self.connection.read(clock::monotonic(), depth, &mut self.buffers, &mut self.arrivals)
    }

    fn write(&mut self) -> Result<(), Over> {
        self.connection.write(clock::monotonic(), &mut self.buffers)
    }

    fn arrived(&mut self) -> std::vec::Drain<'_, Arrival> {
        self.arrivals.drain(..)
    }

    fn trainer(&mut self) -> &mut UnixStream {
        self.trainer.as_mut().unwrap()
    }

    /// In one write: many small ones would fill the socket.
    fn send(&mut self, messages: impl IntoIterator<Item = FromTrainer>) {
        let mut writer = FrameWriter::default();
        for message in messages {
            writer.push_from_trainer(&message).unwrap();
        }
        let slices: Vec<u8> = writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect();
        self.trainer().write_all(&slices).unwrap();
    }

    /// Blocks for so many Delivers.
    fn receive_tasks(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut reader = FrameReader::new(ReaderLimits::default());
        let (mut descriptors, mut delivers) = (Vec::new(), Vec::new());
        while delivers.len() < count {
            let read = trainwire_unix::descriptors::receive(
                self.trainer(),
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

fn seq_of(arrival: Arrival) -> u64 {
    match arrival {
        Arrival::Input(Input::Result { result, .. }) => result.seq,
        other => panic!("{other:?}"),
    }
}
