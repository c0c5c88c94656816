//! Any bytes as a stream of frames: the first byte says how it is cut. Whole or cut, the same messages
//! and the same error come out, and what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{FrameReader, FrameWriter, ReaderLimits};
use trainwire_protocol::message::FromTrainer;

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = read(stream, usize::MAX);
    let in_pieces = read(stream, 1 + usize::from(*cut));
    assert_eq!(whole.error, in_pieces.error);
    assert_eq!(whole.texts, in_pieces.texts);

    let mut writer = FrameWriter::default();
    for message in &whole.from_trainer {
        if let Err(error) = writer.push_from_trainer(message) {
            // Strings the sender shared are written one by one here.
            assert_eq!(error.code(), "message_too_large");
            return;
        }
    }
    let bytes: Vec<u8> = writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect();
    let again = read(&bytes, usize::MAX);
    assert_eq!(format!("{:?}", again.from_trainer), format!("{:?}", whole.from_trainer));
});

#[derive(Default)]
struct Read {
    /// NaN differs from itself; texts do not.
    texts: Vec<String>,
    from_trainer: Vec<FromTrainer>,
    error: Option<ProtocolError>,
}

fn read(stream: &[u8], piece: usize) -> Read {
    let mut reader = FrameReader::new(ReaderLimits::default());
    let (mut read, mut left) = (Read::default(), stream);
    loop {
        match reader.next() {
            Ok(Some(frame)) => match frame.decode_from_trainer() {
                Ok(message) => {
                    read.texts.push(format!("{message:?}"));
                    read.from_trainer.push(message);
                }
                Err(ProtocolError::WrongDirection { .. }) => match frame.decode_to_trainer() {
                    Ok(received) => read.texts.push(format!("{received:?}")),
                    Err(error) => return Read { error: Some(error), ..read },
                },
                Err(error) => return Read { error: Some(error), ..read },
            },
            Ok(None) if left.is_empty() => return read,
            Ok(None) => {
                let spare = reader.spare();
                let n = spare.len().min(piece).min(left.len());
                let (now, later) = left.split_at(n);
                spare[..n].copy_from_slice(now);
                reader.advance(n);
                left = later;
            }
            Err(error) => return Read { error: Some(error), ..read },
        }
    }
}
