//! Names for what was not named: a job after its script and the time, a task after its script.

use std::path::Path;
use std::time::SystemTime;

use trainwire::JobId;

use crate::clock;

/// E.g. `train-20261123-204710-3f9a`: the stem, the time in UTC, and 16 random bits, so that two
/// jobs of one second do not meet.
pub(crate) fn job_id(stem: &str, now: SystemTime, random: u16) -> JobId {
    let mut name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.truncate(STEM_SIZE_BYTES_MAX);
    let name = match name.trim_matches('-') {
        "" => "job",
        name => name,
    };
    let id = format!("{name}-{}-{random:04x}", clock::compact(now));
    JobId::new(&id).expect("letters and digits with single dashes between them, 61 bytes at most")
}

/// What the command runs, in one word: `train` of `python train.py` and of `python -m lab.train`.
pub(crate) fn stem(command: &[String]) -> &str {
    let module = command.iter().position(|argument| argument == "-m").and_then(|at| command.get(at + 1));
    if let Some(module) = module {
        return module.rsplit('.').next().unwrap_or(module);
    }
    let script = command
        .iter()
        .find(|argument| is_script(Path::new(argument)) && !argument.contains(char::is_whitespace));
    let file = script.or(command.first()).map(Path::new);
    file.and_then(Path::file_stem).and_then(|stem| stem.to_str()).unwrap_or("task")
}

/// Whether it is called like what an interpreter runs.
pub(crate) fn is_script(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| SCRIPT_EXTENSIONS.contains(&extension))
}

/// What is run by an interpreter that stands before it.
const SCRIPT_EXTENSIONS: &[&str] = &["py", "sh", "jl", "R", "r", "js", "lua", "pl", "rb"];

/// Leaves room for the time within a job id's 76 bytes.
const STEM_SIZE_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn stem_of(command: &str) -> String {
        let command: Vec<_> = command.split(' ').map(str::to_owned).collect();
        stem(&command).to_owned()
    }

    #[test]
    fn commands_have_a_stem() {
        assert_eq!(stem_of("python train.py --fast"), "train");
        assert_eq!(stem_of("uv run python lab/fit.py"), "fit");
        assert_eq!(stem_of("python -m lab.train"), "train");
        assert_eq!(stem_of("./train"), "train");
        assert_eq!(stem_of("sh -c exit"), "sh");
        assert_eq!(stem(&[]), "task");
    }

    #[test]
    fn every_stem_makes_a_job_id() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(job_id("train", now, 0x3f9a).as_str(), "train-19700101-000000-3f9a");
        assert_eq!(job_id("über__fit..2", now, 1).as_str(), "ber-fit-2-19700101-000000-0001");
        assert_eq!(job_id("数据", now, 1).as_str(), "job-19700101-000000-0001");
        assert_eq!(job_id(&"x-".repeat(100), now, 1).as_str().len(), 39 + 21);
    }
}
