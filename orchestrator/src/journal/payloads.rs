//! The bytes of tasks: small ones in a row, large ones in files that rows name.
//!
//! ```text
//!  submission: write file ─► fsync file ─► fsync folders ─┐
//!  writer:                                                └─► row, committed with its task ─► answered
//!          end of the task, committed without the row ─► remove file
//! ```
//!
//! So at no moment does a row name a file that is missing or short, and a file without a row is one
//! that nobody waits for: the next start removes it.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, Transaction, params};

use super::Entry;
use crate::payload::Payload;
use crate::planted;
use crate::record::{Next, Record, TaskNo};

/// Where the bytes of a task are kept.
#[derive(Debug)]
pub(crate) enum StoredTask {
    /// In the task's row.
    Row(Bytes),
    /// In a file, written and synced.
    File(PayloadFile),
    /// Nowhere: the task is volatile.
    Nowhere { size_bytes: u64 },
}

/// A file with a task's bytes. Removed when it is dropped, unless a row names it by then.
#[derive(Debug)]
pub(crate) struct PayloadFile {
    path: PathBuf,
    /// Relative to the state folder.
    name: String,
    size_bytes: u64,
    named: bool,
}

impl Drop for PayloadFile {
    fn drop(&mut self) {
        if !self.named {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The folder of a job's files, as one submission fills it.
#[derive(Debug)]
pub(crate) struct PayloadFolder {
    root: PathBuf,
    /// Relative to `root`.
    name: PathBuf,
    /// Of the files of this submission, unlike those of any other.
    prefix: u64,
    files: usize,
}

impl PayloadFolder {
    /// Makes the folder `name` in the state folder `root`.
    pub(crate) fn create(root: &Path, name: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root.join(&name))?;
        Ok(Self { root: root.to_owned(), name, prefix: random()?, files: 0 })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// Writes a task's bytes, and waits until they are on the disk. Where they lie in shared memory they do
    /// not pass through this process.
    pub(crate) fn add(&mut self, payload: &Payload) -> io::Result<PayloadFile> {
        let name = self.name.join(format!("{:016x}-{}", self.prefix, self.files));
        self.files += 1;
        let path = self.root.join(&name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let name = name.to_string_lossy().into_owned();
        let written = PayloadFile { path, name, size_bytes: payload.size_bytes(), named: false };
        match payload {
            Payload::Inline(task) | Payload::Slab { task, .. } => {
                for piece in task.as_bytes().pieces() {
                    file.write_all(piece)?;
                }
            }
            Payload::Sealed { memory, .. } => memory.copy_to(&file)?,
        }
        if !planted::is("file-not-synced") {
            // Its length included, which nobody could read it without.
            file.sync_data()?;
        }
        Ok(written)
    }

    /// Waits until the names of all that was added are on the disk too.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if planted::is("names-not-synced") {
            return Ok(());
        }
        // Each folder up to the root may be new.
        self.name.ancestors().try_for_each(|folder| File::open(self.root.join(folder))?.sync_all())
    }
}

/// What the rows say, for the writer.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// Of tasks with a row in `payload_files`; `None` of volatile ones.
    of_task: HashMap<TaskNo, Option<String>>,
}

impl Files {
    /// Reads the rows, and removes files that none of them names: of submissions and ends that a crash
    /// cut short.
    pub(super) fn load(connection: &Connection, root: &Path) -> rusqlite::Result<Self> {
        let mut rows = connection.prepare("SELECT task, file FROM payload_files")?;
        let rows = rows.query_map([], |row| Ok((TaskNo(row.get::<_, i64>(0)?.cast_unsigned()), row.get(1)?)));
        let files = Self { root: root.to_owned(), of_task: rows?.collect::<Result<_, _>>()? };
        let named: Vec<_> = files.of_task.values().flatten().map(|name| root.join(name)).collect();
        for job in entries(&root.join("jobs")) {
            for file in entries(&job.join(FOLDER_NAME)).filter(|file| !named.contains(file)) {
                let _ = std::fs::remove_file(file);
            }
        }
        Ok(files)
    }

    /// Writes the rows of tasks that are submitted, of so many bytes.
    pub(super) fn insert(
        &mut self,
        transaction: &Transaction<'_>,
        payloads: &mut [(TaskNo, StoredTask)],
    ) -> rusqlite::Result<usize> {
        let mut bytes_total = 0;
        let mut row = transaction.prepare_cached("INSERT INTO payloads (task, bytes) VALUES (?1, ?2)")?;
        let mut file_row = transaction
            .prepare_cached("INSERT INTO payload_files (task, file, size_bytes) VALUES (?1, ?2, ?3)")?;
        for (task, stored) in payloads {
            let number = task.0.cast_signed();
            let (name, size_bytes) = match stored {
                StoredTask::Row(bytes) => {
                    row.execute(params![number, &bytes[..]])?;
                    bytes_total += bytes.len();
                    continue;
                }
                StoredTask::File(file) => {
                    // From here on it may be committed, also where that fails.
                    file.named = true;
                    (Some(file.name.clone()), file.size_bytes)
                }
                StoredTask::Nowhere { size_bytes } => (None, *size_bytes),
            };
            file_row.execute(params![number, name, size_bytes.cast_signed()])?;
            self.of_task.insert(*task, name);
        }
        Ok(bytes_total)
    }

    /// Removes the rows of tasks that have ended for good, and gives the tasks that had one, to be
    /// [forgotten](Self::forget) once that is committed. Those of stopped tasks and dead letters stay, for whoever queues them again.
    pub(super) fn delete(
        &self,
        transaction: &Transaction<'_>,
        entries: &[Entry],
    ) -> rusqlite::Result<Vec<TaskNo>> {
        let mut over = Vec::new();
        for entry in entries {
            let (Record::Ended { next, .. } | Record::Closed { next, .. }) = &entry.record else { continue };
            if let (Next::Succeeded | Next::Cancelled, Some(task)) = (next, entry.task)
                && self.of_task.contains_key(&task)
            {
                let mut delete = transaction.prepare_cached("DELETE FROM payload_files WHERE task = ?1")?;
                delete.execute([task.0.cast_signed()])?;
                over.push(task);
            }
        }
        Ok(over)
    }

    /// Gives the files of tasks whose rows are gone.
    pub(super) fn forget(&mut self, tasks: &[TaskNo]) -> Vec<PathBuf> {
        let names = tasks.iter().filter_map(|task| self.of_task.remove(task)?);
        let names = names.filter(|_| !planted::is("file-stays"));
        names.map(|name| self.root.join(name)).collect()
    }
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(error.to_string()))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// In the folder of each job.
pub(crate) const FOLDER_NAME: &str = "payloads";

/// Larger tasks lie in files. SQLite copies a value several times on its way to the disk and back, and
/// takes none above 10⁹ bytes.
pub(crate) const ROW_SIZE_BYTES_MAX: u64 = 64 << 10;
