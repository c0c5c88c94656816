//! A job written down in a file: the same as the flags of `trainwire run`, and more tasks than a grid.
//!
//! `trainwire run --help` and `orchestrator/cli/spec.md` describe it for people.

mod error;
mod parse;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use trainwire::{Durability, JobId};

use crate::exit::{Exit, Failure};
use crate::limits::Limits;
use crate::naming;
use crate::plan::PlannedTask;
use crate::ranking::Ranking;
use crate::view::paint::Paint;
use crate::view::words::escape;

/// What a spec says.
#[derive(Debug, Default)]
pub(crate) struct Spec {
    pub(crate) job_id: Option<JobId>,
    /// Empty only for jobs that trainers started by hand work off.
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) working_dir: Option<PathBuf>,
    pub(crate) script: bool,
    pub(crate) attach: bool,
    pub(crate) durability: Option<Durability>,
    /// In bytes.
    pub(crate) slab: Option<u64>,
    pub(crate) limits: Limits,
    pub(crate) ranking: Option<Ranking>,
    /// At least one, with ids of their own.
    pub(crate) tasks: Vec<PlannedTask>,
}

/// Reads a spec; all its mistakes are told at once.
pub(crate) fn load(path: &Path, paint: Paint) -> Result<Spec, Failure> {
    if naming::is_script(path) {
        let text = format!(
            "{0} is no spec, which is a file in TOML; a command comes after --: `trainwire run -- python {0}`",
            escape(&path.to_string_lossy())
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    let source = fs::read_to_string(path).map_err(|error| {
        let text = format!(
            "cannot read the spec {}: {error}; a command, if this is one, comes after --",
            escape(&path.to_string_lossy())
        );
        Failure::new(Exit::Usage, text)
    })?;
    parse::parse(&source).map_err(|errors| {
        let shown: Vec<_> = errors.iter().map(|error| error.render(path, &source, paint)).collect();
        Failure::rendered(Exit::Usage, shown.join("\n"))
    })
}
