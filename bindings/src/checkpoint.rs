//! Checkpoints: what is announced must be on disk first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use trainwire_protocol::message::CheckpointRef;
use trainwire_unix::names;

/// The newest stored checkpoint of earlier attempts. `os.fspath()` of it is its path, so `open()`
/// and `torch.load()` take it as it is.
#[pyclass(frozen, get_all, module = "trainwire")]
#[derive(Clone)]
pub(crate) struct Checkpoint {
    path: String,
    step: Option<i64>,
    epoch: Option<f64>,
}

impl Checkpoint {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl From<CheckpointRef> for Checkpoint {
    fn from(at: CheckpointRef) -> Self {
        Self { path: at.path, step: at.step, epoch: at.epoch }
    }
}

#[pymethods]
impl Checkpoint {
    fn __fspath__(&self) -> &str {
        &self.path
    }

    fn __repr__(&self) -> String {
        let number = |number: Option<String>| number.unwrap_or_else(|| "None".to_owned());
        format!(
            "Checkpoint(path={:?}, step={}, epoch={})",
            self.path,
            number(self.step.map(|step| step.to_string())),
            number(self.epoch.map(|epoch| epoch.to_string()))
        )
    }
}

/// The path in absolute form, once a file or folder of this name and all in it is on disk, with the folders
/// that were made for it.
///
/// # Errors
/// Of the operating system, among them `NotFound`; `InvalidInput` for a name that is not UTF-8,
/// which no message can hold.
pub(crate) fn sync(path: &Path) -> io::Result<String> {
    let path = std::path::absolute(path)?;
    sync_tree(&path)?;
    names::sync_names(&path)?;
    path.into_os_string().into_string().map_err(|path| {
        let text =
            format!("a checkpoint's path must be UTF-8, this one is not: {}", PathBuf::from(path).display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

fn sync_tree(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Links lead elsewhere, devices and sockets hold no data.
            if entry.file_type()?.is_dir() || entry.file_type()?.is_file() {
                sync_tree(&entry.path())?;
            }
        }
    }
    File::open(path)?.sync_all()
}
