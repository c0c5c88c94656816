//! The spool: results that no orchestrator could take, for the one that comes after.
//!
//! A file holds the frames as they would have gone through the socket. It is written beside its
//! name, fsynced and renamed, so whoever finds the name finds all of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::id::Instance;
use trainwire_protocol::message::FromTrainer;

/// Replaces what this trainer has in the spool. Returns the file's name.
///
/// # Errors
/// The operating system's; a message that fits no frame is `InvalidData`.
pub(crate) fn write<'a>(
    folder: &Path,
    instance: Instance,
    messages: impl Iterator<Item = &'a FromTrainer>,
) -> io::Result<PathBuf> {
    let mut frames = FrameWriter::default();
    for message in messages {
        frames.push_from_trainer(message).map_err(io::Error::other)?;
    }
    fs::create_dir_all(folder)?;
    let name = folder.join(format!("{:032x}.frames", instance.0));
    let unfinished = name.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    while !frames.is_empty() {
        let written = file.write_vectored(&frames.io_slices())?;
        frames.advance(written);
    }
    file.sync_all()?;
    fs::rename(&unfinished, &name)?;
    File::open(folder)?.sync_all()?;
    Ok(name)
}
