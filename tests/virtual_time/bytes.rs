//! Between bytes and frames, as every shell does it.

use trainwire_protocol::error::ProtocolError;
use trainwire_protocol::frame::{Frame, FrameReader, FrameWriter, ReaderLimits};

/// For one connection.
pub(crate) fn reader() -> FrameReader {
    FrameReader::new(ReaderLimits::default())
}

/// What becomes of bytes.
pub(crate) enum Fed<'a, 'b> {
    Frame(&'a Frame<'b>),
    Partial,
}

/// Gives a reader what a read gave, and the session what becomes of it.
pub(crate) fn feed(
    reader: &mut FrameReader,
    mut bytes: &[u8],
    mut handle: impl FnMut(Fed<'_, '_>) -> Result<(), ProtocolError>,
) -> Result<(), ProtocolError> {
    while !bytes.is_empty() {
        let spare = reader.spare();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        reader.advance(n);
        bytes = &bytes[n..];
        while let Some(frame) = reader.next()? {
            handle(Fed::Frame(&frame))?;
        }
        if reader.mid_frame() {
            handle(Fed::Partial)?;
        }
    }
    Ok(())
}

/// Everything a writer holds.
pub(crate) fn bytes_of(writer: &mut FrameWriter) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !writer.is_empty() {
        let slice = writer.io_slices().first().map(|slice| slice.to_vec()).unwrap_or_default();
        writer.advance(slice.len());
        bytes.extend(slice);
    }
    bytes
}
