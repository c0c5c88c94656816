//! The spool: results that no orchestrator could take, for the one that comes after.
//!
//! A delivery's file holds the frames as they would have gone through the socket. It is written
//! beside its name, fsynced and renamed, so whoever finds the name finds all of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use trainwire_protocol::frame::FrameWriter;
use trainwire_protocol::message::FromTrainer;
use trainwire_unix::names;

/// Writes one file a delivery, over what was there. Returns their names.
///
/// # Errors
/// The operating system's.
pub(crate) fn write<'a>(
    folder: &Path,
    messages: impl Iterator<Item = &'a FromTrainer>,
) -> io::Result<Vec<PathBuf>> {
    let mut frames: BTreeMap<u64, FrameWriter> = BTreeMap::new();
    for message in messages {
        let delivery = match message {
            FromTrainer::Result(result) => result.delivery,
            FromTrainer::Checkpoint(checkpoint) => checkpoint.delivery,
            _ => continue, // nothing else is ever kept until acknowledged
        };
        frames.entry(delivery.0).or_default().push_from_trainer(message).map_err(io::Error::other)?;
    }
    names::make_folder(folder)?;
    let mut files = Vec::new();
    for (delivery, frames) in frames {
        let name = folder.join(format!("{delivery}.frames"));
        write_file(&name, frames)?;
        files.push(name);
    }
    // The orchestrator has not waited for the folders above.
    files.first().map_or(Ok(()), |name| names::sync_names(name))?;
    Ok(files)
}

fn write_file(name: &Path, mut frames: FrameWriter) -> io::Result<()> {
    let unfinished = name.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    while !frames.is_empty() {
        let written = file.write_vectored(&frames.io_slices())?;
        frames.advance(written);
    }
    file.sync_all()?;
    fs::rename(&unfinished, name)
}
