//! The other end, for unit tests: frames made by hand, frames taken apart.

use std::time::Duration;

use bytes::Bytes;

use crate::frame::{DeliverPayload, FrameReader, FrameWriter, ReaderLimits};
use crate::id::{Delivery, Instance, JobId};
use crate::message::{Deliver, FromTrainer, Hello, Place, ToTrainer, Welcome};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Empties a writer into a reader, as a socket would.
pub(super) fn reader_of(writer: &mut FrameWriter) -> FrameReader {
    let mut reader = FrameReader::new(ReaderLimits::default());
    while !writer.is_empty() {
        let slice = writer.io_slices().first().map(|slice| slice.to_vec()).unwrap_or_default();
        let spare = reader.spare();
        let n = spare.len().min(slice.len());
        spare[..n].copy_from_slice(&slice[..n]);
        reader.advance(n);
        writer.advance(n);
    }
    reader
}

pub(super) fn from_trainer(message: &FromTrainer) -> FrameReader {
    let mut writer = FrameWriter::default();
    writer.push_from_trainer(message).unwrap();
    reader_of(&mut writer)
}

pub(super) fn to_trainer(message: &ToTrainer) -> FrameReader {
    let mut writer = FrameWriter::default();
    match message {
        ToTrainer::Deliver(deliver) => {
            let in_slab = matches!(deliver.place, Place::Slab { .. });
            let payload = if in_slab { DeliverPayload::InSlab } else { payload() };
            writer.push_deliver(deliver, payload).unwrap();
        }
        ToTrainer::Slab(slab) => writer.push_slab(slab, 1).unwrap(),
        message => writer.push_to_trainer(message).unwrap(),
    }
    reader_of(&mut writer)
}

pub(super) fn decode_from_trainer(writer: &mut FrameWriter) -> Vec<FromTrainer> {
    let mut reader = reader_of(writer);
    let mut messages = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        messages.push(frame.decode_from_trainer().unwrap());
    }
    messages
}

pub(super) fn decode_to_trainer(writer: &mut FrameWriter) -> Vec<ToTrainer> {
    let mut reader = reader_of(writer);
    let mut messages = Vec::new();
    while let Some(frame) = reader.next().unwrap() {
        messages.push(frame.decode_to_trainer().unwrap().0);
    }
    messages
}

pub(super) fn hello() -> Hello {
    Hello { version: "test".to_owned(), ..Hello::new(JobId::new("digits").unwrap(), Instance(7)) }
}

pub(super) fn welcome() -> Welcome {
    Welcome::default()
}

pub(super) fn deliver(delivery: u64) -> Deliver {
    Deliver::new(Delivery(delivery), TASK.len() as u64, Place::Inline)
}

pub(super) fn payload() -> DeliverPayload {
    DeliverPayload::Inline(Bytes::from_static(TASK).into())
}

const TASK: &[u8] = b"not a task, and nobody here looks";
