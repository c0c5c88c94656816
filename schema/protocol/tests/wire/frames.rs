//! A stream cut anywhere gives the same frames and the same error.

use proptest::collection::vec;
use proptest::prelude::*;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{FrameReader, FrameWriter, Kind, SharedBlock};
use trainwire_protocol::id::Delivery;
use trainwire_protocol::message::FromTrainer;

use crate::messages::{Sent, drain, expected, push, reader, receive, sent, stream_of};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_written_is_read(sent in vec(sent(), 0..8), cuts in vec(1..3_000_usize, 0..40)) {
        let (received, error) = receive(&stream_of(&sent), &cuts);
        let expected: Vec<_> = sent.iter().map(expected).collect();
        prop_assert_eq!(error, None);
        prop_assert_eq!(format!("{received:?}"), format!("{expected:?}"));
    }

    #[test]
    fn mutated_streams_give_the_same_however_they_are_cut(
        sent in vec(sent(), 1..5),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
        cuts in vec(1..200_usize, 0..60),
    ) {
        let mut stream = stream_of(&sent);
        for (at, byte) in mutations {
            // Half of them where they hurt most: in the first frame's header and meta.
            let at = if byte % 2 == 0 { at.index(stream.len().min(64)) } else { at.index(stream.len()) };
            stream[at] = byte;
        }
        stream.truncate(stream.len() - keep.index(stream.len()) / 4);
        let (whole, whole_error) = receive(&stream, &[]);
        let (cut, cut_error) = receive(&stream, &cuts);
        prop_assert_eq!(whole_error, cut_error);
        prop_assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
    }

    #[test]
    fn a_writer_drained_in_any_pieces_gives_the_same_bytes(
        sent in vec(sent(), 0..8),
        pieces in vec(1..9_000_usize, 1..60),
    ) {
        let whole = stream_of(&sent);
        let mut writer = FrameWriter::default();
        let (mut stream, mut tokens) = (Vec::new(), Vec::new());
        let mut pieces = pieces.iter().cycle();
        for sent in &sent {
            push(&mut writer, sent);
            take_some(&mut writer, *pieces.next().unwrap(), &mut stream, &mut tokens);
        }
        while !writer.is_empty() {
            take_some(&mut writer, *pieces.next().unwrap(), &mut stream, &mut tokens);
        }
        let flagged: Vec<_> = sent.iter().filter_map(|sent| match sent {
            Sent::Flagged(_, token) | Sent::Slab(_, token) => Some(*token),
            _ => None,
        }).collect();
        prop_assert_eq!(stream, whole);
        prop_assert_eq!(tokens, flagged, "each descriptor is asked for once, in order");
    }
}

/// One sendmsg that takes at most so much. A descriptor has gone as soon as one byte has.
fn take_some(writer: &mut FrameWriter, size_bytes_max: usize, stream: &mut Vec<u8>, tokens: &mut Vec<u64>) {
    let flat: Vec<u8> = writer.io_slices().iter().flat_map(|slice| slice.iter().copied()).collect();
    assert!(flat.len() <= writer.bytes_until_descriptor());
    let n = flat.len().min(size_bytes_max);
    if n > 0 {
        tokens.extend(writer.descriptor_at_front());
    }
    stream.extend_from_slice(&flat[..n]);
    writer.advance(n);
}

#[test]
fn a_frame_is_under_way_from_its_first_byte_to_its_last() {
    let stream = stream_of(&[Sent::FromTrainer(FromTrainer::Started(Delivery(7)))]);
    let mut reader = reader();
    assert!(!reader.mid_frame());
    for (at, byte) in stream.iter().enumerate() {
        assert!(reader.next().unwrap().is_none());
        assert_eq!(reader.mid_frame(), at > 0);
        reader.spare()[0] = *byte;
        reader.advance(1);
    }
    assert!(reader.next().unwrap().is_some());
    assert!(!reader.mid_frame());
}

#[test]
fn after_an_error_nothing_is_read_and_nothing_grows() {
    let mut stream = stream_of(&[Sent::FromTrainer(FromTrainer::Started(Delivery(7)))]);
    let good = stream.clone();
    stream[4] = 99;
    let mut reader = reader();
    let error = ProtocolError::UnknownKind { kind_byte: 99 };
    for _ in 0..1_000 {
        let n = stream.len();
        reader.spare()[..n].copy_from_slice(&stream);
        reader.advance(n);
        assert_eq!(reader.next().unwrap_err(), error);
        stream.clone_from(&good);
    }
    assert_eq!(reader.blocks_allocated(), 1);
}

#[test]
fn a_cleared_writer_starts_anew() {
    let started = Sent::FromTrainer(FromTrainer::Started(Delivery(7)));
    let mut writer = FrameWriter::default();
    push(&mut writer, &started);
    writer.advance(3);
    writer.clear();
    assert!(writer.is_empty());
    push(&mut writer, &started);
    assert_eq!(drain(&mut writer), stream_of(&[started]));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn readers_that_share_a_block_read_what_they_would_alone(
        streams in vec(vec(sent(), 0..6), 2..4),
        cuts in vec(1..3_000_usize, 1..60),
    ) {
        let bytes: Vec<Vec<u8>> = streams.iter().map(|sent| stream_of(sent)).collect();
        let mut shared = SharedBlock::default();
        let mut readers: Vec<_> = bytes.iter().map(|bytes| (reader(), bytes.as_slice(), Vec::new())).collect();
        let mut cuts = cuts.iter().cycle();
        while readers.iter().any(|(_, left, _)| !left.is_empty()) {
            for (reader, left, received) in &mut readers {
                let (now, later) = left.split_at(left.len().min(*cuts.next().unwrap()));
                *left = later;
                reader.borrow_block(&mut shared);
                received.extend(take(reader, now));
                reader.return_block(&mut shared);
            }
        }
        for ((_, _, received), bytes) in readers.iter().zip(&bytes) {
            prop_assert_eq!(received, &take(&mut reader(), bytes));
        }
    }
}

/// Feeds all of it and takes the frames: kind, flag and meta part.
fn take(reader: &mut FrameReader, mut bytes: &[u8]) -> Vec<(Kind, bool, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let spare = reader.spare();
        let n = bytes.len().min(spare.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        reader.advance(n);
        bytes = &bytes[n..];
        while let Some(frame) = reader.next().unwrap() {
            frames.push((frame.kind, frame.descriptor, frame.meta.to_vec()));
        }
    }
    frames
}
