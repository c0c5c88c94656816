//! Bytes that are no frame of this protocol.

use flatbuffers::FlatBufferBuilder;
use trainwire_protocol::frame::{FrameWriter, Kind};
use trainwire_protocol::message::{Bye, FromTrainer, ToTrainer};
use trainwire_tests::{frames, hello};

use crate::Arena;

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_connection_with_their_code() {
    let hello = frames(&[FromTrainer::Hello(hello("victim", None))]);
    let spoilt = |at: usize, bytes: &[u8]| {
        let mut spoilt = hello.clone();
        spoilt[at..at + bytes.len()].copy_from_slice(bytes);
        spoilt
    };
    let huge = 0xffff_fffc_u32.to_le_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("bad_length", spoilt(0, &huge)),
        ("bad_length", spoilt(0, &[0; 4])),
        ("bad_length", spoilt(0, &[hello[0] + 1])),
        ("bad_length", spoilt(0, &[hello[0] + 8])),
        ("unknown_kind", spoilt(4, &[0])),
        ("bad_flags", spoilt(4, &[4])), // a Slab without its descriptor
        ("unknown_kind", spoilt(4, &[99])),
        ("bad_flags", spoilt(5, &[1])),
        ("bad_flags", spoilt(5, &[0x80])),
        ("meta_too_large", spoilt(6, &[0xff, 0xff])),
        ("bad_meta", spoilt(8, &[0xff; 4])),
        ("bad_meta", frame(Kind::Hello, &[])),
        ("bad_meta", frame(Kind::Report, &bomb())),
        ("wrong_direction", to_trainer()),
        ("bad_length", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    let mut arena = Arena::new().await;
    for (number, (code, bytes)) in cases.iter().enumerate() {
        let mut peer = arena.connect();
        peer.send_bytes(bytes).await.expect("room for one frame");
        let parting = peer.parting().await.expect("a word");
        if bytes.starts_with(b"GET") {
            // Whatever HTTP happens to look like.
            assert!(!parting.code.is_empty());
        } else {
            assert_eq!(parting.code, *code, "case {number}: {}", parting.text);
        }
        assert!(!parting.text.is_empty());
    }
    // The same from a trainer that was let in.
    for (code, bytes) in cases.iter().filter(|(code, _)| !code.starts_with("bad_meta")) {
        let mut peer = arena.attach().await;
        peer.send_bytes(bytes).await.expect("room for one frame");
        let parting = peer.parting_code().await;
        assert!(parting == *code || bytes.starts_with(b"GET"), "{parting} is not {code}");
    }
    arena.stands().await;
}

/// A frame with any meta part.
fn frame(kind: Kind, meta: &[u8]) -> Vec<u8> {
    let meta_words = u16::try_from(meta.len().div_ceil(8)).expect("a short one");
    let mut frame = (4 + 8 * u32::from(meta_words)).to_le_bytes().to_vec();
    frame.extend([kind as u8, 0]);
    frame.extend(meta_words.to_le_bytes());
    frame.extend(meta);
    frame.resize(8 + 8 * usize::from(meta_words), 0);
    frame
}

/// A valid Report of 8 KiB whose thousand names are one and the same text of 4,000 bytes: a verifier
/// without a bound would visit 4 MB.
fn bomb() -> Vec<u8> {
    const DELIVERY: u16 = 4;
    const NAMES: u16 = 6;
    let mut builder = FlatBufferBuilder::new();
    let name = builder.create_string(&"x".repeat(4_000));
    let names = builder.create_vector(&vec![name; 1_000]);
    let report = builder.start_table();
    builder.push_slot_always(DELIVERY, 1_u64);
    builder.push_slot_always(NAMES, names);
    let report = builder.end_table(report);
    builder.finish_minimal(report);
    builder.finished_data().to_vec()
}

/// What only the orchestrator may say.
fn to_trainer() -> Vec<u8> {
    let mut writer = FrameWriter::default();
    writer.push_to_trainer(&ToTrainer::Ack(Vec::new())).expect("an Ack");
    writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect()
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_ends_quietly() {
    let mut arena = Arena::new().await;
    let bytes = frames(&[FromTrainer::Hello(hello("victim", None))]);
    for cut in 0..bytes.len() {
        let mut peer = arena.connect();
        peer.send_bytes(&bytes[..cut]).await.expect("room for one frame");
        peer.end().await;
        assert_eq!(peer.parting_code().await, "", "cut after {cut} bytes");
    }
    arena.stands().await;
}

#[tokio::test]
async fn bye_and_silence_are_no_offence() {
    let mut arena = Arena::new().await;
    let mut peer = arena.attach().await;
    let bye = Bye { code: "exiting".to_owned(), text: String::new() };
    peer.send(&[FromTrainer::Bye(bye)]).await;
    peer.end().await;
    assert_eq!(peer.parting_code().await, "");
    arena.stands().await;
}
