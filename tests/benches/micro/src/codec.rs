//! Messages into frames and back.

use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::{FromTrainer, Heartbeat};

use crate::Run;
use crate::wire::{carry, deliver, inline, report, result, task};

pub(crate) fn encode_deliver() -> Run {
    let (task, mut writer) = (task(), FrameWriter::default());
    let deliver = deliver(1, task.as_bytes().len());
    Box::new(move || {
        writer.push_deliver(&deliver, inline(&task)).expect("it fits");
        assert!(writer.len_bytes() > 256);
        writer.clear();
    })
}

pub(crate) fn decode_deliver() -> Run {
    let task = task();
    let deliver = deliver(1, task.as_bytes().len());
    let frame = bytes_of(|writer| writer.push_deliver(&deliver, inline(&task)).expect("it fits"));
    let mut reader = FrameReader::new(ReaderLimits::default());
    Box::new(move || {
        fill(&mut reader, &frame);
        let frame = reader.next().expect("a frame").expect("all of it");
        let (_, task) = frame.decode_to_trainer().expect("a message");
        assert!(task.is_some_and(|task| task.len() > 200));
    })
}

pub(crate) fn encode_report() -> Run {
    encode(FromTrainer::Report(report(ROWS)))
}

pub(crate) fn decode_report() -> Run {
    decode(FromTrainer::Report(report(ROWS)))
}

pub(crate) fn encode_result() -> Run {
    encode(FromTrainer::Result(result(1)))
}

pub(crate) fn decode_result() -> Run {
    decode(FromTrainer::Result(result(1)))
}

/// What an orchestrator finds in its block when many trainers beat.
pub(crate) fn cut_frames() -> Run {
    let heartbeat = Heartbeat { running: Some(Delivery(1)), progress_age: std::time::Duration::from_secs(1) };
    let heartbeat = FromTrainer::Heartbeat(heartbeat);
    let frame = bytes_of(|writer| writer.push_from_trainer(&heartbeat).expect("it fits"));
    let frames = (64 << 10) / frame.len();
    let bytes = frame.repeat(frames);
    let mut reader = FrameReader::new(ReaderLimits::default());
    Box::new(move || {
        let mut count = 0;
        // As much as one read gives.
        for part in bytes.chunks(4 << 10) {
            fill(&mut reader, part);
            while reader.next().expect("a frame").is_some() {
                count += 1;
            }
        }
        assert_eq!(count, frames);
    })
}

fn encode(message: FromTrainer) -> Run {
    let mut writer = FrameWriter::default();
    Box::new(move || {
        writer.push_from_trainer(&message).expect("it fits");
        assert!(!writer.is_empty());
        writer.clear();
    })
}

fn decode(message: FromTrainer) -> Run {
    let frame = bytes_of(|writer| writer.push_from_trainer(&message).expect("it fits"));
    let mut reader = FrameReader::new(ReaderLimits::default());
    Box::new(move || {
        fill(&mut reader, &frame);
        let frame = reader.next().expect("a frame").expect("all of it");
        assert_eq!(frame.decode_from_trainer().expect("a message"), message);
    })
}

fn bytes_of(push: impl FnOnce(&mut FrameWriter)) -> Vec<u8> {
    let mut writer = FrameWriter::default();
    push(&mut writer);
    let mut reader = FrameReader::new(ReaderLimits::default());
    let bytes = writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect();
    carry(&mut writer, &mut reader);
    assert!(reader.next().expect("a frame").is_some());
    bytes
}

fn fill(reader: &mut FrameReader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let spare = reader.spare();
        let (now, later) = bytes.split_at(bytes.len().min(spare.len()));
        spare[..now.len()].copy_from_slice(now);
        reader.advance(now.len());
        bytes = later;
    }
}

const ROWS: usize = 100;
