//! Reading a state folder without being its orchestrator: nothing is started, locked or changed, and it does not
//! matter whether an orchestrator has the folder.

use std::ops::Range;
use std::path::{Path, PathBuf};

use trainwire_protocol::id::JobId;

use crate::config::Config;
use crate::error::StartError;
use crate::journal::{Entry, FILE_NAME, FORMAT, Reader};
use crate::layout::Layout;
use crate::outcome::{Fold, TaskResult};
use crate::record::{JobNo, Record, Seq};

/// A state folder, open for reading.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    layout: Layout,
    reader: Reader,
}

impl Archive {
    /// Whether a folder is the state folder of an orchestrator, now or before.
    pub fn is_at(state_dir: &Path) -> bool {
        state_dir.join(FILE_NAME).is_file()
    }

    /// Opens the journal of a state folder. Blocks, as all that is asked of it.
    ///
    /// # Errors
    /// `state_dir`, `journal`, `journal_newer`.
    pub fn open(state_dir: &Path) -> Result<Self, StartError> {
        let root = std::path::absolute(state_dir)
            .map_err(|source| StartError::StateDir { path: state_dir.to_owned(), source })?;
        let path = root.join(FILE_NAME);
        let reader = Reader::open(&path).and_then(|reader| Ok((reader.format()?, reader)));
        let (found, reader) =
            reader.map_err(|error| StartError::Journal { path: path.clone(), text: error.to_string() })?;
        if found > FORMAT {
            return Err(StartError::JournalNewer { path, found, known: FORMAT });
        }
        let config = Config { state_dir: Some(root.clone()), ..Config::default() };
        Ok(Self { path, layout: Layout::new(&config, root), reader })
    }

    /// All its jobs, in the order of their submission.
    ///
    /// # Errors
    /// `journal`.
    pub fn jobs(&self) -> Result<Vec<JobId>, StartError> {
        Ok(self.numbers()?.into_iter().map(|(_, job_id)| job_id).collect())
    }

    /// What came of a job's tasks at these places in the order of their submission; `None` if there is no job of
    /// this id.
    ///
    /// # Errors
    /// `journal`.
    pub fn results(
        &self,
        job_id: &JobId,
        places: Range<usize>,
    ) -> Result<Option<Vec<TaskResult>>, StartError> {
        let Some((job, _)) = self.numbers()?.into_iter().find(|(_, known)| known == job_id) else {
            return Ok(None);
        };
        let (mut fold, mut seen) = (Fold::default(), Seq::START);
        loop {
            let page =
                self.reader.records_of(job, seen, PAGE_RECORDS).map_err(|error| self.unreadable(&error))?;
            let Some(last) = page.last() else { break };
            seen = last.seq;
            page.iter().for_each(|entry| fold.apply(entry));
        }
        let rows = fold.results(places).into_iter();
        Ok(Some(rows.map(|row| row.fill(&self.layout, job_id, Some(&self.reader))).collect()))
    }

    /// A later one of the same id takes the place of one that was forgotten.
    fn numbers(&self) -> Result<Vec<(JobNo, JobId)>, StartError> {
        let submitted = self.reader.submissions().map_err(|error| self.unreadable(&error))?;
        let named = |Entry { record, .. }: Entry| match record {
            Record::JobSubmitted { job, spec } => Some((job, JobId::new(&spec.job_id).ok()?)),
            _ => None,
        };
        Ok(submitted.into_iter().filter_map(named).collect())
    }

    fn unreadable(&self, error: &rusqlite::Error) -> StartError {
        StartError::Journal { path: self.path.clone(), text: error.to_string() }
    }
}

/// Read at once.
const PAGE_RECORDS: u32 = 4_096;
