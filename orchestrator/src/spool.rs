//! The spool of a job: what trainers could get nobody to acknowledge. A trainer writes one file a delivery,
//! with the frames as they would have gone through the socket, beside its name, fsynced, and renamed; so
//! whatever has the name is whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use trainwire_protocol::frame::{FrameReader, ReaderLimits};
use trainwire_protocol::message::FromTrainer;

use crate::record::DeliveryNo;
use crate::scheduler::Spooled;

/// Where a delivery's file is.
pub(crate) fn path(folder: &Path, delivery: DeliveryNo) -> PathBuf {
    folder.join(format!("{delivery}{ENDING}"))
}

/// The deliveries that have one, in order. Empty where there is no folder.
pub(crate) fn deliveries(folder: &Path) -> Vec<DeliveryNo> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut found: Vec<DeliveryNo> =
        names.filter_map(|name| name.to_str()?.strip_suffix(ENDING)?.parse().ok()).collect();
    found.sort_unstable();
    found
}

/// Reads a delivery's file; `None` if there is none. What no trainer writes is said, and left where it is.
pub(crate) fn read(folder: &Path, delivery: DeliveryNo) -> Option<Vec<Spooled>> {
    let path = path(folder, delivery);
    match read_file(&path) {
        Ok(spooled) => Some(spooled),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let path = path.display();
            tracing::error!(code = "spool_unreadable", %path, %error, "a spooled result cannot be read; the file stays");
            None
        }
    }
}

/// Removes the folder of a job that has ended, with what trainers began to write and did not finish. What
/// could not be read stays, as evidence.
pub(crate) fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "unfinished") {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

fn read_file(path: &Path) -> io::Result<Vec<Spooled>> {
    let mut file = File::open(path)?.take(FILE_SIZE_BYTES_MAX);
    let mut reader = FrameReader::new(ReaderLimits { inline_task_size_bytes_max: 0 });
    let mut spooled = Vec::new();
    loop {
        let count = file.read(reader.spare())?;
        if count == 0 {
            return Ok(spooled);
        }
        reader.advance(count);
        while let Some(frame) = reader.next().map_err(io::Error::other)? {
            match frame.decode_from_trainer().map_err(io::Error::other)? {
                FromTrainer::Checkpoint(checkpoint) => spooled.push(Spooled::Checkpoint(checkpoint)),
                FromTrainer::Result(result) => spooled.push(Spooled::Result(result)),
                _ => {}
            }
        }
    }
}

const ENDING: &str = ".frames";

/// More than a trainer keeps: 16 MiB of messages, and what they were cut into.
const FILE_SIZE_BYTES_MAX: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use trainwire_protocol::frame::FrameWriter;
    use trainwire_protocol::id::Delivery;
    use trainwire_protocol::message::{Checkpoint, CheckpointRef, Outcome, TaskResult};

    use super::*;

    #[test]
    fn what_a_trainer_wrote_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let delivery = Delivery(12);
        let at = CheckpointRef { path: "epoch-1.pt".into(), step: None, epoch: Some(1.0) };
        let checkpoint = Checkpoint { delivery, seq: 1, at, metrics: Vec::new() };
        let result = TaskResult { delivery, seq: 2, outcome: Outcome::Succeeded, metrics: Vec::new() };
        let mut writer = FrameWriter::default();
        writer.push_from_trainer(&FromTrainer::Checkpoint(checkpoint.clone())).unwrap();
        writer.push_from_trainer(&FromTrainer::Result(result.clone())).unwrap();
        let bytes: Vec<u8> = writer.io_slices().iter().flat_map(|slice| slice.to_vec()).collect();
        File::create(path(folder, 12)).unwrap().write_all(&bytes).unwrap();
        File::create(folder.join("3.unfinished")).unwrap();
        File::create(folder.join("x.frames")).unwrap();
        assert_eq!(deliveries(folder), [12]);
        let expected = vec![Spooled::Checkpoint(checkpoint), Spooled::Result(result)];
        assert_eq!(read(folder, 12), Some(expected));
        assert_eq!(read(folder, 13), None);

        fs::write(path(folder, 4), b"not a frame at all, whatever it is").unwrap();
        assert_eq!(read(folder, 4), None);
        assert!(path(folder, 4).exists(), "it is evidence");
        assert_eq!(deliveries(&folder.join("absent")), [0; 0]);
    }
}
