//! Which jobs that have ended are forgotten, and when.

use std::path::Path;
use std::time::Duration;

use crate::record::JobNo;

/// For how long jobs that have ended are remembered. Without any rule, the default, for ever. One that has not
/// ended is never forgotten.
///
/// A job that is forgotten is deleted from the journal, with its folder but for the trainers' work folders. Its
/// id can be used again. The journal's file does not get smaller; what is free in it is used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// So long after its end.
    pub age: Option<Duration>,
    /// As long as there are no more jobs that have ended than so many; the oldest go first.
    pub jobs: Option<usize>,
    /// As long as the folders of jobs that have ended take no more bytes than this; the oldest go first.
    pub bytes: Option<u64>,
    /// The work folders go with the job, and with them checkpoints and whatever else trainers wrote there.
    pub delete_work: bool,
}

impl Retention {
    /// Whether there is a rule.
    pub(crate) fn is_limited(&self) -> bool {
        self.age.is_some() || self.jobs.is_some() || self.bytes.is_some()
    }

    /// Of jobs that have ended, in the order of their ends and with the time since, those that are too old or too
    /// many.
    pub(crate) fn over(&self, ended: impl ExactSizeIterator<Item = (JobNo, Duration)>) -> Vec<JobNo> {
        let too_many = self.jobs.map_or(0, |max| ended.len().saturating_sub(max));
        let too_old = |passed: Duration| self.age.is_some_and(|age| passed >= age);
        let over = ended.enumerate().filter(|(place, (_, passed))| *place < too_many || too_old(*passed));
        over.map(|(_, (job, _))| job).collect()
    }

    /// Of jobs with the sizes of their folders, in the order of their ends, those that are too much.
    pub(crate) fn too_large(&self, sizes: &[(JobNo, u64)]) -> Vec<JobNo> {
        let Some(max) = self.bytes else { return Vec::new() };
        let mut total: u64 = sizes.iter().map(|(_, size)| size).sum();
        let mut over = Vec::new();
        for (job, size) in sizes {
            if total <= max {
                break;
            }
            total -= size;
            over.push(*job);
        }
        over
    }
}

/// Bytes of all files below, links not followed.
pub(crate) fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Deletes a job's folder, but for the work folders unless they are to go too.
pub(crate) fn delete(folder: &Path, work: &Path, delete_work: bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == work && !delete_work {
            continue;
        }
        let deleted = match entry.file_type() {
            Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(&path),
            _ => std::fs::remove_file(&path),
        };
        if let Err(error) = deleted {
            tracing::warn!(path = %path.display(), %error, "what is left of a forgotten job cannot be deleted");
        }
    }
    // Empty, but for work folders that stay. Empty ones of those need not.
    let _ = std::fs::remove_dir(work);
    let _ = std::fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of them ten seconds ago, one a second.
    fn ended(count: usize) -> impl ExactSizeIterator<Item = (JobNo, Duration)> {
        let all: Vec<_> = (1..=10).map(|number| (JobNo(number), Duration::from_secs(10 - number))).collect();
        all.into_iter().take(count)
    }

    #[test]
    fn the_oldest_go_first_by_each_rule() {
        let none = Retention::default();
        assert!(!none.is_limited() && none.over(ended(9)).is_empty());
        let by_age = Retention { age: Some(Duration::from_secs(8)), ..Retention::default() };
        assert_eq!(by_age.over(ended(9)), [JobNo(1), JobNo(2)]);
        let by_count = Retention { jobs: Some(6), ..by_age.clone() };
        assert_eq!(by_count.over(ended(9)), [JobNo(1), JobNo(2), JobNo(3)]);
        let set_back = [(JobNo(1), Duration::ZERO), (JobNo(2), Duration::from_secs(8))];
        assert_eq!(by_age.over(set_back.into_iter()), [JobNo(2)], "each by its own age");
        let by_size = Retention { bytes: Some(10), ..Retention::default() };
        assert_eq!(by_size.too_large(&[(JobNo(1), 5), (JobNo(2), 5), (JobNo(3), 6)]), [JobNo(1), JobNo(2)]);
        assert_eq!(by_size.too_large(&[(JobNo(1), 5), (JobNo(2), 5)]), []);
        assert_eq!(none.too_large(&[(JobNo(1), u64::MAX)]), []);
    }

    #[test]
    fn work_stays_unless_it_is_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let job = folder.path().join("job");
        let work = job.join("work");
        for name in ["logs/a.log", "metrics/t.jsonl", "work/t/model"] {
            let path = job.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "four").unwrap();
        }
        std::os::unix::fs::symlink("/", job.join("link")).unwrap();
        assert_eq!(size_of(&job), 12 + 1);
        delete(&job, &work, false);
        assert!(work.join("t/model").exists() && !job.join("logs").exists() && !job.join("link").exists());
        delete(&job, &work, true);
        assert!(!job.exists());
        delete(&job, &work, true);
    }
}
